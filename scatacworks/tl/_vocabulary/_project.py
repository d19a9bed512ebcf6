"""New samples, pseudobulks or cells in an existing vocabulary."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Literal

import numpy as np
import scipy.sparse as sp
from tqdm.auto import tqdm

from scatacworks import _keys, _step
from scatacworks._anndata import component_names, dominant, require_index
from scatacworks._arguments import one_of
from scatacworks._arrays import csr_of
from scatacworks._columns import placed
from scatacworks._core.intervals import overlap_pairs
from scatacworks._core.nnls import nnls, poisson
from scatacworks._logging import logger
from scatacworks._threads import resolve
from scatacworks.genome import named_chromosomes
from scatacworks.tl._vocabulary._matrix import loadings_of, row_blocks
from scatacworks.tl._vocabulary._shared import shared_elements

if TYPE_CHECKING:
    import pandas as pd
    from anndata import AnnData
    from mudata import MuData

METHODS = ("nnls", "poisson")
_PART = 1024  # rows of a piece of work, one of which an interrupt has to wait for


def project_vocabulary(
    adata: AnnData | MuData,
    reference: AnnData,
    *,
    method: Literal["nnls", "poisson"] = "nnls",
    layer: str | None = None,
    binarize: bool | None = None,
    normalize: bool = True,
    n_jobs: int | None = None,
    key_added: str = _keys.X_VOCABULARY,
    mod: str = "atac",
    progress: bool = True,
    copy: bool = False,
) -> AnnData | MuData | None:
    """Find the loadings of new samples, pseudobulks or single cells, the loadings of the elements held fixed.

    With `"nnls"` each row is the exact solution of non-negative least squares, as published for new biosamples. It
    assumes that what is not seen is absent, which is wrong for a cell or a shallow pseudobulk: sharp components are
    then favoured over broad ones and the size of the loadings follows depth. `"poisson"` maximises the likelihood of
    Poisson counts instead; its proportions do not depend on depth, only their noise does. Use it for cells.

    Elements are matched by name (`.var_names`). If no name is shared, or names stand for other places, as in an index
    made apart, but both have `chrom`, `start` and `end` in `.var` and the reference still has its presence matrix, the
    columns of `adata` may be any regions: each gets the loadings that best explain in which reference samples it
    overlaps an element.

    Parameters
    ----------
    adata
        New samples, groups or cells x elements or regions; of peaks, what :func:`~scatacworks.tl.presence` returns.
    reference
        Index with a vocabulary, from :func:`~scatacworks.tl.vocabulary`.
    method
        `"nnls"` or `"poisson"`.
    layer
        Layer of `adata` instead of `X`.
    binarize
        Count every non-zero as one. By default only for `"nnls"`: in counts summed over many cells every open and many
        closed elements are above zero, and their presence says little.
    normalize
        Divide every row by its sum, which removes depth; the sum is kept in `.obs`.
    n_jobs
        Threads; changes nothing in the result.
    key_added
        Slot in `.obsm`.
    mod
        Modality to use where `adata` is a MuData.
    progress
        Show a progress bar.
    copy
        Return a changed copy instead of changing `adata`.

    Returns
    -------
    `None` if `copy=False`, else the copy. Sets:

    `obsm[key_added]` : float64 (n_obs, k)
        Loadings, rows sum to one (or are zero) with `normalize`.
    `obs` : `component` (categorical, missing for rows without signal), `component_proportion`, `n_components`,
        `vocabulary_scale` (float64: sum of the loadings before normalisation)
    `uns["vocabulary"]["names"]`
        Names of the components, unless `adata` has a vocabulary of its own or `key_added` is another.

    Raises
    ------
    KeyError
        If the reference has no vocabulary.
    TypeError
        If `adata` or `reference` is no AnnData.
    ValueError
        If no element is shared, the two are of different genomes, a value is negative, or `.uns["vocabulary"]` holds
        something else.

    Examples
    --------
    >>> import anndata, numpy as np
    >>> import scatacworks as sca
    >>> reference = anndata.AnnData(np.kron(np.eye(2, dtype=int), np.ones((3, 4), int)))
    >>> sca.tl.vocabulary(reference, n_components=2, progress=False)
    >>> cells = anndata.AnnData(np.array([[1, 0, 0, 1, 0, 0, 0, 0], [0, 0, 0, 0, 0, 1, 0, 0]]))
    >>> sca.tl.project_vocabulary(cells, reference)
    >>> bool(cells.obs["component"].iloc[0] == reference.obs["component"].iloc[0])
    True
    """
    one_of(method, "method", METHODS)
    if not hasattr(adata, "var_names"):
        msg = f"adata is no AnnData but a {type(adata).__name__}; peaks become one by tl.presence(reference, peaks)."
        raise TypeError(msg)
    require_index(reference, "reference")
    data, adata = _step.begin(adata, mod=mod, copy=copy)
    names_them = key_added == _keys.X_VOCABULARY and _keys.PARAMS not in adata.uns.get(_keys.VOCABULARY, {})
    if names_them:
        _step.claim(adata, _keys.VOCABULARY, "names")
    columns, loads = element_loadings(adata, reference)
    used = loads.any(axis=1)
    columns, loads = columns[used], loads[used]
    binarize = method == "nnls" if binarize is None else binarize
    parts = []
    with tqdm(total=adata.n_obs, desc="project", disable=not progress, leave=False) as bar:
        for block in row_blocks(adata, layer):
            block = block if len(columns) == block.shape[1] else block[:, columns]
            if binarize:
                block = sp.csr_matrix(((block.data != 0).astype(np.float64), block.indices, block.indptr), block.shape)
            parts += _solve(block.astype(np.float64, copy=False), loads, method, resolve(n_jobs), bar)
    loadings = np.concatenate(parts)
    scale = loadings.sum(axis=1)
    names = component_names(reference, loadings.shape[1])
    for name, values in dominant(loadings, names).items():
        adata.obs[name] = values.array
    if names_them:
        adata.uns[_keys.VOCABULARY] = {"names": np.array(names)}
    adata.obs["vocabulary_scale"] = scale
    if normalize:
        loadings = np.divide(loadings, scale[:, None], out=np.zeros_like(loadings), where=scale[:, None] > 0)
    adata.obsm[key_added] = loadings
    return data if copy else None


def _solve(block: sp.csr_matrix, loads: np.ndarray, method: str, n_jobs: int, bar: tqdm) -> list[np.ndarray]:
    """Loadings of the rows of a block, part by part, shared out over threads."""
    gram = loads.T @ loads

    def part(first: int) -> np.ndarray:
        some = block[first : first + _PART]
        if method == "nnls":
            return nnls(gram, np.ascontiguousarray(some @ loads))
        return poisson(some.indptr, some.indices, some.data, loads, 200, 1e-4)

    found = []
    with ThreadPoolExecutor(n_jobs) as pool:
        for loadings in pool.map(part, range(0, block.shape[0], _PART)):
            found.append(loadings)
            bar.update(len(loadings))
    return found


def element_loadings(adata: AnnData, reference: AnnData) -> tuple[np.ndarray, np.ndarray]:
    """Columns of `adata` that the reference knows, and their loadings."""
    loads = loadings_of(reference, "varm")
    columns, at = shared_elements(adata, reference)
    if len(columns):
        return columns, loads[at]
    if not reference.n_obs:
        msg = (
            "No element of the query is named as in the reference, which has no samples through which to project other "
            "regions; take tl.presence(reference, peaks)."
        )
        raise ValueError(msg)
    needed = {"chrom", "start", "end"}
    if not needed <= set(adata.var) or not needed <= set(reference.var):
        msg = "No element of the query is named as in the reference, and the two do not both have coordinates in .var."
        raise ValueError(msg)
    return _region_loadings(adata.var, reference)


def _region_loadings(var: pd.DataFrame, reference: AnnData) -> tuple[np.ndarray, np.ndarray]:
    """Loadings of regions, from the reference samples in which they overlap an element."""
    chroms = named_chromosomes(reference.var["chrom"].unique(), "the index")
    sides = [placed(frame, chroms, ".var") for frame in (var, reference.var)]
    known = np.flatnonzero(sides[0][0] >= 0)
    region, element, _ = overlap_pairs(tuple(part[known] for part in sides[0]), sides[1])
    if len(region) == 0:
        msg = "No region of the query overlaps an element of the reference; are they of the same genome?"
        raise ValueError(msg)
    shape = (reference.n_vars, len(known))
    overlap = sp.csr_matrix((np.ones(len(region), np.float32), (element, region)), shape=shape)
    present = csr_of(reference).astype(np.float32) @ overlap
    rows = loadings_of(reference, "obsm")
    target = np.asarray((present != 0).T.astype(np.float64) @ rows)
    loads = nnls(rows.T @ rows, np.ascontiguousarray(target))
    logger.info("%d of %d regions overlap an element of the reference.", len(np.unique(region)), len(var))
    return known, loads
