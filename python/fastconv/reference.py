"""Convolution written out as its definition, in NumPy: short, slow and obviously right.

Every option of the compiled functions has its meaning here: this is the specification that people
read and the answer that the tests compare with. The number of spatial axes is the weight's, so
that one function serves 1-D, 2-D and 3-D. Arithmetic happens in the widest type of its kind
(``float64``, ``complex128``, or ``int64`` that wraps), and the result is rounded once.
Inside, arrays are always ``(N, C, *spatial)``.
"""

from __future__ import annotations

import math
import operator
from collections.abc import Callable, Iterator, Sequence
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt

__all__ = ["conv", "conv_bias", "conv_input", "conv_transpose", "conv_weight"]

Array: TypeAlias = npt.NDArray[Any]
Pairs: TypeAlias = Sequence[tuple[int, ...]]

_ACTIVATIONS: dict[str, Callable[[Array], Array]] = {
    "relu": lambda x: np.maximum(x, 0),
    "leaky_relu": lambda x: np.where(x < 0, 0.01 * x, x),
    "relu6": lambda x: np.clip(x, 0, 6),
    "silu": lambda x: x / (1 + np.exp(-x)),
    "gelu": lambda x: x * (1 + np.vectorize(math.erf, otypes=[float])(x / math.sqrt(2))) / 2,
    "sigmoid": lambda x: 1 / (1 + np.exp(-x)),
    "tanh": np.tanh,
}


@np.errstate(over="ignore", invalid="ignore")
def conv(
    input: npt.ArrayLike,
    weight: npt.ArrayLike,
    bias: npt.ArrayLike | None = None,
    stride: Any = 1,
    padding: Any = 0,
    dilation: Any = 1,
    groups: int = 1,
    *,
    layout: str | None = None,
    padding_mode: str = "zeros",
    padding_value: complex = 0,
    flip: bool = False,
    activation: str | None = None,
    accumulate: bool = False,
    out: Array | None = None,
) -> Array:
    """Cross-correlate (with ``flip=True``: convolve) a batch of multi-channel arrays.

    ``out[n, k, o] = bias[k] + sum_{c, a} weight[k, c, a] * padded[n, c, o*stride + a*dilation]``

    Parameters
    ----------
    input : array_like, shape (N, C, *spatial) or (C, *spatial)
        Or ``(N, *spatial, C)`` or ``(*spatial, C)`` in a channels-last layout.
    weight : array_like, shape (K, C/groups, *kernel)
        The same in every layout.
    bias : array_like, shape (K,), optional
    stride, dilation : int or tuple of int
    padding : int, tuple of int, tuple of (before, after), or str
        ``"valid"`` adds nothing, ``"full"`` ``dilation*(kernel-1)`` on both sides, ``"same"`` what
        makes the output ``ceil(n/stride)`` long, the odd element after, and ``"same_lower"``
        likewise with the odd element before. Negative amounts crop.
    groups : int
        The g-th ``K/groups`` output channels see the g-th ``C/groups`` input channels alone.
    layout : str, optional
        ``"NCW"``, ``"NCHW"``, ``"NCDHW"`` (the default) or ``"NWC"``, ``"NHWC"``, ``"NDHWC"``.
    padding_mode : {"zeros", "constant", "reflect", "symmetric", "replicate", "circular"}
        As in `numpy.pad`, which calls the last two "edge" and "wrap".
    padding_value : scalar, for mode "constant"
    flip : bool
        Mirror the kernel in every spatial axis.
    activation : str, optional
        "relu", "leaky_relu" (slope 0.01), "relu6", "silu", "gelu" (the erf one), "sigmoid", "tanh".
    accumulate : bool
        Compute ``activation(convolution + bias + out)``.
    out : ndarray, optional
        Where to write the result.

    Returns
    -------
    ndarray, shape (N, K, *output) or (K, *output)
        In `layout`. Of dtype ``int32`` if all arguments are 8-bit integers or bools, ``int64`` if
        all are integers and one is wider, and otherwise what `numpy.result_type` gives.

    Raises
    ------
    ValueError, TypeError
        For sizes that do not fit together, for dtypes that are not numbers.
    OverflowError
        If a result of 8-bit integers does not fit ``int32``.

    Notes
    -----
    Sizes are explained in Dumoulin and Visin, *A guide to convolution arithmetic for deep
    learning*, arXiv:1603.07285.

    Examples
    --------
    >>> from fastconv import reference
    >>> reference.conv([[[1, 2, 3, 4]]], [[[1, 10]]], padding=1)
    array([[[10, 21, 32, 43,  4]]])
    """
    x, w, b, dtype = _operands(input, weight, bias)
    rank = w.ndim - 2
    x, batched = _channels_first(x, rank, layout)
    w = _mirrored(w, flip)
    pads = _padding_amounts(padding, x.shape[2:], w.shape[2:], stride, dilation)
    padded = _pad(x, pads, padding_mode, padding_value)
    sizes = _output_sizes(padded.shape[2:], w.shape[2:], stride, dilation)
    result = np.zeros((x.shape[0], w.shape[0], *sizes), x.dtype)
    for outputs, inputs in _groups(w.shape[0], x.shape[1], w.shape[1], groups):
        for tap, window in _taps(padded[:, inputs], w.shape[2:], sizes, stride, dilation):
            result[:, outputs] += np.einsum("nc...,kc->nk...", window, w[outputs][tap])
    result = _original_layout(result + b, batched, rank, layout)
    return _store(result, dtype, activation, accumulate, out)


@np.errstate(over="ignore", invalid="ignore")
def conv_transpose(
    input: npt.ArrayLike,
    weight: npt.ArrayLike,
    bias: npt.ArrayLike | None = None,
    stride: Any = 1,
    padding: Any = 0,
    output_padding: Any = 0,
    groups: int = 1,
    dilation: Any = 1,
    *,
    layout: str | None = None,
    flip: bool = False,
    activation: str | None = None,
    accumulate: bool = False,
    out: Array | None = None,
) -> Array:
    """Transposed convolution: each input element adds its scaled kernel to the output.

    ``full[n, k, i*stride + a*dilation] += weight[c, k, a] * input[n, c, i]``, of which `padding`
    elements are cut away on both sides, and `output_padding` ones are added at the end. This is
    the transpose of the linear map :func:`conv`; unlike :func:`conv_input` it does not conjugate.

    Parameters
    ----------
    input : array_like, shape (N, C, *spatial) or (C, *spatial)
    weight : array_like, shape (C, K/groups, *kernel)
    bias : array_like, shape (K,), optional
    padding : int, tuple of int, or tuple of (before, after)
        Negative padding adds zeros.
    output_padding : int or tuple of int
        Less than ``max(stride, dilation)``.
    stride, dilation, groups, layout, flip, activation, accumulate, out
        As in :func:`conv`; so are the errors.

    Returns
    -------
    ndarray, shape (N, K, *output) or (K, *output)
        ``output = (n-1)*stride - (before+after) + dilation*(kernel-1) + output_padding + 1``.

    Examples
    --------
    >>> from fastconv import reference
    >>> reference.conv_transpose([[[1, 2]]], [[[1, 1, 1]]], stride=2)
    array([[[1, 1, 3, 2, 2]]])
    """
    x, w, b, dtype = _operands(input, weight, bias)
    rank = w.ndim - 2
    x, batched = _channels_first(x, rank, layout)
    w = _mirrored(w, flip)
    strides, dilations = _per_axis(stride, rank, "stride"), _per_axis(dilation, rank, "dilation")
    extras = _per_axis(output_padding, rank, "output_padding")
    if any(not 0 <= e < max(s, d) for e, s, d in zip(extras, strides, dilations, strict=True)):
        raise ValueError(f"output_padding must be less than max(stride, dilation), got {extras}")
    if isinstance(padding, str):
        raise ValueError(f"padding of a transposed convolution must be numbers, got {padding!r}")
    pads = _padding_amounts(padding, x.shape[2:], w.shape[2:], stride, dilation)
    spans = [
        (n - 1) * s + d * (k - 1) + 1
        for n, s, d, k in zip(x.shape[2:], strides, dilations, w.shape[2:], strict=True)
    ]
    full = np.zeros((x.shape[0], w.shape[1] * groups, *spans), x.dtype)
    for inputs, outputs in _groups(w.shape[0], full.shape[1], w.shape[1], groups):
        for tap, window in _taps(full[:, outputs], w.shape[2:], x.shape[2:], stride, dilation):
            window += np.einsum("nc...,ck->nk...", x[:, inputs], w[inputs][tap])
    cropping = [(-before, e - after) for (before, after), e in zip(pads, extras, strict=True)]
    result = _pad(full, cropping, "zeros", 0) + b
    result = _original_layout(result, batched, rank, layout)
    return _store(result, dtype, activation, accumulate, out)


@np.errstate(over="ignore", invalid="ignore")
def conv_input(
    input_size: Sequence[int],
    weight: npt.ArrayLike,
    grad_output: npt.ArrayLike,
    stride: Any = 1,
    padding: Any = 0,
    dilation: Any = 1,
    groups: int = 1,
    *,
    layout: str | None = None,
    padding_mode: str = "zeros",
    padding_value: complex = 0,
    flip: bool = False,
    out: Array | None = None,
) -> Array:
    """Gradient of :func:`conv` with respect to its input.

    ``grad_padded[n, c, o*stride + a*dilation] += conj(weight[k, c, a]) * grad_output[n, k, o]``;
    then each padded element adds its gradient to the input element that it is a copy of.

    Parameters
    ----------
    input_size : sequence of int
        Shape of the input, in `layout`.
    weight : array_like, shape (K, C/groups, *kernel)
    grad_output : array_like, shape (N, K, *output) or (K, *output)
    stride, padding, dilation, groups, layout, padding_mode, padding_value, flip, out
        As in :func:`conv`; so are the errors. A constant padding has no influence.

    Returns
    -------
    ndarray, shape input_size

    Examples
    --------
    >>> from fastconv import reference
    >>> reference.conv_input((1, 1, 3), [[[1, 10]]], [[[1, 2, 3, 4]]], padding=1)
    array([[[12, 23, 34]]])
    """
    g, w, _, dtype = _operands(grad_output, weight)
    rank = w.ndim - 2
    g, batched = _channels_first(g, rank, layout)
    w = np.conj(_mirrored(w, flip))
    x = _channels_first(np.broadcast_to(g.dtype.type(0), tuple(input_size)), rank, layout)[0]
    pads = _padding_amounts(padding, x.shape[2:], w.shape[2:], stride, dilation)
    padded = np.zeros_like(_pad(x, pads, "zeros", 0))
    for outputs, inputs in _groups(w.shape[0], x.shape[1], w.shape[1], groups):
        for tap, window in _taps(padded[:, inputs], w.shape[2:], g.shape[2:], stride, dilation):
            window += np.einsum("nk...,kc->nc...", g[:, outputs], w[outputs][tap])
    result = _pad_transposed(padded, x.shape[2:], pads, padding_mode)
    return _store(_original_layout(result, batched, rank, layout), dtype, None, False, out)


@np.errstate(over="ignore", invalid="ignore")
def conv_weight(
    input: npt.ArrayLike,
    weight_size: Sequence[int],
    grad_output: npt.ArrayLike,
    stride: Any = 1,
    padding: Any = 0,
    dilation: Any = 1,
    groups: int = 1,
    *,
    layout: str | None = None,
    padding_mode: str = "zeros",
    padding_value: complex = 0,
    flip: bool = False,
    out: Array | None = None,
) -> Array:
    """Gradient of :func:`conv` with respect to its weight.

    ``grad_weight[k, c, a] = sum_{n, o} conj(padded[n, c, o*stride + a*dilation]) * grad[n, k, o]``

    Parameters
    ----------
    input : array_like, shape (N, C, *spatial) or (C, *spatial)
    weight_size : sequence of int
        Shape of the weight, ``(K, C/groups, *kernel)``.
    grad_output : array_like, shape (N, K, *output) or (K, *output)
    stride, padding, dilation, groups, layout, padding_mode, padding_value, flip, out
        As in :func:`conv`; so are the errors.

    Returns
    -------
    ndarray, shape weight_size

    Examples
    --------
    >>> from fastconv import reference
    >>> reference.conv_weight([[[1, 2, 3]]], (1, 1, 2), [[[1, 10]]])
    array([[[21, 32]]])
    """
    x, g, _, dtype = _operands(input, grad_output)
    rank = len(weight_size) - 2
    x, g = _channels_first(x, rank, layout)[0], _channels_first(g, rank, layout)[0]
    summed = (0, *range(2, rank + 2))
    result = np.zeros(weight_size, x.dtype)
    pads = _padding_amounts(padding, x.shape[2:], weight_size[2:], stride, dilation)
    padded = np.conj(_pad(x, pads, padding_mode, padding_value))
    for outputs, inputs in _groups(weight_size[0], x.shape[1], weight_size[1], groups):
        taps = _taps(padded[:, inputs], weight_size[2:], g.shape[2:], stride, dilation)
        for tap, window in taps:
            result[outputs][tap] = np.tensordot(g[:, outputs], window, (summed, summed))
    return _store(_mirrored(result, flip), dtype, None, False, out)


def conv_bias(
    grad_output: npt.ArrayLike, rank: int, *, layout: str | None = None, out: Array | None = None
) -> Array:
    """Gradient of :func:`conv` with respect to its bias: the sum over all but the channels.

    Parameters
    ----------
    grad_output : array_like, shape (N, K, *output) or (K, *output)
    rank : int, the number of spatial axes
    layout, out
        As in :func:`conv`; so are the errors.

    Returns
    -------
    ndarray, shape (K,)

    Examples
    --------
    >>> from fastconv import reference
    >>> reference.conv_bias([[[1, 2], [3, 4]]], 1)
    array([3, 7])
    """
    g, _, _, dtype = _operands(grad_output, grad_output)
    g = _channels_first(g, rank, layout)[0]
    return _store(g.sum(axis=(0, *range(2, rank + 2))), dtype, None, False, out)


def _result_dtype(arrays: Sequence[Array]) -> np.dtype[Any]:
    """Return int32 for 8-bit integers, int64 for wider ones, and NumPy's promotion otherwise."""
    dtypes = [array.dtype for array in arrays]
    for dtype in dtypes:
        if dtype.char in "gG":
            raise NotImplementedError(f"cannot convolve arrays of dtype {dtype}; use float64")
        if dtype.kind not in "biufc" and dtype.name != "bfloat16":
            raise TypeError(f"cannot convolve arrays of dtype {dtype}")
    if all(dtype.kind in "biu" for dtype in dtypes):
        return np.dtype(np.int32 if all(dtype.itemsize == 1 for dtype in dtypes) else np.int64)
    return np.result_type(*(dtype.newbyteorder("=") for dtype in dtypes))


def _padding_amounts(
    padding: Any, sizes: Sequence[int], kernel: Sequence[int], stride: Any, dilation: Any
) -> Pairs:
    """Return (before, after) for each axis, from any form of ``padding=``."""
    rank = len(kernel)
    strides, dilations = _per_axis(stride, rank, "stride"), _per_axis(dilation, rank, "dilation")
    reaches = [d * (k - 1) for d, k in zip(dilations, kernel, strict=True)]
    if isinstance(padding, str):
        if padding not in ("valid", "full", "same", "same_lower"):
            raise ValueError(f"padding must be valid, full, same or same_lower, got {padding!r}")
        if padding in ("valid", "full"):
            return [(reach, reach) if padding == "full" else (0, 0) for reach in reaches]
        totals = [
            max(0, (math.ceil(n / s) - 1) * s + reach + 1 - n)
            for n, s, reach in zip(sizes, strides, reaches, strict=True)
        ]
        extra = 1 if padding == "same_lower" else 0
        return [((total + extra) // 2, (total + 1 - extra) // 2) for total in totals]
    pairs = padding if isinstance(padding, Sequence) else (padding,) * rank
    if len(pairs) != rank:
        raise ValueError(f"padding must have {rank} entries, got {padding!r}")
    return [_per_axis(pair, 2, "padding") for pair in pairs]


def _output_sizes(
    padded: Sequence[int], kernel: Sequence[int], stride: Any, dilation: Any
) -> tuple[int, ...]:
    """Return ``floor((padded - dilation*(kernel-1) - 1) / stride) + 1`` for each axis."""
    rank = len(kernel)
    strides, dilations = _per_axis(stride, rank, "stride"), _per_axis(dilation, rank, "dilation")
    spans = [d * (k - 1) + 1 for d, k in zip(dilations, kernel, strict=True)]
    if min(kernel) < 1 or any(n < span for n, span in zip(padded, spans, strict=True)):
        raise ValueError(f"weight spans {spans}, the padded input only {list(padded)}")
    return tuple((n - span) // s + 1 for n, span, s in zip(padded, spans, strides, strict=True))


def _per_axis(value: Any, rank: int, name: str) -> tuple[int, ...]:
    values = tuple(value) if isinstance(value, Sequence) else (value,) * rank
    if len(values) != rank:
        raise ValueError(f"{name} must be an integer or {rank} of them, got {value!r}")
    if any(isinstance(v, (bool, np.bool_)) for v in values):
        raise TypeError(f"{name} must be an integer, got {value!r}")
    return tuple(operator.index(v) for v in values)


def _operands(
    first: npt.ArrayLike, second: npt.ArrayLike, bias: npt.ArrayLike | None = None
) -> tuple[Array, Array, Array, np.dtype[Any]]:
    """Return the operands in the widest type of their kind, and the dtype to round to."""
    arrays = [np.asarray(a) for a in (first, second, bias) if a is not None]
    dtype = _result_dtype(arrays)
    wide = {"i": np.int64, "c": np.complex128}.get(dtype.kind, np.float64)
    arrays = [array.astype(wide) for array in arrays]
    b = np.zeros(1, wide) if bias is None else arrays[2]
    return arrays[0], arrays[1], b.reshape((-1,) + (1,) * (arrays[1].ndim - 2)), dtype


def _is_channels_last(rank: int, layout: str | None) -> bool:
    spatial = "DHW"[3 - rank :]
    if layout not in (None, f"NC{spatial}", f"N{spatial}C"):
        raise ValueError(f"layout must be NC{spatial} or N{spatial}C, got {layout!r}")
    return layout == f"N{spatial}C"


def _channels_first(array: Array, rank: int, layout: str | None) -> tuple[Array, bool]:
    """View `array` as (N, C, *spatial), and say whether it had its N."""
    if array.ndim not in (rank + 1, rank + 2):
        raise ValueError(f"expected an array of {rank + 1} or {rank + 2} axes, got {array.ndim}")
    batched = array.ndim == rank + 2
    array = array if batched else array[np.newaxis]
    return (np.moveaxis(array, -1, 1) if _is_channels_last(rank, layout) else array), batched


def _original_layout(array: Array, batched: bool, rank: int, layout: str | None) -> Array:
    array = np.moveaxis(array, 1, -1) if _is_channels_last(rank, layout) else array
    return array if batched else array[0]


def _mirrored(weight: Array, flip: bool) -> Array:
    return np.flip(weight, axis=tuple(range(2, weight.ndim))) if flip else weight


def _source_index(size: int, pair: tuple[int, ...], mode: str) -> npt.NDArray[np.intp]:
    """For each element of a padded axis, return the index it is a copy of, -1 for a constant."""
    position = np.arange(-pair[0], size + pair[1])
    if mode == "replicate":
        return np.clip(position, 0, size - 1)
    if mode == "circular":
        return position % size
    if mode == "symmetric":
        return np.minimum(position % (2 * size), -(position + 1) % (2 * size))
    if mode == "reflect":
        period = max(2 * (size - 1), 1)
        return np.minimum(position % period, -position % period)
    if mode not in ("zeros", "constant"):
        raise ValueError(f"padding_mode is unknown, got {mode!r}")
    return np.where((position >= 0) & (position < size), position, -1)


def _pad(array: Array, pads: Pairs, mode: str, value: complex) -> Array:
    for axis, pair in enumerate(pads, start=2):
        index = _source_index(array.shape[axis], pair, mode)
        array = np.take(array, index, axis=axis, mode="wrap")
        array[(slice(None),) * axis + (index < 0,)] = value if mode == "constant" else 0
    return array


def _pad_transposed(padded: Array, sizes: Sequence[int], pads: Pairs, mode: str) -> Array:
    """Add each padded element to the element that :func:`_pad` copied it from."""
    for axis, (size, pair) in enumerate(zip(sizes, pads, strict=True), start=2):
        index = _source_index(size, pair, mode)
        result = np.zeros((*padded.shape[:axis], size, *padded.shape[axis + 1 :]), padded.dtype)
        inside = np.compress(index >= 0, padded, axis=axis)
        target: Any = (slice(None),) * axis + (index[index >= 0],)
        np.add.at(result, target, inside)
        padded = result
    return padded


def _groups(outputs: int, inputs: int, depth: int, groups: int) -> Iterator[tuple[slice, slice]]:
    """Yield the output channels of each group, with the `depth` input channels that they see."""
    if groups < 1 or outputs % groups or inputs != depth * groups:
        raise ValueError(f"groups={groups} does not fit {inputs} to {outputs} channels")
    for g in range(groups):
        size = outputs // groups
        yield slice(g * size, (g + 1) * size), slice(g * depth, (g + 1) * depth)


def _taps(
    padded: Array, kernel: Sequence[int], output: Sequence[int], stride: Any, dilation: Any
) -> Iterator[tuple[tuple[Any, ...], Array]]:
    """Yield each kernel element as an index, with the view of `padded` that it scales."""
    rank = len(kernel)
    strides, dilations = _per_axis(stride, rank, "stride"), _per_axis(dilation, rank, "dilation")
    for tap in np.ndindex(*kernel):
        window = [
            slice(a * d, a * d + (o - 1) * s + 1, s)
            for a, d, s, o in zip(tap, dilations, strides, output, strict=True)
        ]
        yield (slice(None), slice(None), *tap), padded[(slice(None),) * 2 + tuple(window)]


def _store(
    result: Array, dtype: np.dtype[Any], activation: str | None, accumulate: bool, out: Array | None
) -> Array:
    if accumulate:
        if out is None:
            raise ValueError("accumulate=True adds to out, and needs out=")
        result = result + out.astype(result.dtype)
    if activation is not None:
        result = _ACTIVATIONS[activation](result)
    if dtype == np.int32 and np.any((result < -(2**31)) | (result >= 2**31)):
        raise OverflowError("a result does not fit int32; convert an argument to int16")
    if out is None:
        return result.astype(dtype, order="C")
    out[...] = result.astype(dtype)
    return out
