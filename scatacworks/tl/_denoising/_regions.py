"""Regions in the forms a user has them."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from scatacworks._core.intervals import merge
from scatacworks._regions import flanked

if TYPE_CHECKING:
    from scatacworks.genome import Genome


def parse_regions(regions: Any, genome: Genome) -> dict[int, np.ndarray]:
    """Return sorted, disjoint intervals (n, 2) by chromosome code.

    `regions` is a region, gene or BED path, a list of regions, genes or (chrom, start, end), or a DataFrame with the
    columns `chrom`, `start`, `end`. A gene has its flanks with it (:func:`~scatacworks._regions.flanked`).
    """
    table = _table(regions, genome)
    if table.empty:
        msg = "regions is empty; give at least one region, or None for the whole genome."
        raise ValueError(msg)
    codes, start, end = merge(*(table[name].to_numpy(np.int64) for name in ("code", "start", "end")))
    return {int(code): np.column_stack([start[codes == code], end[codes == code]]) for code in np.unique(codes)}


def regions_frame(regions: dict[int, np.ndarray], genome: Genome) -> pd.DataFrame:
    """Return the intervals as a table with the columns `chrom`, `start`, `end`."""
    parts = [pd.DataFrame({"chrom": genome.chroms[c], "start": x[:, 0], "end": x[:, 1]}) for c, x in regions.items()]
    return pd.concat(parts, ignore_index=True)


def _names_a_file(text: str) -> bool:
    return Path(text).is_file() or text.removesuffix(".gz").lower().endswith((".bed", ".narrowpeak", ".broadpeak"))


def _table(regions: Any, genome: Genome) -> pd.DataFrame:
    if isinstance(regions, Path) or (isinstance(regions, str) and _names_a_file(regions)):
        from scatacworks.io import read_peaks

        regions = read_peaks(regions, genome=genome)
    if isinstance(regions, pd.DataFrame):
        missing = {"chrom", "start", "end"} - set(regions.columns)
        if missing:
            msg = f"regions lacks the column(s) {', '.join(sorted(missing))}; it needs chrom, start and end."
            raise ValueError(msg)
        regions = list(zip(regions["chrom"].astype(str), regions["start"], regions["end"], strict=True))
    elif isinstance(regions, str) or (isinstance(regions, tuple) and len(regions) == 3 and isinstance(regions[0], str)):
        regions = [regions]
    found = [flanked(genome, region) for region in regions]
    rows = [(genome.code(region.chrom), region.start, region.end) for region in found]
    return pd.DataFrame(rows, columns=["code", "start", "end"])
