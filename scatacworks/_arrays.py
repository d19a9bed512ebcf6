"""Counts and embeddings of cells as arrays, checked."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from scipy import sparse

if TYPE_CHECKING:
    from anndata import AnnData


def counts_of(adata: AnnData, layer: str | None) -> sparse.csr_matrix:
    """Return counts of cells in regions as CSR, read into memory where they are not (backed, dask).

    Raises
    ------
    KeyError
        If the layer is missing.
    ValueError
        If a value is negative or not finite, or nothing was counted at all.
    """
    if layer is not None and layer not in adata.layers:
        msg = f"There is no layer {layer!r}; there are {sorted(adata.layers)}."
        raise KeyError(msg)
    matrix = adata.X if layer is None else adata.layers[layer]
    if matrix is None:
        msg = "The AnnData has no counts in .X; make them with sca.pp.count_regions."
        raise ValueError(msg)
    for read in ("to_memory", "compute"):  # of anndata's sparse matrices in a file, and of dask
        matrix = getattr(matrix, read)() if hasattr(matrix, read) else matrix
    counts = sparse.csr_matrix(matrix if sparse.issparse(matrix) else np.asarray(matrix))
    if not counts.count_nonzero():
        msg = "All counts are zero; count regions that the cells have fragments in (sca.pp.count_regions)."
        raise ValueError(msg)
    if counts.data.min() < 0 or not np.isfinite(counts.data).all():
        msg = "Expected counts as of sca.pp.count_regions, got negative or missing values."
        raise ValueError(msg)
    return counts


def embedding_of(adata: AnnData, use_rep: str) -> np.ndarray:
    """Return the points of an embedding; float32, `(n_cells, n_dimensions)`.

    Raises
    ------
    KeyError
        If there is no such embedding.
    ValueError
        If a value is not finite.
    """
    if use_rep not in adata.obsm:
        msg = (
            f"There is no embedding .obsm[{use_rep!r}]; there are {sorted(adata.obsm)}. Run sca.pp.lsi(adata), or name "
            "another by use_rep."
        )
        raise KeyError(msg)
    points = np.asarray(adata.obsm[use_rep], np.float32)
    missing = ~np.isfinite(points).all(1)
    if missing.any():
        msg = (
            f".obsm[{use_rep!r}] has values that are not finite in {int(missing.sum()):,} cells; leave these cells out "
            "beforehand."
        )
        raise ValueError(msg)
    return points
