"""Random problems over all options, in every pass, against the reference."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np
from hypothesis import assume, given
from hypothesis import strategies as st

import fastconv
from comparison import (
    CHANNELS_LAST,
    PADDING_MODES,
    check_forward,
    check_input_gradient,
    check_transpose,
    check_weight_gradient,
    padding_options,
    random_array,
    to_layout,
)
from fastconv import reference

DTYPES = ("float32", "float64", "complex64", "complex128", "float16", "int8", "uint8", "int32")


@dataclass
class Operands:
    """Two operands with the options of one call."""

    input: np.ndarray
    weight: np.ndarray
    bias: np.ndarray | None
    seed: int
    options: dict[str, Any] = field(default_factory=dict)

    def __repr__(self) -> str:
        return (
            f"{self.input.dtype} {self.input.shape} by {self.weight.shape}, strides "
            f"{self.input.strides}, bias {self.bias is not None}, seed {self.seed}, {self.options}"
        )


def per_axis(draw, rank, values):
    """One integer for all axes, or one for each."""
    return draw(values) if draw(st.booleans()) else tuple(draw(values) for _ in range(rank))


def memory_order(draw, array):
    """The same numbers with other strides."""
    order = draw(st.permutations(range(array.ndim)))
    array = np.ascontiguousarray(array.transpose(order)).transpose(np.argsort(order))
    axis = draw(st.integers(0, array.ndim - 1))
    return np.flip(np.flip(array, axis).copy(), axis) if draw(st.booleans()) else array


@st.composite
def operands(draw, transposed=False):
    rank = draw(st.integers(1, 3))
    groups = draw(st.sampled_from([1, 1, 1, 2, 3, 4]))
    channels = groups * draw(st.integers(1, 5))
    outputs = groups * draw(st.integers(1, 5))
    largest = {1: 40, 2: 14, 3: 7}[rank]
    sizes = tuple(draw(st.integers(1, largest)) for _ in range(rank))
    kernel = tuple(draw(st.integers(1, 5 if rank < 3 else 3)) for _ in range(rank))
    dtype = draw(st.sampled_from(DTYPES))
    seed = draw(st.integers(0, 2**32 - 1))
    rng = np.random.default_rng(seed)

    channels_last = draw(st.booleans())
    x = random_array(rng, (draw(st.integers(1, 3)), channels, *sizes), dtype)
    x = memory_order(draw, to_layout(x, channels_last))
    if draw(st.integers(0, 3)) == 0:
        x = x[0]
    shape = (channels, outputs // groups) if transposed else (outputs, channels // groups)
    w = memory_order(draw, random_array(rng, (*shape, *kernel), dtype))
    bias = random_array(rng, (outputs,), dtype) if draw(st.booleans()) else None

    options = {
        "stride": per_axis(draw, rank, st.integers(1, 4)),
        "dilation": per_axis(draw, rank, st.integers(1, 3)),
        "groups": groups,
        "layout": CHANNELS_LAST[rank] if channels_last else None,
        "flip": draw(st.booleans()),
        "algorithm": draw(st.sampled_from(["auto", *fastconv.algorithms()])),
        "threads": draw(st.integers(1, 3)),
    }
    amounts = st.integers(0 if transposed else -2, 2 if transposed else 8)
    options["padding"] = draw(
        st.one_of(
            amounts,
            st.tuples(*[amounts] * rank),
            st.tuples(*[st.tuples(amounts, amounts)] * rank),
            *([] if transposed else [st.sampled_from(["valid", "same", "same_lower", "full"])]),
        )
    )
    if transposed:
        options["output_padding"] = draw(st.integers(0, 1)) * int(
            min(np.broadcast_to(options["stride"], rank)) > 1
        )
    else:
        mode = draw(st.sampled_from(PADDING_MODES))
        options.update(padding_options(mode, draw(st.integers(0, 3))))
    return Operands(x, w, bias, seed, options)


def fits(call, *arguments, **options):
    """The shape of the reference's result, or None where the operands do not fit each other."""
    options = {k: v for k, v in options.items() if k not in ("algorithm", "threads")}
    try:
        return call(*arguments, **options).shape
    except ValueError:
        return None


def checked(check, *arguments, **options):
    """Check with "auto" what the drawn algorithm refuses."""
    try:
        check(*arguments, **options)
    except fastconv.UnsupportedError as error:
        if options["algorithm"] in ("auto", "direct") or "refuses" not in str(error):
            raise
        check(*arguments, **{**options, "algorithm": "auto"})


@given(operands())
def test_forward_and_gradients(case):
    shape = fits(reference.conv, case.input, case.weight, **case.options)
    assume(shape is not None)
    checked(check_forward, case.input, case.weight, case.bias, **case.options)
    g = random_array(np.random.default_rng(case.seed + 1), shape, case.input.dtype)
    checked(check_input_gradient, case.input.shape, case.weight, g, **case.options)
    checked(check_weight_gradient, case.input, case.weight.shape, g, **case.options)


@given(operands(transposed=True))
def test_transposed(case):
    shape = fits(reference.conv_transpose, case.input, case.weight, **case.options)
    assume(shape is not None)
    assume(0 not in shape)
    checked(check_transpose, case.input, case.weight, case.bias, **case.options)


@given(operands(), st.sampled_from(["relu", "leaky_relu", "relu6", "silu", "gelu", "tanh"]))
def test_activations(case, activation):
    if case.input.dtype.kind == "c":
        case.input, case.weight = case.input.real, case.weight.real
        case.bias = None if case.bias is None else case.bias.real
    if case.input.dtype.kind in "iu":
        activation = "relu6" if activation == "relu6" else "relu"
    assume(fits(reference.conv, case.input, case.weight, **case.options) is not None)
    checked(
        check_forward, case.input, case.weight, case.bias, activation=activation, **case.options
    )
