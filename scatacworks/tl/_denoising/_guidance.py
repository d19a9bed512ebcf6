"""How a prior comes to the groups that are denoised."""

from __future__ import annotations

import warnings
from typing import TYPE_CHECKING, Any

import numpy as np

from scatacworks._core.calling import call_runs
from scatacworks._core.spans import union
from scatacworks._depth import nuclear_sums
from scatacworks._logging import logger
from scatacworks._membership import groupby_of, resolve_groups
from scatacworks._text import listed
from scatacworks.prior import SELF, Guidance, Prior
from scatacworks.tl._denoising.call_peaks import LIMITS, with_lengths
from scatacworks.tl._denoising.prior import prior as make_prior
from scatacworks.tracks import Tracks

if TYPE_CHECKING:
    from collections.abc import Mapping

    from anndata import AnnData

_ROOM = 2_048  # bp around regions in which the other groups' peaks are called: further than a prior is seen
_MOST, _LEAST_ROWS = 0.5, 5  # share of the weight that one row should not exceed, of so many rows


def external(source: Any, everything: Tracks, groups: np.ndarray, *, strength: float, match: bool) -> Guidance:
    """Return what any source of a prior says to `groups`, of the cut sites of all."""
    cut_sites = everything.select(groups)
    found = make_prior(source, genome=cut_sites.genome)
    absent = [chrom for code, chrom in enumerate(found.genome.chroms) if not found.covers(code)]
    if absent and cut_sites.n_runs:
        logger.info("Without an element of the prior, and not guided: %s.", listed(absent))
    guidance = Guidance.make(found, everything, groups=groups, strength=strength, match=match)
    _warn_about_target(guidance, cut_sites)
    matched = guidance if match else Guidance.make(found, everything, groups=groups)
    _warn_about_fit(matched, cut_sites, followed=not match)
    return guidance


def _warn_about_fit(guidance: Guidance, cut_sites: Tracks, *, followed: bool) -> None:
    """Name groups whose cut sites the prior explains so little of that it is not followed, or should not be."""
    sums = nuclear_sums(cut_sites)  # nothing else is asked what the prior explains
    found = [
        f"{name} ({guidance.explained[group]:.1%})"
        for group, name in enumerate(cut_sites.groups)
        if guidance.trust(group) < 1 and sums[group] > 0
    ]
    if found:
        done = "followed all the same (prior_match=False)" if followed else "followed less, and below 5 % not at all"
        msg = (
            "The prior explains little of the cut sites, as one of another assembly, species or place would; it is "
            f"{done}: {listed(found)}."
        )
        warnings.warn(msg, UserWarning, stacklevel=4)


def _warn_about_target(guidance: Guidance, cut_sites: Tracks) -> None:
    """Name groups that seem to be in their own prior."""
    rows = guidance.prior.rows
    both = [name for name in cut_sites.groups if name in set(rows)]
    if both:
        msg = (
            f"In the prior by the same name, so that they may be guided by themselves: {listed(both)}. Leave them out "
            "of the prior by exclude=."
        )
        warnings.warn(msg, UserWarning, stacklevel=4)
    share = guidance.weights / guidance.weights.sum(1, keepdims=True)
    close = np.flatnonzero((share.max(1) > _MOST) & (len(rows) >= _LEAST_ROWS))
    if len(close):
        pairs = [f"{cut_sites.groups[group]} by {rows[share[group].argmax()]}" for group in close]
        msg = f"One row of the prior explains a group nearly alone, as if it were the same sample: {listed(pairs)}."
        warnings.warn(msg, UserWarning, stacklevel=4)


def from_others(
    adata: AnnData,
    key: str,
    groups: np.ndarray,
    unguided: tuple[Tracks, Tracks],
    *,
    strength: float,
    match: bool,
) -> Guidance:
    """Return what the other groups of the object say to each of `groups`.

    Parameters
    ----------
    adata, key
        The object and its pseudobulk.
    groups
        Names of the groups to guide.
    unguided
        Cut sites and unguided probability of all groups of the pseudobulk, both of the same places.
    strength, match
        See :meth:`~scatacworks.prior.Guidance.make`.

    Raises
    ------
    ValueError
        If a group shares cells with all others.
    """
    cut_sites, probability = unguided
    use = ~_sharing(adata, key, cut_sites.groups)
    alone = cut_sites.groups[~use.any(1)]
    lonely = [repr(str(name)) for name in groups if name in set(alone)]
    if lonely:
        msg = (
            f'prior="self" needs other groups that share no cells; there is none for {listed(lonely)}. Leave such '
            "groups out with groups=, or make groups that do not overlap."
        )
        raise ValueError(msg)
    more = int((~use).sum()) - len(use)
    if more:
        logger.info("Groups that share cells do not guide each other: %d pairs.", more // 2)
    prior = Prior(_peaks(probability), provenance={"source": SELF})
    codes = [cut_sites.group_code(name) for name in groups]
    guidance = Guidance.make(prior, cut_sites, groups=groups, use=use[codes], strength=strength, match=match)
    _warn_about_fit(guidance, cut_sites.select(groups), followed=False)
    return guidance


def _sharing(adata: AnnData, key: str, groups: np.ndarray) -> np.ndarray:
    """Tell which groups have a cell in common, each with itself; bool `(n_groups, n_groups)`."""
    names = np.asarray(adata.uns[key].get("source_group", groups), dtype=object)  # of thinned cut sites, whose they are
    same = names[:, None] == names
    groupby = groupby_of(adata, key)
    if groupby in adata.obs or groupby not in adata.obsm:
        return same  # the groups of a column share no cells, whatever the column holds by now
    members = resolve_groups(adata, groupby, groups=list(names)).matrix.astype(np.int64)
    return ((members.T @ members).toarray() > 0) | same


def _peaks(probability: Tracks) -> Tracks:
    """Peaks of every group as runs of ones."""

    def one(group: int, chrom: str) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        fill = np.nan_to_num(probability.fill[group])
        runs = with_lengths(probability, group, chrom)
        starts, ends = call_runs(*runs, fill, probability.genome.length(chrom), *LIMITS)
        return starts.astype(np.int32), (ends - starts).astype(np.int32), np.ones(len(starts), np.float32)

    groups = range(len(probability.groups))
    chromosomes = ((chrom, [one(group, chrom) for group in groups]) for chrom in probability.genome.chroms)
    return Tracks.from_chromosomes(probability.groups, probability.genome, chromosomes, dtype=np.float32)


def with_room(regions: Mapping[int, np.ndarray] | None, lengths: np.ndarray) -> dict[int, np.ndarray] | None:
    """Widen regions so that all of a prior that is seen from within them is known."""
    if regions is None:
        return None
    room = np.array([-_ROOM, _ROOM])
    return {code: union(np.clip(spans + room, 0, lengths[code])) for code, spans in regions.items()}


def within(cut_sites: Tracks, where: Mapping[int, np.ndarray] | None) -> Tracks:
    """Return the cut sites in `where`: those elsewhere say nothing about peaks that were called here only."""
    if where is None:
        return cut_sites

    def one(group: int, code: int) -> tuple[np.ndarray, None, np.ndarray]:
        starts, _, values = cut_sites.runs(group, code)
        spans = where.get(code, np.empty((0, 2), np.int64))  # in order, apart from each other
        kept = np.searchsorted(spans[:, 0], starts, "right") > np.searchsorted(spans[:, 1], starts, "right")
        return starts[kept], None, values[kept]

    groups = range(len(cut_sites.groups))
    chromosomes = ((code, [one(group, code) for group in groups]) for code in range(len(cut_sites.genome)))
    return Tracks.from_chromosomes(cut_sites.groups, cut_sites.genome, chromosomes)


def describe(guidance: Guidance, *, match: bool) -> dict[str, Any]:
    """Provenance of a guided run, in a form AnnData writes."""
    prior = guidance.prior
    excluded = prior.provenance.get("excluded", [])
    return {
        "prior": prior.digest,
        "prior_source": str(prior.provenance.get("source", "")),
        "prior_rows": np.asarray(prior.rows, dtype=object),
        "prior_excluded": ", ".join(excluded),
        "prior_n_samples": np.array([guidance.size(group) for group in range(len(guidance.weights))]),
        "prior_weight": guidance.strength,
        "prior_match": match,
        "prior_matched": guidance.weights,
        "prior_explained": guidance.explained if match else np.full(len(guidance.weights), np.nan),  # of these weights
    }
