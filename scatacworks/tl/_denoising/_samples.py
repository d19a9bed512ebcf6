"""Deep samples for training and evaluation, from whatever the user has."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from scatacworks import _keys
from scatacworks._core.intervals import merge
from scatacworks._core.territory import FINEST_TILE_BP, REFERENCE_BP, TILES_BP, count_tiles, occupied, territory
from scatacworks._depth import depths, nuclear_sums
from scatacworks._regions import as_spans, nuclear_spans
from scatacworks.get import tracks as get_tracks
from scatacworks.tracks import Tracks

if TYPE_CHECKING:
    from collections.abc import Sequence

    import pandas as pd

    from scatacworks.genome import Genome
    from scatacworks.models.data import Intervals


def cut_sites_of(data: Any, key: str) -> Tracks:
    """Cut sites of an AnnData's pseudobulk, or the tracks themselves."""
    found = data if isinstance(data, Tracks) else get_tracks(data, key=key, layer=_keys.CUT_SITES)
    if found.lengths is not None:
        msg = "expected cut sites (one base each), got tracks with longer runs, such as coverage."
        raise ValueError(msg)
    return found


def depths_of(data: Any, key: str, given: Any) -> np.ndarray:
    """Cut sites per 3.1e9 bp of every group: as given, as measured, or over the places that have any."""
    sites = cut_sites_of(data, key)
    if given is not None:
        return np.broadcast_to(np.asarray(given, np.float64), sites.groups.shape)
    if not isinstance(data, Tracks):
        return np.asarray(depths(data, key), np.float64)
    return REFERENCE_BP * nuclear_sums(sites) / _territory_of(sites)


def _territory_of(sites: Tracks) -> float:
    """Bases that cut sites of all groups cover; files of the original kind may hold windows only."""
    n_occupied = np.zeros(len(TILES_BP), np.int64)
    nuclear = sites.genome.nuclear
    for chrom in np.flatnonzero(nuclear):
        starts = np.concatenate([sites.runs(group, chrom)[0] for group in range(len(sites.groups))])
        n_occupied += occupied(count_tiles(starts, int(sites.genome.lengths[chrom]), FINEST_TILE_BP))
    return territory(n_occupied, int(nuclear_sums(sites).sum()), int(sites.genome.lengths[nuclear].sum()))


def intervals(regions: Any, genome: Genome) -> Intervals:
    """Regions in any form, or the nuclear genome where it is `None`, as chromosome -> (n, 2) starts and ends."""
    spans = nuclear_spans(genome) if regions is None else as_spans(regions, genome)
    return {genome.chroms[code]: rows for code, rows in spans.items()}


def peak_intervals(peaks: pd.DataFrame | None, group: str, genome: Genome) -> Intervals | None:
    """Peaks of one group as intervals; `None` where they have to be called."""
    if peaks is None:
        return None
    if "group" in peaks.columns:
        peaks = peaks[peaks["group"].astype(str) == str(group)]
    return intervals(peaks, genome) if len(peaks) else {}


def split(
    genome: Genome, regions: Any, validation: Sequence[str] | None, holdout: Sequence[str] | None
) -> tuple[Intervals, Intervals]:
    """Regions to train on and to validate on; the hold-out is in neither.

    `validation` and `holdout` are chromosomes or regions. Defaults are the paper's: validation chr20 of human and chr11
    of mouse, hold-out chr10, where the genome has them. Without `regions`, mitochondria and plastids are in neither.
    """
    known = set(genome.chroms)
    if validation is None:
        validation = [c for c in ("chr20", "20") if c in known] or [c for c in ("chr11", "11") if c in known]
    if holdout is None:
        holdout = [c for c in ("chr10", "10") if c in known]
    usable = intervals(regions, genome)
    kept = intervals(list(validation), genome) if validation else {}
    out = intervals(list(holdout), genome) if holdout else {}
    train = {c: subtract(subtract(rows, kept.get(c)), out.get(c)) for c, rows in usable.items()}
    validate = {c: subtract(intersect(rows, kept[c]), out.get(c)) for c, rows in usable.items() if c in kept}
    return _non_empty(train), _non_empty(validate)


def union(*parts: Intervals) -> Intervals:
    """Bases in any of them, as sorted, disjoint intervals."""
    found = {}
    for chrom in dict.fromkeys(chrom for part in parts for chrom in part):
        rows = np.concatenate([part[chrom] for part in parts if chrom in part])
        _, start, end = merge(np.zeros(len(rows), np.int64), rows[:, 0], rows[:, 1])
        found[chrom] = np.column_stack([start, end])
    return _non_empty(found)


def subtract(a: np.ndarray, b: np.ndarray | None) -> np.ndarray:
    """Part of the disjoint intervals `a` that lies outside `b`."""
    if b is None or len(b) == 0:
        return a
    edges = np.concatenate([[np.iinfo(np.int64).min], b.ravel(), [np.iinfo(np.int64).max]]).reshape(-1, 2)
    return intersect(a, edges)


def intersect(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """Common part of two sets of sorted, disjoint intervals."""
    parts = [np.stack([np.maximum(a[:, 0], s), np.minimum(a[:, 1], e)], axis=1) for s, e in b]
    both = np.concatenate(parts) if parts else np.empty((0, 2), np.int64)
    both = both[both[:, 1] > both[:, 0]]
    return both[np.argsort(both[:, 0], kind="stable")]


def _non_empty(found: Intervals) -> Intervals:
    return {chrom: rows for chrom, rows in found.items() if len(rows)}
