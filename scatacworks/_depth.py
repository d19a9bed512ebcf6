"""Depth of each group's cut sites, the one number that models are scaled by."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from scatacworks import _keys
from scatacworks._anndata import atac
from scatacworks._core.territory import REFERENCE_BP
from scatacworks.get._track import tracks

if TYPE_CHECKING:
    from anndata import AnnData
    from mudata import MuData

    from scatacworks.tracks import Tracks


def depths(adata: AnnData | MuData, key: str = _keys.PSEUDOBULK, *, mod: str = "atac") -> np.ndarray:
    """Return each group's cut sites per 3.1e9 bp of the territory that the fragments cover.

    A sample with 5 million cut sites all over the human genome has depth 5e6; so has a file cut to windows of it. The
    territory is the estimate of :func:`~scatacworks.pp.pseudobulk`, or the genome's length where that is missing.
    Mitochondria and plastids count for neither: how many of their fragments a sample has says nothing about its depth.

    Parameters
    ----------
    adata
        Cells, after :func:`~scatacworks.pp.pseudobulk`.
    key
        Slot of `.uns`.
    mod
        Modality to use where `adata` is a MuData.

    Returns
    -------
    float64, `(n_groups,)`.
    """
    sites = tracks(adata, key=key, layer=_keys.CUT_SITES, mod=mod)
    known = atac(adata, mod=mod).uns[key].get(_keys.PARAMS, {}).get("territory_bp")
    territory_bp = float(sites.genome.lengths[sites.genome.nuclear].sum() if known is None else known)
    return REFERENCE_BP * nuclear_sums(sites) / territory_bp


def nuclear_sums(sites: Tracks) -> np.ndarray:
    """Return the cut sites of every group on nuclear chromosomes; float64, `(n_groups,)`."""
    return sum((sites.sums(code) for code in np.flatnonzero(sites.genome.nuclear)), np.zeros(len(sites.groups)))
