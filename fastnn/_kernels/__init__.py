"""The kernels: one specification in NumPy, and its twins in numba and Cython.

Nothing here is public. Kernels trust their callers for shapes and dtypes; `fastnn.backend` chooses
which implementation a model runs on.
"""
