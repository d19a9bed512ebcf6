"""How many components a vocabulary needs."""

from __future__ import annotations

from typing import TYPE_CHECKING

from scatacworks import _keys
from scatacworks._anndata import slot_of
from scatacworks._palette import GREY
from scatacworks.pl._figure import FAINT, SMALL, create_axes, dress, finish

if TYPE_CHECKING:
    from anndata import AnnData
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure


def vocabulary_scan(
    index: AnnData,
    *,
    key: str = _keys.VOCABULARY_SCAN,
    ax: Axes | None = None,
    figsize: tuple[float, float] | None = None,
    show: bool | None = None,
    return_fig: bool = False,
) -> Figure | None:
    """Draw F1, precision, recall and area of the reconstruction over the number of components, and the gain of F1.

    Parameters
    ----------
    index
        After :func:`~scatacworks.tl.vocabulary_scan`.
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
        If there is no scan.

    Examples
    --------
    >>> import anndata, numpy as np
    >>> import scatacworks as sca
    >>> index = anndata.AnnData(np.kron(np.eye(3, dtype=int), np.ones((2, 4), int)))
    >>> sca.tl.vocabulary_scan(index, n_components=[1, 2, 3], progress=False)
    >>> fig = sca.pl.vocabulary_scan(index, show=False)
    >>> len(fig.axes[0].lines)
    4
    """
    stored = slot_of(index, key, "sca.tl.vocabulary_scan(index)", "summary")
    table = stored["summary"]
    figure, axes = create_axes(ax, figsize, (4.2, 3.0))
    looks = {
        "f1": ("F1", "#0b4f8a", 1.8),
        "auprc": ("area under precision and recall", "#c0504d", 1.4),
        "precision": ("precision", GREY, 1.0),
        "recall": ("recall", "#b9bcc0", 1.0),
    }
    for column, (name, color, width) in looks.items():
        axes.plot(table["n_components"], table[column], color=color, linewidth=width, marker="o", ms=2.5, label=name)
    axes.xaxis.get_major_locator().set_params(integer=True)
    gain = axes.twinx()
    gain.bar(table["n_components"], table["f1_gain"], color="#d8e3f0", width=0.6, zorder=0)
    gain.set_ylabel("gain of F1 per component", fontsize=SMALL, color=FAINT)
    gain.tick_params(labelsize=SMALL, labelcolor=FAINT, color=FAINT)
    gain.set_ylim(0, max(3 * table["f1_gain"].fillna(0).max(), 1e-9))  # one size gains nothing on another
    gain.spines[["top", "left"]].set_visible(False)
    gain.spines["right"].set(color=FAINT, linewidth=0.6)
    axes.set_zorder(gain.get_zorder() + 1)
    axes.patch.set_visible(False)
    dress(axes, x="number of components", y=f"score at threshold {stored['boundary']:g}")
    axes.legend(frameon=False, fontsize=SMALL, loc="lower center", bbox_to_anchor=(0.5, 1.0), ncols=2)
    return finish(figure, show=show, return_fig=return_fig, given=ax is not None)
