"""A region where a group differs: its track over the background's, and z below."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from scatacworks import _keys
from scatacworks._anndata import atac, params_of, table_of
from scatacworks._core.differential import z_scores
from scatacworks._palette import GAIN, GREY, LOSS
from scatacworks.genome import Region
from scatacworks.pl import _browser
from scatacworks.pl._figure import FAINT, FONT, INK, LINE, SMALL, WIDTH, finish, legend_above, plain, size_of
from scatacworks.pl._layout import label_positions
from scatacworks.tl._differential._store import get_background, is_background
from scatacworks.tl._differential._target import open_target

if TYPE_CHECKING:
    import pandas as pd
    from anndata import AnnData
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure
    from mudata import MuData

    from scatacworks.tl._differential._store import Background

_HEIGHTS = (1.1, 0.8, 0.12)  # inches: signal, z, called regions
_Z_SHOWN = 10.0
_FLANK_BP = 2_000


def differential_regions(
    adata: AnnData | MuData,
    region: str | tuple[str, int, int] | None = None,
    *,
    group: str | None = None,
    background: str | None = None,
    key: str = _keys.DIFFERENTIAL_REGIONS,
    denoised_key: str = _keys.DENOISED,
    genes: bool = True,
    mod: str = "atac",
    figsize: tuple[float, float] | None = None,
    show: bool | None = None,
    return_fig: bool = False,
) -> Figure | None:
    """Show the tested group over the background, z per base, and the regions called.

    The upper panel has the group's normalised signal as a line over the background's mean (dark grey) and two standard
    deviations to either side (pale grey); the middle one z, cut at 10, in red above 2 and blue below -2; the bar below
    the significant regions.

    Parameters
    ----------
    adata
        Cells, after :func:`~scatacworks.tl.differential_regions` with a background.
    region
        `"chr1:1,000-2,000"`, `("chr1", 1000, 2000)` (0-based, half-open) or a gene name, within one region of the
        background; by default the result's region with the smallest q-value, and 2 kb to either side.
    group, background
        What was tested against what; by default as in the result.
    key, denoised_key
        Slots of `.uns` with the result and with the denoised tracks.
    genes
        Draw the genes where the genome has a gene table.
    mod
        Modality to use where `adata` is a MuData.
    figsize
        Width and height in inches.
    show
        Show the figure; by default where it is not returned.
    return_fig
        Return the figure.

    Returns
    -------
    The :class:`~matplotlib.figure.Figure` if `return_fig=True` or `show=False`, else `None`.

    Raises
    ------
    KeyError
        If there is no result, background or track.
    ValueError
        If the region is not within the background's regions, or the result is of two groups (`reference`).

    Examples
    --------
    >>> import scatacworks as sca
    >>> adata = sca.datasets.toy(n_cells=120, n_fragments=20)
    >>> adata.obs["part"] = [f"part {i % 12}" for i in range(adata.n_obs)]
    >>> sca.pp.pseudobulk(adata, "part", progress=False)
    >>> where = "chr1:20,000-40,000"
    >>> sca.tl.denoise(adata, groups=["part 0"], regions=where, progress=False)
    >>> sca.tl.background(adata, key="part", regions=where, progress=False)
    >>> sca.tl.differential_regions(adata, "part 0", background="part", progress=False)
    >>> fig = sca.pl.differential_regions(adata, where, show=False)
    >>> [ax.get_ylabel() for ax in fig.axes]
    ['coverage', 'z', 'called']
    """
    adata = atac(adata, mod=mod)
    table, note = table_of(adata, key, "sca.tl.differential_regions(adata, ...)"), params_of(adata, key)
    if background is None and "reference" in note:
        compared = f"compares {str(note['group'])!r} with {str(note['reference'])!r}"
        msg = (
            f".uns[{key!r}] {compared}, without a background to draw; "
            "show the two with pl.tracks(adata, region, groups=[...]), or all regions with pl.volcano."
        )
        raise ValueError(msg)
    name = background or str(note.get("background", _keys.BACKGROUND))
    moments = get_background(adata, name if is_background(adata.uns.get(name)) else f"{name}{_keys.MOMENTS_SUFFIX}")
    genome = moments.genome
    place = _default_region(table, moments) if region is None else genome.region(region)
    group = group or str(note["group"])
    signal, mean, sd = _values(adata, denoised_key, group, moments, place)
    gene_table, _ = _browser.genes_in(genome, place, genes=genes)
    figure, axes = _axes(_browser.count_lines(gene_table, place), figsize)
    x = place.start + np.arange(len(signal))
    _draw_signal(axes[0], x, (signal, mean, sd), group)
    _draw_z(axes[1], x, z_scores(signal, mean, sd))
    _draw_called(axes[2], table, place)
    _dress(axes, place, group)
    if len(gene_table):
        axes[3].spines[:].set_visible(False)
        axes[3].set_yticks([])
        _browser.draw_genes(axes[3], gene_table, None, place, SMALL + 0.5)
    return finish(figure, show=show, return_fig=return_fig, given=False)


def _default_region(table: pd.DataFrame, moments: Background) -> Region:
    """Return the region with the smallest q-value, then p-value, and a flank, cut at the background's region."""
    if len(table) == 0:
        msg = "The result has no regions; name one to show."
        raise ValueError(msg)
    # kinds weigh differently: the smallest p-value alone may be no call
    row = table.iloc[int(np.lexsort((table["p_value"], table["q_value"]))[0])]
    own = moments.regions.iloc[_holding(moments.regions, row["chrom"], row["start"], row["end"])[0]]
    start = max(int(row["start"]) - _FLANK_BP, int(own["start"]))
    end = min(int(row["end"]) + _FLANK_BP, int(own["end"]))
    return moments.genome.region((str(row["chrom"]), start, end))


def _holding(regions: pd.DataFrame, chrom: str, start: int, end: int) -> np.ndarray:
    """Return the numbers of the regions that hold all of an interval."""
    return np.flatnonzero((regions["chrom"] == chrom) & (regions["start"] <= start) & (regions["end"] >= end))


def _values(
    adata: AnnData, key: str, group: str, moments: Background, place: Region
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return the group's normalised signal, and the background's mean and standard deviation, per base."""
    regions = moments.regions
    holding = _holding(regions, *place)
    if not len(holding):
        touched = regions[
            (regions["chrom"] == place.chrom) & (regions["start"] < place.end) & (regions["end"] > place.start)
        ]
        parts = [str(Region(*row)) for row in touched[["chrom", "start", "end"]].itertuples(index=False)][:3]
        way_out = f"name a part of {', '.join(parts)}" if parts else f"none of its {len(regions)} regions is near"
        msg = f"{place} is not within one region of the background; {way_out}."
        raise ValueError(msg)
    low = int(moments.offsets[holding[0]]) + place.start - int(regions["start"].iloc[holding[0]])
    part = slice(low, low + place.end - place.start)
    target = open_target(adata, key, group, moments)
    signal = target.values(place.chrom, place.start, place.end)
    return signal, np.asarray(moments.mean[part], np.float64), np.asarray(moments.sd[part], np.float64)


def _axes(n_lines: int, figsize: tuple[float, float] | None) -> tuple[Figure, list[Axes]]:
    import matplotlib.pyplot as plt

    heights = [*_HEIGHTS, *([0.3 * n_lines + 0.1] if n_lines else [])]
    size = size_of(figsize, (WIDTH, sum(heights) + 1.05))
    margins = {"left": 0.65 / size[0], "right": 1 - 0.3 / size[0], "top": 1 - 0.5 / size[1], "bottom": 0.45 / size[1]}
    grid = margins | {"height_ratios": heights, "hspace": 0.12}
    figure, axes = plt.subplots(len(heights), 1, sharex=True, figsize=size, gridspec_kw=grid, layout="none")
    return figure, list(axes)


def _draw_signal(ax: Axes, x: np.ndarray, values: tuple[np.ndarray, np.ndarray, np.ndarray], group: str) -> None:
    signal, mean, sd = values
    step = max(1, len(x) // _browser.MAX_POINTS)
    at = slice(None, None, step)
    low, high = np.maximum(mean - 2 * sd, 0), mean + 2 * sd
    ax.fill_between(x[at], low[at], high[at], color=LINE, linewidth=0, label="± 2 sd")
    ax.plot(x[at], mean[at], color=GREY, linewidth=0.9, label="background")
    ax.plot(x[at], signal[at], color=INK, linewidth=0.9, label=group)
    ax.set_ylim(0, None)
    ax.set_ylabel("coverage", fontsize=FONT, color=INK)
    handles, labels = ax.get_legend_handles_labels()  # above the axes, as peaks may be anywhere in them
    legend_above(ax, handles=handles[::-1], labels=labels[::-1], labelcolor=INK, ncols=3)


def _draw_z(ax: Axes, x: np.ndarray, z: np.ndarray) -> None:
    shown = np.clip(np.nan_to_num(z), -_Z_SHOWN, _Z_SHOWN)
    step = max(1, len(x) // _browser.MAX_POINTS)
    at = slice(None, None, step)
    for sign, color in ((1, GAIN), (-1, LOSS)):
        beyond = np.where(sign * shown > 2, shown, 0.0)
        ax.fill_between(x[at], beyond[at], color=color, linewidth=0, step="mid")
    ax.plot(x[at], shown[at], color=FAINT, linewidth=0.6)
    for level in (-2, 2):
        ax.axhline(level, color=LINE, linewidth=0.6, linestyle="--")
    limit = max(3.0, float(np.abs(shown).max(initial=0)) * 1.05)
    ax.set_ylim(-limit, limit)
    ax.set_ylabel("z", fontsize=FONT, color=INK)


def _draw_called(ax: Axes, table: pd.DataFrame, place: Region) -> None:
    inside = (table["chrom"].astype(str) == place.chrom) & (table["start"] < place.end) & (table["end"] > place.start)
    for row in table[inside & table["significant"]].itertuples():
        ax.broken_barh([(row.start, row.end - row.start)], (0, 1), facecolors=GAIN if row.direction > 0 else LOSS)
    ax.set_ylim(0, 1)
    ax.set_yticks([])
    ax.set_ylabel("called", fontsize=SMALL, color=FAINT, rotation=0, ha="right", va="center")


def _dress(axes: list[Axes], place: Region, group: str) -> None:
    for ax in axes:
        plain(ax)
    axes[2].spines["left"].set_visible(False)
    axes[0].set_xlim(place.start, place.end)
    axes[0].set_title(f"{group} against its background", fontsize=FONT + 1, color=INK, loc="left", pad=16)
    label_positions(axes[-1], place)
