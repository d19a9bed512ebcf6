"""How much motif scores vary between cells."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
from scipy import stats

from scatacworks import _keys, _step
from scatacworks._anndata import numbered
from scatacworks._arguments import share, whole
from scatacworks._core.deviations import variability
from scatacworks._core.fdr import benjamini_hochberg

if TYPE_CHECKING:
    from anndata import AnnData
    from mudata import MuData

__all__ = ["motif_variability"]


def motif_variability(
    adata: AnnData | MuData,
    *,
    key: str = _keys.MOTIF_DEVIATIONS,
    n_bootstrap: int = 1000,
    confidence: float = 0.95,
    key_added: str = _keys.MOTIF_VARIABILITY,
    seed: int | np.random.Generator | None = 0,
    mod: str = "atac",
    copy: bool = False,
) -> AnnData | MuData | None:
    """Rank motifs (or region sets) by the variability of their z-scores over cells.

    Variability is the standard deviation of the z-scores (1 when the set varies as its background does), with a
    bootstrap interval over cells; p is the upper tail of chi-square with n - 1 degrees of freedom at (n - 1) sd²,
    adjusted by Benjamini-Hochberg. As in chromVAR (Schep et al. 2017), except that n is the number of cells with a
    score: chromVAR takes all cells, which makes p too small where many have none.

    Parameters
    ----------
    adata
        Object on which :func:`~scatacworks.tl.motif_deviations` has run.
    key
        Name given there.
    n_bootstrap
        Number of bootstrap samples of cells.
    confidence
        Width of the interval.
    key_added
        Name in `.uns`.
    seed
        Seed of the bootstrap.
    mod
        Modality to use where `adata` is a MuData.
    copy
        Return a changed copy instead of writing to `adata`.

    Returns
    -------
    `None`, or the changed copy. Sets `.uns[key_added]`, a DataFrame sorted by variability: `name`, `variability`,
    `lower`, `upper`, `n_cells` (with a score), `p_value`, `q_value`.

    Raises
    ------
    KeyError
        If the deviations are missing.
    ValueError
        If `.uns[key_added]` holds another kind of result.

    Examples
    --------
    >>> import anndata, numpy as np, pandas as pd, scatacworks as sca
    >>> adata = anndata.AnnData(np.zeros((100, 1), np.float32))
    >>> z = np.random.default_rng(0).normal(size=(100, 2)) * [1, 3]
    >>> adata.obsm["motif_deviations_z"] = pd.DataFrame(z, index=adata.obs_names, columns=["flat", "GATA1"])
    >>> sca.tl.motif_variability(adata)
    >>> adata.uns["motif_variability"]["name"].tolist()
    ['GATA1', 'flat']
    """
    data, adata = _step.begin(adata, mod=mod, copy=copy)
    _step.claim(adata, key_added, "variability")
    if f"{key}_z" not in adata.obsm:
        msg = f"No .obsm[{key + '_z'!r}]; run sca.tl.motif_deviations(adata, ...) first."
        raise KeyError(msg)
    confidence = share(confidence, "confidence", inside=True)
    n_bootstrap = whole(n_bootstrap, "n_bootstrap", least=0)
    scores = adata.obsm[f"{key}_z"]
    z = scores.to_numpy(np.float64)
    observed, samples = variability(z, n_bootstrap=n_bootstrap, rng=np.random.default_rng(seed))
    n_cells = (~np.isnan(z)).sum(0)
    p = stats.chi2.sf((n_cells - 1) * observed**2, n_cells - 1)
    tail = (1 - confidence) / 2
    bounds = np.full((2, len(observed)), np.nan)
    some = ~np.isnan(samples).all(0)  # sets with two scores or more
    if some.any():
        bounds[:, some] = np.nanquantile(samples[:, some], [tail, 1 - tail], axis=0)
    table = pd.DataFrame(
        {
            "name": [str(name) for name in scores.columns],
            "variability": observed,
            "lower": bounds[0],
            "upper": bounds[1],
            "n_cells": n_cells,
            "p_value": p,
            "q_value": benjamini_hochberg(p),
        }
    ).sort_values("variability", ascending=False, kind="stable", ignore_index=True)
    adata.uns[key_added] = numbered(table)
    return data if copy else None
