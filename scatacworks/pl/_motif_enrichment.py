"""Motifs by component."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from scatacworks import _keys
from scatacworks._anndata import slot_of
from scatacworks._arguments import whole
from scatacworks.pl._figure import INK, LINE, SMALL, create_axes, finish

if TYPE_CHECKING:
    from anndata import AnnData
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure


def motif_enrichment(
    index: AnnData,
    *,
    key: str = _keys.MOTIF_ENRICHMENT,
    n_top: int = 3,
    highest: float = 50.0,
    ax: Axes | None = None,
    figsize: tuple[float, float] | None = None,
    show: bool | None = None,
    return_fig: bool = False,
) -> Figure | None:
    """Show the leading motifs of every component as a heat map of -log10 p.

    Of motifs that match the same elements (one cluster) only the most significant is shown.

    Parameters
    ----------
    index
        Object on which :func:`~scatacworks.tl.motif_enrichment` has run.
    key
        Slot of `.uns`.
    n_top
        Motifs per component.
    highest
        Upper end of the colours.
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

    Examples
    --------
    >>> import anndata, numpy as np, pandas as pd, scatacworks as sca
    >>> var = pd.DataFrame({"sequence": ["CCAGATAAGACC"] * 5 + ["C" * 12] * 5, "component": list("aaaaabbbbb")})
    >>> index = anndata.AnnData(np.ones((1, 10), np.float32), var=var.set_index(var.index.astype(str)))
    >>> gata = sca.io.Motif("GATA", np.eye(4)[[0, 2, 0, 3, 0, 0, 2, 0]], factors=("GATA1",))
    >>> sca.tl.motif_enrichment(index, motifs=[gata], progress=False)
    >>> figure = sca.pl.motif_enrichment(index, return_fig=True)
    """
    n_top = whole(n_top, "n_top")
    table = slot_of(index, key, "sca.tl.motif_enrichment(index, motifs=...)", "table")["table"]
    components = list(dict.fromkeys(table["component"]))
    leading = table.drop_duplicates(["component", "cluster"]).groupby("component", sort=False).head(n_top)
    motifs = list(dict.fromkeys(leading["motif"]))
    wide = -table.pivot(index="motif", columns="component", values="log10_p").loc[motifs, components]
    factor = table.drop_duplicates("motif").set_index("motif")["factor"]
    rows = [factor[motif] or motif for motif in motifs]
    figure, axes = create_axes(ax, figsize, (1.8 + 0.28 * len(components), 1.2 + 0.14 * len(rows)))
    values = np.nan_to_num(wide.to_numpy())
    image = axes.imshow(values, aspect="auto", cmap="viridis", vmin=0, vmax=highest, interpolation="nearest")
    axes.set_xticks(range(len(components)), components, rotation=45, ha="right", fontsize=SMALL, color=INK)
    axes.set_yticks(range(len(rows)), rows, fontsize=SMALL, color=INK)
    axes.tick_params(length=0)
    axes.grid(visible=False)
    axes.spines[:].set_color(LINE)
    bar = figure.colorbar(image, ax=axes, shrink=0.5, pad=0.02)
    bar.set_label("-log10 p (Fisher)", fontsize=SMALL, color=INK)
    bar.ax.tick_params(labelsize=SMALL, length=2)
    bar.outline.set_visible(False)
    return finish(figure, show=show, return_fig=return_fig, given=ax is not None)
