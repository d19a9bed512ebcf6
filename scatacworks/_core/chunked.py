"""A long array that is stored in chunks, each of which is decompressed as a whole whatever is asked of it."""

from __future__ import annotations

from typing import Any

import numpy as np


class Chunked:
    """A one-dimensional array on disk whose last chunk is kept.

    What lies near what was read last, as the next group's runs do, then costs no reading.

    Parameters
    ----------
    array
        A zarr array, `(n,)`; anything with `shape`, `dtype`, `chunks` and slices.
    """

    def __init__(self, array: Any) -> None:
        self.array, self.shape, self.dtype = array, array.shape, array.dtype
        self._size = int(array.chunks[0])
        self._kept = (-1, np.empty(0, array.dtype))  # one tuple, so that threads never see a number without its chunk

    def __getitem__(self, wanted: int | slice) -> Any:
        """Return an element (by a position from 0) or a copy of a slice."""
        if not isinstance(wanted, slice):
            number, at = divmod(int(wanted), self._size)
            return self._chunk(number)[at]
        low, high, step = wanted.indices(self.shape[0])
        if step != 1:
            return self.array[wanted]
        if low >= high:
            return np.empty(0, self.dtype)
        number = low // self._size
        if (high - 1) // self._size != number:
            return self.array[low:high]
        first = number * self._size
        return self._chunk(number)[low - first : high - first].copy()

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> np.ndarray:  # noqa: FBT001 - NumPy's own
        """Return all of it."""
        return np.asarray(self.array[:], dtype)

    def _chunk(self, number: int) -> np.ndarray:
        kept, chunk = self._kept
        if kept != number:
            chunk = self.array[number * self._size : (number + 1) * self._size]
            self._kept = (number, chunk)
        return chunk
