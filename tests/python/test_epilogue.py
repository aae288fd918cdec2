"""What happens after the sum: bias, activation, accumulation, and where the result goes."""

from __future__ import annotations

import itertools
import math

import numpy as np
import pytest

import fastconv
from comparison import CHANNELS_LAST, FORWARD, check_forward, random_array, to_layout

ACTIVATIONS = ("relu", "leaky_relu", "relu6", "silu", "gelu", "sigmoid", "tanh")


@pytest.mark.parametrize("algorithm", fastconv.algorithms())
@pytest.mark.parametrize("dtype", [np.float32, np.float64, np.float16])
@pytest.mark.parametrize("channels_last", [False, True])
@pytest.mark.parametrize("activation", ACTIVATIONS)
def test_activations_follow_the_bias(rng, activation, channels_last, dtype, algorithm):
    x = to_layout(random_array(rng, (2, 3, 9, 10), dtype), channels_last)
    w = random_array(rng, (17, 3, 3, 3), dtype)
    check_forward(
        x,
        w,
        random_array(rng, (17,), dtype),
        padding=1,
        activation=activation,
        layout="NHWC" if channels_last else None,
        algorithm=algorithm,
    )


SCALARS = {
    "relu": lambda v: max(v, 0.0),
    "leaky_relu": lambda v: v if v >= 0 else 0.01 * v,
    "relu6": lambda v: min(max(v, 0.0), 6.0),
    "silu": lambda v: v / (1 + math.exp(-v)),
    "gelu": lambda v: 0.5 * v * (1 + math.erf(v / math.sqrt(2))),
    "sigmoid": lambda v: 1 / (1 + math.exp(-v)),
    "tanh": math.tanh,
}


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("activation", ACTIVATIONS)
def test_activations_by_hand(activation, dtype):
    values = np.linspace(-9, 9, 73, dtype=dtype)
    result = fastconv.conv1d(values[None, None], np.ones((1, 1, 1), dtype), activation=activation)
    expected = [SCALARS[activation](float(v)) for v in values]
    tolerance = 4 * np.finfo(dtype).eps
    np.testing.assert_allclose(result[0, 0], expected, rtol=tolerance, atol=9 * tolerance)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize(
    ("activation", "low", "high"),
    [("sigmoid", 0, 1), ("tanh", -1, 1), ("silu", 0, 1000), ("gelu", 0, 1000), ("relu6", 0, 6)],
)
def test_activations_saturate(activation, low, high, dtype):
    x = np.array([[[-1000, 1000]]], dtype)
    result = fastconv.conv1d(x, np.ones((1, 1, 1), dtype), activation=activation)
    np.testing.assert_allclose(result, [[[low, high]]], atol=1e-30)


@pytest.mark.parametrize("algorithm", fastconv.algorithms())
@pytest.mark.parametrize("channels_last", [False, True])
@pytest.mark.parametrize("rank", [1, 2, 3])
@pytest.mark.parametrize(
    ("with_bias", "activation"), [(0, None), (1, None), (1, "relu"), (0, "tanh")]
)
def test_accumulate_adds_before_the_activation(
    rng, rank, channels_last, with_bias, activation, algorithm
):
    x = to_layout(random_array(rng, (2, 3, *(9, 8, 5)[:rank]), np.float64), channels_last)
    w = random_array(rng, (5, 3, *(2, 3, 2)[:rank]), np.float64)
    bias = random_array(rng, (5,), np.float64) if with_bias else None
    options = {"layout": CHANNELS_LAST[rank] if channels_last else None, "algorithm": algorithm}
    linear = FORWARD[rank](x, w, bias, **options)
    out = random_array(rng, linear.shape, np.float64)
    expected = linear + out
    if activation:
        expected = np.vectorize(SCALARS[activation])(expected)
    result = FORWARD[rank](x, w, bias, accumulate=True, activation=activation, out=out, **options)
    assert result is out
    np.testing.assert_allclose(out, expected, atol=1e-12)


@pytest.mark.parametrize("dtype", ["float16", "complex64", "int8", "int64"])
def test_accumulate_in_other_dtypes(rng, dtype):
    x, w = random_array(rng, (2, 3, 7), dtype), random_array(rng, (4, 3, 1), dtype)
    out = fastconv.conv1d(x, w)
    single = out.copy()
    fastconv.conv1d(x, w, accumulate=True, out=out)
    tolerance = 1e-2 if dtype == "float16" else 1e-5
    np.testing.assert_allclose(out, single + single, rtol=tolerance, atol=tolerance)


def test_accumulating_channel_blocks_gives_the_whole(rng):
    x, w = random_array(rng, (1, 8, 9, 9), np.float64), random_array(rng, (5, 8, 3, 3), np.float64)
    out = np.zeros((1, 5, 7, 7))
    for block in range(0, 8, 2):
        channels = slice(block, block + 2)
        fastconv.conv2d(x[:, channels], w[:, channels], accumulate=True, out=out)
    np.testing.assert_allclose(out, fastconv.conv2d(x, w), atol=1e-12)


def test_accumulating_integers_wraps_like_int64():
    out = np.array([[[np.iinfo(np.int64).max]]])
    one = np.ones((1, 1, 1), np.int64)
    fastconv.conv1d(one, one, accumulate=True, out=out)
    assert out[0, 0, 0] == np.iinfo(np.int64).min


def test_out_is_overwritten_and_returned(rng):
    x, w = random_array(rng, (2, 3, 8, 8), np.float32), random_array(rng, (4, 3, 3, 3), np.float32)
    out = np.full((2, 4, 6, 6), np.nan, np.float32)
    assert fastconv.conv2d(x, w, out=out) is out
    np.testing.assert_array_equal(out, fastconv.conv2d(x, w))


def test_results_are_new_arrays(rng):
    x, w = random_array(rng, (1, 1, 5), np.float64), np.ones((1, 1, 1))
    first = fastconv.conv1d(x, w)
    second = fastconv.conv1d(x, w)
    assert first.flags.owndata or first.base is not None
    assert not np.shares_memory(first, second)
    assert not np.shares_memory(first, x)


def test_large_results_begin_on_a_cache_line(rng):
    """Unlike NumPy's own memory, which small ones get."""
    x, w = (
        random_array(rng, (1, 4, 70, 71), np.float32),
        random_array(rng, (4, 4, 3, 3), np.float32),
    )
    for _ in range(5):
        y = fastconv.conv2d(x, w, padding=1)
        grad_x, grad_w, _ = fastconv.conv2d_backward(y, x, w, padding=1)
        for result in (y, grad_x, fastconv.grad.conv2d_input(x.shape, w, y, padding=1)):
            assert result.ctypes.data % 64 == 0
            assert result.flags.c_contiguous
            assert result.flags.writeable
        assert grad_w.flags.owndata


@pytest.mark.parametrize("groups", [1, 2, 6])
@pytest.mark.parametrize("channels_last", [False, True])
def test_each_channel_gets_its_own_bias(groups, channels_last):
    x = to_layout(np.zeros((2, 6, 5, 5), np.float32), channels_last)
    bias = np.arange(12, dtype=np.float32)
    layout = "NHWC" if channels_last else "NCHW"
    w = np.ones((12, 6 // groups, 2, 2), np.float32)
    result = fastconv.conv2d(x, w, bias, groups=groups, layout=layout)
    channels = np.moveaxis(result, -1, 1) if channels_last else result
    for channel, sample in itertools.product(range(12), range(2)):
        np.testing.assert_array_equal(channels[sample, channel], np.full((4, 4), channel))
