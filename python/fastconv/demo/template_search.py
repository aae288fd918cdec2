"""A template found in a cluttered scene by sweeping a detector over it: "Where's Waldo?".

The scene is a collage of patches of a photograph. In it hide one copy of a landmark, darkened
and noisy, and its seven rotated and mirrored copies as decoys. The detector's score is the
normalised cross-correlation, made of convolutions.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
import numpy.typing as npt

import fastconv

from .photographs import Image, crop

Scores: TypeAlias = npt.NDArray[np.float64]
Position: TypeAlias = tuple[int, int]

_ROTATIONS_AND_MIRRORS: tuple[Callable[[Image], Image], ...] = (
    lambda patch: patch,
    lambda patch: np.rot90(patch, 1),
    lambda patch: np.rot90(patch, 2),
    lambda patch: np.rot90(patch, 3),
    lambda patch: patch[:, ::-1],
    lambda patch: patch[::-1],
    lambda patch: patch.swapaxes(0, 1),
    lambda patch: np.rot90(patch, 2).swapaxes(0, 1),
)


@dataclass(frozen=True)
class Scene:
    """A collage with a template hidden in it.

    Attributes
    ----------
    image : ndarray of float32, shape (height, width, 3)
        The collage.
    template : ndarray of float32, shape (size, size, 3)
        What to look for.
    position : tuple of int
        Row and column of the top left corner of the hidden copy.
    decoys : list of tuple of int
        The same for its rotated and mirrored copies.
    """

    image: Image
    template: Image
    position: Position
    decoys: list[Position]


@dataclass(frozen=True)
class Detection:
    """Where the detector's score peaks.

    Attributes
    ----------
    scores : ndarray of float64, shape (scene height - size + 1, scene width - size + 1)
        Normalised cross-correlation, from -1 to 1, for each top left corner.
    position : tuple of int
        Row and column of the highest score.
    score, runner_up : float
        The highest score, and the highest that is at least half a template away from it.
    """

    scores: Scores
    position: Position
    score: float
    runner_up: float


def _clutter(
    photograph: Image, avoid: tuple[int, int, int], shape: tuple[int, int], rng: np.random.Generator
) -> Image:
    """Cover a canvas with turned patches that leave out the square (top, left, size) `avoid`."""
    height, width = shape
    grid = [(top, left) for top in range(0, height, 32) for left in range(0, width, 32)]
    scattered = rng.integers(-16, [height, width], size=(len(grid), 2)).tolist()
    canvas = np.zeros((height, width, 3), dtype=np.float32)
    for top, left in grid + scattered:
        size = int(rng.integers(32, 72))
        overlaps = True
        while overlaps:
            row = int(rng.integers(photograph.shape[0] - size + 1))
            column = int(rng.integers(photograph.shape[1] - size + 1))
            overlaps = (
                avoid[0] - size < row < avoid[0] + avoid[2]
                and avoid[1] - size < column < avoid[1] + avoid[2]
            )
        turn = _ROTATIONS_AND_MIRRORS[rng.integers(len(_ROTATIONS_AND_MIRRORS))]
        patch = turn(photograph[row : row + size, column : column + size])
        patch = patch[max(-top, 0) :, max(-left, 0) :]
        top, left = max(top, 0), max(left, 0)
        room = canvas[top : top + patch.shape[0], left : left + patch.shape[1]]
        room[...] = patch[: room.shape[0], : room.shape[1]]
    return canvas


def build_scene(
    photograph: Image,
    landmark: Position,
    *,
    size: int = 48,
    shape: tuple[int, int] = (432, 648),
    seed: int = 0,
) -> Scene:
    """Shuffle a photograph into a collage and hide its landmark there.

    Parameters
    ----------
    photograph : ndarray of float32, shape (height, width, 3)
        Where all patches come from.
    landmark : tuple of int
        Row and column of the middle of what is hidden; no other patch shows any of it.
    size : int, optional
        Side of the template in pixels, at most 64.
    shape : tuple of int, optional
        Height and width of the collage.
    seed : int, optional
        Seed of `numpy.random.default_rng`.

    Returns
    -------
    Scene
    """
    rng = np.random.default_rng(seed)
    template = crop(photograph, landmark, size).copy()
    row, column = (
        min(max(middle - size // 2, 0), length - size)
        for middle, length in zip(landmark, photograph.shape, strict=False)
    )
    image = _clutter(photograph, (row, column, size), shape, rng)

    cell = size + 24
    columns = shape[1] // cell
    cells = rng.permutation((shape[0] // cell) * columns)[: len(_ROTATIONS_AND_MIRRORS)].tolist()
    places: list[Position] = []
    for index, turn in zip(cells, _ROTATIONS_AND_MIRRORS, strict=True):
        top, left = (
            cell * number + int(rng.integers(cell - size + 1)) for number in divmod(index, columns)
        )
        image[top : top + size, left : left + size] = turn(template)
        places.append((top, left))

    top, left = places[0]
    hidden = image[top : top + size, left : left + size]
    hidden[...] = 0.7 * hidden + 0.05
    image += rng.normal(scale=0.03, size=image.shape).astype(np.float32)
    return Scene(image.clip(0, 1), template, places[0], places[1:])


def _window_sums(channels: Scores, size: int) -> Scores:
    """Sum over all channels of every window, as two convolutions with boxes of ones."""
    columns = fastconv.conv2d(channels, np.ones((1, channels.shape[0], size, 1)))
    sums: Scores = fastconv.conv2d(columns, np.ones((1, 1, 1, size)))[0]
    return sums


def normalized_cross_correlation(image: Image, template: Image) -> Scores:
    """Correlation coefficient of a template with every window of an image.

    Parameters
    ----------
    image : ndarray of float32, shape (height, width, channels)
        What to sweep over.
    template : ndarray of float32, shape (size, size, channels)
        What to look for; not constant.

    Returns
    -------
    ndarray of float64, shape (height - size + 1, width - size + 1)
        From -1 to 1; 0 where the window is constant.

    Raises
    ------
    ValueError
        If the template is constant or does not fit the image.

    Notes
    -----
    J. P. Lewis, "Fast normalized cross-correlation" (1995): with a template ``t`` of mean zero,
    ``sum(x t) / sqrt((sum(x^2) - sum(x)^2 / n) sum(t^2))``, where the sums over windows are
    convolutions with ``t`` and with a box of ones.

    Examples
    --------
    >>> image = np.random.default_rng(0).normal(size=(12, 12, 3)).astype(np.float32)
    >>> scores = normalized_cross_correlation(image, image[5:9, 2:6])
    >>> bool(scores.argmax() == 5 * 9 + 2), round(float(scores.max()), 3)
    (True, 1.0)
    """
    size = template.shape[0]
    channels = np.ascontiguousarray(image.transpose(2, 0, 1), dtype=np.float64)
    # Shifting all brightnesses changes no score, and spares the differences below some digits.
    channels = channels - channels.mean()
    centered = template.transpose(2, 0, 1).astype(np.float64)
    centered = centered - centered.mean()
    energy = float(np.square(centered).sum())
    if energy == 0:
        raise ValueError("template is constant; it needs some structure to be told apart by")

    products = fastconv.conv2d(channels, np.ascontiguousarray(centered)[None])[0]
    sums = _window_sums(channels, size)
    variances = _window_sums(channels**2, size) - sums**2 / template.size
    floor = 1e-12 * template.size
    return np.where(
        variances > floor, products / np.sqrt(np.maximum(variances, floor) * energy), 0.0
    )


def find_template(scene: Scene) -> Detection:
    """Sweep the template over a scene and take the best place.

    Parameters
    ----------
    scene : Scene
        What to look in; its `position` and `decoys` are not looked at.

    Returns
    -------
    Detection
    """
    scores = normalized_cross_correlation(scene.image, scene.template)
    row, column = (int(index) for index in np.unravel_index(scores.argmax(), scores.shape))
    reach = scene.template.shape[0] // 2
    elsewhere = scores.copy()
    elsewhere[max(row - reach, 0) : row + reach, max(column - reach, 0) : column + reach] = -1
    return Detection(scores, (row, column), float(scores[row, column]), float(elsewhere.max()))
