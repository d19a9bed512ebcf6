"""Peaks of many samples, from whatever holds them, as flat columns."""

from __future__ import annotations

import itertools
from collections.abc import Mapping
from os import PathLike
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import pandas as pd
from anndata import AnnData

from scatacworks import _keys
from scatacworks._anndata import genome_of, require_assembly, require_no_mudata, slot_of
from scatacworks._columns import whole_numbers
from scatacworks._core.radix import order_by
from scatacworks._logging import logger
from scatacworks._regions import with_positions
from scatacworks._text import counted, listed, natural
from scatacworks.genome import aliases
from scatacworks.io import read_peaks
from scatacworks.io._peaks_read import files_of

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from scatacworks.genome import Genome

SUMMIT_COLUMNS = ("wavelet_summit", "summit")
SIGNAL_COLUMNS = ("signal", "score", "signal_value", "max")
SAMPLE_COLUMNS = ("sample", "group")


class PeakTable(NamedTuple):
    """Peaks as flat columns, in the order given. Positions are 0-based, intervals half-open."""

    chroms: np.ndarray  # names, in order
    samples: np.ndarray  # names, sorted
    chrom: np.ndarray  # int32 code
    start: np.ndarray  # int32
    end: np.ndarray  # int32
    summit: np.ndarray  # int32
    sample: np.ndarray  # uint16, or int32 for more than 65,536 samples
    signal: np.ndarray  # floating

    def by_chromosome(self) -> Iterator[np.ndarray]:
        """Rows of each chromosome, in the order given."""
        order = order_by(self.chrom)
        bounds = np.searchsorted(self.chrom[order], np.arange(len(self.chroms) + 1))
        for first, last in itertools.pairwise(bounds):
            yield order[first:last]

    def to_frame(self, **further: np.ndarray) -> pd.DataFrame:
        """As a DataFrame with categorical chromosome and sample; columns are not copied."""
        return pd.DataFrame(
            {
                "chrom": pd.Categorical.from_codes(self.chrom, pd.Index(self.chroms)),
                "start": self.start,
                "end": self.end,
                "summit": self.summit,
                "sample": pd.Categorical.from_codes(self.sample.astype(np.int32, copy=False), pd.Index(self.samples)),
                "signal": self.signal,
                **further,
            },
            copy=False,
        )


def collect_peaks(
    peaks: pd.DataFrame | Mapping[str, str | PathLike[str] | pd.DataFrame] | str | PathLike[str] | AnnData,
    genome: Genome | None,
    *,
    named: Sequence[str] = (),
) -> PeakTable:
    """Bring peaks from a DataFrame, a mapping of samples, files, or an AnnData into one checked table.

    Samples that are known by name are in the table even without a peak: keys of a mapping, files of a folder, groups
    that peaks were called for, and those of `named`. A DataFrame by itself names those of its rows: categories that a
    selection of rows left unused are no samples.
    """
    require_no_mudata(peaks)
    if isinstance(peaks, AnnData):
        require_assembly(genome_of(peaks), genome, "The peaks are")
        peaks = slot_of(peaks, _keys.PEAKS, "sca.tl.call_peaks(adata)")  # or a dict of samples, as below
        named = [*named, *_categories(peaks)]
    if isinstance(peaks, str | PathLike) and Path(peaks).expanduser().is_dir():
        peaks = files_of(peaks)  # of which only the columns in use are kept, file by file
    if isinstance(peaks, Mapping):
        named = [*named, *map(str, peaks)]
        peaks = _from_mapping(peaks)
    elif isinstance(peaks, str | PathLike):
        peaks = read_samples(peaks)
        named = [*named, *_categories(peaks)]
    if not isinstance(peaks, pd.DataFrame):
        msg = (
            f"Peaks are a {type(peaks).__name__}; expected a DataFrame, an AnnData, a file or folder of files, or a "
            "dict of samples with their tables or files, such as {'B': 'B.narrowPeak'}."
        )
        raise TypeError(msg)
    return _from_frame(peaks, genome, named)


def read_samples(path: str | PathLike[str]) -> pd.DataFrame:
    """Read a folder of peak files, one per sample, or one file, whose first line may name a column of samples."""
    table = read_peaks(path)
    if _first(table, SAMPLE_COLUMNS) is None:
        name = Path(path).name.split(".")[0]
        repeated = "name" in table and table["name"].ne(".").any() and table["name"].duplicated().any()
        if repeated:
            msg = (
                "All %s of %s are taken as one sample, %r, but its fourth column repeats %s. Where a column has the "
                "samples, say so in a first line, '#chrom start end sample' and so on, separated by tabs."
            )
            logger.warning(msg, counted(len(table), "peak"), path, name, listed(table["name"].unique()))
        table = table.assign(sample=name)
    return table


def _categories(peaks: Any) -> list[str]:
    """Groups that peaks were called for, or files that they are from, also those without any."""
    column = _first(peaks, SAMPLE_COLUMNS) if isinstance(peaks, pd.DataFrame) else None
    kept = column is not None and isinstance(peaks[column].dtype, pd.CategoricalDtype)
    return [str(name) for name in peaks[column].cat.categories] if kept else []


def _from_mapping(peaks: Mapping[str, str | Path | pd.DataFrame]) -> pd.DataFrame:
    """One frame with a sample column."""
    if not peaks:
        msg = "The mapping of peaks is empty; expected at least one sample."
        raise ValueError(msg)
    frames = []
    for name, given in peaks.items():
        frame = given if isinstance(given, pd.DataFrame) else _read(given)
        if len(frame) == 0:
            continue
        frame = _positioned(frame)
        wanted = ["chrom", "start", "end", _first(frame, SUMMIT_COLUMNS), _first(frame, SIGNAL_COLUMNS)]
        frames.append(frame[[column for column in wanted if column is not None]].assign(sample=str(name)))
    if not frames:
        msg = f"None of the {len(peaks)} samples has a peak; there is nothing to index."
        raise ValueError(msg)
    if len({tuple(sorted(frame.columns)) for frame in frames}) > 1:
        names = ", ".join(sorted(set.union(*(set(frame.columns) for frame in frames))))
        msg = f"The samples do not have the same columns ({names}); give summit and signal for all of them or for none."
        raise ValueError(msg)
    return pd.concat(frames, ignore_index=True)


def _positioned(frame: pd.DataFrame) -> pd.DataFrame:
    """Return a table under our names of its positions; as it is, uncopied, where it has them."""
    return frame if {"chrom", "start", "end"} <= set(frame) else with_positions(frame, "the table of peaks")


def _read(path: str | Path) -> pd.DataFrame:
    """Peaks of one file."""
    return read_peaks({"sample": path}).drop(columns="group")  # as one of several files it may be empty


def _first(frame: pd.DataFrame, names: Sequence[str]) -> str | None:
    """First of the names that is a column."""
    return next((name for name in names if name in frame.columns), None)


def _from_frame(frame: pd.DataFrame, genome: Genome | None, named: Sequence[str]) -> PeakTable:
    """Check and flatten a DataFrame of peaks."""
    sample = _first(frame, SAMPLE_COLUMNS)
    if sample is None:
        msg = f"The peaks lack the column(s) ['sample']; found {list(frame.columns)}."
        raise KeyError(msg)
    if len(frame) == 0:
        msg = "The peaks have no rows; there is nothing to index."
        raise ValueError(msg)
    frame = _positioned(frame)
    samples, sample_names = _codes(frame[sample], "sample")
    chrom, chroms = _chrom_codes(frame["chrom"], genome)
    start, end = _positions(frame["start"]), _positions(frame["end"])
    end = _ends(start, end)
    if genome is not None:
        _check_lengths(end, chrom, chroms, genome)
    empty = sorted(set(named) - set(sample_names))
    names = np.unique(np.concatenate([sample_names, np.asarray(empty, np.str_)])) if empty else sample_names
    if empty:
        logger.warning("Samples without a peak keep an empty row: %s.", listed(empty))
        samples = np.searchsorted(names, sample_names).astype(samples.dtype)[samples]
    kind = np.uint16 if len(names) <= 2**16 else np.int32
    return PeakTable(
        chroms, names, chrom, start, end, _summits(frame, start, end), samples.astype(kind), _signal(frame)
    )


def _codes(column: pd.Series, what: str) -> tuple[np.ndarray, np.ndarray]:
    """Codes into the sorted names that occur, and these names."""
    codes, names = pd.factorize(column)
    if (codes < 0).any():
        msg = f"Row {int(np.flatnonzero(codes < 0)[0])} of the peaks has no {what}."
        raise ValueError(msg)
    names = np.asarray(pd.Index(names).astype(str), dtype=object)
    unique, place = np.unique(names.astype(str), return_inverse=True)
    return place.astype(np.int32)[codes], unique


def _chrom_codes(column: pd.Series, genome: Genome | None) -> tuple[np.ndarray, np.ndarray]:
    """Chromosome codes in genome order, or in natural order of the names without a genome."""
    codes, names = _codes(column, "chrom")
    if genome is None:
        known = set(names)
        both = [(other, name) for name in names for other in aliases(name) if other != name and other in known]
        if both:
            way, other = both[0]
            msg = f"Chromosomes are spelled in two ways ({way} and {other}); spell them alike or give genome=."
            raise ValueError(msg)
        order = sorted(range(len(names)), key=lambda at: natural(names[at]))
        return np.argsort(order).astype(np.int32)[codes], names[order]
    known = genome.resolve(names)
    if (known < 0).any():
        unknown = ", ".join(names[known < 0][:5])
        msg = f"The genome {genome.name!r} has no chromosome {unknown}; drop these peaks or give another genome."
        raise ValueError(msg)
    order, place = np.unique(known, return_inverse=True)
    return place.astype(np.int32)[codes], np.asarray(genome.chroms)[order]


def _positions(column: pd.Series) -> np.ndarray:
    """A column of positions as int32."""
    return column.to_numpy() if column.dtype == np.int32 else whole_numbers(column, "The peaks").astype(np.int32)


def _ends(start: np.ndarray, end: np.ndarray) -> np.ndarray:
    """Return the ends, where a peak without width has one base; refuse negative positions and ends before starts."""
    wrong = np.flatnonzero((start < 0) | (end < start))
    if len(wrong):
        row = int(wrong[0])
        msg = f"Row {row} of the peaks is the interval {start[row]}-{end[row]}; expected 0 <= start <= end."
        raise ValueError(msg)
    flat = start == end
    if flat.any():
        logger.warning("%d of %d peaks have zero width; each is taken as one base.", int(flat.sum()), len(start))
        end = np.where(flat, end + 1, end)
    return end


def _check_lengths(end: np.ndarray, chrom: np.ndarray, chroms: np.ndarray, genome: Genome) -> None:
    """Refuse peaks beyond the end of their chromosome: most likely another genome."""
    lengths = genome.lengths[genome.resolve(chroms)]
    beyond = np.flatnonzero(end > lengths[chrom])
    if len(beyond):
        row = int(beyond[0])
        where = f"Row {row} of the peaks ends at {chroms[chrom[row]]}:{end[row]}"
        msg = f"{where}, beyond that chromosome of {genome.name!r}; are the peaks of another genome?"
        raise ValueError(msg)


def _summits(frame: pd.DataFrame, start: np.ndarray, end: np.ndarray) -> np.ndarray:
    """The summit column, or the centres of the peaks."""
    column = _first(frame, SUMMIT_COLUMNS)
    if column is None:
        logger.warning("The peaks have no summit column; their centres are used.")
        return start + (end - start) // 2
    values = frame[column].to_numpy()
    absent = ~np.isfinite(values) if values.dtype.kind == "f" else np.zeros(len(values), bool)
    absent |= values < 0
    if absent.any():
        logger.warning("%d of %d peaks have no summit; their centres are used.", int(absent.sum()), len(values))
        values = np.where(absent, start + (end - start) // 2, values)
    summit = _positions(pd.Series(values, name=column))
    outside = int(((summit < start) | (summit > end)).sum())
    if outside:
        msg = (
            "%d of %d peaks have their summit (column %r) outside of them; expected its position on the chromosome, "
            "not its distance from the start."
        )
        logger.warning(msg, outside, len(summit), column)
    return summit


def _signal(frame: pd.DataFrame) -> np.ndarray:
    """The signal column as floats, or ones."""
    column = _first(frame, SIGNAL_COLUMNS)
    if column is None:
        logger.warning("The peaks have no signal or score column; every peak counts as 1.")
        return np.ones(len(frame), np.float32)
    values = frame[column].to_numpy()
    if values.dtype.kind not in "iuf":
        msg = f"Column {column!r} of the peaks is {values.dtype}; expected numbers."
        raise TypeError(msg)
    values = values if values.dtype.kind == "f" else values.astype(np.float64)
    wrong = np.flatnonzero(~(values >= 0) | np.isinf(values))
    if len(wrong):
        msg = f"Row {int(wrong[0])} of the peaks has the signal {values[wrong[0]]}; expected a number of 0 or more."
        raise ValueError(msg)
    return values
