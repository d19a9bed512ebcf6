"""Fragments kept as a cells x genome matrix (SnapATAC2's `fragment_paired`): column = start, value = length."""

from __future__ import annotations

import numpy as np

from scatacworks._numba import njit

__all__ = ["from_rows", "to_rows"]


@njit
def from_rows(
    indptr: np.ndarray, indices: np.ndarray, data: np.ndarray, offsets: np.ndarray
) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray, int]:
    """Bring the fragments of a chromosome together.

    Parameters
    ----------
    indptr, indices, data
        CSR arrays of the matrix.
    offsets
        int64 `(n_chroms + 1,)`, first column of every chromosome.

    Returns
    -------
    start, end, cell (int32) in order of chromosome and cell, bounds of the chromosomes `(n_chroms + 1,)`, and the
    number of fragments that do not lie within one chromosome.
    """
    n_chroms = len(offsets) - 1
    bounds = np.zeros(n_chroms + 1, np.int64)
    for column in indices:
        bounds[np.searchsorted(offsets, column, side="right")] += 1
    for i in range(n_chroms):
        bounds[i + 1] += bounds[i]
    at, n_bad = bounds[:-1].copy(), 0
    start, end = np.empty(len(indices), np.int32), np.empty(len(indices), np.int32)
    cell = np.empty(len(indices), np.int32)
    for row in range(len(indptr) - 1):
        for i in range(indptr[row], indptr[row + 1]):
            column = np.int64(indices[i])
            chrom = np.searchsorted(offsets, column, side="right") - 1
            length = np.int64(data[i])
            if length < 1 or column + length > offsets[chrom + 1]:
                n_bad += 1
            j = at[chrom]
            start[j], end[j], cell[j] = column - offsets[chrom], column - offsets[chrom] + length, row
            at[chrom] = j + 1
    return start, end, cell, bounds, n_bad


@njit
def to_rows(
    start: np.ndarray,
    end: np.ndarray,
    cell: np.ndarray,
    offset: int,
    at: np.ndarray,
    indices: np.ndarray,
    data: np.ndarray,
) -> None:
    """Put the fragments of a chromosome into the CSR arrays; `at` is the next free place of every row, moved on."""
    for i in range(len(start)):
        j = at[cell[i]]
        indices[j] = offset + start[i]
        data[j] = end[i] - start[i]
        at[cell[i]] = j + 1
