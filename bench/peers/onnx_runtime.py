"""onnxruntime: a model of one ``Conv``, or one ``ConvTranspose`` for the input gradient."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import onnxruntime
from onnx import TensorProto, helper, numpy_helper

from peers import Array, Operands, Peer
from problem_lines import Problem

_OPSET = 13
_IR_VERSION = 8


class OnnxRuntime:
    """A session with the weight as a constant, so that its packing is not measured."""

    name = "onnxruntime"
    layout = "NCHW"

    def __init__(self, threads: int) -> None:
        self._threads = threads

    def supports(self, problem: Problem, pass_name: str) -> bool:
        """``Conv`` on the CPU is for float32; there is no weight gradient."""
        if pass_name == "backward_weight" or problem.dtype != "float32":
            return False
        return min(problem.padding) >= 0

    def prepare(
        self, problem: Problem, pass_name: str, operands: Operands
    ) -> Callable[[], list[Array]]:
        """Build the model and its session."""
        attributes: dict[str, Any] = {
            "kernel_shape": problem.kernel_size,
            "strides": problem.stride,
            "dilations": problem.dilation,
            "pads": problem.padding * 2,
            "group": problem.groups,
        }
        source, result = operands.input, operands.grad_output
        operator = "Conv"
        if pass_name == "backward_input":
            source, result = result, source
            operator = "ConvTranspose"
            attributes["output_padding"] = _remainders(problem)
        graph = helper.make_graph(
            [helper.make_node(operator, ["x", "w"], ["y"], **attributes)],
            "convolution",
            [helper.make_tensor_value_info("x", TensorProto.FLOAT, source.shape)],
            [helper.make_tensor_value_info("y", TensorProto.FLOAT, result.shape)],
            [numpy_helper.from_array(operands.weight, "w")],
        )
        model = helper.make_model(
            graph, opset_imports=[helper.make_opsetid("", _OPSET)], ir_version=_IR_VERSION
        )
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = self._threads
        options.inter_op_num_threads = 1
        session = onnxruntime.InferenceSession(
            model.SerializeToString(), options, providers=["CPUExecutionProvider"]
        )
        feed = {"x": source}
        return lambda: session.run(None, feed)

    def to_numpy(self, result: list[Array], problem: Problem, pass_name: str) -> Array:
        """The session returns a list of one array."""
        return result[0]


def _remainders(problem: Problem) -> list[int]:
    """Input elements that no window reaches: what a transposed convolution has to append."""
    axes = zip(
        problem.input_size,
        problem.output_size,
        problem.kernel_size,
        problem.stride,
        problem.padding,
        problem.dilation,
        strict=True,
    )
    return [n + 2 * p - d * (k - 1) - 1 - (o - 1) * s for n, o, k, s, p, d in axes]


def create(threads: int) -> list[Peer]:
    """One peer; onnxruntime's CPU convolutions are channels first."""
    return [OnnxRuntime(threads)]
