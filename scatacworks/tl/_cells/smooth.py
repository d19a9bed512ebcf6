"""Scores averaged over neighbouring cells."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
from scipy import sparse

from scatacworks import _keys, _step
from scatacworks._arguments import whole
from scatacworks._arrays import embedding_of, in_memory, layer_names, matrix_of
from scatacworks._neighbors import all_neighbors, with_themselves

if TYPE_CHECKING:
    from anndata import AnnData
    from mudata import MuData

__all__ = ["smooth"]


def smooth(
    adata: AnnData | MuData,
    *,
    keys: str | list[str],
    use_rep: str = _keys.X_LSI,
    n_neighbors: int = 50,
    suffix: str = "_smooth",
    mod: str = "atac",
    copy: bool = False,
) -> AnnData | MuData | None:
    """Replace every cell's values by the mean over the cell and its nearest neighbours.

    Parameters
    ----------
    adata
        Cells.
    keys
        What to smooth: layers, arrays or tables of `.obsm`, numeric columns of `.obs`, or `"X"`.
    use_rep
        Embedding in `.obsm`, of a MuData also its own, in which neighbours are found (Euclidean); of more than 44,721
        cells (2e9 distances) approximately, by nearest-neighbour descent (pynndescent).
    n_neighbors
        Cells averaged, the cell itself included.
    suffix
        Added to the names.
    mod
        Modality to use where `adata` is a MuData.
    copy
        Return a changed copy instead of writing to `adata`.

    Returns
    -------
    `None`, or the changed copy. Sets, for each key, a slot of the same kind with `suffix` added to its name (`"X"`:
    `.layers["X" + suffix]`); sparse stays sparse. NaN values are left out of the means, but those stored in a sparse
    matrix make every mean that they enter NaN.

    Raises
    ------
    KeyError
        If the embedding or a key is missing.
    TypeError
        If a column of `.obs` holds no numbers.
    ValueError
        If there are fewer cells than `n_neighbors`, or the embedding has values that are not finite.

    Examples
    --------
    >>> import anndata, numpy as np, scatacworks as sca
    >>> adata = anndata.AnnData(np.array([[1.0], [3.0], [10.0], [20.0]], np.float32))
    >>> adata.obsm["X_lsi"] = np.array([[0.0], [1.0], [9.0], [10.0]])
    >>> sca.tl.smooth(adata, keys="X", n_neighbors=2)
    >>> adata.layers["X_smooth"].ravel().tolist()
    [2.0, 2.0, 15.0, 15.0]
    """
    data, adata = _step.begin(adata, mod=mod, copy=copy)
    points = embedding_of(adata, use_rep, data)
    n_neighbors = whole(n_neighbors, "n_neighbors", most=len(points), of="the number of cells")
    found = {key: _find(adata, key) for key in ([keys] if isinstance(keys, str) else keys)}
    near = _neighborhoods(points, n_neighbors)
    for key, (where, values) in found.items():
        getattr(adata, where)[key + suffix] = _average(values, near, n_neighbors)
    return data if copy else None


def _neighborhoods(points: np.ndarray, n_neighbors: int) -> sparse.csr_matrix:
    """Return cells × cells: 1 for the cell and its nearest others."""
    found = with_themselves(all_neighbors(points, n_neighbors), np.arange(len(points)))
    pointers = np.arange(0, found.size + 1, n_neighbors)
    return sparse.csr_matrix((np.ones(found.size), found.ravel(), pointers), (len(points), len(points)))


def _find(adata: AnnData, key: str) -> tuple[str, Any]:
    """Return the slot a key lies in, and its values."""
    if key == "X":
        return "layers", in_memory(matrix_of(adata))
    for slot in ("layers", "obsm"):
        if key in getattr(adata, slot):
            return slot, getattr(adata, slot)[key]
    if key in adata.obs:
        if not pd.api.types.is_numeric_dtype(adata.obs[key]):
            msg = f".obs[{key!r}] holds {adata.obs[key].dtype}; expected numbers, of which there are means."
            raise TypeError(msg)
        return "obs", adata.obs[key].to_numpy(np.float64)
    msg = f"No {key!r} among layers {layer_names(adata)}, .obsm {sorted(adata.obsm)} or .obs {list(adata.obs.columns)}."
    raise KeyError(msg)


def _average(values: Any, near: sparse.csr_matrix, n_neighbors: int) -> Any:
    """Average rows over neighbourhoods, leaving NaN out, in the kind of container given."""
    if sparse.issparse(values):
        return sparse.csr_matrix(near @ values / n_neighbors, dtype=np.float32)
    dense = values.to_numpy(np.float64) if isinstance(values, pd.DataFrame) else np.asarray(values, np.float64)
    known = ~np.isnan(dense)
    with np.errstate(invalid="ignore", divide="ignore"):
        result = (near @ np.where(known, dense, 0.0)) / (near @ known.astype(np.float64))
    result = result.astype(np.float32)
    return pd.DataFrame(result, values.index, values.columns) if isinstance(values, pd.DataFrame) else result
