"""Groups of cells from the tables that other programs export."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pandas as pd

from scatacworks._files import require_file
from scatacworks._logging import logger
from scatacworks._text import listed
from scatacworks.io._barcode_files import by_barcode, read_table

if TYPE_CHECKING:
    from pathlib import Path
    from types import ModuleType

    from anndata import AnnData
    from mudata import MuData

_MISSING = ("", "NA", "N/A", "NaN", "nan", "None", "NULL", "<NA>")  # what R, pandas and scanpy write for no value
_GROUP_NAMES = (
    *("group", "groups", "cell_type", "celltype", "cell_types", "celltypes", "cell.type", "predicted.id"),
    *("annotation", "cluster", "clusters", "seurat_clusters", "seurat_annotations", "leiden", "louvain"),
)


def read_groups(path: Path, *, column: str | None = None, barcode_column: str | None = None) -> pd.DataFrame:
    """Return the group of every cell.

    Parameters
    ----------
    path
        TSV or CSV, also gzipped, with or without column names: `clusters.csv` of 10x Genomics, the metadata of Signac
        (barcodes are row names), the cell data of ArchR (`sample#barcode`); or an `.h5ad` or `.h5mu` file. In a TSV or
        CSV, `NA`, `N/A`, `NaN`, `nan`, `None`, `NULL` and `<NA>` are no group, as an empty field is.
    column
        Column with the groups; by default the only one, or the one with a usual name.
    barcode_column
        Column with the barcodes; by default the one with a usual name, else the first.

    Returns
    -------
    Table indexed by barcode (str) with one column (str; missing where a cell has no group).

    Raises
    ------
    KeyError
        If there is no such column, or it is not clear which one is meant; the columns are named.
    ValueError
        If the file is not such a table, is of several samples, or a barcode occurs twice.
    """
    path = require_file(path, "file of groups")
    is_text = not is_anndata_file(path)
    table = _from_text(path, barcode_column) if is_text else _from_anndata(path)
    chosen = column if column is not None else _guess_column(table, path)
    if chosen not in table.columns:
        msg = f"{path} has no column {chosen!r}; it has {', '.join(map(repr, table.columns))}."
        raise KeyError(msg)
    names = table.index.astype(str)
    if len(names) and names.str.contains("#").all():  # ArchR
        parts = names.str.split("#", n=1)
        samples = parts.str[0].unique()
        if len(samples) > 1:  # the barcodes of one may be those of empty droplets of another
            msg = (
                f"{path} names cells of {len(samples)} samples, {listed(map(repr, samples))}; give a file with the "
                "lines of one sample, that of the fragments."
            )
            raise ValueError(msg)
        names = parts.str[1]
    if not names.is_unique:
        twice = names[names.duplicated()]
        msg = f"{path} names {len(twice):,} barcodes twice, such as {twice[0]!r}; every cell must be named once."
        raise ValueError(msg)
    values = _without_marks(table[chosen], path) if is_text else table[chosen]
    return pd.DataFrame({str(chosen): values.astype(str).where(values.notna()).to_numpy()}, index=pd.Index(names))


def _without_marks(values: pd.Series, path: Path) -> pd.Series:
    """Take the words for a missing value as one, and say so: somebody may have named a cluster `NA`."""
    marks = sorted(set(values[values.isin(_MISSING)]) - {""})
    if marks:
        logger.info(
            "%s in column %r of %s is taken for no group; a cluster of that name needs another one, or an .h5ad file.",
            " or ".join(map(repr, marks)), values.name, path,
        )  # fmt: skip
    return values.where(~values.isin(_MISSING))


def is_anndata_file(path: Path) -> bool:
    """Tell an AnnData or MuData file by its name."""
    return path.suffix.lower() in (".h5ad", ".h5mu")


def open_anndata(path: Path) -> AnnData | MuData:
    """Read an `.h5ad` or `.h5mu` file."""
    require_file(path, "AnnData or MuData file")
    if not is_anndata_file(path):
        msg = f"{path} is neither an .h5ad or .h5mu file nor, by its name, a bigWig file (.bw, .bigWig)."
        raise ValueError(msg)
    try:
        if path.suffix.lower() == ".h5mu":
            return _import_mudata(path).read_h5mu(path)
        import anndata

        return anndata.read_h5ad(path)
    except (ImportError, MemoryError):
        raise
    except Exception as error:  # whatever a damaged file, or HDF5 of another kind, makes of its readers
        msg = f"{path} is not a readable {path.suffix} file ({error})."
        if "plugin" in str(error):  # HDF5 looks for filters that h5py lacks
            msg += (
                " It is compressed in a way that needs a plugin, as SnapATAC2's files are: write it anew by "
                f"snapatac2.read({str(path)!r}).to_memory().write_h5ad(…)."
            )
        raise ValueError(msg) from error


def _import_mudata(path: Path) -> ModuleType:
    try:
        import mudata
    except ImportError as error:
        msg = f"Reading {path} needs the package mudata: pip install mudata."
        raise ImportError(msg) from error
    return mudata


def _from_anndata(path: Path) -> pd.DataFrame:
    from scatacworks._anndata import atac, is_mudata

    data = open_anndata(path)
    table = atac(data).obs.copy() if is_mudata(data) and "atac" in data.mod else data.obs.copy()
    return table.set_axis(table.index.astype(str), axis=0)


def _from_text(path: Path, barcode_column: str | None) -> pd.DataFrame:
    table = read_table(path, "file of groups", dtype=str, keep_default_na=False)
    if barcode_column is None and table.shape[1] < 2:
        msg = f"{path} has one column; expected at least barcodes and groups, separated by tabs or commas."
        raise ValueError(msg)
    if barcode_column is not None and barcode_column not in table.columns:
        msg = f"{path} has no column {barcode_column!r}; it has {', '.join(map(repr, table.columns))}."
        raise KeyError(msg)
    return by_barcode(table, barcode_column)


def _guess_column(table: pd.DataFrame, path: Path) -> str:
    if table.shape[1] == 1:
        return table.columns[0]
    lower = {str(name).lower(): name for name in reversed(table.columns)}
    known = [lower[name] for name in _GROUP_NAMES if name in lower]
    if known:
        return known[0]
    shown = ", ".join(map(repr, table.columns[:12])) + (", …" if table.shape[1] > 12 else "")
    msg = f"{path} has several columns ({shown}); name the one with the groups by --groups-column."
    raise KeyError(msg)
