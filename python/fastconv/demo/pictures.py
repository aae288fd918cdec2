"""Draws the demonstration's results as PNG files.

Figures are made with Matplotlib's object interface and the Agg canvas, so that no window system,
no pyplot and no settings of the caller are involved.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.colors import LinearSegmentedColormap, PowerNorm, hsv_to_rgb
from matplotlib.figure import Figure
from matplotlib.layout_engine import ConstrainedLayoutEngine
from matplotlib.patches import Circle, Rectangle
from matplotlib.ticker import NullFormatter

from .edges import HandMadeKernel
from .learned_kernel import LearnedKernel
from .photographs import Image
from .template_search import Detection, Scene
from .timings import Timing

_BACKGROUND = "#14171c"
_PANEL = "#1d2229"
_TEXT = "#e8e6e1"
_FAINT = "#8b929c"
_ACCENT = "#ffb454"
_FOUND = "#5cf2c4"

# Zero is dark, so that what a derivative answers to shines, in a colour for each sign.
_SIGNED = LinearSegmentedColormap.from_list(
    "signed", ["#b8f3ff", "#2fa8e0", "#143d5c", "#0b0c10", "#5e2410", "#f08030", "#ffe7b8"]
)

_Values: TypeAlias = npt.NDArray[Any]


def _figure(width: float, height: float, title: str) -> Figure:
    layout = ConstrainedLayoutEngine(w_pad=0.08, h_pad=0.08, wspace=0.02, hspace=0.02)
    figure = Figure(figsize=(width, height), facecolor=_BACKGROUND, layout=layout)
    FigureCanvasAgg(figure)
    figure.suptitle(title, color=_TEXT, fontsize=16, fontweight="bold")
    return figure


def _save(figure: Figure, path: Path) -> Path:
    figure.savefig(path, dpi=130, facecolor=_BACKGROUND)
    return path


def _title(axes: Axes, text: str, color: str = _TEXT, size: float = 11) -> None:
    axes.set_title(text, color=color, fontsize=size, pad=6)


def _picture(axes: Axes, values: _Values, title: str, **options: Any) -> None:
    axes.imshow(values, **options)
    axes.set_xticks([])
    axes.set_yticks([])
    for spine in axes.spines.values():
        spine.set_color(_FAINT)
        spine.set_linewidth(0.6)
    _title(axes, title)


def _signed_limit(values: _Values, percentile: float = 100.0) -> float:
    return float(np.percentile(np.abs(values), percentile)) or 1.0


def _chart(axes: Axes) -> None:
    axes.set_facecolor(_PANEL)
    axes.tick_params(colors=_FAINT, which="both", labelsize=9)
    for name, spine in axes.spines.items():
        spine.set_visible(name in ("left", "bottom"))
        spine.set_color(_FAINT)


def draw_edges(
    path: Path, photograph: Image, kernels: Sequence[HandMadeKernel], responses: Image
) -> Path:
    """Draw the photograph and every kernel's response as a contact sheet.

    Parameters
    ----------
    path : Path
        The PNG file to write.
    photograph : ndarray of float32, shape (height, width, 3)
        The input.
    kernels : sequence of HandMadeKernel
        The kernels, drawn into the corner of their responses.
    responses : ndarray of float32, shape (height, width, len(kernels))
        What `fastconv.demo.edges.filter_photograph` returned.

    Returns
    -------
    Path
        `path`.
    """
    columns = 4
    rows = -(-(len(kernels) + 1) // columns)
    height, width = photograph.shape[:2]
    figure = _figure(
        4 * columns,
        rows * (3.85 * height / width + 0.3) + 0.6,
        f"{len(kernels)} hand-made kernels in one multi-channel convolution",
    )
    panels = list(figure.subplots(rows, columns).flat)
    _picture(panels[0], photograph, "Photograph")
    for axes, kernel, response in zip(
        panels[1:], kernels, np.moveaxis(responses, -1, 0), strict=False
    ):
        if kernel.signed:
            limit = _signed_limit(response, 99.5)
            _picture(axes, response, kernel.name, cmap=_SIGNED, vmin=-limit, vmax=limit)
        else:
            _picture(axes, response, kernel.name, cmap="gray", vmin=0, vmax=1)
        corner = axes.inset_axes((0.015, 0.02, 0.13, 0.13 * width / height))
        limit = _signed_limit(kernel.values)
        _picture(corner, kernel.values, "", cmap=_SIGNED, vmin=-limit, vmax=limit)
        for spine in corner.spines.values():
            spine.set_color(_TEXT)
    for axes in panels[len(kernels) + 1 :]:
        axes.set_visible(False)
    return _save(figure, path)


def draw_edge_orientation(path: Path, photograph: Image, angle: Image, strength: Image) -> Path:
    """Draw edges as light, in a colour for the direction in which the picture brightens.

    Parameters
    ----------
    path : Path
        The PNG file to write.
    photograph : ndarray of float32, shape (height, width, 3)
        The input.
    angle, strength : ndarray of float32, shape (height, width)
        What `fastconv.demo.edges.edge_orientation` returned.

    Returns
    -------
    Path
        `path`.
    """
    height, width = photograph.shape[:2]
    figure = _figure(
        16, 7.9 * height / width + 0.8, "Edge orientation: hue is direction, light is strength"
    )
    left, right = figure.subplots(1, 2)
    _picture(left, photograph, "Photograph")
    light = np.clip(strength / _signed_limit(strength, 99), 0, 1) ** 0.7
    colors = hsv_to_rgb(np.stack([angle, np.full_like(angle, 0.75), light], axis=-1))
    _picture(right, colors, "Gradient of the brightness (Scharr)")

    side = np.linspace(-1, 1, 256)
    radius = np.hypot(side[None, :], side[:, None])
    turn = np.arctan2(-side[:, None], side[None, :]) / (2 * np.pi) % 1.0
    wheel = np.zeros((256, 256, 4))
    wheel[..., :3] = hsv_to_rgb(
        np.stack([turn, np.full_like(turn, 0.75), np.clip(radius, 0, 1)], axis=-1)
    )
    wheel[..., 3] = np.clip((1 - radius) * 64, 0, 1)
    legend = right.inset_axes((0.85, 0.015, 0.14, 0.14 * width / height))
    legend.imshow(wheel)
    legend.set_axis_off()
    return _save(figure, path)


def draw_learned_kernel(path: Path, result: LearnedKernel) -> Path:
    """Draw the pair of pictures, the loss and the kernel as it was learned.

    Parameters
    ----------
    path : Path
        The PNG file to write.
    result : LearnedKernel
        What `fastconv.demo.learned_kernel.learn_kernel` returned.

    Returns
    -------
    Path
        `path`.
    """
    figure = _figure(16, 8.2, "A hidden kernel, learned from one pair of pictures")
    grid = figure.add_gridspec(2, 1, height_ratios=[1.5, 1])
    top, bottom = (figure.add_subfigure(grid[row], facecolor=_BACKGROUND) for row in range(2))

    before, after, loss = top.subplots(1, 3, width_ratios=[1, 1, 1.25])
    _picture(before, result.sharp[:, 0].transpose(1, 2, 0).clip(0, 1), "Input: the sharp picture")
    _picture(
        after,
        result.blurred[:, 0].transpose(1, 2, 0).clip(0, 1),
        "Output: seen through a hidden kernel",
    )
    _chart(loss)
    loss.semilogy(result.losses, color=_ACCENT, linewidth=2)
    loss.grid(visible=True, color=_FAINT, alpha=0.2)
    loss.set_xlabel("gradient step", color=_TEXT)
    loss.margins(x=0.01)
    _title(loss, f"Mean squared error: from {result.losses[0]:.1e} to {result.losses[-1]:.1e}")

    limit = float(result.true.max()) * 1.1
    panels = bottom.subplots(1, len(result.snapshots) + 1)
    for axes, (step, kernel) in zip(panels, sorted(result.snapshots.items()), strict=False):
        plural = "" if step == 1 else "s"
        _picture(axes, kernel, f"After {step} step{plural}", cmap=_SIGNED, vmin=-limit, vmax=limit)
    _picture(panels[-1], result.true, "", cmap=_SIGNED, vmin=-limit, vmax=limit)
    _title(panels[-1], f"The truth (error {result.relative_error:.1e})", color=_FOUND)
    for spine in panels[-1].spines.values():
        spine.set_color(_FOUND)
        spine.set_linewidth(2)
    return _save(figure, path)


def draw_template_search(path: Path, scene: Scene, detection: Detection, landmark: str) -> Path:
    """Draw the scene, the map of scores with its peak, and what was found there.

    Parameters
    ----------
    path : Path
        The PNG file to write.
    scene : Scene
        What was searched.
    detection : Detection
        What `fastconv.demo.template_search.find_template` returned.
    landmark : str
        What the template shows.

    Returns
    -------
    Path
        `path`.
    """
    height, width = scene.image.shape[:2]
    size = scene.template.shape[0]
    row, column = detection.position
    figure = _figure(17.5, 7.1 * height / width + 0.7, f"Where is {landmark}?")
    grid = figure.add_gridspec(1, 3, width_ratios=[1, 3.2, 3.45])
    small, middle, right = (
        figure.add_subfigure(grid[part], facecolor=_BACKGROUND) for part in range(3)
    )

    wanted, found = small.subplots(2, 1)
    _picture(wanted, scene.template, "Look for this")
    _picture(found, scene.image[row : row + size, column : column + size], "")
    _title(found, "Found here", color=_FOUND)

    collage = middle.subplots()
    _picture(
        collage, scene.image, f"The scene, with {len(scene.decoys)} turned and mirrored decoys"
    )
    for top, left in scene.decoys:
        collage.add_patch(
            Rectangle((left, top), size, size, fill=False, edgecolor=_TEXT, linewidth=0.8, ls=":")
        )
    collage.add_patch(
        Rectangle((column, row), size, size, fill=False, edgecolor=_FOUND, linewidth=3)
    )

    half = size / 2
    scores = right.subplots()
    rows, columns = detection.scores.shape
    _picture(
        scores,
        detection.scores,
        f"Score: peak {detection.score:.2f}, next best {detection.runner_up:.2f}",
        cmap="inferno",
        # Spreads the high scores, where decoys and the real one differ.
        norm=PowerNorm(1.5, vmin=0, vmax=1),
        extent=(half, half + columns, half + rows, half),
    )
    scores.set_facecolor(_PANEL)
    scores.set_xlim(0, width)
    scores.set_ylim(height, 0)
    scores.add_patch(
        Circle((column + half, row + half), 20, fill=False, edgecolor=_FOUND, linewidth=2.5)
    )
    bar = right.colorbar(
        scores.images[0], ax=scores, shrink=0.75, pad=0.02, aspect=30, ticks=[0, 0.4, 0.6, 0.8, 1]
    )
    bar.ax.tick_params(colors=_FAINT, labelsize=9)
    bar.outline.set_visible(False)
    return _save(figure, path)


def draw_timings(path: Path, timings: Sequence[Timing]) -> Path:
    """Draw the times of each problem as bars.

    Parameters
    ----------
    path : Path
        The PNG file to write.
    timings : sequence of Timing
        What `fastconv.demo.timings.time_problem` returned, at least one.

    Returns
    -------
    Path
        `path`.
    """
    rows = max(len(timing.seconds) for timing in timings)
    figure = _figure(16, 0.42 * rows + 2, "Time of one call: shorter is better")
    for axes, timing in zip(
        figure.subplots(1, len(timings), squeeze=False)[0], timings, strict=True
    ):
        names = sorted(timing.seconds, key=timing.seconds.__getitem__, reverse=True)
        milliseconds = [1e3 * timing.seconds[name] for name in names]
        colors = [_ACCENT if name == "fastconv" else "#4a6b8a" for name in names]
        _chart(axes)
        bars = axes.barh(names, milliseconds, color=colors, height=0.68)
        axes.set_xscale("log")
        axes.set_xlim(min(milliseconds) / 3, max(milliseconds) * 20)
        axes.xaxis.set_minor_formatter(NullFormatter())
        axes.set_xlabel("milliseconds, log scale", color=_TEXT)
        axes.tick_params(axis="y", labelcolor=_TEXT, length=0)
        labels = [
            f"{time:.3g} ms" + ("" if name == "fastconv" else f"  ({timing.ratio(name):.3g}x)")
            for name, time in zip(names, milliseconds, strict=True)
        ]
        axes.bar_label(bars, labels, color=_TEXT, fontsize=9, padding=4)
        _title(axes, timing.problem.title)
    return _save(figure, path)
