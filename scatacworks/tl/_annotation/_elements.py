"""Elements (an index's, or any regions) and tables of intervals as arrays on common chromosome codes."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import numpy as np
import pandas as pd

from scatacworks._columns import intervals
from scatacworks._logging import logger
from scatacworks._regions import with_positions
from scatacworks._text import listed
from scatacworks.genome import Genome, named_chromosomes
from scatacworks.io._peaks_read import read_bed as bed_columns

if TYPE_CHECKING:
    import os
    from collections.abc import Iterable

    from anndata import AnnData


Intervals = tuple[np.ndarray, np.ndarray, np.ndarray]


class Elements(NamedTuple):
    """Regions on chromosome codes; `summit` is the one base that stands for the region."""

    chroms: Genome
    chrom: np.ndarray
    start: np.ndarray
    end: np.ndarray
    summit: np.ndarray

    @property
    def intervals(self) -> Intervals:
        """Chromosome, start, end."""
        return self.chrom, self.start, self.end

    def counted(self, at: str) -> Intervals:
        """What decides whether an element lies in a landscape: the base of its `"summit"`, or any `"overlap"`."""
        return (self.chrom, self.summit, self.summit + 1) if at == "summit" else self.intervals


def elements_of(table: pd.DataFrame, *, genome: Genome | str | None = None, what: str = ".var") -> Elements:
    """Return the regions of a table with `chrom`, `start`, `end` and, where known, `summit`.

    Raises
    ------
    KeyError
        If one of the columns is missing.
    ValueError
        If the table is empty, a row is no region, or none of its chromosomes is in the genome.
    """
    table = _with_intervals(table, what)
    if len(table) == 0:
        msg = f"{what} has no rows; expected regions with chrom, start and end."
        raise ValueError(msg)
    names = table["chrom"].astype("category").cat.categories
    chroms = named_chromosomes(names, what) if genome is None else Genome(genome)
    codes = chroms.resolve(table["chrom"])
    if (codes < 0).all():
        msg = f"No chromosome of {what} ({listed(names)}) is in {chroms!r}."
        raise ValueError(msg)
    start, end = table["start"].to_numpy(), table["end"].to_numpy()
    summit = (start + end) // 2
    if "summit" in table:
        given = pd.to_numeric(table["summit"], errors="coerce").to_numpy(np.float64, na_value=np.nan)
        summit = np.where(np.isnan(given), summit, given).astype(np.int64)
    return Elements(chroms, codes, start, end, np.clip(summit, start, np.maximum(end - 1, start)))


def _with_intervals(table: pd.DataFrame, what: str) -> pd.DataFrame:
    """Return a table under our names of its positions, with start and end as int64, and a region in every row."""
    table = with_positions(table, what)
    start, end = intervals(table, what)
    return table.assign(start=start, end=end)


def labels_of(index: AnnData, component_key: str) -> tuple[np.ndarray, np.ndarray]:
    """Return the component of every element as int32 code (-1 where unlabelled) and the components' names.

    Raises
    ------
    KeyError
        If the column is missing.
    ValueError
        If no element has a label.
    """
    if component_key not in index.var:
        msg = (
            f"No labels in .var[{component_key!r}]; it has {list(index.var.columns)}. Run sca.tl.vocabulary(index), or "
            "name another column by component_key."
        )
        raise KeyError(msg)
    labels = index.var[component_key]
    if not isinstance(labels.dtype, pd.CategoricalDtype):
        labels = labels.astype("category")
    labels = labels.cat.remove_unused_categories()
    codes = labels.cat.codes.to_numpy(np.int32)
    if (codes < 0).all():
        msg = f".var[{component_key!r}] is empty for all {len(codes)} elements; nothing to test."
        raise ValueError(msg)
    return codes, labels.cat.categories.astype(str).to_numpy(dtype=object)


def on_chromosomes(table: pd.DataFrame, chroms: Genome, *, what: str) -> tuple[pd.DataFrame, np.ndarray]:
    """Return the rows of a table on known chromosomes with their codes; the others are counted in the log.

    Raises
    ------
    ValueError
        If no row is left.
    """
    codes = chroms.resolve(table["chrom"])
    known = codes >= 0
    if not known.any():
        found = f"({listed(table['chrom'].unique())} against {listed(chroms.chroms)})"
        msg = f"{what} and the regions have no chromosome in common {found}."
        raise ValueError(msg)
    if not known.all():
        logger.info("%d of %d rows of %s lie on chromosomes without regions.", (~known).sum(), len(known), what)
    return table[known].reset_index(drop=True), codes[known]


def read_bed(source: str | os.PathLike[str] | pd.DataFrame, *, names: Iterable[str] = ("name",)) -> pd.DataFrame:
    """Return a BED file, plain or gzipped, or a table as `chrom`, `start`, `end` and further columns by `names`."""
    if isinstance(source, pd.DataFrame):
        return _with_intervals(source, "the table of regions")
    return bed_columns(source, list(names))
