# cython: language_level=3
"""What the processor can run; compiled for the baseline, so that it loads everywhere."""

cdef extern from *:
    """
    #if (defined(__x86_64__) || defined(_M_X64)) && defined(__GNUC__)
    static int fastnn_has_avx2(void) {
        __builtin_cpu_init();
        return __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma")
            && __builtin_cpu_supports("bmi2");
    }
    static int fastnn_has_avx512(void) {
        return fastnn_has_avx2() && __builtin_cpu_supports("avx512f")
            && __builtin_cpu_supports("avx512bw") && __builtin_cpu_supports("avx512cd")
            && __builtin_cpu_supports("avx512dq") && __builtin_cpu_supports("avx512vl");
    }
    #else
    static int fastnn_has_avx2(void) { return 0; }
    static int fastnn_has_avx512(void) { return 0; }
    #endif
    """
    bint fastnn_has_avx2()
    bint fastnn_has_avx512()


def supported_instruction_sets():
    """Names of the builds this processor (and its operating system) can run."""
    names = ["baseline"]
    if fastnn_has_avx2():
        names.append("avx2")
    if fastnn_has_avx512():
        names.append("avx512")
    return tuple(names)
