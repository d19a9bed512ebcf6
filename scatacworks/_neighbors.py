"""Nearest neighbours of all cells at once, where there are too many cells for all distances."""

from __future__ import annotations

import numpy as np

from scatacworks import _threads

EXACT_UP_TO = 2e9  # distances; beyond, neighbours are approximate


def approximate_neighbors(points: np.ndarray, k: int, *, seed: int, n_jobs: int | None = None) -> np.ndarray:
    """Return the `k` nearest points of every point, as a rule the point itself first; int64, `(n_points, k)`.

    Parameters
    ----------
    points
        float32, `(n_points, n_dimensions)`; distances are Euclidean.
    k
        Neighbours, the point itself included.
    seed
        Of the descent (pynndescent).
    n_jobs
        Threads.
    """
    from numba.core.config import NUMBA_NUM_THREADS
    from pynndescent import NNDescent

    threads = min(_threads.resolve(n_jobs), NUMBA_NUM_THREADS)  # numba refuses more
    index = NNDescent(points, n_neighbors=max(k, 30), random_state=seed, n_jobs=threads)
    return index.neighbor_graph[0][:, :k].astype(np.int64)


def all_neighbors(points: np.ndarray, k: int, *, n_jobs: int | None = None) -> np.ndarray:
    """Return the `k` nearest points of every point, approximately where there are more than 44,000; as above."""
    if len(points) ** 2 > EXACT_UP_TO:
        return approximate_neighbors(points, k, seed=0, n_jobs=n_jobs)
    from sklearn.neighbors import NearestNeighbors

    return NearestNeighbors(n_neighbors=k).fit(points).kneighbors(points, return_distance=False)


def with_themselves(found: np.ndarray, own: np.ndarray) -> np.ndarray:
    """Return neighbours among which every point is: of equal points another may stand first. Changes `found`."""
    lacking = ~(found == own[:, None]).any(1)
    found[lacking, -1] = own[lacking]
    return found
