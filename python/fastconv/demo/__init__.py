"""The demonstration that ``python -m fastconv demo`` runs, on a real photograph.

It needs the extra ``fastconv[demo]``; nothing else in fastconv imports it.
"""

from __future__ import annotations

import importlib.util
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from .learned_kernel import LearnedKernel
    from .template_search import Detection, Scene
    from .timings import Timing

__all__ = ["DemoResult", "MissingExtraError", "run_demo"]

_REQUIRED = {
    "matplotlib": "matplotlib",
    "PIL": "Pillow",
    "rich": "rich",
    "skimage": "scikit-image",
}


class MissingExtraError(ImportError):
    """Packages of the extra ``fastconv[demo]`` are not installed."""


@dataclass(frozen=True)
class DemoResult:
    """What the demonstration found and wrote.

    Attributes
    ----------
    files : list of Path
        The PNG files, in the order in which they were written.
    learned_kernel : LearnedKernel
        The hidden kernel and what was learned of it.
    scene : Scene
        The collage that was searched.
    detection : Detection
        Where its template was found.
    timings : list of Timing
        The table of times.
    """

    files: list[Path]
    learned_kernel: LearnedKernel
    scene: Scene
    detection: Detection
    timings: list[Timing]


def run_demo(
    output_directory: str | Path = "demo-output", photograph: str = "cat", *, quick: bool = False
) -> DemoResult:
    """Run the whole demonstration: print what happens and write pictures of it.

    Parameters
    ----------
    output_directory : str or Path, optional
        Where the PNG files go; made if missing.
    photograph : str, optional
        A key of `fastconv.demo.photographs.PHOTOGRAPHS`.
    quick : bool, optional
        Fewer steps, smaller pictures and fewer repeats.

    Returns
    -------
    DemoResult

    Raises
    ------
    MissingExtraError
        If a package of ``fastconv[demo]`` is not installed.
    ValueError
        If there is no photograph of that name.
    OSError
        If the pictures cannot be written.
    """
    missing = [
        name for module, name in _REQUIRED.items() if importlib.util.find_spec(module) is None
    ]
    if missing:
        raise MissingExtraError(
            f"the demonstration needs {', '.join(missing)}; "
            'install what it needs with: pip install "fastconv[demo]"'
        )
    from .presentation import present

    return present(Path(output_directory), photograph, quick=quick)
