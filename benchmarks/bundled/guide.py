"""Train the guide of a network that is held fixed: many targets, priors that leave them out, all on one device.

Targets are the HSC sample, samples made up from it (its elements closed and opened as in another sample), and the blood
cell types. Every draw weighs the rows of the prior by the target's own thinned cut sites, as the package does.
"""

from __future__ import annotations

import copy
import math
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
import torch

from benchmarks.bundled.data import BIN, SHIFTS, Axis, Blood, Deep
from benchmarks.bundled.network import loss_of
from benchmarks.bundled.scoring import TYPES, auprc, correlation, run, scaled_error
from benchmarks.guided import BLOOD, CD34, encode_peaks
from scatacworks._core import prior as kernels
from scatacworks._core.calling import call_runs
from scatacworks._core.intervals import merge
from scatacworks.models.guide import with_guide
from scatacworks.prior import _MANY, _TRUSTED

if TYPE_CHECKING:
    from torch import Tensor

    from benchmarks.bundled.data import HSC

ITERATIONS, STRENGTH = 40, 0.5  # of the weighing of rows, as in scatacworks._core.prior.match_rows
COMMON, CLOSED = 0.2, 6


class Rows:
    """The rows of a prior on an axis: which of them are present in every segment, dense on the device."""

    def __init__(self, axis: Axis, names: list[str], intervals: dict[str, np.ndarray], device: torch.device) -> None:
        """`intervals`: row -> sorted, disjoint starts and ends on the axis, int64 (n, 2)."""
        self.axis, self.names, self.device = axis, names, device
        parts = [intervals.get(name, np.empty((0, 2), np.int64)) for name in names]
        spans = np.concatenate(parts)
        codes = np.repeat(np.arange(len(names)), [len(p) for p in parts])
        found = kernels.make_segments(spans[:, 0], spans[:, 1], codes, np.ones(len(spans), np.float32), axis.size)
        matrix = np.zeros((len(found.bounds) - 1, len(names)), np.float32)
        matrix[np.repeat(np.arange(len(matrix)), np.diff(found.indptr)), found.rows] = 1
        inside = np.concatenate([[0], np.cumsum(axis.whole())])
        self.matrix = torch.from_numpy(matrix).to(device)
        self.lengths = torch.from_numpy(np.diff(inside[found.bounds]).astype(np.float32)).to(device)
        self.bounds = torch.from_numpy(found.bounds).to(device)
        self.is_gap = self.matrix.sum(1) == 0
        middle = (BIN - 1) // 2
        bases = torch.arange(axis.n_bins, device=device) * BIN + middle
        self.segment_of_bin = torch.stack([self.segment(bases + s) for s in SHIFTS])
        self.exposure = self.lengths @ self.matrix
        self.empty_bp = float(self.lengths[self.is_gap].sum())
        self.covered_bp = float(self.lengths[~self.is_gap].sum())

    def segment(self, positions: Tensor) -> Tensor:
        last = len(self.bounds) - 2
        return (torch.searchsorted(self.bounds, positions, right=True) - 1).clamp_(0, last)

    def match(self, positions: Tensor, use: np.ndarray) -> tuple[Tensor, float]:
        """Rates of the rows, mean 1 over those used, and the share of the cut sites that they explain."""
        counts = torch.bincount(self.segment(positions), minlength=len(self.matrix)).float()
        empty = float(counts[self.is_gap].sum())
        background = max(empty / max(self.empty_bp, 1.0), 1e-12)
        kept = (counts > 0) & ~self.is_gap
        used = torch.from_numpy(use.astype(np.float32)).to(self.device)
        matrix, counts = self.matrix[kept] * used, counts[kept]
        exposure = self.exposure * used
        start = max((float(counts.sum()) - background * self.covered_bp) / max(float(exposure.sum()), 1.0), 1e-12)
        rates = torch.full_like(exposure, start)
        for _ in range(ITERATIONS):
            share = (counts / (background + matrix @ rates)) @ matrix
            rates = (rates * share + STRENGTH) / (exposure + STRENGTH / start)
        rates = rates * used
        mean = matrix @ rates
        total = float(counts.sum()) + empty
        explained = float((counts * mean / (mean + background)).sum()) / total if total else 0.0
        return rates * (float(used.sum()) / rates.sum()), explained

    def channels(self, weights: Tensor, shift: int) -> Tensor:
        """Fraction of the rows, and weighed fraction, per bin; float16 (2, n_bins)."""
        used = (weights > 0).float()
        both = torch.stack([used, weights]) / used.sum()
        return (both @ self.matrix.T).clamp_(max=1)[:, self.segment_of_bin[shift]].half()


def stacked(maps: Tensor, n: Tensor, explained: Tensor, weight: Tensor) -> Tensor:
    """The channels that a guide reads, (B, 6, n_bins), from fractions (B, 2, n_bins)."""
    maps = maps.float()
    flat = [
        value[:, None, None].expand(-1, 1, maps.shape[-1])
        for value in (n.clamp(max=_MANY).log10() / 2, explained, weight)
    ]
    return torch.cat([maps.sqrt(), (maps[:, :1] > 0).float(), *flat], dim=1)


def trust(explained: float) -> float:
    low, high = _TRUSTED
    return float(np.clip((explained - low) / (high - low), 0, 1))


def on_axis(axis: Axis, table: pd.DataFrame, column: str) -> dict[str, np.ndarray]:
    """Merged intervals of every sample of a table, on an axis of whole chromosomes from their beginning."""
    at = {chrom: int(start) for (chrom, _), start in zip(axis.names, axis.starts, strict=True)}
    shift = table["chrom"].map(at).to_numpy()
    out = {}
    for name, index in table.groupby(column, observed=True).indices.items():
        start, end = (table[c].to_numpy()[index] + shift[index] for c in ("start", "end"))
        _, a, b = merge(np.zeros(len(start), np.int64), start, end)
        out[str(name)] = np.column_stack([a, b])
    return out


@dataclass
class Target:
    """A deep sample, its prior and the rows that are never (`exclude`) or half of the time (`relatives`) left out."""

    deep: Deep
    rows: Rows
    exclude: np.ndarray
    relatives: np.ndarray
    weight: float
    real: Tensor | None = None

    def draw_rows(self, rng: np.random.Generator, few: float) -> np.ndarray:
        use = ~self.exclude
        if rng.random() < 0.5 and (use & ~self.relatives).any():
            use = use & ~self.relatives
        if rng.random() < few:
            left = np.flatnonzero(use)
            n = int(math.exp(rng.uniform(0, math.log(len(left)))))
            use = np.isin(np.arange(len(use)), rng.choice(left, n, replace=False))
        return use


class MadeUp:
    """Samples made up from the HSC cut sites: elements closed and opened as in another sample."""

    def __init__(self, hsc: HSC, rows: Rows, intervals: dict[str, np.ndarray], mask: np.ndarray) -> None:
        self.hsc, self.rows, self.intervals, self.mask = hsc, rows, intervals, mask
        self.sites, self.fragments = hsc.sites, hsc.deep.fragments[0].cpu().numpy()
        self.peaks = on_axis(hsc.axis, hsc.peaks.assign(sample="HSC"), "sample")["HSC"]
        width = np.diff(self.peaks, axis=1)[:, 0]
        self.sources = self.peaks[(width > 200) & (width < 2000)]
        inside = np.zeros(hsc.axis.size, bool)
        for a, b in self.peaks:
            inside[a - 200 : b + 200] = True
        self.background = (~inside[self.sites]).sum() / (hsc.axis.whole() & ~inside).sum()
        every = np.concatenate(list(intervals.values()))
        order = np.argsort(every[:, 0])
        _, a, b = merge(np.zeros(len(every), np.int64), every[order, 0], every[order, 1])
        self.known = touches(self.peaks, np.column_stack([a, b]), 0)

    def make(self, name: str, rng: np.random.Generator) -> Deep:
        """A deep sample with the elements of another sample and the HSC's coverage."""
        own = self.intervals[name]
        kept_open = touches(self.peaks, own, 0) | ~self.known & (rng.random(len(self.peaks)) < 0.6)
        kept_open ^= rng.random(len(self.peaks)) < 0.1
        keep = np.ones(len(self.sites), bool)
        label = self.hsc.label.copy()
        for a, b in self.peaks[~kept_open]:
            low, high = np.searchsorted(self.sites, [a - 150, b + 150])
            keep[low:high] = rng.random(high - low) < self.background * (b - a + 300) / max(high - low, 1)
            label[a:b] = False
        new = own[~touches(own, self.peaks, 1000) & (rng.random(len(own)) < 0.85)]
        positions, fragments = [self.sites[keep]], [self.fragments[keep]]
        n = int(self.fragments.max()) + 1
        last = -10_000
        for a, b in new:
            centre = (a + b) // 2
            if centre - last < 1200 or not self.mask[centre]:
                continue
            last = centre
            c, d = self.sources[int(rng.integers(len(self.sources)))]
            low, high = np.searchsorted(self.sites, [c - 150, d + 150])
            move = centre - (c + d) // 2
            positions.append(self.sites[low:high] + move)
            _, inverse = np.unique(self.fragments[low:high], return_inverse=True)
            fragments.append(inverse + n)
            n += high - low
            label[c + move : d + move] = True
        at, fragment = np.concatenate(positions), np.concatenate(fragments)
        _, fragment = np.unique(fragment, return_inverse=True)
        pairs = fragment[None].astype(np.int64)
        options = {"depth": 80e6, "label": label, "mask": self.mask, "device": self.hsc.device}
        return Deep.make(self.hsc.axis, at, pairs, **options)


def touches(a: np.ndarray, b: np.ndarray, room: int) -> np.ndarray:
    """Which of the intervals `a` lie within `room` of any of the sorted, disjoint intervals `b`."""
    first = np.searchsorted(b[:, 1], a[:, 0] - room, side="right")
    return first < np.searchsorted(b[:, 0], a[:, 1] + room, side="left")


def encode_targets(hsc: HSC, n_made_up: int, seed: int) -> tuple[list[Target], Rows]:
    """HSC and made-up targets with the ENCODE samples as prior."""
    rng = np.random.default_rng(seed)
    intervals = on_axis(hsc.axis, encode_peaks(), "sample")
    names = sorted(intervals)
    rows = Rows(hsc.axis, names, intervals, hsc.device)
    both = (rows.matrix * rows.lengths[:, None]).T @ rows.matrix
    size = both.diagonal()
    jaccard = (both / (size[:, None] + size - both)).cpu().numpy()
    is_blood, is_target = np.isin(names, BLOOD), np.isin(names, [CD34])
    targets = [Target(hsc.deep, rows, is_target, is_blood, 0.45, hsc.real)]
    maker = MadeUp(hsc, rows, intervals, hsc.region(hsc_train(hsc)) & ~hsc.unknown)
    for j in rng.choice(len(names), n_made_up, replace=False):
        replicate = jaccard[j] > 0.6
        replicate[j] = True
        close = np.isin(np.arange(len(names)), np.argsort(-jaccard[j])[:12])
        targets.append(Target(maker.make(names[j], rng), rows, replicate, close, 0.55 / n_made_up))
    return targets, rows


def hsc_train(hsc: HSC) -> dict:
    return hsc.train


def called(logit: Tensor, axis: Axis) -> np.ndarray:
    """Peaks of a track of bins, on the axis: at least 200 bp, gaps to 30 bp filled, as called by the package."""
    p = torch.sigmoid(logit).cpu().numpy()
    starts = np.arange(len(p), dtype=np.int32) * BIN
    a, b = call_runs(starts, np.full(len(p), BIN, np.int32), p, 0.0, axis.size, 0.5, 200, 30)
    return np.column_stack([a, b]).astype(np.int64)


class BloodTargets:
    """Few cells of a type, guided by the peaks of the other types."""

    def __init__(self, blood: Blood, model) -> None:
        self.blood, spans = blood, {}
        for kind in blood.kinds:
            counts = torch.bincount(blood.sites[kind] // BIN, minlength=blood.axis.n_bins)
            _, logit = run(model, counts, min(blood.depth_of[kind], 4e7), (0, blood.axis.n_bins))
            spans[kind] = called(logit, blood.axis)
        self.rows = Rows(blood.axis, list(blood.kinds), spans, blood.device)


@dataclass
class GuideSettings:
    """Of the training of a guide."""

    steps: int = 1000
    batch: int = 16
    blood: float = 0.2
    rate: float = 2e-3
    decay: float = 0.01
    warmup: int = 100
    average: float = 0.998
    core: int = 32_768
    depth: tuple[float, float] = (4e4, 2.5e7)
    real: float = 0.25
    pairs: float = 0.25
    deeper: float = 60.0
    few: float = 0.3
    wrong: float = 0.06
    closed_weight: float = 2.2
    closed_power: float = 0.6
    closed_most: float = 14.0
    closed_signal: float = 2.0  # times that weight in the deviance of the coverage
    closed_fraction: float = 0.1
    closed_coverage: float = 8.0
    signal_weight: float = 0.03
    kept: int = 128
    renewed: float = 0.5


class Contexts:
    """Draws of a target, a depth and weighed rows, from which crops are cut."""

    def __init__(
        self, targets: list[Target], blood: BloodTargets, settings: GuideSettings, halo: int, seed: int
    ) -> None:
        self.targets, self.blood, self.settings, self.halo = targets, blood, settings, halo
        self.rng = np.random.default_rng(seed)
        self.device = targets[0].deep.target.device
        shares = np.array([t.weight for t in targets])
        self.shares = shares / shares.sum()
        self.hsc = [self._new() for _ in range(settings.kept)]
        self.cells = [self._new_blood() for _ in range(max(settings.kept // 2, 1))]
        self.begins = np.flatnonzero(targets[0].deep.mask.cpu().numpy() > 0)
        self.blood_begins = np.flatnonzero(blood.blood.mask.cpu().numpy() > 0)

    def _new(self) -> dict:
        s, rng = self.settings, self.rng
        target = self.targets[int(rng.choice(len(self.targets), p=self.shares))]
        deep, shift = target.deep, int(rng.integers(len(SHIFTS)))
        if target.real is not None and rng.random() < s.real:
            depth, counts = 5e6, target.real[shift]
        else:
            depth = math.exp(rng.uniform(*map(math.log, s.depth)))
            counts = deep.thinned(depth, SHIFTS[shift], pairs=rng.random() < s.pairs)
        seen = depth * math.exp(rng.uniform(0, math.log(s.deeper))) if rng.random() < 0.5 else depth
        kept = torch.rand(len(deep.positions), device=self.device) < min(seen / deep.depth, 1.0)
        use = target.draw_rows(rng, s.few)
        is_wrong = rng.random() < s.wrong
        moved = int(rng.integers(200_000, 9_000_000)) // 128 * 128 if is_wrong else 0
        weights, explained = target.rows.match((deep.positions[kept] + moved) % deep.axis.size, use)
        maps = target.rows.channels(weights, shift)
        if is_wrong:
            maps = maps.roll(-moved // BIN, -1)
        return {
            "counts": counts,
            "maps": maps,
            "n": int(use.sum()),
            "explained": explained,
            "depth": depth,
            "exposure": 1.0,
            "target": deep.target[shift],
            "label": deep.label[shift],
            "mask": deep.mask,
        }

    def _new_blood(self) -> dict:
        rng, blood = self.rng, self.blood.blood
        code = int(rng.integers(len(blood.kinds)))
        kind = blood.kinds[code]
        most = max(blood.n_cells[kind] // 2, 1)
        n = max(round(math.exp(rng.uniform(math.log(min(3, most)), math.log(most)))), 1)
        shift = int(rng.integers(len(SHIFTS)))
        found = blood.split(kind, n, SHIFTS[shift])
        use = np.arange(len(blood.kinds)) != code
        if rng.random() < self.settings.few:
            left = np.flatnonzero(use)
            m = int(rng.integers(1, len(left) + 1))
            use = np.isin(np.arange(len(use)), rng.choice(left, m, replace=False))
        share = n / blood.n_cells[kind]
        seen = (
            share if rng.random() < 0.5 else min(share * math.exp(rng.uniform(0, math.log(self.settings.deeper))), 0.5)
        )
        sites = blood.sites[kind]
        kept = torch.rand(len(sites), device=self.device) < seen
        weights, explained = self.blood.rows.match(sites[kept], use)
        maps = self.blood.rows.channels(weights, shift)
        return {
            "maps": maps,
            "n": int(use.sum()),
            "explained": explained,
            "mask": blood.mask,
            **{k: (v.half() if k in ("target", "label") else v) for k, v in found.items()},
        }

    def batch(self) -> dict[str, Tensor]:
        s, rng = self.settings, self.rng
        if rng.random() < s.renewed:
            self.hsc[int(rng.integers(len(self.hsc)))] = self._new()
        if rng.random() < s.renewed / 2:
            self.cells[int(rng.integers(len(self.cells)))] = self._new_blood()
        n_blood = int(rng.binomial(s.batch, s.blood))
        crops = [self._crop(self.hsc[int(i)], self.begins) for i in rng.integers(len(self.hsc), size=s.batch - n_blood)]
        crops += [
            self._crop(self.cells[int(i)], self.blood_begins) for i in rng.integers(len(self.cells), size=n_blood)
        ]
        scalars = {
            k: torch.tensor([c[k] for c in crops], dtype=torch.float32, device=self.device)
            for k in ("depth", "exposure", "n", "explained")
        }
        arrays = {k: torch.stack([c[k] for c in crops]).float() for k in ("counts", "maps", "target", "label", "mask")}
        flip = torch.from_numpy(rng.random(s.batch) < 0.5).to(self.device)
        for key, values in arrays.items():
            arrays[key] = torch.where(flip.view(-1, *[1] * (values.ndim - 1)), values.flip(-1), values)
        prior = stacked(
            arrays.pop("maps"), scalars.pop("n"), scalars.pop("explained"), torch.ones(s.batch, device=self.device)
        )
        arrays["counts"] = arrays["counts"][:, None]
        return {**arrays, **scalars, "prior": prior}

    def _crop(self, context: dict, begins: np.ndarray) -> dict:
        n, edge = self.settings.core // BIN, self.halo // BIN
        centre = int(begins[self.rng.integers(len(begins))]) + int(self.rng.integers(-n // 3, n // 3))
        first = (centre - n // 2) // 16 * 16
        wide, core = slice(first - edge, first + n + edge), slice(first, first + n)
        return {k: context[k] for k in ("depth", "exposure", "n", "explained")} | {
            "counts": context["counts"][wide],
            "maps": context["maps"][:, wide],
            **{k: context[k][core] for k in ("target", "label", "mask")},
        }


def closed_weights(batch: dict[str, Tensor], model, s: GuideSettings) -> Tensor:
    """What bins that are open elsewhere and closed here weigh more."""
    m = model.margin
    fraction = model.crop(batch["prior"][:, 0]).square()[:, m:-m]
    cover = batch["target"] / batch["exposure"][:, None]
    closed = (fraction > s.closed_fraction) & (batch["label"] == 0) & (cover < s.closed_coverage)
    more = (s.closed_weight * (5e6 / batch["depth"]) ** s.closed_power).clamp(max=s.closed_most)
    return more[:, None] * closed


def fit_guide(model, targets: list[Target], blood: BloodTargets, settings: GuideSettings, *, seed: int, log: str = ""):
    """Train the guide of a copy of the network; returns the copy, with averaged weights."""
    device = targets[0].deep.target.device
    torch.manual_seed(seed)
    guided = (copy.deepcopy(model) if model.has_guide else with_guide(model.cpu())).to(device)
    guided.requires_grad_(requires_grad=False).eval()
    guided.guide.requires_grad_(requires_grad=True)
    average = copy.deepcopy(guided.guide).requires_grad_(requires_grad=False)
    parameters = list(guided.guide.parameters())
    optimizer = torch.optim.AdamW(
        parameters, lr=settings.rate, weight_decay=settings.decay, fused=device.type == "cuda"
    )
    started = time.perf_counter()
    contexts = Contexts(targets, blood, settings, guided.halo, seed)
    print(f"{log} contexts after {time.perf_counter() - started:.0f} s", flush=True)
    started, shown = time.perf_counter(), 0.0
    for step in range(settings.steps):
        share = step / settings.steps
        for group in optimizer.param_groups:
            group["lr"] = settings.rate * min(1.0, (step + 1) / settings.warmup) * 0.5 * (1 + math.cos(math.pi * share))
        batch = contexts.batch()
        signal, logit, _ = guided.guided(batch["counts"], batch["depth"], batch["prior"])
        m = guided.margin
        more = closed_weights(batch, guided, settings)
        masks = batch["mask"] * (1 + settings.closed_signal * more), batch["mask"] * (1 + more)
        loss = loss_of(signal[:, m:-m], logit[:, m:-m], batch, settings.signal_weight, masks)
        optimizer.zero_grad(set_to_none=True)
        loss.backward()
        torch.nn.utils.clip_grad_norm_(parameters, 1.0)
        optimizer.step()
        with torch.no_grad():
            torch._foreach_lerp_(
                list(average.parameters()), parameters, 1 - min(settings.average, (2 + step) / (11 + step))
            )
        if step % 100 == 0 and time.perf_counter() - shown > 20:
            shown = time.perf_counter()
            print(f"{log} {step}/{settings.steps} loss {float(loss.detach()):.4f} {shown - started:.0f} s", flush=True)
    guided.guide.load_state_dict(average.state_dict())
    print(f"{log} {settings.steps} updates in {time.perf_counter() - started:.0f} s", flush=True)
    return guided.requires_grad_(requires_grad=True).eval()


class GuideScorer:
    """The hold-out with two priors, and blood cells guided by the others."""

    def __init__(self, scorer, rows: Rows, blood_rows: Rows) -> None:
        self.scorer, self.rows, self.blood_rows = scorer, rows, blood_rows
        self.span = scorer.spans["hold"]
        names = np.array(rows.names)
        self.priors = {"nonblood": ~np.isin(names, BLOOD), "noCD34": names != CD34}
        flat = rows.channels(torch.from_numpy(self.priors["nonblood"].astype(np.float32)).to(rows.device), 0)[0]
        a, b = self.span
        hsc = scorer.hsc
        self.label, self.target = hsc.deep.label[0][a:b] >= 0.5, hsc.deep.target[0][a:b]
        self.common = (flat[a:b] > COMMON) & ~self.label & (self.target <= CLOSED)
        self.bare = flat[a:b] == 0

    def row(self, signal: Tensor, logit: Tensor) -> dict[str, float]:
        y = self.label
        inside = torch.sort(logit[y], descending=True).values
        out = {
            "ap": auprc(y, logit),
            "bare": auprc(y[self.bare], logit[self.bare]),
            "mse": scaled_error(self.target, signal),
            "out": correlation(self.target[~y], signal[~y]),
            "cov": float(signal[self.common].mean()),
        }
        for recall in (0.5, 0.6, 0.8):
            out[f"cl{recall}"] = 100 * float(
                (logit[self.common] >= inside[int(recall * len(inside)) - 1]).float().mean()
            )
        p = torch.sigmoid(logit)
        return out | {"f1": float(2 * ((p > 0.5) & y).sum() / ((p > 0.5).sum() + y.sum()))}

    def hsc(self, model) -> pd.DataFrame:
        found = []
        for name, depth, counts in self.scorer.inputs:
            if name not in ("real", "1M", "0.2M"):
                continue
            positions = (
                torch.repeat_interleave(torch.arange(len(counts), device=counts.device), counts.long()) * BIN + 4
            )
            found.append({"input": name, "prior": "none"} | self.row(*run(model, counts, depth, self.span)))
            for prior, use in self.priors.items():
                weights, explained = self.rows.match(positions, use)
                maps = self.rows.channels(weights, 0)
                found.append(
                    {"input": name, "prior": prior}
                    | self.row(*run(model, counts, depth, self.span, self.extra(maps, int(use.sum()), explained))[:2])
                )
        return pd.DataFrame(found).groupby(["input", "prior"], sort=False).mean()

    def extra(self, maps: Tensor, n: int, explained: float):
        def at(index: Tensor) -> Tensor:
            full = lambda v: torch.full((len(index),), float(v), device=index.device)
            return stacked(maps[:, index].transpose(0, 1), full(n), full(explained), full(trust(explained)))

        return at

    def blood(self, model) -> pd.DataFrame:
        found, scorer = [], self.scorer
        keep = scorer.blood.mask > 0
        kinds = scorer.blood.kinds
        for n, kind, drawn in scorer.cells:
            positions = (
                torch.repeat_interleave(torch.arange(len(drawn["counts"]), device=keep.device), drawn["counts"].long())
                * BIN
                + 4
            )
            use = np.array([k != kind for k in kinds])
            weights, explained = self.blood_rows.match(positions, use)
            extra = self.extra(self.blood_rows.channels(weights, 0), int(use.sum()), explained)
            y = drawn["label"][keep] >= 0.5
            elsewhere = (
                self.blood_rows.channels(
                    torch.from_numpy(np.array([k != kind and k in TYPES for k in kinds]).astype(np.float32)).to(
                        keep.device
                    ),
                    0,
                )[0]
                > 0
            )[keep]
            for prior, given in (("none", None), ("self", extra)):
                signal, logit = run(model, drawn["counts"], drawn["depth"], (0, scorer.blood.axis.n_bins), given)[:2]
                z = logit[keep]
                ok = ~y | ~elsewhere
                found.append(
                    {
                        "cells": n,
                        "prior": prior,
                        "ap": auprc(y, z),
                        "specific": auprc(y[ok], z[ok]),
                        "r": correlation(drawn["target"][keep], signal[keep]),
                    }
                )
        return pd.DataFrame(found).groupby(["cells", "prior"]).mean()
