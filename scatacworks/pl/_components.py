"""Order of components and their stacked bars, the same in every figure."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from scatacworks.pl._figure import SMALL, legend_beside

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.axes import Axes


_VECTOR_BARS = 2_000


def winner_order(loadings: np.ndarray) -> np.ndarray:
    """Rows by dominant component, inside by falling loading; rows without any loading last."""
    best = np.where(loadings.any(axis=1), loadings.argmax(axis=1), loadings.shape[1])
    return np.lexsort((-loadings.max(axis=1), best))


def stacked(ax: Axes, loadings: np.ndarray, colors: dict[str, str], *, width: float = 1.0) -> None:
    """Stacked bars, one per row, components from the bottom in order; one artist per component.

    More of them than a page has dots are pixels in vector formats as well.
    """
    from matplotlib.collections import PolyCollection

    bottom = np.zeros(len(loadings))
    at = np.arange(len(loadings))
    for name, column in zip(colors, loadings.T, strict=True):
        top = bottom + column
        left, right = at - width / 2, at + width / 2
        corners = np.stack(
            [np.column_stack(part) for part in ((left, bottom), (left, top), (right, top), (right, bottom))], axis=1
        )
        bars = PolyCollection(corners[column > 0], facecolors=colors[name], linewidths=0, label=name)
        bars.set_rasterized(len(loadings) > _VECTOR_BARS)
        ax.add_collection(bars, autolim=False)
        bottom = top
    ax.set_xlim(-0.5, len(loadings) - 0.5)
    ax.set_ylim(0, max(float(bottom.max(initial=0)) * 1.02, 1e-9))


def legend(ax: Axes, colors: dict[str, str], shown: pd.Index | list[str], *, title: str = "component") -> None:
    """Names of the shown components beside the axes."""
    from matplotlib.patches import Patch

    handles = [Patch(facecolor=color, label=name) for name, color in colors.items() if name in set(map(str, shown))]
    legend_beside(
        ax, handles=handles[::-1], bbox_to_anchor=(1.01, 1), title=title, title_fontsize=SMALL, handlelength=1,
        handleheight=1, borderaxespad=0, labelspacing=0.3,
    )  # fmt: skip
