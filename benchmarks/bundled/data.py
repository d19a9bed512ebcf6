"""Deep samples on a device, and shallow versions of them: whole territories are thinned, crops are cut from those.

The territories of a sample (three chromosome beginnings, or windows around genes) lie one behind the other on one axis,
with room between them for the context of a network. Positions are bases on this axis; arrays of bins are 8 bp wide.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
import torch
from numba import njit
from torch.nn import functional as F

from benchmarks.accuracy import BLOOD_HELD_OUT, DATA, END, GENOME, PAD, bed, hsc

if TYPE_CHECKING:
    from torch import Tensor

BIN, STRIDE, EXTEND = 8, 128, 100
ROOM = 81_920  # bp before and after every territory: no crop reaches beyond
REFERENCE_BP = 3.1e9
SHIFTS = (0, 3, 6)  # bp by which the bins are moved, so that a network does not learn where bins begin


@dataclass
class Axis:
    """Territories behind each other."""

    names: list[tuple[str, int]]
    lengths: np.ndarray
    starts: np.ndarray = field(init=False)

    def __post_init__(self) -> None:
        step = -(-(self.lengths + 2 * ROOM) // STRIDE) * STRIDE
        self.starts = np.concatenate([[0], np.cumsum(step)])[:-1] + ROOM
        self.size = int(step.sum())

    @property
    def n_bins(self) -> int:
        return self.size // BIN

    def painted(self, table: pd.DataFrame) -> np.ndarray:
        """Bases in intervals (columns chrom, start, end), bool."""
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


def in_bins(dense: Tensor, shift: int = 0) -> Tensor:
    """Mean per bin of values per base; bins begin `shift` bp after those of the axis."""
    moved = F.pad(dense[shift:], (0, shift))
    return moved.float().view(-1, BIN).mean(1)


def coverage(sites: Tensor) -> Tensor:
    """Box coverage of dense counts per base, float32."""
    total = F.pad(sites.double().cumsum(0), (EXTEND + 1, EXTEND), mode="constant", value=0)
    total[-EXTEND:] = total[-EXTEND - 1]
    return (total[2 * EXTEND + 1 :] - total[: -(2 * EXTEND + 1)]).float()


@dataclass
class Deep:
    """A deep sample: single cut sites in a random order of fragments, target and labels."""

    axis: Axis
    positions: Tensor  # (n,) int64, one entry a cut site
    fragments: Tensor  # (n_pairings, n) int64: number of the fragment of every site
    depth: float
    label: Tensor  # (n_shifts, n_bins)
    mask: Tensor  # (n_bins,) where the loss is taken
    target: Tensor | None = None  # (n_shifts, n_bins)

    @classmethod
    def make(
        cls, axis: Axis, positions: np.ndarray, fragments: np.ndarray, *, depth: float, label, mask, device
    ) -> Deep:
        """Move sites, their fragments, and bases in peaks and of the loss (bool, of the axis) to a device."""
        at = torch.from_numpy(positions).to(device)
        dense = torch.bincount(at, minlength=axis.size)
        cover = coverage(dense)
        labels = torch.from_numpy(label).to(device)
        return cls(
            axis=axis,
            positions=at,
            fragments=torch.from_numpy(fragments).to(device),
            depth=depth,
            label=torch.stack([in_bins(labels, s) for s in SHIFTS]),
            mask=(in_bins(torch.from_numpy(mask).to(device)) == 1).float(),
            target=torch.stack([in_bins(cover, s) for s in SHIFTS]),
        )

    def thinned(self, depth: float, shift: int, *, pairs: bool) -> Tensor:
        """Cut sites per bin of a shallow version, int16."""
        share = min(depth / self.depth, 1.0)
        if pairs:
            which = self.fragments[int(torch.randint(len(self.fragments), (1,)))]
            kept = (torch.rand(int(self.n_fragments), device=which.device) < share)[which]
        else:
            kept = torch.rand(len(self.positions), device=self.positions.device) < share
        return binned(self.positions[kept], self.axis, shift)

    @property
    def n_fragments(self) -> int:
        if not hasattr(self, "_n"):
            self._n = int(self.fragments.max()) + 1
        return self._n


def binned(positions: Tensor, axis: Axis, shift: int) -> Tensor:
    """Cut sites per bin, int16."""
    bins = torch.div(positions - shift, BIN, rounding_mode="floor")
    return torch.bincount(bins, minlength=axis.n_bins).to(torch.int16)


@njit
def paired(positions: np.ndarray, lengths: np.ndarray, order: np.ndarray) -> np.ndarray:
    """Join every site with an unused one at about a fragment's distance; number of the fragment of every site."""
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
    """The HSC sample: axis, deep sample, the real 5 M reads, and what is trained, validated and held out."""

    def __init__(self, train: dict[str, list[tuple[int, int]]], device: torch.device, seed: int = 0) -> None:
        self.train = train
        self.axis = Axis([(chrom, 0) for chrom in GENOME], np.array(list(GENOME.values())))
        self.device = device
        self.peaks = bed("HSC.80M.chr123.10mb.peaks.bed")
        label = self.axis.painted(self.peaks)
        unknown = bed("unrecovered_80M.bed")
        ends = unknown["end"] + PAD
        self.unknown = self.axis.painted(unknown.assign(start=(unknown["start"] - PAD).clip(lower=0), end=ends))
        mask = self.region(train) & ~self.unknown
        self.sites = self.positions(hsc("80M"))
        made_up = pairings(self.sites, 3, seed)
        self.deep = Deep.make(self.axis, self.sites, made_up, depth=80e6, label=label, mask=mask, device=device)
        shallow = torch.from_numpy(self.positions(hsc("5M"))).to(device)
        self.real = torch.stack([binned(shallow, self.axis, s) for s in SHIFTS])
        self.label = label

    def region(self, spans: dict[str, list[tuple[int, int]]]) -> np.ndarray:
        rows = [(c, a, b) for c, parts in spans.items() for a, b in parts]
        return self.axis.painted(pd.DataFrame(rows, columns=["chrom", "start", "end"]))

    def positions(self, tracks) -> np.ndarray:
        """Sorted positions on the axis, one entry a cut site."""
        parts = []
        for (chrom, _), start in zip(self.axis.names, self.axis.starts, strict=True):
            sites, _, counts = tracks.runs(0, chrom)
            parts.append(np.repeat(sites.astype(np.int64) + start, counts))
        return np.concatenate(parts)


SPLITS = {
    "judged": {"chr1": [(0, END)], "chr2": [(0, 7_992_000)]},
    "all": {"chr1": [(0, END)], "chr2": [(0, END)], "chr3": [(0, END)]},
    "chr1": {"chr2": [(0, END)], "chr3": [(0, 7_992_000)]},
    "chr2": {"chr3": [(0, END)], "chr1": [(0, 7_992_000)]},
}
VALIDATION = {"judged": ("chr2", 7_992_000, END), "chr1": ("chr3", 7_992_000, END), "chr2": ("chr1", 7_992_000, END)}
HOLD_OUT = {"judged": "chr3", "chr1": "chr1", "chr2": "chr2"}


class Blood:
    """Real cells of 13 types in windows around genes: a type's few cells against all its others."""

    def __init__(self, device: torch.device, *, held_out: bool | None, least_cells: int = 60) -> None:
        """`held_out`: only the windows that are, only the others, or all (`None`)."""
        folder = DATA / "pbmc10k_windows"
        type_of = pd.read_csv(folder / "cells.tsv", sep="\t").set_index("barcode")["celltype"]
        windows = pd.read_csv(folder / "windows.bed", sep="\t", header=None, names=["chrom", "start", "end"])
        names = ["chrom", "start", "end", "barcode", "count"]
        table = pd.read_csv(folder / "fragments.tsv.gz", sep="\t", header=None, names=names)
        table = table[table["barcode"].isin(type_of.index)]
        whole_bp = float((windows["end"] - windows["start"]).sum())
        kinds = table["barcode"].map(type_of)
        self.depth_of = 2 * kinds.value_counts() * REFERENCE_BP / whole_bp
        if held_out is not None:
            windows = windows[windows["chrom"].isin(BLOOD_HELD_OUT) == held_out]
        self.windows, self.device = windows.reset_index(drop=True), device
        lengths = (windows["end"] - windows["start"]).to_numpy()
        self.axis = Axis(list(zip(windows["chrom"], windows["start"], strict=True)), lengths)
        inner = windows.assign(start=windows["start"] + 200, end=windows["end"] - 200)
        self.mask = (in_bins(torch.from_numpy(self.axis.painted(inner)).to(device)) == 1).float()
        self.kinds = [k for k, n in type_of.value_counts().items() if n >= least_cells]
        self.n_cells = {k: int((type_of == k).sum()) for k in self.kinds}
        code = {b: i for k in self.kinds for i, b in enumerate(type_of.index[type_of == k])}
        self.sites, self.cells = {}, {}
        for kind in self.kinds:
            own = table[kinds == kind]
            at, cell = self._on_axis(own, code)
            self.sites[kind], self.cells[kind] = (torch.from_numpy(x).to(device) for x in (at, cell))

    def _on_axis(self, table: pd.DataFrame, code: dict[str, int]) -> tuple[np.ndarray, np.ndarray]:
        positions, cells = [], []
        for row, start in zip(self.windows.itertuples(), self.axis.starts, strict=True):
            part = table[(table["chrom"] == row.chrom) & (table["end"] > row.start) & (table["start"] < row.end)]
            for site in (part["start"].to_numpy(), part["end"].to_numpy() - 1):
                inside = (site >= row.start) & (site < row.end)
                positions.append(site[inside] - row.start + start)
                cells.append(part["barcode"].map(code).to_numpy()[inside])
        return np.concatenate(positions).astype(np.int64), np.concatenate(cells).astype(np.int64)

    def cutoff(self, kind: str, share: float) -> float:
        """Coverage that makes a peak: 14 at 80 M cut sites, as in the HSC labels, for a share of a type's cells."""
        return 14 * self.depth_of[kind] * share / 80e6

    def split(self, kind: str, n: int, shift: int, generator: torch.Generator | None = None) -> dict[str, Tensor]:
        """`n` cells against the others: counts, target and label per bin, depth and exposure."""
        n_cells = self.n_cells[kind]
        drawn = torch.zeros(n_cells, dtype=torch.bool, device=self.device)
        drawn[torch.randperm(n_cells, generator=generator)[:n].to(self.device)] = True
        few = drawn[self.cells[kind]]
        rest = coverage(torch.bincount(self.sites[kind][~few], minlength=self.axis.size))
        share = n / n_cells
        return {
            "counts": binned(self.sites[kind][few], self.axis, shift),
            "target": in_bins(rest, shift),
            "label": in_bins(rest >= self.cutoff(kind, 1 - share), shift),
            "depth": self.depth_of[kind] * share,
            "exposure": self.depth_of[kind] * (1 - share) / 80e6,
        }


@dataclass
class DrawSettings:
    """How versions and crops are drawn."""

    core: int = 65_536
    depth: tuple[float, float] = (3e4, 4e7)
    real: float = 0.3
    pairs: float = 0.25
    blood: float = 0.125
    jitter: float = 0.1
    blood_jitter: float = 0.3
    kept: int = 256
    renewed: int = 2


class Versions:
    """A pool of shallow versions, renewed a few at a time, from which crops are cut."""

    def __init__(self, hsc: HSC, blood: Blood, settings: DrawSettings, halo: int, seed: int) -> None:
        self.hsc, self.blood, self.settings, self.halo = hsc, blood, settings, halo
        self.device = hsc.device
        self.rng = np.random.default_rng(seed)
        n = settings.kept
        self.counts = torch.zeros((n, hsc.axis.n_bins), dtype=torch.int16, device=self.device)
        self.shift, self.depth = np.zeros(n, np.int64), np.zeros(n)
        m = max(n // 4, 1)
        self.blood_pool = {
            key: torch.zeros((m, blood.axis.n_bins), dtype=dtype, device=self.device)
            for key, dtype in (("counts", torch.int16), ("target", torch.float16), ("label", torch.float16))
        }
        self.blood_scalars = np.zeros((m, 2))
        for i in range(n):
            self._renew(i)
        for i in range(m):
            self._renew_blood(i)
        self.begins = self._begins(hsc.deep.mask, hsc.axis)
        self.blood_begins = self._begins(blood.mask, blood.axis)

    def _begins(self, mask: Tensor, axis: Axis) -> np.ndarray:
        """Centres (bins) of crops: anywhere that the loss is taken."""
        return np.flatnonzero(mask.cpu().numpy() > 0)

    def _renew(self, i: int) -> None:
        s, rng = self.settings, self.rng
        shift = int(rng.integers(len(SHIFTS)))
        if rng.random() < s.real:
            self.counts[i], self.depth[i] = self.hsc.real[shift], 5e6
        else:
            depth = math.exp(rng.uniform(*map(math.log, s.depth)))
            self.counts[i] = self.hsc.deep.thinned(depth, SHIFTS[shift], pairs=rng.random() < s.pairs)
            self.depth[i] = depth
        self.shift[i] = shift

    def _renew_blood(self, i: int) -> None:
        kind = self.blood.kinds[int(self.rng.integers(len(self.blood.kinds)))]
        most = max(self.blood.n_cells[kind] // 2, 1)
        n = round(math.exp(self.rng.uniform(math.log(min(3, most)), math.log(most))))
        found = self.blood.split(kind, max(n, 1), SHIFTS[int(self.rng.integers(len(SHIFTS)))])
        for key, pool in self.blood_pool.items():
            pool[i] = found[key].to(pool.dtype)
        self.blood_scalars[i] = found["depth"], found["exposure"]

    def batch(self, size: int) -> dict[str, Tensor]:
        """Cut a batch of crops."""
        s, rng = self.settings, self.rng
        for _ in range(s.renewed):
            self._renew(int(rng.integers(len(self.counts))))
        if rng.random() < 0.5:
            self._renew_blood(int(rng.integers(len(self.blood_scalars))))
        n_blood = int(rng.binomial(size, s.blood))
        parts = [self._hsc(size - n_blood)]
        if n_blood:
            parts.append(self._blood(n_blood))
        batch = {key: torch.cat([part[key] for part in parts]) for key in parts[0]}
        flip = torch.from_numpy(rng.random(size) < 0.5).to(self.device)
        for key in ("counts", "target", "label", "mask"):
            values = batch[key]
            batch[key] = torch.where(flip.view(-1, *[1] * (values.ndim - 1)), values.flip(-1), values)
        return batch

    def _index(self, begins: np.ndarray, n: int) -> tuple[Tensor, Tensor]:
        """First bins of crops round drawn centres, as indices with and without the halo."""
        s = self.settings
        centre = begins[self.rng.integers(len(begins), size=n)]
        first = (centre - s.core // BIN // 2 - self.rng.integers(-s.core // BIN // 3, s.core // BIN // 3, size=n)) // 16
        first = torch.from_numpy(first * 16).to(self.device)[:, None]
        core = first + torch.arange(s.core // BIN, device=self.device)
        edge = self.halo // BIN
        return first - edge + torch.arange(s.core // BIN + 2 * edge, device=self.device), core

    def _hsc(self, n: int) -> dict[str, Tensor]:
        which = self.rng.integers(len(self.counts), size=n)
        wide, core = self._index(self.begins, n)
        v = torch.from_numpy(which).to(self.device)[:, None]
        shift = torch.from_numpy(self.shift[which]).to(self.device)[:, None]
        deep = self.hsc.deep
        return self._finish(
            self.counts[v, wide],
            self.depth[which],
            np.ones(n),
            self.settings.jitter,
            (deep.target[shift, core], deep.label[shift, core], deep.mask[core]),
        )

    def _blood(self, n: int) -> dict[str, Tensor]:
        which = self.rng.integers(len(self.blood_scalars), size=n)
        wide, core = self._index(self.blood_begins, n)
        v = torch.from_numpy(which).to(self.device)[:, None]
        depth, exposure = self.blood_scalars[which].T
        pool = self.blood_pool
        rest = (pool["target"][v, core].float(), pool["label"][v, core].float(), self.blood.mask[core])
        return self._finish(pool["counts"][v, wide], depth, exposure, self.settings.blood_jitter, rest)

    def _finish(self, counts: Tensor, depth, exposure, jitter: float, rest: tuple[Tensor, ...]) -> dict[str, Tensor]:
        # with the depth overstated, the same input stands for a signal that is lower by the same factor
        factor = np.where(self.rng.random(len(depth)) < 0.5, np.exp(self.rng.normal(0, jitter, len(depth))), 1.0)
        scalars = {
            key: torch.from_numpy((values * factor).astype(np.float32)).to(self.device)
            for key, values in (("depth", depth), ("exposure", exposure))
        }
        named = dict(zip(("target", "label", "mask"), rest, strict=True))
        return {"counts": counts[:, None].float(), **scalars, **named}
