"""Statistics shared by the tools; arrays in, arrays out."""

from __future__ import annotations

import numpy as np
from scipy.stats import norm, rankdata


def rank_sum_greater(values: np.ndarray, members: np.ndarray) -> np.ndarray:
    """One-sided Mann-Whitney U tests: are the values of a group greater than those outside it?

    Parameters
    ----------
    values
        (n, k) values.
    members
        (n, g) boolean, one column per group.

    Returns
    -------
    p values (g, k), normal approximation with tie and continuity correction; 1 where a group or its rest is empty.
    """
    values, members = np.asarray(values, float), np.asarray(members, bool)
    n = len(values)
    ranks = rankdata(values, axis=0)
    inside = members.sum(axis=0).astype(float)[:, None]
    outside = n - inside
    u = members.T.astype(float) @ ranks - inside * (inside + 1) / 2
    ties = np.array([(np.unique(column, return_counts=True)[1].astype(float) ** 3).sum() - n for column in ranks.T])
    variance = inside * outside / 12 * ((n + 1) - ties / (n * max(n - 1, 1)))
    with np.errstate(divide="ignore", invalid="ignore"):
        z = (u - inside * outside / 2 - 0.5) / np.sqrt(variance)
    return np.where(variance > 0, norm.sf(z), 1.0)


def reconstruction_scores(
    true_positive: np.ndarray, false_positive: np.ndarray, false_negative: np.ndarray
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Precision, recall and F1 of counts of equal shape; 0 where undefined."""
    tp, fp, fn = (np.asarray(counts, float) for counts in (true_positive, false_positive, false_negative))

    def ratio(above: np.ndarray, below: np.ndarray) -> np.ndarray:
        return np.divide(above, below, out=np.zeros(np.broadcast(above, below).shape), where=below > 0)

    return ratio(tp, tp + fp), ratio(tp, tp + fn), ratio(2 * tp, 2 * tp + fp + fn)


def area_over_thresholds(precision: np.ndarray, recall: np.ndarray) -> float:
    """Area under recall over precision by trapezoids, for ascending thresholds.

    The curve starts at precision 0 with recall 1 and ends at precision 1 with recall 0 (Meuleman et al. 2020).
    """
    p, r = np.concatenate([[0], precision, [1]]), np.concatenate([[1], recall, [0]])
    return float(np.sum(np.diff(p) * (r[1:] + r[:-1]) / 2))
