import numpy as np
from scipy import sparse

from scatacworks._core.random_walk import mutual_neighbors, random_walk


def test_walk_equals_the_linear_system():
    rng = np.random.default_rng(0)
    graph = np.triu(rng.random((30, 30)) < 0.2, 1).astype(float)
    graph += graph.T
    graph[:, 5] = graph[5] = 0  # a cell without neighbours
    seeds = (rng.random((30, 3)) < 0.2).astype(float)
    seeds[5, 0] = 1
    step = graph + np.diag((graph.sum(0) == 0).astype(float))
    step /= step.sum(0)
    start = seeds / seeds.sum(0)
    expected = np.linalg.solve(np.eye(30) - 0.95 * step, 0.05 * start)
    found = random_walk(sparse.csr_matrix(graph), seeds, restart=0.05, tolerance=1e-12)
    np.testing.assert_allclose(found, expected, atol=1e-10)
    np.testing.assert_allclose(found.sum(0), 1)


def test_mutual_neighbours_are_symmetric_and_mutual():
    indices = np.array([[0, 1], [1, 2], [2, 1], [3, 0]])
    assert mutual_neighbors(indices).toarray().tolist() == [[0, 0, 0, 0], [0, 0, 1, 0], [0, 1, 0, 0], [0, 0, 0, 0]]
