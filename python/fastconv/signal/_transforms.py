"""Convolution of floating-point arrays by transforms, along some of their axes.

The axes that are convolved become spatial ones of a call with ``algorithm="fft"``. Of the others,
those that both arrays have become groups, those that the longer one has alone images of a batch,
and those that the shorter one has alone output channels.

NumPy's transforms take over where there are more than three axes to convolve, or where a kernel is
longer than the longest transform of fastconv: those are the size of the whole result, and in double
precision.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from fastconv._core import UnsupportedError
from fastconv.signal._common import CONVOLUTIONS, Array, Pairs, padding_of, windows_of


def convolve_axes(first: Array, second: Array, axes: Sequence[int], mode: str) -> Array:
    """Convolve arrays of one precision along `axes`, of length 2 or more; the others broadcast."""
    if mode == "same":
        # As SciPy does it: the central ones of what broadcasting repeats.
        for axis in range(first.ndim):
            if first.shape[axis] == 1 < second.shape[axis]:
                second = second.take([(second.shape[axis] - 1) // 2], axis)
    sizes1, sizes2 = ([array.shape[axis] for axis in axes] for array in (first, second))
    windows = windows_of(sizes1, sizes2, mode)
    large, small = first, second
    if math.prod(sizes2) > math.prod(sizes1):
        large, small = second, first
    if (large.dtype.kind == "c") == (small.dtype.kind == "c"):
        return _window(large, small, axes, windows)
    # Real and imaginary parts lie along one more axis.
    dtype = np.result_type(large.dtype, small.dtype)
    part_axis = [_parts(x) if x.dtype.kind == "c" else x[..., None] for x in (large, small)]
    joined: Array = _window(part_axis[0], part_axis[1], axes, windows).view(dtype)[..., 0]
    return joined


def _parts(array: Array) -> Array:
    """Complex numbers as pairs along a new last axis."""
    contiguous = np.ascontiguousarray(array)
    return contiguous.reshape([*array.shape, 1]).view(contiguous.real.dtype)


def _window(large: Array, small: Array, axes: Sequence[int], windows: Pairs) -> Array:
    if len(axes) <= 3:
        try:
            return _by_plan(large, small, axes, windows)
        except UnsupportedError:  # the kernel is too long
            pass
    return _by_whole_transforms(large, small, axes, windows)


def _by_plan(large: Array, small: Array, axes: Sequence[int], windows: Pairs) -> Array:
    others = [axis for axis in range(large.ndim) if axis not in axes]
    images = [axis for axis in others if small.shape[axis] == 1]
    shared = [axis for axis in others if 1 < large.shape[axis] == small.shape[axis]]
    kernels = [axis for axis in others if large.shape[axis] == 1 < small.shape[axis]]
    order = [*images, *shared, *kernels, *axes]
    groups = math.prod(large.shape[axis] for axis in shared)
    multiplier = math.prod(small.shape[axis] for axis in kernels)
    spatial = [large.shape[axis] for axis in axes]
    taps = [small.shape[axis] for axis in axes]
    batch = math.prod(large.shape[axis] for axis in images)
    result = CONVOLUTIONS[len(axes) - 1](
        large.transpose(order).reshape([batch, groups, *spatial]),
        small.transpose(order).reshape([groups * multiplier, 1, *taps]),
        padding=padding_of(spatial, taps, windows),
        groups=groups,
        flip=True,
        algorithm="fft",
    )
    shape = [
        *(large.shape[axis] for axis in [*images, *shared]),
        *(small.shape[axis] for axis in kernels),
        *(length for _, length in windows),
    ]
    return np.ascontiguousarray(result.reshape(shape).transpose(np.argsort(order)))


def _by_whole_transforms(large: Array, small: Array, axes: Sequence[int], windows: Pairs) -> Array:
    """One transform of everything; what is not finite is left out and added to its windows."""
    dtype = np.result_type(large.dtype, small.dtype)
    wide = np.complex128 if dtype.kind == "c" else np.float64
    large, small = large.astype(wide, copy=False), small.astype(wide, copy=False)
    finite = [np.isfinite(array) for array in (large, small)]
    sizes = [large.shape[axis] + small.shape[axis] - 1 for axis in axes]
    lengths = [_next_fast_length(size) for size in sizes]
    forward, inverse = (
        (np.fft.fftn, np.fft.ifftn)
        if dtype.kind == "c"
        else (
            np.fft.rfftn,
            np.fft.irfftn,
        )
    )
    spectra = [
        forward(array if where.all() else np.where(where, array, 0), s=lengths, axes=axes)
        for array, where in zip((large, small), finite, strict=True)
    ]
    full = inverse(spectra[0] * spectra[1], s=lengths, axes=axes)
    region = [slice(None)] * full.ndim
    for axis, size in zip(axes, sizes, strict=True):
        region[axis] = slice(size)
    full = full[tuple(region)]
    with np.errstate(invalid="ignore"):
        for at in np.argwhere(~finite[0]):
            _add_products(full, large, at, small, axes)
        for at in np.argwhere(~finite[1]):
            _add_products(full, small, at, large, axes, with_zeros=True)
    for axis, (start, length) in zip(axes, windows, strict=True):
        region[axis] = slice(start, start + length)
    return np.ascontiguousarray(full[tuple(region)]).astype(dtype, copy=False)


def _add_products(
    full: Array,
    array: Array,
    at: Array,
    other: Array,
    axes: Sequence[int],
    with_zeros: bool = False,
) -> None:
    """Add those of one element and another array, and of it and the zeros around that array."""
    everything = slice(None)
    targets, inside, sources = ([everything] * full.ndim for _ in range(3))
    for axis in range(full.ndim):
        if axis in axes:
            inside[axis] = slice(at[axis], at[axis] + other.shape[axis])
        elif array.shape[axis] > 1:
            targets[axis] = slice(at[axis], at[axis] + 1)
            if other.shape[axis] > 1:
                sources[axis] = targets[axis]
    value = array[tuple(at)]
    target = full[tuple(targets)]
    products = np.full_like(target, value * 0 if with_zeros else 0)
    products[tuple(inside)] = value * other[tuple(sources)]
    target += products


def _next_fast_length(length: int) -> int:
    """The next product of 2, 3 and 5, which NumPy's transforms are fast for."""
    best = 1 << (length - 1).bit_length()
    five = 1
    while five < best:
        three = five
        while three < best:
            two = three << max(0, (-(-length // three) - 1).bit_length())
            best = min(best, two)
            three *= 3
        five *= 5
    return best
