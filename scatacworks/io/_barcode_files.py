"""Lists and tables of cells as users have them."""

from __future__ import annotations

import os
import re
from io import StringIO
from typing import Any

import pandas as pd

from scatacworks._anndata import is_anndata
from scatacworks._files import open_text

BASES = re.compile(r"[ACGTN]{8,}")
_COLUMNS = ("barcode", "barcodes", "cell", "cellbarcode", "cell_barcode", "cell_id", "bc")
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
        if len(table) and isinstance(table.index, pd.RangeIndex):
            named = next((column for column in table.columns if str(column).lower() in _COLUMNS), "barcode")
            msg = f"{where} is not indexed by barcode but by row; set the index, such as by .set_index({named!r})."
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


def table_text(path: str | os.PathLike[str], what: str) -> str:
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
    """Read barcodes, one per line, or a TSV or CSV table; gzipped or not.

    A first line without anything like a barcode names the columns, another one is a cell.

    The barcodes are the column named `barcode` (or `cell`, …), else the first. Of 10x Genomics' `singlecell.csv` the
    lines called cells are taken.

    Raises
    ------
    FileNotFoundError, IsADirectoryError, ValueError
        If the file is missing, a folder, empty, or not such a table.
    """
    text = table_text(path, "file of barcodes")
    try:
        head = pd.read_csv(StringIO(text), sep="\t", header=None, nrows=1, dtype=str).iloc[0, 0]
        separator = "," if "," in str(head) else "\t"
        first = pd.read_csv(StringIO(text), sep=separator, header=None, nrows=1, dtype=str).iloc[0]
        alone = len(first) == 1 and str(first[0]).lower() not in _COLUMNS
        if alone or any(BASES.search(str(value)) for value in first):  # no column names
            return pd.read_csv(StringIO(text), sep=separator, header=None, dtype=str).set_index(0)
        table = pd.read_csv(StringIO(text), sep=separator)
    except (pd.errors.ParserError, pd.errors.EmptyDataError) as error:
        msg = f"{path} is not a list or table of barcodes ({error}); expected one per line, or a TSV or CSV table."
        raise ValueError(msg) from error
    named = [column for column in table.columns if str(column).lower() in _COLUMNS]
    table = table.set_index(named[0] if named else table.columns[0])
    for called in _CALLED_CELLS:
        if called in table:
            table = table[table[called] == 1]
    table.index.name = None
    return table
