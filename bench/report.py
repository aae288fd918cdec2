"""The comparison as a line, a Markdown table, a JSON file, a summary and a picture."""

from __future__ import annotations

import json
import math
import statistics
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any, Protocol, TypeVar

from peer_rows import Row

_AHEAD, _BEHIND, _SAME_LAYOUT = "#2a9d8f", "#e76f51", "#264653"


def row_line(row: Row) -> str:
    """One row for the terminal.

    Parameters
    ----------
    row : Row

    Returns
    -------
    str
        Time, rate, share of the roofline, both ratios, extra memory, the fastest peer and names.
    """
    name = f"{row.title}, {row.pass_name}, {_threads(row.threads)}"
    if row.failure:
        return f"{name}: {row.failure}"
    best = row.best_peer(same_layout=False)
    return (
        f"{_milliseconds(row.seconds):>9} ms {row.gflops:7.1f} GFLOP/s {row.roofline_percent:4.0f}%"
        f"  same {_ratio(row.ratio(True)):>5}  any {_ratio(row.ratio(False)):>5}"
        f"  {row.workspace_bytes / 2**20:7.2f} MiB  {best.name if best else 'no peer':<16}  {name}"
    )


def summary_lines(rows: Sequence[Row]) -> list[str]:
    """Count rows ahead and behind, for each pass and number of threads.

    Parameters
    ----------
    rows : sequence of Row

    Returns
    -------
    list of str
        Lines such as ``forward, 1 thread: same layout 9 ahead, 7 behind, geometric mean 0.93; ...``
        and one for each row that failed or peer that disagreed.
    """
    lines = []
    for threads, pass_name in _sections(rows):
        section = _section(rows, threads, pass_name)
        parts = []
        for label, same_layout in (("same layout", True), ("any layout", False)):
            ratios = [row.ratio(same_layout) for row in section]
            ratios = [ratio for ratio in ratios if not math.isnan(ratio)]
            if ratios:
                ahead = sum(ratio >= 1 for ratio in ratios)
                parts.append(
                    f"{label} {ahead} ahead, {len(ratios) - ahead} behind, "
                    f"geometric mean {_ratio(statistics.geometric_mean(ratios))}"
                )
        figures = "; ".join(parts) or f"rows without a peer: {len(section)}"
        lines.append(f"{pass_name}, {_threads(threads)}: {figures}")
    for row in rows:
        if row.failure:
            lines.append(f"FAILED {row.title}, {row.pass_name}: {row.failure}")
        for entry in row.peers:
            if entry.failure and not row.failure:
                first = entry.failure.partition("\n")[0]
                lines.append(f"{entry.name} on {row.title}, {row.pass_name}: {first}")
    return lines


def write_json(path: Path, rows: Sequence[Row], machine: dict[str, Any]) -> None:
    """Write every figure.

    Parameters
    ----------
    path : path
    rows : sequence of Row
    machine : dict
        What the run knows of the machine: versions, limits.
    """
    records = [asdict(row) | {"same": row.ratio(True), "any": row.ratio(False)} for row in rows]
    document = _without_nan({"machine": machine, "rows": records})
    path.write_text(json.dumps(document, indent=1) + "\n", encoding="utf-8")


def write_markdown(path: Path, rows: Sequence[Row], machine: dict[str, Any]) -> None:
    """Write one table for each pass and number of threads.

    Parameters
    ----------
    path : path
    rows : sequence of Row
    machine : dict
    """
    lines = ["# fastconv beside its peers", "", "| | |", "|---|---|"]
    lines += [f"| {name} | {_cell(value)} |" for name, value in machine.items()]
    lines += [
        "",
        "Milliseconds a call, medians of interleaved samples. *same* and *any* are the time of the",
        "fastest peer, in the row's layout and in any, over fastconv's: above 1 fastconv is ahead.",
        "*extra* is a plan's workspace. `*`: slow, timed once. Rates count the definition's",
        "operations, so that an algorithm which multiplies less can exceed 100% of the roofline.",
    ]
    for threads, pass_name in _sections(rows):
        section = _section(rows, threads, pass_name)
        present = {entry.name for row in section for entry in row.peers}
        order = [entry.name for row in section for entry in row.peers]
        peers = sorted(present, key=order.index)
        fixed = ["layer", "fastconv", "plan", "GFLOP/s", "roofline", "same", "any", "extra MiB"]
        header = [*fixed, "algorithm", *peers]
        lines += ["", f"## {pass_name}, {_threads(threads)}", ""]
        lines += [_table_row(header), _table_row(["---"] + ["--:"] * (len(header) - 1))]
        lines += [_table_row(_markdown_cells(row, peers)) for row in section]
    lines += ["", "## Summary", "", *(f"* {line}" for line in summary_lines(rows)), ""]
    path.write_text("\n".join(lines), encoding="utf-8")


def _markdown_cells(row: Row, peers: Sequence[str]) -> list[str]:
    variant = [row.dtype] if row.dtype != "float32" else []
    variant += [row.layout] if row.layout != "NCHW" else []
    title = f"{row.title} ({', '.join(variant)})" if variant else row.title
    if row.failure:
        return [title, f"**{row.failure}**"] + [""] * (7 + len(peers))
    entries = {entry.name: entry for entry in row.peers}
    cells = [
        title,
        _milliseconds(row.seconds),
        _milliseconds(row.fastconv[1].seconds),
        f"{row.gflops:.1f}",
        f"{row.roofline_percent:.0f}%",
        _ratio(row.ratio(True)),
        f"**{_ratio(row.ratio(False))}**",
        f"{row.workspace_bytes / 2**20:.2f}",
        row.algorithm,
    ]
    for name in peers:
        entry = entries.get(name)
        if entry is None:
            cells.append("")
        elif entry.failure:
            cells.append("wrong" if entry.failure.startswith("disagrees") else "failed")
        else:
            cells.append(_milliseconds(entry.seconds) + ("*" if entry.once else ""))
    return cells


class Bar(Protocol):
    """What a row must tell for a picture."""

    @property
    def title(self) -> str:
        """The row of the picture."""

    @property
    def pass_name(self) -> str:
        """The panel, together with the number of threads."""

    threads: int

    def ratio(self, same_layout: bool) -> float:
        """The fastest peer's time over fastconv's, NaN without one."""


AnyBar = TypeVar("AnyBar", bound=Bar)
_CAPTION = (
    "bar: fastest peer in any layout    tick: in the same layout    right of 1: fastconv ahead"
)


def write_picture(path: Path, rows: Sequence[Bar], caption: str = _CAPTION) -> None:
    """Draw a bar for each row: the best peer's time over fastconv's, on a log axis.

    Parameters
    ----------
    path : path
        A PNG file.
    rows : sequence of Bar
        Those without a peer are left out.
    caption : str
    """
    import matplotlib as mpl

    mpl.use("Agg")
    import matplotlib.pyplot as plt
    from matplotlib.ticker import FuncFormatter, NullLocator

    rows = [row for row in rows if not math.isnan(row.ratio(False))]
    if not rows:
        return
    sections = _sections(rows)
    titles = list(dict.fromkeys(row.title for row in rows))
    logs = [math.log2(row.ratio(same)) for row in rows for same in (True, False)]
    logs = [0.0] + [value for value in logs if not math.isnan(value)]
    margin = 0.3 + 0.2 * (max(logs) - min(logs))
    figure, panels = plt.subplots(
        1,
        len(sections),
        figsize=(4.2 + 3.6 * len(sections), 1.6 + 0.34 * len(titles)),
        sharey=True,
        squeeze=False,
        layout="constrained",
    )
    for panel, (threads, pass_name) in zip(panels[0], sections, strict=True):
        for row in _section(rows, threads, pass_name):
            _draw_bar(panel, titles.index(row.title), row)
        panel.axvline(1, color="#333333", linewidth=1)
        panel.set_xscale("log", base=2)
        panel.set_xlim(2 ** (min(logs) - margin), 2 ** (max(logs) + margin))
        panel.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:.2g}\u00d7"))
        panel.xaxis.set_minor_locator(NullLocator())
        panel.set_title(f"{pass_name.replace('_', ' ')}, {_threads(threads)}", fontsize=10)
        panel.grid(axis="x", color="#dddddd", linewidth=0.6)
        panel.set_axisbelow(True)
        panel.tick_params(axis="y", length=0)
        panel.tick_params(labelsize=8)
        for side in ("top", "right", "left"):
            panel.spines[side].set_visible(False)
    panels[0][0].set_yticks(range(len(titles)), titles)
    panels[0][0].set_ylim(len(titles) - 0.4, -0.6)
    figure.suptitle("Speed of fastconv relative to the fastest peer", fontweight="bold")
    figure.supxlabel(caption, fontsize=8)
    figure.savefig(path, dpi=150, facecolor="white")
    plt.close(figure)


def _draw_bar(panel: Any, position: int, row: Bar) -> None:
    ratio, same = row.ratio(False), row.ratio(True)
    color = _AHEAD if ratio >= 1 else _BEHIND
    panel.barh(position, ratio - 1, left=1, height=0.66, color=color)
    if not math.isnan(same):
        edges = (position - 0.4, position + 0.4)
        panel.plot([same, same], edges, color=_SAME_LAYOUT, linewidth=2, solid_capstyle="butt")
    sign = 1 if ratio >= 1 else -1
    furthest = max(ratio, same) if sign > 0 else min(ratio, same)
    panel.annotate(
        _ratio(ratio),
        (ratio if math.isnan(same) else furthest, position),
        (4 * sign, 0),
        textcoords="offset points",
        ha="left" if sign > 0 else "right",
        va="center",
        fontsize=7.5,
        color=color,
    )


def _sections(rows: Sequence[Bar]) -> list[tuple[int, str]]:
    return list(dict.fromkeys((row.threads, row.pass_name) for row in rows))


def _section(rows: Sequence[AnyBar], threads: int, pass_name: str) -> list[AnyBar]:
    return [row for row in rows if (row.threads, row.pass_name) == (threads, pass_name)]


def _threads(count: int) -> str:
    return "1 thread" if count == 1 else f"{count} threads"


def _ratio(value: float) -> str:
    return "" if math.isnan(value) else f"{value:.3g}" if value < 100 else f"{value:.0f}"


def _milliseconds(seconds: float) -> str:
    value = seconds * 1e3
    return f"{value:.0f}" if value >= 100 else f"{value:.3g}"


def _table_row(cells: Sequence[str]) -> str:
    return "| " + " | ".join(cells) + " |"


def _cell(value: Any) -> str:
    if isinstance(value, dict):
        return ", ".join(f"{key} {part}" for key, part in value.items())
    return str(value)


def _without_nan(value: Any) -> Any:
    """JSON has no NaN and no infinity."""
    if isinstance(value, dict):
        return {key: _without_nan(part) for key, part in value.items()}
    if isinstance(value, list):
        return [_without_nan(part) for part in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value
