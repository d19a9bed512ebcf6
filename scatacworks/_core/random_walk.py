"""Random walk with restart on a graph of cells."""

from __future__ import annotations

import numpy as np
from scipy import sparse


def random_walk(
    graph: sparse.csr_matrix,
    seeds: np.ndarray,
    *,
    restart: float,
    tolerance: float = 1e-5,
    max_steps: int = 1000,
) -> np.ndarray:
    """Return the stationary distribution of a walk that jumps back to the seeds with probability `restart`.

    Parameters
    ----------
    graph
        Symmetric, cells × cells; cells without neighbours keep what they have.
    seeds
        Bool or weights, `(n_cells, n_walks)`; each column is scaled to sum 1.
    restart
        Probability of a jump, in every step.
    tolerance
        Stop when no walk changes by more than this in a step (sum of absolute changes).
    max_steps
        Stop after so many in any case.

    Returns
    -------
    float64 `(n_cells, n_walks)`, columns sum to 1.
    """
    start = np.asarray(seeds, np.float64)
    start = start / start.sum(0)
    degree = np.asarray(graph.sum(1), np.float64).ravel()
    alone = sparse.diags((degree == 0).astype(np.float64))
    step = ((graph + alone) @ sparse.diags(1 / np.where(degree > 0, degree, 1))).tocsr()
    before, now, weight = start, start, 1.0
    radius2 = (1 - restart) ** 2
    for _ in range(max_steps):
        # Chebyshev's semi-iteration: the step is similar to a symmetric matrix, so its eigenvalues are real and the
        # walk needs a sixth of the plain iteration's steps at restart = 0.05
        following = weight * ((1 - restart) * (step @ now) + restart * start - before) + before
        change = np.abs(following - now).sum(0).max()
        before, now = now, following
        weight = 1 / (1 - radius2 * (0.5 if weight == 1 else weight / 4))
        if change < tolerance:
            break
    return now


def mutual_neighbors(indices: np.ndarray) -> sparse.csr_matrix:
    """Return the graph that joins two cells when each is among the neighbours of the other; no self-loops."""
    n, k = indices.shape
    one_way = sparse.csr_matrix((np.ones(n * k), indices.ravel(), np.arange(0, n * k + 1, k)), (n, n))
    both = one_way.minimum(one_way.T).tocoo()
    apart = both.row != both.col
    return sparse.csr_matrix((np.ones(apart.sum()), (both.row[apart], both.col[apart])), (n, n))
