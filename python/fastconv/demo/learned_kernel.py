"""A kernel learned from input-output pairs by gradient descent.

Somebody photographed through an aperture of an unknown shape: we hold the sharp picture and the
blurred one, and recover the aperture. With ``y = conv(x, k)`` the loss
``|conv(x, k) - y|^2 / (2 n)`` has the gradient ``conv2d_weight(x, conv(x, k) - y) / n``.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

import fastconv
import fastconv.grad

from .photographs import Image

_HEART = """
...........
..##...##..
.####.####.
###########
###########
###########
.#########.
..#######..
...#####...
....###....
.....#.....
"""

_WHITENING = np.array([[0, -1, 0], [-1, 4, -1], [0, -1, 0]], dtype=np.float32)[None, None]
_MOMENTUM = 0.9
_POWER_ITERATIONS = 12
_SNAPSHOT_STEPS = (1, 2, 4, 13)


@dataclass(frozen=True)
class LearnedKernel:
    """What the learner saw and found.

    Attributes
    ----------
    sharp, blurred : ndarray of float32, shape (3, 1, height, width)
        The input-output pairs, one for each colour.
    true, learned : ndarray of float32, shape (11, 11)
        The hidden kernel and the last estimate of it.
    losses : ndarray of float64, shape (steps + 1,)
        Mean squared error where each step took its gradient, and after the last.
    snapshots : dict of int to ndarray
        Estimates of the kernel after so many steps.
    """

    sharp: Image
    blurred: Image
    true: Image
    learned: Image
    losses: np.ndarray[tuple[int, ...], np.dtype[np.float64]]
    snapshots: dict[int, Image]

    @property
    def relative_error(self) -> float:
        """``|learned - true| / |true|``."""
        return float(np.linalg.norm(self.learned - self.true) / np.linalg.norm(self.true))


def heart_shaped_aperture() -> Image:
    """Make the hidden kernel: a heart, normalised to sum to one.

    Returns
    -------
    ndarray of float32, shape (11, 11)

    Examples
    --------
    >>> aperture = heart_shaped_aperture()
    >>> aperture.shape, round(float(aperture.sum()), 3)
    ((11, 11), 1.0)
    """
    heart = np.array([[tap == "#" for tap in row] for row in _HEART.split()], dtype=np.float32)
    aperture: Image = heart / heart.sum()
    return aperture


def _largest_curvature(whitened: Image, kernel_shape: tuple[int, ...]) -> float:
    """Largest eigenvalue of the loss's Hessian, by power iteration: the step is its inverse."""
    direction = np.random.default_rng(0).normal(size=kernel_shape).astype(np.float32)
    curvature = 0.0
    for _ in range(_POWER_ITERATIONS):
        direction /= np.linalg.norm(direction)
        response = fastconv.conv2d(whitened, direction)
        change = fastconv.grad.conv2d_weight(whitened, kernel_shape, response)
        change /= response.size
        curvature = float(np.vdot(direction, change))
        direction = change
    return curvature


def learn_kernel(
    photograph: Image, steps: int, on_step: Callable[[], None] = lambda: None
) -> LearnedKernel:
    """Blur a photograph with the hidden kernel, then learn that kernel from the two pictures.

    Parameters
    ----------
    photograph : ndarray of float32, shape (height, width, 3)
        Each colour is one input of the batch.
    steps : int
        Gradient steps, at least one.
    on_step : callable, optional
        Called after each step.

    Returns
    -------
    LearnedKernel

    Notes
    -----
    Gradient descent with Nesterov's momentum, from a kernel of zeros. Neighbouring pixels of a
    photograph are nearly equal, which makes descent slow; both pictures therefore pass through
    the Laplacian first, which evens out the spectrum. That changes nothing about the solution,
    since convolutions commute.
    """
    true = heart_shaped_aperture()
    sharp = np.ascontiguousarray(photograph.transpose(2, 0, 1)[:, None])
    blurred = fastconv.conv2d(sharp, true[None, None])

    whitened = fastconv.conv2d(sharp, _WHITENING)
    target = fastconv.conv2d(blurred, _WHITENING)
    scale = np.float32(1 / whitened.std())
    whitened, target = whitened * scale, target * scale

    kernel = np.zeros((1, 1, *true.shape), dtype=np.float32)
    velocity = np.zeros_like(kernel)
    rate = np.float32(1 / _largest_curvature(whitened, kernel.shape))
    snapshots: dict[int, Image] = {}
    losses = []
    for step in range(1, steps + 1):
        ahead = kernel + _MOMENTUM * velocity
        residual = fastconv.conv2d(whitened, ahead) - target
        gradient = fastconv.grad.conv2d_weight(whitened, kernel.shape, residual) / residual.size
        velocity = _MOMENTUM * velocity - rate * gradient
        kernel = kernel + velocity
        losses.append(float(np.mean(np.square(residual, dtype=np.float64))))
        if step in _SNAPSHOT_STEPS or step == steps:
            snapshots[step] = kernel[0, 0].copy()
        on_step()
    residual = fastconv.conv2d(whitened, kernel) - target
    losses.append(float(np.mean(np.square(residual, dtype=np.float64))))
    return LearnedKernel(sharp, blurred, true, kernel[0, 0], np.array(losses), snapshots)
