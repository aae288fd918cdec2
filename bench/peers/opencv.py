"""OpenCV: ``filter2D`` once for each output channel, where each sees one input channel."""

from __future__ import annotations

from collections.abc import Callable

import cv2
import numpy as np

from peers import Array, Operands, Peer
from problem_lines import Problem


class Filter2D:
    """``filter2D`` with a constant border is the correlation that keeps the image's size."""

    name = "opencv"
    layout = "NCHW"

    def supports(self, problem: Problem, pass_name: str) -> bool:
        """Dense stride-1 planes with odd kernels; see `_margins` for the padding."""
        if problem.rank != 2 or problem.dtype not in ("float32", "float64"):
            return False
        if problem.input_channels != problem.groups or any(k % 2 == 0 for k in problem.kernel_size):
            return False
        if max(problem.stride + problem.dilation) > 1:
            return False
        if pass_name == "forward":
            return min(_margins(problem)) >= 0
        one_each = problem.output_channels == problem.groups
        return pass_name == "backward_input" and one_each and not any(_margins(problem))

    def prepare(
        self, problem: Problem, pass_name: str, operands: Operands
    ) -> Callable[[], list[Array]]:
        """Mirror the kernels for the gradient, which is then the same correlation."""
        kernels = operands.weight[:, 0]
        source = operands.input
        if pass_name == "backward_input":
            kernels = np.ascontiguousarray(kernels[:, ::-1, ::-1])
            source = operands.grad_output
        multiplier = problem.output_channels // problem.groups
        pairs = [
            (source[item, channel // multiplier], kernel)
            for item in range(problem.batch)
            for channel, kernel in enumerate(kernels)
        ]
        border = cv2.BORDER_CONSTANT
        return lambda: [
            cv2.filter2D(plane, -1, kernel, borderType=border) for plane, kernel in pairs
        ]

    def to_numpy(self, result: list[Array], problem: Problem, pass_name: str) -> Array:
        """Stack the planes, without the margins that an unpadded convolution does not have."""
        top, left = _margins(problem) if pass_name == "forward" else (0, 0)
        planes = np.stack(result)
        cropped = planes[:, top : planes.shape[1] - top, left : planes.shape[2] - left]
        return cropped.reshape(problem.batch, -1, *cropped.shape[1:])


def _margins(problem: Problem) -> tuple[int, int]:
    """How far the padding falls short of keeping the image's size, in each axis."""
    (height, width), (above, left) = problem.kernel_size, problem.padding
    return (height - 1) // 2 - above, (width - 1) // 2 - left


def create(threads: int) -> list[Peer]:
    """One peer, limited to `threads`."""
    cv2.setNumThreads(threads)
    return [Filter2D()]
