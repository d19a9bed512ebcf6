"""Tests of regions: one group against many, and replicates against replicates."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import numpy as np
from scipy import special, stats

from scatacworks._core.differential import two_sided_p
from scatacworks._core.replication import variance_prior
from scatacworks._core.tails import NullTail

if TYPE_CHECKING:
    from scatacworks._core.replication import Overlap

_STRATUM = 25  # regions that share a null distribution, at least
_NULL_VALUES = 3000  # of the groups in these regions, at least
_MOST_STRATA = 20
_FEWEST_RATIOS = 20
_SAMPLE = 1_000_000  # null values kept per stratum


class RegionTest(NamedTuple):
    """Result per region, float64 `(n_regions,)` each: standardised difference, calibrated and normal p-value."""

    z: np.ndarray
    p: np.ndarray
    p_normal: np.ndarray


def one_against_many(target: np.ndarray, groups: np.ndarray, overlap: Overlap) -> RegionTest:
    """Test whether a group's signal is one that the other groups could have shown.

    The statistic is the difference to the groups' mean over their moderated standard deviation, with its variance
    corrected for the cells that groups share. It is compared with the same statistic of the groups themselves, of all
    regions with as much signal. Two things keep that fair where there is next to no signal: regions are put
    together by a level that counts the target as one more group, and no standard deviation is taken below what is
    usual at that level. Without them, a region whose groups happen to be empty would make a single cut site of the
    target look impossible.

    Parameters
    ----------
    target
        Normalised signal of the tested group, `(n_regions,)`.
    groups
        The same of the other groups, `(n_groups, n_regions)`.
    overlap
        Of the groups and the target.
    """
    groups = np.asarray(groups, np.float64)
    null = _Null(groups, overlap)
    level = (null.mean + target / overlap.mean_number) * (1 + 1e-9)  # so that equal totals stay in one stratum
    z = (target - null.mean) / np.sqrt(null.floored(null.variance, level) * overlap.variance_ratio)
    edges = stratum_edges(null.mean, len(groups))
    own, theirs = (np.searchsorted(edges, values, side="right") for values in (level, null.mean))
    p = np.ones(len(target))
    for stratum in np.unique(own):
        at = own == stratum
        sample = null.scores(np.flatnonzero(theirs == stratum))
        upper, lower = NullTail(sample).p(z[at]), NullTail(-sample).p(-z[at])
        p[at] = np.minimum(2 * np.minimum(upper, lower), 1.0)
    return RegionTest(z, p, two_sided_p(z))


class _Null:
    """The groups, each to be tested against the rest as if it were the target."""

    def __init__(self, groups: np.ndarray, overlap: Overlap) -> None:
        self.groups, self.overlap = groups, overlap
        self.mean, self.variance = groups.mean(axis=0), groups.var(axis=0, ddof=1)
        self.freedom = max(overlap.effective_number - 1, 1.0)
        self.prior = variance_prior(self.variance, self.mean, self.freedom)
        self.usual = VarianceTrend(self.variance, self.mean)

    def floored(self, variance: np.ndarray, level: np.ndarray, regions: np.ndarray | slice = slice(None)) -> np.ndarray:
        """Return moderated variances, none below what is usual at the level."""
        return np.maximum(self.prior.select(regions).moderate(variance, self.freedom), self.usual(level))

    def scores(self, regions: np.ndarray) -> np.ndarray:
        """Return the statistic of the groups in these regions, each with its own share taken out of mean and variance.

        The shares are those of one in so many independent groups, as no more can be taken out of groups that overlap.
        """
        rows = _spread(len(self.groups), len(regions))
        mean, variance = self.mean[regions], self.variance[regions]
        difference = self.groups[np.ix_(rows, regions)] - mean
        n_mean, n = max(self.overlap.mean_number, 2.0), max(self.overlap.effective_number, 3.0)
        without = ((n - 1) * variance - difference**2 * n / (n - 1)) / (n - 2)
        floored = self.floored(np.maximum(without, 0.0), mean, regions)
        return difference * np.sqrt(n_mean / (n_mean - 1)) / np.sqrt(floored)


def size_factors(values: np.ndarray, reference: np.ndarray, level: float) -> np.ndarray:
    """Return the factor that brings each group's typical region to the reference; float64, `(n_groups,)`.

    The median, over the regions of a reference above `level`, of the ratio to it. Unlike the total, it is not moved by
    a few strong regions that only one group has. 1 where fewer than 20 regions are that high.

    Parameters
    ----------
    values
        Signal, `(n_groups, n_regions)`.
    reference
        Mean signal of all groups, `(n_regions,)`.
    """
    high = np.flatnonzero(reference > level)
    if len(high) < _FEWEST_RATIOS:
        return np.ones(len(values))
    ratio = np.median(values[:, high] / reference[high], axis=1)
    return np.where(ratio > 0, 1 / np.where(ratio > 0, ratio, 1.0), 1.0)


def stratum_edges(level: np.ndarray, n_groups: int) -> np.ndarray:
    """Return the levels that divide regions into strata of equal number; float64, increasing."""
    size = max(_STRATUM, -(-_NULL_VALUES // n_groups))
    n = int(np.clip(len(level) // size, 1, _MOST_STRATA))
    return np.unique(np.quantile(level, np.arange(1, n) / n)) if n > 1 else np.empty(0)


def _spread(n_groups: int, n_regions: int) -> np.ndarray:
    """Choose evenly spread groups, so that a stratum's null sample stays within bounds."""
    wanted = int(np.clip(_SAMPLE // max(n_regions, 1), min(n_groups, 50), n_groups))
    return np.linspace(0, n_groups - 1, wanted).astype(np.int64)


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
