"""Regions in any of the forms users have them."""

from __future__ import annotations

import hashlib
import os
import re
import warnings
from collections.abc import Iterable, Mapping
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from scatacworks._arguments import whole
from scatacworks._columns import whole_numbers
from scatacworks._core.intervals import merge
from scatacworks._files import is_peak_file
from scatacworks.genome import REGION
from scatacworks.io import read_peaks

if TYPE_CHECKING:
    from scatacworks.genome import Genome, Region

_FLANK, _LEAST_FLANK = 0.25, 2_000  # of a gene's length and in bp, to either side
_NAME = re.compile(r"^(?P<chrom>\S*[^\s:_-])[:_-](?P<start>[\d,]+)[-_](?P<end>[\d,]+)$")  # chr1:1-2, of Signac chr1-1-2
_SPELLINGS = {
    "chrom": ("chrom", "chr", "chromosome", "seqnames"),
    "start": ("start", "chromstart"),
    "end": ("end", "chromend", "stop"),
}


def flanked(genome: Genome, region: str | tuple[str, int, int], flank: int | None = None) -> Region:
    """Return a region with a flank in bp to either side, cut at the chromosome's ends.

    By default a gene has a quarter of its length, at least 2 kb, so that its promoter is in it; any other region none.
    """
    found = genome.region(region)
    size = genome.length(found.chrom)
    if flank is None:
        is_gene = isinstance(region, str) and not REGION.match(region.strip()) and found.end - found.start < size
        flank = max(_LEAST_FLANK, int(_FLANK * (found.end - found.start))) if is_gene else 0
    flank = whole(flank, "flank", least=0)
    return genome.region((found.chrom, max(0, found.start - flank), min(size, found.end + flank)))


def as_regions(
    regions: Any,
    genome: Genome,
    *,
    uns: Mapping[str, Any] | None = None,
    gene_flanks: bool = False,
    stacklevel: int = 3,
) -> pd.DataFrame:
    """Return regions as a table, in the order given, checked against a genome.

    Parameters
    ----------
    regions
        A table with `chrom`, `start` and `end`, also under the names of other packages (`chr`, `Chromosome`,
        `seqnames`, `chromStart`, `chromEnd`, `stop`; case does not matter), or whose index names them
        (`"chr1:100-200"`, `"chr1-100-200"`, `"chr1_100_200"`); an AnnData with such a `.var`; a key of `.uns` that
        holds such a table (`"peaks"`); the path of a BED, narrowPeak or broadPeak file; a region (`"chr1:100-200"`,
        `"chr1"`, `("chr1", 100, 200)`) or gene; or a list of these.
    genome
        The genome that the regions must lie in, with the genes.
    uns
        Where keys are looked up.
    gene_flanks
        Give genes their flanks (:func:`flanked`).
    stacklevel
        Where warnings point to.

    Returns
    -------
    `chrom` (the genome's spelling), `start`, `end` (int64, 0-based, half-open) and `code` (int32), other columns of a
    table kept, named `chrom:start-end`; exact repeats are left out.

    Raises
    ------
    FileNotFoundError
        If there is no such file.
    KeyError
        If a table lacks a column.
    TypeError
        If it is none of these forms.
    ValueError
        If a region is empty, reaches over the end of its chromosome or begins or ends within a base, if positions
        count from one, none lies in the genome, or there is no such gene.

    Warns
    -----
    UserWarning
        If some of a table or file lie on chromosomes that the genome lacks; they are left out.
    """
    table = with_positions(_as_table(regions, genome, uns, gene_flanks=gene_flanks), "regions")
    codes = genome.resolve(table["chrom"])
    known = codes >= 0
    if not known.all():
        _report_unknown(table, known, genome, stacklevel + 1)
        table, codes = table[known], codes[known]
    start, end = (whole_numbers(table[name], "regions") for name in ("start", "end"))
    wrong = (start < 0) | (end <= start) | (end > genome.lengths[codes])
    if wrong.any():
        first = table.iloc[int(np.argmax(wrong))]
        msg = (
            f"{int(wrong.sum()):,} of {len(table):,} regions are empty or reach over the end of their chromosome in "
            f"{genome.name}, the first: {first['chrom']}:{first['start']}-{first['end']}. Of another assembly?"
        )
        raise ValueError(msg)
    chroms = np.asarray(genome.chroms, dtype=object)[codes]
    names = pd.Index([f"{c}:{s}-{e}" for c, s, e in zip(chroms, start.tolist(), end.tolist(), strict=True)])
    table = table.assign(chrom=chroms, start=start, end=end, code=codes).set_axis(names, axis=0)
    return table[~names.duplicated()]


def as_spans(regions: Any, genome: Genome, *, uns: Mapping[str, Any] | None = None) -> dict[int, np.ndarray]:
    """Return sorted, disjoint intervals (n, 2) by chromosome code, of regions in any form of :func:`as_regions`.

    A gene has its flanks with it.

    Raises
    ------
    ValueError
        If there is no region.
    """
    table = as_regions(regions, genome, uns=uns, gene_flanks=True, stacklevel=4)
    if table.empty:
        msg = "regions is empty; give at least one region, or None for the whole genome."
        raise ValueError(msg)
    return disjoint(table)


def disjoint(table: pd.DataFrame) -> dict[int, np.ndarray]:
    """Return the regions of `as_regions` as sorted, disjoint intervals (n, 2) by chromosome code."""
    codes, start, end = merge(*(table[name].to_numpy() for name in ("code", "start", "end")))
    found, first = np.unique(codes, return_index=True)
    return dict(zip(found.tolist(), np.split(np.column_stack([start, end]), first[1:]), strict=True))


def nuclear_spans(genome: Genome) -> dict[int, np.ndarray]:
    """Return the genome but mitochondria and plastids: by code, each nuclear chromosome as one interval."""
    return {code: np.array([[0, int(genome.lengths[code])]]) for code in np.flatnonzero(genome.nuclear).tolist()}


def spans_frame(spans: Mapping[int, np.ndarray], genome: Genome) -> pd.DataFrame:
    """Return intervals by chromosome code as a table with the columns `chrom`, `start`, `end`."""
    chrom = np.repeat(np.array(genome.chroms, dtype=object)[list(spans)], [len(rows) for rows in spans.values()])
    start, end = np.concatenate(list(spans.values())).T
    return pd.DataFrame({"chrom": chrom, "start": start, "end": end})


def regions_digest(spans: Mapping[int, np.ndarray]) -> str:
    """Return a short digest of intervals by chromosome code."""
    content = hashlib.sha256()
    for code, intervals in sorted(spans.items()):
        content.update(np.array([code], np.int64).tobytes() + np.ascontiguousarray(intervals, np.int64).tobytes())
    return content.hexdigest()[:16]


def with_positions(table: pd.DataFrame, what: str) -> pd.DataFrame:
    """Return a table with `chrom`, `start` and `end`, whatever they are called, or from names `chrom:start-end`.

    Raises
    ------
    KeyError
        If it has neither; `what` names the table.
    TypeError
        If it is no table.
    ValueError
        If it has a `width` that says that positions count from one.
    """
    if not hasattr(table, "columns"):
        msg = f"{what} is a {type(table).__name__}; expected a DataFrame with chrom, start and end."
        raise TypeError(msg)
    lower = {str(name).lower(): name for name in reversed(table.columns)} | {name: name for name in table.columns}
    columns = {wanted: next((lower[a] for a in names if a in lower), None) for wanted, names in _SPELLINGS.items()}
    missing = [name for name, column in columns.items() if column is None]
    if not missing:
        if "width" in lower:
            _refuse_one_based(table[columns["start"]], table[columns["end"]], table[lower["width"]], what)
        return table.rename(columns={column: name for name, column in columns.items()})
    named = table.index.to_series().astype(str).str.extract(_NAME)
    if len(table) == 0 or named.isna().to_numpy().any():
        msg = (
            f"{what} lacks the column(s) {', '.join(missing)}, and its names are not chrom:start-end; it has "
            f"{list(table.columns)}."
        )
        raise KeyError(msg)
    numbers = {name: named[name].str.replace(",", "").to_numpy(np.int64) for name in ("start", "end")}
    return table.assign(chrom=named["chrom"].to_numpy(), **numbers)


def _refuse_one_based(start: pd.Series, end: pd.Series, width: pd.Series, what: str) -> None:
    """Refuse positions that count from one, as the widths in a table of R's GRanges say."""
    start, end, width = (pd.to_numeric(column, errors="coerce") for column in (start, end, width))
    if len(start) and (end - start + 1 == width).all():
        msg = (
            f"{what} counts positions from one, as R's GRanges does: width is end - start + 1. Positions are 0-based "
            f"here; give start - 1, as by .assign({start.name}=lambda table: table[{start.name!r}] - 1)."
        )
        raise ValueError(msg)


def _as_table(regions: Any, genome: Genome, uns: Mapping[str, Any] | None, *, gene_flanks: bool) -> pd.DataFrame:
    if isinstance(regions, pd.DataFrame):
        return regions
    if hasattr(regions, "var_names"):
        return regions.var
    if isinstance(regions, str) and uns is not None and isinstance(uns.get(regions), pd.DataFrame):
        return uns[regions]
    if isinstance(regions, os.PathLike) or (isinstance(regions, str) and _names_a_file(regions)):
        return read_peaks(regions)[["chrom", "start", "end"]]
    if not isinstance(regions, Iterable) or isinstance(regions, Mapping):
        msg = f"regions is {regions!r}; expected a region, gene, BED file or table with chrom, start, end, or a list."
        raise TypeError(msg)
    place = partial(flanked, genome) if gene_flanks else genome.region
    try:
        found = [place(region) for region in one_or_more(regions, genome)]
    except ValueError as error:
        if isinstance(regions, str) and ":" not in regions:
            msg = f"{error} Nor is there such a file{'' if uns is None else ', or such a table in .uns'}."
            raise ValueError(msg) from None
        raise
    return pd.DataFrame(found, columns=["chrom", "start", "end"])


def one_or_more(regions: Any, genome: Genome) -> Iterable[Any]:
    """Return what to iterate over: a list of the one region that is given by itself, or the regions."""
    is_triple = isinstance(regions, tuple) and len(regions) == 3 and isinstance(regions[0], str)
    if isinstance(regions, str) or (is_triple and all(_is_position(part, genome) for part in regions[1:])):
        return [regions]
    return regions if isinstance(regions, Iterable) else [regions]  # which says that it is no region


def _is_position(part: Any, genome: Genome) -> bool:
    """Tell a position, also in text, from the name of a region; "2" is a chromosome, as far as there is one."""
    return not isinstance(part, str) or (part.replace(",", "").isdigit() and genome.resolve([part])[0] < 0)


def _names_a_file(text: str) -> bool:
    return is_peak_file(text) or Path(text).name != text or Path(text).is_file()


def _report_unknown(table: pd.DataFrame, known: np.ndarray, genome: Genome, stacklevel: int) -> None:
    names = ", ".join(map(str, table["chrom"][~known].unique()[:3]))
    found = f"{int((~known).sum()):,} of {len(table):,} regions lie on chromosomes that {genome.name} lacks ({names})"
    if not known.any():
        msg = f"{found}; its chromosomes are {', '.join(genome.chroms[:3])}, …"
        raise ValueError(msg)
    warnings.warn(f"{found}; they are left out.", UserWarning, stacklevel=stacklevel)
