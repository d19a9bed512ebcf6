"""Runs that arrive part by part: arrays that grow in place, so that memory never holds them twice."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Iterable

_FIRST = 1 << 12
_LARGE = 1 << 24  # elements; such arrays have pages of their own, which grow without being copied


class GrowingRuns:
    """Starts, lengths and values of runs, appended to.

    Parameters
    ----------
    dtype
        Type of the values; by default what holds those of all parts, float32 without any.
    """

    def __init__(self, dtype: np.dtype | type | None = None) -> None:
        self._kind = None if dtype is None else np.dtype(dtype)
        self._starts = np.empty(0, np.int32)
        self._lengths: np.ndarray | None = None
        self._values = np.empty(0, self._kind or np.float32)
        self._n = 0

    def __len__(self) -> int:
        return self._n

    def append(self, starts: np.ndarray, lengths: np.ndarray | None, values: np.ndarray) -> None:
        """Add runs; lengths of `None` are all 1."""
        if not len(starts):
            return
        if self._kind is None:
            kind = values.dtype if self._n == 0 else np.result_type(self._values.dtype, values.dtype)
            self._values = self._values.astype(kind, copy=False)
        if lengths is not None and self._lengths is None:
            self._lengths = np.ones(len(self._starts), np.int32)
        self._n += len(starts)
        for column, part in ((self._starts, starts), (self._lengths, lengths), (self._values, values)):
            if column is not None:
                _reserve(column, self._n)
                column[self._n - len(starts) : self._n] = 1 if part is None else part

    def extend(self, parts: Iterable[tuple[np.ndarray, np.ndarray | None, np.ndarray]]) -> None:
        """Add the runs of several parts, and hold on to none of them."""
        for part in parts:
            self.append(*part)

    def take(self) -> tuple[np.ndarray, np.ndarray | None, np.ndarray]:
        """Return all runs; nothing can be added afterwards."""
        for column in (self._starts, self._lengths, self._values):
            if column is not None:
                column.resize(self._n, refcheck=False)
        return self._starts, self._lengths, self._values


def _reserve(column: np.ndarray, n: int) -> None:
    """Make a column at least `n` long, and somewhat longer: numpy writes to all of it."""
    if n > len(column):
        spare = len(column) // (256 if len(column) >= _LARGE else 8)
        column.resize(max(n, len(column) + spare, _FIRST), refcheck=False)
