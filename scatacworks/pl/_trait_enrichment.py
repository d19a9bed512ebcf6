"""Traits by component."""

from __future__ import annotations

from typing import TYPE_CHECKING

from scatacworks import _keys
from scatacworks._anndata import slot_of
from scatacworks._palette import component_colors
from scatacworks.pl._figure import FAINT, create_axes, dress, finish, legend_beside

if TYPE_CHECKING:
    from anndata import AnnData
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure


def trait_enrichment(
    index: AnnData,
    trait: str,
    *,
    key: str = _keys.TRAIT_ENRICHMENT,
    fdr: float = 0.05,
    ax: Axes | None = None,
    figsize: tuple[float, float] | None = None,
    show: bool | None = None,
    return_fig: bool = False,
) -> Figure | None:
    """Show the enrichment of components for a trait over increasingly strict thresholds of p.

    Filled points are significant.

    Parameters
    ----------
    index
        Object on which :func:`~scatacworks.tl.trait_enrichment` has run.
    trait
        Name of the trait.
    key
        Slot of `.uns`.
    fdr
        q-value up to which points are filled.
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
        If the slot or the trait is missing.

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
    table = slot_of(index, key, "sca.tl.trait_enrichment(index, sumstats=...)", "table")["table"]
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
    return finish(figure, show=show, return_fig=return_fig, given=ax is not None)
