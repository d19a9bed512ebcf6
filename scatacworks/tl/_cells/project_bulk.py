"""Single cells in the space of a bulk reference."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

import numpy as np

from scatacworks import _keys, _step
from scatacworks._arguments import one_of, whole
from scatacworks.tl._cells._reference import common_peaks

if TYPE_CHECKING:
    import pandas as pd
    from anndata import AnnData
    from mudata import MuData

__all__ = ["project_bulk"]


def project_bulk(
    adata: AnnData | MuData,
    reference: AnnData | pd.DataFrame,
    *,
    n_components: int | None = None,
    normalize: Literal["quantile", "log"] | None = "quantile",
    layer: str | None = None,
    key_added: str = _keys.X_BULK,
    mod: str = "atac",
    copy: bool = False,
) -> AnnData | MuData | None:
    """Project cells on the principal components of a bulk reference over common peaks.

    The normalised reference is centred per peak and decomposed; cells, as presence (a peak with any count) divided by
    the number of peaks present, are centred per peak over the cells and multiplied with the loadings. The components
    of every cell, and of every reference sample, are then centred and scaled to unit variance, which takes away what
    depth does to the length of the vectors (Lal et al. 2021, projection of single cells; Buenrostro et al. 2018). That
    gives signs of components a meaning, which a decomposition leaves open: each is positive for the few samples that it
    sets apart (of positive skewness), whatever the order of samples and peaks.
    On sorted bone marrow, presence and quantile normalisation place more cells on their population than logarithms
    of scaled counts, which carry depth into the components.

    Parameters
    ----------
    adata
        Cells × peaks, counts.
    reference
        Samples × peaks, or a DataFrame of peaks × samples; peaks are matched by name (`chrom:start-end`).
    n_components
        Number of components, at least two, or scaling them per cell would leave nothing; by default all, one fewer
        than samples.
    normalize
        `"quantile"`: log2(x + 1), then the same distribution of values in every sample, equal values staying equal;
        `"log"`: log2 of values per million + 1; `None`: as given.
    layer
        Layer with the counts, instead of `X`.
    key_added
        Name in `.obsm` and `.uns`.
    mod
        Modality to use where `adata` is a MuData.
    copy
        Return a changed copy instead of writing to `adata`.

    Returns
    -------
    `None`, or the changed copy. Sets:

    `.obsm[key_added]` : float32, cells × components
        NaN for cells without a count in the common peaks.
    `.uns[key_added]` : dict
        `names` and `scores` (samples × components) of the reference, `loadings` (common peaks × components),
        `explained` (share of variance per component), `n_common` peaks, `params`.

    Raises
    ------
    ValueError
        If fewer than 10 peaks are common, the reference has fewer than three samples, only equal ones, values that are
        missing or negative (but for `normalize=None`) or a peak twice, or an argument is out of range; if
        `.uns[key_added]` holds another kind of result.

    Examples
    --------
    >>> import anndata, numpy as np, pandas as pd, scatacworks as sca
    >>> rng = np.random.default_rng(0)
    >>> bulk = pd.DataFrame(rng.gamma(1, 10, (50, 4)), columns=["B", "T", "NK", "Mono"])
    >>> bulk.index = [f"chr1:{i}-{i + 1}" for i in range(50)]
    >>> cells = anndata.AnnData(rng.poisson(bulk["B"].to_numpy(), (5, 50)).astype(np.float32))
    >>> cells.var_names = bulk.index
    >>> sca.tl.project_bulk(cells, bulk)
    >>> cells.obsm["X_bulk"].shape
    (5, 3)
    """
    data, adata = _step.begin(adata, mod=mod, copy=copy)
    _step.claim(adata, key_added, "n_common", obsm=key_added != _keys.X_BULK)
    names, bulk, present = common_peaks(adata, reference, layer=layer, raw=normalize is not None)
    if len(names) < 3:
        msg = f"The reference has {len(names)} samples; expected at least 3."
        raise ValueError(msg)
    most = len(names) - 1
    of = "one fewer than samples"
    n_components = most if n_components is None else whole(n_components, "n_components", least=2, most=most, of=of)
    bulk = _normalized(bulk, normalize)
    if not np.ptp(bulk, axis=0).any():
        msg = f"All samples of the reference are alike in the {bulk.shape[1]:,} common peaks; give samples that differ."
        raise ValueError(msg)
    bulk = bulk - bulk.mean(0)
    left, size, right = np.linalg.svd(bulk, full_matrices=False)
    sign = np.where((left**3).sum(0) < 0, -1.0, 1.0)
    left, right = left * sign, right * sign[:, None]
    loadings = right[:n_components].T
    n_present = np.asarray(present.sum(1)).ravel()
    empty = n_present == 0
    weight = 1 / np.maximum(n_present, 1)  # every cell's profile sums to 1
    mean = weight @ present / max((~empty).sum(), 1)
    scores = _standardized(np.asarray(present @ loadings) * weight[:, None] - mean @ loadings)
    scores[empty] = np.nan
    adata.obsm[key_added] = scores.astype(np.float32)
    adata.uns[key_added] = {
        "names": np.array(names, dtype=object),
        "scores": _standardized(left[:, :n_components] * size[:n_components]),
        "loadings": loadings,
        "explained": (size**2 / (size**2).sum())[:n_components],
        "n_common": bulk.shape[1],
        _keys.PARAMS: _step.params(n_components=n_components, normalize=normalize or "none"),
    }
    return data if copy else None


def _normalized(values: np.ndarray, how: str | None) -> np.ndarray:
    """Make samples (rows) comparable."""
    one_of(how, "normalize", ("quantile", "log", None))
    if how is None:
        return values
    if how == "log":
        return np.log2(values / np.maximum(values.sum(1, keepdims=True), 1e-300) * 1e6 + 1)
    logs = np.log2(values + 1)
    mean = np.sort(logs, axis=1).mean(0)
    return np.stack([_replaced(row, mean) for row in logs])


def _replaced(values: np.ndarray, by: np.ndarray) -> np.ndarray:
    """Return the sorted values `by` in the order of `values`; equal ones get the mean of theirs, as zeros all do."""
    _, inverse, count = np.unique(values, return_inverse=True, return_counts=True)
    return (np.add.reduceat(by, np.cumsum(count) - count) / count)[inverse]


def _standardized(scores: np.ndarray) -> np.ndarray:
    """Centre and scale every row."""
    spread = scores.std(1, keepdims=True)
    return (scores - scores.mean(1, keepdims=True)) / np.where(spread > 0, spread, 1)
