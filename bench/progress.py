"""A progress bar over the rows of a benchmark, above which lines are printed."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator


@contextlib.contextmanager
def row_progress(total: int) -> Iterator[tuple[Callable[[str], None], Callable[[], None]]]:
    """Give a function that prints a line and one that advances the bar, if there is a bar.

    Parameters
    ----------
    total : int
        Rows.

    Yields
    ------
    show, advance : callable
    """
    try:
        from rich.progress import BarColumn, MofNCompleteColumn, Progress, TimeRemainingColumn
    except ImportError:
        yield print, lambda: None
        return
    columns = (BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with Progress(*columns, transient=True) as progress:
        bar = progress.add_task("rows", total=total)

        def show(line: str) -> None:
            progress.console.print(line, markup=False, highlight=False, soft_wrap=True)

        yield show, lambda: progress.advance(bar)
