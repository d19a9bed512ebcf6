"""Write peaks as BED or narrowPeak files."""

from __future__ import annotations

import io
from csv import QUOTE_NONE, Error
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import pandas as pd

from scatacworks import _keys
from scatacworks._anndata import atac, peaks_of
from scatacworks._arguments import one_of
from scatacworks._columns import intervals, whole_numbers
from scatacworks._core import bgzf
from scatacworks._files import atomic_path, kind_of
from scatacworks._groups import chosen_groups, group_names, named
from scatacworks._palette import GAIN, GREY, LOSS, rgb
from scatacworks._regions import with_positions
from scatacworks.io._names import file_stems

if TYPE_CHECKING:
    from collections.abc import Sequence
    from os import PathLike

    from anndata import AnnData
    from mudata import MuData

Format = Literal["bed", "narrowPeak"]
_WHAT = "The table of peaks"
_MISSING = "."  # as in the columns of BED
_OWN_HEIGHTS = ("max", "top_z", "z")  # of peaks and of tests, the first that there is
_SUFFIX = {"bed": ".bed", "narrowPeak": ".narrowPeak"}
_NOT_WRITTEN = (".broadpeak", ".bigbed", ".bb", ".tsv", ".txt", ".csv")  # names of files, and not of a folder


def write_peaks(
    data: AnnData | MuData | pd.DataFrame,
    path: str | PathLike[str],
    *,
    key: str = _keys.PEAKS,
    groups: Sequence[str] | None = None,
    format: Format | None = None,
    compress: bool | None = None,
    mod: str = "atac",
) -> dict[str, Path]:
    r"""Write peaks, or differential regions, to BED or narrowPeak files.

    The score column is the peak's maximum relative to the 99th percentile of all written maxima, times 1000, at most
    1000. narrowPeak's signal is the maximum, its p and q values are -1 (not computed), its last column the summit's
    distance from the start. Lines are in the order of the table; several groups in one file are sorted by position, as
    `tabix` wants it. Files appear whole or not at all.

    A table with the column `p_value` or `q_value`, as :func:`~scatacworks.tl.differential_regions` makes it, is a table
    of tests. Its BED file has twelve columns, with the colour of gain or loss where there is a `direction`, grey where
    that is not `significant`, and behind them all other columns of the table (BED12+), their names in a first line
    `#chrom start end …`. Genome browsers and tabix pass over that line, and :func:`~scatacworks.io.read_peaks` reads
    it: nothing is lost. Its narrowPeak file has -log10 of `p_value` and `q_value` where the format has them. Without
    `max`, `|top_z|` (or `|z|`) stands for the height.

    Peaks that :func:`~scatacworks.io.read_peaks` read keep their `signal` and `score`.

    Parameters
    ----------
    data
        Annotated data after :func:`~scatacworks.tl.call_peaks`, or a table with the columns `chrom`, `start`, `end`
        (0-based, half-open; names of other packages, such as `Chromosome`, are understood, and so is an index of
        `chrom:start-end`) and, where there are any, `group`, `name`, `summit`, `max`, those of tests, and `signal` and
        `score`.
    path
        A file, to hold the peaks of all groups; or a folder, which then gets one file per group.
    key
        Slot of `.uns` with the peaks.
    groups
        Groups to write; all by default.
    format
        `"bed"` (six columns; of tests twelve and more) or `"narrowPeak"` (ten columns). By default that of the file's
        suffix; narrowPeak for a folder.
    compress
        Compress by blocks (bgzip), as `tabix` wants it. By default where the file ends in `.gz` or `.bgz`.
    mod
        Modality to use where `data` is a MuData.

    Returns
    -------
    Group -> file written.

    Raises
    ------
    KeyError
        If there are no peaks or no such group, or the table lacks a column.
    ValueError
        If the format is unknown, or a peak has no chromosome, start, end or (where others have one) group, or is
        no region.

    Examples
    --------
    >>> import pandas as pd, scatacworks as sca
    >>> peaks = pd.DataFrame({"chrom": ["chr1"], "start": [100], "end": [300], "summit": [180], "max": [7.5]})
    >>> from tempfile import mkdtemp
    >>> files = sca.io.write_peaks(peaks, mkdtemp() + "/peaks.narrowPeak")
    >>> files["peaks"].read_text()
    'chr1\t100\t300\tpeak_1\t1000\t.\t7.5\t-1\t-1\t80\n'
    """
    table = checked(_table_of(data, key, mod))
    names = _groups_of(table, groups)
    path = Path(path).expanduser()
    format, compress, is_file = target(path, format, compress=compress)
    top = top_height(table)
    if is_file:
        if names is not None:
            table = table[named(table["group"]).isin(names)]
        lines = lines_of(table, format, top)
        _write(path, lines if names is None else lines.iloc[_by_position(table)], compress=compress)
        return dict.fromkeys(names or ["peaks"], path)
    rows = {"peaks": slice(None)} if names is None else rows_by_group(table["group"])
    names = names or ["peaks"]
    ending = _SUFFIX[format] + (".gz" if compress else "")
    files = {name: path / (stem + ending) for name, stem in zip(names, file_stems(names), strict=True)}
    for name, file in files.items():
        _write(file, lines_of(table.iloc[rows.get(name, [])], format, top), compress=compress)
    return files


def rows_by_group(group: pd.Series) -> dict[str, np.ndarray]:
    """Return the positions of every group's rows; one pass, however many groups there are."""
    return pd.Series(range(len(group))).groupby(named(group).to_numpy()).indices


def _table_of(data: AnnData | MuData | pd.DataFrame, key: str, mod: str) -> pd.DataFrame:
    if not isinstance(data, pd.DataFrame):
        data = peaks_of(atac(data, mod=mod), key)
    return with_positions(data, _WHAT)


def checked(table: pd.DataFrame) -> pd.DataFrame:
    """Return peaks with whole numbers; refuse those that are no regions, or of no group while others are of one."""
    for name in [column for column in ("chrom", "start", "end", "group") if column in table]:
        missing = table[name].isna().to_numpy()
        if missing.any():
            where = f"{int(missing.sum()):,} of {len(table):,} peaks have no {name}, the first in row"
            msg = f"{where} {int(np.argmax(missing))}; leave these rows out: table.dropna(subset={name!r})."
            raise ValueError(msg)
    start, end = intervals(table, _WHAT)  # columns in which a value was missing are floats: 100 would be written 100.0
    return table.assign(start=start, end=end)


def _groups_of(table: pd.DataFrame, groups: Sequence[str] | None) -> list[str] | None:
    """Return the groups to write, or `None` for a table without groups; groups without peaks count."""
    if "group" not in table:
        if groups is not None:
            msg = "groups were asked for, but the table of peaks has no column 'group'."
            raise KeyError(msg)
        return None
    column = table["group"]
    known = group_names(column.cat.categories if isinstance(column.dtype, pd.CategoricalDtype) else column.unique())
    return chosen_groups(groups, known, within="among the peaks")


def target(path: Path, format: str | None = None, *, compress: bool | None = None) -> tuple[Format, bool, bool]:
    """Return the format, whether to compress, and whether `path` is a file (it has one of the known suffixes)."""
    kind, zipped = kind_of(path), path.suffix.lower() in (".gz", ".bgz")
    is_file = kind in (".bed", ".narrowpeak") and not path.is_dir()
    if not path.is_dir() and ((zipped and not is_file) or kind in _NOT_WRITTEN):
        msg = f"{path} is neither .bed nor .narrowPeak; name such a file (also .gz), or a folder without that ending."
        raise ValueError(msg)
    default = "bed" if is_file and kind == ".bed" else "narrowPeak"
    format = default if format is None else format
    return one_of(format, "format", _SUFFIX), zipped if compress is None else compress, is_file


def top_height(table: pd.DataFrame) -> float:
    """Return the height that a score of 1000 stands for."""
    height = _heights(table)
    return float(np.nanquantile(height, 0.99)) if np.isfinite(height).any() else 1.0


def _heights(table: pd.DataFrame) -> np.ndarray:
    """Return how high every peak is, or how far from its background."""
    name = next((name for name in (*_OWN_HEIGHTS, "signal") if name in table), None)
    return np.zeros(len(table)) if name is None else np.abs(pd.to_numeric(table[name], errors="coerce").to_numpy(float))


def _scores(table: pd.DataFrame, top: float) -> np.ndarray:
    """Return whole numbers from 0 to 1000."""
    if "score" in table and not any(name in table for name in _OWN_HEIGHTS):
        scores = pd.to_numeric(table["score"], errors="coerce").to_numpy(float)
    else:
        scores = 1000 * _heights(table) / (top if top > 0 else 1)
    return np.clip(np.rint(np.nan_to_num(scores)), 0, 1000).astype(int)


def _by_position(table: pd.DataFrame) -> np.ndarray:
    """Return the order of the lines of several groups, chromosomes in that of the table."""
    chrom = table["chrom"]
    codes = chrom.cat.codes if isinstance(chrom.dtype, pd.CategoricalDtype) else pd.factorize(chrom)[0]
    return np.lexsort((table["end"], table["start"], codes))


def lines_of(table: pd.DataFrame, format: Format, top: float) -> pd.DataFrame:
    """Return the lines of a file as a table; a height of `top` or more scores 1000."""
    out = pd.DataFrame({name: table[name].to_numpy() for name in ("chrom", "start", "end")})
    out["name"] = table["name"].to_numpy() if "name" in table else _names(table)
    out["score"] = _scores(table, top)
    out["strand"] = table["strand"].to_numpy() if "strand" in table else "."
    if format == "narrowPeak":
        heights = _heights(table)
        out["signal"] = [f"{value:.6g}" for value in np.where(np.isnan(heights), 0, heights)]  # "." or text
        out["p_value"], out["q_value"] = (_minus_log10(table.get(name)) for name in ("p_value", "q_value"))
        out["summit"] = _offsets(table)
    elif _are_tests(table):
        out["thickStart"], out["thickEnd"], out["itemRgb"] = out["start"], out["end"], _colors(table)
        # browsers take columns 10 to 12 for blocks, whatever is in them
        out["blockCount"], out["blockSizes"], out["blockStarts"] = 1, out["end"] - out["start"], 0
        further = [name for name in table if name not in out]
        text = table[further].select_dtypes(["object", "string"])
        out[further] = table[further].assign(**text.fillna("").replace("", _MISSING)).to_numpy(object)
        out = out.rename(columns={"chrom": "#chrom"})
    return out


def _are_tests(table: pd.DataFrame) -> bool:
    return "p_value" in table or "q_value" in table


def _colors(table: pd.DataFrame) -> Any:
    """Return the colours of gains, losses and what is neither; 0 leaves them to the browser."""
    if "direction" not in table:
        return "0"
    colors = np.where(table["direction"].to_numpy() > 0, rgb(GAIN), rgb(LOSS))
    return np.where(table["significant"].to_numpy(bool), colors, rgb(GREY)) if "significant" in table else colors


def _offsets(table: pd.DataFrame) -> Any:
    """Return the summits, counted from the starts of the peaks; -1 where there is none."""
    if "summit" not in table:
        return -1
    known = table["summit"].notna().to_numpy()
    out = np.full(len(table), -1)
    out[known] = whole_numbers(table["summit"][known], _WHAT) - table["start"].to_numpy()[known]
    return out


def _minus_log10(column: pd.Series | None) -> Any:
    """Return narrowPeak's form of a probability, -1 where there is none."""
    if column is None:
        return -1
    values = -np.log10(np.maximum(column.to_numpy(float), np.finfo(float).tiny))
    return [-1 if np.isnan(value) else f"{abs(value):.6g}" for value in values]


def _names(table: pd.DataFrame) -> list[str]:
    """Number the peaks of every group; blanks would end a column for some readers."""
    if "group" not in table:
        what = "region" if _are_tests(table) else "peak"
        return [f"{what}_{i + 1}" for i in range(len(table))]
    number = table.groupby("group", observed=True).cumcount() + 1
    groups = table["group"].astype(str).str.replace(r"\s+", "_", regex=True)
    return (groups + "_" + number.astype(str)).tolist()


def _write(path: Path, lines: pd.DataFrame, *, compress: bool) -> None:
    form = {"sep": "\t", "header": lines.columns[0].startswith("#"), "index": False, "na_rep": _MISSING}
    form["quoting"] = QUOTE_NONE  # readers of BED take quotes for text
    form["lineterminator"] = "\n"  # on Windows, too: readers of BED take the other sign for a part of the last column
    with atomic_path(path) as aside:
        text = io.StringIO() if compress else aside
        try:
            lines.to_csv(text, **form)
        except Error as error:
            msg = f"A text in the table has a tab or a line end in it, which {path} cannot hold; rename what has one."
            raise ValueError(msg) from error
        if not compress:
            return
        with aside.open("wb") as handle:
            bgzf.compress_blocks(handle, text.getvalue().encode(), last=True)
            handle.write(bgzf.EOF_BLOCK)
