"""Sizes around the edges of tiles, for every algorithm, pass, layout and precision."""

from __future__ import annotations

import numpy as np
import pytest

import fastconv
from comparison import PADDING_MODES, PASSES, check_pass, random_array, to_layout
from fastconv import reference

# One below, at and above every width of a vector register, of a few of them, and twice that.
EDGES = (1, 2, 3, 4, 5, 7, 8, 9, 15, 16, 17, 24, 25, 31, 33, 47, 48, 49, 97)

pytestmark = [
    pytest.mark.parametrize("algorithm", fastconv.algorithms()),
    pytest.mark.parametrize("dtype", [np.float32, np.float64]),
    pytest.mark.parametrize("layout", ["NCHW", "NHWC"]),
    pytest.mark.parametrize("name", PASSES),
]


def check_shape(rng, name, layout, dtype, algorithm, shape, weight_shape, **options):
    x = to_layout(random_array(rng, shape, dtype), layout == "NHWC")
    w = random_array(rng, weight_shape, dtype)
    grad_output = random_array(rng, reference.conv(x, w, layout=layout, **options).shape, dtype)
    check_pass(name, x, w, grad_output, layout=layout, algorithm=algorithm, **options)


@pytest.mark.parametrize("channels", EDGES)
def test_input_channels(rng, name, layout, dtype, algorithm, channels):
    shapes = (2, channels, 5, 7), (3, channels, 3, 3)
    check_shape(rng, name, layout, dtype, algorithm, *shapes, padding=1)


@pytest.mark.parametrize("channels", EDGES)
def test_output_channels(rng, name, layout, dtype, algorithm, channels):
    shapes = (2, 3, 5, 7), (channels, 3, 3, 3)
    check_shape(rng, name, layout, dtype, algorithm, *shapes, padding=1)


@pytest.mark.parametrize("width", EDGES)
def test_widths(rng, name, layout, dtype, algorithm, width):
    shapes = (1, 3, 4, width), (5, 3, 3, 3)
    check_shape(rng, name, layout, dtype, algorithm, *shapes, padding=1)
    check_shape(rng, name, layout, dtype, algorithm, *shapes, padding=(1, 2), stride=(1, 2))
    check_shape(rng, name, layout, dtype, algorithm, *shapes, padding=(1, 2), dilation=(1, 2))


@pytest.mark.parametrize("height", EDGES)
def test_heights(rng, name, layout, dtype, algorithm, height):
    shapes = (1, 3, height, 4), (5, 3, 3, 2)
    check_shape(rng, name, layout, dtype, algorithm, *shapes, padding=1)


@pytest.mark.parametrize("channels", [3, 40, 130])
def test_taps_in_the_padding(rng, name, layout, dtype, algorithm, channels):
    shapes = (2, channels, 13, 17), (40, channels, 3, 5)
    check_shape(rng, name, layout, dtype, algorithm, *shapes, padding=(9, 12), dilation=(9, 6))
    crooked = {"padding": ((2, 23), (18, 5)), "dilation": (8, 7), "stride": (1, 2)}
    check_shape(rng, name, layout, dtype, algorithm, *shapes, **crooked)
    tall_and_narrow = (1, channels, 29, 8), (40, channels, 1, 3)
    check_shape(rng, name, layout, dtype, algorithm, *tall_and_narrow, padding=(0, 3), dilation=3)


@pytest.mark.parametrize("mode", PADDING_MODES)
def test_taps_in_the_padding_of_every_mode(rng, name, layout, dtype, algorithm, mode):
    shapes = (1, 40, 13, 17), (40, 40, 3, 3)
    options = {"padding": (12, 16), "dilation": 12, "padding_mode": mode}
    if mode == "constant":
        options["padding_value"] = 3
    check_shape(rng, name, layout, dtype, algorithm, *shapes, **options)


@pytest.mark.parametrize("size", EDGES)
def test_everything_at_once(rng, name, layout, dtype, algorithm, size):
    shapes = (1, size, 2, size), (size, size, 1, 2)
    check_shape(rng, name, layout, dtype, algorithm, *shapes, padding=(0, 1))


@pytest.mark.parametrize("size", EDGES)
def test_pointwise(rng, name, layout, dtype, algorithm, size):
    shapes = (2, size, 3, 3), (size + 1, size, 1, 1)
    check_shape(rng, name, layout, dtype, algorithm, *shapes)


@pytest.mark.parametrize("size", EDGES)
def test_depthwise(rng, name, layout, dtype, algorithm, size):
    shapes = (1, size, 3, 17), (2 * size, 1, 3, 3)
    check_shape(rng, name, layout, dtype, algorithm, *shapes, padding=1, groups=size)


@pytest.mark.parametrize("kernel", EDGES)
def test_kernel_widths(rng, name, layout, dtype, algorithm, kernel):
    shapes = (1, 2, 2, kernel + 18), (3, 2, 1, kernel)
    check_shape(rng, name, layout, dtype, algorithm, *shapes)
