"""Peak labels from a deep track, by the paper's rule."""

from __future__ import annotations

import numpy as np
from scipy import special

from scatacworks._core.calling import call_runs
from scatacworks._core.pileup import run_length_coverage

MIN_LENGTH = 200
MAX_GAP = 30


def upper_tail_score(coverage: np.ndarray, mean: float) -> np.ndarray:
    """Minus log10 of the Poisson probability of a coverage above the one seen (MACS's ``ppois`` score).

    Parameters
    ----------
    coverage
        Counts, any shape.
    mean
        Expected count.

    Returns
    -------
    Scores, float64; computed in logarithms, so that none is infinite.
    """
    coverage = np.asarray(coverage, np.float64)
    with np.errstate(divide="ignore"):
        tail = -np.log10(special.pdtrc(coverage, mean))
    far = ~np.isfinite(tail)
    if far.any():
        # beyond the range of float64 the first term of the tail carries it all but for a factor near one
        k = coverage[far] + 1
        log_term = k * np.log(mean) - mean - special.gammaln(k + 1) - np.log1p(-mean / (k + 1))
        tail[far] = -log_term / np.log(10)
    return tail


def least_coverage(mean: float, cutoff: float) -> int:
    """Smallest coverage whose score reaches the cutoff."""
    high = 1
    while upper_tail_score(np.array([high]), mean)[0] < cutoff:
        high *= 2
    candidates = np.arange(high // 2, high + 1)
    return int(candidates[np.argmax(upper_tail_score(candidates, mean) >= cutoff)])


def label_peaks(
    positions: np.ndarray,
    counts: np.ndarray,
    *,
    length: int,
    extend: int = 100,
    cutoff: float = 3.0,
    least_mean: float = 0.0,
) -> np.ndarray:
    """Call the peaks of one chromosome of a deep sample.

    The coverage is scored against its mean over the chromosome (a uniform control) and stretches that reach the cutoff
    are joined over gaps of 30 bp and kept from 200 bp on, as ``macs3 bdgcmp -m ppois`` and ``bdgpeakcall`` do. Bases
    without coverage count as such; left out of a bedGraph, they would take the score of their neighbour in MACS.

    Parameters
    ----------
    positions, counts
        Sorted cut sites, 0-based, and how many there are on each.
    length
        bp of the chromosome.
    extend
        bp to either side of a cut site.
    cutoff
        Least score, -log10 p.
    least_mean
        Mean coverage to assume where the chromosome's is lower, as it is when a file holds only windows of it.

    Returns
    -------
    Starts and ends (0-based, half-open) of the peaks, int64 (`n_peaks`, 2).
    """
    if len(positions) == 0:
        return np.empty((0, 2), np.int64)
    starts, lengths, values = run_length_coverage(positions, counts, length, extend)
    mean = float(np.dot(lengths, values.astype(np.float64))) / length
    least = least_coverage(max(mean, least_mean), cutoff)
    peaks = call_runs(starts, lengths, values, 0.0, length, float(least), MIN_LENGTH, MAX_GAP)
    return np.stack(peaks, axis=1)
