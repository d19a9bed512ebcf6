"""How many new elements one more sample brings."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from scatacworks import _keys
from scatacworks._anndata import slot_of
from scatacworks.pl._figure import FAINT, SMALL, create_axes, dress, finish

if TYPE_CHECKING:
    from anndata import AnnData
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure


def saturation(
    index: AnnData,
    *,
    key: str = _keys.SATURATION,
    ax: Axes | None = None,
    figsize: tuple[float, float] | None = None,
    show: bool | None = None,
    return_fig: bool = False,
) -> Figure | None:
    """Draw the number of new elements per further sample over the number of samples, with the power law through it.

    Parameters
    ----------
    index
        After :func:`~scatacworks.tl.saturation`.
    key
        Slot of `.uns`.
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
        If there is no saturation.

    Examples
    --------
    >>> import anndata, numpy as np
    >>> import scatacworks as sca
    >>> index = anndata.AnnData((np.random.default_rng(0).random((20, 300)) < 0.2).astype(int))
    >>> sca.tl.saturation(index)
    >>> fig = sca.pl.saturation(index, show=False)
    >>> fig.axes[0].get_xlabel()
    'number of samples'
    """
    stored = slot_of(index, key, "sca.tl.saturation(index)", "table")
    table = stored["table"]
    n = int(table["n_samples"].max()) + 1
    figure, axes = create_axes(ax, figsize, (3.6, 3.0))
    if "median" in table:
        sampled = table.dropna()
        low = np.maximum(sampled["min"], 0.5)
        axes.fill_between(sampled["n_samples"], low, sampled["max"], color="#d8e3f0", linewidth=0, label="range")
        axes.plot(sampled["n_samples"], sampled["median"], color="#7ea6d0", linewidth=1, label="median")
    axes.plot(table["n_samples"], table["mean"], color="#0b4f8a", linewidth=1.6, label="mean (exact)")
    further = np.geomspace(1, 2 * n, 60)
    fitted = np.exp(stored["intercept"]) * further ** stored["slope"]
    label = f"power {stored['slope']:.2f}; doubling adds {100 * stored['extrapolated']:.0f} %"
    axes.plot(further, fitted, color=FAINT, linewidth=1, linestyle=(0, (4, 2)), label=label)
    axes.set(xscale="log", yscale="log")
    dress(axes, x="number of samples", y="new elements in a further sample")
    axes.legend(frameon=False, fontsize=SMALL)
    return finish(figure, show=show, return_fig=return_fig, given=ax is not None)
