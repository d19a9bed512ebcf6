"""Peaks of all groups at a glance."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from scatacworks import _keys
from scatacworks._anndata import atac, peaks_of
from scatacworks._groups import chosen_groups, named
from scatacworks.pl._colors import colors_by
from scatacworks.pl._figure import FAINT, FONT, INK, LINE, SMALL, WIDTH, finish, size_of

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from anndata import AnnData
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure
    from mudata import MuData

_ROW = 0.24  # inches


def peaks(
    adata: AnnData | MuData,
    *,
    key: str = _keys.PEAKS,
    groups: Sequence[str] | None = None,
    groupby: str | None = None,
    mod: str = "atac",
    figsize: tuple[float, float] | None = None,
    show: bool | None = None,
    return_fig: bool = False,
) -> Figure | None:
    """Show how many peaks every group has, how wide and how high they are.

    Boxes are quartiles with the median, whiskers the 5th and 95th percentile.

    Parameters
    ----------
    adata
        Cells, after :func:`~scatacworks.tl.call_peaks`.
    key
        Slot of `.uns` with the peaks.
    groups
        Groups to show, in this order; all by default.
    groupby
        Column of `.obs` whose colours are taken; by default that of the pseudobulk.
    mod
        Modality to use where `adata` is a MuData.
    figsize
        Width and height in inches.
    show
        Show the figure; by default where it is not returned.
    return_fig
        Return the figure.

    Returns
    -------
    The :class:`~matplotlib.figure.Figure` if `return_fig=True` or `show=False`, else `None`.

    Raises
    ------
    KeyError
        If there are no peaks, the table lacks a column, or there is no such group.

    Examples
    --------
    >>> import scatacworks as sca
    >>> adata = sca.datasets.toy()
    >>> sca.pp.pseudobulk(adata, "group", progress=False)
    >>> sca.tl.denoise(adata, depth=5e6, progress=False)
    >>> sca.tl.call_peaks(adata)
    >>> fig = sca.pl.peaks(adata, show=False)
    >>> [ax.get_xlabel() for ax in fig.axes]
    ['number of peaks', 'width (bp)', 'height (coverage)']
    """
    import matplotlib.pyplot as plt

    adata = atac(adata, mod=mod)
    table, names = _table(adata, key, groups)
    colors = colors_by(adata, groupby, _keys.PSEUDOBULK, names)
    size = size_of(figsize, (WIDTH, _ROW * len(names) + 0.75))
    figure, axes = plt.subplots(1, 3, figsize=size, sharey=True, layout="constrained")
    counts = table["group"].value_counts().reindex(names, fill_value=0)
    rows = np.arange(len(names))
    axes[0].barh(rows, counts, height=0.7, color=[colors[name] for name in names])
    for row, count in zip(rows, counts, strict=True):
        axes[0].annotate(f" {count:,}", (count, row), va="center", fontsize=SMALL, color=FAINT)
    axes[0].set_xlim(0, max(1.2 * max(counts, default=0), 1))
    _boxes(axes[1], table["end"] - table["start"], table["group"], names, colors)
    _boxes(axes[2], table["max"], table["group"], names, colors)
    _dress(axes, names)
    return finish(figure, show=show, return_fig=return_fig, given=False)


def _table(adata: AnnData, key: str, groups: Sequence[str] | None) -> tuple[pd.DataFrame, list[str]]:
    table = peaks_of(adata, key, "group", "start", "end", "max")
    known = pd.Categorical(table["group"]).categories
    names = chosen_groups(groups, known, within=f"among the peaks of .uns[{key!r}]")
    table = table.assign(group=named(table["group"]))
    return table[table["group"].isin(names)], names


def _boxes(ax: Axes, values: pd.Series, group: pd.Series, names: list[str], colors: Mapping[str, str]) -> None:
    """Draw a box per group that has peaks, on a logarithmic axis."""
    parts = {str(name): part.to_numpy(float) for name, part in values.groupby(group, observed=True)}
    own = [parts.get(name, np.empty(0)) for name in names]
    rows = [row for row, part in enumerate(own) if len(part)]
    if not rows:
        return
    look = {"showfliers": False, "whis": (5, 95), "widths": 0.6, "patch_artist": True, "orientation": "horizontal"}
    lines = {"color": FAINT, "linewidth": 0.8}
    drawn = ax.boxplot(
        [own[row] for row in rows],
        positions=rows,
        whiskerprops=lines,
        capprops=lines,
        medianprops={"color": "white", "linewidth": 1.4},
        manage_ticks=False,
        **look,
    )
    for box, row in zip(drawn["boxes"], rows, strict=True):
        box.set(facecolor=colors[names[row]], edgecolor="none")
    ax.set_xscale("log")


def _dress(axes: Sequence[Axes], names: list[str]) -> None:
    from matplotlib.ticker import LogLocator, NullFormatter, StrMethodFormatter

    for ax, label in zip(axes, ("number of peaks", "width (bp)", "height (coverage)"), strict=True):
        ax.set_xlabel(label, fontsize=FONT, color=INK)
        ax.spines[["top", "right", "left"]].set_visible(False)
        ax.spines["bottom"].set(color=FAINT, linewidth=0.6)
        ax.tick_params(axis="y", length=0)
        ax.tick_params(axis="x", which="both", labelsize=SMALL, color=FAINT, labelcolor=INK, width=0.6, length=2.5)
        ax.grid(axis="x", color=LINE, linewidth=0.5)
        ax.set_axisbelow(True)
        if ax.get_xscale() == "log":
            ax.xaxis.set_major_locator(LogLocator(subs=(1, 2, 5), numticks=6))
            ax.xaxis.set_major_formatter(StrMethodFormatter("{x:,g}"))
            ax.xaxis.set_minor_formatter(NullFormatter())
    axes[0].set_yticks(range(len(names)), names, fontsize=FONT, color=INK)
    axes[0].set_ylim(len(names) - 0.4, -0.6)
