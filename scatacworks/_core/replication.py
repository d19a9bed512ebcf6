"""What overlapping groups of cells are worth: effective number, variance of a difference, moderated variances."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from scipy.sparse import csc_array, csr_matrix, diags_array
from scipy.special import digamma, polygamma

_FEWEST_PEERS = 10  # groups that each one is compared with, even if they share cells with it


class Overlap(NamedTuple):
    """What the sharing of cells does to a comparison of one group with many.

    Attributes
    ----------
    effective_number
        Independent groups that would give as precise a standard deviation.
    peers
        `(n_groups, n_groups)`, float64, rows sum to 1: the groups that each one is compared with
        in turn, equally weighted; those that share no cell with it where there are enough of them.
    noise
        `(n_groups,)`: variance of (group - mean of its peers) over the expected sample variance of the groups, if all
        fragments are alike.
    target_noise
        The same of the tested group, which is compared with all groups; more than 1 if it holds fewer fragments.
    likeness
        `(n_groups, n_groups)`: correlation of groups by the fragments they share.
    """

    effective_number: float
    peers: np.ndarray
    noise: np.ndarray
    target_noise: float
    likeness: np.ndarray

    def independent_among(self, groups: np.ndarray) -> float:
        """Return how many independent groups some groups are worth in the mean of anything."""
        return len(groups) ** 2 / float(self.likeness[np.ix_(groups, groups)].sum())


def group_overlap(members: csr_matrix, target: np.ndarray, weights: np.ndarray | None = None) -> Overlap:
    """Return what groups are worth that share cells with each other; the target shares none with them.

    A group is seen as the mean of its fragments, all with the same variance. The covariance of groups g and h is then
    `K[g, h] = n_gh / (n_g n_h)`, with the fragments they share and their own. After centring over the groups, `C K C`:
    its trace is what the sample variance measures, and trace^2 / trace(square) its degrees of freedom (Satterthwaite).

    Parameters
    ----------
    members
        cells x groups, non-zero where a cell belongs to a group.
    target
        bool, `(n_cells,)`: cells of the tested group.
    weights
        Fragments of every cell; as many of each by default.
    """
    weights = np.ones(members.shape[0]) if weights is None else np.maximum(np.asarray(weights, np.float64), 0.0)
    inside = csc_array(members != 0).astype(np.float64)
    shared = (inside.T @ diags_array(weights) @ inside).toarray()
    size = np.maximum(np.diag(shared), 1.0)  # a group without fragments tells as little as one with a single fragment
    np.fill_diagonal(shared, size)
    target_size = float(weights[target].sum())
    return _overlap(shared / np.outer(size, size), 1 / target_size if target_size > 0 else np.inf)


def independent(n_groups: int) -> Overlap:
    """Return what :func:`group_overlap` gives for groups that share no cells, of the size of the target."""
    return _overlap(np.eye(n_groups), 1.0)


def _overlap(covariance: np.ndarray, target_variance: float) -> Overlap:
    n = len(covariance)
    centered = covariance - covariance.mean(0) - covariance.mean(1)[:, None] + covariance.mean()
    trace = float(np.trace(centered))
    peers = _peers(covariance)
    if n < 2 or trace <= 1e-12 * float(np.trace(covariance)):
        return Overlap(1.0, peers, np.ones(n), 1.0, np.ones((n, n)))
    expected = trace / (n - 1)
    with_peers = np.einsum("gh,gh->g", peers, covariance)
    noise = np.diag(covariance) - 2 * with_peers + np.einsum("gh,gh->g", peers @ covariance, peers)
    effective = trace**2 / float((centered**2).sum()) + 1
    smallest = 1e-6 * expected  # of a group that equals its peers
    target_noise = (target_variance + float(covariance.mean())) / expected
    own = np.sqrt(np.diag(covariance))
    likeness = covariance / np.outer(own, own)
    return Overlap(effective, peers, np.maximum(noise, smallest) / expected, target_noise, likeness)


def _peers(covariance: np.ndarray) -> np.ndarray:
    """Return equal weights for the groups that share nothing with a group; else for those that share least."""
    n = len(covariance)
    wanted = min(max(_FEWEST_PEERS, n // 4), n - 1)
    covariance = covariance + np.diag(np.full(n, np.inf))
    bound = np.partition(covariance, wanted - 1, axis=1)[:, wanted - 1]
    peers = (covariance <= np.maximum(bound, 0.0)[:, None]).astype(np.float64)
    return peers / peers.sum(axis=1, keepdims=True)


class VariancePrior(NamedTuple):
    """What variances are drawn towards.

    Attributes
    ----------
    location
        Usual variance of every region, `(n_regions,)`.
    weight
        Its weight in degrees of freedom, possibly infinite.
    """

    location: np.ndarray
    weight: float

    def moderate(self, variance: np.ndarray, freedom: float) -> np.ndarray:
        """Return the weighted mean of variances `(…, n_regions)` and their location."""
        share = freedom / (freedom + self.weight)  # 0 for an infinite weight
        return self.location * (1 - share) + variance * share


def variance_prior(variance: np.ndarray, level: np.ndarray, freedom: float) -> VariancePrior:
    """Return what sample variances are to be drawn towards.

    The empirical Bayes model of Smyth (2004): variances scatter around a smooth function of the level (here the
    median of the log variances in equally filled bins, linear between) by a scaled F distribution whose second
    degrees of freedom are estimated from the scatter. A variance of 0 thereby takes the value of its neighbours.

    Parameters
    ----------
    variance
        Sample variance of every region, `(n_regions,)`.
    level
        Mean level of every region.
    freedom
        Degrees of freedom of the variances.
    """
    positive = variance[variance > 0]
    if len(positive) < 10:
        usual = positive.mean() if len(positive) else np.finfo(float).tiny
        return VariancePrior(np.full(len(variance), usual), 1.0)
    floor = 1e-4 * np.median(positive)
    centered = np.log(np.maximum(variance, floor)) - digamma(freedom / 2) + np.log(freedom / 2)
    trend = _trend(level, centered)
    used = variance > floor
    scatter = float(np.mean((centered - trend)[used] ** 2)) - float(polygamma(1, freedom / 2))
    if scatter <= 0:
        return VariancePrior(np.exp(trend), np.inf)
    weight = 2 * inverse_trigamma(scatter)
    return VariancePrior(np.exp(trend + digamma(weight / 2) - np.log(weight / 2)), weight)


def inverse_trigamma(value: float) -> float:
    """Solve `trigamma(x) = value` for positive `x` by Newton's method on its reciprocal, which is nearly linear."""
    x = 0.5 + 1 / value
    for _ in range(50):
        slope = float(polygamma(2, x))
        now = float(polygamma(1, x))
        step = now * (1 - now / value) / slope
        x += step
        if abs(step) < 1e-10 * x:
            break
    return x


def _trend(level: np.ndarray, values: np.ndarray) -> np.ndarray:
    """Median of the values in equally filled bins of the level, linear between the bins' middles."""
    n_bins = int(np.clip(len(level) // 50, 1, 30))
    order = np.argsort(level, kind="stable")
    parts = np.array_split(order, n_bins)
    middle = np.array([np.median(level[part]) for part in parts])
    height = np.array([np.median(values[part]) for part in parts])
    return np.interp(level, middle, height)
