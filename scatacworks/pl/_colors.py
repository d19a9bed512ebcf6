"""Colours of groups, the same in every figure."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pandas as pd

from scatacworks._palette import PALETTE, cycle

if TYPE_CHECKING:
    from collections.abc import Sequence

    from anndata import AnnData

GREY = "#8c8f94"


def group_colors(adata: AnnData, groupby: str | None, groups: Sequence[str]) -> dict[str, str]:
    """Return a colour for every group.

    Those of `.uns[f"{groupby}_colors"]`, scanpy's convention, which is written where it is missing; groups that are no
    category of `.obs[groupby]` take colours of the palette in turn.
    """
    colors: dict[str, str] = {}
    column = adata.obs.get(groupby) if groupby is not None else None
    if column is not None and isinstance(column.dtype, pd.CategoricalDtype):
        categories = list(map(str, column.cat.categories))
        slot = f"{groupby}_colors"
        stored = list(map(str, adata.uns.get(slot, ())))
        if len(stored) < len(categories):
            stored = cycle(len(categories))
            adata.uns[slot] = stored
        colors = dict(zip(categories, stored, strict=False))
    free = [color for color in PALETTE if color not in colors.values()] or list(PALETTE)
    others = [group for group in groups if group not in colors]
    return colors | {group: free[i % len(free)] for i, group in enumerate(others)}
