"""What a guide is trained on: the HSC, samples made up from it, and blood cell types, each with a prior without it."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np
import torch

from benchmarks.bundled.data import BIN, HSC_DEPTH, Deep
from benchmarks.bundled.draws import log_uniform
from benchmarks.bundled.prior import Rows, on_axis, touches
from benchmarks.bundled.scoring import run
from benchmarks.guided import BLOOD, CD34, encode_peaks
from scatacworks._core.calling import call_runs
from scatacworks._core.spans import union

if TYPE_CHECKING:
    from torch import Tensor

    from benchmarks.bundled.data import HSC, Axis, Blood
    from scatacworks.models import BinnedUNet

HSC_WEIGHT = 0.45  # share of the draws that are of the real HSC; the others are of samples made up
REPLICATE, N_RELATIVES = 0.6, 12  # Jaccard index of what is the same sample; how many others are its next of kin
DEEPEST = 4e7  # cut sites per 3.1e9 bp that the network is told at most
SIDE = 150  # bp beside an element that close, or move, with it


@dataclass
class Target:
    """A deep sample with a prior.

    Attributes
    ----------
    deep
        The sample.
    rows
        The prior.
    exclude, relatives
        Rows that are left out always, and half of the time; bool `(n_rows,)`.
    weight
        Share of the draws.
    real
        A real shallow version at the depth of the HSC's, per shift and bin; or `None`.
    """

    deep: Deep
    rows: Rows
    exclude: np.ndarray
    relatives: np.ndarray
    weight: float
    real: Tensor | None = None

    def draw_rows(self, rng: np.random.Generator, few: float) -> np.ndarray:
        """Rows to use: without relatives half of the time, few of them with that probability."""
        use = ~self.exclude
        if rng.random() < 0.5 and (use & ~self.relatives).any():
            use = use & ~self.relatives
        if rng.random() < few:
            left = np.flatnonzero(use)
            use = np.isin(np.arange(len(use)), rng.choice(left, int(log_uniform(rng, 1, len(left))), replace=False))
        return use


class MadeUp:
    """Samples made up from the HSC cut sites: elements closed and opened as in another sample.

    Parameters
    ----------
    hsc
        The sample whose sites are taken.
    intervals
        Elements of the other samples on its axis.
    """

    def __init__(self, hsc: HSC, intervals: dict[str, np.ndarray]) -> None:
        self.hsc, self.intervals = hsc, intervals
        self.sites, self.fragments = hsc.sites, hsc.deep.fragments[0].cpu().numpy()
        self.peaks = on_axis(hsc.axis, hsc.peaks.assign(sample="HSC"), "sample")["HSC"]
        width = np.diff(self.peaks, axis=1)[:, 0]
        self.sources = self.peaks[(width > 200) & (width < 2000)]
        near = np.zeros(hsc.axis.size, bool)
        for a, b in self.peaks:
            near[a - 200 : b + 200] = True
        self.background = (~near[self.sites]).sum() / (hsc.axis.whole() & ~near).sum()  # sites per base
        every = np.concatenate(list(intervals.values()))
        self.is_known = touches(self.peaks, union(every))

    def make(self, name: str, rng: np.random.Generator) -> Deep:
        """A deep sample with the elements of another sample and the HSC's coverage."""
        own, label = self.intervals[name], self.hsc.label.copy()
        is_open = touches(self.peaks, own) | ~self.is_known & (rng.random(len(self.peaks)) < 0.6)
        is_open ^= rng.random(len(self.peaks)) < 0.1
        keep = self._close(self.peaks[~is_open], label, rng)
        new = own[~touches(own, self.peaks, 1000) & (rng.random(len(own)) < 0.85)]
        positions, fragments = self._open(new, label, rng)
        at = np.concatenate([self.sites[keep], *positions])
        _, fragment = np.unique(np.concatenate([self.fragments[keep], *fragments]), return_inverse=True)
        options = {"depth": HSC_DEPTH, "label": label, "mask": self.hsc.trained, "device": self.hsc.device}
        deep = Deep.make(self.hsc.axis, at, fragment[None].astype(np.int64), **options)
        return replace(deep, target=deep.target.half(), label=deep.label.half())  # there are many

    def _close(self, peaks: np.ndarray, label: np.ndarray, rng: np.random.Generator) -> np.ndarray:
        """Thin the sites of peaks to the background, and take their label away; which sites are kept, bool."""
        keep = np.ones(len(self.sites), bool)
        for a, b in peaks:
            low, high = np.searchsorted(self.sites, [a - SIDE, b + SIDE])
            n_background = self.background * (b - a + 2 * SIDE)
            keep[low:high] = rng.random(high - low) < n_background / max(high - low, 1)
            label[a:b] = False
        return keep

    def _open(
        self, elements: np.ndarray, label: np.ndarray, rng: np.random.Generator
    ) -> tuple[list[np.ndarray], list[np.ndarray]]:
        """Copy HSC peaks, drawn, to elements where the loss is taken, and label them; their sites and fragments."""
        positions, fragments = [], []
        n, last = int(self.fragments.max()) + 1, -10_000
        for a, b in elements:
            center = (a + b) // 2
            if center - last < 1200 or not self.hsc.trained[center]:
                continue
            last = center
            c, d = self.sources[int(rng.integers(len(self.sources)))]
            low, high = np.searchsorted(self.sites, [c - SIDE, d + SIDE])
            move = center - (c + d) // 2
            positions.append(self.sites[low:high] + move)
            _, inverse = np.unique(self.fragments[low:high], return_inverse=True)
            fragments.append(inverse + n)
            n += high - low
            label[c + move : d + move] = True
        return positions, fragments


def encode_targets(hsc: HSC, n_made_up: int, seed: int) -> tuple[list[Target], Rows]:
    """HSC and made-up targets with the ENCODE samples as prior, and that prior."""
    rng = np.random.default_rng(seed)
    intervals = on_axis(hsc.axis, encode_peaks(), "sample")
    names = sorted(intervals)
    rows = Rows(hsc.axis, names, intervals, hsc.device)
    jaccard = rows.jaccard()
    targets = [Target(hsc.deep, rows, np.isin(names, [CD34]), np.isin(names, BLOOD), HSC_WEIGHT, hsc.real)]
    maker = MadeUp(hsc, intervals)
    for j in rng.choice(len(names), n_made_up, replace=False):
        replicate = jaccard[j] > REPLICATE
        replicate[j] = True
        close = np.isin(np.arange(len(names)), np.argsort(-jaccard[j])[:N_RELATIVES])
        targets.append(Target(maker.make(names[j], rng), rows, replicate, close, (1 - HSC_WEIGHT) / n_made_up))
    return targets, rows


def called(logit: Tensor, axis: Axis) -> np.ndarray:
    """Peaks of a track of bins, on the axis: at least 200 bp, gaps to 30 bp filled, as called by the package."""
    p = torch.sigmoid(logit).cpu().numpy()
    starts = np.arange(len(p), dtype=np.int32) * BIN
    a, b = call_runs(starts, np.full(len(p), BIN, np.int32), p, 0.0, axis.size, 0.5, 200, 30)
    return np.column_stack([a, b]).astype(np.int64)


class BloodTargets:
    """Few cells of a type, guided by the peaks of the other types, which a network finds in all their cells."""

    def __init__(self, blood: Blood, model: BinnedUNet) -> None:
        self.blood, spans = blood, {}
        for name in blood.types:
            counts = torch.bincount(blood.sites[name] // BIN, minlength=blood.axis.n_bins)
            _, logit = run(model, counts, min(blood.depth_of[name], DEEPEST), (0, blood.axis.n_bins))
            spans[name] = called(logit, blood.axis)
        self.rows = Rows(blood.axis, list(blood.types), spans, blood.device)
