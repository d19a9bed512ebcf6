"""Quality of cells at a glance."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from scatacworks import _keys
from scatacworks._anndata import atac, slot_of
from scatacworks._palette import GREY, PALETTE
from scatacworks.pl._figure import FAINT, FONT, INK, SMALL, WIDTH, finish, plain, size_of

if TYPE_CHECKING:
    from anndata import AnnData
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure
    from mudata import MuData

_NUCLEOSOME_BP = 147


def qc(
    adata: AnnData | MuData,
    *,
    key: str = _keys.QC,
    min_fragments: int | None = None,
    mod: str = "atac",
    figsize: tuple[float, float] | None = None,
    show: bool | None = None,
    return_fig: bool = False,
) -> Figure | None:
    """Show fragment lengths, cut sites around starts of transcription, and fragments per barcode.

    Good data show a first hump of fragments shorter than a nucleosome (147 bp) and further ones about 200 bp apart; a
    peak of cut sites at the starts of transcription; and a cliff between cells and empty droplets.

    Parameters
    ----------
    adata
        Cells, after :func:`~scatacworks.pp.qc_metrics`.
    key
        Slot of `.uns` with the profiles.
    min_fragments
        Draw this threshold into the third panel.
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
        If :func:`~scatacworks.pp.qc_metrics` has not run.

    Examples
    --------
    >>> import scatacworks as sca
    >>> adata = sca.datasets.pbmc_windows()
    >>> sca.pp.qc_metrics(adata, progress=False)
    >>> fig = sca.pl.qc(adata, show=False)
    >>> [ax.get_xlabel() for ax in fig.axes]
    ['fragment length (bp)', 'distance from start of transcription (bp)', 'barcode rank']
    """
    import matplotlib.pyplot as plt

    adata = atac(adata, mod=mod)
    stored = slot_of(adata, key, "sca.pp.qc_metrics(adata)", "fragment_lengths")
    if _keys.N_FRAGMENTS not in adata.obs:
        msg = f"There is no column {_keys.N_FRAGMENTS!r} in .obs; run sca.pp.qc_metrics(adata) first."
        raise KeyError(msg)
    profile = stored.get("tss_profile")
    size = size_of(figsize, (WIDTH, 2.1))
    figure, axes = plt.subplots(1, 2 + (profile is not None), figsize=size, layout="constrained")
    _lengths(axes[0], np.asarray(stored["fragment_lengths"]))
    if profile is not None:
        _starts(axes[1], np.asarray(profile))
    _ranks(axes[-1], adata.obs[_keys.N_FRAGMENTS].to_numpy(), min_fragments)
    for ax in axes:
        plain(ax, which="both")
        ax.xaxis.label.set(fontsize=FONT, color=INK)
        ax.yaxis.label.set(fontsize=FONT, color=INK)
    return finish(figure, show=show, return_fig=return_fig, given=False)


def _lengths(ax: Axes, histogram: np.ndarray) -> None:
    """Draw the histogram, without the last bin that gathers everything longer, and the length of a nucleosome."""
    share = 100 * histogram[:-1] / max(histogram.sum(), 1)
    ax.fill_between(np.arange(len(share)), share, step="mid", color=PALETTE[0], linewidth=0)
    ax.axvline(_NUCLEOSOME_BP, color=FAINT, linewidth=0.6, linestyle=(0, (3, 3)))
    ax.annotate(
        f" {_NUCLEOSOME_BP} bp", (_NUCLEOSOME_BP, 1), xycoords=("data", "axes fraction"), va="top", fontsize=SMALL
    )
    ax.set(xlim=(0, 800), xlabel="fragment length (bp)", ylabel="fragments (%)")
    ax.set_ylim(bottom=0)


def _starts(ax: Axes, profile: np.ndarray) -> None:
    """Draw every base in grey and the mean over 51 bp."""
    half = len(profile) // 2
    away = np.arange(-half, half + 1)
    smooth = np.convolve(profile, np.full(51, 1 / 51), mode="valid")
    ax.plot(away, profile, color=GREY, linewidth=0.3, alpha=0.5)
    ax.plot(away[25:-25], smooth, color=PALETTE[1], linewidth=1.4)
    top = np.nanmax(smooth, initial=1)
    ax.set(xlim=(-half, half), ylim=(0, 1.25 * top))
    ax.set(xlabel="distance from start of transcription (bp)", ylabel="cut sites over flanks")


def _ranks(ax: Axes, n_fragments: np.ndarray, threshold: int | None) -> None:
    """Draw the number of fragments against the rank of the barcode, both on logarithmic axes."""
    ranked = np.sort(n_fragments[n_fragments > 0])[::-1]
    marker = "o" if len(ranked) == 1 else None  # a bulk sample; a line of one point shows nothing
    ax.plot(np.arange(1, len(ranked) + 1), ranked, color=PALETTE[2], linewidth=1.4, marker=marker)
    ax.set(xscale="log", yscale="log", xlabel="barcode rank", ylabel="fragments")
    if threshold is not None:
        passing = int((n_fragments >= threshold).sum())
        ax.axhline(threshold, color=FAINT, linewidth=0.6, linestyle=(0, (3, 3)))
        ax.annotate(
            f"{passing:,} barcodes with at least {threshold:,}",
            (0, threshold),
            xycoords=("axes fraction", "data"),
            xytext=(3, 3),
            textcoords="offset points",
            fontsize=SMALL,
        )
