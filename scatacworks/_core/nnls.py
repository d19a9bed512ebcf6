"""Non-negative loadings of new rows when the other factor is fixed."""

from __future__ import annotations

import numpy as np

from scatacworks._numba import njit


@njit
def _restricted(gram: np.ndarray, target: np.ndarray, active: np.ndarray) -> np.ndarray:
    """Least squares over the active variables, the others zero."""
    at = np.flatnonzero(active)
    part, right = np.empty((len(at), len(at))), np.empty(len(at))
    for one in range(len(at)):
        right[one] = target[at[one]]
        for other in range(len(at)):
            part[one, other] = gram[at[one], at[other]]
        part[one, one] += 1e-14 * gram[at[one], at[one]]
    solution = np.zeros(len(target))
    solution[at] = np.linalg.solve(part, right)
    return solution


@njit
def _active_set(gram: np.ndarray, target: np.ndarray, tolerance: float) -> np.ndarray:
    """Lawson and Hanson's method on the normal equations; exact up to `tolerance` of the gradient."""
    k = len(target)
    active = np.zeros(k, np.bool_)
    found = np.zeros(k)
    for _ in range(3 * k):
        slope = target - gram @ found
        best = -1
        for r in range(k):
            if not active[r] and gram[r, r] > 0 and slope[r] > tolerance and (best < 0 or slope[r] > slope[best]):
                best = r
        if best < 0:
            break
        active[best] = True
        wanted = _restricted(gram, target, active)
        while wanted[active].min() <= 0:
            step, first = 1.0, -1  # as far as the first variable to reach zero, which leaves
            for r in range(k):
                if active[r] and wanted[r] <= 0:
                    reach = found[r] / (found[r] - wanted[r]) if found[r] > wanted[r] else 0.0
                    if first < 0 or reach < step:
                        step, first = reach, r
            found += step * (wanted - found)
            for r in range(k):
                if active[r] and (r == first or found[r] <= 0):
                    active[r], found[r] = False, 0.0
            if not active.any():
                wanted = np.zeros(k)
                break
            wanted = _restricted(gram, target, active)
        found = wanted
    return found


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
        highest = np.abs(targets[row]).max()
        if highest > 0:
            found[row] = _active_set(gram, targets[row], 1e-12 * highest)
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
        total = 0.0
        for at in range(indptr[row], indptr[row + 1]):
            total += data[at]
        share[:] = 1.0 / k  # expected share of the row's counts that each component explains
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
                share[:] = 0
                break
            change = 0.0
            for r in range(k):
                change = max(change, abs(update[r] / explained - share[r]))
                share[r] = update[r] / explained
            if change < tol:
                break
        for r in range(k):
            found[row, r] = share[r] * total / sums[r] if sums[r] > 0 else 0.0
    return found
