"""One row of the comparison: agreement first, then times, of fastconv and every peer."""

from __future__ import annotations

import math
import os
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

from problem_lines import Problem

_SMALL_ENOUGH_FOR_THE_REFERENCE = 2_000_000
_TOLERANCES = {
    "float32": 1e-4,
    "complex64": 1e-4,
    "float64": 1e-10,
    "complex128": 1e-10,
    "float16": 2e-2,
    "bfloat16": 1e-1,
}


@dataclass(frozen=True)
class Task:
    """A problem in one pass with one number of threads."""

    problem: Problem
    pass_name: str
    threads: int


@dataclass(frozen=True)
class Options:
    """What is the same for all rows: seconds a row, slowest repeated call, peers, limits."""

    budget: float
    cap: float
    peers: tuple[str, ...]
    limits_program: Path | None


@dataclass
class Entry:
    """What one contender did on one row.

    Parameters
    ----------
    name : str
    comparable : bool
        Whether its arrays have the row's layout; with one channel they have both.
    difference : float
        ``max|result - fastconv's| / max|fastconv's|``.
    seconds, first_call, prepare : float
        Of a call (median), of the first call, and of what came before it.
    samples : int
    once : bool
        Beyond the cap, and timed by its first call alone.
    failure : str
        Why there are no figures.
    """

    name: str
    comparable: bool
    difference: float = math.nan
    seconds: float = math.nan
    first_call: float = math.nan
    prepare: float = math.nan
    samples: int = 0
    once: bool = False
    failure: str = ""


@dataclass
class Row:
    """The figures of one task; `failure` says what is wrong with it, nothing if empty."""

    title: str
    pass_name: str
    threads: int
    dtype: str
    layout: str
    fastconv: list[Entry] = field(default_factory=list)
    peers: list[Entry] = field(default_factory=list)
    algorithm: str = ""
    workspace_bytes: int = 0
    gflops: float = math.nan
    roofline_percent: float = math.nan
    failure: str = ""

    @property
    def seconds(self) -> float:
        """A plain call's median."""
        return self.fastconv[0].seconds if self.fastconv else math.nan

    def best_peer(self, same_layout: bool) -> Entry | None:
        """The fastest peer whose result agrees, in the row's layout or in any."""
        able = [
            entry
            for entry in self.peers
            if not entry.failure and (entry.comparable or not same_layout)
        ]
        return min(able, key=lambda entry: entry.seconds, default=None)

    def ratio(self, same_layout: bool) -> float:
        """The best peer's time over fastconv's: above 1 fastconv is ahead, NaN without a peer."""
        best = self.best_peer(same_layout)
        return best.seconds / self.seconds if best and not self.failure else math.nan


def empty_row(task: Task) -> Row:
    """A row that has no figures yet."""
    problem = task.problem
    return Row(problem.title, task.pass_name, task.threads, problem.dtype, problem.layout)


def measure_tasks(connection: Connection, tasks: Sequence[Task], options: Options) -> None:
    """Measure tasks that share a number of threads, in a process of their own.

    The process is bound to as many CPUs as there are threads before any library is imported.
    Sends the machine's limits, the versions of what was imported and why the rest was not, and
    then one row for each task.

    Parameters
    ----------
    connection : Connection
    tasks : sequence of Task
    options : Options
    """
    threads = tasks[0].threads
    if hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[:threads])
    from peers import load_peers
    from roofline import measure_limits

    limits = measure_limits(threads, options.limits_program)
    peers, missing = load_peers(options.peers, threads)
    connection.send((limits, missing))
    for task in tasks:
        connection.send(measure_row(task, peers, limits, options))


def measure_row(task: Task, peers: Sequence[Any], limits: Any, options: Options) -> Row:
    """Check and time one task.

    Parameters
    ----------
    task : Task
    peers : sequence of Peer
        Those that do not support the task are left out.
    limits : Limits
    options : Options

    Returns
    -------
    Row
        With `failure` set if fastconv raised, differs from its own definition, or if more peers
        disagree with it than agree.
    """
    from fastconv_calls import PLAIN, PLANNED, channels_first, plain_call, planned_call
    from interleaved import Contender, measure
    from peers import make_operands
    from roofline import operations

    problem, pass_name = task.problem, task.pass_name
    row = empty_row(task)
    operands = make_operands(problem)
    try:
        plain = Contender(PLAIN, plain_call(problem, pass_name, operands))
        start = time.perf_counter()
        call, plan = planned_call(problem, pass_name, operands)
        planned = Contender(PLANNED, call)
        row.fastconv = [Entry(PLAIN, True), Entry(PLANNED, True)]
        row.fastconv[1].prepare = time.perf_counter() - start
        row.algorithm, row.workspace_bytes = plan.algorithm, plan.workspace_bytes
        expected = channels_first(plain.call_first(options.cap), problem, pass_name)
        planned_result = channels_first(planned.call_first(options.cap), problem, pass_name)
    except Exception as error:
        row.failure = f"fastconv raised {type(error).__name__}: {error}"
        return row
    row.failure = _wrongness(problem, pass_name, operands, expected, planned_result)
    contenders = [(row.fastconv[0], plain), (row.fastconv[1], planned)]
    for peer in peers:
        if not peer.supports(problem, pass_name):
            continue
        comparable = peer.layout == problem.layout or problem.weight_shape[:2] == (1, 1)
        entry = Entry(peer.name, comparable)
        row.peers.append(entry)
        try:
            start = time.perf_counter()
            contender = Contender(peer.name, peer.prepare(problem, pass_name, operands))
            entry.prepare = time.perf_counter() - start
            result = peer.to_numpy(contender.call_first(options.cap), problem, pass_name)
            entry.difference = _difference(result, expected)
        except Exception as error:
            entry.failure = f"{type(error).__name__}: {error}"
            continue
        if entry.difference > _TOLERANCES[problem.dtype]:
            entry.failure = f"disagrees by {entry.difference:.1e}"
            continue
        contenders.append((entry, contender))
    disagreeing = [entry.name for entry in row.peers if entry.failure.startswith("disagrees")]
    if len(disagreeing) > len(contenders) - len(row.fastconv) and not row.failure:
        row.failure = f"most peers disagree: {', '.join(disagreeing)}"
    measure([contender for _, contender in contenders], options.budget, task.threads)
    for entry, contender in contenders:
        entry.seconds, entry.first_call = contender.seconds, contender.first_call
        entry.samples, entry.once = len(contender.samples), contender.once
    row.gflops = operations(problem) / row.seconds / 1e9
    row.roofline_percent = 100 * row.gflops / limits.attainable(problem)
    return row


def _difference(result: Any, expected: Any) -> float:
    """``max|result - expected| / max|expected|``, infinite for another shape or a NaN."""
    import numpy as np

    if result.shape != expected.shape:
        return math.inf
    widest = np.result_type(expected, np.float32)
    expected = expected.astype(widest)
    largest = float(np.abs(result.astype(widest) - expected).max(initial=0))
    scale = float(np.abs(expected).max(initial=0))
    return largest / (scale or 1.0) if math.isfinite(largest) else math.inf


def _wrongness(
    problem: Problem, pass_name: str, operands: Any, expected: Any, planned_result: Any
) -> str:
    """Compare a plan with a plain call, and a small problem with the definition."""
    tolerance = _TOLERANCES[problem.dtype]
    if _difference(planned_result, expected) > tolerance:
        return "plan and plain call disagree"
    if problem.multiply_adds > _SMALL_ENOUGH_FOR_THE_REFERENCE:
        return ""
    from fastconv import reference

    x, w, g = operands.input, operands.weight, operands.grad_output
    geometry = (problem.stride, problem.padding, problem.dilation, problem.groups)
    definitions: dict[str, Callable[[], Any]] = {
        "forward": lambda: reference.conv(x, w, None, *geometry),
        "backward_input": lambda: reference.conv_input(x.shape, w, g, *geometry),
        "backward_weight": lambda: reference.conv_weight(x, w.shape, g, *geometry),
    }
    difference = _difference(definitions[pass_name](), expected)
    return "" if difference <= tolerance else f"wrong by {difference:.1e}"
