"""The factorisation of a presence matrix against scikit-learn's sparse coordinate descent, and at the paper's size."""

from __future__ import annotations

import time
import warnings
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import scipy.sparse as sp
from sklearn.decomposition import non_negative_factorization

from benchmarks._resident import watch
from benchmarks.harness import Row, compare
from scatacworks import _threads
from scatacworks._core.nmf import Factors, factorize
from scatacworks._core.nndsvd import nndsvd
from scatacworks._core.patterns import Patterns, pack
from scatacworks._numba import njit

K = 16
N_SAMPLES = 733


@njit
def _draw(loads: np.ndarray, weights: np.ndarray, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Draw the samples of each column with probabilities weights @ loads, at least one."""
    np.random.seed(seed)  # noqa: NPY002 - the compiled generator has no other seed
    indptr = np.zeros(len(loads) + 1, np.int64)
    found = np.empty(len(loads) * len(weights) // 4, np.int32)
    n = 0
    for column in range(len(loads)):
        before = n
        for row in range(len(weights)):
            mean = 0.0
            for r in range(loads.shape[1]):
                mean += weights[row, r] * loads[column, r]
            if np.random.random() < mean:  # noqa: NPY002
                found[n] = row
                n += 1
        if n == before:
            found[n] = np.random.randint(0, len(weights))  # noqa: NPY002
            n += 1
        indptr[column + 1] = n
    return indptr, found[:n].copy()


def made_up(n_columns: int, n_jobs: int, seed: int = 0) -> sp.csr_matrix:
    """Presence of elements in 733 samples of 16 kinds: about 21 ones per element, most elements of one or two kinds."""
    rng = np.random.default_rng(seed)
    weights = np.zeros((N_SAMPLES, K))
    weights[np.arange(N_SAMPLES), np.arange(N_SAMPLES) % K] = rng.beta(5, 2, N_SAMPLES)
    weights += rng.gamma(0.15, 0.12, weights.shape)
    parts = np.array_split(np.arange(n_columns), max(1, n_columns // 60_000))

    def draw(part: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        own = np.random.default_rng(part[0])
        loads = np.zeros((len(part), K))
        for _ in range(2):
            loads[np.arange(len(part)), own.integers(0, K, len(part))] += own.beta(0.25, 1.0, len(part))
        loads += (own.random(len(part)) < 0.015)[:, None] * own.random(len(part))[:, None]
        return _draw(loads.clip(0, 1), weights, int(part[0]) % 2**31)

    with ThreadPoolExecutor(n_jobs) as pool:
        drawn = list(pool.map(draw, parts))
    lengths = np.concatenate([np.diff(indptr) for indptr, _ in drawn])
    indices = np.concatenate([found for _, found in drawn])
    data = np.ones(len(indices), np.uint8)
    matrix = sp.csc_matrix((data, indices, np.concatenate([[0], np.cumsum(lengths)])), shape=(N_SAMPLES, n_columns))
    return matrix.tocsr()


def packed(matrix: sp.csr_matrix) -> Patterns:
    """Its patterns."""
    return pack(lambda: [(matrix.indptr, matrix.indices, matrix.data)], matrix.shape)


def against_scikit_learn(n_columns: int, n_jobs: int, n_iter: int = 10) -> Row:
    """The same iterations from the same start, both in single precision."""
    matrix = made_up(n_columns, n_jobs)
    patterns = packed(matrix)
    start = nndsvd(patterns, K, rng=np.random.default_rng(0), n_jobs=n_jobs)
    single = matrix.astype(np.float32)
    columns = np.ascontiguousarray(start[1][patterns.inverse].T)

    def theirs() -> tuple[np.ndarray, np.ndarray]:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            return non_negative_factorization(
                single, W=start[0].copy(), H=columns.copy(), init="custom", n_components=K, solver="cd", tol=0,
                max_iter=n_iter,
            )[:2]  # fmt: skip

    def check(found: Factors, other: tuple[np.ndarray, np.ndarray]) -> str:
        rows, loads = (part.astype(np.float64) for part in other)
        norm = patterns.n_ones - 2 * np.vdot(matrix @ loads.T, rows) + np.vdot(loads @ loads.T, rows.T @ rows)
        return f"objective differs by {abs(found.errors[-1] / norm - 1):.1e}"

    size = f"{N_SAMPLES} x {n_columns:,}, {matrix.nnz / 1e6:.1f} M ones"
    return compare(
        f"tl.vocabulary, {size}, {n_iter} iterations, {n_jobs} threads",
        lambda: factorize(patterns, *start, max_iter=n_iter, tol=0, n_jobs=n_jobs),
        theirs,
        reference_name="scikit-learn, sparse float32, one thread",
        check=check,
        work=n_iter,
        unit="iterations/s",
    )


def paper_size(n_columns: int, n_jobs: int) -> Row:
    """The whole fit, from a CSR matrix in memory to loadings of all elements."""
    matrix = made_up(n_columns, n_jobs)
    with watch() as seen:
        began = time.perf_counter()
        patterns = packed(matrix)
        packing = time.perf_counter() - began
        start = nndsvd(patterns, K, rng=np.random.default_rng(0), n_jobs=n_jobs)
        starting = time.perf_counter() - began - packing
        factors = factorize(patterns, *start, n_jobs=n_jobs)
        loads = factors.columns[patterns.inverse]
    seconds = seen["cpu_seconds"]
    explained = 1 - factors.errors[-1] / patterns.n_ones
    parts = f"packing {packing:.1f} s, start {starting:.1f} s, {len(factors.errors)} iterations"
    return Row(
        f"tl.vocabulary, whole fit, {N_SAMPLES} x {len(loads):,}, {matrix.nnz / 1e6:.1f} M ones, {n_jobs} threads",
        "the published dense run: 651 s, 50-100 GB",
        seen["seconds"],
        check=f"{parts}; {seconds:.0f} s CPU; explained {explained:.3f}; {seen['added_gb']:.2f} GB added",
        extra=seen,
    )


def rows(size: str) -> list[Row]:
    """Ours against scikit-learn, and a whole fit."""
    n_jobs = _threads.resolve()
    sizes = [60_000] if size == "small" else [60_000, 360_000]
    table = [against_scikit_learn(n, n_jobs) for n in sizes]
    return [*table, paper_size(120_000 if size == "small" else 3_591_898, n_jobs)]
