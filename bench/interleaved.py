"""Timing that is fair on a machine whose speed wanders: A B C B A C C A B, and the medians."""

from __future__ import annotations

import math
import random
import statistics
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

_UNTIMED = 3e-3
_SHORTEST_SAMPLE = 1e-3
_MOST_CALLS = 1000
_FEWEST_ROUNDS = 3
_LOOK = 2e-3
_LONGEST_WAIT = 0.5


@dataclass
class Contender:
    """One call under test, and what was measured of it.

    Parameters
    ----------
    name : str
    call : callable
        Without arguments; the measured call.
    first_call : float
        Seconds that the first call took, not part of the median.
    samples : list of float
        Seconds a call, one entry for each round.
    once : bool
        Whether the first call was beyond the cap, and is all there is.
    """

    name: str
    call: Callable[[], Any]
    first_call: float = math.nan
    samples: list[float] = field(default_factory=list)
    once: bool = False

    @property
    def seconds(self) -> float:
        """The median, or the only call."""
        return statistics.median(self.samples) if self.samples else self.first_call

    def call_first(self, cap: float) -> Any:
        """Make the first call, note what it took, and return its result."""
        start = time.perf_counter()
        result = self.call()
        self.first_call = time.perf_counter() - start
        self.once = self.first_call > cap
        return result


def measure(contenders: list[Contender], budget: float, threads: int = 1) -> None:
    """Take samples of every contender in turn until the time is used up.

    A sample is as many calls as make a millisecond, so that the clock does not matter. Calls for
    three milliseconds that are not timed come before it: a contender's first calls pay for what the
    one before it left in the caches and in the processor's clock, and whoever comes after a slow
    one, or makes few calls in a sample, would pay most. For the same reason nobody comes after the
    same one in every round: each has an order of its own. Contenders whose first call was beyond
    the cap are left out. The result is in each contender's `samples`.

    Parameters
    ----------
    contenders : list of Contender
        Each has made its first call.
    budget : float
        Seconds for all together; three rounds are taken in any case.
    threads : int
        With more than one, each sample waits for the idle threads of the contender before to
        stop spinning.

    Examples
    --------
    >>> contender = Contender("nothing", lambda: None)
    >>> contender.call_first(cap=1.0)
    >>> measure([contender], budget=0.01)
    >>> len(contender.samples) >= 3
    True
    """
    running = [contender for contender in contenders if not contender.once]
    seconds = {contender.name: _second_call(contender) for contender in running}
    order = random.Random(0)
    deadline = time.perf_counter() + budget
    rounds = 0
    while running and (rounds < _FEWEST_ROUNDS or time.perf_counter() < deadline):
        for contender in order.sample(running, len(running)):
            if threads > 1:
                _wait_for_idle_threads()
            call_seconds = seconds[contender.name]
            _seconds_a_call(contender.call, _calls_for(_UNTIMED, call_seconds))
            calls = _calls_for(_SHORTEST_SAMPLE, call_seconds)
            contender.samples.append(_seconds_a_call(contender.call, calls))
        rounds += 1


def _wait_for_idle_threads() -> None:
    """Sleep until this process takes no CPU time while it sleeps.

    After a call, libgomp's threads spin for 5 to 10 ms and onnxruntime's for 50, which takes half
    of two CPUs from whoever comes next.
    """
    deadline = time.perf_counter() + _LONGEST_WAIT
    while time.perf_counter() < deadline:
        before = time.process_time()
        time.sleep(_LOOK)
        if time.process_time() - before < 0.5 * _LOOK:
            return


def _calls_for(duration: float, call_seconds: float) -> int:
    return min(_MOST_CALLS, math.ceil(duration / call_seconds))


def _second_call(contender: Contender) -> float:
    """Time one call more: the first is too slow to tell how many calls a sample needs."""
    return max(_seconds_a_call(contender.call, 1), 1e-9)


def _seconds_a_call(call: Callable[[], Any], repeats: int) -> float:
    start = time.perf_counter()
    for _ in range(repeats):
        call()
    return (time.perf_counter() - start) / repeats
