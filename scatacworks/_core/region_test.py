"""Tests of regions: one group against many, and replicates against replicates."""

from __future__ import annotations

from itertools import pairwise
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
from scipy import special, stats

from scatacworks._core.differential import two_sided_p
from scatacworks._core.replication import variance_prior
from scatacworks._core.tails import NullTail

if TYPE_CHECKING:
    from scatacworks._core.replication import Overlap

_STRATUM = 100  # regions of similar level, at least
_NULL_VALUES = 20_000  # of the groups in these regions, at least
_NULL_GROUPS = 250  # that take the place of the target in turn, at most
_SAMPLE = 200_000  # null values from which a stratum's distribution is read, at most
_CHUNK = 20_000_000  # null values standardised at once
_PRIOR_FREEDOM = 40.0  # weight of the usual variance, in degrees of freedom
_FEWEST_RATIOS = 20


class RegionTest(NamedTuple):
    """Result per region, float64 `(n_regions,)` each: standardised difference, calibrated and normal p-value."""

    z: np.ndarray
    p: np.ndarray
    p_normal: np.ndarray


def one_against_many(
    target: np.ndarray, groups: np.ndarray, overlap: Overlap, families: np.ndarray | None = None
) -> RegionTest:
    """Test whether a group's signal is one that the other groups could have shown.

    Everything that is done to the target is done to the groups as well, each in turn against those that share no cell
    with it, in three steps:

    1. The difference to the mean of the others, over their standard deviation. Their variance is averaged with the
       usual one of regions with as much signal, and corrected for the number of fragments.
    2. A p-value among regions of a similar level, from the groups' own values there. A generalised Pareto tail goes on
       where counting ends. This makes regions comparable, whatever the shape of the distribution at their level.
    3. The share of the groups' values, among all regions of a family, with as small a p-value. This needs no model: it
       is the share of regions that a group like the others would show beyond this value, so that false discovery rates
       built on it hold however wrong the first two steps are.

    The level of a region is the mean of those compared with, so a region in which only one group has signal counts as
    empty for this group, as it would for a target.

    Parameters
    ----------
    target
        Normalised signal of the tested group, `(n_regions,)`.
    groups
        The same of the other groups, `(n_groups, n_regions)`.
    overlap
        Of the groups and the target.
    families
        What kind of region each is, `(n_regions,)`, any type; step 3 keeps them apart.
    """
    groups = np.asarray(groups)
    mean, variance = groups.mean(axis=0, dtype=np.float64), groups.var(axis=0, ddof=1, dtype=np.float64)
    moderate = _Moderation(VarianceTrend(variance, mean), max(overlap.effective_number - 1, 1.0))
    z = (target - mean) / np.sqrt(moderate(variance, mean) * overlap.target_noise)
    p = np.ones(len(target))
    families = np.zeros(len(target), np.int8) if families is None else np.asarray(families)
    for family in np.unique(families):
        at = np.flatnonzero(families == family)
        null = _null_scores(groups, at, overlap, moderate)
        local, expected = _local_p(z[at], mean[at], *null)
        expected = np.sort(expected)
        p[at] = (1 + np.searchsorted(expected, local, side="right")) / (1 + len(expected))
    return RegionTest(z, p, two_sided_p(z))


class _Moderation(NamedTuple):
    """Variances averaged with what is usual at the level.

    The weight is fixed: sample variances of sparse counts scatter because the counts are skewed, and a weight fitted to
    their scatter would trust them too much.
    """

    usual: VarianceTrend
    freedom: float

    def __call__(self, variance: np.ndarray, level: np.ndarray) -> np.ndarray:
        share = self.freedom / (self.freedom + _PRIOR_FREEDOM)
        return share * variance + (1 - share) * self.usual(level)


def _null_scores(
    groups: np.ndarray, regions: np.ndarray, overlap: Overlap, moderate: _Moderation
) -> tuple[np.ndarray, np.ndarray]:
    """Return the score of each group against its peers, and the peers' mean; float32, `(n_null, n_regions)`."""
    chosen = np.linspace(0, len(groups) - 1, min(len(groups), _NULL_GROUPS)).astype(np.int64)
    peers, noise = overlap.peers[chosen], overlap.noise[chosen, None]
    n_peers = 1 / peers.max(axis=1, keepdims=True)
    scores, level = np.empty((2, len(chosen), len(regions)), np.float32)
    step = max(1, _CHUNK // len(groups))
    for low in range(0, len(regions), step):
        part = slice(low, low + step)
        values = groups[:, regions[part]].astype(np.float64)
        mean = peers @ values
        variance = np.maximum(peers @ values**2 - mean**2, 0.0) * n_peers / np.maximum(n_peers - 1, 1)
        scores[:, part] = (values[chosen] - mean) / np.sqrt(moderate(variance, mean) * noise)
        level[:, part] = mean
    return scores, level


def _local_p(
    z: np.ndarray, level: np.ndarray, null: np.ndarray, null_level: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Return two-sided p-values among null values of a similar level: of the target, and of the null values."""
    edges = stratum_edges(level, len(null))
    own, theirs = (np.searchsorted(edges, values, side="right") for values in (level, null_level.ravel()))
    null = null.ravel()
    order = np.argsort(theirs, kind="stable")
    bounds = np.searchsorted(theirs[order], np.arange(len(edges) + 2))
    p, null_p = np.ones(len(z)), np.ones(len(null))
    for stratum, (low, high) in enumerate(pairwise(bounds)):
        rows, at = order[low:high], own == stratum
        values = null[rows].astype(np.float64)
        sample = values[:: -(-len(values) // _SAMPLE)] if len(values) else values
        upper, lower = NullTail(sample), NullTail(-sample)
        for out, where, scores in ((p, at, z[at]), (null_p, rows, values)):
            out[where] = np.minimum(2 * np.minimum(upper.p(scores), lower.p(-scores)), 1.0)
    return p, null_p


def size_factors(values: np.ndarray, reference: np.ndarray, level: float) -> np.ndarray:
    """Return the factor that brings each group's typical region to the reference; float64, `(n_groups,)`.

    The median, over the regions of a reference above `level` (at least the 20 highest), of the ratio to it. Unlike the
    total, it is not moved by a few strong regions that only one group has. 1 where there are fewer regions with signal.

    Parameters
    ----------
    values
        Signal, `(n_groups, n_regions)`.
    reference
        Mean signal of all groups, `(n_regions,)`.
    """
    high = np.flatnonzero(reference > level)
    if len(high) < _FEWEST_RATIOS:
        high = np.argsort(-reference, kind="stable")[:_FEWEST_RATIOS]
    if len(high) < _FEWEST_RATIOS or reference[high[-1]] <= 0:
        return np.ones(len(values))
    ratio = np.median(values[:, high] / reference[high], axis=1)
    return np.where(ratio > 0, 1 / np.where(ratio > 0, ratio, 1.0), 1.0)


def stratum_edges(level: np.ndarray, n_groups: int) -> np.ndarray:
    """Return the levels that divide regions into strata of equal number; float64, increasing."""
    n = len(level) // max(_STRATUM, -(-_NULL_VALUES // n_groups))
    return np.unique(np.quantile(level, np.arange(1, n) / n)) if n > 1 else np.empty(0)


class VarianceTrend:
    """Mean variance of regions with as much signal: binned, linear between, zero at zero."""

    def __init__(self, variance: np.ndarray, level: np.ndarray) -> None:
        order = np.argsort(level, kind="stable")
        parts = np.array_split(order, int(np.clip(len(level) // 50, 1, 60)))
        self.level = np.array([level[part].mean() for part in parts])
        self.variance = np.array([variance[part].mean() for part in parts])

    def __call__(self, level: np.ndarray) -> np.ndarray:
        """Return the usual variance at these levels."""
        x, y = np.append(0.0, self.level), np.append(0.0, self.variance)
        usual = np.interp(level, x, y)
        slope = y[-1] / x[-1] if x[-1] > 0 else 0.0
        return np.maximum(np.where(level > x[-1], slope * level, usual), np.finfo(np.float64).tiny)


def many_against_many(first: np.ndarray, second: np.ndarray, level: np.ndarray) -> RegionTest:
    """Compare replicates of two groups: the moderated t-test of Smyth (2004), with a variance trend over the level.

    Parameters
    ----------
    first, second
        Log signal of the replicates, `(n_first, n_regions)` and `(n_second, n_regions)`.
    level
        Mean level of every region.

    Returns
    -------
    The t statistic as the normal deviate of the same p-value, that p-value, and the unmoderated one.
    """
    n_first, n_second = len(first), len(second)
    freedom = n_first + n_second - 2
    difference = first.mean(axis=0) - second.mean(axis=0)
    squares = sum(((values - values.mean(axis=0)) ** 2).sum(axis=0) for values in (first, second))
    variance = squares / freedom
    prior = variance_prior(variance, level, float(freedom))
    moderated = prior.moderate(variance, freedom)
    share = 1 / n_first + 1 / n_second
    t = difference / np.sqrt(moderated * share)
    p = 2 * stats.t.sf(np.abs(t), min(freedom + prior.weight, 1e6))
    plain = np.divide(difference, np.sqrt(variance * share), out=np.zeros_like(difference), where=variance > 0)
    z = np.copysign(-special.ndtri(np.maximum(p, np.finfo(float).tiny) / 2), difference)
    return RegionTest(z, p, 2 * stats.t.sf(np.abs(plain), freedom))
