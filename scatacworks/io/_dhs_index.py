"""Read the published table of the DHS index."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from scatacworks._columns import intervals, whole_numbers
from scatacworks._files import open_text, require_file

if TYPE_CHECKING:
    from os import PathLike

_NAMES = {"seqname": "chrom", "numsamples": "n_samples"}


def read_dhs_index(path: str | PathLike[str]) -> pd.DataFrame:
    r"""Read the published table of the DHS index: one consensus element per row, with how many biosamples have it.

    The table of :cite:t:`Meuleman2020` ("DHS Index and Vocabulary", hg38, 3.59 M elements of 733 biosamples) is a text
    file with the columns seqname, start, end, identifier, mean_signal, numsamples, summit, core_start, core_end and
    component; only the coordinates and numsamples are needed. Give the result to :func:`scatacworks.tl.prior`.

    Parameters
    ----------
    path
        The table, separated by tabs, plain or gzipped.

    Returns
    -------
    One row per element: `chrom` (categorical), `start`, `end` (int32, 0-based, half-open), `n_samples` (int32) and,
    where the file has them, `identifier` (str; a number would lose its last digits), `summit` (int32), `core_start`,
    `core_end` (nullable Int32, first and last position; an element whose summit had to be recentred has no core),
    `mean_signal` (float64), `component` (categorical) and further columns as they are.

    Raises
    ------
    FileNotFoundError
        If there is no such file.
    ValueError
        If columns are missing or a row has no valid coordinates or count, with its line number.

    Examples
    --------
    >>> import pandas as pd
    >>> import scatacworks as sca
    >>> table = pd.DataFrame({"seqname": ["chr1"], "start": [16140], "end": [16200], "numsamples": [25]})
    >>> table.to_csv("index.txt", sep="\t", index=False)
    >>> sca.io.read_dhs_index("index.txt")
      chrom  start    end  n_samples
    0  chr1  16140  16200         25
    """
    path = require_file(Path(path), "table of the DHS index")
    table = _read(path).rename(columns=_NAMES)
    missing = [name for name in ("chrom", "start", "end", "n_samples") if name not in table]
    if missing:
        reverse = {new: old for old, new in _NAMES.items()}
        wanted = ", ".join(reverse.get(name, name) for name in missing)
        msg = f"{path} has no column {wanted}; expected the header of the published index (seqname, start, end, …)."
        raise ValueError(msg)
    table["n_samples"] = whole_numbers(table["n_samples"], path, _line, least=1).astype(np.int32)
    for name in ("start", "end", "summit"):
        if name in table:
            table[name] = whole_numbers(table[name], path, _line).astype(np.int32)
    for name in ("core_start", "core_end"):
        if name in table:
            given = table[name].dropna()  # not every element has a core
            table[name] = pd.Series(whole_numbers(given, path, _line), given.index, "Int32").reindex(table.index)
    intervals(table, path, _line)
    table["chrom"] = pd.Categorical(table["chrom"], categories=table["chrom"].unique())
    if "component" in table:
        table["component"] = table["component"].astype("category")
    return table


def _read(path: Path) -> pd.DataFrame:
    texts = dict.fromkeys(("seqname", "chrom", "identifier", "component"), str)
    with open_text(path, "table of the DHS index, separated by tabs") as handle:
        return pd.read_csv(handle, sep="\t", dtype=texts).rename(columns=lambda name: name.lstrip("#"))


def _line(row: int) -> str:
    return f"line {row + 2}"  # behind the names of the columns
