"""What is tested: peaks, and tiles in the gaps between them, fixed without looking at the tested group."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from scatacworks._columns import placed
from scatacworks._core import intervals

if TYPE_CHECKING:
    from collections.abc import Mapping

    from scatacworks.genome import Genome

GIVEN, PEAK, TILE = "given", "peak", "tile"


def clip_to(table: pd.DataFrame, regions: Mapping[int, np.ndarray], genome: Genome) -> pd.DataFrame:
    """Return the intervals of a table (columns `chrom`, `start`, `end`) that lie wholly in the regions, sorted.

    A column `family` is kept, others are not. Overlapping intervals are kept apart; those that reach out of the regions
    are left out.
    """
    codes, start, end = placed(table, genome)
    span_codes, low, high = as_columns(regions)
    span = np.searchsorted(intervals.pack(span_codes, low), intervals.pack(codes, start), side="right") - 1
    inside = (span >= 0) & (span_codes[span] == codes) & (end <= high[span])
    order = np.flatnonzero(inside)
    order = order[np.lexsort((end[order], start[order], codes[order]))]
    chroms = np.asarray(genome.chroms, dtype=object)[codes[order]]
    found = pd.DataFrame({"chrom": chroms, "start": start[order], "end": end[order]})
    return found.assign(family=table["family"].to_numpy(str)[order]) if "family" in table else found


def tiles_between(peaks: pd.DataFrame, regions: Mapping[int, np.ndarray], genome: Genome, tile: int) -> pd.DataFrame:
    """Return the tiles of `tile` bp, at multiples of it, that lie wholly in the regions and touch no peak."""
    codes, low, high = as_columns(regions)
    first = -(-low // tile)
    n = np.maximum(high // tile - first, 0)
    index = np.arange(n.sum()) + np.repeat(first - np.cumsum(n) + n, n)
    chroms = np.asarray(genome.chroms, dtype=object)[np.repeat(codes, n)]
    tiles = pd.DataFrame({"chrom": chroms, "start": index * tile, "end": (index + 1) * tile})
    free = ~intervals.any_overlap(placed(tiles, genome), placed(peaks, genome))
    return tiles[free].reset_index(drop=True)


def as_columns(regions: Mapping[int, np.ndarray]) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return chromosome codes, starts and ends of intervals by chromosome code, sorted; int64."""
    found = sorted(regions.items())
    codes = np.repeat([code for code, _ in found], [len(spans) for _, spans in found])
    return codes, *np.concatenate([spans for _, spans in found]).T


def merged(table: pd.DataFrame, genome: Genome) -> pd.DataFrame:
    """Return the union of the intervals of a table, sorted."""
    codes, start, end = intervals.merge(*placed(table, genome))
    return pd.DataFrame({"chrom": np.asarray(genome.chroms, dtype=object)[codes], "start": start, "end": end})


def peaks_and_tiles(
    peaks: pd.DataFrame, regions: Mapping[int, np.ndarray], genome: Genome, tile: int | None
) -> pd.DataFrame:
    """Return the union of the peaks and, with `tile`, the tiles in the gaps; `family` says which is which."""
    union = clip_to(merged(peaks, genome), regions, genome).assign(family=PEAK)
    if tile is None:
        return union
    gaps = tiles_between(union, regions, genome, tile).assign(family=TILE)
    both = pd.concat([union, gaps], ignore_index=True)
    return both.iloc[np.lexsort((both["start"], genome.resolve(both["chrom"])))].reset_index(drop=True)
