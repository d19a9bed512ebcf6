"""A binary matrix by its columns: each distinct pattern of rows once, with the number of columns that show it."""

from __future__ import annotations

from itertools import pairwise
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from scatacworks._numba import njit

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable
    from pathlib import Path


class Patterns(NamedTuple):
    """Distinct columns of a binary matrix; rows of pattern j are `rows[indptr[j]:indptr[j + 1]]`, sorted."""

    indptr: np.ndarray  # int64 (n_patterns + 1,)
    rows: np.ndarray  # uint16, or uint32 for more than 65,535 rows; may lie in a file
    count: np.ndarray  # float64 (n_patterns,): columns with this pattern
    inverse: np.ndarray  # int32 (n_columns,): pattern of each column
    n_rows: int

    @property
    def n_ones(self) -> float:
        """Number of ones of the whole matrix."""
        return float(np.diff(self.indptr) @ self.count)


@njit
def _count_columns(indices: np.ndarray, data: np.ndarray, counts: np.ndarray) -> None:
    """Add the non-zeros per column."""
    for at in range(len(indices)):
        counts[indices[at]] += data[at] != 0


@njit
def _fill_columns(
    indptr: np.ndarray, indices: np.ndarray, data: np.ndarray, base: int, cursor: np.ndarray, rows: np.ndarray
) -> None:
    """Write the row of every non-zero behind its column's cursor; rows come in order."""
    for row in range(len(indptr) - 1):
        for at in range(indptr[row], indptr[row + 1]):
            if data[at] != 0:
                column = indices[at]
                rows[cursor[column]] = row + base
                cursor[column] += 1


@njit
def _hashes(indptr: np.ndarray, rows: np.ndarray) -> np.ndarray:
    """A 64-bit number for the rows of each column."""
    found = np.empty(len(indptr) - 1, np.uint64)
    for column in range(len(found)):
        value = np.uint64(1469598103934665603)
        for at in range(indptr[column], indptr[column + 1]):
            value = (value ^ np.uint64(rows[at])) * np.uint64(1099511628211)
            value ^= value >> np.uint64(29)
        found[column] = value
    return found


@njit
def _same(indptr: np.ndarray, rows: np.ndarray, one: int, other: int) -> bool:
    """Whether two columns have the same rows."""
    return np.array_equal(rows[indptr[one] : indptr[one + 1]], rows[indptr[other] : indptr[other + 1]])


@njit
def _collapse(indptr: np.ndarray, rows: np.ndarray, order: np.ndarray, hashes: np.ndarray) -> np.ndarray:
    """First column, in `order`, with the same rows as each column."""
    first = np.empty(len(order), np.int32)
    begin = 0
    for at in range(len(order)):
        if hashes[order[at]] != hashes[order[begin]]:
            begin = at
        column = order[at]
        first[column] = column
        for earlier in range(begin, at):
            other = order[earlier]
            if first[other] == other and _same(indptr, rows, other, column):
                first[column] = other
                break
    return first


@njit
def _take(indptr: np.ndarray, rows: np.ndarray, columns: np.ndarray, kept: np.ndarray, target: np.ndarray) -> None:
    """Copy the rows of some columns."""
    for at in range(len(columns)):
        begin = indptr[columns[at]]
        for step in range(kept[at + 1] - kept[at]):
            target[kept[at] + step] = rows[begin + step]


def _array(n: int, dtype: np.dtype | type, folder: Path | None, name: str) -> np.ndarray:
    """An array in memory, or in a file of `folder`."""
    if folder is None or n == 0:
        return np.empty(n, dtype)
    return np.lib.format.open_memmap(folder / f"{name}.npy", mode="w+", dtype=dtype, shape=(n,))


def pack(
    parts: Callable[[], Iterable[tuple[np.ndarray, np.ndarray, np.ndarray]]],
    shape: tuple[int, int],
    *,
    collapse: bool = True,
    folder: Path | None = None,
) -> Patterns:
    """Turn a sparse matrix given by blocks of rows into patterns of columns.

    Parameters
    ----------
    parts
        Called twice; gives `indptr`, `indices` and `data` (CSR) of consecutive blocks of rows. Non-zero counts as one.
    shape
        Rows and columns of the whole matrix.
    collapse
        Keep equal columns once.
    folder
        Where the row numbers go when they shall not be held in memory.

    Returns
    -------
    The patterns. Without `collapse` every column is its own.
    """
    counts = np.zeros(shape[1], np.int64)
    for _, indices, data in parts():
        _count_columns(indices, data, counts)
    indptr = np.concatenate([[0], np.cumsum(counts)])
    rows = _array(int(indptr[-1]), np.uint16 if shape[0] <= 2**16 - 1 else np.uint32, folder, "rows")
    cursor, base = indptr[:-1].copy(), 0
    for part, indices, data in parts():
        _fill_columns(part, indices, data, base, cursor, rows)
        base += len(part) - 1
    if not collapse:
        return Patterns(indptr, rows, np.ones(shape[1]), np.arange(shape[1], dtype=np.int32), shape[0])
    hashes = _hashes(indptr, rows)
    first = _collapse(indptr, rows, np.argsort(hashes, kind="stable"), hashes)
    columns, inverse, count = np.unique(first, return_inverse=True, return_counts=True)
    kept = np.concatenate([[0], np.cumsum(counts[columns])])
    target = _array(int(kept[-1]), rows.dtype, folder, "patterns")
    _take(indptr, rows, columns, kept, target)
    return Patterns(kept, target, count.astype(float), inverse.astype(np.int32), shape[0])


def blocks(patterns: Patterns, n_blocks: int | None = None) -> list[tuple[int, int]]:
    """Consecutive ranges of patterns with about as many ones each; the same whatever the number of threads."""
    n = len(patterns.count)
    work = patterns.indptr[:-1] + 16 * np.arange(n)
    if n_blocks is None:  # up to 64, each worth the handing over
        n_blocks = 1 + min(int(work[-1]) // 50_000, 63) if n else 1
    bounds = np.searchsorted(work, np.linspace(0, work[-1] + 1 if n else 0, n_blocks + 1))
    return [(int(low), int(high)) for low, high in pairwise(bounds) if high > low]
