"""Rank-sum tests of many groups against the rest."""

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
