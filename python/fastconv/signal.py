"""Drop-ins for the convolution functions of `scipy.signal`, computed by fastconv.

`convolve`, `correlate`, `convolve2d` and `correlate2d` take the arguments of SciPy's functions of
the same names in SciPy 1.17, and give the same shapes, result dtypes and errors, without SciPy.

Unlike the rest of fastconv, "convolution" here is the strict one, which mirrors its second
argument, and integers wrap around in the dtype that `numpy.result_type` names.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, NoReturn, TypeAlias

import numpy as np
import numpy.typing as npt

from fastconv._core import UnsupportedError
from fastconv._functional import conv1d, conv2d, conv3d
from fastconv._typing import PaddingMode

__all__ = ["convolve", "convolve2d", "correlate", "correlate2d"]

Array: TypeAlias = npt.NDArray[Any]
Pairs: TypeAlias = tuple[tuple[int, int], ...]

_MODES = frozenset({"full", "same", "valid"})
_PADDING_MODES: dict[str, PaddingMode] = {
    "fill": "constant",
    "pad": "constant",
    "wrap": "circular",
    "circular": "circular",
    "symm": "symmetric",
    "symmetric": "symmetric",
}
_CONVOLUTIONS: tuple[Callable[..., Array], ...] = (conv1d, conv2d, conv3d)

# The sum of so many products of two 8-bit integers still fits int32.
_TAPS_WITHIN_INT32 = (2**31 - 1) // 255**2


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
        ``"auto"`` is ``"direct"``, the sum above, as long as fastconv has no transform algorithm
        for this function; ``"fft"`` is refused.

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
        dates; beyond 1-D also bool, objects, and with ``method="direct"`` float16.
    TypeError
        For 1-D arrays of objects.
    fastconv.UnsupportedError
        For ``method="fft"``, and for longdouble.

    Notes
    -----
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
    first, second = _arrays_of_one_rank(in1, in2)
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
    first, second = _arrays_of_one_rank(in1, in2)
    mirrored = second[(slice(None, None, -1),) * second.ndim]
    return _convolve(first, mirrored.conj() if second.dtype.kind == "c" else mirrored, mode, method)


def convolve2d(
    in1: npt.ArrayLike,
    in2: npt.ArrayLike,
    mode: str = "full",
    boundary: str = "fill",
    fillvalue: Any = 0,
) -> Array:
    """Convolve two 2-D arrays with a choice of boundaries; the kernel is mirrored.

    ``full[i, j] = sum_{a, b} in2[a, b] * in1[i - a, j - b]``, where `boundary` says what `in1`
    holds outside, and `mode` which part of ``full`` is returned.

    Parameters
    ----------
    in1 : array_like, shape (H, W)
        The image.
    in2 : array_like, shape (R, S)
        The kernel. In mode "valid" the two trade places if `in2` is the larger one.
    mode : {"full", "same", "valid"}, default "full"
        Sizes are those of `convolve`: ``"same"`` starts at ``((R - 1) // 2, (S - 1) // 2)``.
    boundary : {"fill", "wrap", "symm"}, default "fill"
        ``"fill"`` (or "pad"): `fillvalue` outside. ``"wrap"`` (or "circular"): periodic.
        ``"symm"`` (or "symmetric"): mirrored at the edge, which is repeated. Kernels may be wider
        than the image.
    fillvalue : scalar, default 0
        What boundary "fill" puts outside, as an element of the result's dtype.

    Returns
    -------
    ndarray
        Of dtype ``numpy.result_type(in1, in2)``. Integers wrap around.

    Raises
    ------
    ValueError
        For arrays that are not 2-D, unknown names, arrays of which neither contains the other in
        mode ``"valid"``, a `fillvalue` that does not fit the result's dtype, an empty image that
        has nothing to repeat, and the dtypes that SciPy refuses: bool, float16, and no numbers.
    TypeError
        If `fillvalue` is no number at all.
    fastconv.UnsupportedError
        For longdouble.

    Examples
    --------
    >>> from fastconv import signal
    >>> image = [[0, 1, 2], [3, 4, 5], [6, 7, 8]]
    >>> signal.convolve2d(image, [[1, 0], [0, -1]], mode="valid")
    array([[4, 4],
           [4, 4]])
    >>> signal.convolve2d(image, [[1, 1, 1]], mode="same", boundary="wrap")
    array([[ 3,  3,  3],
           [12, 12, 12],
           [21, 21, 21]])
    """
    image, kernel = _two_dimensional(in1, in2, "convolve2d")
    if mode == "valid" and not _contains(image.shape, kernel.shape):
        image, kernel = kernel, image
    return _filter2d(image, kernel, mode, boundary, fillvalue, flip=True)


def correlate2d(
    in1: npt.ArrayLike,
    in2: npt.ArrayLike,
    mode: str = "full",
    boundary: str = "fill",
    fillvalue: Any = 0,
) -> Array:
    """Cross-correlate two 2-D arrays with a choice of boundaries; `in2` is conjugated.

    ``full[i, j] = sum_{a, b} conj(in2[a, b]) * in1[i - R + 1 + a, j - S + 1 + b]``, where
    `boundary` says what `in1` holds outside, and `mode` which part of ``full`` is returned.

    Parameters
    ----------
    in1 : array_like, shape (H, W)
        The image.
    in2 : array_like, shape (R, S)
        The kernel. In mode "valid" the two trade places if `in2` is the larger one.
    mode : {"full", "same", "valid"}, default "full"
        As in `convolve2d`, except that ``"same"`` starts at ``(R // 2, S // 2)``.
    boundary : {"fill", "wrap", "symm"}, default "fill"
    fillvalue : scalar, default 0
        As in `convolve2d`.

    Returns
    -------
    ndarray
        Of dtype ``numpy.result_type(in1, in2)``. Integers wrap around.

    Raises
    ------
    ValueError, TypeError, fastconv.UnsupportedError
        As `convolve2d` does, and TypeError if `in2` holds strings or dates.

    Notes
    -----
    As in SciPy, where "valid" makes the inputs trade places the smaller array is the one that is
    conjugated, whichever it is.

    Examples
    --------
    >>> from fastconv import signal
    >>> image = [[0, 1, 2], [3, 4, 5], [6, 7, 8]]
    >>> signal.correlate2d(image, [[0, 1], [2, 3]], mode="valid")
    array([[19, 25],
           [37, 43]])
    >>> signal.correlate2d(image, [[1, -1]], mode="same", boundary="symm")
    array([[-1, -1,  0],
           [-1, -1,  0],
           [-1, -1,  0]])
    """
    image, kernel = _two_dimensional(in1, in2, "correlate2d")
    trade_places = mode == "valid" and not _contains(image.shape, kernel.shape)
    if trade_places:
        image, kernel = kernel, image
    result = _filter2d(image, kernel.conj(), mode, boundary, fillvalue, flip=False)
    return np.flip(result) if trade_places else result


def _arrays_of_one_rank(in1: npt.ArrayLike, in2: npt.ArrayLike) -> tuple[Array, Array]:
    first, second = np.asarray(in1), np.asarray(in2)
    if first.ndim != second.ndim:
        raise ValueError(
            f"in1 and in2 must have the same number of dimensions, got shapes {first.shape} and "
            f"{second.shape}; give the smaller one leading axes of length 1"
        )
    return first, second


def _convolve(first: Array, second: Array, mode: str, method: str) -> Array:
    """Convolve arrays of any common number of dimensions, with zeros outside."""
    if first.ndim == 0:
        return np.multiply(first, second)
    _check_mode(mode)
    windows = _windows(first.shape, second.shape, mode)
    if method == "fft":
        raise UnsupportedError(
            "method='fft' needs a transform algorithm, which fastconv does not have for this "
            "function; use method='direct' or 'auto', which compute the sum itself"
        )
    if method not in ("auto", "direct"):
        raise ValueError(f"method must be 'auto', 'direct' or 'fft', got {method!r}")
    dtype = _result_dtype(first, second)
    # SciPy computes bool and float16 in NumPy's 1-D routine alone, and float16 by transforms.
    if first.ndim > 1 or (mode == "same" and second.size > first.size):
        _refuse_dtype(dtype, *([np.bool_] if method == "auto" else [np.bool_, np.float16]))
    if first.size == 0 or second.size == 0:
        _check_empty(first, second, mode)
        return np.zeros([length for _, length in windows], dtype)
    large, small = (second, first) if second.size > first.size else (first, second)
    working = _working_dtype(dtype, small)
    large, small = (array.astype(working, copy=False) for array in (large, small))
    return _window_of_full(large, small, windows).astype(dtype, copy=False)


def _windows(shape1: Sequence[int], shape2: Sequence[int], mode: str) -> Pairs:
    """Where the part of the full convolution that `mode` names starts, and its length."""
    if mode == "full":
        return tuple((0, n + k - 1) for n, k in zip(shape1, shape2, strict=True))
    if mode == "same":
        return tuple(((k - 1) // 2, n) for n, k in zip(shape1, shape2, strict=True))
    _contains(shape1, shape2)
    return tuple((min(n, k) - 1, abs(n - k) + 1) for n, k in zip(shape1, shape2, strict=True))


def _window_of_full(large: Array, small: Array, windows: Pairs) -> Array:
    """The part of the full convolution of two arrays that `windows` gives."""
    if large.ndim <= 3:
        padding = _padding(large.shape, small.shape, windows)
        convolution = _CONVOLUTIONS[large.ndim - 1]
        part: Array = convolution(large[None], small[None, None], padding=padding, flip=True)[0]
        return part
    dtype = np.int64 if large.dtype.kind in "iu" else large.dtype
    result = np.zeros([length for _, length in windows], dtype)
    _add_window_of_full(large, small, windows, result)
    return result


def _add_window_of_full(large: Array, small: Array, windows: Pairs, result: Array) -> None:
    """Add a convolution in four dimensions or more to `result`, by those in one fewer."""
    (start, length), inner = windows[0], windows[1:]
    for tap in range(small.shape[0]):
        begin, end = max(0, tap - start), min(length, large.shape[0] + tap - start)
        if begin >= end:
            continue
        sources, targets = large[begin + start - tap : end + start - tap], result[begin:end]
        if large.ndim > 4:
            for source, target in zip(sources, targets, strict=True):
                _add_window_of_full(source, small[tap], inner, target)
        else:
            conv3d(
                sources[:, None],
                small[tap, None, None],
                padding=_padding(large.shape[1:], small.shape[1:], inner),
                flip=True,
                accumulate=True,
                out=targets[:, None],
            )


def _padding(large: Sequence[int], small: Sequence[int], windows: Pairs) -> Pairs:
    """The padding, negative to crop, that makes a convolution give one window of the full one."""
    return tuple(
        (k - 1 - start, start + length - n)
        for n, k, (start, length) in zip(large, small, windows, strict=True)
    )


def _filter2d(
    image: Array, kernel: Array, mode: str, boundary: str, fillvalue: Any, *, flip: bool
) -> Array:
    """Convolve (or correlate, without `flip`) a padded 2-D image."""
    _check_mode(mode)
    if boundary not in _PADDING_MODES:
        raise ValueError(f"boundary must be 'fill', 'wrap' or 'symm', got {boundary!r}")
    padding_mode = _PADDING_MODES[boundary]
    dtype = _result_dtype(image, kernel)
    fill = _fill(fillvalue if padding_mode == "constant" else 0, dtype)
    _refuse_dtype(dtype, np.bool_, np.float16)
    windows = _windows(image.shape, kernel.shape, mode)
    padding = _padding(image.shape, kernel.shape, windows)
    if not flip:
        padding = tuple((after, before) for before, after in padding)
    shape = tuple(length for _, length in windows)
    if min(shape) < 0:
        _refuse_empty(image, kernel, mode)
    if kernel.size == 0 or 0 in shape:
        return np.zeros(shape, dtype)
    if image.size == 0:
        if padding_mode != "constant":
            raise ValueError(
                f"in1 must not be empty with boundary={boundary!r}, got shape {image.shape}: there "
                f"is nothing to repeat; use boundary='fill'"
            )
        padded = [n + sum(pad) for n, pad in zip(image.shape, padding, strict=True)]
        image, padding = np.full(padded, fill, dtype), ((0, 0), (0, 0))
    working = _working_dtype(dtype, kernel)
    result: Array = conv2d(
        image.astype(working, copy=False)[None],
        kernel.astype(working, copy=False)[None, None],
        padding=padding,
        padding_mode=padding_mode,
        padding_value=fill.astype(working).item(),
        flip=flip,
    )[0]
    return result.astype(dtype, copy=False)


def _fill(fillvalue: Any, dtype: np.dtype[Any]) -> Array:
    """The fill value as a 0-d array: arrays must convert safely, and scalars somehow."""

    def converted(target: npt.DTypeLike) -> Array:
        if isinstance(fillvalue, np.ndarray):
            return fillvalue.astype(target, casting="safe")
        return np.array(fillvalue, dtype=target)

    try:
        fill = converted(dtype)
    except (TypeError, ValueError, OverflowError):
        converted(np.complex128)
        raise ValueError(
            f"fillvalue must convert to {dtype}, the dtype of the result, got {fillvalue!r}; "
            f"convert in1 to a wider dtype, or give a number that {dtype} can hold"
        ) from None
    if fill.size != 1:
        raise ValueError(f"fillvalue must be a scalar or of size 1, got size {fill.size}")
    return fill.reshape(())


def _two_dimensional(in1: npt.ArrayLike, in2: npt.ArrayLike, name: str) -> tuple[Array, Array]:
    first, second = np.asarray(in1), np.asarray(in2)
    if not first.ndim == second.ndim == 2:
        raise ValueError(
            f"in1 and in2 of {name} must be 2-D, got shapes {first.shape} and {second.shape}; "
            f"{name.removesuffix('2d')} takes any number of dimensions"
        )
    return first, second


def _contains(shape1: Sequence[int], shape2: Sequence[int]) -> bool:
    """Whether the first shape contains the second, which must be so one way or the other."""
    if all(n >= k for n, k in zip(shape1, shape2, strict=True)):
        return True
    if all(n <= k for n, k in zip(shape1, shape2, strict=True)):
        return False
    raise ValueError(
        f"mode 'valid' needs one of in1 and in2 to be at least as large as the other in every "
        f"dimension, got shapes {tuple(shape1)} and {tuple(shape2)}; use mode='same' or 'full'"
    )


def _check_mode(mode: str) -> None:
    if mode not in _MODES:
        raise ValueError(f"mode must be 'full', 'same' or 'valid', got {mode!r}")


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
        _refuse_empty(first, second, mode)


def _refuse_empty(first: Array, second: Array, mode: str) -> NoReturn:
    shapes = f"{first.shape} and {second.shape}"
    raise ValueError(f"in1 and in2 must not be empty in mode {mode!r}, got shapes {shapes}")


def _result_dtype(first: Array, second: Array) -> np.dtype[Any]:
    got = f"got dtypes {first.dtype} and {second.dtype}"
    if any(array.dtype.kind not in "biufc" for array in (first, second)):
        kind = TypeError if first.ndim == 1 and "O" in (first.dtype, second.dtype) else ValueError
        raise kind(f"in1 and in2 must be arrays of numbers, {got}; convert with astype(float)")
    common: np.dtype[Any] = np.result_type(first.dtype, second.dtype)
    if common.kind in "fc" and np.finfo(common).bits > 64:
        raise UnsupportedError(
            f"no algorithm computes in {common}, {got}; use float64 or complex128"
        )
    return common


def _working_dtype(dtype: np.dtype[Any], kernel: Array) -> np.dtype[Any]:
    """The dtype to compute in, such that converting the result to `dtype` wraps as it should."""
    if dtype.kind in "biu" and dtype.itemsize == 1:
        fits = kernel.size <= _TAPS_WITHIN_INT32 and kernel.ndim <= 3
        narrow = np.dtype(np.uint8) if dtype.kind == "b" else dtype
        return narrow if fits else np.dtype(np.int16)
    if dtype == np.uint64:
        return np.dtype(np.int64)
    # Sums over leading axes would be rounded once for each tap.
    return np.dtype(np.float32) if dtype == np.float16 and kernel.ndim > 3 else dtype


def _refuse_dtype(dtype: np.dtype[Any], *refused: type[np.generic]) -> None:
    if dtype.type in refused:
        raise ValueError(
            f"in1 and in2 must not have {dtype} as their common dtype here, as in SciPy; convert "
            f"one of them to {'uint8' if dtype.kind == 'b' else 'float32'}"
        )
