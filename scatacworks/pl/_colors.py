"""Colours of groups, the same in every figure."""

from __future__ import annotations

from typing import TYPE_CHECKING

from scatacworks._palette import category_colors, with_others

if TYPE_CHECKING:
    from collections.abc import Sequence

    from anndata import AnnData

GREY = "#8c8f94"


def group_colors(adata: AnnData, groupby: str | None, groups: Sequence[str]) -> dict[str, str]:
    """Return a colour for every group.

    Those of `.uns[f"{groupby}_colors"]`, scanpy's convention, which is written where it is missing, but not to a view,
    which would become a copy; groups that are no category of `.obs[groupby]` take colours of the palette in turn.
    """
    colors = category_colors(adata.uns, None if groupby is None else adata.obs.get(groupby))
    if len(adata.uns.get(f"{groupby}_colors", ())) < len(colors) and not adata.is_view:
        adata.uns[f"{groupby}_colors"] = list(colors.values())
    return with_others(colors, groups)
