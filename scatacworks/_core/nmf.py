"""Non-negative factorisation of a binary matrix by coordinate descent.

A (n x m, rows are samples) is approximated by W (n x k) times H (k x m) in the least-squares sense. One iteration
updates W, then visits every distinct column once: its row of A^T W is gathered, its loadings are updated, and what W
needs next (A H^T) is scattered in the same visit, so the matrix is read once per iteration. The order of updates is
that of the usual coordinate descent, so the result is the same up to rounding.
"""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from scatacworks._core.patterns import Patterns, blocks
from scatacworks._numba import njit

if TYPE_CHECKING:
    from collections.abc import Callable

LANES = 8  # components are padded to a multiple of this
TILE = 32  # columns updated together


class Factors(NamedTuple):
    """Result of a factorisation; `columns` has one row per pattern."""

    rows: np.ndarray  # (n_rows, k)
    columns: np.ndarray  # (n_patterns, k)
    errors: np.ndarray  # squared Frobenius distance after each iteration
    violation: float  # projected gradient at the end, relative to the first


@njit
def gather(indptr: np.ndarray, rows: np.ndarray, column: int, flat: np.ndarray, width: int, out: np.ndarray) -> None:
    """Sum the rows of a (n, width) matrix, given flat, over the rows of one column; eight lanes at a time."""
    zero = flat[0] * 0
    wide = np.uint64(width)
    for lane in range(0, width, 8):
        s0 = s1 = s2 = s3 = s4 = s5 = s6 = s7 = zero
        for p in range(indptr[column], indptr[column + 1]):
            at = np.uint64(rows[p]) * wide + np.uint64(lane)
            s0 += flat[at]
            s1 += flat[at + np.uint64(1)]
            s2 += flat[at + np.uint64(2)]
            s3 += flat[at + np.uint64(3)]
            s4 += flat[at + np.uint64(4)]
            s5 += flat[at + np.uint64(5)]
            s6 += flat[at + np.uint64(6)]
            s7 += flat[at + np.uint64(7)]
        out[lane], out[lane + 1], out[lane + 2], out[lane + 3] = s0, s1, s2, s3
        out[lane + 4], out[lane + 5], out[lane + 6], out[lane + 7] = s4, s5, s6, s7


@njit
def scatter(indptr: np.ndarray, rows: np.ndarray, column: int, values: np.ndarray, flat: np.ndarray) -> None:
    """Add `values` to the rows of one column in a (n, width) matrix, given flat; eight lanes at a time."""
    width = len(values)
    wide = np.uint64(width)
    for lane in range(0, width, 8):
        v0, v1, v2, v3 = values[lane], values[lane + 1], values[lane + 2], values[lane + 3]
        v4, v5, v6, v7 = values[lane + 4], values[lane + 5], values[lane + 6], values[lane + 7]
        for p in range(indptr[column], indptr[column + 1]):
            at = np.uint64(rows[p]) * wide + np.uint64(lane)
            flat[at] += v0
            flat[at + np.uint64(1)] += v1
            flat[at + np.uint64(2)] += v2
            flat[at + np.uint64(3)] += v3
            flat[at + np.uint64(4)] += v4
            flat[at + np.uint64(5)] += v5
            flat[at + np.uint64(6)] += v6
            flat[at + np.uint64(7)] += v7


@njit
def _descend(gram: np.ndarray, target: np.ndarray, loads: np.ndarray, k: int, weight: np.ndarray) -> float:
    """One sweep over the k components of a tile of columns (k, TILE); return the weighted projected gradient."""
    slope = np.empty(TILE, target.dtype)
    violation = 0.0
    for r in range(k):
        for lane in range(TILE):
            slope[lane] = -target[r, lane]
        for q in range(k):
            factor = gram[r, q]
            for lane in range(TILE):
                slope[lane] += factor * loads[q, lane]
        if gram[r, r] == 0:
            continue
        step = 1 / gram[r, r]
        for lane in range(TILE):
            old = loads[r, lane]
            projected = slope[lane] if old > 0 else min(slope[lane], 0)
            violation += weight[lane] * abs(projected)
            loads[r, lane] = max(old - slope[lane] * step, 0)
    return violation


@njit
def _visit(
    indptr: np.ndarray, rows: np.ndarray, count: np.ndarray, bounds: tuple, weights: np.ndarray, gram: np.ndarray,
    penalty: float, k: int, loads: np.ndarray, total: np.ndarray, update: bool,  # noqa: FBT001
) -> float:  # fmt: skip
    """Visit the columns of a block: update their loadings (or not) and add A H^T to `total`; return the violation."""
    width = weights.shape[1]
    flat = weights.ravel()
    part = np.zeros(total.size, weights.dtype)
    one = np.empty(width, weights.dtype)
    target, tile = np.zeros((width, TILE), weights.dtype), np.zeros((width, TILE), weights.dtype)
    weight = np.zeros(TILE, np.float64)
    violation, since = 0.0, 0
    for first in range(bounds[0], bounds[1], TILE):
        n = min(TILE, bounds[1] - first)
        if update:
            weight[:] = 0
            for lane in range(n):
                gather(indptr, rows, first + lane, flat, width, one)
                weight[lane] = count[first + lane]
                for r in range(k):
                    target[r, lane] = one[r] - penalty
                    tile[r, lane] = loads[first + lane, r]
            violation += _descend(gram, target, tile, k, weight)
            for lane in range(n):
                for r in range(k):
                    loads[first + lane, r] = tile[r, lane]
        for lane in range(n):
            for r in range(width):
                one[r] = loads[first + lane, r] * count[first + lane]
            scatter(indptr, rows, first + lane, one, part)
        since += n
        if since > 4096 and since > 4 * len(
            total
        ):  # short sums first: single precision then loses nothing that matters
            total += part.reshape(total.shape)
            part[:] = 0
            since = 0
    total += part.reshape(total.shape)
    return violation


@njit
def _update_rows(weights: np.ndarray, gram: np.ndarray, target: np.ndarray, k: int, penalty: float) -> float:
    """One sweep over the components of every row of W; return the projected gradient."""
    violation = 0.0
    for row in range(len(weights)):
        for r in range(k):
            if gram[r, r] == 0:
                continue
            slope = penalty - target[row, r]
            for q in range(k):
                slope += gram[r, q] * weights[row, q]
            old = weights[row, r]
            violation += abs(slope if old > 0 else min(slope, 0.0))
            weights[row, r] = max(old - slope / gram[r, r], 0.0)
    return violation


def pad(matrix: np.ndarray, dtype: np.dtype | type) -> np.ndarray:
    """Copy of a matrix with its columns padded by zeros to a multiple of eight."""
    padded = np.zeros((len(matrix), -(-matrix.shape[1] // LANES) * LANES), dtype)
    padded[:, : matrix.shape[1]] = matrix
    return padded


class _Descent:
    """The state of one factorisation."""

    def __init__(self, patterns: Patterns, rows: np.ndarray, columns: np.ndarray, dtype: np.dtype | type) -> None:
        self.patterns, self.k = patterns, rows.shape[1]
        self.weights = pad(rows, np.float64)
        self.loads = pad(columns, dtype)
        self.blocks = blocks(patterns)

    def sweep(self, pool: ThreadPoolExecutor, *, update: bool, l1: float = 0.0, l2: float = 0.0) -> float:
        """Visit all columns; set `target` (A H^T) and `gram` (H H^T) for the rows, and return the violation."""
        gram = self.weights.T @ self.weights
        gram[np.diag_indices(self.k)] += l2
        weights, gram = self.weights.astype(self.loads.dtype), gram.astype(self.loads.dtype)
        p = self.patterns

        def visit(bounds: tuple[int, int]) -> tuple[np.ndarray, np.ndarray, float]:
            total = np.zeros(weights.shape)
            args = (weights, gram, self.loads.dtype.type(l1), self.k, self.loads, total, update)
            violation = _visit(p.indptr, p.rows, p.count, bounds, *args)
            part = self.loads[slice(*bounds)].astype(np.float64)
            return total, part.T @ (part * p.count[slice(*bounds), None]), violation

        self.target, self.gram, violation = np.zeros(weights.shape), np.zeros(gram.shape), 0.0
        for total, square, part in pool.map(visit, self.blocks):
            self.target += total
            self.gram += square
            violation += part
        return violation

    def error(self) -> float:
        """Squared Frobenius distance, without building the product."""
        fit = self.patterns.n_ones - 2 * np.vdot(self.target, self.weights)
        return float(max(fit + np.vdot(self.gram, self.weights.T @ self.weights), 0))


def factorize(
    patterns: Patterns,
    rows: np.ndarray,
    columns: np.ndarray,
    *,
    max_iter: int = 200,
    tol: float = 1e-4,
    l1: tuple[float, float] = (0.0, 0.0),
    l2: tuple[float, float] = (0.0, 0.0),
    dtype: np.dtype | type = np.float32,
    n_jobs: int = 1,
    report: Callable[[float], None] | None = None,
) -> Factors:
    """Fit W and H from a start by coordinate descent.

    Parameters
    ----------
    patterns
        The matrix.
    rows, columns
        Start of W (n_rows, k) and of H by pattern (n_patterns, k); non-negative.
    max_iter, tol
        Stop after so many iterations, or when the projected gradient falls to this share of the first one.
    l1, l2
        Penalties (of W, of H), added to the half squared distance: l1 times the sum, l2 / 2 times the sum of squares.
    dtype
        Precision of the loadings of the columns; sums are kept in double precision.
    n_jobs
        Threads; changes nothing in the result.
    report
        Called after each iteration with the relative violation.

    Returns
    -------
    The factors.
    """
    errors, first, relative = [], None, 0.0
    with ThreadPoolExecutor(n_jobs) as pool:
        state = _Descent(patterns, rows, columns, dtype)
        state.sweep(pool, update=False)
        for _ in range(max_iter):
            gram = state.gram.copy()
            gram[np.diag_indices(state.k)] += l2[0]
            violation = _update_rows(state.weights, gram, state.target, state.k, float(l1[0]))
            violation += state.sweep(pool, update=True, l1=l1[1], l2=l2[1])
            errors.append(state.error())
            first = violation if first is None else first
            relative = violation / first if first > 0 else 0.0
            if report is not None:
                report(relative)
            if relative <= tol:
                break
        errors = errors or [state.error()]
    k = state.k
    return Factors(state.weights[:, :k].copy(), state.loads[:, :k].copy(), np.array(errors), float(relative))
