"""The examples from which people learn what a convolution is."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.lib.stride_tricks import sliding_window_view

import fastconv
from comparison import FORWARD, random_array


def edge_image():
    """Six rows of eight: white, with a black bar of four columns in the middle."""
    image = np.ones((6, 8))
    image[:, 2:6] = 0
    return image


def edge_response():
    response = np.zeros((6, 7))
    response[:, 1], response[:, 5] = 1, -1
    return response


@pytest.mark.parametrize("dtype", [np.float32, np.float64, np.complex64, np.int8, np.int64])
def test_corr2d(dtype):
    image = np.arange(9).reshape(3, 3).astype(dtype)
    kernel = np.arange(4).reshape(2, 2).astype(dtype)
    np.testing.assert_array_equal(fastconv.corr2d(image, kernel), [[19, 25], [37, 43]])


def test_vertical_edges():
    kernel = np.array([[1.0, -1.0]])
    np.testing.assert_array_equal(fastconv.corr2d(edge_image(), kernel), edge_response())


def test_the_transposed_image_has_no_vertical_edges():
    kernel = np.array([[1.0, -1.0]])
    np.testing.assert_array_equal(fastconv.corr2d(edge_image().T, kernel), np.zeros((8, 5)))
    np.testing.assert_array_equal(fastconv.corr2d(edge_image().T, kernel.T), edge_response().T)


@pytest.mark.parametrize("rank", [1, 2, 3])
def test_convolution_commutes(rng, rank):
    f = random_array(rng, (1, 1, *(9, 7, 5)[:rank]), np.float64)
    g = random_array(rng, (1, 1, *(4, 5, 6)[:rank]), np.float64)
    convolve = FORWARD[rank]
    there = convolve(f, g, padding="full", flip=True)
    back = convolve(g, f, padding="full", flip=True)
    np.testing.assert_allclose(there, back, atol=1e-12)
    if rank == 1:
        np.testing.assert_allclose(there[0, 0], np.convolve(f[0, 0], g[0, 0]), atol=1e-12)
    assert not np.allclose(convolve(f, g, padding="full"), convolve(g, f, padding="full"))


def test_multi_channel_formula_in_channels_last_order(rng):
    """H[i, j, d] = sum over a, b, c of V[a, b, c, d] X[i + a, j + b, c]."""
    x, v = random_array(rng, (10, 12, 3), np.float64), random_array(rng, (3, 5, 3, 7), np.float64)
    windows = sliding_window_view(x, (3, 5), axis=(0, 1))
    expected = np.einsum("abcd,ijcab->ijd", v, windows)
    result = fastconv.conv2d(x, v.transpose(3, 2, 0, 1), layout="NHWC")
    np.testing.assert_allclose(result, expected, atol=1e-12)


def test_channels_are_summed():
    x = np.stack([np.arange(9.0).reshape(3, 3), np.arange(1.0, 10).reshape(3, 3)])
    kernel = np.stack([np.arange(4.0).reshape(2, 2), np.arange(1.0, 5).reshape(2, 2)])
    np.testing.assert_array_equal(fastconv.conv2d(x, kernel[None]), [[[56, 72], [104, 120]]])


def test_a_pointwise_convolution_is_a_dense_layer_at_each_pixel(rng):
    x, dense = random_array(rng, (4, 9, 11, 5), np.float64), random_array(rng, (5, 8), np.float64)
    bias = random_array(rng, (8,), np.float64)
    result = fastconv.conv2d(x, dense.T[:, :, None, None], bias, layout="NHWC")
    np.testing.assert_allclose(result, x @ dense + bias, atol=1e-12)


def test_sizes_with_padding_and_stride():
    image = np.ones((1, 8, 8))
    assert fastconv.conv2d(image, np.ones((1, 1, 3, 3)), padding=1).shape == (1, 8, 8)
    assert fastconv.conv2d(image, np.ones((1, 1, 5, 3)), padding=(2, 1)).shape == (1, 8, 8)
    assert fastconv.conv2d(image, np.ones((1, 1, 3, 3)), None, 2, 1).shape == (1, 4, 4)
    result = fastconv.conv2d(image, np.ones((1, 1, 3, 5)), None, (3, 4), (0, 1))
    assert result.shape == (1, 2, 2)


def test_strides_and_padding_by_hand():
    image = np.arange(9.0).reshape(1, 3, 3)
    kernel = np.arange(4.0).reshape(1, 1, 2, 2)
    result = fastconv.conv2d(image, kernel, stride=(3, 2), padding=1)
    np.testing.assert_array_equal(result, [[[0, 8], [6, 8]]])


def test_a_transposed_convolution_by_hand():
    grid = np.arange(4.0).reshape(1, 2, 2)
    kernel = np.arange(4.0).reshape(1, 1, 2, 2)
    np.testing.assert_array_equal(
        fastconv.conv_transpose2d(grid, kernel), [[[0, 0, 1], [0, 4, 6], [4, 12, 9]]]
    )
    np.testing.assert_array_equal(
        fastconv.conv_transpose2d(grid, kernel, stride=2),
        [[[0, 0, 0, 1], [0, 0, 2, 3], [0, 2, 0, 3], [4, 6, 6, 9]]],
    )
    np.testing.assert_array_equal(
        fastconv.conv_transpose2d(grid, kernel, stride=2, padding=1), [[[0, 2], [2, 0]]]
    )


@pytest.mark.parametrize("seed", range(5))
def test_a_kernel_is_learned_in_ten_gradient_steps(seed):
    x, y = edge_image()[None, None], edge_response()[None, None]
    kernel = np.random.default_rng(seed).uniform(-0.5, 0.5, (1, 1, 1, 2))
    losses = []
    for _ in range(10):
        error = fastconv.conv2d(x, kernel) - y
        losses.append(np.sum(error**2))
        kernel -= 0.03 * fastconv.grad.conv2d_weight(x, kernel.shape, 2 * error)
    assert losses == sorted(losses, reverse=True)
    np.testing.assert_allclose(kernel[0, 0], [[1, -1]], atol=0.1)
