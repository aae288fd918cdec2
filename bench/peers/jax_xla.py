"""JAX on the CPU: ``lax.conv_general_dilated``, compiled before it is timed, in both layouts."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import jax
import numpy as np

from peers import Array, Operands, Peer
from problem_lines import Problem


class Jax:
    """A jitted convolution, or the one gradient that is asked for by ``jax.vjp``."""

    def __init__(self, layout: str) -> None:
        self.name = f"jax {layout}"
        self.layout = layout

    def supports(self, problem: Problem, pass_name: str) -> bool:
        """Everything but complex gradients, which JAX does not conjugate."""
        if problem.dtype.startswith("complex"):
            return pass_name == "forward"
        return problem.dtype.startswith(("float", "bfloat"))

    def prepare(
        self, problem: Problem, pass_name: str, operands: Operands
    ) -> Callable[[], jax.Array]:
        """Compile for the problem's shapes."""
        spatial = "DHW"[3 - problem.rank :]
        names = ("NC" + spatial, "OI" + spatial)
        if self.layout == "NHWC":
            names = ("N" + spatial + "C", spatial + "IO")

        def convolution(x: Any, w: Any) -> Any:
            return jax.lax.conv_general_dilated(
                x,
                w,
                problem.stride,
                [(amount, amount) for amount in problem.padding],
                rhs_dilation=problem.dilation,
                dimension_numbers=(names[0], names[1], names[0]),
                feature_group_count=problem.groups,
            )

        def input_gradient(x: Any, w: Any, g: Any) -> Any:
            return jax.vjp(lambda x: convolution(x, w), x)[1](g)[0]

        def weight_gradient(x: Any, w: Any, g: Any) -> Any:
            return jax.vjp(lambda w: convolution(x, w), w)[1](g)[0]

        x, g = (
            jax.numpy.asarray(self._channels(array, 1, -1))
            for array in (operands.input, operands.grad_output)
        )
        w = jax.numpy.asarray(self._weight(operands.weight))
        if pass_name == "forward":
            forward = jax.jit(convolution).lower(x, w).compile()
            return lambda: forward(x, w).block_until_ready()
        gradient = input_gradient if pass_name == "backward_input" else weight_gradient
        backward = jax.jit(gradient).lower(x, w, g).compile()
        return lambda: backward(x, w, g).block_until_ready()

    def to_numpy(self, result: jax.Array, problem: Problem, pass_name: str) -> Array:
        """Channels first again."""
        array = np.asarray(result)
        if pass_name == "backward_weight" and self.layout == "NHWC":
            return np.moveaxis(array, (-1, -2), (0, 1))
        return self._channels(array, -1, 1) if pass_name != "backward_weight" else array

    def _channels(self, array: Array, source: int, target: int) -> Array:
        return np.moveaxis(array, source, target) if self.layout == "NHWC" else array

    def _weight(self, array: Array) -> Array:
        return np.moveaxis(array, (0, 1), (-1, -2)) if self.layout == "NHWC" else array


def create(threads: int) -> list[Peer]:
    """Both layouts. XLA takes its number of threads from the environment when it is imported."""
    jax.config.update("jax_platforms", "cpu")  # type: ignore[no-untyped-call]
    jax.config.update("jax_enable_x64", True)  # type: ignore[no-untyped-call]
    return [Jax("NCHW"), Jax("NHWC")]
