"""All samples under each component."""

from __future__ import annotations

from itertools import pairwise
from typing import TYPE_CHECKING

import numpy as np

from scatacworks._membership import column_groups
from scatacworks._palette import component_colors
from scatacworks._text import counted
from scatacworks.pl._components import loadings_and_names, shares, stacked, winner_order
from scatacworks.pl._figure import SMALL, WIDTH, create_axes, dress, finish

if TYPE_CHECKING:
    from anndata import AnnData
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure


def component_bars(
    index: AnnData,
    *,
    groupby: str | None = None,
    normalize: bool = False,
    ax: Axes | None = None,
    figsize: tuple[float, float] | None = None,
    show: bool | None = None,
    return_fig: bool = False,
) -> Figure | None:
    """Draw the loadings of all samples as stacked bars, sorted by dominant component, or their mean per group.

    Parameters
    ----------
    index
        Samples or cells with a vocabulary.
    groupby
        Column of `.obs`: one bar per category, the mean over its samples. Samples without a category (missing, or empty
        text) are left out, and the label of the axis says how many.
    normalize
        Bars of height one.
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
        If there is no vocabulary or no such column.
    ValueError
        If no sample has a category, or the column holds measurements.

    Examples
    --------
    >>> import anndata, numpy as np
    >>> import scatacworks as sca
    >>> index = anndata.AnnData(np.kron(np.eye(2, dtype=int), np.ones((3, 4), int)))
    >>> sca.tl.vocabulary(index, n_components=2, progress=False)
    >>> fig = sca.pl.component_bars(index, show=False)
    >>> fig.axes[0].get_xlabel()
    '6 samples'
    """
    loadings, components = loadings_and_names(index, "obs")
    labels, label = None, counted(len(loadings), "sample")
    if groupby is not None:
        names = _names(index, groupby)
        labels, of = np.unique(names[names != ""], return_inverse=True)
        missing = int((names == "").sum())
        label = f"{counted(missing, 'sample')} without {groupby} left out" if missing else ""
        first = np.concatenate([[0], np.cumsum(np.bincount(of))])
        by_label = loadings[names != ""][np.argsort(of, kind="stable")]
        loadings = np.stack([by_label[low:high].mean(axis=0) for low, high in pairwise(first)])
    if normalize:
        loadings = shares(loadings)
    order = winner_order(loadings)
    figure, axes = create_axes(ax, figsize, (WIDTH if labels is None else max(WIDTH, 1.2 + 0.13 * len(labels)), 2.6))
    colors = component_colors(index.uns, components)
    stacked(axes, loadings[order], colors, width=1.0 if labels is None else 0.8)
    dress(axes, x=label, y="share of loading" if normalize else "loading")
    if labels is None:
        axes.set_xticks([])
    else:
        axes.set_xticks(range(len(labels)), labels[order], rotation=45, ha="right", fontsize=SMALL)
    return finish(figure, show=show, return_fig=return_fig, given=ax is not None)


def _names(index: AnnData, groupby: str) -> np.ndarray:
    """Return the group of every sample, empty where it has none."""
    if groupby not in index.obs:
        msg = f".obs has no column {groupby!r}; it has {list(index.obs.columns)}."
        raise KeyError(msg)
    codes, groups = column_groups(index.obs[groupby])
    names = np.append(groups, "")[codes].astype(str)
    if not (names != "").any():
        msg = f".obs[{groupby!r}] has no category; every value is missing."
        raise ValueError(msg)
    return names
