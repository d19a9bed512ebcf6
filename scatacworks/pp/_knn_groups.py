"""Groups of similar cells."""

from __future__ import annotations

import warnings
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import pandas as pd
from pandas.api.types import is_bool_dtype

from scatacworks import _keys, _step
from scatacworks._arguments import flag, one_of, whole
from scatacworks._arrays import embedding_of
from scatacworks._core.knn import (
    effective_groups,
    farthest_first,
    nearest_points,
    spread_without_shared_points,
    without_shared_points,
)
from scatacworks._logging import logger
from scatacworks._membership import membership_matrix, resolve_groups
from scatacworks._neighbors import EXACT_UP_TO, approximate_neighbors, with_themselves
from scatacworks._text import counted

if TYPE_CHECKING:
    from collections.abc import Sequence

    from anndata import AnnData
    from mudata import MuData
    from scipy import sparse


def knn_groups(
    adata: AnnData | MuData,
    *,
    n_neighbors: int = 50,
    use_rep: str = _keys.X_LSI,
    centers: Literal["all", "random", "farthest"] | Sequence[str] | Sequence[int] | np.ndarray = "all",
    n_groups: int | None = None,
    shared_cells: bool = True,
    exclude: Sequence[str] | np.ndarray | str | None = None,
    metric: Literal["euclidean", "cosine"] = "euclidean",
    method: Literal["auto", "exact", "approximate"] = "auto",
    key_added: str = _keys.KNN_GROUPS,
    mod: str = "atac",
    n_jobs: int | None = None,
    seed: int | np.random.Generator | None = 0,
    copy: bool = False,
) -> AnnData | MuData | None:
    """Group every chosen cell with the cells most similar to it.

    The groups go wherever a `groupby` is taken: `pp.pseudobulk(adata, "knn_groups")`. Fifty cells are what the
    lineage-priming analysis of AtacWorks needs for a denoised map (Lal et al., Nature Communications 12, 1507, 2021).

    Parameters
    ----------
    adata
        Cells, `(n_cells, …)`, with an embedding in `.obsm`.
    n_neighbors
        Cells in a group, its centre included.
    use_rep
        Key of `.obsm`: the embedding, such as :func:`~scatacworks.pp.lsi` writes; of a MuData also its own, such as
        `"X_mofa"`.
    centers
        Cells to begin groups with. `"all"`: every cell; `"random"`: `n_groups` cells drawn at random; `"farthest"`:
        `n_groups` well-spread cells, each the farthest from those before it; or names, positions or a boolean mask of
        cells.
    n_groups
        Number of groups of `"random"` and `"farthest"`. Without shared cells, the most groups wanted.
    shared_cells
        Whether a cell may be in several groups. If not, the centres take the nearest cells left in turn (random turn
        for `"all"` and `"random"`), until fewer than `n_neighbors` are left.
    exclude
        Cells to leave out of all groups: the tested ones, for a background without them. Names, a boolean mask or the
        column of `.obs` that holds one, or the key of a membership in `.obsm` whose members are left out.
    metric
        `"euclidean"`, or `"cosine"`: the embedding's rows are scaled to length 1.
    method
        `"exact"` computes all distances; `"approximate"` searches by nearest-neighbour descent (pynndescent);
        `"auto"` takes the first up to 2e9 distances. Groups without shared cells are always exact.
    key_added
        Slot of `.obsm` and `.uns` to write.
    mod
        Modality to use where `adata` is a MuData.
    n_jobs
        Threads of the approximate search.
    seed
        Of the random choices.
    copy
        Return a changed copy rather than writing to `adata`.

    Returns
    -------
    `None`, or the changed copy. Sets:

    `.obsm[key_added]` : boolean CSR, `(n_cells, n_groups)`
        Which cell is in which groups.
    `.uns[key_added]` : dict
        `groups`: names, those of the centres; `centers`: their positions, int64; `overlap`: dict with
        `groups_per_cell` (mean over cells in a group), `max_groups_per_cell`, `cells_used`, `mean_shared` (share of
        cells two groups have in common, mean over pairs) and `effective_groups` (number of separate groups that
        would tell as much about the mean); `params`.

    Raises
    ------
    KeyError
        If the embedding, a cell, or what `exclude` names is missing.
    TypeError
        If `centers` is neither one of the ways nor a list of cells.
    ValueError
        If there are fewer cells than `n_neighbors`, the embedding has missing values, arguments contradict each other,
        or `key_added` names another kind of result.

    Examples
    --------
    >>> import anndata as ad, numpy as np, scatacworks as sca
    >>> adata = ad.AnnData(obsm={"X_pca": np.random.default_rng(0).standard_normal((500, 10))})
    >>> sca.pp.knn_groups(adata, use_rep="X_pca", n_neighbors=50, centers="random", n_groups=20)
    >>> adata.obsm["knn_groups"].shape
    (500, 20)
    """
    result, target = _step.begin(adata, mod=mod, copy=copy)
    _step.claim(target, key_added, "centers", obsm=True)
    cells = np.flatnonzero(~_mask(target, exclude))
    points = _embedding(target, use_rep, metric, result)[cells]
    n_neighbors = whole(n_neighbors, "n_neighbors", most=len(cells), of="the number of cells to group")
    n_groups = None if n_groups is None else whole(n_groups, "n_groups")
    rng = np.random.default_rng(seed)
    begin_with = _given(target, centers, cells)
    if flag(shared_cells, "shared_cells"):
        own = _centers(begin_with, n_groups, points, rng)
        members = _neighbors(points, own, n_neighbors, method, seed=int(rng.integers(2**31)), n_jobs=n_jobs)
    else:
        own, members = _separate(begin_with, n_groups, points, n_neighbors, rng)
        if n_groups is not None and len(own) < n_groups:
            msg = f"{len(cells):,} cells give {len(own)} groups of {n_neighbors} without shared cells, not {n_groups}."
            warnings.warn(msg, UserWarning, stacklevel=2)
    chosen = cells[own]
    columns = np.repeat(np.arange(len(own)), n_neighbors)
    matrix = membership_matrix(cells[members].ravel(), columns, (target.n_obs, len(own)))
    overlap = overlap_report(matrix)
    about = counted(len(own), "group"), counted(n_neighbors, "cell"), overlap["effective_groups"]
    logger.info("%s of %s; worth %.1f separate ones", *about)
    target.obsm[key_added] = matrix
    target.uns[key_added] = {
        "groups": np.asarray(target.obs_names[chosen].astype(str), dtype=object),
        "centers": chosen.astype(np.int64),
        "overlap": overlap,
        _keys.PARAMS: _step.params(
            n_neighbors=n_neighbors,
            use_rep=use_rep,
            centers=centers if isinstance(centers, str) else "given",
            shared_cells=shared_cells,
            n_excluded=target.n_obs - len(cells),
            metric=metric,
            method=method,
            seed=seed,
        ),
    }
    return result if copy else None


def overlap_report(matrix: sparse.csr_matrix) -> dict[str, float]:
    """Return how much groups (columns) share, as `knn_groups` reports it."""
    sizes = np.bincount(matrix.indices, minlength=matrix.shape[1])
    per_cell = np.diff(matrix.indptr)
    weights = matrix.astype(np.float64) @ (1 / sizes)
    n_groups = len(sizes)
    # over all pairs, sum |A & B| = sum over cells of n * (n - 1) ordered pairs of their groups
    shared = float((per_cell.astype(np.int64) * (per_cell - 1)).sum())
    pairs = n_groups * (n_groups - 1)
    return {
        "groups_per_cell": float(per_cell[per_cell > 0].mean()),
        "max_groups_per_cell": float(per_cell.max()),
        "cells_used": float((per_cell > 0).sum()),
        "mean_shared": shared / pairs / float(sizes.mean()) if pairs else 0.0,
        "effective_groups": effective_groups(weights, sizes),
    }


def _embedding(adata: AnnData, use_rep: str, metric: str, data: AnnData | MuData) -> np.ndarray:
    one_of(metric, "metric", ("euclidean", "cosine"))
    points = embedding_of(adata, use_rep, data)
    if metric == "cosine":
        points = points / np.maximum(np.linalg.norm(points, axis=1, keepdims=True), np.finfo(np.float32).tiny)
    return np.ascontiguousarray(points)


def _mask(adata: AnnData, cells: Sequence[str] | np.ndarray | str | None) -> np.ndarray:
    """Return which cells are meant by names, a mask, or the key of a membership."""
    if cells is None:
        return np.zeros(adata.n_obs, bool)
    if isinstance(cells, str):
        if cells in adata.obs and is_bool_dtype(adata.obs[cells]):
            return _known(adata.obs[cells])
        if cells not in adata.obsm:
            msg = (
                f"exclude={cells!r} is neither a column of .obs that is true for some cells nor a membership in .obsm "
                f"({', '.join(adata.obsm) or 'which is empty'}). Name the cells: "
                "exclude=adata.obs_names[adata.obs[column] == group]."
            )
            raise KeyError(msg)
        return np.diff(resolve_groups(adata, cells).matrix.indptr) > 0
    if is_bool_dtype(getattr(cells, "dtype", None)):
        cells = _known(cells)
    cells = np.asarray(cells if hasattr(cells, "dtype") else list(cells))
    mask = np.zeros(adata.n_obs, bool)
    mask[_positions(adata, cells)] = True
    return mask


def _known(mask: Any) -> np.ndarray:
    """Return a column of True and False, of pandas' nullable type too, as a mask."""
    missing = int(pd.isna(mask).sum())
    if missing:
        msg = f"exclude is neither True nor False for {missing:,} cells; fill them, such as by .fillna(False)."
        raise ValueError(msg)
    return np.asarray(mask, bool)


def _positions(adata: AnnData, cells: np.ndarray) -> np.ndarray:
    if cells.dtype == bool:
        if len(cells) != adata.n_obs:
            msg = f"A mask of {len(cells):,} cells was given for {adata.n_obs:,}; expected True or False for each."
            raise ValueError(msg)
        return np.flatnonzero(cells)
    if np.issubdtype(cells.dtype, np.integer):
        outside = (cells < 0) | (cells >= adata.n_obs)
        positions = cells.astype(np.int64)
    else:
        positions = adata.obs_names.get_indexer(cells.astype(str))
        outside = positions < 0
    if outside.any():
        example = str(cells[outside][0])
        msg = f"{int(outside.sum()):,} of {len(cells):,} cells are not in the AnnData, such as {example!r}."
        raise KeyError(msg)
    return positions


def _centers(
    centers: str | np.ndarray, n_groups: int | None, points: np.ndarray, rng: np.random.Generator
) -> np.ndarray:
    """Return the points to begin groups with that may share cells."""
    named = not isinstance(centers, str)
    if named or centers == "all":
        if n_groups is not None:
            why = "the centers are given" if named else "centers='all' makes a group of every cell"
            msg = f"n_groups={n_groups:,}, but {why}; give n_groups with centers='random' or 'farthest'."
            raise ValueError(msg)
        return centers if named else np.arange(len(points))
    if n_groups is None or n_groups > len(points):
        msg = f"centers={centers!r} needs n_groups between 1 and {len(points):,}, the number of cells; got {n_groups}."
        raise ValueError(msg)
    if centers == "random":
        return np.sort(rng.choice(len(points), n_groups, replace=False))
    return farthest_first(points, n_groups, int(rng.integers(len(points))))


def _separate(
    centers: str | np.ndarray, n_groups: int | None, points: np.ndarray, k: int, rng: np.random.Generator
) -> tuple[np.ndarray, np.ndarray]:
    """Return the centres and members of groups without shared cells."""
    most = len(points) if n_groups is None else n_groups
    if not isinstance(centers, str):
        return without_shared_points(points, centers, k, most)
    if centers == "farthest":
        return spread_without_shared_points(points, k, most, int(rng.integers(len(points))))
    return without_shared_points(points, rng.permutation(len(points)), k, most)


def _given(adata: AnnData, centers: Any, cells: np.ndarray) -> str | np.ndarray:
    """Return the way to choose centres, or the positions in `cells` of those that the user named."""
    if isinstance(centers, str):
        if centers not in {"all", "random", "farthest"}:
            msg = f"centers={centers!r} is unknown; expected 'all', 'random', 'farthest', or cells."
            raise ValueError(msg)
        return centers
    if np.ndim(centers) == 0:
        msg = f"centers is {centers!r}; expected 'all', 'random', 'farthest' (how many: n_groups=) or a list of cells."
        raise TypeError(msg)
    chosen = _positions(adata, np.asarray(centers))
    if len(chosen) == 0:
        msg = "centers names no cell; expected at least one to begin a group with."
        raise ValueError(msg)
    excluded = ~np.isin(chosen, cells)
    if excluded.any() or len(np.unique(chosen)) < len(chosen):
        what = "are among the excluded cells" if excluded.any() else "are repeated"
        msg = f"Of the {len(chosen):,} centers given, some {what}; each must be a cell of its own that may be grouped."
        raise ValueError(msg)
    return np.searchsorted(cells, chosen)


def _neighbors(
    points: np.ndarray, centers: np.ndarray, k: int, method: str, *, seed: int, n_jobs: int | None
) -> np.ndarray:
    """Return the `k` nearest points of the centres, themselves included."""
    one_of(method, "method", ("auto", "exact", "approximate"))
    if method == "exact" or (method == "auto" and len(centers) * len(points) <= EXACT_UP_TO):
        return nearest_points(points, centers, k)
    return with_themselves(approximate_neighbors(points, k, seed=seed, n_jobs=n_jobs)[centers], centers)
