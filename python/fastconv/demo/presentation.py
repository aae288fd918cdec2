"""Runs the parts of the demonstration in turn, tells what they do, and draws what they found."""

from __future__ import annotations

import time
from pathlib import Path

from rich.console import Console
from rich.markup import escape
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn
from rich.table import Table

import fastconv

from . import DemoResult, pictures
from .edges import color_weights, edge_orientation, filter_photograph, hand_made_kernels
from .learned_kernel import LearnedKernel, learn_kernel
from .photographs import PHOTOGRAPHS, Image, crop, load_photograph
from .template_search import Detection, Scene, build_scene, find_template
from .timings import Timing, time_problem, timed_problems

_WIDTH = 100


def _console() -> Console:
    console = Console(highlight=False)
    return Console(highlight=False, width=min(console.width, _WIDTH))


def _progress(console: Console) -> Progress:
    return Progress(
        TextColumn("  {task.description}"),
        BarColumn(bar_width=32),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        console=console,
    )


def _section(console: Console, number: int, title: str) -> None:
    console.print()
    console.rule(f"[bold]{number}. {title}", align="left")


def _shape(array: Image) -> str:
    return "x".join(str(size) for size in array.shape)


def _show_edges(console: Console, photograph: Image, directory: Path) -> list[Path]:
    _section(console, 1, "Edges")
    kernels = hand_made_kernels()
    start = time.perf_counter()
    responses = filter_photograph(photograph, kernels)
    milliseconds = 1e3 * (time.perf_counter() - start)
    console.print(
        f"One conv2d call: input {_shape(photograph)} (channels last), "
        f"weight {_shape(color_weights(kernels))}, output {_shape(responses)}, "
        f"in {milliseconds:.1f} ms."
    )
    console.print("Kernels: " + ", ".join(kernel.name for kernel in kernels) + ".")
    channel = {kernel.name: index for index, kernel in enumerate(kernels)}
    angle, strength = edge_orientation(
        responses[..., channel["Scharr x"]], responses[..., channel["Scharr y"]]
    )
    return [
        pictures.draw_edges(directory / "edges.png", photograph, kernels, responses),
        pictures.draw_edge_orientation(
            directory / "edge_orientation.png", photograph, angle, strength
        ),
    ]


def _show_learned_kernel(
    console: Console, picture: Image, steps: int, directory: Path
) -> tuple[LearnedKernel, Path]:
    _section(console, 2, "A kernel learned from data")
    console.print(
        f"A hidden 11x11 kernel blurred a {_shape(picture)} picture. Gradient descent with "
        "grad.conv2d_weight recovers it from the sharp and the blurred picture alone."
    )
    with _progress(console) as progress:
        task = progress.add_task("gradient steps", total=steps)
        result = learn_kernel(picture, steps, on_step=lambda: progress.advance(task))
    console.print(
        f"Loss from {result.losses[0]:.1e} to {result.losses[-1]:.1e}; "
        f"the learned kernel differs from the truth by [bold]{result.relative_error:.1e}[/bold] "
        "of its norm."
    )
    return result, pictures.draw_learned_kernel(directory / "learned_kernel.png", result)


def _show_template_search(
    console: Console, photograph: Image, name: str, shape: tuple[int, int], directory: Path
) -> tuple[Scene, Detection, Path]:
    _section(console, 3, "A template in a cluttered scene")
    entry = PHOTOGRAPHS[name]
    scene = build_scene(photograph, entry.center, shape=shape)
    console.print(
        f"Looking for {entry.landmark} in a {_shape(scene.image)} collage of the photograph's own "
        f"patches, among {len(scene.decoys)} rotated and mirrored copies; the true one is "
        "darkened and noisy."
    )
    start = time.perf_counter()
    with console.status("sweeping the template over the scene"):
        detection = find_template(scene)
    milliseconds = 1e3 * (time.perf_counter() - start)
    right = detection.position == scene.position
    console.print(
        f"Found at row {detection.position[0]}, column {detection.position[1]}; "
        f"hidden at row {scene.position[0]}, column {scene.position[1]}: "
        + ("[bold green]right[/]." if right else "[bold red]wrong[/].")
    )
    console.print(
        f"Score {detection.score:.3f}, next best place {detection.runner_up:.3f}; "
        f"{detection.scores.size:,} places in {milliseconds:.0f} ms."
    )
    path = directory / "template_search.png"
    pictures.draw_template_search(path, scene, detection, entry.landmark)
    return scene, detection, path


def _show_timings(
    console: Console, photograph: Image, repeats: int, directory: Path
) -> tuple[list[Timing], Path]:
    _section(console, 4, "Time beside NumPy and other libraries")
    console.print("Median of interleaved calls in float32, one thread each where that can be set.")
    timings = []
    problems = timed_problems(photograph)
    with _progress(console) as progress:
        task = progress.add_task("problems", total=len(problems))
        for problem in problems:
            timings.append(time_problem(problem, repeats=repeats))
            progress.advance(task)
    for timing in timings:
        table = Table(title=timing.problem.title, title_justify="left", title_style="bold")
        table.add_column("implementation", min_width=22)
        table.add_column("milliseconds", justify="right")
        table.add_column("ratio to fastconv", justify="right")
        for name, seconds in sorted(timing.seconds.items(), key=lambda item: item[1]):
            style = "bold" if name == "fastconv" else ""
            table.add_row(name, f"{1e3 * seconds:.3f}", f"{timing.ratio(name):.2f}", style=style)
        console.print(table)
    left_out = {name: why for timing in timings for name, why in timing.left_out.items()}
    for name, reason in left_out.items():
        console.print(f"[dim]{name} left out: {escape(reason)}[/dim]")
    return timings, pictures.draw_timings(directory / "timings.png", timings)


def present(directory: Path, photograph_name: str, *, quick: bool) -> DemoResult:
    """Run the demonstration; see `fastconv.demo.run_demo`, which checks its requirements first.

    Parameters
    ----------
    directory : Path
        Where the PNG files go; made if missing.
    photograph_name : str
        A key of `fastconv.demo.photographs.PHOTOGRAPHS`.
    quick : bool
        Fewer steps, smaller pictures and fewer repeats.

    Returns
    -------
    DemoResult
    """
    photograph = load_photograph(photograph_name)
    directory.mkdir(parents=True, exist_ok=True)
    console = _console()
    console.print(
        f"[bold]fastconv {fastconv.__version__}[/bold] looks at "
        f"{PHOTOGRAPHS[photograph_name].title} ({_shape(photograph)})."
    )
    start = time.perf_counter()
    files = _show_edges(console, photograph, directory)

    height, width = photograph.shape[:2]
    picture = crop(photograph, (height // 2, width // 2), 128 if quick else 256)
    learned, path = _show_learned_kernel(console, picture, 60 if quick else 120, directory)
    files.append(path)

    shape = (288, 432) if quick else (432, 648)
    scene, detection, path = _show_template_search(
        console, photograph, photograph_name, shape, directory
    )
    files.append(path)

    timings, path = _show_timings(console, photograph, 3 if quick else 15, directory)
    files.append(path)

    console.print()
    console.print(f"Wrote, in {time.perf_counter() - start:.1f} s:")
    for file in files:
        console.print(f"  {file}", markup=False, soft_wrap=True)
    return DemoResult(files, learned, scene, detection, timings)
