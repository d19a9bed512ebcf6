"""Read the published table of the DHS index, and the loadings of its elements."""

from __future__ import annotations

import gzip
import zlib
from typing import TYPE_CHECKING, overload

import numpy as np
import pandas as pd

from scatacworks import _keys
from scatacworks._anndata import dominant
from scatacworks._columns import intervals, whole_numbers
from scatacworks._files import open_text, require_file
from scatacworks._text import listed

if TYPE_CHECKING:
    from os import PathLike
    from pathlib import Path

    from anndata import AnnData

_NAMES = {"seqname": "chrom", "numsamples": "n_samples"}
_LOADINGS = "loadings of the elements"
_LEAST_AGREEMENT = 0.9  # share of elements whose component is that of their highest loading; 1 but for rounding


@overload
def read_dhs_index(path: str | PathLike[str]) -> pd.DataFrame: ...
@overload
def read_dhs_index(path: str | PathLike[str], *, loadings: None) -> pd.DataFrame: ...
@overload
def read_dhs_index(path: str | PathLike[str], *, loadings: str | PathLike[str]) -> AnnData: ...


def read_dhs_index(path: str | PathLike[str], *, loadings: str | PathLike[str] | None = None) -> pd.DataFrame | AnnData:
    r"""Read the published table of the DHS index: one consensus element per row, with how many biosamples have it.

    The table of :cite:t:`Meuleman2020` ("DHS Index and Vocabulary", hg38, 3.59 M elements of 733 biosamples) is a text
    file with the columns seqname, start, end, identifier, mean_signal, numsamples, summit, core_start, core_end and
    component; only the coordinates and numsamples are needed. Give the result to :func:`scatacworks.tl.prior`.

    With the published loadings the result is an index with a vocabulary, in whose components new samples are described
    by :func:`~scatacworks.tl.presence` and :func:`~scatacworks.tl.project_vocabulary`.

    Parameters
    ----------
    path
        The table, separated by tabs, plain or gzipped.
    loadings
        Loadings of the elements, components x elements in the order of the table: the published "Mixture", as `.npy`,
        plain or gzipped. The columns identifier and component are needed then.

    Returns
    -------
    One row per element: `chrom` (categorical), `start`, `end` (int32, 0-based, half-open), `n_samples` (int32) and,
    where the file has them, `identifier` (str; a number would lose its last digits), `summit` (int32), `core_start`,
    `core_end` (nullable Int32, first and last position; an element whose summit had to be recentred has no core),
    `mean_signal` (float64), `component` (categorical) and further columns as they are.

    With `loadings`, an AnnData without samples whose `.var` is that table, named by `identifier`, with
    `component_proportion` and `n_components` as from :func:`~scatacworks.tl.vocabulary`; `.varm["X_vocabulary"]`
    (float32) and `.uns["vocabulary"]["names"]`, the components in the order of the loadings, each under the name that
    its elements have in the table.

    Raises
    ------
    FileNotFoundError
        If there is no such file.
    ValueError
        If columns are missing or a row has no valid coordinates or count, with its line number; if the loadings are
        damaged, or not those of these elements.

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
    path = require_file(path, "table of the DHS index")
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
    return table if loadings is None else _with_loadings(table, path, require_file(loadings, _LOADINGS))


def _with_loadings(table: pd.DataFrame, path: Path, file: Path) -> AnnData:
    """Return the elements with their loadings as an index without samples."""
    import anndata as ad
    import scipy.sparse as sp

    for name in ("identifier", _keys.COMPONENT):
        if name not in table:
            msg = f"{path} has no column {name}; it is needed with loadings, as the published index has it."
            raise ValueError(msg)
    wrong = table["identifier"].isna() | table["identifier"].duplicated()
    if wrong.any():
        first = int(np.argmax(wrong))
        msg = (
            f"{path}, element {first + 1:,}: the identifier {table['identifier'].iloc[first]!r} is missing or repeated."
        )
        raise ValueError(msg)
    values = _read_loadings(file, len(table))
    names = _names(values, table[_keys.COMPONENT], path, file)
    own = dominant(values, names).set_axis(table.index)
    table[_keys.COMPONENT] = table[_keys.COMPONENT].cat.set_categories(names)
    table = table.join(own[[_keys.COMPONENT_PROPORTION, _keys.N_COMPONENTS]])
    index = ad.AnnData(sp.csr_matrix((0, len(table)), dtype=np.uint8), var=table.set_axis(list(table["identifier"])))
    index.varm[_keys.X_VOCABULARY] = values
    index.uns[_keys.VOCABULARY] = {"names": np.array(names)}
    return index


def _read_loadings(file: Path, n_elements: int) -> np.ndarray:
    """Return loadings as float32 (n_elements, k)."""
    with file.open("rb") as raw:
        zipped = raw.read(2) == b"\x1f\x8b"
    try:
        with gzip.open(file) if zipped else file.open("rb") as handle:
            values = np.lib.format.read_array(handle, allow_pickle=False)
    except (ValueError, EOFError, MemoryError, zlib.error, gzip.BadGzipFile) as error:
        msg = f"{file} is cut off, damaged or no array ({error}); expected the {_LOADINGS}, .npy, plain or gzipped."
        raise ValueError(msg) from error
    if values.dtype.kind not in "fiu" or values.ndim != 2 or values.shape[1] != n_elements:
        msg = (
            f"{file} holds {values.dtype} of the shape {values.shape}; expected numbers, components x {n_elements:,}, "
            "the elements of the table."
        )
        raise ValueError(msg)
    if not (values.min(initial=0) >= 0 and np.isfinite(values.max(initial=0))):
        msg = f"{file} holds {values.min()} to {values.max()}; expected finite loadings of 0 or more."
        raise ValueError(msg)
    return np.ascontiguousarray(values.T, np.float32)


def _names(loadings: np.ndarray, labels: pd.Series, path: Path, file: Path) -> list[str]:
    """Return the label of the elements in which each component is the highest; refuse loadings of other elements."""
    known = labels.cat.categories.astype(str)
    labelled = (labels.notna() & loadings.any(axis=1)).to_numpy()
    highest, label = loadings.argmax(axis=1)[labelled], labels.cat.codes.to_numpy()[labelled]
    shape = (loadings.shape[1], len(known))
    votes = np.bincount(highest * shape[1] + label, minlength=shape[0] * shape[1]).reshape(shape)
    best = votes.argmax(axis=1)
    agreeing = votes.max(axis=1).sum() / max(labelled.sum(), 1)
    names = [known[at] if votes[k, at] else str(k + 1) for k, at in enumerate(best)]
    if agreeing < _LEAST_AGREEMENT or len(set(names)) < len(names):
        msg = (
            f"The loadings in {file} are not those of the elements of {path}: their highest one tells the component of "
            f"{agreeing:.0%} of the elements. Expected the same elements in the same order."
        )
        raise ValueError(msg)
    if others := sorted(set(known) - set(names)):
        msg = f"{path} labels elements {listed(others)}, which is no component of {file}; it has {listed(names)}."
        raise ValueError(msg)
    return names


def _read(path: Path) -> pd.DataFrame:
    texts = dict.fromkeys(("seqname", "chrom", "identifier", "component"), str)
    with open_text(path, "table of the DHS index, separated by tabs") as handle:
        return pd.read_csv(handle, sep="\t", dtype=texts).rename(columns=lambda name: name.lstrip("#"))


def _line(row: int) -> str:
    return f"line {row + 2}"  # behind the names of the columns
