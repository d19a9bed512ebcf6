"""Depth of each group's cut sites, the one number that models are scaled by."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from scatacworks import _keys
from scatacworks._anndata import atac, params_of
from scatacworks._arguments import real
from scatacworks._core.territory import REFERENCE_BP
from scatacworks._groups import group_name
from scatacworks._text import listed
from scatacworks.get._track import tracks

if TYPE_CHECKING:
    from anndata import AnnData
    from mudata import MuData

    from scatacworks.genome import Genome
    from scatacworks.tracks import Tracks


def depths(adata: AnnData | MuData, key: str = _keys.PSEUDOBULK) -> np.ndarray:
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

    Returns
    -------
    float64, `(n_groups,)`.
    """
    sites = tracks(adata, key=key, layer=_keys.CUT_SITES)
    require_nucleus(sites.genome)
    known = params_of(atac(adata), key).get("territory_bp")
    territory_bp = float(sites.genome.lengths[sites.genome.nuclear].sum() if known is None else known)
    return REFERENCE_BP * nuclear_sums(sites) / territory_bp


def require_nucleus(genome: Genome) -> None:
    """Refuse to measure depth where there is nothing to measure it by.

    Raises
    ------
    ValueError
        If all chromosomes are mitochondria or plastids.
    """
    if not genome.nuclear.any():
        msg = (
            f"All chromosomes of {genome.name!r} are mitochondria or plastids, by which depth is not measured "
            f"({listed(genome.chroms)}). If they are not, say so when the fragments are read: "
            "genome=sca.Genome(sizes, organelles=[]). Else state it, where there is an argument depth=."
        )
        raise ValueError(msg)


def given_depths(given: Any, sites: Tracks, name: str = "depth") -> np.ndarray:
    """Return the depths that a user states: one for all groups, one per group, or a mapping; float64, `(n_groups,)`.

    Raises
    ------
    KeyError
        If a mapping lacks a group.
    TypeError
        If one is no number.
    ValueError
        If there are more or fewer than groups, or one is not positive and finite; 0 will do for a group without cut
        sites.
    """
    groups = sites.groups
    if hasattr(given, "keys"):
        by_name = {group_name(key): value for key, value in given.items()}
        missing = [group for group in groups if group not in by_name]
        if missing:
            msg = f"{name} has no entry for the group(s) {listed(map(repr, missing))}."
            raise KeyError(msg)
        values = [by_name[group] for group in groups]
    elif np.ndim(given) == 0:
        values = [real(given, name)] * len(groups)
    else:
        values = list(given)
    if len(values) != len(groups):
        msg = f"{name} has {len(values)} entries; expected one number, or one for each of the {len(groups)} groups."
        raise ValueError(msg)
    found = np.array([real(v, f"{name} of the group {g!r}") for g, v in zip(groups, values, strict=True)], np.float64)
    wrong = ~((found > 0) & np.isfinite(found))
    if wrong.any() and (found[wrong] == 0).all():
        wrong &= sites.sums() > 0
    if wrong.any():
        i = int(np.argmax(wrong))
        msg = (
            f"{name} of the group {groups[i]!r} is {found[i]:g}; expected a positive number of cut sites per 3.1e9 bp "
            "of territory."
        )
        raise ValueError(msg)
    return found


def nuclear_sums(sites: Tracks) -> np.ndarray:
    """Return the cut sites of every group on nuclear chromosomes; float64, `(n_groups,)`."""
    return sum((sites.sums(code) for code in np.flatnonzero(sites.genome.nuclear)), np.zeros(len(sites.groups)))
