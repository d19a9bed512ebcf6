"""The factorisation against scikit-learn's coordinate descent, and its parts."""

from __future__ import annotations

import warnings

import numpy as np
import pytest
import scipy.sparse as sp
from scipy.optimize import nnls as scipy_nnls
from sklearn.decomposition import non_negative_factorization
from sklearn.exceptions import ConvergenceWarning

from scatacworks._core.nmf import factorize
from scatacworks._core.nndsvd import columns_times, nndsvd
from scatacworks._core.nnls import nnls, poisson
from scatacworks._core.patterns import Patterns, blocks, pack


def packed(matrix: sp.csr_matrix, *, collapse: bool = True, step: int = 7) -> Patterns:
    """Patterns of a matrix that comes in blocks of rows."""
    matrix = sp.csr_matrix(matrix)

    def parts():
        for first in range(0, matrix.shape[0], step):
            part = matrix[first : first + step]
            yield part.indptr, part.indices, part.data

    return pack(parts, matrix.shape, collapse=collapse)


def random_matrix(seed: int, n: int = 30, m: int = 400) -> sp.csr_matrix:
    return sp.random(n, m, 0.15, format="csr", rng=np.random.default_rng(seed)).astype(bool).astype(np.uint8)


def planted_matrix(seed: int, n: int = 30, m: int = 400, k: int = 5) -> sp.csr_matrix:
    rng = np.random.default_rng(seed)
    mean = rng.gamma(0.4, 1, (n, k)) @ rng.gamma(0.3, 0.5, (k, m))
    return sp.csr_matrix((rng.random((n, m)) < 1 - np.exp(-mean)).astype(np.uint8))


def oracle(matrix: sp.csr_matrix, rows: np.ndarray, columns: np.ndarray, **options: float) -> tuple:
    """scikit-learn's solution from the same start."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        return non_negative_factorization(
            matrix.astype(float), W=rows.astype(float), H=np.ascontiguousarray(columns.T, float), init="custom",
            n_components=rows.shape[1], solver="cd", **options,
        )  # fmt: skip


@pytest.mark.parametrize("make", [random_matrix, planted_matrix])
@pytest.mark.parametrize("seed", [0, 1])
def test_the_objective_is_that_of_scikit_learn(make, seed):
    matrix = make(seed)
    patterns = packed(matrix)
    rows, columns = nndsvd(patterns, 6, rng=np.random.default_rng(0))
    wanted_rows, wanted_columns, n_iter = oracle(matrix, rows, columns[patterns.inverse], tol=1e-4, max_iter=300)
    wanted = np.linalg.norm(matrix.toarray() - wanted_rows @ wanted_columns) ** 2
    for dtype, close in ((np.float64, 1e-9), (np.float32, 1e-5)):
        found = factorize(patterns, rows, columns, tol=1e-4, max_iter=300, dtype=dtype)
        assert found.errors[-1] == pytest.approx(wanted, rel=close)
        product = found.rows @ found.columns[patterns.inverse].T
        assert found.errors[-1] == pytest.approx(np.linalg.norm(matrix.toarray() - product) ** 2, rel=1e-5)
        np.testing.assert_allclose(found.rows, wanted_rows, atol=1e-3)
    assert abs(len(found.errors) - n_iter) <= 2


def test_penalties_are_those_of_scikit_learn():
    matrix = planted_matrix(3)
    patterns = packed(matrix, collapse=False)
    rng = np.random.default_rng(0)
    rows, columns = rng.random((30, 4)), rng.random((400, 4))
    wanted = oracle(matrix, rows, columns, alpha_W=0.002, alpha_H=0.003, l1_ratio=0.4, tol=0, max_iter=40)
    found = factorize(
        patterns, rows, columns, max_iter=40, tol=0, dtype=np.float64,
        l1=(0.002 * 0.4 * 400, 0.003 * 0.4 * 30), l2=(0.002 * 0.6 * 400, 0.003 * 0.6 * 30),
    )  # fmt: skip
    np.testing.assert_allclose(found.rows, wanted[0], atol=1e-9)
    np.testing.assert_allclose(found.columns.T, wanted[1], atol=1e-9)


def test_the_objective_never_rises():
    patterns = packed(planted_matrix(1))
    errors = factorize(patterns, *nndsvd(patterns, 5, rng=np.random.default_rng(0)), tol=0, max_iter=50).errors
    assert (np.diff(errors) <= 1e-6 * errors[0]).all()


def test_threads_change_nothing():
    patterns = packed(planted_matrix(2, m=5000))
    start = nndsvd(patterns, 5, rng=np.random.default_rng(0))
    one, two = (factorize(patterns, *start, max_iter=10, n_jobs=n) for n in (1, 2))
    np.testing.assert_array_equal(one.rows, two.rows)
    np.testing.assert_array_equal(one.columns, two.columns)


def test_patterns_are_the_distinct_columns():
    matrix = random_matrix(0, n=5, m=300)
    patterns = packed(matrix)
    distinct, _, count = np.unique(matrix.toarray(), axis=1, return_inverse=True, return_counts=True)
    assert len(patterns.count) == distinct.shape[1]
    assert sorted(patterns.count) == sorted(count)
    for column in range(300):
        pattern = patterns.inverse[column]
        rows = patterns.rows[patterns.indptr[pattern] : patterns.indptr[pattern + 1]]
        assert rows.tolist() == np.flatnonzero(matrix.toarray()[:, column]).tolist()
    assert patterns.n_ones == matrix.nnz


def test_stored_zeros_are_no_ones():
    matrix = sp.csr_matrix((np.array([1, 0, 1], np.uint8), np.array([0, 1, 2]), np.array([0, 2, 3])), shape=(2, 3))
    assert packed(matrix).n_ones == 2


def test_blocks_cover_all_patterns():
    patterns = packed(random_matrix(0, m=1000))
    for n in (1, 3, 64, 10_000):
        pieces = blocks(patterns, n)
        assert [at for low, high in pieces for at in range(low, high)] == list(range(len(patterns.count)))


def test_the_start_comes_from_the_true_singular_vectors():
    matrix = planted_matrix(0)
    patterns = packed(matrix, collapse=False)
    rows, columns = nndsvd(patterns, 4, rng=np.random.default_rng(5))
    left, values, right = np.linalg.svd(matrix.toarray().astype(float), full_matrices=False)
    for at in range(4):
        candidates = []
        for sign in (1, -1):
            u, v = (np.maximum(sign * part, 0) for part in (left[:, at], right[at]))
            if at == 0:
                u, v = abs(left[:, 0]), abs(right[0])
            size = np.linalg.norm(u) * np.linalg.norm(v)
            candidates.append((size, u / np.linalg.norm(u), v / np.linalg.norm(v)))
        size, u, v = max(candidates, key=lambda one: one[0])
        np.testing.assert_allclose(rows[:, at], np.sqrt(values[at] * size) * u, atol=2e-3)
        np.testing.assert_allclose(columns[:, at], np.sqrt(values[at] * size) * v, atol=2e-3)


def test_columns_times_is_the_product():
    matrix = random_matrix(4)
    patterns = packed(matrix)
    weights = np.random.default_rng(0).random((30, 11))
    np.testing.assert_allclose(columns_times(patterns, weights)[patterns.inverse], matrix.T @ weights)


@pytest.mark.parametrize("seed", range(5))
def test_nnls_is_exact(seed):
    rng = np.random.default_rng(seed)
    loads = rng.gamma(0.3, 1, (50, rng.integers(1, 17)))
    rows = (rng.random((20, 50)) < 0.3).astype(float)
    found = nnls(loads.T @ loads, rows @ loads)
    assert (found >= 0).all()
    for row, one in zip(rows, found, strict=True):
        assert np.linalg.norm(loads @ one - row) <= scipy_nnls(loads, row)[1] + 1e-9


@pytest.mark.parametrize("seed", range(3))
def test_poisson_loadings_are_most_likely(seed):
    rng = np.random.default_rng(seed)
    loads = rng.gamma(0.5, 1, (60, 5))
    loads[:, 2], loads[:4] = 0, 0  # a component without elements, and elements without any
    counts = rng.poisson(rng.gamma(0.5, 2, (12, 5)) @ loads.T)
    counts[0], counts[1], counts[:, 0] = 0, 0, 3  # rows with nothing that can be explained
    rows = sp.csr_matrix(counts.astype(float))
    found = poisson(rows.indptr, rows.indices, rows.data, loads, 100_000, 1e-13)
    assert (found[:2] == 0).all()
    assert (found[:, 2] == 0).all()
    mean = found[2:] @ loads[4:].T
    slope = loads[4:].sum(axis=0) - (counts[2:, 4:] / mean) @ loads[4:]  # of the negative log-likelihood, convex
    assert (slope > -1e-3).all()
    np.testing.assert_allclose(found[2:] * slope, 0, atol=1e-6)


def test_the_real_immune_matrix(shared_data):
    matrix = sp.load_npz(shared_data / "dhs_meuleman2020" / "immune38_binary_dhs.npz").T.tocsr()
    patterns = packed(matrix, step=38)
    assert matrix.shape == (38, 3_591_898)
    assert patterns.n_ones == 1_416_933
    assert len(patterns.count) == 49_770 + 1  # and the empty one
    rows, columns = nndsvd(patterns, 5, rng=np.random.default_rng(0))
    found = factorize(patterns, rows, columns, max_iter=20, tol=0)
    used = np.flatnonzero(np.diff(patterns.indptr)[patterns.inverse])
    assert len(used) == 112_578
    wanted = oracle(matrix[:, used], rows, columns[patterns.inverse[used]], tol=0, max_iter=20)
    product = wanted[0] @ wanted[1]
    norm = matrix.nnz - 2 * (matrix[:, used].toarray() * product).sum() + (product**2).sum()
    assert found.errors[-1] == pytest.approx(norm, rel=1e-4)
