"""Every form of padding and every padding mode, forward and backward."""

from __future__ import annotations

import itertools

import numpy as np
import pytest

import fastconv
from comparison import (
    CHANNELS_LAST,
    FORWARD,
    PADDING_MODES,
    check_forward,
    check_passes,
    padding_options,
    random_array,
    to_layout,
)

NUMPY_MODES = {
    "zeros": {"mode": "constant"},
    "constant": {"mode": "constant", "constant_values": 2.5},
    "reflect": {"mode": "reflect"},
    "symmetric": {"mode": "symmetric"},
    "replicate": {"mode": "edge"},
    "circular": {"mode": "wrap"},
}
FORMS = (0, 3, (1, 2), ((0, 3), (2, 1)), "valid", "same", "same_lower", "full")


@pytest.mark.parametrize("algorithm", fastconv.algorithms())
@pytest.mark.parametrize("dtype", [np.float32, np.complex128, np.int8])
@pytest.mark.parametrize("mode", PADDING_MODES)
@pytest.mark.parametrize("padding", FORMS, ids=str)
def test_every_form_in_every_mode(rng, padding, mode, dtype, algorithm):
    x, w = random_array(rng, (2, 3, 7, 8), dtype), random_array(rng, (4, 3, 3, 4), dtype)
    check_passes(rng, x, w, padding=padding, algorithm=algorithm, **padding_options(mode, 3))


@pytest.mark.parametrize("mode", PADDING_MODES)
@pytest.mark.parametrize("channels_last", [False, True])
@pytest.mark.parametrize("rank", [1, 2, 3])
def test_modes_are_those_of_numpy_pad(rng, rank, channels_last, mode):
    x = random_array(rng, (2, 3, *(6, 5, 4)[:rank]), np.float64)
    w = random_array(rng, (2, 3, *(3, 2, 2)[:rank]), np.float64)
    pairs = ((2, 3), (1, 0), (3, 2))[:rank]
    padded = np.pad(x, ((0, 0), (0, 0), *pairs), **NUMPY_MODES[mode])
    result = FORWARD[rank](
        to_layout(x, channels_last),
        w,
        padding=pairs,
        layout=CHANNELS_LAST[rank] if channels_last else None,
        **padding_options(mode, 2.5),
    )
    expected = to_layout(FORWARD[rank](padded, w), channels_last)
    np.testing.assert_allclose(result, expected, atol=1e-12)


@pytest.mark.parametrize("mode", PADDING_MODES)
@pytest.mark.parametrize("size", [1, 2, 3, 5])
def test_padding_wider_than_the_input(rng, mode, size):
    x, w = random_array(rng, (2, 2, size), np.float64), random_array(rng, (3, 2, 3), np.float64)
    for before, after in itertools.product((0, 1, size, 4 * size + 3), repeat=2):
        if size + before + after < 3:
            continue
        options = {"padding": ((before, after),), **padding_options(mode, 2.5)}
        padded = np.pad(x, ((0, 0), (0, 0), (before, after)), **NUMPY_MODES[mode])
        result = fastconv.conv1d(x, w, **options)
        np.testing.assert_allclose(result, fastconv.conv1d(padded, w), atol=1e-12)
        check_passes(rng, x, w, **options)


@pytest.mark.parametrize("mode", PADDING_MODES)
@pytest.mark.parametrize("pairs", [((-1, -2), (-3, 0)), ((2, -1), (-2, 3)), ((-4, 5), (0, -1))])
def test_negative_padding_crops(rng, mode, pairs):
    x, w = random_array(rng, (2, 3, 8, 9), np.float32), random_array(rng, (4, 3, 3, 3), np.float32)
    check_passes(rng, x, w, padding=pairs, **padding_options(mode, 2.5))


def test_cropping_equals_slicing(rng):
    x, w = random_array(rng, (2, 3, 8, 9), np.float64), random_array(rng, (4, 3, 3, 3), np.float64)
    cropped = fastconv.conv2d(x, w, padding=((-1, -2), (-3, 0)))
    np.testing.assert_allclose(cropped, fastconv.conv2d(x[:, :, 1:6, 3:], w), atol=1e-12)
    np.testing.assert_allclose(
        fastconv.conv2d(x, w, padding=-2), fastconv.conv2d(x[:, :, 2:-2, 2:-2], w), atol=1e-12
    )


@pytest.mark.parametrize("side", ["same", "same_lower"])
@pytest.mark.parametrize("kernel", [1, 2, 3, 4, 5])
def test_same_gives_the_ceiling_of_size_over_stride(rng, side, kernel):
    for size, stride, dilation in itertools.product(range(1, 12), range(1, 5), range(1, 4)):
        x, w = random_array(rng, (1, 1, size), "f8"), random_array(rng, (1, 1, kernel), "f8")
        result = check_forward(x, w, stride=stride, padding=side, dilation=dilation)
        assert result.shape[-1] == -(-size // stride)


def test_the_odd_element_is_after_or_before():
    x, w = np.array([[[1.0, 2.0, 3.0]]]), np.array([[[1.0, 10.0]]])
    np.testing.assert_array_equal(fastconv.conv1d(x, w, padding="same"), [[[21, 32, 3]]])
    np.testing.assert_array_equal(fastconv.conv1d(x, w, padding="same_lower"), [[[10, 21, 32]]])


def test_full_has_an_output_for_every_overlap():
    x, w = np.array([[[1.0, 2.0]]]), np.array([[[1.0, 10.0, 100.0]]])
    np.testing.assert_array_equal(fastconv.conv1d(x, w, padding="full"), [[[100, 210, 21, 2]]])
    dilated = fastconv.conv1d(x, w, padding="full", dilation=2)
    np.testing.assert_array_equal(dilated, [[[100, 200, 10, 20, 1, 2]]])


@pytest.mark.parametrize("stride", [1, 2, 3])
@pytest.mark.parametrize("dilation", [1, 2])
@pytest.mark.parametrize("padding", ["valid", "same", "same_lower", "full"])
@pytest.mark.parametrize("flip", [False, True])
def test_strings_combine_with_everything(rng, padding, stride, dilation, flip):
    x, w = random_array(rng, (2, 4, 9, 8), np.float32), random_array(rng, (4, 2, 2, 3), np.float32)
    check_passes(rng, x, w, stride=stride, dilation=dilation, padding=padding, groups=2, flip=flip)


def test_equal_forms(rng):
    x, w = random_array(rng, (1, 2, 9, 8), np.float64), random_array(rng, (3, 2, 3, 3), np.float64)
    expected = fastconv.conv2d(x, w, padding=1)
    for padding in ((1, 1), [1, 1], ((1, 1), (1, 1)), [[1, 1], (1, 1)], np.int32(1), "same"):
        np.testing.assert_array_equal(fastconv.conv2d(x, w, padding=padding), expected)


def test_a_constant_of_zero_is_zeros(rng):
    x, w = random_array(rng, (1, 2, 6), np.float64), random_array(rng, (3, 2, 3), np.float64)
    constant = fastconv.conv1d(x, w, padding=2, padding_mode="constant", padding_value=0)
    np.testing.assert_array_equal(constant, fastconv.conv1d(x, w, padding=2))


def test_complex_and_integer_padding_values(rng):
    x, w = random_array(rng, (1, 2, 6), np.complex128), random_array(rng, (3, 2, 3), "c16")
    check_passes(rng, x, w, padding=2, padding_mode="constant", padding_value=1 - 2j)
    large = 2**60 + 1
    result = fastconv.conv1d(
        np.zeros((1, 1, 1), np.int64),
        np.ones((1, 1, 1), np.int64),
        padding=1,
        padding_mode="constant",
        padding_value=large,
    )
    np.testing.assert_array_equal(result, [[[large, 0, large]]])
