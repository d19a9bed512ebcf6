"""Loadings of components as stacked bars, the same in every figure."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

import numpy as np

from scatacworks._anndata import component_names
from scatacworks._arguments import one_of
from scatacworks.pl._figure import SMALL, legend_beside
from scatacworks.tl._vocabulary._matrix import loadings_of

if TYPE_CHECKING:
    from anndata import AnnData
    from matplotlib.axes import Axes

_VECTOR_BARS = 2_000


def loadings_and_names(index: AnnData, axis: Literal["obs", "var"]) -> tuple[np.ndarray, list[str]]:
    """Loadings of one axis, and the names of the components."""
    loadings = loadings_of(index, f"{one_of(axis, 'axis', ('obs', 'var'))}m")
    return loadings, component_names(index, loadings.shape[1])


def shares(loadings: np.ndarray) -> np.ndarray:
    """Loadings divided by their sum in every row; rows without any loading stay zero."""
    total = loadings.sum(axis=1, keepdims=True)
    return np.divide(loadings, total, out=np.zeros_like(loadings), where=total > 0)


def winner_order(loadings: np.ndarray) -> np.ndarray:
    """Rows by dominant component, inside by falling loading; rows without any loading last."""
    best = np.where(loadings.any(axis=1), loadings.argmax(axis=1), loadings.shape[1])
    return np.lexsort((-loadings.max(axis=1), best))


def stacked(ax: Axes, loadings: np.ndarray, colors: dict[str, str], *, width: float = 1.0) -> None:
    """Stacked bars, one per row, components from the bottom in order, with the names of those that have a loading.

    There is one artist per component. More of them than a page has dots are pixels in vector formats as well.
    """
    from matplotlib.collections import PolyCollection
    from matplotlib.patches import Patch

    bottom = np.zeros(len(loadings))
    at = np.arange(len(loadings))
    left, right = at - width / 2, at + width / 2
    for name, column in zip(colors, loadings.T, strict=True):
        top = bottom + column
        corners = np.stack(
            [np.column_stack(part) for part in ((left, bottom), (left, top), (right, top), (right, bottom))], axis=1
        )
        bars = PolyCollection(corners[column > 0], facecolors=colors[name], linewidths=0, label=name)
        bars.set_rasterized(len(loadings) > _VECTOR_BARS)
        ax.add_collection(bars, autolim=False)
        bottom = top
    ax.set_xlim(-0.5, len(loadings) - 0.5)
    ax.set_ylim(0, max(float(bottom.max(initial=0)) * 1.02, 1e-9))
    some = loadings.any(axis=0)
    handles = [Patch(facecolor=colors[name], label=name) for name, shown in zip(colors, some, strict=True) if shown]
    legend_beside(
        ax, handles=handles[::-1], bbox_to_anchor=(1.01, 1), title="component", title_fontsize=SMALL, handlelength=1,
        handleheight=1, borderaxespad=0, labelspacing=0.3,
    )  # fmt: skip
