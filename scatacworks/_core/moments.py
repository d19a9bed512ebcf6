"""Mean and variance per base over many tracks, streamed: no track is kept, any order and chunking gives the same.

A batch is reduced in two passes over values that are in memory anyway (mean first, then squared deviations), and
batches are joined by the formula of Chan, Golub and LeVeque (1983), both in float64. Nothing is ever squared before the
mean is taken off, so small variances on high coverage survive.
"""

from __future__ import annotations

import numpy as np

from scatacworks._numba import njit

_TILE = 1024  # bases worked on at once, so that a batch of some dozen tracks stays in the cache


@njit
def batch_moments(values: np.ndarray, scale: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return mean and sum of squared deviations per column of `values * scale[:, None]`; float64."""
    n_tracks, n_bases = values.shape
    mean, squares = np.zeros(n_bases), np.zeros(n_bases)
    for low in range(0, n_bases, _TILE):
        high = min(low + _TILE, n_bases)
        for g in range(n_tracks):
            factor = scale[g]
            for i in range(low, high):
                mean[i] += values[g, i] * factor
        for i in range(low, high):
            mean[i] /= n_tracks
        for g in range(n_tracks):
            factor = scale[g]
            for i in range(low, high):
                deviation = values[g, i] * factor - mean[i]
                squares[i] += deviation * deviation
    return mean, squares


@njit
def join(
    mean: np.ndarray, squares: np.ndarray, count: int, more_mean: np.ndarray, more_squares: np.ndarray, more: int
) -> None:
    """Add the moments of `more` tracks to those of `count`, in place; these may be kept in single precision."""
    share = more / (count + more)
    for i in range(len(mean)):
        step = more_mean[i] - mean[i]
        mean[i] += step * share
        squares[i] += more_squares[i] + step * step * share * count


@njit
def running_sum(
    values: np.ndarray, first: int, bounds: np.ndarray, at: int, total: float, out: np.ndarray
) -> tuple[int, float]:
    """Go on with a running sum: write what it is at every bound up to the last of these values.

    Parameters
    ----------
    values, first
        The next values, and the position of the first of them.
    bounds
        Sorted positions.
    at, total
        The next bound and the sum so far; 0 and 0 to begin with.
    out
        Sum of all values before each bound.

    Returns
    -------
    The next bound and the sum.
    """
    i = 0
    while at < len(bounds) and bounds[at] <= first + len(values):
        while i < bounds[at] - first:
            total += values[i]
            i += 1
        out[at] = total
        at += 1
    while i < len(values):
        total += values[i]
        i += 1
    return at, total
