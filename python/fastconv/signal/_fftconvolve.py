"""Convolution by transforms along chosen axes."""

from __future__ import annotations

import operator
from collections.abc import Iterable
from numbers import Number
from typing import Any, SupportsIndex

import numpy as np
import numpy.typing as npt

from fastconv._core import UnsupportedError
from fastconv.signal._common import Array, arrays_of_one_rank, check_mode, contains
from fastconv.signal._transforms import convolve_axes


def fftconvolve(
    in1: npt.ArrayLike,
    in2: npt.ArrayLike,
    mode: str = "full",
    axes: SupportsIndex | Iterable[SupportsIndex] | None = None,
) -> Array:
    """Convolve two arrays by transforms; the kernel is mirrored.

    The sums of `convolve`, along all axes or along some. Other axes must have the same length in
    both arrays, or length 1 in one of them, which is then repeated.

    Parameters
    ----------
    in1 : array_like, shape (n_1, ..., n_d)
    in2 : array_like, shape (k_1, ..., k_d)
        The inputs, of the same number of dimensions.
    mode : {"full", "same", "valid"}, default "full"
        Along the axes that are convolved, as in `convolve`.
    axes : int or iterable of int, optional
        The axes to convolve; all by default.

    Returns
    -------
    ndarray
        float64 for integers; else of the dtype that the inputs have in common, at least float32.

    Raises
    ------
    ValueError
        For different numbers of dimensions, axes that do not exist or come twice, other axes that
        do not broadcast, unknown modes, and arrays of which neither contains the other in mode
        ``"valid"``.
    TypeError, ValueError
        For arrays that hold no numbers.
    fastconv.UnsupportedError
        For longdouble.

    Notes
    -----
    Unlike SciPy's function this one transforms tiles whose size suits the kernel and the caches,
    so that it serves long signals as well as `oaconvolve`, and it uses several threads. Other axes
    become groups, batch and channels of one convolution. Where that is estimated to be faster (for
    kernels about as large as the signal), and for more than three axes, whole arrays are
    transformed.

    A NaN or infinity reaches the results whose window holds it and no others. In SciPy it reaches
    all. As everywhere in fastconv, zeros outside take part in the sum, so that one in the smaller
    array, the kernel, reaches every result.

    Examples
    --------
    >>> from fastconv import signal
    >>> signal.fftconvolve([1.0, 2, 3], [0, 1, 10]).round(6) + 0.0
    array([ 0.,  1., 12., 23., 30.])
    >>> rows = [[1.0, 2, 3], [4, 5, 6]]
    >>> signal.fftconvolve(rows, [[1, -1]], mode="valid", axes=1).round(6)
    array([[1., 1.],
           [1., 1.]])
    """
    first, second = arrays_of_one_rank(in1, in2)
    if first.ndim == 0:
        return np.multiply(first, second)
    if first.size == 0 or second.size == 0:
        return np.array([])
    convolved = _checked_axes(first, second, axes)
    if mode == "valid":
        contains(*([array.shape[axis] for axis in convolved] for array in (first, second)))
    if not convolved:
        product = np.multiply(first, second)
        check_mode(mode)
        return _central(product, first.shape) if mode == "same" else product
    first, second = _floating(first), _floating(second)
    check_mode(mode)
    real = np.result_type(first.real.dtype, second.real.dtype)
    first, second = (
        array.astype(np.result_type(real, np.complex64) if array.dtype.kind == "c" else real)
        for array in (first, second)
    )
    return convolve_axes(first, second, convolved, mode)


def oaconvolve(
    in1: npt.ArrayLike,
    in2: npt.ArrayLike,
    mode: str = "full",
    axes: SupportsIndex | Iterable[SupportsIndex] | None = None,
) -> Array:
    """Convolve two arrays by transforms of tiles; the kernel is mirrored.

    The same as `fftconvolve`, which chooses the size of its tiles by cost as well. In SciPy the two
    differ: there this function is the one for arrays of very different sizes.

    Parameters
    ----------
    in1 : array_like, shape (n_1, ..., n_d)
    in2 : array_like, shape (k_1, ..., k_d)
    mode : {"full", "same", "valid"}, default "full"
    axes : int or iterable of int, optional
        As in `fftconvolve`.

    Returns
    -------
    ndarray
        As from `fftconvolve`.

    Raises
    ------
    ValueError, TypeError, fastconv.UnsupportedError
        As `fftconvolve` does.

    Examples
    --------
    >>> import numpy as np
    >>> from fastconv import signal
    >>> signal.oaconvolve(np.ones(1000), np.ones(10), mode="same")[:3].round(6)
    array([5., 6., 7.])
    """
    return fftconvolve(in1, in2, mode, axes)


def _checked_axes(first: Array, second: Array, axes: Any) -> list[int]:
    """The axes to convolve: those of length 1 broadcast like the others."""
    rank = first.ndim
    if axes is None:
        chosen = list(range(rank))
    else:
        try:
            given: Any = [axes] if isinstance(axes, Number) else axes
            chosen = [operator.index(axis) for axis in given]
        except TypeError:
            raise ValueError(f"axes must be an integer or integers, got {axes!r}") from None
        if not chosen:
            raise ValueError("axes must not be empty; give None to convolve along all axes")
        if any(not -rank <= axis < rank for axis in chosen):
            raise ValueError(f"axes must be within {-rank} and {rank - 1}, got {axes!r}")
        chosen = [axis % rank for axis in chosen]
        if len(set(chosen)) != len(chosen):
            raise ValueError(f"axes must differ from one another, got {axes!r}")
    chosen = [axis for axis in chosen if first.shape[axis] != 1 != second.shape[axis]]
    for axis, (n, k) in enumerate(zip(first.shape, second.shape, strict=True)):
        if axis not in chosen and n != k and 1 not in (n, k):
            raise ValueError(
                f"in1 and in2 must have equal lengths, or length 1, along axes that are not "
                f"convolved, got shapes {first.shape} and {second.shape} and axes {axes!r}"
            )
    return sorted(chosen)


def _floating(array: Array) -> Array:
    """Integers as float64 and halves as float32, in native byte order."""
    kind = array.dtype.kind
    if kind == "f" and array.dtype.itemsize == 2:
        return array.astype(np.float32)
    if kind not in "fc":
        return np.asarray(array, np.float64)
    if np.finfo(array.dtype).bits > 64:
        raise UnsupportedError(f"no algorithm computes in {array.dtype}; use float64 or complex128")
    return array.astype(array.dtype.newbyteorder("="), copy=False)


def _central(array: Array, shape: tuple[int, ...]) -> Array:
    """The central elements, as many as `shape` says."""
    starts = [(n - wanted) // 2 for n, wanted in zip(array.shape, shape, strict=True)]
    region = tuple(slice(s, s + n) for s, n in zip(starts, shape, strict=True))
    central: Array = array[region].copy()
    return central
