"""Deep samples for training and evaluation, from whatever the user has."""

from __future__ import annotations

import os
import warnings
from collections.abc import Sized
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from scatacworks import _keys
from scatacworks._anndata import atac, params_of
from scatacworks._core import spans
from scatacworks._core.territory import (
    FINEST_TILE_BP,
    REFERENCE_BP,
    TILES_BP,
    count_tiles,
    occupied,
    stretches,
    territory,
)
from scatacworks._depth import depths, given_depths, nuclear_sums
from scatacworks._regions import as_spans, nuclear_spans
from scatacworks._text import listed
from scatacworks.get import tracks as get_tracks
from scatacworks.io._peaks_read import read_peaks
from scatacworks.tracks import Tracks

if TYPE_CHECKING:
    from collections.abc import Sequence

    from scatacworks.genome import Genome
    from scatacworks.models.data import Intervals


ANOTHER_SIGNAL = (
    "Another signal, such as ChIP-seq, is learned by tl.train(target=…) and scored by metrics.evaluate_tracks."
)


def cut_sites_of(data: Any, key: str) -> Tracks:
    """Cut sites of an AnnData's pseudobulk, or the tracks themselves."""
    found = data if isinstance(data, Tracks) else get_tracks(data, key=key, layer=_keys.CUT_SITES)
    if found.lengths is not None:
        msg = (
            "Expected cut sites (one base each), got tracks with longer runs, such as coverage. Of bigWig files of "
            f"coverage give the paths, and the cut sites are recovered. {ANOTHER_SIGNAL}"
        )
        raise ValueError(msg)
    return found


def require_groups(sites: Tracks, names: Sequence[str], whose: str) -> None:
    """Refuse the other half of a pair that lacks one of the groups."""
    missing = [name for name in names if name not in set(sites.groups)]
    if missing:
        msg = f"{whose} has no group {missing[0]!r}; it has {listed(sites.groups)}. Name groups of both by groups=."
        raise KeyError(msg)


def depths_of(data: Any, key: str, groups: Sequence[str], given: Any = None, name: str = "depth") -> np.ndarray:
    """Cut sites per 3.1e9 bp of the groups: as given, as measured, or over the places that have any."""
    sites = cut_sites_of(data, key)
    if given is not None:
        return given_depths(given, sites.select(groups), name)
    if isinstance(data, Tracks):
        measured = REFERENCE_BP * nuclear_sums(sites) / _territory_of(sites)
    else:
        measured = depths(data, key)
    return measured[[sites.group_code(group) for group in groups]]


def _territory_of(sites: Tracks) -> float:
    """Bases that cut sites of all groups cover; files of the original kind may hold windows only."""
    tiles = sum((occupied(counts) for counts in _tile_counts(sites).values()), np.zeros((2, len(TILES_BP)), np.int64))
    return territory(tiles, int(nuclear_sums(sites).sum()), _nuclear_bp(sites.genome))


def _tile_counts(sites: Tracks) -> dict[int, np.ndarray]:
    """Nuclear chromosome -> cut sites of all groups in each of the finest tiles."""
    found = {}
    for chrom in np.flatnonzero(sites.genome.nuclear).tolist():
        length = int(sites.genome.lengths[chrom])
        found[chrom] = sum(
            count_tiles(sites.runs(group, chrom)[0], length, FINEST_TILE_BP) for group in range(len(sites.groups))
        )
    return found


def _nuclear_bp(genome: Genome) -> int:
    return int(genome.lengths[genome.nuclear].sum())


def covers_genome(data: Any, key: str, genome: Genome) -> bool:
    """Whether the cut sites, which are not read from an object, cover half of the genome, as unique sequence does."""
    if isinstance(data, Tracks):
        covered = _territory_of(data)
    else:
        covered = float(params_of(atac(data), key).get("territory_bp", np.inf))
    return covered >= _nuclear_bp(genome) / 2


def windows(data: Any, key: str) -> Intervals | None:
    """Where a file that was cut to windows of the genome has cut sites, from the first to the last one of each.

    `None` where it covers the genome. Depths are stated for the same territory, so that what is learned or scored there
    has the depth it is said to have.
    """
    sites = cut_sites_of(data, key)
    if covers_genome(data, key, sites.genome):
        return None
    counts = _tile_counts(sites)
    found = {}
    for chrom, rows in zip(counts, stretches(list(counts.values()), int(nuclear_sums(sites).sum())), strict=True):
        first, last = rows[:, 1].copy(), rows[:, 0].copy()
        for group in range(len(sites.groups)):
            positions = sites.runs(group, chrom)[0]
            low, high = np.searchsorted(positions, rows[:, 0]), np.searchsorted(positions, rows[:, 1])
            met = high > low
            first[met] = np.minimum(first[met], positions[low[met]])
            last[met] = np.maximum(last[met], positions[high[met] - 1])
        found[sites.genome.chroms[chrom]] = np.column_stack([first, last + 1])
    return _non_empty(found) or None


def default_regions(data: Any, key: str, *, stacklevel: int = 4) -> Intervals | None:
    """Windows of a file that holds no more, with a word about it; else `None` for the nuclear genome."""
    found = windows(data, key)
    if found is not None:
        n = sum(map(len, found.values()))
        msg = (
            f"The cut sites lie in {n:,} windows of {_mb(found):,.2f} Mb in all; only these are used, since nothing is "
            "known of the rest of the genome. regions= names others."
        )
        warnings.warn(msg, UserWarning, stacklevel=stacklevel)
    return found


def warn_of_unmeasured(regions: Intervals, data: Any, key: str) -> None:
    """Say when most of the regions lie outside the windows that a file holds, where no cut site means nothing."""
    found = windows(data, key)
    if found is None:
        return
    inside = {chrom: spans.intersect(rows, found[chrom]) for chrom, rows in regions.items() if chrom in found}
    if _mb(inside) < _mb(regions) / 2:
        msg = (
            f"Only {_mb(inside):,.2f} of the {_mb(regions):,.2f} Mb of regions= are windows that hold cut sites; the "
            "rest, which was not measured, counts as closed. regions=None takes the windows alone."
        )
        warnings.warn(msg, UserWarning, stacklevel=4)


def _mb(regions: Intervals) -> float:
    return sum(int(np.diff(rows, axis=1).sum()) for rows in regions.values()) / 1e6


def intervals(regions: Any, genome: Genome) -> Intervals:
    """Regions in any form, or the nuclear genome where it is `None`, as chromosome -> (n, 2) starts and ends."""
    by_code = nuclear_spans(genome) if regions is None else as_spans(regions, genome)
    return {genome.chroms[code]: rows for code, rows in by_code.items()}


def interval_table(found: Intervals) -> pd.DataFrame:
    """Intervals as a table with the columns `chrom`, `start` and `end`."""
    rows = [(chrom, start, end) for chrom, pairs in found.items() for start, end in pairs.tolist()]
    return pd.DataFrame(rows, columns=["chrom", "start", "end"])


def peak_table(peaks: pd.DataFrame | str | os.PathLike[str], genome: Genome) -> pd.DataFrame:
    """Peaks as a table: as given, or read from a file or folder."""
    return read_peaks(peaks, genome=genome) if isinstance(peaks, str | os.PathLike) else peaks


def peak_intervals(peaks: pd.DataFrame | None, group: str, genome: Genome) -> Intervals | None:
    """Peaks of one group as intervals; `None` where they have to be called."""
    if peaks is None:
        return None
    if "group" in peaks.columns:
        peaks = peaks[peaks["group"].astype(str) == str(group)]
    return intervals(peaks, genome) if len(peaks) else {}


def split(
    genome: Genome,
    regions: Intervals | None,
    validation: Any,
    holdout: Any,
) -> tuple[Intervals, Intervals, Intervals]:
    """Regions to train on, to validate on, and the hold-out, which is in neither.

    `validation` and `holdout` are regions in any form, nothing (`[]`), or `None` for what the paper holds back: chr20
    of human or chr11 of mouse, and chr10, where the genome has them. Without `regions`, mitochondria and plastids are
    in neither.
    """
    validation = usual_validation(genome) if validation is None else validation
    holdout = [chrom for chrom in ("chr10", "10") if chrom in genome.chroms] if holdout is None else holdout
    usable = intervals(None, genome) if regions is None else regions
    kept, out = ({} if is_none(part) else intervals(part, genome) for part in (validation, holdout))
    nothing = np.empty((0, 2), np.int64)
    allowed = {c: spans.subtract(rows, out.get(c, nothing)) for c, rows in usable.items()}
    train = _non_empty({c: spans.subtract(rows, kept.get(c, nothing)) for c, rows in allowed.items()})
    validate = _non_empty({c: spans.intersect(rows, kept.get(c, nothing)) for c, rows in allowed.items()})
    if not train:
        msg = (
            f"No region is left to train on: what there is lies in validation={validation} or holdout={holdout}. Name "
            "other chromosomes or regions there ([] for none), or give regions=."
        )
        raise ValueError(msg)
    return train, validate, out


def is_none(regions: Any) -> bool:
    """Whether no region is asked for, by an empty list or the like."""
    return isinstance(regions, Sized) and len(regions) == 0


def usual_validation(genome: Genome) -> list[str]:
    """Chromosome that the paper validates on, of human or of mouse; none where the genome has neither."""
    known = set(genome.chroms)
    return [c for c in ("chr20", "20") if c in known] or [c for c in ("chr11", "11") if c in known]


def union(*parts: Intervals) -> Intervals:
    """Bases in any of them, as sorted, disjoint intervals."""
    found = {}
    for chrom in dict.fromkeys(chrom for part in parts for chrom in part):
        found[chrom] = spans.union(np.concatenate([part[chrom] for part in parts if chrom in part]))
    return _non_empty(found)


def _non_empty(found: Intervals) -> Intervals:
    return {chrom: rows for chrom, rows in found.items() if len(rows)}
