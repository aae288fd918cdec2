"""Transposed convolution."""

from __future__ import annotations

import itertools

import numpy as np
import pytest

import fastconv
from comparison import (
    CHANNELS_LAST,
    INPUT_GRADIENT,
    TRANSPOSE,
    check_transpose,
    random_array,
    to_layout,
)

SIZES = {1: (9,), 2: (6, 7), 3: (3, 4, 5)}
KERNELS = {1: (4,), 2: (3, 2), 3: (2, 3, 2)}
DTYPES = (np.float32, np.float64, np.complex64, np.complex128, np.float16, np.int8, np.int64)


@pytest.mark.parametrize("algorithm", ["auto", *fastconv.algorithms()])
@pytest.mark.parametrize("dtype", DTYPES[:4])
@pytest.mark.parametrize("channels_last", [False, True])
@pytest.mark.parametrize("rank", [1, 2, 3])
def test_every_rank_layout_and_dtype(rng, rank, channels_last, dtype, algorithm):
    x = random_array(rng, (2, 4, *SIZES[rank]), dtype)
    w = random_array(rng, (4, 3, *KERNELS[rank]), dtype)
    check_transpose(
        to_layout(x, channels_last),
        w,
        random_array(rng, (6,), dtype),
        stride=(2, 3, 1)[:rank],
        padding=(1, 0, 1)[:rank],
        output_padding=(1, 2, 0)[:rank],
        groups=2,
        dilation=(1, 2, 2)[:rank],
        layout=CHANNELS_LAST[rank] if channels_last else None,
        algorithm=algorithm,
    )


@pytest.mark.parametrize("dtype", DTYPES)
def test_every_kind_of_number(rng, dtype):
    x, w = random_array(rng, (2, 3, 5, 6), dtype), random_array(rng, (3, 4, 3, 3), dtype)
    check_transpose(x, w, stride=2, padding=1, output_padding=1)


@pytest.mark.parametrize("stride", [1, 2, (3, 1)])
@pytest.mark.parametrize("dilation", [1, (2, 3)])
@pytest.mark.parametrize("padding", [0, (1, 2), ((0, 2), (3, 1)), ((-1, 0), (2, -3))])
@pytest.mark.parametrize("flip", [False, True])
def test_strides_dilations_paddings_and_flip(rng, stride, dilation, padding, flip):
    x, w = random_array(rng, (1, 2, 6, 7), np.float32), random_array(rng, (2, 3, 3, 2), np.float32)
    check_transpose(x, w, stride=stride, padding=padding, dilation=dilation, flip=flip)


def test_output_sizes_over_a_grid():
    for size, kernel, stride, dilation in itertools.product(
        range(1, 5), range(1, 4), range(1, 4), range(1, 3)
    ):
        for extra in range(max(stride, dilation)):
            result = fastconv.conv_transpose1d(
                np.ones((1, 1, size)), np.ones((1, 1, kernel)), None, stride, 0, extra, 1, dilation
            )
            expected = (size - 1) * stride + dilation * (kernel - 1) + extra + 1
            assert result.shape == (1, 1, expected)
            if extra:
                assert not result[..., -extra:].any()


@pytest.mark.parametrize("rank", [1, 2, 3])
def test_it_is_the_input_gradient(rng, rank):
    x = random_array(rng, (2, 4, *SIZES[rank]), np.float64)
    w = random_array(rng, (4, 3, *KERNELS[rank]), np.float64)
    result = TRANSPOSE[rank](x, w, stride=2, padding=1, groups=2)
    gradient = INPUT_GRADIENT[rank](result.shape, w, x, stride=2, padding=1, groups=2)
    np.testing.assert_allclose(result, gradient, atol=1e-12)


def test_it_does_not_conjugate(rng):
    x = random_array(rng, (1, 2, 7), np.complex128)
    w = random_array(rng, (2, 3, 3), np.complex128)
    result = fastconv.conv_transpose1d(x, w)
    gradient = fastconv.grad.conv1d_input(result.shape, np.conj(w), x)
    np.testing.assert_allclose(result, gradient, atol=1e-12)


@pytest.mark.parametrize(
    ("groups", "channels", "per_group"), [(1, 3, 5), (2, 6, 4), (4, 4, 1), (4, 4, 3), (16, 32, 2)]
)
@pytest.mark.parametrize("channels_last", [False, True])
def test_groups(rng, groups, channels, per_group, channels_last):
    x = to_layout(random_array(rng, (2, channels, 5, 6), np.float32), channels_last)
    w = random_array(rng, (channels, per_group, 3, 3), np.float32)
    layout = "NHWC" if channels_last else "NCHW"
    check_transpose(x, w, stride=2, padding=1, groups=groups, layout=layout)


@pytest.mark.parametrize("activation", ["relu", "leaky_relu", "gelu", "sigmoid"])
def test_bias_and_activation(rng, activation):
    x, w = random_array(rng, (2, 3, 5, 6), np.float32), random_array(rng, (3, 4, 3, 3), np.float32)
    check_transpose(x, w, random_array(rng, (4,), np.float32), stride=2, activation=activation)


@pytest.mark.parametrize("kernel", [2, 3, 4])
@pytest.mark.parametrize("channels", [33, 64])
@pytest.mark.parametrize("layout", ["NCHW", "NHWC"])
def test_small_images_of_many_channels(rng, layout, channels, kernel):
    """Their weights are packed piece by piece, for all phases at once."""
    x = random_array(rng, (1, 130, 5, 7) if layout == "NCHW" else (1, 5, 7, 130), np.float32)
    w = random_array(rng, (130, channels, kernel, kernel), np.float32)
    options = {"stride": 2, "padding": kernel // 2, "layout": layout, "algorithm": "direct"}
    check_transpose(x, w, random_array(rng, (channels,), np.float32), **options)


def test_the_bias_fills_what_no_kernel_reaches():
    result = fastconv.conv_transpose1d(
        np.ones((1, 1, 3)), np.ones((1, 2, 1)), [5.0, 7.0], stride=3, output_padding=2
    )
    np.testing.assert_array_equal(result[0, 0], [6, 5, 5, 6, 5, 5, 6, 5, 5])
    np.testing.assert_array_equal(result[0, 1], [8, 7, 7, 8, 7, 7, 8, 7, 7])


def test_accumulate_adds_to_out(rng):
    x, w = random_array(rng, (2, 3, 5), np.float64), random_array(rng, (3, 4, 3), np.float64)
    bias = random_array(rng, (4,), np.float64)
    before = random_array(rng, (2, 4, 7), np.float64)
    out = before.copy()
    assert fastconv.conv_transpose1d(x, w, bias, accumulate=True, activation="relu", out=out) is out
    expected = np.maximum(fastconv.conv_transpose1d(x, w, bias) + before, 0)
    np.testing.assert_allclose(out, expected, atol=1e-12)


def test_an_unbatched_item(rng):
    x, w = random_array(rng, (3, 5, 6), np.float32), random_array(rng, (3, 4, 3, 3), np.float32)
    assert check_transpose(x, w, stride=2).shape == (4, 11, 13)


def test_empty_batches_and_channels():
    weight = np.ones((3, 4, 3), np.float32)
    result = fastconv.conv_transpose1d(np.zeros((0, 3, 5), np.float32), weight)
    assert result.shape == (0, 4, 7)
    nothing = fastconv.conv_transpose1d(np.zeros((2, 0, 5)), np.zeros((0, 4, 3)), [1.0, 2, 3, 4])
    np.testing.assert_array_equal(nothing[1, :, 0], [1, 2, 3, 4])
    assert nothing.shape == (2, 4, 7)
