"""The photographs: read from scikit-image's wheel, so that nothing is downloaded."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
import numpy.typing as npt

Image: TypeAlias = npt.NDArray[np.float32]


@dataclass(frozen=True)
class Photograph:
    """A photograph of scikit-image and a landmark in it that is worth looking for.

    Attributes
    ----------
    title : str
        What the picture shows.
    landmark : str
        What the square around `center` shows.
    center : tuple of int
        Row and column of the landmark's middle.
    """

    title: str
    landmark: str
    center: tuple[int, int]


PHOTOGRAPHS = {
    "astronaut": Photograph("the astronaut Eileen Collins", "the crew's badge", (386, 170)),
    "camera": Photograph("a man with a camera", "the camera", (158, 293)),
    "cat": Photograph("Chelsea the cat", "the cat's right eye", (111, 173)),
    "coffee": Photograph("a cup of coffee", "the bowl of the spoon", (284, 366)),
    "rocket": Photograph("a rocket on its pad", "the tip of the rocket", (148, 321)),
}


def load_photograph(name: str) -> Image:
    """Read a photograph by its name in `PHOTOGRAPHS`.

    Parameters
    ----------
    name : str
        A key of `PHOTOGRAPHS`.

    Returns
    -------
    ndarray of float32, shape (height, width, 3)
        Red, green and blue from 0 to 1; a grey photograph has three equal channels.

    Raises
    ------
    ValueError
        If there is no photograph of that name.

    Examples
    --------
    >>> load_photograph("cat").shape
    (300, 451, 3)
    """
    if name not in PHOTOGRAPHS:
        raise ValueError(f"photograph is {name!r}; it must be one of {', '.join(PHOTOGRAPHS)}")
    from skimage import data

    pixels = np.asarray(getattr(data, name)(), dtype=np.float32) / 255
    if pixels.ndim == 2:
        pixels = np.repeat(pixels[:, :, None], 3, axis=2)
    return np.ascontiguousarray(pixels, dtype=np.float32)


def crop(image: Image, center: tuple[int, int], size: int) -> Image:
    """Cut a square out of an image, moved inwards where it would leave the image.

    Parameters
    ----------
    image : ndarray, shape (height, width, channels)
        What to cut from; at least `size` pixels each way.
    center : tuple of int
        Row and column of the square's middle.
    size : int
        Its side in pixels.

    Returns
    -------
    ndarray, shape (size, size, channels)
        A view of `image`.

    Examples
    --------
    >>> crop(np.zeros((8, 9, 3), np.float32), (0, 4), 6).shape
    (6, 6, 3)
    """
    top, left = (
        min(max(middle - size // 2, 0), length - size)
        for middle, length in zip(center, image.shape, strict=False)
    )
    return image[top : top + size, left : left + size]
