"""Agreement of two sets of peaks."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from scatacworks._core import spans
from scatacworks._core.scoring import undefined
from scatacworks._regions import with_positions

if TYPE_CHECKING:
    import pandas as pd


def peak_overlap(truth: pd.DataFrame, called: pd.DataFrame, *, min_overlap: int = 1) -> dict[str, float]:
    """Count how many peaks of two sets meet.

    A called peak is right when it shares at least `min_overlap` bases with some true peak, and a true peak is found
    when it shares as many with some called one. Precision is the fraction of called peaks that are right, recall the
    fraction of true peaks that are found.

    Parameters
    ----------
    truth, called
        Peaks with columns ``chrom``, ``start``, ``end`` (0-based, half-open, bp); other columns are ignored.
    min_overlap
        Bases that have to be shared.

    Returns
    -------
    ``precision``, ``recall``, ``f1``, ``jaccard`` (shared bases over bases in either set), ``n_truth``, ``n_called``.

    Raises
    ------
    KeyError
        If a column is missing.

    Examples
    --------
    >>> import pandas as pd
    >>> from scatacworks import metrics
    >>> truth = pd.DataFrame({"chrom": ["chr1", "chr1"], "start": [0, 500], "end": [200, 700]})
    >>> called = pd.DataFrame({"chrom": ["chr1"], "start": [100], "end": [300]})
    >>> metrics.peak_overlap(truth, called)["recall"]
    0.5
    """
    a, b = _by_chrom(truth, "truth"), _by_chrom(called, "called")
    hits = np.zeros(2, np.int64)
    shared = 0
    for chrom in a.keys() & b.keys():
        hits += [_n_met(a[chrom], b[chrom], min_overlap), _n_met(b[chrom], a[chrom], min_overlap)]
        shared += int(_shared(spans.union(a[chrom]), spans.union(b[chrom])).sum())
    n_truth, n_called = len(truth), len(called)
    recall = hits[0] / n_truth if n_truth else undefined("Recall", "there is no true peak")
    precision = hits[1] / n_called if n_called else undefined("Precision", "no peak was called")
    both = precision + recall
    union = _n_bases(a) + _n_bases(b) - shared
    return {
        "precision": float(precision),
        "recall": float(recall),
        "f1": float(2 * precision * recall / both) if both > 0 else (0.0 if both == 0 else float("nan")),
        "jaccard": shared / union if union else float("nan"),
        "n_truth": n_truth,
        "n_called": n_called,
    }


def _by_chrom(peaks: pd.DataFrame, name: str) -> dict[str, np.ndarray]:
    """Sorted (n, 2) starts and ends per chromosome."""
    groups = with_positions(peaks, name).groupby("chrom", observed=True)[["start", "end"]]
    return {str(chrom): rows.sort_values(["start", "end"]).to_numpy(np.int64) for chrom, rows in groups}


def _shared(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """Bases of each sorted interval in `a` that lie in the disjoint, sorted intervals `b`."""
    lengths = np.concatenate([[0], np.cumsum(b[:, 1] - b[:, 0])])

    def below(position: np.ndarray) -> np.ndarray:
        i = np.searchsorted(b[:, 0], position, side="right")
        overshoot = np.where(i > 0, np.maximum(b[np.maximum(i - 1, 0), 1] - position, 0), 0)
        return lengths[i] - overshoot

    return below(a[:, 1]) - below(a[:, 0])


def _n_met(a: np.ndarray, b: np.ndarray, min_overlap: int) -> int:
    """Number of intervals of `a` that share enough bases with one interval of `b`."""
    met = np.zeros(len(a), bool)
    longest = int((b[:, 1] - b[:, 0]).max())
    first = np.searchsorted(b[:, 0], a[:, 0] - longest)
    last = np.searchsorted(b[:, 0], a[:, 1])
    for offset in range(int((last - first).max(initial=0))):
        j = np.minimum(first + offset, len(b) - 1)
        shared = np.minimum(a[:, 1], b[j, 1]) - np.maximum(a[:, 0], b[j, 0])
        met |= (first + offset < last) & (shared >= min_overlap)
    return int(met.sum())


def _n_bases(peaks: dict[str, np.ndarray]) -> int:
    """Bases covered by at least one peak."""
    return sum(int(np.diff(spans.union(rows), axis=1).sum()) for rows in peaks.values())
