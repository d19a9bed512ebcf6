"""A start for the factorisation from the leading singular vectors (Boutsidis and Gallopoulos 2008)."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import numpy as np

from scatacworks._core.nmf import gather, pad, scatter
from scatacworks._core.patterns import Patterns, blocks
from scatacworks._numba import njit

_MOST_PASSES = 16  # over the matrix, for its singular vectors


@njit
def _square(
    indptr: np.ndarray, rows: np.ndarray, count: np.ndarray, bounds: tuple, weights: np.ndarray, total: np.ndarray
) -> None:
    """Add A A^T W of a block of columns to `total`."""
    part = np.zeros(total.shape, weights.dtype)
    one = np.empty(weights.shape[1], weights.dtype)
    since = 0
    for column in range(bounds[0], bounds[1]):
        gather(indptr, rows, column, weights, one)
        for r in range(len(one)):
            one[r] *= count[column]
        scatter(indptr, rows, column, one, part)
        since += 1
        if since > 4096 and since > 4 * len(total):
            total += part
            part[:] = 0
            since = 0
    total += part


@njit
def _project(indptr: np.ndarray, rows: np.ndarray, bounds: tuple, weights: np.ndarray, out: np.ndarray) -> None:
    """Write A^T W of a block of columns."""
    one = np.empty(weights.shape[1], weights.dtype)
    for column in range(bounds[0], bounds[1]):
        gather(indptr, rows, column, weights, one)
        for r in range(out.shape[1]):
            out[column, r] = one[r]


def columns_times(patterns: Patterns, weights: np.ndarray, *, n_jobs: int = 1) -> np.ndarray:
    """A^T W by pattern: (n_patterns, k) for W of (n_rows, k), in W's precision."""
    padded = pad(weights, weights.dtype)
    out = np.empty((len(patterns.count), weights.shape[1]), weights.dtype)
    with ThreadPoolExecutor(n_jobs) as pool:
        list(pool.map(lambda b: _project(patterns.indptr, patterns.rows, b, padded, out), blocks(patterns)))
    return out


def _singular(patterns: Patterns, k: int, rng: np.random.Generator, n_jobs: int) -> tuple[np.ndarray, np.ndarray]:
    """Leading left singular vectors and values, by subspace iteration until the values settle."""
    n, width = patterns.n_rows, min(k + 16, patterns.n_rows)
    basis = np.linalg.qr(rng.standard_normal((n, width)))[0]
    pieces, before = blocks(patterns), np.zeros(k)
    with ThreadPoolExecutor(n_jobs) as pool:
        for _ in range(_MOST_PASSES):
            padded = pad(basis, np.float32)
            image = np.zeros(padded.shape)

            def square(bounds: tuple[int, int], padded: np.ndarray = padded) -> np.ndarray:
                total = np.zeros(padded.shape)
                _square(patterns.indptr, patterns.rows, patterns.count, bounds, padded, total)
                return total

            for part in pool.map(square, pieces):
                image += part
            image = image[:, :width]
            values, inner = np.linalg.eigh((basis.T @ image + image.T @ basis) / 2)
            order = np.argsort(values)[::-1]
            values, vectors = values[order][:k].clip(0), (basis @ inner[:, order])[:, :k]
            if np.all(np.abs(values - before) <= 1e-6 * values):
                break
            before, basis = values, np.linalg.qr(image)[0]
    return vectors, np.sqrt(values)


def nndsvd(patterns: Patterns, k: int, *, rng: np.random.Generator, n_jobs: int = 1) -> tuple[np.ndarray, np.ndarray]:
    """Non-negative start of W (n_rows, k) and of H by pattern (n_patterns, k), float32; zeros stay zero.

    The random generator only starts the search for the singular vectors. Components beyond the rank are all zero.
    """
    left, values = _singular(patterns, k, rng, n_jobs)
    real = values > 1e-6 * values[0] if len(values) else np.zeros(0, bool)
    right = columns_times(patterns, left.astype(np.float32), n_jobs=n_jobs)
    right *= np.where(real, 1 / np.where(real, values, 1), 0).astype(np.float32)
    rows = np.zeros((patterns.n_rows, k), np.float32)
    for at in range(k):
        u, v = left[:, at], right[:, at]
        if at == 0:
            u, v = np.abs(u), np.abs(v)
        sides = []
        for sign in (1, -1):
            norm = np.linalg.norm(np.maximum(sign * u, 0))
            other = np.sqrt((np.maximum(sign * v, 0).astype(np.float64) ** 2) @ patterns.count)
            sides.append((norm * other, sign, norm, other))
        size, sign, norm, other = max(sides, key=lambda side: side[0])
        scale = np.sqrt(values[at] * size) * real[at]
        rows[:, at] = scale * np.maximum(sign * u, 0) / (norm or 1)
        right[:, at] = scale * np.maximum(sign * v, 0) / (other or 1)
    rows[rows < 1e-6] = 0
    right[right < 1e-6] = 0
    return rows, right
