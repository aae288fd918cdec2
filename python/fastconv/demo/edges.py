"""Edges: many hand-made kernels over a colour photograph in one multi-channel convolution."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

import fastconv

from .photographs import Image

# Luma weights of red, green and blue, ITU-R BT.601: how bright each looks.
LUMA = np.array([0.299, 0.587, 0.114], dtype=np.float32)


@dataclass(frozen=True)
class HandMadeKernel:
    """One kernel of the contact sheet.

    Attributes
    ----------
    name : str
        Its customary name.
    values : ndarray of float32, shape (height, width)
        Its taps, applied as a cross-correlation; odd sides.
    signed : bool
        Whether its response is a derivative, around zero, rather than a picture.
    """

    name: str
    values: Image
    signed: bool


def _outer(column: Sequence[float], row: Sequence[float]) -> Image:
    product: Image = np.outer(column, row).astype(np.float32)
    return product


def _gaussian(radius: int, sigma: float) -> Image:
    offsets = np.arange(-radius, radius + 1)
    profile = np.exp(-0.5 * (offsets / sigma) ** 2)
    profile /= profile.sum()
    return _outer(profile.tolist(), profile.tolist())


def _laplacian_of_gaussian(radius: int, sigma: float) -> Image:
    offsets = np.arange(-radius, radius + 1)
    squared = offsets[:, None] ** 2 + offsets[None, :] ** 2
    values = (squared / sigma**2 - 2) * np.exp(-0.5 * squared / sigma**2) / sigma**4
    # A truncated kernel would answer to flat brightness; edges alone should answer.
    centered: Image = (values - values.mean()).astype(np.float32)
    return centered


def hand_made_kernels() -> list[HandMadeKernel]:
    """Make the kernels of the contact sheet, in its order.

    Returns
    -------
    list of HandMadeKernel
        Derivatives divided by the sum of their positive taps, so that all answer alike to a step
        from black to white; blurs and sharpeners with taps that sum to one.

    Notes
    -----
    Sobel, Prewitt, Scharr and the Laplacian as in R. C. Gonzalez and R. E. Woods, *Digital Image
    Processing*, and H. Scharr's thesis (Heidelberg, 2000).

    Examples
    --------
    >>> [kernel.name for kernel in hand_made_kernels()][:2]
    ['Sobel x', 'Sobel y']
    """
    difference = [-1.0, 0.0, 1.0]
    smoothing = {"Sobel": [1.0, 2.0, 1.0], "Prewitt": [1.0, 1.0, 1.0], "Scharr": [3.0, 10.0, 3.0]}
    derivatives: dict[str, Image] = {}
    for name, profile in smoothing.items():
        derivatives[f"{name} x"] = _outer(profile, difference)
        derivatives[f"{name} y"] = _outer(difference, profile)
    derivatives["Laplacian"] = np.array([[0, 1, 0], [1, -4, 1], [0, 1, 0]], dtype=np.float32)
    derivatives["Laplacian of Gaussian"] = _laplacian_of_gaussian(radius=4, sigma=1.6)
    pictures = {
        "Gaussian": _gaussian(radius=4, sigma=2.0),
        "Sharpen": np.array([[-1, -1, -1], [-1, 9, -1], [-1, -1, -1]], dtype=np.float32),
        "Emboss": np.array([[-2, -1, 0], [-1, 1, 1], [0, 1, 2]], dtype=np.float32),
    }
    return [
        HandMadeKernel(name, values / values[values > 0].sum(), signed=True)
        for name, values in derivatives.items()
    ] + [HandMadeKernel(name, values, signed=False) for name, values in pictures.items()]


def color_weights(kernels: Sequence[HandMadeKernel]) -> Image:
    """Stack kernels into one weight that takes red, green and blue.

    Parameters
    ----------
    kernels : sequence of HandMadeKernel
        At least one; smaller ones are surrounded with zeros to the largest size.

    Returns
    -------
    ndarray of float32, shape (len(kernels), 3, height, width)
        ``weight[k, c] = LUMA[c] * kernels[k]``: each output is the kernel over the brightness.

    Examples
    --------
    >>> color_weights(hand_made_kernels()).shape
    (11, 3, 9, 9)
    """
    height, width = (max(kernel.values.shape[axis] for kernel in kernels) for axis in (0, 1))
    stacked = np.zeros((len(kernels), height, width), dtype=np.float32)
    for plane, kernel in zip(stacked, kernels, strict=True):
        rows, columns = kernel.values.shape
        top, left = (height - rows) // 2, (width - columns) // 2
        plane[top : top + rows, left : left + columns] = kernel.values
    weight: Image = stacked[:, None] * LUMA[None, :, None, None]
    return weight


def filter_photograph(photograph: Image, kernels: Sequence[HandMadeKernel]) -> Image:
    """Run every kernel over a photograph in one call of `fastconv.conv2d`.

    Parameters
    ----------
    photograph : ndarray of float32, shape (height, width, 3)
        Red, green and blue, channels last, as photographs are stored.
    kernels : sequence of HandMadeKernel
        The kernels, one output channel each.

    Returns
    -------
    ndarray of float32, shape (height, width, len(kernels))
        The responses. Beyond its border the photograph is mirrored, so that the frame itself
        is no edge.
    """
    return fastconv.conv2d(
        photograph,
        color_weights(kernels),
        padding="same",
        padding_mode="reflect",
        layout="NHWC",
    )


def edge_orientation(horizontal: Image, vertical: Image) -> tuple[Image, Image]:
    """Direction and strength of the brightness gradient.

    Parameters
    ----------
    horizontal, vertical : ndarray of float32, shape (height, width)
        Derivatives along x and y.

    Returns
    -------
    angle : ndarray of float32, shape (height, width)
        Angle from the x axis, counter-clockwise, as a fraction of a full turn in [0, 1).
    strength : ndarray of float32, shape (height, width)
        Length of the gradient.

    Examples
    --------
    >>> angle, strength = edge_orientation(np.zeros((1, 1)), -2 * np.ones((1, 1)))
    >>> float(angle[0, 0]), float(strength[0, 0])
    (0.25, 2.0)
    """
    # Rows count downwards in an image, angles upwards.
    angle = np.arctan2(-vertical, horizontal) / (2 * np.pi) % 1.0
    return angle.astype(np.float32), np.hypot(horizontal, vertical)
