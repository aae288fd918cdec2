"""Threads, and what the library knows of itself and of the machine."""

from __future__ import annotations

import os
import platform
import threading
from types import TracebackType
from typing import Any, SupportsIndex

import numpy as np

from fastconv import _core


def set_num_threads(n: SupportsIndex | None) -> None:
    """Set how many threads a call uses when it does not say.

    Parameters
    ----------
    n : int or None
        At least 1. None returns to the default: ``OMP_NUM_THREADS`` if set, else the smallest of
        the affinity mask, the control group's quota and the physical cores.

    Raises
    ------
    TypeError
        If `n` is not an integer.
    ValueError
        If `n` is below 1 or above 4096.

    Examples
    --------
    >>> import fastconv
    >>> fastconv.set_num_threads(1)
    >>> fastconv.get_num_threads()
    1
    >>> fastconv.set_num_threads(None)
    """
    _core.set_num_threads(n)


def get_num_threads() -> int:
    """Tell how many threads a call uses when it does not say.

    Returns
    -------
    int
        The number of the innermost `threads` context of this Python thread, else that of
        `set_num_threads`, else the default.

    Examples
    --------
    >>> import fastconv
    >>> fastconv.get_num_threads() >= 1
    True
    """
    return _core.num_threads()


class threads:  # noqa: N801  (used like a function, as contextlib's managers are)
    """Context in which calls from this Python thread use `n` threads.

    Results do not depend on the number of threads, bit for bit. Contexts nest, and one object may
    be entered again.

    Parameters
    ----------
    n : int
        At least 1.

    Raises
    ------
    TypeError
        If `n` is not an integer.
    ValueError
        If `n` is below 1 or above 4096.

    Examples
    --------
    >>> import fastconv
    >>> with fastconv.threads(1):
    ...     fastconv.get_num_threads()
    1
    """

    def __init__(self, n: SupportsIndex) -> None:
        if n is None:
            raise TypeError("threads: got None, needs an integer")
        # The core checks the number; setting it and taking it back leaves nothing behind.
        _core.set_thread_override(_core.set_thread_override(n) or None)
        self._threads = n
        self._outer = threading.local()

    def __enter__(self) -> threads:
        """Use the number from here on."""
        outer = _core.set_thread_override(self._threads)
        self._outer.stack = [*getattr(self._outer, "stack", []), outer]
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        """Return to the number of the surrounding context."""
        _core.set_thread_override(self._outer.stack.pop() or None)


def cpu_info() -> dict[str, Any]:
    """Describe the processor as fastconv uses it.

    Returns
    -------
    dict
        ``isa``, the instruction set in use; ``supported`` and ``compiled``, the sets that this
        machine can run and that this build holds, best first; ``second_level_cache_bytes``;
        ``machine``, the architecture; ``cores``, those that this process may use.

    Notes
    -----
    The environment variable ``FASTCONV_FORCE_ISA`` chooses another set than the best; it is read
    once, at the first use.

    Examples
    --------
    >>> import fastconv
    >>> info = fastconv.cpu_info()
    >>> info["isa"] in info["supported"]
    True
    """
    return {
        "isa": _core.active_isa(),
        "supported": _core.supported_isas(),
        "compiled": _core.compiled_isas(),
        "second_level_cache_bytes": _core.second_level_cache_bytes(),
        "machine": platform.machine(),
        "cores": len(os.sched_getaffinity(0)),
    }


def show_config() -> None:
    """Print versions, instruction sets, threads and algorithms: what a bug report needs.

    Examples
    --------
    >>> import fastconv
    >>> fastconv.show_config()  # doctest: +ELLIPSIS
    fastconv ...
    """
    info = cpu_info()
    rows = {
        "python": platform.python_version(),
        "numpy": np.__version__,
        "compiler": _core.compiler,
        "machine": f"{info['machine']}, {info['cores']} cores",
        "instruction set": f"{info['isa']} (can run {', '.join(info['supported'])};"
        f" built {', '.join(info['compiled'])})",
        "forced by": f"FASTCONV_FORCE_ISA={os.environ.get('FASTCONV_FORCE_ISA') or '(not set)'}",
        "level-2 cache": f"{info['second_level_cache_bytes'] // 1024} KiB",
        "threads": str(get_num_threads()),
        "algorithms": ", ".join(_core.algorithm_names()),
    }
    print(f"fastconv {_core.__version__}")
    for name, value in rows.items():
        print(f"  {name:<16}{value}")
