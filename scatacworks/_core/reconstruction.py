"""How well loadings give back a binary matrix, counted block by block without ever building the product."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import numpy as np

from scatacworks._core.patterns import Patterns, blocks
from scatacworks._numba import njit


@njit
def _tally(
    indptr: np.ndarray, rows: np.ndarray, count: np.ndarray, first: int, product: np.ndarray, thresholds: np.ndarray,
    above: np.ndarray, above_one: np.ndarray,
) -> None:  # fmt: skip
    """Add all cells, and those that are ones, per row and number of thresholds passed (product: columns x rows)."""
    n_rows = product.shape[1]
    passed = np.empty(n_rows, np.int64)
    for at in range(len(product)):
        column = first + at
        for row in range(n_rows):
            value, level = product[at, row], 0
            while level < len(thresholds) and value > thresholds[level]:
                level += 1
            passed[row] = level
            above[row, level] += count[column]
        for p in range(indptr[column], indptr[column + 1]):
            above_one[rows[p], passed[rows[p]]] += count[column]


def confusion(
    patterns: Patterns, rows: np.ndarray, columns: np.ndarray, thresholds: np.ndarray, *, n_jobs: int
) -> np.ndarray:
    """Count true and false positives and negatives of `rows @ columns.T > threshold` for every row.

    Parameters
    ----------
    patterns
        The binary matrix.
    rows, columns
        Loadings (n_rows, k) and, by pattern, (n_patterns, k).
    thresholds
        Ascending.
    n_jobs
        Threads.

    Returns
    -------
    float64 (4, n_rows, n_thresholds): TP, FP, TN, FN.
    """
    thresholds = np.asarray(thresholds, np.float32)
    left, right = rows.astype(np.float32), columns.astype(np.float32)
    shape = (patterns.n_rows, len(thresholds) + 1)

    def count(bounds: tuple[int, int]) -> tuple[np.ndarray, np.ndarray]:
        cells, ones = np.zeros(shape), np.zeros(shape)
        step = max(1, 4_000_000 // patterns.n_rows)
        for first in range(bounds[0], bounds[1], step):
            product = right[first : min(first + step, bounds[1])] @ left.T
            _tally(patterns.indptr, patterns.rows, patterns.count, first, product, thresholds, cells, ones)
        return cells, ones

    cells, ones = np.zeros(shape), np.zeros(shape)
    with ThreadPoolExecutor(n_jobs) as pool:
        for part, part_ones in pool.map(count, blocks(patterns)):
            cells += part
            ones += part_ones
    positive = np.cumsum(cells[:, ::-1], axis=1)[:, ::-1][:, 1:]
    true = np.cumsum(ones[:, ::-1], axis=1)[:, ::-1][:, 1:]
    n_ones, n_cells = ones.sum(axis=1, keepdims=True), cells.sum(axis=1, keepdims=True)
    return np.stack([true, positive - true, n_cells - n_ones - (positive - true), n_ones - true])


def reconstruction_scores(
    true_positive: np.ndarray, false_positive: np.ndarray, false_negative: np.ndarray
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Precision, recall and F1 of counts of equal shape; 0 where undefined."""
    tp, fp, fn = (np.asarray(counts, float) for counts in (true_positive, false_positive, false_negative))

    def ratio(above: np.ndarray, below: np.ndarray) -> np.ndarray:
        return np.divide(above, below, out=np.zeros(np.broadcast(above, below).shape), where=below > 0)

    return ratio(tp, tp + fp), ratio(tp, tp + fn), ratio(2 * tp, 2 * tp + fp + fn)


def area_over_thresholds(precision: np.ndarray, recall: np.ndarray) -> float:
    """Area under recall over precision by trapezoids, for ascending thresholds.

    The curve starts at precision 0 with recall 1 and ends at precision 1 with recall 0 (Meuleman et al. 2020).
    """
    p, r = np.concatenate([[0], precision, [1]]), np.concatenate([[1], recall, [0]])
    return float(np.sum(np.diff(p) * (r[1:] + r[:-1]) / 2))
