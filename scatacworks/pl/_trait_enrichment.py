"""Traits by component."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from scatacworks import _keys
from scatacworks._anndata import slot_of
from scatacworks._palette import component_colors
from scatacworks.pl._figure import FAINT, LINE, SMALL, create_axes, dress, finish, legend_above, legend_beside

if TYPE_CHECKING:
    from anndata import AnnData
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

_LEAST_P = 1e-300
_LIMITS = (3, 20)  # least and highest end of the colours


def trait_enrichment(
    index: AnnData | pd.DataFrame,
    trait: str | None = None,
    *,
    key: str = _keys.TRAIT_ENRICHMENT,
    fdr: float = 0.05,
    ax: Axes | None = None,
    figsize: tuple[float, float] | None = None,
    show: bool | None = None,
    return_fig: bool = False,
) -> Figure | None:
    """Show in which components the variants of traits are enriched: all traits in a heat map, or one over thresholds.

    The heat map shows -log10 of the lowest q over the thresholds of p, or z of the coefficients of LD score regression.
    Significant cells have a dot; traits are sorted by their leading component. One trait is shown as observed over
    expected at increasingly strict thresholds, with filled points where that is significant.

    Parameters
    ----------
    index
        Object on which :func:`~scatacworks.tl.trait_enrichment` has run; or the table of
        :func:`~scatacworks.io.read_ldsc`, all of whose annotations are shown (of several of one name the highest).
    trait
        Name of a trait, of those in an index; by default all.
    key
        Slot of `.uns`.
    fdr
        q-value up to which cells have a dot and points are filled.
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
        If the slot or the trait is missing, or a table is not that of :func:`~scatacworks.io.read_ldsc`.
    ValueError
        If there is no trait, or one is asked for of LD score regression, which has no thresholds.

    Examples
    --------
    >>> import anndata, numpy as np, pandas as pd, scatacworks as sca
    >>> var = pd.DataFrame({"chrom": "chr1", "start": np.arange(0, 100_000, 1000)})
    >>> var["end"] = var["start"] + 200
    >>> var["component"] = np.where(var["start"] < 20_000, "Lymphoid", "Neural")
    >>> index = anndata.AnnData(np.ones((1, 100), np.float32), var=var.set_index(var.index.astype(str)))
    >>> gwas = pd.DataFrame({"CHR": 1, "BP": np.arange(101, 10_000, 1000), "P": 1e-9})
    >>> sca.tl.trait_enrichment(index, sumstats={"count": gwas}, ld_blocks=1000)
    >>> figure = sca.pl.trait_enrichment(index, "count", return_fig=True)
    """
    if not isinstance(index, pd.DataFrame):
        table = slot_of(index, key, "sca.tl.trait_enrichment(index, sumstats=...)", "table")["table"]
    elif missing := [name for name in ("trait", "component", "coefficient_z", "q_value") if name not in index]:
        msg = f"The table lacks the column(s) {', '.join(missing)}; expected that of io.read_ldsc, or an index."
        raise KeyError(msg)
    else:
        table = index
    if trait is None:
        figure = _draw_all(table, fdr, ax, figsize)
    elif "threshold" in table:
        figure = _draw_one(index, table, trait, fdr, ax=ax, figsize=figsize)
    else:
        msg = "Results of LD score regression have no thresholds to show one trait over; leave trait out."
        raise ValueError(msg)
    return finish(figure, show=show, return_fig=return_fig, given=ax is not None)


def _draw_all(table: pd.DataFrame, fdr: float, ax: Axes | None, figsize: Any) -> Figure:
    """Draw a heat map of traits by components."""
    if table.empty:
        msg = "The table holds no trait."
        raise ValueError(msg)
    if "coefficient_z" in table:
        score, label, cmap, lowest = table["coefficient_z"], "z of the coefficient", "RdBu_r", -1
    else:
        score, label, cmap, lowest = -np.log10(table["q_value"].clip(lower=_LEAST_P)), "$-$log10 q", "Blues", 0
    table = table.astype({"trait": str, "component": str}).assign(score=score)
    traits, components = (list(dict.fromkeys(table[name])) for name in ("trait", "component"))
    values, q_values = (
        table.pivot_table(name, "trait", "component", aggfunc=best).reindex(traits, columns=components).to_numpy()
        for name, best in (("score", "max"), ("q_value", "min"))
    )
    known = np.nan_to_num(values, nan=-np.inf)
    order = np.lexsort((-known.max(axis=1), known.argmax(axis=1)))
    values, q_values = values[order], q_values[order]
    highest = float(np.clip(np.nan_to_num(np.abs(values)).max(), *_LIMITS))
    size = (1.9 + 0.34 * len(components), 1.4 + 0.24 * len(traits))
    figure, axes = create_axes(ax, figsize, size)
    axes.set_facecolor(LINE)  # of what is not known
    image = axes.imshow(values, cmap=cmap, vmin=lowest * highest, vmax=highest, aspect="auto")
    rows, columns = np.nonzero(q_values <= fdr)
    dark = np.abs(values[rows, columns]) > 0.55 * highest
    axes.scatter(columns, rows, s=7, c=np.where(dark, "white", "black"), linewidths=0)
    axes.plot([], [], "o", color=FAINT, markersize=2.6, markeredgewidth=0, linestyle="none", label=f"q ≤ {fdr:g}")
    legend_above(axes, handletextpad=0)
    dress(axes)
    axes.set_xticks(range(len(components)), components, rotation=45, ha="right", fontsize=SMALL)
    axes.set_yticks(range(len(traits)), [traits[i] for i in order], fontsize=SMALL)
    axes.tick_params(length=0)
    axes.spines[:].set_visible(False)
    axes.grid(visible=False)
    beyond = int(np.nanmin(values) < lowest * highest), int(np.nanmax(values) > highest)
    extend = {(0, 0): "neither", (0, 1): "max", (1, 0): "min", (1, 1): "both"}[beyond]
    bar = figure.colorbar(image, ax=axes, shrink=0.6, pad=0.02, extend=extend)
    bar.set_label(label, fontsize=SMALL)
    bar.ax.tick_params(labelsize=SMALL)
    return figure


def _draw_one(index: AnnData, table: pd.DataFrame, trait: str, fdr: float, *, ax: Axes | None, figsize: Any) -> Figure:
    """Draw observed over expected of a line per component."""
    own = table[(table["trait"] == trait) & (table["n_blocks"] > 0)]
    if own.empty:
        msg = f"No trait {trait!r} with a variant in an element; there are {sorted(table['trait'].unique())}."
        raise KeyError(msg)
    components = list(dict.fromkeys(own["component"]))
    colors = component_colors(index.uns, components)
    figure, axes = create_axes(ax, figsize, (4.6, 3.2))
    for name, rows in own.groupby("component", sort=False):
        axes.plot(rows["threshold"], rows["ratio"], color=colors[name], linewidth=1, label=name)
        filled = rows[rows["q_value"] <= fdr]
        axes.plot(filled["threshold"], filled["ratio"], "o", color=colors[name], markersize=3.5)
    axes.axhline(1, color=FAINT, linewidth=0.6, linestyle=":")
    axes.set_xscale("log")
    axes.invert_xaxis()
    dress(axes, x="variants with p at most", y="observed / expected")
    legend_beside(axes)
    return figure
