"""Tracks of groups along a region."""

from __future__ import annotations

import warnings
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Literal, NamedTuple

import numpy as np
import pandas as pd

from scatacworks import _keys
from scatacworks._anndata import atac, genome_of, params_of, peaks_of
from scatacworks._groups import chosen_groups, group_names, named
from scatacworks._regions import flanked, one_or_more
from scatacworks._text import listed
from scatacworks.get import tracks as get_tracks
from scatacworks.get._track import is_made_of, track_bins
from scatacworks.pl import _browser
from scatacworks.pl._colors import colors_by
from scatacworks.pl._figure import finish
from scatacworks.pl._layout import Layout, Panel
from scatacworks.prior import Prior

if TYPE_CHECKING:
    from collections.abc import Sequence

    from anndata import AnnData
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure
    from mudata import MuData

    from scatacworks.genome import Genome, Region

Layer = Literal["raw", "denoised", "probability", "unguided", "prior", "peaks"]
LAYERS: tuple[Layer, ...] = ("raw", "denoised", "probability", "unguided", "prior", "peaks")
_PROBABILITIES = {"probability": _keys.PROBABILITY, "unguided": _keys.UNGUIDED}


def tracks(  # noqa: PLR0913 - slots, lines and looks, all with defaults
    adata: AnnData | MuData,
    region: str | tuple[str, int, int],
    *,
    groups: Sequence[str] | None = None,
    layers: Layer | Sequence[Layer] | None = None,
    key: str = _keys.DENOISED,
    pseudobulk_key: str = _keys.PSEUDOBULK,
    peaks_key: str = _keys.PEAKS,
    extend: int = 100,
    flank: int | None = None,
    genes: pd.DataFrame | bool = True,
    index: AnnData | None = None,
    highlight: str | tuple[str, int, int] | Sequence[str | tuple[str, int, int]] = (),
    share_y: bool = True,
    groupby: str | None = None,
    palette: dict[str, str] | None = None,
    title: str | None = None,
    mod: str = "atac",
    ax: Axes | None = None,
    figsize: tuple[float, float] | None = None,
    show: bool | None = None,
    return_fig: bool = False,
) -> Figure | None:
    """Show raw coverage, denoised coverage, peak probability and peaks of groups along a region, and its genes.

    Every group is a block of lines. Raw and denoised coverage are at one depth, that of the denoised signal, so that
    groups of few and of many cells can be compared; without denoised tracks the raw coverage is that of a million
    nuclear fragments. Regions of more than 4,000 bp show the maximum of bins.
    Hatched parts were not denoised (`regions` of :func:`~scatacworks.tl.denoise`).

    Parameters
    ----------
    adata
        Cells, after :func:`~scatacworks.pp.pseudobulk` or :func:`~scatacworks.tl.denoise`.
    region
        `"chr1:1,000-2,000"`, `("chr1", 1000, 2000)` (0-based, half-open) or a gene name.
    groups
        Groups to show, in this order; by default all that every layer shown has.
    layers
        What to show of each group, in this order: `"raw"` coverage, `"denoised"` coverage, `"probability"` of a peak
        (as a strip, pale grey is 0), and of tracks denoised with a prior that probability `"unguided"` and the
        `"prior"` itself (the fraction of its samples); `"peaks"` (with summits). By default whatever there is.
    key, pseudobulk_key, peaks_key
        Slots of `.uns`.
    extend
        Bases that a cut site of the raw coverage covers to both sides.
    flank
        bp to show on both sides of the region; by default none, and a quarter of the gene (at least 2 kb) for a gene.
    genes
        `False` for none; or a table with the columns `chrom`, `start`, `end`, `name`, `strand` and, to show exons,
        `part` (:func:`~scatacworks.io.read_genes` with `parts=True`). By default the genome's own genes.
    index
        Elements to show above the genes, as :func:`~scatacworks.tl.dhs_index` makes them, with their cores (or, without
        one, centroids) thick and strong elements over weak ones, in the colours of their components
        (`.var["component"]`; grey without), which are named below where there is room. Of more than 4,000 elements the
        strongest of every bin is shown.
    highlight
        Regions to shade.
    share_y
        One y scale for all groups (one for raw, one for denoised coverage); otherwise one for each line.
    groupby
        Column of `.obs` whose colours in `.uns[f"{groupby}_colors"]` are taken; by default that of the pseudobulk.
        They are written where missing.
    palette
        Group -> colour, before any other.
    title
        By default the region.
    mod
        Modality to use where `adata` is a MuData.
    ax
        Axes whose place the figure takes, the names of the groups included; the lines are its `child_axes`.
    figsize
        Width and height in inches.
    show
        Show the figure; by default where nothing is returned and no `ax` is given.
    return_fig
        Return the figure.

    Returns
    -------
    The :class:`~matplotlib.figure.Figure` if `return_fig=True` or `show=False` or `ax` is given, else `None`.

    Raises
    ------
    KeyError
        If there is nothing to show, no such group in one of the layers, or the index has no positions.
    TypeError
        If the index is no AnnData.
    ValueError
        If the region is outside the genome, a layer is unknown, or the index is of another genome or has no element on
        the region's chromosome.

    Examples
    --------
    >>> import scatacworks as sca
    >>> adata = sca.datasets.pbmc_windows()
    >>> sca.pp.pseudobulk(adata, "cell_type", progress=False)
    >>> fig = sca.pl.tracks(adata, "MS4A1", groups=["memory B", "NK"], show=False)
    >>> len(fig.axes)
    3
    """
    adata = atac(adata, mod=mod)
    if not isinstance(palette, Mapping | None):
        msg = f"palette is {palette!r}; expected a dict of group -> colour."
        raise TypeError(msg)
    slots = _Slots(key, pseudobulk_key, peaks_key)
    shown = _layers(adata, layers, slots)
    genome = _genome(adata, slots, genes=genes)
    if "raw" in shown and len(shown) > 1 and not is_made_of(adata, key, pseudobulk_key):
        msg = (
            f".uns[{key!r}] was denoised from other cut sites than .uns[{pseudobulk_key!r}] holds now: the lines of a "
            "group do not belong together. Run tl.denoise again."
        )
        warnings.warn(msg, UserWarning, stacklevel=2)
    found = flanked(genome, region, flank)
    source = _Source(adata, found, genome, shown, slots, extend)
    names = source.groups(groups)
    panels = [source.panel(group, layer) for group in names for layer in shown]
    colors = colors_by(adata, groupby, pseudobulk_key, names) | (palette or {})
    body, exons = _browser.genes_in(genome, found, genes=genes)
    elements, components = (None, None) if index is None else _browser.elements_in(index, genome, found)
    layout = Layout(panels, components, _browser.count_lines(body, found), found, figsize=figsize, ax=ax)
    layout.draw(colors, share_y=share_y)
    layout.draw_elements(elements)
    layout.label(_title(region, found) if title is None else title, source.unit())
    layout.shade([genome.region(part) for part in one_or_more(highlight, genome)])
    layout.draw_genes(body, exons)
    return finish(layout.figure, show=show, return_fig=return_fig, given=ax is not None)


class _Slots(NamedTuple):
    """Keys of `.uns`; those of the usual slots are shown as far as they are there."""

    denoised: str = _keys.DENOISED
    pseudobulk: str = _keys.PSEUDOBULK
    peaks: str = _keys.PEAKS


_STEPS = {
    "denoised": "tl.denoise",
    "probability": "tl.denoise",
    "unguided": "tl.denoise(prior=...)",
    "prior": "tl.denoise(prior=...)",
    "peaks": "tl.call_peaks",
}


def _layers(adata: AnnData, wanted: Layer | Sequence[Layer] | None, slots: _Slots) -> list[Layer]:
    """Return the layers to show, by default all that there are."""
    absent = [name for name in slots if name not in adata.uns and name not in _Slots()]
    if absent:
        msg = f"There is no .uns[{absent[0]!r}]; there are {listed(map(repr, adata.uns))}."
        raise KeyError(msg)
    by_layer = dict.fromkeys(LAYERS, slots.denoised) | {"raw": slots.pseudobulk, "peaks": slots.peaks}
    if _keys.PRIOR not in adata.uns.get(slots.denoised, {}):
        del by_layer["unguided"], by_layer["prior"]
    there = [layer for layer, slot in by_layer.items() if slot in adata.uns]
    single = isinstance(wanted, str) or not isinstance(wanted, Iterable)
    shown = there if wanted is None else [wanted] if single else list(wanted)
    unknown = [layer for layer in shown if layer not in LAYERS]
    if unknown:
        msg = f"The layer {unknown[0]!r} is unknown; expected some of {', '.join(map(repr, LAYERS))}."
        raise ValueError(msg)
    if wanted is not None and not shown:
        msg = f"layers is empty; name some of {', '.join(map(repr, LAYERS))}, or leave it out for all there are."
        raise ValueError(msg)
    missing = [layer for layer in shown if layer not in there]
    if missing or not shown:
        name = missing[0] if missing else "track"
        step = _STEPS.get(name, "pp.pseudobulk")
        msg = f"There is no {name} to show; run scatacworks.{step} first, or name the keys."
        raise KeyError(msg)
    return shown


def _genome(adata: AnnData, slots: _Slots, *, genes: pd.DataFrame | bool) -> Genome:
    """Return the genome of the tracks or, where there are only peaks, of the object, with the genes that are given."""
    base = [slot for slot in (slots.pseudobulk, slots.denoised) if slot in adata.uns]
    genome = get_tracks(adata, key=base[0]).genome if base else genome_of(adata)
    if genome is None:
        msg = f"The object names no genome: set .uns[{_keys.REFERENCE_SEQUENCES!r}] = sca.Genome('hg38').to_frame()."
        raise KeyError(msg)
    if isinstance(genes, pd.DataFrame):
        return genome.with_genes(genes[genes["part"] == "transcript"] if "part" in genes else genes)
    return genome


@dataclass(frozen=True)
class _Source:
    """Where the values come from."""

    adata: AnnData
    region: Region
    genome: Genome
    layers: list[Layer]
    slots: _Slots
    extend: int

    def groups(self, groups: Sequence[str] | None) -> list[str]:
        """Return the groups to show: those asked for, or all that every layer has."""
        if self.layers == ["peaks"]:
            table = peaks_of(self.adata, self.slots.peaks, "group")
            known = {self.slots.peaks: group_names(pd.Categorical(table["group"]).categories)}
        else:
            denoised = any(layer not in ("raw", "peaks") for layer in self.layers)
            used = [self.slots.denoised] * denoised + [self.slots.pseudobulk] * ("raw" in self.layers)
            known = {slot: list(map(str, get_tracks(self.adata, key=slot).groups)) for slot in used}
        common = [name for name in next(iter(known.values())) if all(name in names for names in known.values())]
        names = chosen_groups(groups, common)
        unknown = [name for name in names if name not in common]
        if unknown or not names:
            told = " and ".join(f".uns[{slot!r}] has {listed(map(repr, has))}" for slot, has in known.items())
            what = f"There is no group {unknown[0]!r} to show" if unknown else "There is no group that all layers have"
            hint = "; run tl.denoise again, or show some layers only" if len(known) > 1 else ""
            msg = f"{what}: {told}{hint}."
            raise KeyError(msg)
        return names

    @cached_property
    def peaks(self) -> pd.DataFrame:
        """The peaks of all groups in the region."""
        table = peaks_of(self.adata, self.slots.peaks, "group", "chrom", "start", "end")
        chrom, start, end = self.region
        here = self.genome.resolve(table["chrom"]) == self.genome.code(chrom)
        table = table[here & (table["end"] > start) & (table["start"] < end)]
        return table.assign(group=named(table["group"]))

    def panel(self, group: str, layer: Layer) -> Panel:
        """Return what one line shows."""
        if layer == "peaks":
            return Panel(group, layer, table=self.peaks[self.peaks["group"] == group])
        width = _browser.bin_width(self.region)
        if layer == "raw":
            values = track_bins(self.adata, group, self.region, width, key=self.slots.pseudobulk, extend=self.extend)
            values = values * self.raw_factor(group)
        elif layer == "prior":
            values = Prior.from_dict(self.adata.uns[self.slots.denoised][_keys.PRIOR]).highest(*self.region, width)
        else:
            kept = _PROBABILITIES.get(layer, _keys.SIGNAL)
            values = track_bins(self.adata, group, self.region, width, key=self.slots.denoised, layer=kept)
        return Panel(group, layer, _browser.bin_edges(self.region), values)

    def raw_factor(self, group: str) -> float:
        """Return what brings a group's raw coverage to its denoised one's depth, or a million nuclear fragments."""
        stored = params_of(self.adata, self.slots.denoised)
        names = list(map(str, np.atleast_1d(stored.get("groups", ()))))
        if "target_depth" in stored and group in names:
            i = names.index(group)
            depth = float(np.atleast_1d(stored["depth"])[i])
            return float(np.atleast_1d(stored["target_depth"])[i]) / depth if depth > 0 else 0.0
        sites = get_tracks(self.adata, key=self.slots.pseudobulk)
        code = sites.group_code(group)
        elsewhere = sum(int(sites.runs(code, chrom)[2].sum()) for chrom in np.flatnonzero(~sites.genome.nuclear)) / 2
        n_fragments = self.adata.uns[self.slots.pseudobulk]["n_fragments"][code] - elsewhere
        return 1e6 / n_fragments if n_fragments > 0 else 0.0

    def unit(self) -> str:
        """Return the label of the y axis."""
        stored = params_of(self.adata, self.slots.denoised)
        depths = np.unique(np.atleast_1d(stored.get("target_depth", ())))
        if stored.get("signal") == "target":
            return "signal in the unit of the model's target; raw: coverage per million nuclear fragments"
        if len(depths) == 1:
            return f"coverage (cut sites ± {self.extend} bp) at {depths[0] / 1e6:,.3g} M cut sites per genome"
        if len(depths) > 1:
            return f"coverage (cut sites ± {self.extend} bp)"
        return f"coverage (cut sites ± {self.extend} bp) per million nuclear fragments"


def _title(region: str | tuple[str, int, int], found: Region) -> str:
    span = f"{found.chrom}:{found.start:,}–{found.end:,}"
    return span if not isinstance(region, str) or ":" in region or region == found.chrom else f"{region}   {span}"
