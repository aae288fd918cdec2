"""Convolution of floating-point arrays by transforms, along some of their axes.

The axes that are convolved become spatial ones of a call with ``algorithm="fft"``. Of the others,
those that both arrays have become groups, those that the longer one has alone images of a batch,
and those that the shorter one has alone output channels.

Such a call transforms tiles. Where the kernel is about as large as what it is convolved with, or
larger than the largest tile, or has more than three axes, whole arrays are transformed instead.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from fastconv import _core
from fastconv.signal import _spectra
from fastconv.signal._common import CONVOLUTIONS, Array, Pairs, padding_of, windows_of
from fastconv.signal._spectra import fast_lengths


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
    layer = _Layer(large, small, axes)
    by_plan = layer.estimated_seconds(windows) if len(axes) <= 3 else math.inf
    arrays = layer.batch * layer.groups + layer.filters + layer.batch * layer.filters
    dtype = np.result_type(large.dtype, small.dtype)
    lengths = fast_lengths(layer.full_sizes(), dtype.kind != "c")
    if by_plan <= _spectra.estimated_seconds(lengths, arrays, dtype):
        return _by_plan(large, small, axes, windows)
    return _by_whole_transforms(large, small, axes, windows)


class _Layer:
    """What the axes of two arrays are to a convolution layer."""

    def __init__(self, large: Array, small: Array, axes: Sequence[int]) -> None:
        others = [axis for axis in range(large.ndim) if axis not in axes]
        self.images = [axis for axis in others if small.shape[axis] == 1]
        self.shared = [axis for axis in others if 1 < large.shape[axis] == small.shape[axis]]
        self.kernels = [axis for axis in others if large.shape[axis] == 1 < small.shape[axis]]
        self.order = [*self.images, *self.shared, *self.kernels, *axes]
        self.batch = math.prod(large.shape[axis] for axis in self.images)
        self.groups = math.prod(large.shape[axis] for axis in self.shared)
        self.filters = self.groups * math.prod(small.shape[axis] for axis in self.kernels)
        self.spatial = [large.shape[axis] for axis in axes]
        self.taps = [small.shape[axis] for axis in axes]
        self.dtype = np.result_type(large.dtype, small.dtype)

    def full_sizes(self) -> list[int]:
        return [n + k - 1 for n, k in zip(self.spatial, self.taps, strict=True)]

    def input_shape(self) -> list[int]:
        return [self.batch, self.groups, *self.spatial]

    def weight_shape(self) -> list[int]:
        return [self.filters, 1, *self.taps]

    def estimated_seconds(self, windows: Pairs) -> float:
        """Of transforms of tiles; infinite where there are none for the kernel."""
        padding = padding_of(self.spatial, self.taps, windows)
        shapes = self.input_shape(), self.weight_shape()
        seconds = _core.estimate_convolution(
            len(self.taps), *shapes, self.dtype, padding, self.groups
        )
        return seconds.get("fft", math.inf)


def _by_plan(large: Array, small: Array, axes: Sequence[int], windows: Pairs) -> Array:
    layer = _Layer(large, small, axes)
    result = CONVOLUTIONS[len(axes) - 1](
        large.transpose(layer.order).reshape(layer.input_shape()),
        small.transpose(layer.order).reshape(layer.weight_shape()),
        padding=padding_of(layer.spatial, layer.taps, windows),
        groups=layer.groups,
        flip=True,
        algorithm="fft",
    )
    shape = [
        *(large.shape[axis] for axis in [*layer.images, *layer.shared]),
        *(small.shape[axis] for axis in layer.kernels),
        *(length for _, length in windows),
    ]
    return np.ascontiguousarray(result.reshape(shape).transpose(np.argsort(layer.order)))


def _by_whole_transforms(large: Array, small: Array, axes: Sequence[int], windows: Pairs) -> Array:
    """One transform of everything; what is not finite is left out and added to its windows."""
    finite = [np.isfinite(array) for array in (large, small)]
    sizes = [large.shape[axis] + small.shape[axis] - 1 for axis in axes]
    last = range(-len(axes), 0)
    moved = [
        np.moveaxis(array if where.all() else np.where(where, array, 0), axes, last)
        for array, where in zip((large, small), finite, strict=True)
    ]
    lengths = fast_lengths(sizes, large.dtype.kind != "c")
    full = np.moveaxis(_spectra.convolve(moved[0], moved[1], lengths), last, axes)
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
    return np.ascontiguousarray(full[tuple(region)])


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
