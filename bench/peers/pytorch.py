"""PyTorch on the CPU, which is oneDNN for most shapes, in both of its memory formats."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch

from peers import Array, Operands, Peer
from problem_lines import Problem

_CONVOLUTIONS = {
    1: torch.nn.functional.conv1d,
    2: torch.nn.functional.conv2d,
    3: torch.nn.functional.conv3d,
}
_CHANNELS_LAST = {2: torch.channels_last, 3: torch.channels_last_3d}


class PyTorch:
    """``torch.nn.functional.conv*`` and ``aten::convolution_backward``."""

    def __init__(self, layout: str) -> None:
        self.name = f"torch {layout}"
        self.layout = layout

    def supports(self, problem: Problem, pass_name: str) -> bool:
        """Whether the memory format exists and the dtype has this pass."""
        if min(problem.padding) < 0 or (self.layout == "NHWC" and problem.rank == 1):
            return False
        if problem.dtype.startswith("complex"):
            return pass_name == "forward"
        return problem.dtype.startswith(("float", "bfloat"))

    def prepare(
        self, problem: Problem, pass_name: str, operands: Operands
    ) -> Callable[[], torch.Tensor]:
        """Wrap the arrays; a backward call computes the one gradient that is asked for."""
        x, w, g = (
            self._tensor(array, problem.rank)
            for array in (operands.input, operands.weight, operands.grad_output)
        )
        stride, padding, dilation = problem.stride, problem.padding, problem.dilation
        groups = problem.groups
        if pass_name == "forward":
            convolution = _CONVOLUTIONS[problem.rank]
            return lambda: convolution(x, w, None, stride, padding, dilation, groups)
        index = 0 if pass_name == "backward_input" else 1
        mask = [index == 0, index == 1, False]
        backward = torch.ops.aten.convolution_backward
        zeros = [0] * problem.rank

        def call() -> Any:
            return backward(g, x, w, None, stride, padding, dilation, False, zeros, groups, mask)[
                index
            ]

        return call

    def to_numpy(self, result: torch.Tensor, problem: Problem, pass_name: str) -> Array:
        """Shapes are channels first in either memory format."""
        return result.numpy()

    def _tensor(self, array: Array, rank: int) -> torch.Tensor:
        tensor = torch.from_numpy(array)
        if self.layout == "NHWC":
            return tensor.contiguous(memory_format=_CHANNELS_LAST[rank])
        return tensor


def create(threads: int) -> list[Peer]:
    """Both memory formats, limited to `threads`."""
    torch.set_num_threads(threads)
    return [PyTorch("NCHW"), PyTorch("NHWC")]
