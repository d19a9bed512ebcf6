"""Non-negative loadings of new rows when the other factor is fixed."""

from __future__ import annotations

import numpy as np

from scatacworks._numba import njit


@njit
def _restricted(gram: np.ndarray, target: np.ndarray, active: np.ndarray, factor: np.ndarray, out: np.ndarray) -> float:
    """Least squares over the active variables (Cholesky), the others zero; return the lowest active value."""
    k = len(target)
    for r in range(k):
        out[r] = 0.0
        if not active[r]:
            continue
        rest = target[r]
        for q in range(r + 1):
            if active[q]:
                value = gram[r, q]
                for p in range(q):
                    if active[p]:
                        value -= factor[r, p] * factor[q, p]
                if q < r:
                    factor[r, q] = value / factor[q, q]
                    rest -= factor[r, q] * out[q]
                else:
                    factor[r, r] = np.sqrt(max(value, 1e-14 * gram[r, r]))
        out[r] = rest / factor[r, r]
    lowest = np.inf
    for r in range(k - 1, -1, -1):
        if active[r]:
            for p in range(r + 1, k):
                if active[p]:
                    out[r] -= factor[p, r] * out[p]
            out[r] /= factor[r, r]
            lowest = min(lowest, out[r])
    return lowest


@njit
def _steepest(gram: np.ndarray, target: np.ndarray, found: np.ndarray, active: np.ndarray, tolerance: float) -> int:
    """The inactive variable whose increase helps most, or -1 when none does."""
    best, highest = -1, tolerance
    for r in range(len(target)):
        if not active[r] and gram[r, r] > 0:
            slope = target[r]
            for q in range(len(target)):
                slope -= gram[r, q] * found[q]
            if slope > highest:
                best, highest = r, slope
    return best


@njit
def _active_set(gram: np.ndarray, target: np.ndarray, tolerance: float, found: np.ndarray) -> None:
    """Lawson and Hanson's method on the normal equations; exact up to `tolerance` of the gradient."""
    k = len(target)
    active = np.zeros(k, np.bool_)
    factor, wanted = np.empty((k, k)), np.empty(k)
    for _ in range(3 * k):
        best = _steepest(gram, target, found, active, tolerance)
        if best < 0:
            break
        active[best] = True
        while _restricted(gram, target, active, factor, wanted) <= 0:
            step, first = 1.0, -1  # as far as the first variable to reach zero, which leaves
            for r in range(k):
                if active[r] and wanted[r] <= 0:
                    reach = found[r] / (found[r] - wanted[r]) if found[r] > wanted[r] else 0.0
                    if first < 0 or reach < step:
                        step, first = reach, r
            for r in range(k):
                found[r] += step * (wanted[r] - found[r])
                if active[r] and (r == first or found[r] <= 0):
                    active[r], found[r] = False, 0.0
        for r in range(k):
            found[r] = wanted[r]


@njit
def nnls(gram: np.ndarray, targets: np.ndarray) -> np.ndarray:
    """Minimise |a - h W| over non-negative h for many rows a.

    Parameters
    ----------
    gram
        W W^T, float64 (k, k).
    targets
        a W^T of every row, float64 (n, k).

    Returns
    -------
    Loadings, float64 (n, k).
    """
    found = np.zeros(targets.shape)
    for row in range(len(targets)):
        highest = 0.0
        for value in targets[row]:
            highest = max(highest, abs(value))
        if highest > 0:
            _active_set(gram, targets[row], 1e-12 * highest, found[row])
    return found


@njit
def poisson(
    indptr: np.ndarray, indices: np.ndarray, data: np.ndarray, loads: np.ndarray, n_iter: int, tol: float
) -> np.ndarray:
    """Non-negative rows w that make counts most likely under Poisson means w H, H fixed: the EM update, row by row.

    Parameters
    ----------
    indptr, indices, data
        Counts, CSR.
    loads
        H by element, (n_elements, k).
    n_iter, tol
        Stop after so many updates, or when no proportion changes by more than `tol`.

    Returns
    -------
    Loadings, float64 (n, k).
    """
    k = loads.shape[1]
    sums = np.zeros(k)
    for element in range(len(loads)):
        for r in range(k):
            sums[r] += loads[element, r]
    found = np.zeros((len(indptr) - 1, k))
    share, update = np.empty(k), np.empty(k)
    for row in range(len(indptr) - 1):
        share[:] = 1.0 / k  # expected share of the row's counts that each component explains
        explained = 0.0  # counts where any component is
        for _ in range(n_iter):
            update[:] = 0
            explained = 0.0
            for at in range(indptr[row], indptr[row + 1]):
                mean = 0.0
                for r in range(k):
                    if sums[r] > 0:
                        mean += share[r] / sums[r] * loads[indices[at], r]
                if mean > 0:
                    explained += data[at]
                    for r in range(k):
                        if sums[r] > 0:
                            update[r] += data[at] * share[r] / sums[r] * loads[indices[at], r] / mean
            if explained == 0:
                break
            change = 0.0
            for r in range(k):
                change = max(change, abs(update[r] / explained - share[r]))
                share[r] = update[r] / explained
            if change < tol:
                break
        for r in range(k):
            found[row, r] = share[r] * explained / sums[r] if sums[r] > 0 else 0.0
    return found
