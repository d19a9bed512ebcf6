"""Cells among the samples of a bulk reference."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from scatacworks import _keys
from scatacworks._anndata import slot_of
from scatacworks._membership import column_groups
from scatacworks._palette import GREY
from scatacworks.pl._colors import group_colors
from scatacworks.pl._figure import INK, create_axes, dress, finish, legend_beside, legend_columns
from scatacworks.pl._point_names import name_points

if TYPE_CHECKING:
    from anndata import AnnData
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure


def projection(
    adata: AnnData,
    *,
    color: str | None = None,
    key: str = _keys.X_BULK,
    components: tuple[int, int] = (1, 2),
    size: float = 3.0,
    ax: Axes | None = None,
    figsize: tuple[float, float] | None = None,
    show: bool | None = None,
    return_fig: bool = False,
) -> Figure | None:
    """Show cells on two components of a bulk reference, with its samples named.

    Parameters
    ----------
    adata
        Cells on which :func:`~scatacworks.tl.project_bulk` has run.
    color
        Column of `.obs` with groups to colour by, such as the labels of :func:`~scatacworks.tl.transfer_labels`. Cells
        without a group are grey, and the legend says how many.
    key
        Slot of `.obsm` and `.uns`.
    components
        Components to show, counted from 1.
    size
        Size of the points of cells, in square points.
    ax
        Axes to draw in.
    figsize
        Width and height in inches.
    show
        Show the figure; by default where it is not returned.
    return_fig
        Return the figure.

    Returns
    -------
    The :class:`~matplotlib.figure.Figure` if `return_fig=True` or `show=False` or `ax` is given, else `None`.

    Raises
    ------
    KeyError
        If the projection or the column is missing.
    ValueError
        If there is no such component.

    Examples
    --------
    >>> import anndata, numpy as np, pandas as pd, scatacworks as sca
    >>> rng = np.random.default_rng(0)
    >>> bulk = pd.DataFrame(rng.gamma(1, 10, (50, 4)), columns=["B", "T", "NK", "Mono"])
    >>> bulk.index = [f"chr1:{i}-{i + 1}" for i in range(50)]
    >>> cells = anndata.AnnData(rng.poisson(bulk["B"].to_numpy(), (5, 50)).astype(np.float32))
    >>> cells.var_names = bulk.index
    >>> sca.tl.project_bulk(cells, bulk)
    >>> figure = sca.pl.projection(cells, return_fig=True)
    """
    stored = slot_of(adata, key, "sca.tl.project_bulk(adata, reference)", "scores", "names", "explained")
    if key not in adata.obsm:
        msg = f"No projection in .obsm[{key!r}]; run sca.tl.project_bulk(adata, reference) first."
        raise KeyError(msg)
    if color is not None and color not in adata.obs:
        msg = f"No column {color!r} in .obs; it has {list(adata.obs.columns)}."
        raise KeyError(msg)
    points, reference = np.asarray(adata.obsm[key]), np.asarray(stored["scores"])
    if min(components) < 1 or max(components) > points.shape[1]:
        msg = f"components is {components}; the projection has components 1 to {points.shape[1]}."
        raise ValueError(msg)
    shown = [component - 1 for component in components]
    codes, groups = (None, []) if color is None else column_groups(adata.obs[color])
    figure, axes = create_axes(ax, figsize, (4.2 + max(legend_columns(len(groups), 3.2), 1), 4.2))
    if codes is None:
        axes.scatter(*points[:, shown].T, s=size, color=GREY, linewidths=0, rasterized=True)
    else:
        colors = group_colors(adata, color, groups)
        without = codes < 0
        if without.any():
            label = f"no {color} ({without.sum():,})"
            axes.scatter(*points[without][:, shown].T, s=size, color=GREY, label=label, linewidths=0, rasterized=True)
        for code in np.unique(codes[codes >= 0]):
            look = {"color": colors[groups[code]], "label": groups[code], "linewidths": 0, "rasterized": True}
            axes.scatter(*points[codes == code][:, shown].T, s=size, **look)
        legend_beside(axes, markerscale=3)
    axes.scatter(*reference[:, shown].T, s=14, facecolor="white", edgecolor=INK, linewidths=0.8, zorder=3)
    name_points(axes, stored["names"], reference[:, shown])
    x, y = (f"component {i + 1} ({stored['explained'][i]:.0%} of the reference's variance)" for i in shown)
    dress(axes, x=x, y=y)
    return finish(figure, show=show, return_fig=return_fig, given=ax is not None)
