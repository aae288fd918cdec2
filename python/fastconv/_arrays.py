"""Array arguments of the functions that look at them before the compiled core does."""

from __future__ import annotations

from typing import Any

import numpy as np

from fastconv._typing import Array


def as_array(value: Any, name: str, *, copy: bool = False) -> Array:
    """Make an array of an argument, or refuse it by name."""
    if value is None or isinstance(value, (str, bytes)):
        raise TypeError(f"{name}: got {value!r}, needs an array")
    try:
        array: Array = np.array(value) if copy else np.asarray(value)
    except (ValueError, TypeError) as error:
        raise TypeError(
            f"{name}: got what numpy.asarray makes no array of ({error}); needs an array of "
            "numbers, all rows of one length"
        ) from None
    return array
