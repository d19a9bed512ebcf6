"""Regions in any of the forms users have them."""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from scatacworks._arguments import whole
from scatacworks._files import require_file

if TYPE_CHECKING:
    from collections.abc import Mapping

    from scatacworks.genome import Genome, Region

_FLANK, _LEAST_FLANK = 0.25, 2_000  # of a gene's length and in bp, to either side
_NAMES = {
    "chrom": ("chrom", "chr", "chromosome", "seqnames"),
    "start": ("start", "chromstart"),
    "end": ("end", "chromend", "stop"),
}


def flanked(genome: Genome, region: str | tuple[str, int, int], flank: int | None = None) -> Region:
    """Return a region with a flank in bp to either side, cut at the chromosome's ends.

    By default a gene has a quarter of its length, at least 2 kb, so that its promoter is in it; any other region none.
    """
    found = genome.region(region)
    size = genome.sizes[found.chrom]
    if flank is None:
        is_gene = isinstance(region, str) and ":" not in region and found.end - found.start < size
        flank = max(_LEAST_FLANK, int(_FLANK * (found.end - found.start))) if is_gene else 0
    flank = whole(flank, "flank", least=0)
    return genome.region((found.chrom, max(0, found.start - flank), min(size, found.end + flank)))


def as_regions(regions: Any, genome: Genome, *, uns: Mapping[str, Any] | None = None) -> pd.DataFrame:
    """Return regions as a table, in the order given, checked against a genome.

    Parameters
    ----------
    regions
        A DataFrame with `chrom`, `start` and `end`; an AnnData whose `.var` has them, or is named by them; a key of
        `.uns` that holds such a table (`"peaks"`); the path of a BED file; or a list of `"chr1:100-200"` or
        `("chr1", 100, 200)`.
    genome
        The genome that the regions must lie in.
    uns
        Where keys are looked up.

    Returns
    -------
    `chrom` (the genome's spelling), `start`, `end` (int64, 0-based, half-open) and `code` (int32), other columns kept,
    named `chrom:start-end`; exact repeats are left out.

    Raises
    ------
    ValueError
        If a column is missing, a region is empty or reaches over the end of its chromosome, or none lies in the genome.

    Warns
    -----
    UserWarning
        If some lie on chromosomes that the genome lacks; they are left out.
    """
    table = _columns(_as_table(regions, genome, uns))
    codes = genome.resolve(table["chrom"].astype(str))
    known = codes >= 0
    if not known.all():
        _report_unknown(table, known, genome)
        table, codes = table[known], codes[known]
    start, end = table["start"].to_numpy(np.int64), table["end"].to_numpy(np.int64)
    wrong = (start < 0) | (end <= start) | (end > genome.lengths[codes])
    if wrong.any():
        first = table.iloc[int(np.argmax(wrong))]
        msg = (
            f"{int(wrong.sum()):,} of {len(table):,} regions are empty or reach over the end of their chromosome in "
            f"{genome.name}, the first: {first['chrom']}:{first['start']}-{first['end']}."
        )
        raise ValueError(msg)
    chroms = np.asarray(genome.chroms, dtype=object)[codes]
    names = pd.Index([f"{c}:{s}-{e}" for c, s, e in zip(chroms, start.tolist(), end.tolist(), strict=True)])
    table = table.assign(chrom=chroms, start=start, end=end, code=codes).set_axis(names, axis=0)
    return table[~names.duplicated()]


def _as_table(regions: Any, genome: Genome, uns: Mapping[str, Any] | None) -> pd.DataFrame:
    if isinstance(regions, pd.DataFrame):
        return regions
    if hasattr(regions, "var_names"):
        has_columns = any(str(name).lower() in _NAMES["start"] for name in regions.var.columns)
        return regions.var if has_columns else _as_table(list(regions.var_names), genome, None)
    if isinstance(regions, str | Path):
        if uns is not None and isinstance(uns.get(str(regions)), pd.DataFrame):
            return uns[str(regions)]
        return _read_bed(require_file(regions, "BED file, or key of .uns with a table of regions,"))
    return pd.DataFrame([genome.region(region) for region in regions], columns=["chrom", "start", "end"])


def _columns(table: pd.DataFrame) -> pd.DataFrame:
    """Give the three columns their names."""
    lower = {str(name).lower(): name for name in reversed(table.columns)}
    columns = {wanted: next((lower[a] for a in aliases if a in lower), None) for wanted, aliases in _NAMES.items()}
    missing = [name for name, column in columns.items() if column is None]
    if missing:
        found = list(table.columns)
        msg = f"The regions have no column {', '.join(missing)}; expected chrom, start and end, found {found}."
        raise ValueError(msg)
    return table.rename(columns={column: name for name, column in columns.items()})


def _read_bed(path: Path) -> pd.DataFrame:
    table = pd.read_csv(path, sep="\t", header=None, usecols=[0, 1, 2], comment="#", dtype=str, skip_blank_lines=True)
    table = table.set_axis(["chrom", "start", "end"], axis=1)
    table = table[~table["chrom"].str.startswith(("track", "browser"))]
    numbers = table[["start", "end"]].apply(pd.to_numeric, errors="coerce")
    bad = numbers.isna().any(axis=1)
    if bad.any():
        row, found = int(np.argmax(bad)) + 1, table[bad].iloc[0].tolist()
        msg = f"{path}, row {row}: expected a chromosome, a start and an end, found {found}."
        raise ValueError(msg)
    return table.assign(**numbers.astype(np.int64))


def _report_unknown(table: pd.DataFrame, known: np.ndarray, genome: Genome) -> None:
    names = ", ".join(table["chrom"][~known].astype(str).unique()[:3])
    found = f"{int((~known).sum()):,} of {len(table):,} regions lie on chromosomes that {genome.name} lacks ({names})"
    if not known.any():
        msg = f"{found}; its chromosomes are {', '.join(genome.chroms[:3])}, …"
        raise ValueError(msg)
    warnings.warn(f"{found}; they are left out.", UserWarning, stacklevel=4)
