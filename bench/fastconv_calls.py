"""The two ways to call fastconv that are measured: the plain function, and a plan made before."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

import fastconv
from peers import Array, Operands
from problem_lines import Problem

PLAIN = "fastconv"
PLANNED = "fastconv plan"


def plain_call(
    problem: Problem, pass_name: str, operands: Operands, algorithm: str = "auto"
) -> Callable[[], Array]:
    """Wrap the function that most programs call, such as ``fastconv.conv2d``.

    Parameters
    ----------
    problem : Problem
    pass_name : {"forward", "backward_input", "backward_weight"}
    operands : Operands
        Channels first; the call gets them in the problem's layout.
    algorithm : str, default "auto"
        One of ``fastconv.algorithms()``.

    Returns
    -------
    callable
        Computes the pass; the result is in the problem's layout.
    """
    x, w, g = in_layout(problem, operands)
    geometry = (problem.stride, problem.padding, problem.dilation, problem.groups)
    options: dict[str, Any] = {"algorithm": algorithm} if algorithm != "auto" else {}
    if problem.layout == "NHWC":
        options["layout"] = problem.layout_name
    name = f"conv{problem.rank}d"
    if pass_name == "forward":
        forward = getattr(fastconv, name)
        return lambda: forward(x, w, None, *geometry, **options)
    if pass_name == "backward_input":
        backward_input = getattr(fastconv.grad, f"{name}_input")
        return lambda: backward_input(x.shape, w, g, *geometry, **options)
    backward_weight = getattr(fastconv.grad, f"{name}_weight")
    return lambda: backward_weight(x, w.shape, g, *geometry, **options)


def planned_call(
    problem: Problem, pass_name: str, operands: Operands
) -> tuple[Callable[[], Array], Any]:
    """Make a plan that holds the weight, and wrap the call of it that computes the pass.

    Parameters
    ----------
    problem : Problem
    pass_name : {"forward", "backward_input", "backward_weight"}
    operands : Operands

    Returns
    -------
    call : callable
        Computes the pass; the result is in the problem's layout.
    plan : fastconv.ConvPlan
        For its algorithm and workspace.
    """
    x, w, g = in_layout(problem, operands)
    plan = fastconv.plan(
        w,
        x.shape,
        problem.stride,
        problem.padding,
        problem.dilation,
        problem.groups,
        layout=problem.layout_name,
        passes=(pass_name,),
    )
    calls: dict[str, Callable[[], Array]] = {
        "forward": lambda: plan(x),
        "backward_input": lambda: plan.backward_input(g),
        "backward_weight": lambda: plan.backward_weight(x, g),
    }
    return calls[pass_name], plan


def in_layout(problem: Problem, operands: Operands) -> tuple[Array, Array, Array]:
    """Copy input and output gradient into the problem's layout; the weight has but one."""
    x, g = operands.input, operands.grad_output
    if problem.layout == "NHWC":
        x, g = (np.ascontiguousarray(np.moveaxis(array, 1, -1)) for array in (x, g))
    return x, operands.weight, g


def channels_first(result: Array, problem: Problem, pass_name: str) -> Array:
    """Undo the layout of a result, so that it compares with a peer's."""
    if problem.layout == "NHWC" and pass_name != "backward_weight":
        return np.moveaxis(result, -1, 1)
    return result
