"""Convolution and correlation in any number of dimensions, directly or by transforms."""

from __future__ import annotations

import functools
import math
import timeit
from collections.abc import Callable
from typing import Any, Literal, overload

import numpy as np
import numpy.typing as npt

from fastconv.signal._common import (
    Array,
    Pairs,
    arrays_of_one_rank,
    check_mode,
    refuse_dtype,
    refuse_empty,
    result_dtype,
    windows_of,
    working_dtype,
)
from fastconv.signal._cost import estimated_seconds, rounds_exactly
from fastconv.signal._direct import window_of_full
from fastconv.signal._fftconvolve import fftconvolve

# With fewer multiplications a transform is never faster.
_FEW_PRODUCTS = 1 << 14
# With fewer, comparing estimates costs more than it saves. "auto" compares them itself for floats
# in up to three dimensions; what remains is kernels too long for its transforms.
_FEW_INTEGER_PRODUCTS = 1 << 22
_FEW_FLOAT_PRODUCTS = 1 << 32


def convolve(
    in1: npt.ArrayLike, in2: npt.ArrayLike, mode: str = "full", method: str = "auto"
) -> Array:
    """Convolve two arrays of the same number of dimensions; the kernel is mirrored.

    ``full[i] = sum_j in1[j] * in2[i - j]``, where elements outside the arrays are zero, and
    `mode` says which part of ``full`` is returned.

    Parameters
    ----------
    in1 : array_like, shape (n_1, ..., n_d)
    in2 : array_like, shape (k_1, ..., k_d)
        The inputs, of any number of dimensions.
    mode : {"full", "same", "valid"}, default "full"
        ``"full"``: everything, of size ``n + k - 1``. ``"same"``: the central part of it, of
        `in1`'s size, that starts at ``(k - 1) // 2``. ``"valid"``: only what does not depend on
        elements outside, of size ``abs(n - k) + 1``; one array must then be at least as large as
        the other in every dimension.
    method : {"auto", "direct", "fft"}, default "auto"
        ``"direct"``: the sum above, by algorithms that keep its terms. ``"fft"``: by transforms,
        as `fftconvolve` does; integers only where rounding is sure to give the exact sums in
        float64, and directly elsewhere. ``"auto"``: what `choose_conv_method` estimates to be
        faster.

    Returns
    -------
    ndarray
        Of dtype ``numpy.result_type(in1, in2)``. Integers wrap around, and the sum of products of
        bools is their logical "or". A NumPy scalar if the inputs have no dimensions.

    Raises
    ------
    ValueError
        For different numbers of dimensions, unknown names, arrays of which neither contains the
        other in mode ``"valid"``, an empty array, and the dtypes that SciPy refuses: strings,
        dates; beyond 1-D also objects, bool unless ``method="fft"``, and float16 with
        ``method="direct"``.
    TypeError
        For 1-D arrays of objects.
    fastconv.UnsupportedError
        For longdouble.

    Notes
    -----
    With every method a NaN or infinity reaches the results whose window holds it and no others; in
    SciPy ``method="fft"`` spreads it over all.

    The larger array serves as the input and the smaller one as the kernel, which commutes. Four
    dimensions and more are sums of 3-D convolutions over the leading axes. The zeros outside take
    part in the sum, so that a NaN or infinity in the smaller array reaches every window that
    holds such a zero; SciPy's 1-D functions, and they alone, leave them out.

    Examples
    --------
    >>> from fastconv import signal
    >>> signal.convolve([1, 2, 3], [0, 1, 10])
    array([ 0,  1, 12, 23, 30])
    >>> signal.convolve([1, 2, 3], [0, 1, 10], mode="same")
    array([ 1, 12, 23])
    >>> signal.convolve([[1, 2, 3], [4, 5, 6]], [[1, -1]], mode="valid")
    array([[1, 1],
           [1, 1]])
    """
    first, second = arrays_of_one_rank(in1, in2)
    return _convolve(first, second, mode, method)


def correlate(
    in1: npt.ArrayLike, in2: npt.ArrayLike, mode: str = "full", method: str = "auto"
) -> Array:
    """Cross-correlate two arrays of the same number of dimensions; `in2` is conjugated.

    ``full[i] = sum_j in1[j] * conj(in2[j - i + k - 1])`` with ``k`` the size of `in2`, where
    elements outside the arrays are zero, and `mode` says which part of ``full`` is returned.

    Parameters
    ----------
    in1 : array_like, shape (n_1, ..., n_d)
    in2 : array_like, shape (k_1, ..., k_d)
        The inputs, of any number of dimensions.
    mode : {"full", "same", "valid"}, default "full"
    method : {"auto", "direct", "fft"}, default "auto"
        As in `convolve`.

    Returns
    -------
    ndarray
        Of dtype ``numpy.result_type(in1, in2)``, as in `convolve`.

    Raises
    ------
    ValueError, TypeError, fastconv.UnsupportedError
        As `convolve` does.

    Notes
    -----
    In mode "same", kernels of even size give a result that is shifted by one element from that
    of `correlate2d`, as in SciPy.

    Examples
    --------
    >>> from fastconv import signal
    >>> signal.correlate([1, 2, 3], [0, 1, 10])
    array([10, 21, 32,  3,  0])
    >>> signal.correlate([1, 2, 3, 4], [1, 10], mode="valid")
    array([21, 32, 43])
    >>> signal.correlate([1j, 2], [1j])
    array([1.+0.j, 0.-2.j])
    """
    first, second = arrays_of_one_rank(in1, in2)
    mirrored = second[(slice(None, None, -1),) * second.ndim]
    return _convolve(first, mirrored.conj() if second.dtype.kind == "c" else mirrored, mode, method)


@overload
def choose_conv_method(
    in1: npt.ArrayLike, in2: npt.ArrayLike, mode: str = ..., measure: Literal[False] = ...
) -> str: ...


@overload
def choose_conv_method(
    in1: npt.ArrayLike, in2: npt.ArrayLike, mode: str = ..., *, measure: Literal[True]
) -> tuple[str, dict[str, float]]: ...


def choose_conv_method(
    in1: npt.ArrayLike, in2: npt.ArrayLike, mode: str = "full", measure: bool = False
) -> str | tuple[str, dict[str, float]]:
    """Tell which method of `convolve` is the faster one: the sum itself, or transforms.

    Parameters
    ----------
    in1, in2 : array_like
    mode : {"full", "same", "valid"}, default "full"
        As in `convolve`.
    measure : bool, default False
        Run both methods rather than compare the estimates of `fastconv.explain`.

    Returns
    -------
    method : {"direct", "fft"}
        ``"direct"`` for bools, and for integers of which a transform is not sure to give the exact
        sums.
    times : dict
        With `measure` alone: seconds of ``"fft"`` and of ``"direct"``.

    Raises
    ------
    ValueError
        For different numbers of dimensions and unknown modes.

    Notes
    -----
    The estimates are those for one thread. SciPy's are others: it compares one transform of
    everything with plain loops.

    Examples
    --------
    >>> import numpy as np
    >>> from fastconv import signal
    >>> signal.choose_conv_method(np.ones(100), np.ones(5))
    'direct'
    >>> signal.choose_conv_method(np.ones(500_000), np.ones(50_000))
    'fft'
    """
    first, second = arrays_of_one_rank(in1, in2)
    if measure:
        times = {
            method: _seconds(functools.partial(convolve, first, second, mode, method))
            for method in ("fft", "direct")
        }
        return min(times, key=lambda method: times[method]), times
    check_mode(mode)
    try:
        windows = windows_of(first.shape, second.shape, mode)
    except ValueError:  # which convolve raises
        return "direct"
    computed = all(array.dtype.kind in "iufc" for array in (first, second))
    if first.ndim == 0 or not computed or first.size == 0 or second.size == 0:
        return "direct"
    return _faster_method(first, second, windows)


def _faster_method(first: Array, second: Array, windows: Pairs) -> str:
    large, small = (second, first) if second.size > first.size else (first, second)
    if _products(small, windows) < _FEW_PRODUCTS:
        return "direct"
    dtype = np.result_type(large.dtype, small.dtype)
    if dtype.kind in "fc" and np.finfo(dtype).bits > 64:
        return "direct"
    if dtype.kind in "iu" and not rounds_exactly(large, small):
        return "direct"
    direct, fft = estimated_seconds(large, small, windows)
    return "fft" if fft < direct else "direct"


def _products(small: Array, windows: Pairs) -> int:
    return small.size * math.prod(length for _, length in windows)


def _seconds(call: Callable[[], Any]) -> float:
    """Seconds of one call: the best of three rounds of some milliseconds, or of one if slow."""
    timer = timeit.Timer(call)
    count, seconds = 1, timer.timeit(1)
    while seconds < 2e-3:
        count *= 4
        seconds = timer.timeit(count)
    return min([seconds, *(timer.repeat(2, count) if seconds < 1 else [])]) / count


def _convolve(first: Array, second: Array, mode: str, method: str) -> Array:
    """Convolve arrays of any common number of dimensions, with zeros outside."""
    if first.ndim == 0:
        return np.multiply(first, second)
    check_mode(mode)
    windows = windows_of(first.shape, second.shape, mode)
    if method not in ("auto", "direct", "fft"):
        raise ValueError(f"method must be 'auto', 'direct' or 'fft', got {method!r}")
    dtype = result_dtype(first, second)
    # SciPy computes bool and float16 in NumPy's 1-D routine alone, and float16 by transforms.
    if first.ndim > 1 or (mode == "same" and second.size > first.size):
        refused = {"auto": (np.bool_,), "direct": (np.bool_, np.float16)}
        refuse_dtype(dtype, *refused.get(method, ()))
    if first.size == 0 or second.size == 0:
        _check_empty(first, second, mode)
        return np.zeros([length for _, length in windows], dtype)
    large, small = (second, first) if second.size > first.size else (first, second)
    if method == "auto" and dtype.kind != "b":
        few = _FEW_FLOAT_PRODUCTS if dtype.kind in "fc" else _FEW_INTEGER_PRODUCTS
        worthwhile = first.ndim > 3 or _products(small, windows) >= few
        by_transforms = worthwhile and _faster_method(first, second, windows) == "fft"
    else:
        by_transforms = method == "fft"
    if by_transforms and (dtype.kind in "fc" or rounds_exactly(first, second)):
        return _by_transforms(first, second, mode, dtype)
    working = working_dtype(dtype, small)
    large, small = (array.astype(working, copy=False) for array in (large, small))
    precision = "strict" if method == "direct" else "default"
    return window_of_full(large, small, windows, precision=precision).astype(dtype, copy=False)


def _by_transforms(first: Array, second: Array, mode: str, dtype: np.dtype[Any]) -> Array:
    if dtype.kind in "fc":
        return fftconvolve(first, second, mode).astype(dtype, copy=False)
    wide = fftconvolve(first.astype(np.float64), second.astype(np.float64), mode)
    # Sums wrap around in the dtype of the result.
    rounded = np.rint(wide).astype(np.int64)
    return (rounded != 0) if dtype.kind == "b" else rounded.astype(dtype)


def _check_empty(first: Array, second: Array, mode: str) -> None:
    """Refuse the empty arrays that SciPy refuses; its other results are zeros."""
    if first.ndim == 1:
        refused = mode != "same" or second.size == 0
    else:
        swap = mode == "full" and second.size > first.size
        large, small = (second, first) if swap else (first, second)
        # SciPy copies the larger array into one of size n + k - 1, and a length of 1 broadcasts.
        sizes = zip(large.shape, small.shape, strict=True)
        refused = mode != "valid" and any(k == 0 and n != 1 for n, k in sizes)
    if refused:
        refuse_empty(first, second, mode)
