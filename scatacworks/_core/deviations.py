"""Deviations of accessibility in sets of peaks from what background peaks show (chromVAR, Schep et al. 2017)."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING

import numpy as np
from scipy import sparse

from scatacworks._numba import njit

if TYPE_CHECKING:
    from collections.abc import Callable


def sample_background(
    totals: np.ndarray,
    bias: np.ndarray | None,
    *,
    n_samples: int,
    width: float,
    n_bins: int,
    rng: np.random.Generator,
) -> np.ndarray:
    """Draw peaks of similar accessibility and bias for every peak, with replacement.

    log10 accessibility and bias are whitened (Cholesky of their covariance) and laid on a grid of `n_bins` × `n_bins`
    points over their ranges; each peak belongs to the nearest point. A peak of point i is drawn the partner q with
    probability proportional to the normal density (sd `width`) of the distance between i and the point of q, divided
    by the number of peaks at that point.

    Parameters
    ----------
    totals
        Counts per peak over all cells, all above zero.
    bias
        A second property to match, such as the GC fraction; `None` or a constant matches accessibility alone.
    n_samples
        Peaks to draw for every peak.
    width
        Standard deviation of the normal density, on the whitened scale.
    n_bins
        Points of the grid along each property.
    rng
        Random generator.

    Returns
    -------
    int32 `(n_peaks, n_samples)`: positions of the drawn peaks.
    """
    features = [np.log10(np.asarray(totals, np.float64)), *([] if bias is None else [np.asarray(bias, np.float64)])]
    features = [feature for feature in features if np.ptp(feature) > 0]
    member, points = _grid(_whiten(np.stack(features, axis=1)) if features else np.zeros((len(totals), 1)), n_bins)
    used, member = np.unique(member, return_inverse=True)
    points = points[used]
    by_point = np.argsort(member, kind="stable")
    count = np.bincount(member, minlength=len(used))
    first = np.concatenate([[0], np.cumsum(count)])
    out = np.empty((len(totals), n_samples), np.int32)
    for i in range(len(used)):
        distance2 = ((points - points[i]) ** 2).sum(1)
        reach = np.cumsum(np.exp(-0.5 * distance2 / width**2))
        shape = (count[i], n_samples)
        point = np.searchsorted(reach, rng.random(shape) * reach[-1], side="right")
        point = np.minimum(point, len(used) - 1)
        within = (rng.random(shape) * count[point]).astype(np.int64)
        out[by_point[first[i] : first[i + 1]]] = by_point[first[point] + within]
    return out


def _whiten(features: np.ndarray) -> np.ndarray:
    """Return the features rotated and scaled to unit covariance by the Cholesky factor."""
    covariance = np.atleast_2d(np.cov(features, rowvar=False))
    if np.linalg.matrix_rank(covariance) < len(covariance):  # each says what the other does, as of two peaks
        features, covariance = features[:, :1], covariance[:1, :1]
    factor = np.linalg.cholesky(covariance)
    return np.linalg.solve(factor, features.T).T


def _grid(features: np.ndarray, n_bins: int) -> tuple[np.ndarray, np.ndarray]:
    """Return the nearest grid point of every row and the coordinates of all points, first axis outermost."""
    axes, position = [], np.zeros(len(features), np.int64)
    for column in features.T:
        axis = np.linspace(column.min(), column.max(), n_bins)
        step = axis[1] - axis[0] if n_bins > 1 and axis[1] > axis[0] else 1.0
        position = position * n_bins + np.clip(np.rint((column - axis[0]) / step), 0, n_bins - 1).astype(np.int64)
        axes.append(axis)
    points = np.stack(np.meshgrid(*axes, indexing="ij"), axis=-1).reshape(-1, len(axes))
    return position, points


@njit
def _add_deviation(
    indptr: np.ndarray,
    indices: np.ndarray,
    data: np.ndarray,
    set_indptr: np.ndarray,
    set_indices: np.ndarray,
    set_data: np.ndarray,
    expected: np.ndarray,
    totals: np.ndarray,
    step: int,
    mean: np.ndarray,
    squares: np.ndarray,
    first: int,
    last: int,
) -> None:
    """Update the running mean and sum of squares (Welford) of the deviations of cells first:last."""
    n_sets = len(expected)
    observed = np.empty(n_sets)
    for cell in range(first, last):
        observed[:] = 0
        for k in range(indptr[cell], indptr[cell + 1]):
            value = data[k]
            peak = indices[k]
            for j in range(set_indptr[peak], set_indptr[peak + 1]):
                observed[set_indices[j]] += value * set_data[j]
        for s in range(n_sets):
            scale = expected[s] * totals[cell]
            deviation = (observed[s] - scale) / scale if scale > 0 else np.nan
            change = deviation - mean[cell, s]
            mean[cell, s] += change / step
            squares[cell, s] += change * (deviation - mean[cell, s])


def deviations(
    counts: sparse.csr_matrix,
    sets: sparse.csr_matrix,
    background: np.ndarray,
    *,
    minimum: float = 1.0,
    n_jobs: int = 1,
    progress: Callable | None = None,
) -> tuple[np.ndarray, np.ndarray]:
    """Return bias-corrected deviations and their z-scores.

    For a set of peaks with weights w and a cell with N counts: expected = N Σ w e with e a peak's share of all
    counts, raw = (observed - expected) / expected. The same for every column of `background`, each peak replaced by
    its partner. Deviation = raw - mean of the background, z = deviation / standard deviation (ddof 1). Memory is two
    arrays of cells × sets beside the result.

    Parameters
    ----------
    counts
        Cells × peaks.
    sets
        Peaks × sets, weights (1 for membership).
    background
        Peaks × samples, positions of partner peaks.
    minimum
        Cells that expect fewer counts than this in a set are NaN there.
    n_jobs
        Threads.
    progress
        Called with the range of background samples, returns an iterator over it (a progress bar).

    Returns
    -------
    deviation and z, float64 `(n_cells, n_sets)`; z is NaN where the background sets do not vary.
    """
    counts, sets = sparse.csr_matrix(counts), sparse.csr_matrix(sets).astype(np.float64)
    totals = np.asarray(counts.sum(1), np.float64).ravel()
    per_peak = np.asarray(counts.sum(0), np.float64).ravel()
    share = per_peak / per_peak.sum()
    n_cells, n_sets, n_samples = counts.shape[0], sets.shape[1], background.shape[1]
    mean, squares = np.zeros((n_cells, n_sets)), np.zeros((n_cells, n_sets))
    raw, unused = np.zeros((n_cells, n_sets)), np.zeros((n_cells, n_sets))
    peaks = np.arange(sets.shape[0])
    edges = np.linspace(0, n_cells, max(n_jobs, 1) * 4 + 1).astype(np.int64)

    def add(chosen: sparse.csr_matrix, step: int, to_mean: np.ndarray, to_squares: np.ndarray) -> None:
        """Add the deviation in one version of the sets."""
        expected = np.asarray(chosen.T @ share).ravel()
        arguments = (counts.indptr, counts.indices, counts.data, chosen.indptr, chosen.indices, chosen.data)
        list(
            pool.map(
                lambda a, b: _add_deviation(*arguments, expected, totals, step, to_mean, to_squares, a, b),
                edges[:-1],
                edges[1:],
            )
        )

    with ThreadPoolExecutor(max(n_jobs, 1)) as pool:
        add(sets, 1, raw, unused)
        del unused
        steps = range(n_samples)
        for step in steps if progress is None else progress(steps):
            move = sparse.csr_matrix((np.ones(len(peaks)), (background[:, step], peaks)), (len(peaks), len(peaks)))
            add(sparse.csr_matrix(move @ sets), step + 1, mean, squares)
    expected = totals[:, None] * np.asarray(sets.T @ share).ravel()
    deviation = raw - mean
    z = np.full(deviation.shape, np.nan)
    np.divide(deviation, np.sqrt(squares / (n_samples - 1)), out=z, where=squares > 0)
    few = expected < minimum if minimum > 0 else expected <= 0
    deviation[few], z[few] = np.nan, np.nan
    return deviation, z


def variability(z: np.ndarray, *, n_bootstrap: int, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """Return the standard deviation of each column over cells, NaN left out, and bootstrap values of it.

    Returns
    -------
    sd, float64 `(n_sets,)`; bootstraps, float64 `(n_bootstrap, n_sets)`.
    """
    valid = ~np.isnan(z)
    values = np.where(valid, z, 0.0)
    center = values.sum(0) / np.maximum(valid.sum(0), 1)
    values = np.where(valid, values - center, 0.0)
    squared = values**2

    def spread(weights: np.ndarray) -> np.ndarray:
        """Return the standard deviations under integer weights of the cells."""
        n = weights @ valid
        with np.errstate(divide="ignore", invalid="ignore"):
            return np.sqrt(np.maximum(weights @ squared - (weights @ values) ** 2 / n, 0) / (n - 1))

    blocks = [
        spread(rng.multinomial(len(z), np.full(len(z), 1 / len(z)), size=size).astype(np.float64))
        for size in np.diff([*range(0, n_bootstrap, 100), n_bootstrap])
    ]
    return spread(np.ones((1, len(z))))[0], np.concatenate(blocks) if blocks else np.empty((0, z.shape[1]))
