"""Effect size against p-value."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from scatacworks import _keys
from scatacworks._anndata import atac, table_of
from scatacworks._arguments import whole
from scatacworks._palette import GAIN, LOSS
from scatacworks.pl._figure import INK, LINE, SMALL, create_axes, dress, finish
from scatacworks.pl._point_names import name_points

if TYPE_CHECKING:
    import pandas as pd
    from anndata import AnnData
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure
    from mudata import MuData

_NO_CALL = "#b9bec6"
_HIGHEST = 300.0  # -log10 of the smallest p-value that is told apart


def volcano(
    adata: AnnData | MuData,
    *,
    key: str = _keys.DIFFERENTIAL_REGIONS,
    family: str | None = None,
    n_labels: int = 10,
    mod: str = "atac",
    ax: Axes | None = None,
    figsize: tuple[float, float] | None = None,
    show: bool | None = None,
    return_fig: bool = False,
) -> Figure | None:
    """Show effect size and p-value of every tested region; significant ones in red (gained) and blue (lost).

    Parameters
    ----------
    adata
        Cells, after :func:`~scatacworks.tl.differential_regions`.
    key
        Slot of `.uns` with the result.
    family
        Show only these regions: `"peak"`, `"tile"`, `"given"` or `"joined"`; all by default.
    n_labels
        Significant regions, from the smallest p-value on, that are named by their nearest gene (or their position
        where the genome has no gene table).
    mod
        Modality to use where `adata` is a MuData.
    ax
        Axes to draw into.
    figsize
        Width and height in inches.
    show
        Show the figure; by default where `ax` is not given and the figure is not returned.
    return_fig
        Return the figure.

    Returns
    -------
    The :class:`~matplotlib.figure.Figure` if `return_fig=True` or `show=False` or `ax` is given, else `None`.

    Raises
    ------
    KeyError
        If there is no result, or it has no such family.

    Examples
    --------
    >>> import pandas as pd, scatacworks as sca
    >>> adata = sca.datasets.toy(n_cells=3)
    >>> table = pd.DataFrame({"chrom": "chr1", "start": [100, 900], "end": [200, 990], "family": "peak"})
    >>> table = table.assign(p_value=[1e-9, 0.2], log2fc=[2.0, 0.1], direction=1, significant=[True, False])
    >>> adata.uns["differential_regions"] = table
    >>> sca.pl.volcano(adata, show=False).axes[0].get_xlabel()
    'log2 fold change of normalised coverage'
    """
    table = _table(atac(adata, mod=mod), key, family)
    n_labels = whole(n_labels, "n_labels", least=0)
    figure, axes = create_axes(ax, figsize, (3.6, 3.2))
    height = np.minimum(-np.log10(np.maximum(table["p_value"].to_numpy(float), 10**-_HIGHEST)), _HIGHEST)
    called, up = table["significant"].to_numpy(bool), table["direction"].to_numpy() > 0
    for chosen, color, size, label in (
        (~called, _NO_CALL, 4, None),
        (called & up, GAIN, 9, "gained"),
        (called & ~up, LOSS, 9, "lost"),
    ):
        name = None if label is None else f"{label} ({int(chosen.sum()):,})"
        axes.scatter(
            table["log2fc"][chosen], height[chosen], s=size, color=color, linewidth=0, label=name, rasterized=True
        )
    _dress(axes)
    _label(axes, table, height, n_labels)
    return finish(figure, show=show, return_fig=return_fig, given=ax is not None)


def _table(adata: AnnData, key: str, family: str | None) -> pd.DataFrame:
    needed = ("p_value", "log2fc", "direction", "significant")
    table = table_of(adata, key, "sca.tl.differential_regions(adata, ...)", *needed)
    if family is None:
        return table
    known = sorted(set(table["family"].astype(str)))
    if family not in known:
        msg = f"There are no regions of family {family!r}; there are {', '.join(map(repr, known))}."
        raise KeyError(msg)
    return table[table["family"].astype(str) == family]


def _label(ax: Axes, table: pd.DataFrame, height: np.ndarray, n_labels: int) -> None:
    """Name the strongest regions, each gene once."""
    named: dict[str, tuple[float, float]] = {}
    for i in np.argsort(-height, kind="stable"):
        row = table.iloc[int(i)]
        if not row["significant"] or len(named) >= n_labels:
            break
        named.setdefault(str(row.get("gene") or f"{row['chrom']}:{row['start']:,}"), (row["log2fc"], height[i]))
    if named:
        name_points(ax, named, np.array(list(named.values())), style="italic")


def _dress(ax: Axes) -> None:
    ax.axvline(0, color=LINE, linewidth=0.6, zorder=0)
    dress(ax, x="log2 fold change of normalised coverage", y="−log10 p")
    ax.set_ylim(0, None)
    if ax.get_legend_handles_labels()[1]:
        ax.legend(fontsize=SMALL, frameon=False, labelcolor=INK, loc="upper left")
