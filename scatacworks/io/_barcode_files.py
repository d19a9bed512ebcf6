"""Lists and tables of cells as users have them."""

from __future__ import annotations

import os
import re
from io import StringIO
from typing import Any

import pandas as pd

from scatacworks._anndata import is_anndata
from scatacworks._files import open_text
from scatacworks.io._barcodes import BASES

BARCODE_COLUMNS = ("barcode", "barcodes", "cell", "cellbarcode", "cell_barcode", "cell_id", "bc", "index", "")
_CALLED_CELLS = ("is__cell_barcode", "is_cell")  # Cell Ranger ATAC's singlecell.csv, ARC's per_barcode_metrics.csv


def cell_table(barcodes: Any) -> pd.DataFrame:
    """Return a table indexed by barcode (str, unique) from a list, a DataFrame, an AnnData or the path of a file.

    Raises
    ------
    ValueError
        If there are none, or one occurs twice.
    """
    if isinstance(barcodes, str | os.PathLike):
        table, where = read_cell_table(barcodes), str(barcodes)
    elif is_anndata(barcodes):
        table, where = barcodes.obs.copy(), "the AnnData given as barcodes"
    elif isinstance(barcodes, pd.DataFrame):
        table, where = barcodes.copy(), "the DataFrame given as barcodes"
        if len(table) and pd.api.types.is_integer_dtype(table.index):  # of rows, all or those of a choice
            named = next((name for name, column in table.items() if _holds_barcodes(column)), None)
            if named is not None or isinstance(table.index, pd.RangeIndex):
                column = "barcode" if named is None else named
                msg = f"{where} is not indexed by barcode but by row; set the index, such as by .set_index({column!r})."
                raise ValueError(msg)
    else:
        table, where = pd.DataFrame(index=pd.Index([str(barcode) for barcode in barcodes], dtype=object)), "barcodes"
    table.index = pd.Index(table.index.astype(str), dtype=object)
    if table.empty and not len(table.index):
        msg = f"{where} names no cell."
        raise ValueError(msg)
    if not table.index.is_unique:
        twice = table.index[table.index.duplicated()]
        msg = f"{where} names {len(twice):,} barcodes twice, such as {twice[0]!r}; every cell must be named once."
        raise ValueError(msg)
    return table


def _holds_barcodes(column: pd.Series) -> bool:
    return str(column.name).lower() in BARCODE_COLUMNS or BASES.search(str(column.iloc[0])) is not None


def read_table(path: str | os.PathLike[str], what: str, **how: Any) -> pd.DataFrame:
    """Read a TSV or CSV table of cells, or one barcode per line; gzipped or not.

    A first line without anything like a barcode names the columns; without one they are called `barcode`, `group`,
    `column_3` and so on, and hold text. Row names, as R writes them, are a column called `""`.

    Parameters
    ----------
    path
        The file.
    what
        What it is, for messages.
    how
        Options of :func:`pandas.read_csv`.

    Raises
    ------
    FileNotFoundError, IsADirectoryError, ValueError
        If the file is missing, a folder, empty, or not such a table.
    """
    text = _without_comments(path, what)
    if re.search(r'[^,\t]" "', text.partition("\n")[0]):  # a blank in quotes has a separator before it
        msg = f"{path} has columns separated by spaces; expected tabs or commas, as R's write.csv makes."
        raise ValueError(msg)
    try:
        first = pd.read_csv(StringIO(text), sep="\t", header=None, nrows=1, dtype=str).iloc[0]
        separator = "," if len(first) == 1 and "," in str(first[0]) else "\t"
        first = pd.read_csv(StringIO(text), sep=separator, header=None, nrows=1, dtype=str).iloc[0]
        is_one_barcode = len(first) == 1 and str(first[0]).lower() not in BARCODE_COLUMNS and separator not in text
        if is_one_barcode or any(BASES.search(str(value)) for value in first):
            table = pd.read_csv(StringIO(text), sep=separator, header=None, **{"dtype": str, **how})
            names = ["barcode", "group", *(f"column_{i + 1}" for i in range(2, table.shape[1]))]
            table = table.set_axis(names[: table.shape[1]], axis=1)
            return table.dropna(axis="columns", how="all")  # what separators at the ends of lines make
        table = pd.read_csv(StringIO(text), sep=separator, **how)
    except (pd.errors.ParserError, pd.errors.EmptyDataError) as error:
        msg = f"{path} is not a {what} ({error}); expected a TSV or CSV table with a barcode in every line."
        raise ValueError(msg) from error
    if not isinstance(table.index, pd.RangeIndex):  # R writes no name for row names
        return table.reset_index(names="")
    return table.rename(columns={table.columns[0]: ""}) if str(table.columns[0]).startswith("Unnamed") else table


def by_barcode(table: pd.DataFrame, column: str | None = None) -> pd.DataFrame:
    """Index a table by a column, else by the one with a usual name of barcodes, else the first; without row names.

    Columns of numbers only, as those of rows are, are taken where there is no other.
    """
    if column is None:
        named = [name for name in table.columns if str(name).lower() in BARCODE_COLUMNS] or [table.columns[0]]
        column = next((name for name in named if not table[name].astype(str).str.isdigit().all()), named[0])
    return table.set_index(column).drop(columns="", errors="ignore")


def _without_comments(path: str | os.PathLike[str], what: str) -> str:
    """Return the text of a table without comments before its first line; a `#` before column names is left out."""
    with open_text(path, what) as handle:
        text = handle.read()
    while text.startswith("#"):
        line, _, rest = text.partition("\n")
        if "\t" in line or "," in line:
            return text.lstrip("# ")
        text = rest
    return text


def read_cell_table(path: str | os.PathLike[str]) -> pd.DataFrame:
    """Read cells as :func:`read_table` does, indexed by barcode; of 10x Genomics' tables those called cells."""
    table = by_barcode(read_table(path, "file of barcodes")).rename_axis(None)
    for called in _CALLED_CELLS:
        if called in table:
            table = table[table[called] == 1]
    return table
