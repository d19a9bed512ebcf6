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

_STRATUM = 50  # regions of similar level, at least
_NULL_VALUES = 5_000  # of the groups in these regions, at least
_NULL_GROUPS = 250  # that take the place of the target in turn, at most
_SAMPLE = 200_000  # null values from which a stratum's distribution is read, at most
_CHUNK = 20_000_000  # null values standardised at once
_PRIOR_FREEDOM = 40.0  # weight of the usual variance, in degrees of freedom
_FAR = 3.0  # standard deviations up to which a region counts for the spread of a group
_FEWEST_SIMILAR = 50  # groups that the target is compared with in the last step, or a quarter of them
_STEADY = 0.5  # coefficient of variation below which ratios are taken
_FEWEST_SETS = 20  # of which a median is taken
_SETS = 50  # of which one is taken if there are so many
_MOST_LEVELS = 10
_RESOLUTION = 1e-5  # relative difference below which two signals are equal but for rounding


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
       usual one of regions with as much signal, and raised where the target has fewer fragments than they.
    2. A p-value among regions of a similar level, from the groups' own values there. A generalised Pareto tail goes on
       where counting ends. This makes regions comparable, whatever the shape of the distribution at their level.
    3. The share of the groups' values, among all regions of a family, with as small a p-value; of those groups whose
       scores are spread most similarly to the target's. This needs no model: it is the share of regions that a group
       like the others would show beyond this value, so that false discovery rates built on it hold however wrong the
       first two steps are.

    The level of a region is the mean of those compared with, so a region in which only one group has signal counts as
    empty for this group, as it would for a target.

    Parameters
    ----------
    target
        Signal of the tested group, normalised (:func:`normalize`), `(n_regions,)`.
    groups
        The same of the other groups, `(n_groups, n_regions)`.
    overlap
        Of the groups and the target.
    families
        What kind of region each is, `(n_regions,)`, any type; they are kept apart in steps 2 and 3.
    """
    groups = np.asarray(groups)
    mean, variance = groups.mean(axis=0, dtype=np.float64), groups.var(axis=0, ddof=1, dtype=np.float64)
    moderate = _Moderation(VarianceTrend(variance, mean), max(overlap.effective_number - 1, 1.0))
    # a larger target varies less than the groups where there are counts, but where it is empty it is so as they are
    noise = max(overlap.target_noise, float(np.median(overlap.noise)))
    z = _difference(target, mean) / np.sqrt(moderate(variance, mean) * noise)
    chosen = np.linspace(0, len(groups) - 1, min(len(groups), _NULL_GROUPS)).astype(np.int64)
    p = np.ones(len(target))
    families = np.zeros(len(target), np.int8) if families is None else np.asarray(families)
    for family in np.unique(families):
        at = np.flatnonzero(families == family)
        scores, level = _null_scores(groups, chosen, at, overlap, moderate)
        # the target is compared with more groups than each of these, and must not seem beyond equal counts for that
        own = z[at] * (1 - 1 / len(groups))
        local, expected = _local_p(own, mean[at], scores, level)
        similar = _similar(own, scores)
        expected = np.sort(expected.reshape(scores.shape)[similar], axis=None)
        copies = len(similar) / overlap.independent_among(chosen[similar])  # what one cell shows, all its groups show
        p[at] = (copies + np.searchsorted(expected, local, side="right")) / (copies + len(expected))
    return RegionTest(z, p, two_sided_p(z))


def _difference(values: np.ndarray, mean: np.ndarray) -> np.ndarray:
    """Return the difference to the mean, and 0 for one that rounding explains.

    Out of reach of any cut site all groups have the same constant signal; which of them is larger in the last digits
    must not rank them.
    """
    difference = values - mean
    return np.where(np.abs(difference) > _RESOLUTION * mean, difference, 0.0)


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
    groups: np.ndarray, chosen: np.ndarray, regions: np.ndarray, overlap: Overlap, moderate: _Moderation
) -> tuple[np.ndarray, np.ndarray]:
    """Return the score of each chosen group against its peers, and their mean; float32, `(n_chosen, n_regions)`."""
    peers, noise = overlap.peers[chosen], overlap.noise[chosen, None]
    n_peers = 1 / peers.max(axis=1, keepdims=True)
    scores, level = np.empty((2, len(chosen), len(regions)), np.float32)
    step = max(1, _CHUNK // len(groups))
    for low in range(0, len(regions), step):
        part = slice(low, low + step)
        values = groups[:, regions[part]].astype(np.float64)
        mean = peers @ values
        variance = np.maximum(peers @ values**2 - mean**2, 0.0) * n_peers / np.maximum(n_peers - 1, 1)
        scores[:, part] = _difference(values[chosen], mean) / np.sqrt(moderate(variance, mean) * noise)
        level[:, part] = mean
    return scores, level


def _similar(target: np.ndarray, null: np.ndarray) -> np.ndarray:
    """Return the groups whose scores are spread most similarly to those of the target.

    A group at an end of whatever varies among the cells differs from the others more than most do, and so may the
    target without being anything new.
    """
    spread, own = ((np.clip(scores, -_FAR, _FAR) ** 2).mean(axis=-1) for scores in (null, target))
    wanted = min(len(null), max(len(null) // 4, _FEWEST_SIMILAR))
    return np.argpartition(np.abs(spread - own), wanted - 1)[:wanted]


def _local_p(
    z: np.ndarray, level: np.ndarray, null: np.ndarray, null_level: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Return two-sided p-values among null values of a similar level: of the target, and of the null values."""
    level, null_level = _rounded(level), _rounded(null_level)
    edges = stratum_edges(level, len(null))
    own, theirs = (np.searchsorted(edges, values, side="right") for values in (level, null_level.ravel()))
    null = null.ravel()
    order = np.argsort(theirs.astype(np.min_scalar_type(len(edges))), kind="stable")  # few bits are sorted in no time
    bounds = np.searchsorted(theirs[order], np.arange(len(edges) + 2))
    p, null_p = np.ones(len(z)), np.ones(len(null))
    for stratum, (low, high) in enumerate(pairwise(bounds)):
        rows, at = order[low:high], own == stratum
        values = null[rows].astype(np.float64)
        sample = values[:: -(-len(values) // _SAMPLE)] if len(values) else values
        upper, lower = NullTail(sample), NullTail(-sample)
        for out, where, scores in ((p, at, z[at]), (null_p, rows, values)):
            # each on its own side: where nearly all groups are empty, one that is a trifle less negative is no gain
            above, one_sided = scores > 0, np.empty(len(scores))
            one_sided[above], one_sided[~above] = upper.p(scores[above]), lower.p(-scores[~above])
            out[where] = np.minimum(2 * one_sided, 1.0)
    return p, null_p


def _rounded(level: np.ndarray) -> np.ndarray:
    """Return levels to five digits, so that those which are equal but for rounding share a stratum; float64."""
    mantissa, exponent = np.frexp(np.asarray(level, np.float64))
    return np.ldexp(np.round(mantissa * 2**16) / 2**16, exponent)


def normalize(values: np.ndarray, reference: np.ndarray, families: np.ndarray) -> np.ndarray:
    """Bring the usual regions of every level to the same signal in all groups; float64, `(n_groups, n_regions)`.

    A group's factor is the median of its ratios to the mean of a reference. Unlike the total, it is not moved by a few
    strong regions that only one group has. It may depend on family and level, because groups differ in how much of
    their signal lies between the peaks. Where regions hold too little for a ratio, neighbours in level are summed.

    Parameters
    ----------
    values
        Signal, `(n_groups, n_regions)`.
    reference
        The groups to go by, likewise; `values` may be others.
    families
        What kind of region each is, `(n_regions,)`.
    """
    out = np.array(values, np.float64)
    for family in np.unique(families):
        at = np.flatnonzero(families == family)
        at = at[np.argsort(reference[:, at].mean(axis=0), kind="stable")]
        if not reference[:, at].any():
            continue
        bounds = _sets(reference[:, at])
        usual, sums = (np.add.reduceat(part[:, at], bounds, axis=1, dtype=np.float64) for part in (reference, values))
        usual = usual.mean(axis=0)
        for sets in np.array_split(np.arange(len(bounds)), int(np.clip(len(bounds) // _SETS, 1, _MOST_LEVELS))):
            kept = sets[usual[sets] > 0]
            ratio = np.median(sums[:, kept] / usual[kept], axis=1) if len(kept) else np.ones(len(values))
            stop = bounds[sets[-1] + 1] if sets[-1] + 1 < len(bounds) else len(at)
            own = at[bounds[sets[0]] : stop]
            out[:, own] *= np.where(ratio > 0, 1 / np.where(ratio > 0, ratio, 1.0), 1.0)[:, None]
    return out


def _sets(values: np.ndarray) -> np.ndarray:
    """Return where sets of neighbouring regions begin, so large that a group's sum in them varies by less than half."""
    n = values.shape[1]
    while True:
        bounds = np.linspace(0, values.shape[1], n, endpoint=False).astype(np.int64)
        sums = np.add.reduceat(values, bounds, axis=1, dtype=np.float64)
        mean = sums.mean(axis=0)
        if n <= _FEWEST_SETS or np.median(sums.std(axis=0)[mean > 0] / mean[mean > 0]) < _STEADY:
            return bounds
        n = max(n // 2, _FEWEST_SETS)


def stratum_edges(level: np.ndarray, n_groups: int) -> np.ndarray:
    """Return the levels that divide regions into strata of equal number; float64, increasing."""
    n = len(level) // max(_STRATUM, -(-_NULL_VALUES // n_groups))
    return np.unique(np.quantile(level, np.arange(1, n) / n)) if n > 1 else np.empty(0)


class VarianceTrend:
    """Mean variance of regions with as much signal: binned, linear between; never zero."""

    def __init__(self, variance: np.ndarray, level: np.ndarray) -> None:
        order = np.argsort(level, kind="stable")
        parts = np.array_split(order, int(np.clip(len(level) // 50, 1, 60)))
        self.level = np.array([level[part].mean() for part in parts])
        binned = np.array([variance[part].mean() for part in parts])
        binned[binned <= (_RESOLUTION * self.level) ** 2] = 0.0
        self.variance = np.maximum(binned, np.min(binned[binned > 0], initial=np.inf) if binned.any() else 1.0)

    def __call__(self, level: np.ndarray) -> np.ndarray:
        """Return the usual variance at these levels; beyond the highest it grows in proportion."""
        usual = np.interp(level, self.level, self.variance)
        return usual * np.maximum(level / max(self.level[-1], np.finfo(np.float64).tiny), 1.0)


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
