"""Colours of groups, the same in every figure."""

from __future__ import annotations

from typing import TYPE_CHECKING

from scatacworks._membership import groupby_of, has_groups
from scatacworks._palette import category_colors, with_others
from scatacworks._text import listed

if TYPE_CHECKING:
    from collections.abc import Sequence

    from anndata import AnnData


def colors_by(adata: AnnData, groupby: str | None, key: str, groups: Sequence[str]) -> dict[str, str]:
    """Return a colour for every group, by the column asked for or the one that the groups of `.uns[key]` came from.

    Raises
    ------
    KeyError
        If there is no such column or membership.
    """
    if groupby is None:
        groupby = groupby_of(adata, key)
    elif not isinstance(groupby, str) or not has_groups(adata, groupby):
        msg = f"groupby={groupby!r} is no column of .obs, whose colours could be taken; it has {listed(adata.obs)}."
        raise KeyError(msg)
    return group_colors(adata, groupby, groups)


def group_colors(adata: AnnData, groupby: str, groups: Sequence[str]) -> dict[str, str]:
    """Return a colour for every group.

    Those of `.uns[f"{groupby}_colors"]`, scanpy's convention, which is written where it is missing, but not to a view,
    which would become a copy; groups that are no category of `.obs[groupby]` take colours of the palette in turn.
    """
    colors = category_colors(adata.uns, adata.obs.get(groupby))
    if len(adata.uns.get(f"{groupby}_colors", ())) < len(colors) and not adata.is_view:
        adata.uns[f"{groupby}_colors"] = list(colors.values())
    return with_others(colors, groups)
