"""The one compiler wrapper: every kernel is cached on disk and runs without the GIL."""

from __future__ import annotations

from time import monotonic
from typing import TYPE_CHECKING, Any

import numba
from numba.core import event

from scatacworks._logging import logger

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["njit"]

_PATIENCE = 2.0  # seconds of compiling that pass without a word


def njit(function: Callable | None = None, **options: Any) -> Any:
    """Compile with `numba.njit(cache=True, nogil=True)`; further options are passed on."""
    options = {"cache": True, "nogil": True} | options
    return numba.njit(**options) if function is None else numba.njit(**options)(function)


class Compiling(event.Listener):
    """Says, once per process, why a first call is slow: its kernels were not in numba's cache.

    numba tells of what it compiles, not of what it finds in the cache, and compiles one function at a time.
    """

    def __init__(self) -> None:
        self.spent, self.since, self.n_open, self.told = 0.0, 0.0, 0, False

    def on_start(self, found: event.Event) -> None:
        """Begin to count, at the outermost of functions that call each other."""
        self.n_open += 1
        if self.n_open == 1:
            self.since = monotonic()
        now = self.spent + monotonic() - self.since
        if now > _PATIENCE and not self.told and found.data["dispatcher"].__module__.startswith("scatacworks."):
            self.told = True
            msg = "Compiling kernels for this machine, which happens once per installation and takes a while."
            # nothing is wrong, but Python shows no level below this one by itself
            logger.warning(msg, extra={"in_passing": True})

    def on_end(self, _: event.Event) -> None:
        """Add the time of the outermost."""
        self.n_open -= 1
        if self.n_open == 0:
            self.spent += monotonic() - self.since


compiling = Compiling()
event.register("numba:compile", compiling)
