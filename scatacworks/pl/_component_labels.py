"""Which kinds of samples load on which component."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from scatacworks import _keys
from scatacworks._anndata import slot_of
from scatacworks.pl._figure import SMALL, create_axes, dress, finish

if TYPE_CHECKING:
    from anndata import AnnData
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure


def component_labels(
    index: AnnData,
    *,
    key: str | None = None,
    labels_key: str = _keys.COMPONENT_LABELS,
    limits: tuple[float, float] = (0, 30),
    ax: Axes | None = None,
    figsize: tuple[float, float] | None = None,
    show: bool | None = None,
    return_fig: bool = False,
) -> Figure | None:
    """Draw the scores of sample categories on components as a heat map; the best component of a category is marked.

    Parameters
    ----------
    index
        After :func:`~scatacworks.tl.label_components`.
    key
        Metadata column to show; by default the first that was tested.
    labels_key
        Slot of `.uns` with the tests.
    limits
        Range of the colours, in -log10 of the adjusted p value. Scores of 2 or more are written out.
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
        If there are no tests, or none of this column.

    Examples
    --------
    >>> import anndata, numpy as np, pandas as pd
    >>> import scatacworks as sca
    >>> obs = pd.DataFrame({"system": ["blood"] * 6 + ["brain"] * 6}, index=[str(i) for i in range(12)])
    >>> index = anndata.AnnData(np.zeros((12, 2)), obs=obs)
    >>> index.obsm["X_vocabulary"] = np.column_stack([np.arange(12), np.arange(12)[::-1]])
    >>> sca.tl.label_components(index, keys="system")
    >>> fig = sca.pl.component_labels(index, show=False)
    >>> [text.get_text() for text in fig.axes[0].get_yticklabels()]
    ['brain (6)', 'blood (6)']
    """
    table = slot_of(index, labels_key, "sca.tl.label_components(index)", "score", "category")
    key = str(table["key"].iloc[0]) if key is None else key
    table = table[table["key"] == key]
    if table.empty:
        msg = f"No category of {key!r} was tested; run tl.label_components with keys={key!r}."
        raise KeyError(msg)
    scores = table.pivot_table(index="category", columns="component", values="score", observed=False, sort=False)
    scores = scores[list(table["component"].cat.categories)]
    values = scores.to_numpy()
    order = np.lexsort((-values.max(axis=1), values.argmax(axis=1)))
    values, categories = values[order], scores.index.to_numpy()[order]
    size = (1.9 + 0.34 * values.shape[1], 0.8 + 0.24 * len(values))
    figure, axes = create_axes(ax, figsize, size)
    image = axes.imshow(values, cmap="Blues", vmin=limits[0], vmax=limits[1], aspect="auto")
    n_samples = table.drop_duplicates("category").set_index("category")["n_samples"]
    dress(axes, x="component")
    axes.set_xticks(range(values.shape[1]), scores.columns.astype(str), fontsize=SMALL)
    if max(map(len, scores.columns.astype(str))) > 3:
        axes.tick_params(axis="x", rotation=90)
    axes.set_yticks(range(len(values)), [f"{name} ({n_samples[name]})" for name in categories], fontsize=SMALL)
    axes.spines[:].set_visible(False)
    axes.grid(visible=False)
    for row, column in zip(*np.nonzero(values >= 2), strict=True):
        dark = values[row, column] > limits[0] + 0.55 * (limits[1] - limits[0])
        look = {"fontweight": "bold"} if column == values[row].argmax() else {}
        axes.text(column, row, f"{values[row, column]:.0f}", ha="center", va="center", fontsize=SMALL,
                  color="white" if dark else "black", **look)  # fmt: skip
    bar = figure.colorbar(image, ax=axes, shrink=0.6, pad=0.02)
    bar.set_label("$-$log10 adjusted p", fontsize=SMALL)
    bar.ax.tick_params(labelsize=SMALL)
    return finish(figure, show=show, return_fig=return_fig, given=ax is not None)
