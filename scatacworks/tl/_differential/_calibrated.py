"""The default test: a fixed set of regions, compared with how the background groups themselves vary."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from scatacworks import _keys
from scatacworks._core.differential import farthest_from_zero, segment_means
from scatacworks._core.region_test import normalize, one_against_many
from scatacworks._core.replication import Overlap, group_overlap, independent
from scatacworks._logging import logger
from scatacworks._membership import has_groups, resolve_groups
from scatacworks.tl._differential._target import stretches, target_cells

if TYPE_CHECKING:
    from anndata import AnnData
    from scipy.sparse import csr_matrix

    from scatacworks.tl._differential._store import Background
    from scatacworks.tl._differential._target import Target

FEWEST_GROUPS = 10
SMALLEST_SHARE, LARGEST_SHARE = 0.75, 1.5  # of a usual group's fragments


def calibrated_test(
    adata: AnnData, background: Background, target: Target, key: str
) -> tuple[pd.DataFrame, dict[str, float]]:
    """Return the tested regions with z and p, and what the groups' overlap amounts to."""
    kept, overlap = _usable_groups(adata, background, target.group, key)
    table = background.universe[["chrom", "start", "end", "family"]].reset_index(drop=True)
    table = pd.concat([table, _summaries(background, target, table)], axis=1)
    groups, family = np.asarray(background.signal[:])[kept], table["family"].to_numpy(str)
    own = normalize(table["mean"].to_numpy()[None], groups, family)[0]
    groups = normalize(groups, groups, family)
    result = one_against_many(own, groups, overlap, family)
    table = table.assign(
        mean=own, mean_background=groups.mean(axis=0), z=result.z, p_value=result.p, p_value_normal=result.p_normal
    )
    table["direction"] = np.where(table["mean"] >= table["mean_background"], 1, -1).astype(np.int8)
    notes = {
        "n_groups": int(kept.sum()),
        "effective_number": float(overlap.effective_number),
        "target_noise": float(overlap.target_noise),
    }
    return table, notes


def _usable_groups(adata: AnnData, background: Background, group: str, key: str) -> tuple[np.ndarray, Overlap]:
    """Return which background groups are compared with, and what they are worth."""
    filled = background.total > 0
    cells = target_cells(adata, key, group)
    groupby = background.params.get("groupby", "")
    if cells is None or not has_groups(adata, groupby):
        logger.warning("The cells of the groups are not known here; those they share are not accounted for.")
        return filled, independent(int(filled.sum()))
    membership = resolve_groups(adata, groupby)
    position = {name: i for i, name in enumerate(membership.groups)}
    members = membership.matrix[:, [position[name] for name in background.groups]]
    shares = np.asarray(members[cells].sum(axis=0)).ravel() > 0
    kept = filled & ~shares
    if kept.sum() < FEWEST_GROUPS:
        msg = (
            f"Only {int(kept.sum())} of {len(kept)} background groups hold no cell of {group!r}; at least "
            f"{FEWEST_GROUPS} are needed. Make the background without these cells, or of more groups."
        )
        raise ValueError(msg)
    if shares.any():
        logger.info("%d of %d background groups hold cells of %r and are left out.", shares.sum(), len(kept), group)
    weights = adata.obs[_keys.N_FRAGMENTS].to_numpy(np.float64) if _keys.N_FRAGMENTS in adata.obs else None
    _warn_about_size(members[:, kept], cells, weights, group)
    return kept, group_overlap(members[:, kept], cells, weights)


def _warn_about_size(members: csr_matrix, cells: np.ndarray, weights: np.ndarray | None, group: str) -> None:
    """Say that a group much smaller or larger than those it is compared with varies more or less than they do."""
    weights = np.ones(len(cells)) if weights is None else weights
    usual = float(np.median(weights @ members.astype(np.float64)))
    own = float(weights[cells].sum())
    if SMALLEST_SHARE * usual <= own <= LARGEST_SHARE * usual:
        return
    what = "fragments" if weights.max() > 1 else "cells"
    effect, way_out = (
        ("fewer vary more, and chance may be called", "smaller")
        if own < usual
        else ("more vary less, and p-values are not exact", "larger")
    )
    logger.warning(
        "%r has %s %s, the groups of the background usually %s: %s. Make a background of %s groups.",
        *(group, f"{own:,.0f}", what, f"{usual:,.0f}", effect, way_out),
    )


def _summaries(background: Background, target: Target, table: pd.DataFrame) -> pd.DataFrame:
    """Return mean signal, and the z of the base farthest from 0, of every tested region."""
    mean, top, summit = np.zeros(len(table)), np.zeros(len(table)), np.zeros(len(table), np.int64)
    start, end = table["start"].to_numpy(np.int64), table["end"].to_numpy(np.int64)
    by_chrom = {str(chrom): np.sort(at) for chrom, at in table.groupby("chrom", observed=True).indices.items()}
    for stretch in stretches(background, target):
        z = stretch.z
        rows = by_chrom.get(stretch.chrom, np.empty(0, np.int64))
        rows = rows[slice(*np.searchsorted(start[rows], [stretch.start, stretch.end]))]
        low, high = start[rows] - stretch.start, end[rows] - stretch.start
        mean[rows] = segment_means(stretch.signal[None], low, high)[0]
        at = farthest_from_zero(z, low, high)
        top[rows], summit[rows] = z[at], at + stretch.start
    return pd.DataFrame({"summit": summit, "top_z": top, "mean": mean})
