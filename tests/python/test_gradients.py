"""Both gradients and the bias gradient: against the reference, and as adjoints of the forward."""

from __future__ import annotations

import numpy as np
import pytest

import fastconv
from comparison import (
    BACKWARD,
    CHANNELS_LAST,
    FORWARD,
    INPUT_GRADIENT,
    PADDING_MODES,
    WEIGHT_GRADIENT,
    check_input_gradient,
    check_passes,
    check_weight_gradient,
    padding_options,
    random_array,
    to_layout,
)
from fastconv import reference

SIZES = {1: (13,), 2: (9, 10), 3: (5, 6, 7)}
KERNELS = {1: (4,), 2: (3, 2), 3: (2, 3, 2)}
FLOATS = (np.float32, np.float64, np.complex64, np.complex128)


def inner(a, b):
    """Sum of a * conj(b), in float64 or complex128."""
    wide = np.complex128 if np.iscomplexobj(a) else np.float64
    return np.sum(a.astype(wide) * np.conj(b.astype(wide)))


def assert_adjoint(rng, x, w, **options):
    """Check <conv(x, w), g> = <x, input gradient> = <w, weight gradient>.

    A constant padding is an offset that does not depend on the input, and is taken away there.
    """
    rank = w.ndim - 2
    y = FORWARD[rank](x, w, **options)
    g = random_array(rng, y.shape, x.dtype)
    offset = FORWARD[rank](np.zeros_like(x), w, **options)
    grad_input = INPUT_GRADIENT[rank](x.shape, w, g, **options)
    grad_weight = WEIGHT_GRADIENT[rank](x, w.shape, g, **options)
    tolerance = 1e-11 * (1 + inner(np.abs(y), np.abs(g)))
    assert abs(inner(y - offset, g) - inner(x, grad_input)) <= tolerance
    assert abs(inner(y, g) - inner(w, grad_weight)) <= tolerance


@pytest.mark.parametrize("algorithm", ["auto", *fastconv.algorithms()])
@pytest.mark.parametrize("dtype", FLOATS)
@pytest.mark.parametrize("channels_last", [False, True])
@pytest.mark.parametrize("rank", [1, 2, 3])
def test_every_rank_layout_and_dtype(rng, rank, channels_last, dtype, algorithm):
    x = to_layout(random_array(rng, (2, 4, *SIZES[rank]), dtype), channels_last)
    w = random_array(rng, (6, 2, *KERNELS[rank]), dtype)
    check_passes(
        rng,
        x,
        w,
        stride=(2, 1, 2)[:rank],
        padding=(1, 2, 1)[:rank],
        dilation=(1, 2, 2)[:rank],
        groups=2,
        layout=CHANNELS_LAST[rank] if channels_last else None,
        algorithm=algorithm,
    )


@pytest.mark.parametrize("flip", [False, True])
@pytest.mark.parametrize("padding", [0, 2, ((3, 1), (0, 4)), ((-1, 2), (1, -2)), "same", "full"])
@pytest.mark.parametrize("mode", PADDING_MODES)
def test_adjoint_for_every_padding(rng, mode, padding, flip):
    x = random_array(rng, (2, 3, 8, 9), np.float64)
    w = random_array(rng, (4, 3, 3, 2), np.float64)
    assert_adjoint(rng, x, w, padding=padding, flip=flip, **padding_options(mode, 1.5))


@pytest.mark.parametrize("mode", PADDING_MODES)
@pytest.mark.parametrize("stride", [1, 2, (3, 1)])
@pytest.mark.parametrize("dilation", [1, 2, (1, 3)])
def test_adjoint_for_strides_and_dilations(rng, mode, stride, dilation):
    x = random_array(rng, (2, 4, 8, 9), np.float64)
    w = random_array(rng, (6, 2, 3, 3), np.float64)
    assert_adjoint(
        rng, x, w, stride=stride, dilation=dilation, padding=2, padding_mode=mode, groups=2
    )


@pytest.mark.parametrize("rank", [1, 2, 3])
@pytest.mark.parametrize("channels_last", [False, True])
@pytest.mark.parametrize("mode", ["zeros", "reflect", "circular"])
@pytest.mark.parametrize("dtype", [np.float64, np.complex128])
def test_adjoint_for_ranks_layouts_and_complex_numbers(rng, rank, channels_last, mode, dtype):
    x = to_layout(random_array(rng, (2, 4, *SIZES[rank]), dtype), channels_last)
    w = random_array(rng, (4, 1, *KERNELS[rank]), dtype)
    layout = CHANNELS_LAST[rank] if channels_last else None
    assert_adjoint(rng, x, w, padding=1, padding_mode=mode, groups=4, layout=layout)
    assert_adjoint(rng, x[0], w, padding=1, padding_mode=mode, groups=4, layout=layout, flip=True)


@pytest.mark.parametrize("mode", PADDING_MODES)
@pytest.mark.parametrize("padding", [1, ((4, 0), (2, 5)), ((-2, 3), (3, -1)), "same_lower", "full"])
@pytest.mark.parametrize("channels_last", [False, True])
def test_padding_modes_against_the_reference(rng, mode, padding, channels_last):
    x = to_layout(random_array(rng, (2, 3, 6, 7), np.float32), channels_last)
    w = random_array(rng, (4, 3, 3, 3), np.float32)
    layout = "NHWC" if channels_last else "NCHW"
    check_passes(rng, x, w, padding=padding, layout=layout, **padding_options(mode, 0.5))


@pytest.mark.parametrize("stride", [2, 3, 5])
def test_elements_that_no_window_reaches_have_no_gradient(rng, stride):
    x = random_array(rng, (1, 2, 14, 14), np.float32)
    w = random_array(rng, (3, 2, 2, 2), np.float32)
    size = (14 - 2) // stride + 1
    g = random_array(rng, (1, 3, size, size), np.float32)
    gradient = check_input_gradient(x.shape, w, g, stride=stride)
    reached = (size - 1) * stride + 2
    assert not gradient[:, :, reached:].any()
    assert not gradient[..., reached:].any()
    check_weight_gradient(x, w.shape, g, stride=stride)


@pytest.mark.parametrize(
    ("groups", "channels", "outputs"), [(2, 6, 4), (4, 4, 4), (4, 4, 12), (16, 32, 16), (9, 9, 9)]
)
@pytest.mark.parametrize("channels_last", [False, True])
def test_groups_and_depthwise_multipliers(rng, groups, channels, outputs, channels_last):
    x = to_layout(random_array(rng, (2, channels, 8, 9), np.float32), channels_last)
    w = random_array(rng, (outputs, channels // groups, 3, 3), np.float32)
    layout = "NHWC" if channels_last else "NCHW"
    check_passes(rng, x, w, padding=1, groups=groups, layout=layout)


@pytest.mark.parametrize("rank", [1, 2, 3])
@pytest.mark.parametrize("channels_last", [False, True])
@pytest.mark.parametrize("dtype", FLOATS)
def test_backward_gives_all_three(rng, rank, channels_last, dtype):
    x = to_layout(random_array(rng, (2, 4, *SIZES[rank]), dtype), channels_last)
    w = random_array(rng, (6, 2, *KERNELS[rank]), dtype)
    layout = CHANNELS_LAST[rank] if channels_last else None
    options = {"stride": 2, "padding": 1, "groups": 2, "layout": layout, "flip": True}
    g = random_array(rng, reference.conv(x, w, **options).shape, dtype)
    grad_input, grad_weight, grad_bias = BACKWARD[rank](g, x, w, **options)
    np.testing.assert_array_equal(grad_input, INPUT_GRADIENT[rank](x.shape, w, g, **options))
    np.testing.assert_array_equal(grad_weight, WEIGHT_GRADIENT[rank](x, w.shape, g, **options))
    expected = reference.conv_bias(g, rank, layout=layout)
    assert grad_bias.dtype == dtype
    np.testing.assert_allclose(grad_bias, expected, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("mask", [(a, b, c) for a in (0, 1) for b in (0, 1) for c in (0, 1)])
def test_backward_computes_what_the_mask_asks_for(rng, mask):
    mask = tuple(map(bool, mask))
    x, w = random_array(rng, (2, 3, 6, 6), np.float64), random_array(rng, (4, 3, 2, 2), np.float64)
    g = random_array(rng, (2, 4, 5, 5), np.float64)
    everything = fastconv.conv2d_backward(g, x, w)
    results = fastconv.conv2d_backward(g, x, w, output_mask=mask)
    assert isinstance(results, tuple)
    for wanted, result, expected in zip(mask, results, everything, strict=True):
        if wanted:
            np.testing.assert_array_equal(result, expected)
        else:
            assert result is None


def test_backward_of_an_unbatched_item(rng):
    x, w = random_array(rng, (3, 6, 6), np.float64), random_array(rng, (4, 3, 2, 2), np.float64)
    g = random_array(rng, (4, 5, 5), np.float64)
    grad_input, grad_weight, grad_bias = fastconv.conv2d_backward(g, x, w)
    np.testing.assert_allclose(grad_input, reference.conv_input(x.shape, w, g), atol=1e-12)
    np.testing.assert_allclose(grad_weight, reference.conv_weight(x, w.shape, g), atol=1e-12)
    np.testing.assert_allclose(grad_bias, g.sum(axis=(1, 2)), atol=1e-12)


@pytest.mark.parametrize(("channels", "outputs", "taps"), [(3, 4, 2), (3, 40, 2), (40, 70, 1)])
def test_an_empty_batch_has_zero_weight_and_bias_gradients(channels, outputs, taps):
    x = np.zeros((0, channels, 6, 6), np.float32)
    w = np.ones((outputs, channels, taps, taps), np.float32)
    g = np.zeros((0, outputs, 7 - taps, 7 - taps), np.float32)
    grad_input, grad_weight, grad_bias = fastconv.conv2d_backward(g, x, w)
    assert grad_input.shape == x.shape
    np.testing.assert_array_equal(grad_weight, np.zeros_like(w))
    np.testing.assert_array_equal(grad_bias, np.zeros(outputs))


def test_the_gradient_without_output_channels_is_zero():
    gradient = fastconv.grad.conv2d_input(
        (2, 3, 6, 6), np.zeros((0, 3, 2, 2)), np.zeros((2, 0, 5, 5))
    )
    np.testing.assert_array_equal(gradient, np.zeros((2, 3, 6, 6)))


def test_out_receives_the_gradients(rng):
    x, w = random_array(rng, (2, 3, 6, 6), np.float32), random_array(rng, (4, 3, 2, 2), np.float32)
    g = random_array(rng, (2, 4, 5, 5), np.float32)
    for function, arguments, shape in (
        (fastconv.grad.conv2d_input, (x.shape, w, g), x.shape),
        (fastconv.grad.conv2d_weight, (x, w.shape, g), w.shape),
    ):
        out = np.full(shape, np.nan, np.float32)
        assert function(*arguments, out=out) is out
        np.testing.assert_array_equal(out, function(*arguments))


def test_gradients_against_finite_differences(rng):
    x, w = random_array(rng, (1, 2, 5, 6), np.float64), random_array(rng, (2, 2, 2, 3), np.float64)
    options = {"padding": ((2, 1), (0, 3)), "padding_mode": "reflect", "stride": (1, 2)}
    g = random_array(rng, fastconv.conv2d(x, w, **options).shape, np.float64)
    for array, gradient in (
        (x, fastconv.grad.conv2d_input(x.shape, w, g, **options)),
        (w, fastconv.grad.conv2d_weight(x, w.shape, g, **options)),
    ):
        for index in np.ndindex(*array.shape):
            kept = array[index]
            array[index] = kept + 0.5
            above = np.sum(g * fastconv.conv2d(x, w, **options))
            array[index] = kept - 0.5
            below = np.sum(g * fastconv.conv2d(x, w, **options))
            array[index] = kept
            # The forward pass is linear in each element, so the difference is exact.
            assert above - below == pytest.approx(gradient[index], abs=1e-10)


def test_large_reductions_stay_within_the_error_bound(rng):
    x = random_array(rng, (4, 2, 96, 96), np.float32) + 3
    g = random_array(rng, (4, 3, 94, 94), np.float32) + 2
    check_weight_gradient(x, (3, 2, 3, 3), g)


def test_integer_gradients_are_exact(rng):
    x = random_array(rng, (2, 3, 8, 8), np.int8)
    w = random_array(rng, (4, 3, 3, 3), np.int8)
    check_passes(rng, x, w, padding=1, padding_mode="symmetric")
    check_passes(rng, x.astype(np.int64) << 57, w.astype(np.int64), padding=1)


@pytest.mark.parametrize("padding_mode", ["reflect", "symmetric", "replicate", "circular"])
@pytest.mark.parametrize("layout", ["NCHW", "NHWC"])
def test_many_images_whose_padding_repeats_the_input(padding_mode, layout):
    """Images share items in the narrow regions of the padding, but not in the wide one inside."""
    rng = np.random.default_rng(0)
    weight = rng.integers(-3, 4, (16, 32, 3, 3)).astype(np.float32)
    gradient = rng.integers(-3, 4, (64, 16, 20, 20)).astype(np.float32)
    size = (32, 20, 20)
    if layout == "NHWC":
        gradient = np.ascontiguousarray(gradient.transpose(0, 2, 3, 1))
        size = (20, 20, 32)
    options = {"padding": 1, "padding_mode": padding_mode, "layout": layout}
    together = fastconv.grad.conv2d_input((64, *size), weight, gradient, **options)
    for image, result in zip(gradient, together, strict=True):
        alone = fastconv.grad.conv2d_input(size, weight, image, **options)
        np.testing.assert_array_equal(result, alone)
