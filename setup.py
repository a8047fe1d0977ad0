"""Builds the Cython extensions, or leaves them out where they cannot be built.

The kernels' one source is compiled once for each instruction set of `INSTRUCTION_SETS`;
fastnn chooses among them at import. ``FASTNN_BUILD_EXT=0`` skips them all, ``=1`` makes a failure
to build them fatal. ``FASTNN_BUILD_SETS=avx512,baseline`` builds some of them only, for developers
who would rather not wait for the others.
"""

import os
import platform
import subprocess
import sys
import tempfile
from pathlib import Path

from setuptools import Extension, setup
from setuptools.command.build_ext import build_ext
from setuptools.command.build_py import build_py

# -fno-math-errno lets sqrt vectorize, -fno-trapping-math the comparisons; neither changes a result.
# -ffinite-math-only and the rest of -ffast-math stay out: NaN and Inf go through.
FLAGS = ["-O3", "-fno-math-errno", "-fno-trapping-math", "-g0"]
INSTRUCTION_SETS = {"baseline": []}
if platform.machine().lower() in ("x86_64", "amd64"):
    INSTRUCTION_SETS["avx2"] = ["-mavx2", "-mfma", "-mbmi2"]
    INSTRUCTION_SETS["avx512"] = [
        *INSTRUCTION_SETS["avx2"],
        "-mavx512f",
        "-mavx512bw",
        "-mavx512cd",
        "-mavx512dq",
        "-mavx512vl",
        "-mprefer-vector-width=512",
    ]
if os.environ.get("FASTNN_BUILD_SETS"):
    chosen = os.environ["FASTNN_BUILD_SETS"].split(",")
    if unknown := set(chosen) - INSTRUCTION_SETS.keys():
        sys.exit(
            f"FASTNN_BUILD_SETS must name some of {', '.join(INSTRUCTION_SETS)}, with commas "
            f"between; got {', '.join(map(repr, sorted(unknown)))}"
        )
    INSTRUCTION_SETS = {name: INSTRUCTION_SETS[name] for name in chosen}


def say_without(reason):
    print(
        f"fastnn: the Cython kernels are left out ({reason}); fastnn will run on numba where that "
        "is installed, else on NumPy.",
        file=sys.stderr,
    )


def extensions():
    """One extension per instruction set, and the one that asks the processor which it has."""
    from Cython.Build import cythonize

    kernels = Path("fastnn/_kernels")
    stubs = Path("build/instruction_sets")
    stubs.mkdir(parents=True, exist_ok=True)
    modules = [Extension("fastnn._kernels.cpu", [str(kernels / "cpu.pyx")])]
    for name, flags in INSTRUCTION_SETS.items():
        for source in ("cython_kernels", "program"):
            # A module's name is compiled into it, so each build has a source of its own: one line.
            stub = stubs / f"{source}_{name}.pyx"
            text = f'include "{source}.pyx"\n'
            # pip runs this file three times; Cython takes a stub written anew for one that changed.
            if not stub.exists() or stub.read_text() != text:
                stub.write_text(text)
            modules.append(
                Extension(
                    f"fastnn._kernels.{stub.stem}",
                    [str(stub)],
                    depends=[str(path) for path in sorted(kernels.glob("*.p[yx][xdi]"))],
                    extra_compile_args=flags,
                )
            )
    for module in modules:
        module.define_macros = [("NPY_NO_DEPRECATED_API", "NPY_2_0_API_VERSION")]
    return cythonize(modules, include_path=[str(kernels)], build_dir="build/cython", nthreads=0)


def compiles(compiler, flag):
    """Whether the compiler builds a program with this flag."""
    with tempfile.TemporaryDirectory() as folder:
        source = Path(folder) / "probe.c"
        source.write_text("int main(void) { return 0; }\n")
        command = [*compiler, flag, str(source), "-o", str(Path(folder) / "probe")]
        return subprocess.run(command, capture_output=True, check=False).returncode == 0


class BuildKernels(build_ext):
    """Adds the flags the compiler knows; with no compiler at all, goes on without extensions."""

    def finalize_options(self):
        super().finalize_options()
        self.parallel = self.parallel or True  # as many files at once as there are processors

    def build_extensions(self):
        import numpy

        flags, links = [], []
        if self.compiler.compiler_type == "unix":
            flags = list(FLAGS)
            if compiles(self.compiler.compiler, "-fopenmp"):
                flags.append("-fopenmp")
                links.append("-fopenmp")
        for extension in self.extensions:
            extension.include_dirs.append(numpy.get_include())
            extension.extra_compile_args = [*flags, *extension.extra_compile_args]
            extension.extra_link_args = links
        super().build_extensions()

    def run(self):
        try:
            super().run()
        except Exception as error:
            if os.environ.get("FASTNN_BUILD_EXT") == "1":
                raise
            # Kernels without their program, or older than their source, must not be installed.
            for path in self.get_outputs():
                Path(path).unlink()
            self.extensions.clear()
            say_without(f"building them failed: {error}")

    def get_outputs(self):
        return [path for path in super().get_outputs() if Path(path).exists()]

    def copy_extensions_to_source(self):
        if self.extensions:
            super().copy_extensions_to_source()


class BuildWithoutKernels(build_py):
    """Says what is left out where something is built: pip runs this file for less, too."""

    def run(self):
        say_without("FASTNN_BUILD_EXT=0")
        super().run()


if os.environ.get("FASTNN_BUILD_EXT") == "0":
    setup(cmdclass={"build_py": BuildWithoutKernels})
else:
    setup(ext_modules=extensions(), cmdclass={"build_ext": BuildKernels})
