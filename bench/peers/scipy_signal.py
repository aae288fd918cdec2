"""SciPy: ``fftconvolve``, ``oaconvolve`` and ``ndimage.correlate`` for channels on their own."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import scipy.ndimage
import scipy.signal

from peers import Array, Operands, Peer
from problem_lines import Problem

_MOST_DIRECT_MULTIPLY_ADDS = 2_000_000_000


def _is_channelwise(problem: Problem) -> bool:
    """Whether each output channel sees one input channel, at every position of a dense kernel."""
    return problem.input_channels == problem.groups and max(problem.stride + problem.dilation) == 1


class FourierConvolution:
    """``scipy.signal.fftconvolve`` or ``oaconvolve``, over all channels at once."""

    layout = "NCHW"

    def __init__(self, function: Callable[..., Array]) -> None:
        self.name = f"scipy {function.__name__}"
        self._function = function

    def supports(self, problem: Problem, pass_name: str) -> bool:
        """Padding that is one of SciPy's modes, in the pass's own convolution."""
        if not _is_channelwise(problem) or not problem.dtype.startswith(("float", "complex")):
            return False
        if problem.dtype == "float16" or _mode(problem) is None:
            return False
        if pass_name == "backward_input":
            return problem.output_channels == problem.groups
        return pass_name == "forward" or _mode(problem) == "valid"

    def prepare(self, problem: Problem, pass_name: str, operands: Operands) -> Callable[[], Array]:
        """Mirror what has to be mirrored, as these functions convolve strictly."""
        axes = tuple(range(-problem.rank, 0))
        mode = _mode(problem)
        shape = (problem.batch, problem.groups, -1)
        x = operands.input.reshape(*shape, *problem.input_size)
        w = operands.weight.reshape(1, problem.groups, -1, *problem.kernel_size)
        g = operands.grad_output.reshape(*shape, *problem.output_size)
        function: Callable[..., Any] = self._function
        if pass_name == "forward":
            mirrored = np.ascontiguousarray(np.flip(w, axes))
            repeated = np.broadcast_to(x, (*x.shape[:2], w.shape[2], *problem.input_size))
            return lambda: function(repeated, mirrored, mode, axes)
        if pass_name == "backward_input":
            opposite = {"full": "valid", "same": "same", "valid": "full"}[str(mode)]
            adjoint = w.conj()
            return lambda: function(g, adjoint, opposite, axes)
        mirrored = np.ascontiguousarray(np.flip(g, axes))
        conjugated = x.conj()
        if problem.batch == 1:
            return lambda: function(conjugated, mirrored, "valid", axes)
        return lambda: function(conjugated, mirrored, "valid", axes).sum(0)

    def to_numpy(self, result: Array, problem: Problem, pass_name: str) -> Array:
        """Merge groups and channel multipliers into channels."""
        if pass_name == "forward":
            return result.reshape(problem.batch, problem.output_channels, *problem.output_size)
        if pass_name == "backward_input":
            return result.reshape(problem.batch, problem.input_channels, *problem.input_size)
        return result.reshape(problem.weight_shape)


class ImageCorrelation:
    """``scipy.ndimage.correlate``, once for each output channel."""

    name = "scipy ndimage"
    layout = "NCHW"

    def supports(self, problem: Problem, pass_name: str) -> bool:
        """Forward with odd kernels and the padding that keeps the size, if it ends in seconds."""
        return (
            pass_name == "forward"
            and problem.dtype in ("float32", "float64")
            and _is_channelwise(problem)
            and _mode(problem) == "same"
            and problem.multiply_adds < _MOST_DIRECT_MULTIPLY_ADDS
        )

    def prepare(self, problem: Problem, pass_name: str, operands: Operands) -> Callable[[], Array]:
        """Allocate the result, which the calls fill."""
        multiplier = problem.output_channels // problem.groups
        result = np.empty_like(operands.grad_output)
        calls = [
            (operands.input[item, channel // multiplier], kernel, result[item, channel])
            for item in range(problem.batch)
            for channel, kernel in enumerate(operands.weight[:, 0])
        ]

        def call() -> Array:
            for image, kernel, output in calls:
                scipy.ndimage.correlate(image, kernel, output, mode="constant")
            return result

        return call

    def to_numpy(self, result: Array, problem: Problem, pass_name: str) -> Array:
        """Already as it should be."""
        return result


def _mode(problem: Problem) -> str | None:
    """The name that SciPy has for the problem's padding."""
    axes = list(zip(problem.kernel_size, problem.padding, strict=True))
    if all(p == 0 for _, p in axes):
        return "valid" if _fits(problem) else None
    if all(p == k - 1 for k, p in axes):
        return "full"
    return "same" if all(2 * p == k - 1 for k, p in axes) else None


def _fits(problem: Problem) -> bool:
    return all(k <= n for k, n in zip(problem.kernel_size, problem.input_size, strict=True))


def create(threads: int) -> list[Peer]:
    """Three peers; all of SciPy's convolutions use one thread."""
    return [
        FourierConvolution(scipy.signal.fftconvolve),
        FourierConvolution(scipy.signal.oaconvolve),
        ImageCorrelation(),
    ]
