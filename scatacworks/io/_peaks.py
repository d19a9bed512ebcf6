"""Write peaks as BED or narrowPeak files."""

from __future__ import annotations

import io
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import numpy as np
import pandas as pd

from scatacworks import _keys
from scatacworks._core import bgzf
from scatacworks._files import atomic_path
from scatacworks._groups import chosen_groups, group_names
from scatacworks.io._names import file_stems

if TYPE_CHECKING:
    from collections.abc import Sequence
    from os import PathLike

    from anndata import AnnData
    from mudata import MuData

Format = Literal["bed", "narrowPeak"]
_SUFFIX = {"bed": ".bed", "narrowPeak": ".narrowPeak"}


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
    r"""Write peaks to BED or narrowPeak files.

    The score column is the peak's maximum relative to the 99th percentile of all written maxima, times 1000, at most
    1000. narrowPeak's signal is the maximum, its p and q values are -1 (not computed), its last column the summit's
    distance from the start. Lines are in the order of the table; files appear whole or not at all.

    Parameters
    ----------
    data
        Annotated data after :func:`~scatacworks.tl.call_peaks`, or a table with the columns `chrom`, `start`, `end`
        (0-based, half-open) and, where there are any, `group`, `name`, `summit`, `max`.
    path
        A file, to hold the peaks of all groups; or a folder, which then gets one file per group.
    key
        Slot of `.uns` with the peaks.
    groups
        Groups to write; all by default.
    format
        `"bed"` (six columns) or `"narrowPeak"` (ten columns). By default that of the file's suffix; narrowPeak for a
        folder.
    compress
        Compress by blocks (bgzip), as `tabix` wants it. By default where the file ends in `.gz`.
    mod
        Modality to use where `data` is a MuData.

    Returns
    -------
    Group -> file written.

    Raises
    ------
    KeyError
        If there are no peaks, or no such group.
    ValueError
        If the format is unknown or a needed column is missing.

    Examples
    --------
    >>> import pandas as pd, scatacworks as sca
    >>> peaks = pd.DataFrame({"chrom": ["chr1"], "start": [100], "end": [300], "summit": [180], "max": [7.5]})
    >>> from tempfile import mkdtemp
    >>> files = sca.io.write_peaks(peaks, mkdtemp() + "/peaks.narrowPeak")
    >>> files["peaks"].read_text()
    'chr1\t100\t300\tpeak_1\t1000\t.\t7.5\t-1\t-1\t80\n'
    """
    table = _table_of(data, key, mod)
    names = _groups_of(table, groups)
    path = Path(path)
    format, compress, is_file = _target(path, format, compress=compress)
    group = table["group"].astype(str) if names is not None else None
    top = _top(table)
    if is_file:
        lines = _lines(table if names is None else table[group.isin(names)], format, top)
        _write(path, lines, compress=compress)
        return dict.fromkeys(names or ["peaks"], path)
    ending = _SUFFIX[format] + (".gz" if compress else "")
    stems = file_stems(names or ["peaks"])
    files = {name: path / (stem + ending) for name, stem in zip(names or ["peaks"], stems, strict=True)}
    for name, file in files.items():
        own = table if names is None else table[group == name]
        _write(file, _lines(own, format, top), compress=compress)
    return files


def _table_of(data: AnnData | MuData | pd.DataFrame, key: str, mod: str) -> pd.DataFrame:
    if not isinstance(data, pd.DataFrame):
        from scatacworks._anndata import atac

        stored = atac(data, mod=mod).uns.get(key)
        if not isinstance(stored, pd.DataFrame):
            way_out = "run scatacworks.tl.call_peaks first, or name its key_added as key"
            msg = f"There are no peaks in .uns[{key!r}]; {way_out}."
            raise KeyError(msg)
        data = stored
    missing = [name for name in ("chrom", "start", "end") if name not in data]
    if missing:
        msg = (
            f"The table of peaks lacks the column(s) {', '.join(missing)}; it has {', '.join(map(str, data.columns))}."
        )
        raise ValueError(msg)
    return data


def _groups_of(table: pd.DataFrame, groups: Sequence[str] | None) -> list[str] | None:
    """Return the groups to write, or `None` for a table without groups; groups without peaks count."""
    if "group" not in table:
        if groups is not None:
            msg = "groups were asked for, but the table of peaks has no column 'group'."
            raise KeyError(msg)
        return None
    column = table["group"]
    known = group_names(column.cat.categories if isinstance(column.dtype, pd.CategoricalDtype) else column.unique())
    names = chosen_groups(groups, known)
    unknown = [name for name in names if name not in known]
    if unknown:
        msg = f"There are no peaks of group {unknown[0]!r}; the groups are {', '.join(map(repr, known[:8]))}."
        raise KeyError(msg)
    return names


def _target(path: Path, format: str | None, *, compress: bool | None) -> tuple[Format, bool, bool]:
    """Return the format, whether to compress, and whether `path` is a file (it has one of the known suffixes)."""
    suffixes = [suffix.lower() for suffix in path.suffixes]
    zipped = suffixes[-1:] == [".gz"]
    kind = suffixes[-2:-1] if zipped else suffixes[-1:]
    is_file = kind in ([".bed"], [".narrowpeak"]) and not path.is_dir()
    default = "bed" if is_file and kind == [".bed"] else "narrowPeak"
    format = default if format is None else format
    if format not in _SUFFIX:
        msg = f"format={format!r} is unknown; expected 'bed' or 'narrowPeak'."
        raise ValueError(msg)
    return format, zipped if compress is None else compress, is_file


def narrow_peaks(table: pd.DataFrame, *, of: pd.DataFrame) -> pd.DataFrame:
    """Return the columns of a narrowPeak file for some peaks; scores are relative to the heights in `of`."""
    return _lines(table, "narrowPeak", _top(of))


def _top(table: pd.DataFrame) -> float:
    """Return the height that a score of 1000 stands for."""
    return float(table["max"].quantile(0.99)) if "max" in table and len(table) else 1.0


def _lines(table: pd.DataFrame, format: Format, top: float) -> pd.DataFrame:
    """Return the columns of the file."""
    n = len(table)
    highest = table["max"].to_numpy(float) if "max" in table else np.zeros(n)
    out = pd.DataFrame({name: table[name].to_numpy() for name in ("chrom", "start", "end")})
    out["name"] = table["name"].to_numpy() if "name" in table else _names(table)
    out["score"] = np.clip(np.rint(1000 * np.nan_to_num(highest) / (top if top > 0 else 1)), 0, 1000).astype(int)
    out["strand"] = table["strand"].to_numpy() if "strand" in table else "."
    if format == "narrowPeak":
        out["signal"] = [f"{value:.6g}" for value in highest]
        out["p"], out["q"] = -1, -1
        out["summit"] = (table["summit"] - table["start"]).to_numpy() if "summit" in table else -1
    return out


def _names(table: pd.DataFrame) -> list[str]:
    """Number the peaks of every group; blanks would end a column for some readers."""
    if "group" not in table:
        return [f"peak_{i + 1}" for i in range(len(table))]
    number = table.groupby("group", observed=True).cumcount() + 1
    groups = table["group"].astype(str).str.replace(r"\s+", "_", regex=True)
    return (groups + "_" + number.astype(str)).tolist()


def _write(path: Path, lines: pd.DataFrame, *, compress: bool) -> None:
    with atomic_path(path) as aside:
        if not compress:
            lines.to_csv(aside, sep="\t", header=False, index=False)
            return
        text = io.StringIO()
        lines.to_csv(text, sep="\t", header=False, index=False)
        with aside.open("wb") as handle:
            bgzf.compress_blocks(handle, text.getvalue().encode(), last=True)
            handle.write(bgzf.EOF_BLOCK)
