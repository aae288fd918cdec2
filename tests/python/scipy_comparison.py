"""What the tests of `fastconv.signal` share: calls of both libraries, whatever they end in."""

from __future__ import annotations

import inspect
import warnings
from collections.abc import Callable
from typing import Any


def outcome(function: Callable[..., Any], *arguments: Any, **options: Any) -> Any:
    """What a call returns, or the type of what it raises."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            return function(*arguments, **options)
        except Exception as error:
            return type(error)


def parameters_of(function: Callable[..., Any]) -> list[tuple[Any, ...]]:
    """Names, kinds and defaults."""
    signature = inspect.signature(function).parameters.values()
    return [(item.name, item.kind, item.default) for item in signature]
