"""Convolution in any number of dimensions by sums of 3-D convolutions."""

from __future__ import annotations

from typing import Any

import numpy as np

from fastconv._functional import conv3d
from fastconv.signal._common import CONVOLUTIONS, Array, Pairs, padding_of


def window_of_full(large: Array, small: Array, windows: Pairs, **options: Any) -> Array:
    """The part of the full convolution of two arrays that `windows` gives."""
    if large.ndim <= 3:
        padding = padding_of(large.shape, small.shape, windows)
        convolution = CONVOLUTIONS[large.ndim - 1]
        part: Array = convolution(
            large[None], small[None, None], padding=padding, flip=True, **options
        )[0]
        return part
    dtype = np.int64 if large.dtype.kind in "iu" else large.dtype
    result = np.zeros([length for _, length in windows], dtype)
    _add_window_of_full(large, small, windows, result, options)
    return result


def _add_window_of_full(
    large: Array, small: Array, windows: Pairs, result: Array, options: dict[str, Any]
) -> None:
    """Add a convolution in four dimensions or more to `result`, by those in one fewer."""
    (start, length), inner = windows[0], windows[1:]
    for tap in range(small.shape[0]):
        begin, end = max(0, tap - start), min(length, large.shape[0] + tap - start)
        if begin >= end:
            continue
        sources, targets = large[begin + start - tap : end + start - tap], result[begin:end]
        if large.ndim > 4:
            for source, target in zip(sources, targets, strict=True):
                _add_window_of_full(source, small[tap], inner, target, options)
        else:
            conv3d(
                sources[:, None],
                small[tap, None, None],
                padding=padding_of(large.shape[1:], small.shape[1:], inner),
                flip=True,
                accumulate=True,
                out=targets[:, None],
                **options,
            )
