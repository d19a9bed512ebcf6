"""Read peaks from BED, narrowPeak and broadPeak files."""

from __future__ import annotations

import warnings
from collections.abc import Mapping
from csv import QUOTE_MINIMAL, QUOTE_NONE
from io import StringIO
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import numpy as np
import pandas as pd

from scatacworks._arguments import one_of
from scatacworks._columns import intervals
from scatacworks._files import is_peak_file, kind_of, open_text, require_file, visible
from scatacworks._text import listed
from scatacworks.genome import Genome

if TYPE_CHECKING:
    from collections.abc import Sequence
    from os import PathLike

Format = Literal["bed", "narrowPeak", "broadPeak"]
_BED = ["chrom", "start", "end", "name", "score", "strand"]
_USUAL = (*_BED, "signal", "sample", "group")  # not guessed: names may be numbers
_UCSC = {"chromStart": "start", "chromEnd": "end"}
_PEAK = [*_BED, "signal", "p_value", "q_value"]
SKIPPED = ("#", "track", "browser")


def read_peaks(
    path: str | PathLike[str] | Mapping[str, str | PathLike[str]],
    *,
    genome: str | Genome | None = None,
    format: Format | None = None,
) -> pd.DataFrame:
    """Read peaks or other regions from BED, narrowPeak or broadPeak files, plain or gzipped.

    Parameters
    ----------
    path
        A file; a folder of such files, one per group; or a dict group -> file. Groups of a folder are named by the
        files.
    genome
        The :class:`~scatacworks.Genome` or its name. Then chromosomes get its spelling, regions on chromosomes it
        lacks are left out with a warning, and the table is sorted in its order.
    format
        By default from the suffix, else from the number of columns: ten are narrowPeak, anything else BED.

    A first line `#chrom start end …` (the `#` may be missing; also `chromStart`, `chromEnd`) names the columns of a BED
    file that has others than the usual ones: `sample` or `group`, or those of
    :func:`~scatacworks.io.write_peaks` for differential regions. Without it they are `chrom`, `start`, `end`, `name`,
    `score` and `strand`.

    Returns
    -------
    One row per region: `chrom` (str), `start`, `end` (int64, 0-based, half-open); `name`, `score` and `strand` where
    the file has them; `signal` of narrowPeak and broadPeak; `summit` (int64, position on the chromosome; the middle if
    the file says -1) of narrowPeak, `p_value` and `q_value` (float64, probabilities) where it has them; the columns
    that a first line names, as numbers, bool or text (empty for a full stop); `group` (categorical, first column) where
    there are several files.

    Raises
    ------
    FileNotFoundError
        If there is no such file.
    ValueError
        If a line is no region, with its number; a first line names fewer or more columns than there are; one of several
        files has several groups or samples of its own; or, with a genome, a region ends beyond its chromosome.

    Examples
    --------
    >>> from importlib import resources
    >>> import scatacworks as sca
    >>> windows = sca.io.read_peaks(resources.files("scatacworks") / "_data/pbmc_windows/windows.bed")
    >>> windows.head(2)
      chrom      start        end
    0  chr1  157542191  157562771
    1  chr1  157809807  157830693
    """
    files = files_of(path)
    several = isinstance(path, Mapping) or Path(path).expanduser().is_dir()
    tables = [_read(_checked(file, may_be_empty=several), format) for file in files.values()]
    if several:
        tables = [_of_one_group(part, file) for part, file in zip(tables, files.values(), strict=True)]
        table = pd.concat(tables, ignore_index=True)
        codes = np.repeat(np.arange(len(files)), [len(part) for part in tables])
        table.insert(0, "group", pd.Categorical.from_codes(codes, categories=list(files)))
    else:
        table = tables[0]
    return table if genome is None else on_genome(table, Genome(genome), path)


def _of_one_group(table: pd.DataFrame, path: Path) -> pd.DataFrame:
    """Leave out the file's own column of groups, which must not tell more than its name."""
    own = [name for name in ("group", "sample") if name in table]
    for name in own:
        found = table[name].unique()
        if len(found) > 1:
            some = listed(map(repr, found))
            msg = f"{path} has regions of several {name}s ({some}), but is given as one of them; read it by itself."
            raise ValueError(msg)
    return table.drop(columns=own)


def files_of(path: str | PathLike[str] | Mapping[str, str | PathLike[str]]) -> dict[str, Path]:
    """Return the files of peaks by the names of their groups: of a mapping, a folder, or the one file."""
    if isinstance(path, Mapping):
        return {str(group): Path(file).expanduser() for group, file in path.items()}
    path = Path(path).expanduser()
    if not path.is_dir():
        return {path.name: path}
    files = {_stem(file): file for file in visible(path) if is_peak_file(file)}
    if not files:
        msg = f"There is no file of peaks (.bed, .narrowPeak, .broadPeak, also .gz) in the folder {path}."
        raise FileNotFoundError(msg)
    return files


def _checked(path: Path, *, may_be_empty: bool) -> Path:
    """Check that a file is there; one of several groups may have no peaks."""
    return path if may_be_empty and path.is_file() else require_file(path, "file of peaks")


def _stem(path: Path) -> str:
    return path.name[: path.name.lower().index(kind_of(path))]


def _read(path: Path, format: str | None) -> pd.DataFrame:
    header, lines = _data_lines(path)
    width = len(lines[0][1].split("\t")) if lines else 3
    by_suffix = {".narrowpeak": "narrowPeak", ".broadpeak": "broadPeak"}.get(kind_of(path))
    format = format or by_suffix or ("narrowPeak" if width == 10 else "bed")
    known = {"bed": _BED, "narrowPeak": [*_PEAK, "summit"], "broadPeak": _PEAK}
    names = known[one_of(format, "format", known)]
    if format == "bed" and header is not None:
        names = _named_columns(path, header, lines)
    table = _text_of(path, lines, names, needed=3 if format == "bed" else len(names))
    return _typed(table, lines, path, is_bed=format == "bed")


def read_bed(path: str | PathLike[str], names: Sequence[str]) -> pd.DataFrame:
    """Return `chrom`, `start`, `end` of a BED file and the columns behind them, as text, as far as there are any.

    They are called `names`, whatever a first line calls them.
    """
    path = require_file(path, "BED file")
    lines = _data_lines(path)[1]
    positions = lines[0][1].split("\t")[1:3] if lines else []
    if len(positions) == 2 and not any(character.isdigit() for text in positions for character in text):
        lines = lines[1:]  # it names columns, in whatever way
    table = _text_of(path, lines, [*_BED[:3], *names], needed=3)
    if len(table) and table["chrom"].iloc[0] != table["chrom"].iloc[0].strip():
        table["chrom"] = table["chrom"].str.strip()  # blanks beside tabs, as LDetect's blocks have them
    return _positioned(table, lines, path)


def _text_of(path: Path, lines: list[tuple[int, str]], names: list[str], *, needed: int) -> pd.DataFrame:
    """Return the first columns, at least `needed` of them, as text; start and end as numbers where all are plain."""
    width = len(lines[0][1].split("\t")) if lines else 3
    columns = names[: max(needed, min(width, len(names)))]
    short = next((line for line in lines if line[1].count("\t") + 1 < len(columns)), None)
    if short is not None:
        _fail(path, short, f"at least {needed} columns separated by tabs, as many as in the lines above")
    table = pd.DataFrame(columns=columns, dtype=str)
    if lines:
        text = "\n".join(line for _, line in lines)
        try:
            table = _parsed(text, columns, {"start": np.int64, "end": np.int64})
        except (ValueError, OverflowError):  # a line is to be named, or writes its numbers in another way
            table = _parsed(text, columns, {})
    return table


def _parsed(text: str, columns: list[str], types: dict[str, type]) -> pd.DataFrame:
    """Return the first columns, of the given types or as they are written."""
    types = {name: types.get(name, str) for name in columns}
    quoting = QUOTE_MINIMAL if text.startswith('"') else QUOTE_NONE  # all text, as R writes it, or signs in names
    how = {"header": None, "usecols": range(len(columns)), "na_filter": False, "quoting": quoting}
    return pd.read_csv(StringIO(text), sep="\t", names=columns, dtype=types, **how)


def _named_columns(path: Path, header: tuple[int, str], lines: list[tuple[int, str]]) -> list[str]:
    """Return the columns that a first line names, which must be as many as there are, each once."""
    names = _names_in(header[1])
    width = len(lines[0][1].split("\t")) if lines else len(names)
    if len(names) != width or len(set(names)) < len(names):
        _fail(path, header, f"the names of {width} columns, each once, as the lines below have")
    return names


def _names_in(line: str) -> list[str] | None:
    """Return the columns that a line names, or `None` where it is none that does."""
    text = line.replace('"', "").lstrip("#").strip()
    names = [_UCSC.get(name, name) for name in (text.split("\t") if "\t" in text else text.split())]
    return names if names[:3] == _BED[:3] else None


def _data_lines(path: Path) -> tuple[tuple[int, str] | None, list[tuple[int, str]]]:
    """Return the line that names columns, if there is one, and those that hold regions: number and text of each."""
    if path.stat().st_size == 0:  # a group without peaks
        return None, []
    with open_text(path, "BED, narrowPeak or broadPeak file") as handle:
        header, lines = None, []
        for number, line in enumerate(handle, 1):
            if not lines and header is None and _names_in(line):
                header = number, line.rstrip("\r\n")
            elif line.strip() and not line.startswith(SKIPPED):
                lines.append((number, line.rstrip("\r\n")))
        return header, lines


def _positioned(table: pd.DataFrame, lines: list[tuple[int, str]], path: Path) -> pd.DataFrame:
    """Return the table with start and end as int64, checked."""
    start, end = intervals(table, path, lambda row: f"line {lines[row][0]}")
    return table.assign(start=start, end=end)


def _typed(table: pd.DataFrame, lines: list[tuple[int, str]], path: Path, *, is_bed: bool) -> pd.DataFrame:
    table = _positioned(table, lines, path)
    for name in ("score", "signal"):
        if name in table:
            table[name] = pd.to_numeric(table[name], errors="coerce")
    if is_bed:
        return table.assign(**{name: _converted(table[name]) for name in table.columns if name not in _USUAL})
    if "summit" in table:
        offset = pd.to_numeric(table["summit"], errors="coerce").fillna(-1).astype(np.int64)
        outside = (offset < 0) | (offset >= table["end"] - table["start"])
        middle = (table["end"] - table["start"]) // 2
        table["summit"] = table["start"] + offset.mask(outside, middle)
    for name in ("p_value", "q_value"):
        minus_log10 = pd.to_numeric(table.pop(name), errors="coerce")
        if (minus_log10 >= 0).any():  # -1 is not computed
            table[name] = 10.0 ** -minus_log10.where(minus_log10 >= 0)
    return table


def _converted(column: pd.Series) -> pd.Series:
    """Return a column that a first line named as numbers or bool where all of it is such."""
    missing = column.isin(["", "."])
    if missing.all():
        return column.mask(missing, "")
    numbers = pd.to_numeric(column.mask(missing), errors="coerce")
    if (numbers.notna() | missing | column.str.lower().isin(["nan", "na"])).all():
        # pandas rounds the last digit of a float its own way
        whole = pd.api.types.is_integer_dtype(numbers)
        return numbers if whole else column.where(numbers.notna(), "nan").astype(float)
    return column == "True" if column.isin(["True", "False"]).all() else column.mask(missing, "")


def _fail(path: Path, line: tuple[int, str], expected: str) -> None:
    msg = f"{path}, line {line[0]}: expected {expected}, found {line[1][:80]!r}."
    raise ValueError(msg)


def on_genome(table: pd.DataFrame, genome: Genome, path: object) -> pd.DataFrame:
    """Return the regions on the genome's chromosomes, under its spelling and in its order."""
    codes = genome.resolve(table["chrom"])
    kept = codes >= 0
    lost = listed(table["chrom"][~kept].unique())
    if len(table) and not kept.any():
        has = f"it has {lost}, the genome {listed(genome.chroms)}"
        msg = f"No region of {path} is on a chromosome of {genome.name!r}; {has}."
        raise ValueError(msg)
    if not kept.all():
        msg = f"{path}: {(~kept).sum():,} regions on chromosomes that {genome.name!r} lacks are left out ({lost})."
        warnings.warn(msg, stacklevel=3)
    table, codes = table[kept], codes[kept]
    beyond = table["end"].to_numpy() > genome.lengths[codes]
    if beyond.any():
        row = table.iloc[int(np.argmax(beyond))]
        where = f"{row['chrom']}:{row['start']}-{row['end']}"
        msg = f"{path}: {where} ends beyond its chromosome in {genome.name!r}; is it of another assembly?"
        raise ValueError(msg)
    table = table.assign(chrom=np.asarray(genome.chroms, dtype=object)[codes])
    order = np.lexsort((table["end"], table["start"], codes))
    return table.iloc[order].reset_index(drop=True)
