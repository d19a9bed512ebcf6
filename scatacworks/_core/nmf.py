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
TILE = 64  # columns updated together


class Factors(NamedTuple):
    """Result of a factorisation; `columns` has one row per pattern."""

    rows: np.ndarray  # (n_rows, k)
    columns: np.ndarray  # (n_patterns, k)
    errors: np.ndarray  # squared Frobenius distance after each iteration
    violation: float  # projected gradient at the end, relative to the first


@njit
def gather(indptr: np.ndarray, rows: np.ndarray, column: int, matrix: np.ndarray, out: np.ndarray) -> None:
    """Sum the rows of a matrix over the rows of one column, four at a time (loops of unknown length vectorise)."""
    out[:] = 0
    p, stop = indptr[column], indptr[column + 1]
    while p + 4 <= stop:
        a, b, c, d = rows[p], rows[p + 1], rows[p + 2], rows[p + 3]
        for r in range(len(out)):
            out[r] += (matrix[a, r] + matrix[b, r]) + (matrix[c, r] + matrix[d, r])
        p += 4
    while p < stop:
        a = rows[p]
        for r in range(len(out)):
            out[r] += matrix[a, r]
        p += 1


@njit
def scatter(indptr: np.ndarray, rows: np.ndarray, column: int, values: np.ndarray, matrix: np.ndarray) -> None:
    """Add `values` to the rows of one column in a matrix."""
    for p in range(indptr[column], indptr[column + 1]):
        row = rows[p]
        for r in range(len(values)):
            matrix[row, r] += values[r]


@njit
def _descend(gram: np.ndarray, target: np.ndarray, loads: np.ndarray, k: int, weight: np.ndarray) -> float:
    """One sweep over the k components of a tile of columns (k, TILE); return the weighted projected gradient."""
    slope = np.empty(target.shape[1], target.dtype)
    zero = target.dtype.type(0)
    violation = 0.0
    for r in range(k):
        if gram[r, r] == 0:
            continue
        own = loads[r]
        wanted = target[r]
        for lane in range(len(slope)):
            slope[lane] = -wanted[lane]
        for q in range(k):
            factor, other = gram[r, q], loads[q]
            for lane in range(len(slope)):
                slope[lane] += factor * other[lane]
        step = target.dtype.type(1 / gram[r, r])
        for lane in range(len(slope)):
            old = own[lane]
            own[lane] = max(old - slope[lane] * step, zero)
            slope[lane] = slope[lane] if old > zero else min(slope[lane], zero)
        for lane in range(len(slope)):
            violation += weight[lane] * abs(slope[lane])
    return violation


@njit
def _add_outer(left: np.ndarray, right: np.ndarray, square: np.ndarray) -> None:
    """Add the outer product of two vectors; the first is often zero."""
    for r in range(len(left)):
        if left[r] != 0:
            for q in range(len(right)):
                square[r, q] += left[r] * right[q]


@njit
def _visit(
    indptr: np.ndarray, rows: np.ndarray, count: np.ndarray, bounds: tuple, weights: np.ndarray, gram: np.ndarray,
    penalty: float, k: int, loads: np.ndarray, total: np.ndarray, square: np.ndarray, update: bool,  # noqa: FBT001
) -> float:  # fmt: skip
    """Visit the columns of a block: update their loadings (or not), add A H^T to `total` and H H^T to `square`.

    Return the violation. No BLAS is called here: its own threads would wait for each other beside these.
    """
    width = weights.shape[1]
    part, part_square = np.zeros(total.shape, weights.dtype), np.zeros(square.shape, weights.dtype)
    one = np.empty(width, weights.dtype)
    target, tile = np.zeros((width, TILE), weights.dtype), np.zeros((width, TILE), weights.dtype)
    weight = np.zeros(TILE, np.float64)
    violation, since = 0.0, 0
    for first in range(bounds[0], bounds[1], TILE):
        n = min(TILE, bounds[1] - first)
        if update:
            weight[:] = 0
            for lane in range(n):
                gather(indptr, rows, first + lane, weights, one)
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
            _add_outer(loads[first + lane], one, part_square)
        since += n
        # short sums first: single precision then loses nothing that matters
        if since > max(4096, 4 * len(total)) or first + TILE >= bounds[1]:
            total += part
            square += part_square
            part[:], part_square[:], since = 0, 0, 0
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


class Descent:
    """The state of one factorisation; subclasses may keep the loadings of the columns elsewhere."""

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
            total, square = np.zeros(weights.shape), np.zeros(gram.shape)
            args = (weights, gram, self.loads.dtype.type(l1), self.k, self.loads, total, square, update)
            return total, square, _visit(p.indptr, p.rows, p.count, bounds, *args)

        self.target, self.gram, violation = np.zeros(weights.shape), np.zeros(gram.shape), 0.0
        for total, square, part in pool.map(visit, self.blocks):
            self.target += total
            self.gram += square
            violation += part
        return violation

    def columns(self) -> np.ndarray:
        """Loadings of the columns, (n_patterns, k)."""
        return self.loads[:, : self.k].copy()

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
    solver: Callable[..., Descent] = Descent,
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
    solver
        What visits the columns; called with the patterns, the start and the precision.

    Returns
    -------
    The factors.
    """
    errors, first, relative = [], None, 0.0
    with ThreadPoolExecutor(n_jobs) as pool:
        state = solver(patterns, rows, columns, dtype)
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
    return Factors(state.weights[:, : state.k].copy(), state.columns(), np.array(errors), float(relative))
