"""Distances between elements of one component against permuted labels."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from scatacworks import _keys
from scatacworks._anndata import slot_of
from scatacworks._palette import component_colors
from scatacworks.pl._figure import FAINT, LINE, create_axes, dress, finish, legend_above, name_rows

if TYPE_CHECKING:
    import pandas as pd
    from anndata import AnnData
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure


def component_clustering(
    index: AnnData,
    *,
    key: str = _keys.COMPONENT_CLUSTERING,
    alpha: float = 0.05,
    ax: Axes | None = None,
    figsize: tuple[float, float] | None = None,
    show: bool | None = None,
    return_fig: bool = False,
) -> Figure | None:
    """Show how far apart neighbouring elements of each component lie, and how far under permuted labels.

    A point per component is the observed mean distance, filled where it is significantly short; the grey mark is the
    mean over permutations, with a bar of two standard deviations to each side. The number at the right is observed over
    expected. Components with a single element on every chromosome have no distance and are left out.

    Parameters
    ----------
    index
        Object on which :func:`~scatacworks.tl.component_clustering` has run.
    key
        Slot of `.uns`.
    alpha
        p-value up to which points are filled.
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
        If the slot is missing.
    ValueError
        If no component has a distance.

    Examples
    --------
    >>> import anndata, numpy as np, pandas as pd, scatacworks as sca
    >>> var = pd.DataFrame({"chrom": "chr1", "start": np.arange(0, 100_000, 1000)})
    >>> var["end"] = var["start"] + 200
    >>> var["component"] = np.where(var["start"] < 50_000, "Lymphoid", "Neural")
    >>> index = anndata.AnnData(np.ones((1, 100), np.float32), var=var.set_index(var.index.astype(str)))
    >>> sca.tl.component_clustering(index, n_permutations=99)
    >>> figure = sca.pl.component_clustering(index, return_fig=True)
    >>> [label.get_text() for label in figure.axes[0].get_yticklabels()]
    ['Lymphoid', 'Neural']
    """
    table = slot_of(index, key, "sca.tl.component_clustering(index)", "components")["components"]
    colors = component_colors(index.uns, [str(name) for name in table["component"]])
    table = table[table["ratio"].notna()]
    if table.empty:
        msg = f"No component of .uns[{key!r}] has two elements on one chromosome."
        raise ValueError(msg)
    figure, axes = create_axes(ax, figsize, (4.8, 0.9 + 0.2 * len(table)))
    _draw(axes, table, [colors[str(name)] for name in table["component"]], alpha)
    dress(axes, x="mean distance to the nearest element (kb)")
    name_rows(axes, list(map(str, table["component"])), [f"{ratio:.2f}" for ratio in table["ratio"]])
    legend_above(axes, loc="lower right", bbox_to_anchor=(1, 1), ncols=3, columnspacing=1.2, handletextpad=0.5)
    return finish(figure, show=show, return_fig=return_fig, given=ax is not None)


def _draw(ax: Axes, table: pd.DataFrame, colors: list[str], alpha: float) -> None:
    """Draw points, marks and bars, and what they are in the legend."""
    place = np.arange(len(table))
    observed, expected = table["mean_distance"].to_numpy() / 1e3, table["expected"].to_numpy() / 1e3
    spread = 2 * np.nan_to_num(table["expected_sd"].to_numpy()) / 1e3
    low = np.maximum(expected - spread, expected * 0.01)  # above zero for the log scale
    ax.hlines(place, observed, expected, color=LINE, linewidth=0.8, zorder=1)
    ax.barh(place, expected + spread - low, left=low, height=0.5, color=LINE, zorder=2, label="± 2 sd")
    ax.plot(expected, place, "|", color=FAINT, markersize=6, zorder=3, label="permuted labels")
    face = np.where(table["p_value"] <= alpha, colors, "white")
    ax.scatter(observed, place, s=22, facecolors=face, edgecolors=colors, linewidths=0.9, zorder=4)
    ax.plot([], [], "o", color=FAINT, markersize=4.5, label=f"observed (filled: p ≤ {alpha:g})")
    _scale(ax, np.concatenate([observed, low, expected + spread]))


def _scale(ax: Axes, values: np.ndarray) -> None:
    """Set a log scale with plain numbers, more of them on a short one."""
    from matplotlib.ticker import FuncFormatter, LogLocator, NullFormatter

    ax.set_xscale("log")
    ax.set_xlim(values.min() / 1.15, values.max() * 1.15)
    ax.xaxis.set_major_locator(LogLocator(subs=(1, 2, 3, 5, 7) if values.max() < 10 * values.min() else (1, 2, 5)))
    ax.xaxis.set_major_formatter(FuncFormatter(lambda x, _: f"{x:g}"))
    ax.xaxis.set_minor_formatter(NullFormatter())
