"""Train the guide of a network that is held fixed: many targets, priors that leave them out, all on one device.

Every draw weighs the rows of the prior by the target's own thinned cut sites, as the package does.
"""

from __future__ import annotations

import copy
import time
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
import torch

from benchmarks.bundled.data import BIN, HSC_DEPTH, HSC_SHALLOW, SHIFTS, STRIDE, Background, binned, in_bins
from benchmarks.bundled.draws import centers_of, flipped, log_uniform
from benchmarks.bundled.network import TrainingSettings, core, loss_of, optimize
from benchmarks.bundled.prior import stacked
from scatacworks.models.guide import with_guide

if TYPE_CHECKING:
    from torch import Tensor

    from benchmarks.bundled.targets import BloodTargets, Target
    from scatacworks.models import BinnedUNet

WRONG = (200_000, 9_000_000)  # bp by which a prior of the wrong place is moved


@dataclass
class GuideSettings(TrainingSettings):
    """Of the training of a guide.

    Attributes
    ----------
    steps, warmup, average
        As of :class:`TrainingSettings`.
    core
        bp of a crop without its context.
    depth
        Range of depths, drawn log-uniformly.
    real, pairs
        Share of the draws of the HSC that are the real shallow sample; of the other draws, those thinned in pairs.
    blood
        Share of crops that are of blood cells.
    deeper
        Half of the draws weigh the rows by up to so many times the cut sites, as other groups of the same cells would.
    few
        Share of the draws in which the prior is thinned to fewer rows.
    wrong
        Share of the draws in which the prior is of another place, so that one that does not fit is not followed.
    noisy, noisiest
        Share of the draws to which cut sites are added that lie anywhere, and the largest share of these.
    closed_weight, closed_power, closed_most
        Bins that are open in more than `closed_fraction` of the prior and closed in the target weigh
        `1 + closed_weight * (5e6 / depth) ** closed_power`, the second part at most `closed_most`.
    closed_signal
        How many times that part counts in the deviance of the coverage.
    closed_fraction, closed_coverage
        What counts as open elsewhere, and as closed (coverage scaled to 80 M cut sites).
    calibration
        Updates, after all others, of what is added to log odds at a depth, by the peaks' cross-entropy without weights.
    kept, renewed
        Draws that are kept (and half as many of blood cells), and how many are renewed per batch (half as many).
    """

    steps: int = 2500
    warmup: int = 100
    average: float = 0.998
    core: int = 32_768
    depth: tuple[float, float] = (4e4, 2.5e7)
    real: float = 0.25
    pairs: float = 0.25
    blood: float = 0.2
    deeper: float = 60.0
    few: float = 0.3
    wrong: float = 0.06
    noisy: float = 0.0
    noisiest: float = 0.85
    closed_weight: float = 2.2
    closed_power: float = 0.6
    closed_most: float = 14.0
    closed_signal: float = 2.0
    closed_fraction: float = 0.1
    closed_coverage: float = 8.0
    calibration: int = 200
    kept: int = 128
    renewed: float = 0.5


class Context(NamedTuple):
    """A draw of a target, a depth and weighed rows; arrays are per bin of the whole axis."""

    counts: Tensor
    maps: Tensor  # of the prior, (2, n_bins)
    target: Tensor
    label: Tensor
    mask: Tensor
    n: int  # rows used
    explained: float
    depth: float
    exposure: float


WIDE, NARROW = ("counts", "maps"), ("target", "label", "mask")  # cut with the context of the network, and without
SCALARS = ("n", "explained", "depth", "exposure")


class Contexts:
    """A pool of draws from which crops are cut.

    Parameters
    ----------
    targets, blood
        What is drawn.
    settings
        How it is drawn.
    halo
        bp of context on either side of a crop.
    seed
        Seed of all draws but those of cut sites, which are from torch's global state.
    """

    def __init__(
        self, targets: list[Target], blood: BloodTargets, settings: GuideSettings, halo: int, seed: int
    ) -> None:
        self.targets, self.blood, self.settings, self.halo = targets, blood, settings, halo
        self.rng, self.device = np.random.default_rng(seed), targets[0].deep.target.device
        axes = targets[0].deep.axis, blood.blood.axis
        self.inside, self.blood_inside = (in_bins(torch.from_numpy(a.whole()).to(self.device)) for a in axes)
        shares = np.array([t.weight for t in targets])
        self.shares = shares / shares.sum()
        self.drawn = [self._new() for _ in range(settings.kept)]
        self.drawn_blood = [self._new_blood() for _ in range(max(settings.kept // 2, 1))]
        self.centers, self.blood_centers = centers_of(targets[0].deep.mask), centers_of(blood.blood.mask)

    def _background(self, inside: Tensor) -> Background:
        """Draw how noisy a library is; often not at all."""
        settings, rng = self.settings, self.rng
        return Background(inside, rng.uniform(0, settings.noisiest) if rng.random() < settings.noisy else 0.0)

    def _new(self) -> Context:
        """Draw a sample, real or made up."""
        settings, rng = self.settings, self.rng
        target = self.targets[int(rng.choice(len(self.targets), p=self.shares))]
        deep, shift = target.deep, int(rng.integers(len(SHIFTS)))
        background = self._background(self.inside)
        clean = 1 - background.share
        if target.real is not None and rng.random() < settings.real:
            depth, counts = HSC_SHALLOW / clean, target.real[shift]
        else:
            depth = log_uniform(rng, *settings.depth)
            counts = deep.thinned(depth * clean, SHIFTS[shift], pairs=rng.random() < settings.pairs)
        seen = depth * log_uniform(rng, 1, settings.deeper) if rng.random() < 0.5 else depth
        kept = torch.rand(len(deep.positions), device=self.device) < min(seen * clean / deep.depth, 1.0)
        positions = torch.cat([deep.positions[kept], background.sites(min(seen, deep.depth))])
        use = target.draw_rows(rng, settings.few)
        is_wrong = rng.random() < settings.wrong
        moved = int(rng.integers(*WRONG)) // STRIDE * STRIDE if is_wrong else 0
        weights, explained = target.rows.match((positions + moved) % deep.axis.size, use)
        maps = target.rows.channels(weights, shift)
        return Context(
            counts=counts + binned(background.sites(depth), deep.axis, SHIFTS[shift]),
            maps=maps.roll(-moved // BIN, -1) if is_wrong else maps,
            target=(deep.target[shift] * clean + background.coverage(HSC_DEPTH)).half(),
            label=deep.label[shift],
            mask=deep.mask,
            n=int(use.sum()),
            explained=explained,
            depth=depth,
            exposure=1.0,
        )

    def _new_blood(self) -> Context:
        """Draw a type and some of its cells."""
        settings, rng, blood = self.settings, self.rng, self.blood.blood
        code, n, shift = blood.draw(rng)
        name = blood.types[code]
        found = blood.split(name, n, SHIFTS[shift])
        use = np.arange(len(blood.types)) != code
        if rng.random() < settings.few:
            left = np.flatnonzero(use)
            n_rows = int(rng.integers(1, len(left) + 1))
            use = np.isin(np.arange(len(use)), rng.choice(left, n_rows, replace=False))
        seen = n / blood.n_cells[name]
        if rng.random() >= 0.5:
            seen = min(seen * log_uniform(rng, 1, settings.deeper), 0.5)
        sites = blood.sites[name]
        kept = torch.rand(len(sites), device=self.device) < seen
        background = self._background(self.blood_inside)
        more = 1 / (1 - background.share)  # the cells keep all their sites
        positions = torch.cat([sites[kept], background.sites(seen * blood.depth_of[name] * more)])
        weights, explained = self.blood.rows.match(positions, use)
        found["counts"] += binned(background.sites(found["depth"] * more), blood.axis, SHIFTS[shift])
        found["target"] += background.coverage(HSC_DEPTH * more) * found["exposure"]
        found["depth"], found["exposure"] = found["depth"] * more, found["exposure"] * more
        found |= {"target": found["target"].half(), "label": found["label"].half()}
        maps = self.blood.rows.channels(weights, shift)
        return Context(maps=maps, n=int(use.sum()), explained=explained, mask=blood.mask, **found)

    def batch(self) -> dict[str, Tensor]:
        """Cut a batch of crops.

        Returns
        -------
        ``counts`` (batch, 1, n_bins with context), ``prior`` (batch, 6, n_bins with context), ``target``, ``label``
        and ``mask`` (batch, n_bins), ``depth`` and ``exposure`` (batch,); all float32.
        """
        settings, rng = self.settings, self.rng
        if rng.random() < settings.renewed:
            self.drawn[int(rng.integers(len(self.drawn)))] = self._new()
        if rng.random() < settings.renewed / 2:
            self.drawn_blood[int(rng.integers(len(self.drawn_blood)))] = self._new_blood()
        n, n_blood = settings.batch, int(rng.binomial(settings.batch, settings.blood))
        chosen = [self.drawn[int(i)] for i in rng.integers(len(self.drawn), size=n - n_blood)]
        crops = [self._crop(context, self.centers) for context in chosen]
        chosen = [self.drawn_blood[int(i)] for i in rng.integers(len(self.drawn_blood), size=n_blood)]
        crops += [self._crop(context, self.blood_centers) for context in chosen]
        scalars = {
            key: torch.tensor([getattr(crop, key) for crop in crops], dtype=torch.float32, device=self.device)
            for key in SCALARS
        }
        arrays = {key: torch.stack([getattr(crop, key) for crop in crops]).float() for key in WIDE + NARROW}
        arrays = flipped(arrays, WIDE + NARROW, rng)
        weight = torch.ones(n, device=self.device)
        prior = stacked(arrays.pop("maps"), scalars.pop("n"), scalars.pop("explained"), weight)
        return {**arrays, **scalars, "counts": arrays["counts"][:, None], "prior": prior}

    def _crop(self, context: Context, centers: np.ndarray) -> Context:
        """Cut a context round a drawn centre."""
        n, edge, step = self.settings.core // BIN, self.halo // BIN, STRIDE // BIN
        center = int(centers[self.rng.integers(len(centers))]) + int(self.rng.integers(-n // 3, n // 3))
        first = (center - n // 2) // step * step
        wide, narrow = slice(first - edge, first + n + edge), slice(first, first + n)
        return context._replace(
            **{key: getattr(context, key)[..., wide] for key in WIDE},
            **{key: getattr(context, key)[narrow] for key in NARROW},
        )


def closed_weights(batch: dict[str, Tensor], model: BinnedUNet, settings: GuideSettings) -> Tensor:
    """What bins that are open elsewhere and closed here weigh more, `(batch, n_bins)`."""
    margin = model.margin
    fraction = model.crop(batch["prior"][:, 0]).square()[:, margin:-margin]
    cover = batch["target"] / batch["exposure"][:, None]
    closed = (fraction > settings.closed_fraction) & (batch["label"] == 0) & (cover < settings.closed_coverage)
    more = (settings.closed_weight * (5e6 / batch["depth"]) ** settings.closed_power).clamp(max=settings.closed_most)
    return more[:, None] * closed


def fit_guide(
    model: BinnedUNet, targets: list[Target], blood: BloodTargets, settings: GuideSettings, *, seed: int, log: str = ""
) -> BinnedUNet:
    """Train a guide for a network, or the one it has further; returns the network with a guide of averaged weights."""
    device = targets[0].deep.target.device
    torch.manual_seed(seed)
    guided = (copy.deepcopy(model) if model.has_guide else with_guide(model)).to(device)
    guided.requires_grad_(requires_grad=False).eval()
    guided.guide.requires_grad_(requires_grad=True)
    started = time.perf_counter()
    contexts = Contexts(targets, blood, settings, guided.halo, seed)
    print(f"{log} contexts after {time.perf_counter() - started:.0f} s", flush=True)

    def answer() -> tuple[dict[str, Tensor], Tensor, Tensor]:
        batch = contexts.batch()
        return batch, *core(guided.guided(batch["counts"], batch["depth"], batch["prior"]), guided.margin)

    def weighted_loss() -> Tensor:
        batch, signal, logit = answer()
        more = closed_weights(batch, guided, settings)
        masks = batch["mask"] * (1 + settings.closed_signal * more), batch["mask"] * (1 + more)
        return loss_of(signal, logit, batch, settings.signal_weight, masks)

    def loss_of_peaks() -> Tensor:
        batch, signal, logit = answer()
        return loss_of(signal, logit, batch, 0.0)

    average = optimize(guided.guide, settings, weighted_loss, log)
    guided.guide.load_state_dict(average.state_dict())
    guided.guide.requires_grad_(requires_grad=False)
    guided.guide.offset.requires_grad_(requires_grad=True)
    calibration = replace(settings, steps=settings.calibration, warmup=1, rate=0.02, decay=0.0)
    average = optimize(guided.guide.offset, calibration, loss_of_peaks, f"{log} calibration")
    guided.guide.offset.load_state_dict(average.state_dict())
    return guided.requires_grad_(requires_grad=True).eval()
