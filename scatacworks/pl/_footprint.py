"""Profiles of cut sites around motifs."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from scatacworks import _keys
from scatacworks._anndata import atac, slot_of
from scatacworks._arguments import whole
from scatacworks._groups import chosen_groups
from scatacworks._text import listed
from scatacworks.pl._colors import colors_by
from scatacworks.pl._figure import FAINT, FONT, LINE, SMALL, dress, finish, legend_columns, size_of

if TYPE_CHECKING:
    from collections.abc import Sequence

    import pandas as pd
    from anndata import AnnData
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure
    from mudata import MuData

_PANEL = (2.6, 2.1)  # inches


def footprint(
    adata: AnnData | MuData,
    motifs: Sequence[str] | str | None = None,
    *,
    groups: Sequence[str] | str | None = None,
    key: str = _keys.FOOTPRINT,
    groupby: str | None = None,
    smooth: int = 5,
    n_columns: int = 3,
    mod: str = "atac",
    figsize: tuple[float, float] | None = None,
    show: bool | None = None,
    return_fig: bool = False,
) -> Figure | None:
    """Draw the footprint of every motif, one line per group, with what the sequence alone would give below.

    Plain means (``scale=False``) are drawn as they are.

    Parameters
    ----------
    adata
        After :func:`~scatacworks.tl.footprint`.
    motifs
        Motifs to draw, one panel each, by name, or by factor (all that it has; in any case, as symbols of species
        differ by it); by default the first twelve.
    groups
        Groups to draw; all by default.
    key
        Slot of `.uns`.
    groupby
        Column of `.obs` whose colours the groups have; by default the one they were made of.
    smooth
        bp over which lines are averaged, odd; 1 for none. The values kept are not changed.
    n_columns
        Panels side by side.
    mod
        Modality to use where `adata` is a MuData.
    figsize
        Width and height in inches.
    show, return_fig
        Show the figure, or return it.

    Returns
    -------
    The :class:`~matplotlib.figure.Figure` if `return_fig=True` or `show=False`, else `None`.

    Raises
    ------
    KeyError
        If footprints, a motif or a group are missing.
    ValueError
        If `smooth` is even or wider than the window, or `motifs` empty.

    Examples
    --------
    >>> import scatacworks as sca
    >>> adata = sca.datasets.pbmc_windows()
    >>> sca.pp.pseudobulk(adata, "cell_type", progress=False)
    >>> middle = (adata.uns["windows"]["start"] + adata.uns["windows"]["end"]) // 2
    >>> sites = adata.uns["windows"][["chrom"]].assign(start=middle, end=middle + 20, motif="middle")
    >>> sca.tl.footprint(adata, sites, progress=False)
    >>> figure = sca.pl.footprint(adata, groups=["CD14+ Monocytes"], show=False)
    >>> figure.axes[0].get_title()
    'middle (44 sites)'
    """
    import matplotlib.pyplot as plt

    n_columns = whole(n_columns, "n_columns")
    adata = atac(adata, mod=mod)
    stored = slot_of(adata, key, "sca.tl.footprint(adata, sites)", "offsets", "profile")
    smooth = whole(smooth, "smooth", most=len(stored["offsets"]), of="the bp of a window")
    if smooth % 2 == 0:
        msg = f"smooth is {smooth}; expected an odd number of bp, so that lines are not moved."
        raise ValueError(msg)
    names, labels = list(map(str, stored["motifs"])), list(map(str, stored["groups"]))
    shown = names[:12] if motifs is None else _named(motifs, stored["table"], names, key)
    wanted = chosen_groups(groups, labels, within=f"in .uns[{key!r}]")
    colors = colors_by(adata, groupby, str(stored[_keys.PARAMS]["key"]), labels)
    n_columns = min(n_columns, len(shown))
    n_rows = -(-len(shown) // n_columns)
    biased = "bias" in stored
    height = (_PANEL[1] + 0.5 * biased) * n_rows
    size = size_of(figsize, (_PANEL[0] * n_columns + 1.6 * legend_columns(len(wanted), height), height))
    figure = plt.figure(figsize=size, layout="constrained")
    grid = figure.add_gridspec(n_rows * (1 + biased), n_columns, height_ratios=([4, 1] if biased else [1]) * n_rows)
    for i, name in enumerate(shown):
        row, column = divmod(i, n_columns)
        top = figure.add_subplot(grid[row * (1 + biased), column])
        _panel(top, stored, names.index(name), [(labels.index(g), colors[g]) for g in wanted], smooth)
        if biased:
            below = figure.add_subplot(grid[2 * row + 1, column], sharex=top)
            _bias_panel(below, stored, names.index(name), [labels.index(g) for g in wanted])
            top.tick_params(labelbottom=False)
    handles, texts = figure.axes[0].get_legend_handles_labels()
    columns = legend_columns(len(wanted), size[1])
    figure.legend(handles, texts, frameon=False, fontsize=SMALL, loc="outside right center", ncols=columns)
    if stored[_keys.PARAMS]["scale"]:
        figure.supxlabel("bp from the middle of the motif", fontsize=FONT)
        label = "cut sites, observed / expected" if biased else "cut sites, relative to the ends"
        figure.supylabel(label, fontsize=FONT)
    else:
        figure.supxlabel("bp from the middle of the site", fontsize=FONT)
        figure.supylabel("mean of the track", fontsize=FONT)
    return finish(figure, show=show, return_fig=return_fig, given=False)


def _named(motifs: Sequence[str] | str, table: pd.DataFrame, names: list[str], key: str) -> list[str]:
    """Return the motifs asked for by name or factor."""
    by_factor: dict[str, list[str]] = {}
    for name, factor in zip(table["motif"].astype(str), table["factor"].astype(str), strict=True):
        by_factor.setdefault(factor.upper(), []).append(name)
    found: list[str] = []
    for asked in [motifs] if isinstance(motifs, str) else map(str, motifs):
        of_factor = by_factor.get(asked.upper(), []) if asked else []
        if asked not in names and not of_factor:
            msg = f"There is no motif or factor {asked!r} in .uns[{key!r}]; it has {listed(names)}."
            raise KeyError(msg)
        found += [asked] if asked in names else of_factor
    if not found:
        msg = "motifs is empty; name at least one, or leave it out for the first twelve."
        raise ValueError(msg)
    return list(dict.fromkeys(found))


def _panel(ax: Axes, stored: dict, motif: int, groups: list[tuple[int, str]], smooth: int) -> None:
    """Lines of one motif; of scaled profiles the core is shaded."""
    table = stored["table"]
    row = table[table["motif"].astype(str) == str(stored["motifs"][motif])].iloc[0]
    if stored[_keys.PARAMS]["scale"]:
        core = int(row["core"])
        ax.axvspan(-(core // 2) - 0.5, core - core // 2 - 0.5, color=LINE, alpha=0.5, linewidth=0)
        ax.axhline(1, color=FAINT, linewidth=0.6, linestyle=(0, (3, 2)))
    for group, color in groups:
        line = _smoothed(np.asarray(stored["profile"][group, motif]), smooth)
        ax.plot(stored["offsets"], line, color=color, linewidth=1, label=str(stored["groups"][group]))
    ax.set_xlim(stored["offsets"][0], stored["offsets"][-1])
    ax.locator_params(axis="x", nbins=5)
    if ax.dataLim.ymin >= 0:  # means of conservation, say, lie on both sides
        ax.set_ylim(bottom=0)
    name, factor = str(row["motif"]), str(row["factor"])
    name = name if factor in name else f"{factor} {name}"
    dress(ax, title=f"{name} ({int(row['n_sites']):,} sites)")


def _bias_panel(ax: Axes, stored: dict, motif: int, groups: list[int]) -> None:
    """What the sequence alone would give, in all groups together."""
    total = np.asarray(stored["expected"])[groups, motif].sum(axis=0)
    mean = total.mean()
    ax.plot(stored["offsets"], total / mean if mean > 0 else total, color=FAINT, linewidth=0.8)
    dress(ax, y="bias")


def _smoothed(values: np.ndarray, width: int) -> np.ndarray:
    """Return means over `width` values, over fewer at the ends."""
    kernel = np.ones(width)
    return np.convolve(values, kernel, "same") / np.convolve(np.ones(len(values)), kernel, "same")
