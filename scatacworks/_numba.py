"""The one compiler wrapper: every kernel is cached on disk and runs without the GIL."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numba
from numba import prange

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["njit", "prange"]


def njit(function: Callable | None = None, **options: Any) -> Any:
    """Compile with `numba.njit(cache=True, nogil=True)`; further options are passed on."""
    options = {"cache": True, "nogil": True} | options
    return numba.njit(**options) if function is None else numba.njit(**options)(function)
