"""NaN and infinity reach the results whose sum contains them, and no others."""

from __future__ import annotations

import numpy as np
import pytest

import fastconv
from comparison import random_array, to_layout

pytestmark = [
    pytest.mark.parametrize("algorithm", ["auto", *fastconv.algorithms()]),
    pytest.mark.parametrize("dtype", [np.float32, np.float64, np.float16]),
    pytest.mark.parametrize("channels_last", [False, True]),
    pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf]),
]


def options(channels_last, algorithm):
    return {"layout": "NHWC" if channels_last else "NCHW", "algorithm": algorithm}


def assert_reached(result, channels_last, reached, value):
    """The elements that `reached` marks are not finite; every other one is."""
    channels_first = np.moveaxis(result, -1, 1) if channels_last else result
    np.testing.assert_array_equal(~np.isfinite(channels_first), reached)
    if np.isnan(value):
        assert np.isnan(channels_first[reached]).all()


def test_input(rng, value, channels_last, dtype, algorithm):
    x = random_array(rng, (2, 3, 20, 37), dtype)
    w = random_array(rng, (17, 3, 3, 5), dtype)
    x[1, 2, 7, 18] = value
    result = fastconv.conv2d(
        to_layout(x, channels_last), w, padding=(1, 2), **options(channels_last, algorithm)
    )
    reached = np.zeros((2, 17, 20, 37), bool)
    reached[1, :, 6:9, 16:21] = True
    assert_reached(result, channels_last, reached, value)
    if np.isinf(value):
        channels_first = np.moveaxis(result, -1, 1) if channels_last else result
        signs = np.sign(value) * np.sign(w[:, 2, ::-1, ::-1].astype(np.float64))
        np.testing.assert_array_equal(np.sign(channels_first[1, :, 6:9, 16:21]), signs)


def test_weight_and_bias(rng, value, channels_last, dtype, algorithm):
    x = to_layout(random_array(rng, (2, 3, 9, 10), dtype), channels_last)
    w, bias = random_array(rng, (17, 3, 3, 3), dtype), np.zeros(17, dtype)
    w[5, 1, 1, 2] = value
    bias[11] = value
    result = fastconv.conv2d(x, w, bias, **options(channels_last, algorithm))
    reached = np.zeros((2, 17, 7, 8), bool)
    reached[:, [5, 11]] = True
    assert_reached(result, channels_last, reached, value)


def test_weight_that_meets_padding(rng, value, channels_last, dtype, algorithm):
    """Also where whole rows of a kernel's taps lie in the padding."""
    x = to_layout(random_array(rng, (1, 40, 13, 14), dtype), channels_last)
    w = random_array(rng, (33, 40, 3, 3), dtype)
    w[5, 7, 0, 2] = value
    w[9, 0, 1, 1] = value
    result = fastconv.conv2d(
        x, w, padding=(12, 10), dilation=(12, 10), **options(channels_last, algorithm)
    )
    reached = np.zeros((1, 33, 13, 14), bool)
    reached[:, [5, 9]] = True
    assert_reached(result, channels_last, reached, value)
    channels_first = np.moveaxis(result, -1, 1) if channels_last else result
    assert np.isnan(channels_first[0, 5, :12]).all()
    assert np.isnan(channels_first[0, 5, :, 4:]).all()
    if np.isinf(value):
        assert np.isinf(channels_first[0, 5, 12:, :4]).all()


def test_gradient_of_the_input(rng, value, channels_last, dtype, algorithm):
    w = random_array(rng, (17, 3, 3, 5), dtype)
    g = random_array(rng, (2, 17, 20, 37), dtype)
    g[1, 4, 7, 18] = value
    shape = (2, 20, 37, 3) if channels_last else (2, 3, 20, 37)
    result = fastconv.grad.conv2d_input(
        shape, w, to_layout(g, channels_last), padding=(1, 2), **options(channels_last, algorithm)
    )
    reached = np.zeros((2, 3, 20, 37), bool)
    reached[1, :, 6:9, 16:21] = True
    assert_reached(result, channels_last, reached, value)


@pytest.mark.parametrize("stride", [1, 2])
def test_gradient_by_a_weight_that_meets_padding(
    rng, value, channels_last, dtype, algorithm, stride
):
    """A border's element has no product with taps that lie in the padding, infinite or not."""
    w = random_array(rng, (16, 16, 3, 3), dtype)
    w[3, 5, 0, 0] = value
    g = random_array(rng, (1, 16, 6, 7), dtype)
    height, width = 6 * stride, 7 * stride
    shape = (1, height, width, 16) if channels_last else (1, 16, height, width)
    result = fastconv.grad.conv2d_input(
        shape,
        w,
        to_layout(g, channels_last),
        stride=stride,
        padding=1,
        **options(channels_last, algorithm),
    )
    reached = np.zeros((1, 16, height, width), bool)
    reached[:, 5, stride - 1 :: stride, stride - 1 :: stride] = True
    reached[:, 5, -1] = False
    reached[:, 5, :, -1] = False
    assert_reached(result, channels_last, reached, value)


def test_gradient_of_the_weight(rng, value, channels_last, dtype, algorithm):
    x, g = random_array(rng, (2, 3, 9, 21), dtype), random_array(rng, (2, 17, 7, 19), dtype)
    g[1, 4, 3, 8] = value
    # In the first row, which only the first row of the kernel sees.
    x[0, 2, 0, 10] = value
    result = fastconv.grad.conv2d_weight(
        to_layout(x, channels_last),
        (17, 3, 3, 3),
        to_layout(g, channels_last),
        **options(channels_last, algorithm),
    )
    reached = np.zeros((17, 3, 3, 3), bool)
    reached[4] = True
    reached[:, 2, 0] = True
    np.testing.assert_array_equal(~np.isfinite(result), reached)


def test_gradient_of_a_weight_that_meets_padding(rng, value, channels_last, dtype, algorithm):
    """Zeros of the padding times what is not finite are NaN, also where padding is left out."""
    x = random_array(rng, (2, 5, 13, 14), dtype)
    g = random_array(rng, (2, 17, 13, 14), dtype)
    g[1, 4, 0, 1] = value
    x[0, 2, 12, 13] = value
    arguments = {"padding": (12, 10), "dilation": (12, 10)}
    result = fastconv.grad.conv2d_weight(
        to_layout(x, channels_last),
        (17, 5, 3, 3),
        to_layout(g, channels_last),
        **arguments,
        **options(channels_last, algorithm),
    )
    # Every tap meets the element of the gradient; that of the input is met by three.
    reached = np.zeros((17, 5, 3, 3), bool)
    reached[4] = True
    reached[:, 2, 1:, 1:] = True
    np.testing.assert_array_equal(~np.isfinite(result), reached)
    if np.isinf(value):
        assert np.isnan(result[4, 0, 0, 0])


def test_transposed(rng, value, channels_last, dtype, algorithm):
    x, w = random_array(rng, (1, 3, 6, 9), dtype), random_array(rng, (3, 4, 2, 2), dtype)
    x[0, 1, 2, 3] = value
    result = fastconv.conv_transpose2d(
        to_layout(x, channels_last), w, stride=3, **options(channels_last, algorithm)
    )
    reached = np.zeros((1, 4, 17, 26), bool)
    reached[0, :, 6:8, 9:11] = True
    assert_reached(result, channels_last, reached, value)


@pytest.mark.parametrize(
    "activation", ["relu", "leaky_relu", "relu6", "silu", "gelu", "sigmoid", "tanh"]
)
def test_activations_keep_nan(activation, value, channels_last, dtype, algorithm):
    x = to_layout(np.full((1, 1, 3, 20), value, dtype), channels_last)
    result = fastconv.conv2d(
        x, np.ones((1, 1, 1, 1), dtype), activation=activation, **options(channels_last, algorithm)
    )
    if np.isnan(value):
        assert np.isnan(result).all()
    elif activation in ("relu", "leaky_relu"):
        expected = value if value > 0 or activation == "leaky_relu" else 0
        assert (result == expected).all()
    elif activation in ("sigmoid", "tanh", "relu6"):
        assert np.isfinite(result).all()
