"""Deep samples on a device: cut sites, targets and labels of whole territories, to be thinned to shallow versions.

The territories of a sample (three chromosome beginnings, or windows around genes) lie one behind the other on one axis,
with room between them for the context of a network. Positions are bases on this axis; arrays of bins are 8 bp wide.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
import torch
from numba import njit
from torch.nn import functional as F

from benchmarks.accuracy import BLOOD_HELD_OUT, DATA, END, GENOME, PAD, bed, hsc
from benchmarks.bundled.draws import log_uniform
from scatacworks._core.territory import REFERENCE_BP

if TYPE_CHECKING:
    from torch import Tensor

    import scatacworks as sca

Spans = dict[str, list[tuple[int, int]]]
"""Chromosome -> intervals, 0-based and half-open."""

BIN, STRIDE, EXTEND = 8, 128, 100  # bp
ROOM = 81_920  # bp before and after every territory: no crop reaches beyond
SHIFTS = (0, 3, 6)  # bp by which the bins are moved, so that a network does not learn where bins begin
HSC_DEPTH, HSC_SHALLOW = 80e6, 5e6
LUMPS, LUMP_BINS = 0.3, 8192  # of a background: sd of the logarithm of its rate, and bins over which it is constant
PAIRINGS = 3  # ways in which the sites of the HSC are joined to fragments
EDGE = 200  # bp at either end of a window around a gene that do not count: fragments beyond are not known

SPLITS: dict[str, Spans] = {
    "judged": {"chr1": [(0, END)], "chr2": [(0, 7_992_000)]},
    "all": {"chr1": [(0, END)], "chr2": [(0, END)], "chr3": [(0, END)]},
    "chr1": {"chr2": [(0, END)], "chr3": [(0, 7_992_000)]},
    "chr2": {"chr3": [(0, END)], "chr1": [(0, 7_992_000)]},
}
"""What of the HSC is trained on."""
VALIDATION = {"judged": ("chr2", 7_992_000, END), "chr1": ("chr3", 7_992_000, END), "chr2": ("chr1", 7_992_000, END)}
HOLD_OUT = {"judged": "chr3", "chr1": "chr1", "chr2": "chr2"}


@dataclass
class Axis:
    """Territories one behind the other.

    Attributes
    ----------
    names
        Chromosome and first base of each.
    lengths
        bp, `(n,)`.
    starts
        Where each begins on the axis, `(n,)`.
    size
        Length of the axis in bp; a multiple of :data:`STRIDE`.
    """

    names: list[tuple[str, int]]
    lengths: np.ndarray
    starts: np.ndarray = field(init=False)
    size: int = field(init=False)

    def __post_init__(self) -> None:
        step = -(-(self.lengths + 2 * ROOM) // STRIDE) * STRIDE
        self.starts = np.concatenate([[0], np.cumsum(step)])[:-1] + ROOM
        self.size = int(step.sum())

    @property
    def n_bins(self) -> int:
        """Bins of the axis."""
        return self.size // BIN

    def painted(self, table: pd.DataFrame) -> np.ndarray:
        """Bases in intervals (columns chrom, start, end) and in a territory, bool."""
        out = np.zeros(self.size, bool)
        for (chrom, first), length, start in zip(self.names, self.lengths, self.starts, strict=True):
            part = table[(table["chrom"] == chrom) & (table["end"] > first) & (table["start"] < first + length)]
            for a, b in part[["start", "end"]].to_numpy():
                out[max(a - first, 0) + start : min(b - first, length) + start] = True
        return out

    def whole(self) -> np.ndarray:
        """Bases that lie in a territory, bool."""
        out = np.zeros(self.size, bool)
        for start, length in zip(self.starts, self.lengths, strict=True):
            out[start : start + length] = True
        return out

    def sites(self, tracks: sca.Tracks) -> np.ndarray:
        """Sorted positions of a track's cut sites, one entry a site, int64; territories are whole chromosomes."""
        parts = []
        for (chrom, _), start in zip(self.names, self.starts, strict=True):
            sites, _, counts = tracks.runs(0, chrom)
            parts.append(np.repeat(sites.astype(np.int64) + start, counts))
        return np.concatenate(parts)


def in_bins(dense: Tensor, shift: int = 0) -> Tensor:
    """Mean per bin of values per base; bins begin `shift` bp after those of the axis."""
    moved = F.pad(dense[shift:], (0, shift))
    return moved.float().view(-1, BIN).mean(1)


def binned(positions: Tensor, axis: Axis, shift: int) -> Tensor:
    """Cut sites per bin, int16; bins begin `shift` bp after those of the axis."""
    bins = torch.div(positions - shift, BIN, rounding_mode="floor")
    return torch.bincount(bins, minlength=axis.n_bins).to(torch.int16)


def coverage(sites: Tensor) -> Tensor:
    """Cut sites within :data:`EXTEND` bases of each base, from counts per base; float32."""
    total = F.pad(sites.double().cumsum(0), (EXTEND + 1, EXTEND))
    total[-EXTEND:] = total[-EXTEND - 1]
    return (total[2 * EXTEND + 1 :] - total[: -(2 * EXTEND + 1)]).float()


@dataclass
class Deep:
    """A deep sample: single cut sites in a random order of fragments, target and labels.

    Attributes
    ----------
    axis
        Its territories.
    depth
        Cut sites per 3.1e9 bp.
    positions
        Cut sites, one entry each; int64 `(n,)`.
    fragments
        Number of the fragment of every site, in several ways to join them; int64 `(n_pairings, n)`.
    n_fragments
        One more than the highest of these.
    target, label
        Coverage, and share of bases in peaks, per shift and bin; `(n_shifts, n_bins)`.
    mask
        Bins where the loss is taken, 0 or 1; `(n_bins,)`.
    """

    axis: Axis
    depth: float
    positions: Tensor
    fragments: Tensor
    n_fragments: int
    target: Tensor
    label: Tensor
    mask: Tensor

    @classmethod
    def make(
        cls,
        axis: Axis,
        positions: np.ndarray,
        fragments: np.ndarray,
        *,
        depth: float,
        label: np.ndarray,
        mask: np.ndarray,
        device: torch.device,
    ) -> Deep:
        """Move sites, their fragments, and bases in peaks and of the loss (bool, of the axis) to a device."""
        at = torch.from_numpy(positions).to(device)
        cover = coverage(torch.bincount(at, minlength=axis.size))
        labels = torch.from_numpy(label).to(device)
        return cls(
            axis=axis,
            depth=depth,
            positions=at,
            fragments=torch.from_numpy(fragments).to(device),
            n_fragments=int(fragments.max()) + 1,
            target=torch.stack([in_bins(cover, s) for s in SHIFTS]),
            label=torch.stack([in_bins(labels, s) for s in SHIFTS]),
            mask=(in_bins(torch.from_numpy(mask).to(device)) == 1).float(),
        )

    def thinned(self, depth: float, shift: int, *, pairs: bool) -> Tensor:
        """Cut sites per bin of a shallow version, int16; with `pairs`, both sites of a fragment are kept or none."""
        share = min(depth / self.depth, 1.0)
        if pairs:
            which = self.fragments[int(torch.randint(len(self.fragments), (1,)))]
            kept = (torch.rand(self.n_fragments, device=which.device) < share)[which]
        else:
            kept = torch.rand(len(self.positions), device=self.positions.device) < share
        return binned(self.positions[kept], self.axis, shift)


class Background:
    """Cut sites all over the genome, which a noisy library has besides those of open chromatin.

    Parameters
    ----------
    inside
        Share of every bin that is in a territory, `(n_bins,)`.
    share
        Share of the library's cut sites.
    """

    def __init__(self, inside: Tensor, share: float) -> None:
        lumps = torch.randn(-(-len(inside) // LUMP_BINS), device=inside.device).mul(LUMPS).exp()
        self.rate = inside * lumps.repeat_interleave(LUMP_BINS)[: len(inside)] * (share / REFERENCE_BP)
        self.share = share

    def sites(self, depth: float) -> Tensor:
        """Positions of those in a library of so many cut sites per 3.1e9 bp, int64."""
        counts = torch.poisson(self.rate * (depth * BIN)).long()
        bins = torch.arange(len(counts), device=counts.device).repeat_interleave(counts)
        return bins * BIN + torch.randint_like(bins, BIN)

    def coverage(self, depth: float) -> Tensor:
        """Coverage to be expected of them, per bin."""
        return self.rate * (depth * (2 * EXTEND + 1))


@njit
def paired(positions: np.ndarray, lengths: np.ndarray, order: np.ndarray) -> np.ndarray:
    """Join sites, in an order, with an unused one at about a distance (bp, of either sign).

    The nearest of up to 40 sites to either side of the wanted place is taken if it is less than 40 bp from there; a
    site that finds none stays alone.

    Returns
    -------
    Number of the fragment of every site, int64; a fragment has one or two.
    """
    n = len(positions)
    fragment = np.full(n, -1, np.int64)
    n_found = 0
    for i in order:
        if fragment[i] >= 0:
            continue
        fragment[i] = n_found
        wanted = positions[i] + lengths[i]
        j = np.searchsorted(positions, wanted)
        best, best_distance = -1, 40
        for step in range(40):
            for k in (j + step, j - 1 - step):
                if 0 <= k < n and fragment[k] < 0 and abs(positions[k] - wanted) < best_distance:
                    best, best_distance = k, abs(positions[k] - wanted)
            if best >= 0:
                break
        if best >= 0:
            fragment[best] = n_found
        n_found += 1
    return fragment


def pairings(positions: np.ndarray, n: int, seed: int) -> np.ndarray:
    """Fragments made up for sorted sites, `n` times; fragment lengths as of ATAC-seq (short, and one nucleosome)."""
    rng = np.random.default_rng(seed)
    out = []
    for _ in range(n):
        short = 35 + rng.exponential(55, len(positions))
        long = rng.normal(200, 30, len(positions))
        length = np.where(rng.random(len(positions)) < 0.65, short, long).astype(np.int64)
        length *= rng.choice([-1, 1], len(positions))
        out.append(paired(positions, length, rng.permutation(len(positions))))
    return np.stack(out)


class HSC:
    """Bulk HSC: the deep sample, the real shallow one, and what is trained on.

    Parameters
    ----------
    axis
        Whole chromosomes.
    deep, shallow
        Cut sites of the 80 M and the 5 M reads.
    peaks, unknown
        Peaks of the 80 M reads and what these reads lack; columns chrom, start, end.
    train
        Intervals that are trained on.
    device, seed
        Where all lies, and the seed of the fragments that are made up.
    """

    def __init__(
        self,
        axis: Axis,
        deep: sca.Tracks,
        shallow: sca.Tracks,
        *,
        peaks: pd.DataFrame,
        unknown: pd.DataFrame,
        train: Spans,
        device: torch.device,
        seed: int = 0,
    ) -> None:
        self.axis, self.peaks, self.device = axis, peaks, device
        self.label = axis.painted(peaks)
        starts, ends = (unknown["start"] - PAD).clip(lower=0), unknown["end"] + PAD
        self.unknown = axis.painted(unknown.assign(start=starts, end=ends))
        rows = [(chrom, a, b) for chrom, parts in train.items() for a, b in parts]
        self.trained = axis.painted(pd.DataFrame(rows, columns=["chrom", "start", "end"])) & ~self.unknown
        self.sites = axis.sites(deep)
        made_up = pairings(self.sites, PAIRINGS, seed)
        options = {"depth": HSC_DEPTH, "label": self.label, "mask": self.trained, "device": device}
        self.deep = Deep.make(axis, self.sites, made_up, **options)
        real = torch.from_numpy(axis.sites(shallow)).to(device)
        self.real = torch.stack([binned(real, axis, s) for s in SHIFTS])

    @classmethod
    def read(cls, train: Spans, device: torch.device, seed: int = 0) -> HSC:
        """Read the data in the folder of :data:`benchmarks.accuracy.DATA`."""
        axis = Axis([(chrom, 0) for chrom in GENOME], np.array(list(GENOME.values())))
        tables = {"peaks": bed("HSC.80M.chr123.10mb.peaks.bed"), "unknown": bed("unrecovered_80M.bed")}
        return cls(axis, hsc("80M"), hsc("5M"), **tables, train=train, device=device, seed=seed)


class Blood:
    """Real cells of many types in windows around genes: a type's few cells against all its others.

    Parameters
    ----------
    fragments
        Columns chrom, start, end, barcode.
    type_of
        Cell type of every barcode.
    windows
        Columns chrom, start, end.
    device
        Where all lies.
    held_out
        Only the windows that are, only the others, or all (`None`).
    least_cells
        Types of fewer cells are left out.
    """

    def __init__(
        self,
        fragments: pd.DataFrame,
        type_of: pd.Series,
        windows: pd.DataFrame,
        device: torch.device,
        *,
        held_out: bool | None,
        least_cells: int = 60,
    ) -> None:
        fragments = fragments[fragments["barcode"].isin(type_of.index)]
        whole_bp = float((windows["end"] - windows["start"]).sum())
        types = fragments["barcode"].map(type_of)
        self.depth_of = 2 * types.value_counts() * REFERENCE_BP / whole_bp
        if held_out is not None:
            windows = windows[windows["chrom"].isin(BLOOD_HELD_OUT) == held_out]
        lengths = (windows["end"] - windows["start"]).to_numpy()
        self.axis, self.device = Axis(list(zip(windows["chrom"], windows["start"], strict=True)), lengths), device
        inner = windows.assign(start=windows["start"] + EDGE, end=windows["end"] - EDGE)
        self.mask = (in_bins(torch.from_numpy(self.axis.painted(inner)).to(device)) == 1).float()
        self.types = [name for name, n in type_of.value_counts().items() if n >= least_cells]
        self.n_cells = {name: int((type_of == name).sum()) for name in self.types}
        code = {b: i for name in self.types for i, b in enumerate(type_of.index[type_of == name])}
        self.sites: dict[str, Tensor] = {}
        self.cells: dict[str, Tensor] = {}  # number, within its type, of the cell of every site
        for name in self.types:
            at, cell = self._on_axis(fragments[types == name], code)
            self.sites[name], self.cells[name] = torch.from_numpy(at).to(device), torch.from_numpy(cell).to(device)

    @classmethod
    def read(cls, device: torch.device, *, held_out: bool | None) -> Blood:
        """Read the data in the folder of :data:`benchmarks.accuracy.DATA`."""
        folder, names = DATA / "pbmc10k_windows", ["chrom", "start", "end", "barcode", "count"]
        type_of = pd.read_csv(folder / "cells.tsv", sep="\t").set_index("barcode")["celltype"]
        windows = pd.read_csv(folder / "windows.bed", sep="\t", header=None, names=names[:3])
        fragments = pd.read_csv(folder / "fragments.tsv.gz", sep="\t", header=None, names=names)
        return cls(fragments, type_of, windows, device, held_out=held_out)

    def _on_axis(self, table: pd.DataFrame, code: dict[str, int]) -> tuple[np.ndarray, np.ndarray]:
        """Position and cell of every cut site in a window, both int64."""
        positions, cells = [], []
        for (chrom, first), length, at in zip(self.axis.names, self.axis.lengths, self.axis.starts, strict=True):
            last = first + length
            part = table[(table["chrom"] == chrom) & (table["end"] > first) & (table["start"] < last)]
            for site in (part["start"].to_numpy(), part["end"].to_numpy() - 1):
                inside = (site >= first) & (site < last)
                positions.append(site[inside] - first + at)
                cells.append(part["barcode"].map(code).to_numpy()[inside])
        return np.concatenate(positions).astype(np.int64), np.concatenate(cells).astype(np.int64)

    def cutoff(self, name: str, share: float) -> float:
        """Coverage that makes a peak: 14 at 80 M cut sites, as in the HSC labels, for a share of a type's cells."""
        return 14 * self.depth_of[name] * share / HSC_DEPTH

    def draw(self, rng: np.random.Generator) -> tuple[int, int, int]:
        """Draw a type (its place in `types`), how many of its cells, at most half, and one of :data:`SHIFTS`."""
        code = int(rng.integers(len(self.types)))
        most = max(self.n_cells[self.types[code]] // 2, 1)
        n = max(round(log_uniform(rng, min(3, most), most)), 1)
        return code, n, int(rng.integers(len(SHIFTS)))

    def split(self, name: str, n: int, shift: int, generator: torch.Generator | None = None) -> dict[str, Tensor]:
        """`n` cells against the others: counts, target and label per bin, depth and exposure."""
        n_cells = self.n_cells[name]
        drawn = torch.zeros(n_cells, dtype=torch.bool, device=self.device)
        drawn[torch.randperm(n_cells, generator=generator)[:n].to(self.device)] = True
        few = drawn[self.cells[name]]
        rest = coverage(torch.bincount(self.sites[name][~few], minlength=self.axis.size))
        share = n / n_cells
        return {
            "counts": binned(self.sites[name][few], self.axis, shift),
            "target": in_bins(rest, shift),
            "label": in_bins(rest >= self.cutoff(name, 1 - share), shift),
            "depth": self.depth_of[name] * share,
            "exposure": self.depth_of[name] * (1 - share) / HSC_DEPTH,
        }
