"""Large arrays that come and go, on pages of their own.

What `malloc` is given back it keeps, up to 32 MB a piece, and in threads, whose memory another thread frees, for good:
over a file of fragments that adds up to a third of what is really held.
"""

from __future__ import annotations

import mmap

import numpy as np

_SMALL = 1 << 18  # bytes below which it does not pay
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
    try:
        memory = mmap.mmap(-1, n_bytes, **_PRIVATE)
    except OSError as error:
        msg = f"Unable to allocate {n_bytes / 2**20:,.0f} MiB for an array of {n:,} {dtype}."
        raise MemoryError(msg) from error
    return np.frombuffer(memory, dtype)


def copy(values: np.ndarray) -> np.ndarray:
    """Return a copy of an array `(n,)`."""
    out = empty(len(values), values.dtype)
    out[:] = values
    return out
