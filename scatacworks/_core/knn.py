"""Nearest neighbours of chosen cells, well-spread cells, and groups that share no cells."""

from __future__ import annotations

import numpy as np

from scatacworks._numba import njit

_AT_ONCE = 1 << 25  # distances held at a time


@njit
def farthest_first(points: np.ndarray, n: int, first: int) -> np.ndarray:
    """Return `n` points, each the farthest from those before it; int64.

    Parameters
    ----------
    points
        float32, `(n_points, n_dimensions)`; distances are Euclidean.
    n
        How many; at most `n_points`.
    first
        The one to begin with.

    References
    ----------
    Gonzalez, Theoretical Computer Science 38, 293 (1985).
    """
    chosen = np.empty(n, np.int64)
    nearest = np.full(len(points), np.inf)
    at = first
    for i in range(n):
        chosen[i] = at
        nearest[at] = -1.0
        farthest = -1.0
        following = at
        for p in range(len(points)):
            if nearest[p] < 0:
                continue
            distance = 0.0
            for d in range(points.shape[1]):
                distance += (points[p, d] - points[at, d]) ** 2
            nearest[p] = min(nearest[p], distance)
            if nearest[p] > farthest:
                farthest, following = nearest[p], p
        at = following
    return chosen


def without_shared_points(
    points: np.ndarray, centers: np.ndarray, k: int, most: int, *, block: int = 256
) -> tuple[np.ndarray, np.ndarray]:
    """Return groups of `k` that share no point: each centre in turn takes the nearest points that are left.

    Parameters
    ----------
    points
        float32, `(n_points, n_dimensions)`; distances are Euclidean.
    centers
        Points to begin groups with, in turn; those already taken, and the last ones for whom fewer than `k` points are
        left, are passed over.
    k
        Points in a group, its centre included.
    most
        Groups wanted at most.
    block
        Centres whose distances are computed together; fewer where there are very many points.

    Returns
    -------
    Centres that got a group, int64 `(n_groups,)`, and their points, nearest first, int64 `(n_groups, k)`.
    """
    free = np.ones(len(points), bool)
    squares = np.einsum("ij,ij->i", points, points)
    used, groups = [], []
    most, block = min(most, len(points) // k), _rows_at_once(block, len(points))
    while len(groups) < most and len(centers):
        own, centers = centers[:block], centers[block:]
        for center, distance in zip(own, _squared_distances(points, squares, own), strict=True):
            if not free[center] or len(groups) == most:
                continue
            used.append(center)
            groups.append(_take(distance, center, k, free))
        centers = centers[free[centers]]
    return np.array(used, np.int64), np.array(groups, np.int64).reshape(-1, k)


def spread_without_shared_points(points: np.ndarray, k: int, most: int, first: int) -> tuple[np.ndarray, np.ndarray]:
    """Return groups as :func:`without_shared_points`, each centre the free point farthest from the centres before."""
    squares = np.einsum("ij,ij->i", points, points)
    free, nearest = np.ones(len(points), bool), np.full(len(points), np.inf)
    center, used, groups = first, [], []
    while len(groups) < most and len(points) - k * len(groups) >= k:
        distance = squares - 2 * (points @ points[center]) + squares[center]
        nearest = np.minimum(nearest, distance)
        used.append(center)
        groups.append(_take(distance, center, k, free))
        center = int(np.argmax(np.where(free, nearest, -np.inf)))
    return np.array(used, np.int64), np.array(groups, np.int64).reshape(-1, k)


def nearest_points(points: np.ndarray, centers: np.ndarray, k: int, *, block: int = 256) -> np.ndarray:
    """Return the `k` nearest points of every centre, exactly, the centre itself first; int64, `(n_centers, k)`."""
    squares = np.einsum("ij,ij->i", points, points)
    out = np.empty((len(centers), k), np.int64)
    block = _rows_at_once(block, len(points))
    for low in range(0, len(centers), block):
        own = centers[low : low + block]
        distances = _squared_distances(points, squares, own)
        distances[np.arange(len(own)), own] = -np.inf
        for i, distance in enumerate(distances):
            out[low + i] = _smallest(distance, k)
    return out


def _rows_at_once(block: int, n_points: int) -> int:
    return max(min(block, _AT_ONCE // n_points), 1)


def _squared_distances(points: np.ndarray, squares: np.ndarray, own: np.ndarray) -> np.ndarray:
    """Return the squared distances of some points to all, less the squares of the former; `(n_own, n_points)`."""
    distances = -2 * points[own] @ points.T
    distances += squares
    return distances


def _take(distance: np.ndarray, center: int, k: int, free: np.ndarray) -> np.ndarray:
    """Return the centre and the nearest points that are free, `k` in all, which are free no longer."""
    distance[~free], distance[center] = np.inf, -np.inf
    members = _smallest(distance, k)
    free[members] = False
    return members


def _smallest(distance: np.ndarray, k: int) -> np.ndarray:
    """Return the `k` nearest, in order; ties go to the lower index."""
    found = np.argpartition(distance, k - 1)[:k]
    return found[np.lexsort((found, distance[found]))]


def effective_groups(memberships: np.ndarray, sizes: np.ndarray) -> float:
    """Return how many groups without shared cells would tell as much about the mean as these do.

    The mean over `G` groups of the means over their cells weighs cell `c` by `w_c = sum of 1 / size over its groups`.
    If cells are independent, its variance is that of a cell times `sum(w_c ** 2) / G ** 2`; that of the mean of `n`
    separate groups is `mean(1 / size) / n`. Equating the two gives `n`.

    Parameters
    ----------
    memberships
        `w_c` of every cell, `(n_cells,)`.
    sizes
        Cells in every group, `(n_groups,)`, none empty.
    """
    return float(len(sizes) ** 2 * np.mean(1 / sizes) / np.sum(np.square(memberships, dtype=np.float64)))
