"""Check that ``algorithm="auto"`` picks the fastest algorithm, or nearly.

Every algorithm that takes a problem is timed in turn (A B C A B C, medians) in every pass and both
layouts, on one thread. A choice counts as good if it takes at most a tenth longer than the fastest.
`reference`, the plain loops, is left out. Every miss is printed, and the share of good choices.
"""

from __future__ import annotations

import argparse
import dataclasses
import os
import sys
from collections.abc import Iterator, Sequence

import numpy as np

import fastconv
from fastconv_calls import plain_call, planned_call
from interleaved import Contender, measure
from peers import Operands
from problem_lines import LAYOUTS, PASSES, Problem, select_problems

_EXAMPLES = """\
examples:
  python bench/check_selection.py
  python bench/check_selection.py --rows networks.txt --filter depthwise --passes forward
"""
_TOLERANCE = 1.1
_MOST_MULTIPLY_ADDS = 5e9


@dataclasses.dataclass(frozen=True)
class Choice:
    """What was chosen for one problem, and what each algorithm took.

    Parameters
    ----------
    row : str
    chosen : str
    seconds : dict of str to float
        By algorithm, those that refuse left out.
    """

    row: str
    chosen: str
    seconds: dict[str, float]

    @property
    def loss(self) -> float:
        """Time of the chosen algorithm over that of the fastest."""
        return self.seconds[self.chosen] / min(self.seconds.values())

    @property
    def line(self) -> str:
        """One line of output."""
        times = "  ".join(f"{name} {s * 1e3:.3f}" for name, s in self.seconds.items())
        mark = "" if self.loss <= _TOLERANCE else f"  <- {self.loss:.2f} times the fastest"
        return f"{self.row:58s} {self.chosen:10s} {times}{mark}"


def main(arguments: Sequence[str] | None = None) -> int:
    """Time all algorithms on the chosen rows and print the share of good choices."""
    options = _parser().parse_args(arguments)
    if hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})
    fastconv.set_num_threads(1)
    problems = [
        problem
        for problem in select_problems(options.rows, options.filter)
        if problem.multiply_adds <= _MOST_MULTIPLY_ADDS
    ]
    choices = []
    for choice in _choices(problems, options.passes, options.seconds):
        choices.append(choice)
        if options.verbose or choice.loss > _TOLERANCE:
            print(choice.line, flush=True)
        elif sys.stderr.isatty():
            print(f"\r{len(choices)} rows", end="", file=sys.stderr, flush=True)
    good = sum(choice.loss <= _TOLERANCE for choice in choices)
    open_to_choice = [choice for choice in choices if len(choice.seconds) > 1]
    good_open = sum(choice.loss <= _TOLERANCE for choice in open_to_choice)
    print(f"within 10% of the fastest: {good} of {len(choices)} rows")
    print(f"among rows that several algorithms take: {good_open} of {len(open_to_choice)}")
    return 0


def _choices(
    problems: Sequence[Problem], passes: Sequence[str], seconds: float
) -> Iterator[Choice]:
    for problem in problems:
        operands = _random_operands(problem)
        for layout in LAYOUTS:
            laid_out = dataclasses.replace(problem, layout=layout)
            for pass_name in passes:
                if pass_name in problem.passes:
                    yield _timed(laid_out, pass_name, operands, seconds)


def _random_operands(problem: Problem) -> Operands:
    rng = np.random.default_rng(0)
    channels_first = dataclasses.replace(problem, layout="NCHW")
    shapes = (channels_first.input_shape, problem.weight_shape, channels_first.output_shape)
    return Operands(*(rng.standard_normal(shape).astype(problem.dtype) for shape in shapes))


def _timed(problem: Problem, pass_name: str, operands: Operands, seconds: float) -> Choice:
    contenders = []
    for name in fastconv.algorithms():
        if name == "reference":
            continue
        contender = Contender(name, plain_call(problem, pass_name, operands, name))
        try:
            contender.call_first(cap=float("inf"))
        except fastconv.UnsupportedError:
            continue
        contenders.append(contender)
    measure(contenders, seconds)
    _, plan = planned_call(problem, pass_name, operands)
    row = f"{problem.title} {problem.layout} {pass_name}"
    return Choice(row, plan.algorithm, {c.name: c.seconds for c in contenders})


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        description=__doc__, epilog=_EXAMPLES, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--rows", nargs="+", default=["peers.txt", "networks.txt"])
    parser.add_argument("--filter", default="", help="part of a row's title")
    parser.add_argument("--passes", nargs="+", default=list(PASSES), choices=PASSES)
    parser.add_argument("--seconds", type=float, default=0.2, help="for each row, pass and layout")
    parser.add_argument("--verbose", action="store_true", help="print every row, not misses alone")
    return parser


if __name__ == "__main__":
    sys.exit(main())
