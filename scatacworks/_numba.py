"""The one compiler wrapper: every kernel runs without the GIL and is cached on disk where that is possible."""

from __future__ import annotations

from time import monotonic
from typing import TYPE_CHECKING, Any

import numba
from numba.core import event
from numba.core.caching import FunctionCache
from numba.core.dispatcher import Dispatcher

from scatacworks._logging import logger

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["njit"]

_PATIENCE = 2.0  # seconds of compiling that pass without a word
_KEPT = "Compiling kernels for this machine, which happens once per installation and takes a while."
_OTHERS = (
    "Compiling the search for neighbours of pynndescent, which takes a minute or so and is repeated in every process."
)
_NOT_KEPT = (
    "Compiling kernels for this machine, which takes a while and will be repeated in every run, as they can be kept "
    "neither beside the package nor in the user's cache folder: set NUMBA_CACHE_DIR to a folder that can be written to."
)


class _Cache(FunctionCache):
    """numba's cache of a kernel on disk; where the disk is full, the kernel is used without being kept."""

    def save_overload(self, sig: Any, data: Any) -> None:
        """Keep what was compiled for a signature."""
        try:
            super().save_overload(sig, data)
        except OSError as error:
            if compiling.is_kept:  # told once
                compiling.is_kept = False
                msg = (
                    f"Compiled kernels cannot be kept in {self.cache_path}: {error.strerror}. All else goes on, but "
                    "every run compiles anew: make room, or set NUMBA_CACHE_DIR to another folder."
                )
                logger.warning(msg)


def njit(function: Callable | None = None, **options: Any) -> Any:
    """Compile with `numba.njit(nogil=True)`, kept on disk where that is possible; further options are passed on."""
    if function is None:
        return lambda function: njit(function, **options)
    kernel = numba.njit(**{"nogil": True} | options)(function)
    if isinstance(kernel, Dispatcher):  # not where NUMBA_DISABLE_JIT is set
        try:
            kernel._cache = _Cache(function)
        except RuntimeError:  # no folder for it: a container's user has no home and may not write to the package
            compiling.is_kept = False
    return kernel


class Compiling(event.Listener):
    """Says, once per process, why a first call is slow: its kernels were not in numba's cache.

    numba tells of what it compiles, not of what it finds in the cache, and compiles one function at a time.
    """

    def __init__(self) -> None:
        self.is_kept = True
        self.spent, self.since, self.n_open = 0.0, 0.0, 0
        self.told: set[str] = set()  # of which libraries

    def on_start(self, found: event.Event) -> None:
        """Begin to count, at the outermost of functions that call each other."""
        self.n_open += 1
        if self.n_open == 1:
            self.since = monotonic()
        now = self.spent + monotonic() - self.since
        library = found.data["dispatcher"].__module__.partition(".")[0]
        if now > _PATIENCE and library in ("scatacworks", "pynndescent") and library not in self.told:
            self.told.add(library)
            msg = _OTHERS if library == "pynndescent" else _KEPT if self.is_kept else _NOT_KEPT
            # nothing is wrong, but Python shows no level below this one by itself
            logger.warning(msg, extra={"in_passing": True})

    def on_end(self, _: event.Event) -> None:
        """Add the time of the outermost."""
        self.n_open -= 1
        if self.n_open == 0:
            self.spent += monotonic() - self.since


compiling = Compiling()
event.register("numba:compile", compiling)
