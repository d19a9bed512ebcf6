"""Genes and gene sets by component."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from scatacworks import _keys
from scatacworks._anndata import slot_of
from scatacworks._arguments import one_of, whole
from scatacworks._palette import component_colors
from scatacworks.pl._figure import INK, SMALL, create_axes, dress, finish, legend_beside
from scatacworks.pl._point_names import name_points

if TYPE_CHECKING:
    from anndata import AnnData
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

_LEAST_P = 1e-300


def gene_components(
    index: AnnData,
    *,
    kind: Literal["top", "map"] = "top",
    key: str = _keys.GENE_COMPONENTS,
    n_top: int = 5,
    names: list[str] | None = None,
    ax: Axes | None = None,
    figsize: tuple[float, float] | None = None,
    show: bool | None = None,
    return_fig: bool = False,
) -> Figure | None:
    """Show the genes (or gene sets) of each component.

    `"top"` lists the most significant genes of every component with their enrichment; `"map"` places all labelled
    genes in two dimensions by their enrichment over the components, so that genes of similar regulation lie together.

    Parameters
    ----------
    index
        Object on which :func:`~scatacworks.tl.gene_components` or :func:`~scatacworks.tl.gene_set_components` has run.
    kind
        Which figure.
    key
        Slot of `.uns`: `"gene_components"`, or `"gene_set_components"`.
    n_top
        Genes per component in the list.
    names
        Genes to name in the map; by default the most significant of every component.
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
        If the slot or one of `names` is missing.
    ValueError
        If no gene has a label.

    Examples
    --------
    >>> import anndata, numpy as np, pandas as pd, scatacworks as sca
    >>> var = pd.DataFrame({"chrom": "chr1", "start": np.arange(0, 100_000, 1000)})
    >>> var["end"] = var["start"] + 200
    >>> var["component"] = np.where(var["start"].between(20_000, 30_000), "Lymphoid", "Neural")
    >>> index = anndata.AnnData(np.ones((1, 100), np.float32), var=var.set_index(var.index.astype(str)))
    >>> genes = pd.DataFrame([["chr1", 22_000, 29_000, "MS4A1", "+"]])
    >>> genes.columns = ["chrom", "start", "end", "name", "strand"]
    >>> sca.tl.gene_components(index, genes=genes)
    >>> figure = sca.pl.gene_components(index, return_fig=True)
    """
    n_top, kind = whole(n_top, "n_top"), one_of(kind, "kind", ("top", "map"))
    function = key if key == _keys.GENE_SET_COMPONENTS else "gene_components"
    stored = slot_of(index, key, f"sca.tl.{function}(index, ...)")
    table = stored["genes" if "genes" in stored else "gene_sets"].reset_index(drop=True)
    labelled = table[table["component"] != ""]
    if labelled.empty:
        msg = f"No entry of .uns[{key!r}] has a label at its false discovery rate."
        raise ValueError(msg)
    components = [str(name) for name in stored["components"]]
    colors = component_colors(index.uns, components)
    ranked = labelled.sort_values("p_value", kind="stable").groupby("component", sort=False)
    best = ranked.head(n_top if kind == "top" else 1)
    if kind == "top":
        figure = _draw_top(best, components, colors, ax, figsize)
    else:
        unknown = [] if names is None else [name for name in names if name not in set(table["name"])]
        if unknown:
            msg = f"There is no {unknown[0]!r} among the {len(table):,} names of .uns[{key!r}]."
            raise KeyError(msg)
        chosen = best if names is None else table[table["name"].isin(names)]
        figure = _draw_map(stored, labelled, chosen, colors, ax=ax, figsize=figsize)
    return finish(figure, show=show, return_fig=return_fig, given=ax is not None)


def _draw_top(best: Any, components: list[str], colors: dict[str, str], ax: Axes | None, figsize: Any) -> Figure:
    """Draw a bar per gene, grouped by component."""
    best = best.assign(order=best["component"].map({name: i for i, name in enumerate(components)}))
    best = best.sort_values(["order", "p_value"], kind="stable").reset_index(drop=True)
    gap = best["order"].ne(best["order"].shift()).cumsum() - 1
    place = np.arange(len(best)) + 0.6 * gap.to_numpy()
    figure, ax = create_axes(ax, figsize, (5.2, 0.5 + 0.15 * float(place.max() + 2)))
    height = -np.log10(best["p_value"].clip(lower=_LEAST_P))
    ax.barh(place, height, height=0.8, color=best["component"].map(colors))
    ax.set_yticks(place, best["name"])
    ax.invert_yaxis()
    dress(ax, x="-log10 p (binomial)")
    ax.tick_params(axis="y", length=0)
    ax.set_xlim(0, float(height.max()) * 1.12)
    for y, width, enrichment in zip(place, height, best["enrichment"], strict=True):
        ax.text(width, y, f" {enrichment:.1f}×", va="center", fontsize=SMALL - 1, color=INK)
    handles = [ax.barh(0, 0, color=colors[name], label=name) for name in components if name in set(best["component"])]
    legend_beside(ax, handles=handles)
    return figure


def _draw_map(
    stored: Any, labelled: Any, chosen: Any, colors: dict[str, str], *, ax: Axes | None, figsize: Any
) -> Figure:
    """Draw labelled genes on the first two principal components of their log enrichment."""
    values = np.log2(np.clip(np.nan_to_num(np.asarray(stored["enrichment"]), nan=1.0, posinf=64.0), 1 / 8, 64))
    own = values[labelled.index]
    center = own.mean(0)
    axes = np.linalg.svd(own - center, full_matrices=False)[2][:2]
    axes = axes * np.where(axes[np.arange(len(axes)), np.abs(axes).argmax(1)] < 0, -1, 1)[:, None]
    points = (values - center) @ axes.T
    points = np.pad(points, ((0, 0), (0, 2 - points.shape[1])))
    figure, ax = create_axes(ax, figsize, (5.2, 4.2))
    for name, color in colors.items():
        rows = labelled[labelled["component"] == name]
        if len(rows):
            ax.scatter(*points[rows.index].T, s=7, color=color, label=name, linewidths=0, alpha=0.8)
    name_points(ax, chosen["name"], points[chosen.index])
    dress(ax, x="enrichment, axis 1", y="enrichment, axis 2")
    legend_beside(ax)
    return figure
