"""Regulatory barcodes: the loadings of elements or samples as stacked bars."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

import numpy as np

from scatacworks._arguments import whole
from scatacworks._palette import component_colors
from scatacworks.pl._components import loadings_and_names, shares, stacked, winner_order
from scatacworks.pl._figure import SMALL, WIDTH, create_axes, dress, finish

if TYPE_CHECKING:
    from collections.abc import Sequence

    from anndata import AnnData
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure


def barcodes(
    index: AnnData,
    names: str | Sequence[str] | None = None,
    *,
    axis: Literal["obs", "var"] = "var",
    n: int = 100,
    sort: bool = True,
    normalize: bool = False,
    seed: int | np.random.Generator | None = 0,
    ax: Axes | None = None,
    figsize: tuple[float, float] | None = None,
    show: bool | None = None,
    return_fig: bool = False,
) -> Figure | None:
    """Draw the barcode of elements or samples: one stacked bar each, components from the bottom in their order.

    Parameters
    ----------
    index
        With a vocabulary, from :func:`~scatacworks.tl.vocabulary` or :func:`~scatacworks.tl.project_vocabulary`.
    names
        Which elements or samples; by default `n` random ones with loadings.
    axis
        `"var"` for elements, `"obs"` for samples or cells.
    n
        How many random ones.
    sort
        Order by dominant component and loading; `False` keeps the order given.
    normalize
        Bars of height one.
    seed
        Seed or generator of the random choice.
    ax
        Axes to draw into.
    figsize
        Width and height in inches.
    show, return_fig
        Show the figure, or return it.

    Returns
    -------
    The :class:`~matplotlib.figure.Figure` if `return_fig=True` or `show=False` or `ax` is given, else `None`.

    Raises
    ------
    KeyError
        If there is no vocabulary, or no such element or sample.

    Examples
    --------
    >>> import anndata, numpy as np
    >>> import scatacworks as sca
    >>> index = anndata.AnnData(np.kron(np.eye(2, dtype=int), np.ones((3, 4), int)))
    >>> sca.tl.vocabulary(index, n_components=2, progress=False)
    >>> fig = sca.pl.barcodes(index, show=False)
    >>> fig.axes[0].get_ylabel()
    'loading'
    """
    loadings, components = loadings_and_names(index, axis)
    known = index.obs_names if axis == "obs" else index.var_names
    if names is None:
        n = whole(n, "n")
        some = np.flatnonzero(loadings.any(axis=1))
        chosen = np.sort(np.random.default_rng(seed).choice(some, min(n, len(some)), replace=False))
    else:
        names = [names] if isinstance(names, str) else list(names)
        chosen = known.get_indexer(names)
        if (chosen < 0).any():
            msg = f"There is no {names[int(np.argmin(chosen))]!r} among the {len(known)} names of .{axis}."
            raise KeyError(msg)
    part = loadings[chosen]
    if sort:
        order = winner_order(part)
        chosen, part = chosen[order], part[order]
    figure, axes = create_axes(ax, figsize, (WIDTH, 2.4))
    stacked(axes, shares(part) if normalize else part, component_colors(index.uns, components))
    kind = "elements" if axis == "var" else "samples"
    with_names = len(chosen) <= 40
    dress(axes, x="" if with_names else f"{len(chosen):,} {kind}", y="share of loading" if normalize else "loading")
    if with_names:
        axes.set_xticks(range(len(chosen)), known[chosen].astype(str), rotation=90, fontsize=SMALL)
    else:
        axes.set_xticks([])
    return finish(figure, show=show, return_fig=return_fig, given=ax is not None)
