"""Large arrays that come and go, on pages of their own: what `malloc` is given back it keeps, up to 32 MB a piece."""

from __future__ import annotations

import mmap
from contextlib import suppress

import numpy as np

_SMALL = 1 << 18  # bytes below which it does not pay
_HUGE = 1 << 21  # bytes of a huge page, which is faster to get than as many small ones
_PRIVATE = {"flags": mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS} if hasattr(mmap, "MAP_ANONYMOUS") else {}


def empty(n: int, dtype: np.dtype | type) -> np.ndarray:
    """Return an array `(n,)` like numpy's, whose memory goes back to the system when the array goes.

    Raises
    ------
    MemoryError
        If the system has too little.
    """
    dtype = np.dtype(dtype)
    n_bytes = int(n) * dtype.itemsize
    if n_bytes < _SMALL:
        return np.empty(n, dtype)
    is_large = n_bytes >= _HUGE
    room = -(-n_bytes // _HUGE) * _HUGE if is_large else n_bytes  # only whole huge pages are aligned, and used
    try:
        memory = mmap.mmap(-1, room, **_PRIVATE)
    except OSError as error:
        msg = f"Unable to allocate {n_bytes / 2**20:,.0f} MiB for an array of {n:,} {dtype}."
        raise MemoryError(msg) from error
    if is_large and hasattr(mmap, "MADV_HUGEPAGE"):
        with suppress(OSError):  # a kernel without them
            memory.madvise(mmap.MADV_HUGEPAGE)
    return np.frombuffer(memory, dtype, n)
