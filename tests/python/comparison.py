"""What every test compares with: the NumPy reference, within the documented error."""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import Any

import numpy as np

import fastconv
from fastconv import reference

Array = np.ndarray[Any, np.dtype[Any]]

FORWARD = {1: fastconv.conv1d, 2: fastconv.conv2d, 3: fastconv.conv3d}
TRANSPOSE = {
    1: fastconv.conv_transpose1d,
    2: fastconv.conv_transpose2d,
    3: fastconv.conv_transpose3d,
}
INPUT_GRADIENT = {
    1: fastconv.grad.conv1d_input,
    2: fastconv.grad.conv2d_input,
    3: fastconv.grad.conv3d_input,
}
WEIGHT_GRADIENT = {
    1: fastconv.grad.conv1d_weight,
    2: fastconv.grad.conv2d_weight,
    3: fastconv.grad.conv3d_weight,
}
BACKWARD = {1: fastconv.conv1d_backward, 2: fastconv.conv2d_backward, 3: fastconv.conv3d_backward}

CHANNELS_LAST = {1: "NWC", 2: "NHWC", 3: "NDHWC"}
PADDING_MODES = ("zeros", "constant", "reflect", "symmetric", "replicate", "circular")
PASSES = ("forward", "backward_input", "backward_weight")

# They stay within the bound of direct sums. Others may transform them, "auto" included.
_DIRECT = ("depthwise", "direct", "separable", "reference")

# They say how to compute, not what.
_WITHOUT_INFLUENCE = ("algorithm", "precision", "threads")

_HALF_EPSILON = {"float16": 2.0**-10, "bfloat16": 2.0**-7}


def random_array(rng: np.random.Generator, shape: tuple[int, ...], dtype: Any) -> Array:
    """Draw numbers that use the whole range of small integers, or unit normal ones."""
    dtype = np.dtype(dtype)
    if dtype.kind == "b":
        return rng.integers(0, 2, shape).astype(dtype)
    if dtype.kind in "iu":
        limits = np.iinfo(dtype)
        return rng.integers(limits.min, limits.max, shape, endpoint=True, dtype=dtype.type).astype(
            dtype
        )
    values = rng.standard_normal(shape)
    if dtype.kind == "c":
        values = values + 1j * rng.standard_normal(shape)
    return values.astype(dtype)


def padding_options(mode: str, value: complex) -> dict[str, Any]:
    """Options of a padding mode; the constant one alone takes a value."""
    options: dict[str, Any] = {"padding_mode": mode}
    return {**options, "padding_value": value} if mode == "constant" else options


def to_layout(array: Array, channels_last: bool) -> Array:
    """Lay out an array (N, C, *spatial) contiguously with its channels first or last."""
    return np.ascontiguousarray(np.moveaxis(array, 1, -1) if channels_last else array)


def assert_matches(
    actual: Array,
    truth: Array,
    magnitude: Array,
    taps: int,
    dtype: Any,
    activation: str | None = None,
    transformed: bool = False,
) -> None:
    """Check shape, dtype, contiguity, and the error of each element.

    Integers are exact. Others are within ``16 * eps * sqrt(taps)`` of `magnitude`, the same sum
    over absolute values; half types are summed in float32 and then rounded once. What an algorithm
    may have `transformed` is within 1e-5 or 1e-13 of the largest sum, which is about four times
    ``magnitude / sqrt(taps)`` where signs are random.
    """
    assert type(actual) is np.ndarray
    assert actual.dtype == dtype
    assert actual.dtype.isnative
    assert actual.shape == truth.shape
    assert actual.flags.c_contiguous
    if actual.dtype.kind in "iu":
        np.testing.assert_array_equal(actual, truth)
        return
    half = _HALF_EPSILON.get(actual.dtype.name)
    if half is None:
        epsilon, rounding = float(np.finfo(actual.dtype).eps), 0.0
    else:
        epsilon, rounding = 2.0**-23, half
    bound = 16 * epsilon * np.sqrt(max(taps, 1)) * magnitude
    if transformed and magnitude.size:
        tolerance = 1e-13 if actual.dtype in (np.float64, np.complex128) else 1e-5
        bound = np.maximum(bound, tolerance * 4 * magnitude.max() / np.sqrt(max(taps, 1)))
    if activation is not None:
        # No activation is steeper than 1.13; its own evaluation adds a few roundings.
        bound = 1.13 * bound + 8 * epsilon * (np.abs(magnitude) + 1)
    bound = bound + rounding * np.abs(truth) + (2.0**-24 if half is not None else 0.0)
    wide = actual.astype(np.complex128 if actual.dtype.kind == "c" else np.float64)
    error = np.abs(wide - truth)
    excess = error - bound
    assert not excess.size or excess.max() <= 0, (
        f"error {error.flat[excess.argmax()]:.3g} exceeds {bound.flat[excess.argmax()]:.3g} at "
        f"{np.unravel_index(excess.argmax(), excess.shape)}"
    )


def check_forward(x: Array, w: Array, bias: Array | None = None, **options: Any) -> Array:
    """Compare a forward call with the reference, and return its result."""
    actual = FORWARD[w.ndim - 2](x, w, bias, **options)
    described = _without_execution(options)
    dtype = reference.conv(x, w, bias, **described).dtype
    arrays = [_widened(a, dtype) for a in (x, w, bias)]
    truth = reference.conv(*arrays, **described)
    magnitude = reference.conv(*map(_magnitude, arrays), **_magnitudes(described))
    assert_matches(
        actual,
        truth,
        magnitude,
        w[0].size + 1,
        dtype,
        activation=options.get("activation"),
        transformed=_may_transform(options),
    )
    return actual


def check_transpose(x: Array, w: Array, bias: Array | None = None, **options: Any) -> Array:
    """Compare a transposed convolution with the reference, and return its result."""
    actual = TRANSPOSE[w.ndim - 2](x, w, bias, **options)
    described = _without_execution(options)
    dtype = reference.conv_transpose(x, w, bias, **described).dtype
    arrays = [_widened(a, dtype) for a in (x, w, bias)]
    truth = reference.conv_transpose(*arrays, **described)
    magnitude = reference.conv_transpose(*map(_magnitude, arrays), **_magnitudes(described))
    assert_matches(
        actual,
        truth,
        magnitude,
        _taps_of_channels(w, options) + 1,
        dtype,
        activation=options.get("activation"),
        transformed=_may_transform(options),
    )
    return actual


def check_input_gradient(
    input_size: tuple[int, ...], w: Array, grad_output: Array, **options: Any
) -> Array:
    """Compare a gradient with respect to the input with the reference, and return it."""
    actual = INPUT_GRADIENT[w.ndim - 2](input_size, w, grad_output, **options)
    assert_are_input_gradients((actual,), input_size, w, grad_output, **options)
    return actual


def assert_are_input_gradients(
    results: Iterable[Array],
    input_size: tuple[int, ...],
    w: Array,
    grad_output: Array,
    **options: Any,
) -> None:
    """Compare several results of the same gradient with the reference."""
    described = _without_execution(options)
    dtype = reference.conv_input(input_size, w, grad_output, **described).dtype
    arrays = [_widened(a, dtype) for a in (w, grad_output)]
    truth = reference.conv_input(input_size, *arrays, **described)
    magnitude = reference.conv_input(input_size, *map(_magnitude, arrays), **_magnitudes(described))
    taps = _taps_of_channels(w, options)
    for actual in results:
        assert_matches(actual, truth, magnitude, taps, dtype, transformed=_may_transform(options))


def check_weight_gradient(
    x: Array, weight_size: tuple[int, ...], grad_output: Array, **options: Any
) -> Array:
    """Compare a gradient with respect to the weight with the reference, and return it."""
    actual = WEIGHT_GRADIENT[len(weight_size) - 2](x, weight_size, grad_output, **options)
    assert_are_weight_gradients((actual,), x, weight_size, grad_output, **options)
    return actual


def assert_are_weight_gradients(
    results: Iterable[Array],
    x: Array,
    weight_size: tuple[int, ...],
    grad_output: Array,
    **options: Any,
) -> None:
    """Compare several results of the same gradient with the reference."""
    described = _without_execution(options)
    dtype = reference.conv_weight(x, weight_size, grad_output, **described).dtype
    inputs, grads = _widened(x, dtype), _widened(grad_output, dtype)
    truth = reference.conv_weight(inputs, weight_size, grads, **described)
    magnitude = reference.conv_weight(
        _magnitude(inputs), weight_size, _magnitude(grads), **_magnitudes(described)
    )
    # Each element is a sum over images and positions.
    taps = grad_output.size // max(1, weight_size[0])
    for actual in results:
        assert_matches(actual, truth, magnitude, taps, dtype, transformed=_may_transform(options))


def check_passes(rng: np.random.Generator, x: Array, w: Array, **options: Any) -> None:
    """Compare the forward pass and its gradients, one by one and both at once."""
    grad = random_array(rng, reference.conv(x, w, **_without_execution(options)).shape, x.dtype)
    rank = w.ndim - 2
    check_forward(x, w, **options)
    of_input = INPUT_GRADIENT[rank](x.shape, w, grad, **options)
    of_weight = WEIGHT_GRADIENT[rank](x, w.shape, grad, **options)
    both = BACKWARD[rank](grad, x, w, output_mask=(True, True, False), **options)
    assert both[0] is not None
    assert both[1] is not None
    assert_are_input_gradients((of_input, both[0]), x.shape, w, grad, **options)
    assert_are_weight_gradients((of_weight, both[1]), x, w.shape, grad, **options)


def check_pass(name: str, x: Array, w: Array, grad_output: Array, **options: Any) -> None:
    """Compare the pass of this name with the reference."""
    if name == "forward":
        check_forward(x, w, **options)
    elif name == "backward_input":
        check_input_gradient(x.shape, w, grad_output, **options)
    else:
        check_weight_gradient(x, w.shape, grad_output, **options)


def _may_transform(options: dict[str, Any]) -> bool:
    return options.get("algorithm", "auto") not in _DIRECT and options.get("precision") != "strict"


def _taps_of_channels(w: Array, options: dict[str, Any]) -> int:
    """Count the products of a sum over the first axis of the weight: one group's, and the taps."""
    return w.shape[0] // options.get("groups", 1) * math.prod(w.shape[2:])


def _without_execution(options: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in options.items() if name not in _WITHOUT_INFLUENCE}


def _magnitudes(options: dict[str, Any]) -> dict[str, Any]:
    """Options of the same sum over absolute values, before any activation."""
    options = {name: value for name, value in options.items() if name != "activation"}
    if "padding_value" in options:
        options["padding_value"] = abs(options["padding_value"])
    return options


def _magnitude(array: Array | None) -> Array | None:
    return None if array is None else np.abs(array)


def _widened(array: Array | None, result: np.dtype[Any]) -> Array | None:
    if array is None or result.kind in "iu":
        return array
    return array.astype(np.complex128 if result.kind == "c" else np.float64)
