"""Counts and embeddings of cells as arrays, checked."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
from scipy import sparse

if TYPE_CHECKING:
    from anndata import AnnData
    from mudata import MuData


def layer_names(adata: AnnData) -> list[str]:
    """Return the names of the layers; `.X`, which anndata 0.13 lists among them as `None`, has none."""
    return sorted(name for name in adata.layers if name is not None)


def matrix_of(adata: AnnData, layer: str | None = None) -> Any:
    """Return `.X`, or a layer, as it is stored.

    Raises
    ------
    KeyError
        If the layer is missing.
    ValueError
        If there is no `.X`, as before anything was counted.
    """
    if layer is None:
        if adata.X is None:
            msg = (
                "The AnnData has no counts in .X; make them with sca.pp.count_regions, or with sca.tl.presence where "
                "rows are samples."
            )
            raise ValueError(msg)
        return adata.X
    if layer not in adata.layers:
        msg = f"There is no layer {layer!r} (found: {layer_names(adata)}); give another, or None for .X."
        raise KeyError(msg)
    return adata.layers[layer]


def in_memory(matrix: Any) -> Any:
    """Return a matrix of an AnnData, backed by a file (h5py, zarr) or of dask, as a sparse matrix or numpy array."""
    for read in ("to_memory", "compute"):  # of anndata's sparse matrices in a file, and of dask
        matrix = getattr(matrix, read)() if hasattr(matrix, read) else matrix
    if not sparse.issparse(matrix):
        return np.asarray(matrix)
    require_sound(matrix, "The matrix")
    return matrix


def csr_of(adata: AnnData, layer: str | None = None) -> sparse.csr_matrix:
    """Return `.X`, or a layer, as CSR in memory; raises what :func:`matrix_of` does."""
    return sparse.csr_matrix(in_memory(matrix_of(adata, layer)))


def require_sound(matrix: Any, what: str) -> None:
    """Refuse a sparse matrix whose rows or columns lead out of it, which no one looks at once it is computed with.

    It is left as it is: SciPy's own check would give it indices of another type.

    Raises
    ------
    ValueError
        If a row does not begin where the last one ends, or a column is none of the matrix.
    """
    if matrix.format not in ("csr", "csc"):
        return
    n_rows, n_columns = matrix.shape if matrix.format == "csr" else matrix.shape[::-1]
    pointers, columns = matrix.indptr, matrix.indices
    if len(pointers) != n_rows + 1 or pointers[0] != 0 or (pointers[1:] < pointers[:-1]).any():
        fault = f"indptr does not count up from 0 in {n_rows + 1:,} steps"
    elif pointers[-1] > min(len(columns), len(matrix.data)):
        fault = f"indptr ends at {pointers[-1]:,}, beyond its {min(len(columns), len(matrix.data)):,} values"
    elif pointers[-1] and not 0 <= columns[: pointers[-1]].min() <= columns[: pointers[-1]].max() < n_columns:
        fault = f"indices must be from 0 to {n_columns - 1:,}"
    else:
        return
    msg = f"{what} is damaged: {fault}. Make it again, or read it from an undamaged file."
    raise ValueError(msg)


def counts_of(adata: AnnData, layer: str | None) -> sparse.csr_matrix:
    """Return counts of cells in regions as CSR, read into memory where they are not (backed, dask).

    Raises
    ------
    KeyError
        If the layer is missing.
    ValueError
        If a value is negative or not finite, or nothing was counted at all.
    """
    counts = csr_of(adata, layer)
    if not counts.count_nonzero():
        msg = "All counts are zero; count regions that the cells have fragments in (sca.pp.count_regions)."
        raise ValueError(msg)
    if counts.data.min() < 0 or not np.isfinite(counts.data).all():
        msg = "Expected counts as of sca.pp.count_regions, got negative or missing values."
        raise ValueError(msg)
    return counts


def embedding_of(adata: AnnData, use_rep: str, data: AnnData | MuData) -> np.ndarray:
    """Return the points of an embedding; float32, `(n_cells, n_dimensions)`.

    Parameters
    ----------
    adata
        Cells.
    use_rep
        Key of `.obsm`.
    data
        What the user gave: the cells, or the MuData that they are a modality of, in whose own `.obsm` an embedding of
        all modalities (MOFA's, …) is.

    Raises
    ------
    KeyError
        If there is no such embedding.
    ValueError
        If a value is not finite.
    """
    # a MuData's .obsm also says under the names of its modalities whose cells are whose
    joint = set() if data is adata else set(data.obsm) - set(data.mod)
    if use_rep in adata.obsm:
        points = adata.obsm[use_rep]
    elif use_rep in joint:
        points = pd.DataFrame(np.asarray(data.obsm[use_rep]), data.obs_names).reindex(adata.obs_names)
    else:
        there = sorted({*adata.obsm, *joint})
        msg = (
            f"There is no embedding .obsm[{use_rep!r}]; there are {there}. Run sca.pp.lsi(adata), or name another by "
            "use_rep."
        )
        raise KeyError(msg)
    points = np.asarray(points, np.float32)
    missing = ~np.isfinite(points).all(1)
    if missing.any():
        msg = (
            f".obsm[{use_rep!r}] has values that are not finite in {int(missing.sum()):,} cells; leave these cells out "
            "beforehand."
        )
        raise ValueError(msg)
    return points
