"""The forward pass against the reference, option by option."""

from __future__ import annotations

import itertools

import numpy as np
import pytest

import fastconv
from comparison import CHANNELS_LAST, FORWARD, check_forward, random_array, to_layout
from fastconv import reference

SIZES = {1: (13,), 2: (9, 11), 3: (5, 6, 7)}
KERNELS = {1: (4,), 2: (3, 2), 3: (2, 3, 1)}
FLOATS = (np.float32, np.float64, np.complex64, np.complex128)


@pytest.mark.parametrize("algorithm", ["auto", *fastconv.algorithms()])
@pytest.mark.parametrize("dtype", FLOATS)
@pytest.mark.parametrize("channels_last", [False, True])
@pytest.mark.parametrize("rank", [1, 2, 3])
def test_every_rank_layout_and_dtype(rng, rank, channels_last, dtype, algorithm):
    x = random_array(rng, (2, 4, *SIZES[rank]), dtype)
    w = random_array(rng, (6, 2, *KERNELS[rank]), dtype)
    check_forward(
        to_layout(x, channels_last),
        w,
        random_array(rng, (6,), dtype),
        stride=(2, 1, 2)[:rank],
        padding=(1, 2, 0)[:rank],
        dilation=(1, 2, 2)[:rank],
        groups=2,
        layout=CHANNELS_LAST[rank] if channels_last else None,
        algorithm=algorithm,
    )


@pytest.mark.parametrize("stride", [1, 2, 3, (1, 4), (5, 1)])
@pytest.mark.parametrize("dilation", [1, 2, (3, 1), (1, 4)])
@pytest.mark.parametrize("padding", [0, 1, (2, 3)])
def test_strides_dilations_and_paddings_combine(rng, stride, dilation, padding):
    x = random_array(rng, (2, 3, 12, 17), np.float32)
    w = random_array(rng, (5, 3, 3, 3), np.float32)
    check_forward(x, w, stride=stride, padding=padding, dilation=dilation)


@pytest.mark.parametrize(
    ("groups", "channels", "outputs"),
    [(1, 3, 5), (2, 6, 4), (3, 6, 3), (4, 4, 4), (4, 4, 12), (8, 8, 16), (16, 32, 16), (5, 5, 15)],
)
@pytest.mark.parametrize("channels_last", [False, True])
def test_groups_and_depthwise_multipliers(rng, groups, channels, outputs, channels_last):
    x = random_array(rng, (2, channels, 8, 9), np.float32)
    w = random_array(rng, (outputs, channels // groups, 3, 3), np.float32)
    check_forward(
        to_layout(x, channels_last),
        w,
        padding=1,
        groups=groups,
        layout="NHWC" if channels_last else "NCHW",
    )


@pytest.mark.parametrize("kernel", [(1, 1), (1, 7), (7, 1), (2, 2), (5, 5), (11, 13), (12, 17)])
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_kernels_up_to_the_whole_input(rng, kernel, dtype):
    x = random_array(rng, (1, 3, 12, 17), dtype)
    w = random_array(rng, (4, 3, *kernel), dtype)
    assert check_forward(x, w).shape == (1, 4, 13 - kernel[0], 18 - kernel[1])


@pytest.mark.parametrize("rank", [1, 2, 3])
@pytest.mark.parametrize("channels_last", [False, True])
def test_an_unbatched_item_equals_a_batch_of_one(rng, rank, channels_last):
    layout = CHANNELS_LAST[rank] if channels_last else None
    x = to_layout(random_array(rng, (1, 3, *SIZES[rank]), np.float32), channels_last)
    w = random_array(rng, (4, 3, *KERNELS[rank]), np.float32)
    item = check_forward(x[0], w, padding=1, layout=layout)
    np.testing.assert_array_equal(item, FORWARD[rank](x, w, padding=1, layout=layout)[0])


@pytest.mark.parametrize("rank", [1, 2, 3])
def test_flip_is_the_strict_convolution(rng, rank):
    x = random_array(rng, (2, 2, *SIZES[rank]), np.float64)
    w = random_array(rng, (3, 2, *KERNELS[rank]), np.float64)
    flipped = check_forward(x, w, flip=True)
    mirrored = np.flip(w, axis=tuple(range(2, rank + 2)))
    np.testing.assert_array_equal(flipped, FORWARD[rank](x, mirrored))
    assert not np.allclose(flipped, FORWARD[rank](x, w))


def test_torch_argument_order(rng):
    x, w = random_array(rng, (1, 4, 9, 9), np.float64), random_array(rng, (2, 2, 3, 3), np.float64)
    bias = random_array(rng, (2,), np.float64)
    positional = fastconv.conv2d(x, w, bias, 2, 1, 2, 2)
    named = fastconv.conv2d(input=x, weight=w, bias=bias, stride=2, padding=1, dilation=2, groups=2)
    np.testing.assert_array_equal(positional, named)
    assert positional.shape == (1, 2, 4, 4)


@pytest.mark.parametrize("precision", ["default", "strict", "fast"])
def test_precisions(rng, precision):
    x, w = random_array(rng, (1, 5, 20, 20), np.float32), random_array(rng, (7, 5, 3, 3), "f4")
    check_forward(x, w, precision=precision)


@pytest.mark.parametrize("layout", ["NCHW", "NHWC"])
def test_an_empty_batch_gives_an_empty_result(layout):
    x = np.zeros((0, 3, 8, 8) if layout == "NCHW" else (0, 8, 8, 3), np.float32)
    result = fastconv.conv2d(x, np.ones((4, 3, 3, 3), np.float32), layout=layout)
    assert result.shape == ((0, 4, 6, 6) if layout == "NCHW" else (0, 6, 6, 4))
    assert result.dtype == np.float32


@pytest.mark.parametrize("dtype", [np.float32, np.complex128, np.int8])
def test_without_input_channels_the_bias_remains(dtype):
    x, w = np.zeros((2, 0, 5, 5), dtype), np.zeros((3, 0, 2, 2), dtype)
    bias = np.array([1, 2, 3], dtype)
    np.testing.assert_array_equal(fastconv.conv2d(x, w), np.zeros((2, 3, 4, 4)))
    result = fastconv.conv2d(x, w, bias)
    np.testing.assert_array_equal(result, np.broadcast_to(bias[:, None, None], (2, 3, 4, 4)))


def test_without_output_channels_the_result_is_empty():
    result = fastconv.conv2d(np.ones((2, 3, 5, 5)), np.ones((0, 3, 2, 2)))
    assert result.shape == (2, 0, 4, 4)


def test_nested_lists_are_arrays():
    result = fastconv.conv1d([[[1.0, 2.0, 3.0]]], [[[1.0, -1.0]]], [10.0])
    np.testing.assert_array_equal(result, [[[9.0, 9.0]]])


@pytest.mark.parametrize("shape", [(1, 1, 1), (1, 1, 97), (3, 1, 1), (1, 97, 2), (33, 2, 3)])
def test_lopsided_images(rng, shape):
    count, height, width = shape
    x = random_array(rng, (count, 2, height, width), np.float32)
    check_forward(x, random_array(rng, (3, 2, 3, 3), np.float32), padding=1)


def test_long_one_dimensional_signals(rng):
    x, w = random_array(rng, (1, 1, 100_003), np.float32), random_array(rng, (2, 1, 33), "f4")
    check_forward(x, w, padding="same")


def test_many_taps_stay_within_the_error_bound(rng):
    x, w = random_array(rng, (1, 300, 9, 9), np.float32), random_array(rng, (2, 300, 9, 9), "f4")
    check_forward(x + 5, w + 3)


def test_inputs_are_not_changed(rng):
    arrays = [random_array(rng, s, np.float32) for s in ((2, 3, 6, 6), (4, 3, 3, 3), (4,))]
    copies = [array.copy() for array in arrays]
    fastconv.conv2d(*arrays, padding=1, activation="relu")
    for array, copy in zip(arrays, copies, strict=True):
        np.testing.assert_array_equal(array, copy)


def test_corr2d_is_the_single_channel_case(rng):
    image, kernel = random_array(rng, (7, 9), np.float32), random_array(rng, (3, 2), np.float32)
    result = fastconv.corr2d(image, kernel)
    assert result.shape == (5, 8)
    np.testing.assert_allclose(
        result, reference.conv(image[None, None], kernel[None, None])[0, 0], rtol=1e-5, atol=1e-5
    )


def test_output_sizes_over_a_grid():
    for size, kernel, stride, pad, dilation in itertools.product(
        range(1, 8), range(1, 4), range(1, 4), range(3), range(1, 3)
    ):
        span = dilation * (kernel - 1) + 1
        if size + 2 * pad < span:
            continue
        result = fastconv.conv1d(
            np.ones((1, 1, size)), np.ones((1, 1, kernel)), None, stride, pad, dilation
        )
        assert result.shape == (1, 1, (size + 2 * pad - span) // stride + 1)
