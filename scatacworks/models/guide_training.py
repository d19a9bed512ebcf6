"""Train the branch of a network that reads a prior, the network itself held fixed."""

from __future__ import annotations

import copy
import math
from dataclasses import dataclass, field, replace
from functools import partial
from typing import TYPE_CHECKING

import numpy as np
import torch
from tqdm.auto import tqdm

from scatacworks._threads import torch_threads
from scatacworks.models._bins import cut
from scatacworks.models._updates import follow, rise_and_fall
from scatacworks.models.data import Drawer, DrawRules, Sample, flipped
from scatacworks.models.guide import with_guide
from scatacworks.models.losses import poisson_loss
from scatacworks.prior import N_MAPS, Guidance, Prior
from scatacworks.tracks import Tracks

if TYPE_CHECKING:
    from collections.abc import Callable

    from torch import nn

    from scatacworks.models.binned_unet import BinnedUNet

__all__ = ["GuideConfig", "GuideTarget", "fit_guide"]

# a group's cut sites may cover more of the genome than is trained on: up to so many times more to match by
_DEEPER = 60


@dataclass
class GuideTarget:
    """A deep sample, and a prior for it.

    Attributes
    ----------
    sample
        The :class:`~scatacworks.models.data.Sample` to predict, with the regions to train on.
    prior
        The :class:`~scatacworks.Prior`, on the genome of the sample.
    exclude
        Rows that are never used: the sample itself and its replicates.
    relatives
        Rows that are left out of half of the draws, so that distant samples are learned from, too.

    Raises
    ------
    KeyError
        If the prior lacks a row to leave out.
    ValueError
        If prior and sample are on different genomes, or nothing is left of the prior.
    """

    sample: Sample
    prior: Prior
    exclude: tuple[str, ...] = ()
    relatives: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        if self.prior.genome.sizes != self.sample.clean.genome.sizes:
            msg = f"The prior of {self.sample.name!r} is on another genome than its cut sites."
            raise ValueError(msg)
        rows = {str(name): i for i, name in enumerate(self.prior.rows)}
        unknown = [name for name in (*self.exclude, *self.relatives) if name not in rows]
        if unknown:
            msg = f"The prior of {self.sample.name!r} has no row {unknown[0]!r} to leave out."
            raise KeyError(msg)
        self._left_out, self._related = ([rows[name] for name in names] for names in (self.exclude, self.relatives))
        if len({*self._left_out, *self._related}) == len(rows):
            msg = f"Nothing is left of the prior of {self.sample.name!r} without what is left out."
            raise ValueError(msg)

    def draw_rows(self, rng: np.random.Generator, few: float) -> np.ndarray:
        """Draw the rows to use, bool `(n_rows,)`; with the probability `few` only some, often a single one."""
        use = np.ones(len(self.prior.rows), bool)
        use[self._left_out] = False
        if rng.random() < 0.5:
            use[self._related] = False
        if rng.random() < few:
            left = np.flatnonzero(use)
            n = int(math.exp(rng.uniform(0, math.log(len(left))))) if len(left) > 1 else 1
            use = np.isin(np.arange(len(use)), rng.choice(left, n, replace=False))
        return use


@dataclass(frozen=True)
class GuideConfig:
    """Settings of :func:`fit_guide`.

    Attributes
    ----------
    steps, batch_size, learning_rate, weight_decay, warmup, average
        As in :class:`~scatacworks.models.train.TrainConfig`; the rate falls to zero by a cosine.
    draw
        How crops are drawn; of its fields only `core_bp`, `depth_range`, `real_fraction`, `unit` and `flip` count here.
    closed_weight, closed_power
        Bins that are open in more than `closed_fraction` of the prior's samples and closed in the target weigh
        `1 + closed_weight * (5e6 / depth) ** closed_power` (the second part at most 12), so that the network does not
        believe in an element because it is open elsewhere.
    closed_fraction, closed_coverage
        What counts as open elsewhere, and as closed (clean coverage, scaled to the model's target depth).
    few
        Share of the draws in which the prior is thinned to fewer rows.
    wrong
        Share of the draws in which the prior is of another place, so that one that does not fit is not followed.
    kept, renewed
        Draws of sample, depth and weighed rows that are kept, and the share of crops that renew one of them.
    signal_weight
        Weight of the coverage's deviance beside the cross-entropy of the peaks.
    calibration
        Updates, after all others, of what is added to log odds at a depth, by the peaks' cross-entropy with all bins
        weighing the same: the weights of closed bins would leave probabilities too low.
    """

    steps: int = 1500
    batch_size: int = 4
    learning_rate: float = 2e-3
    weight_decay: float = 0.01
    warmup: int = 50
    average: float = 0.998
    draw: DrawRules = field(default_factory=DrawRules)
    closed_weight: float = 1.6
    closed_power: float = 0.6
    closed_fraction: float = 0.1
    closed_coverage: float = 8.0
    few: float = 0.4
    wrong: float = 0.06
    kept: int = 500
    renewed: float = 0.1
    signal_weight: float = 0.03
    calibration: int = 300


@dataclass
class _Context:
    """One draw of a target (its position among all), a depth and a prior that was weighed at that depth."""

    target: int
    depth: float
    guidance: Guidance
    is_wrong: bool


def fit_guide(
    model: BinnedUNet,
    targets: list[GuideTarget],
    *,
    config: GuideConfig | None = None,
    seed: int = 0,
    n_jobs: int | None = 1,
    progress: bool = True,
) -> BinnedUNet:
    """Train a network's guide on deep samples and priors that leave them out.

    The network's own weights stay as they are, so that its unguided answer does. For every draw the target's cut
    sites are thinned to some depth, the prior's rows are weighed by them, and a crop of the same depth is predicted.
    Many different targets matter more than much of one: a guide that has seen one cell type learns where *that* one
    differs from the prior, and paints the average elsewhere.

    Parameters
    ----------
    model
        Trained network, on the CPU; a guide that it has is trained further.
    targets
        Deep samples with priors.
    config
        Settings; the default ones when `None`.
    seed
        Seed of all draws and of a new guide's first weights.
    n_jobs
        Threads of torch.
    progress
        Show a progress bar with the loss.

    Returns
    -------
    A network of the same weights with a trained guide, in evaluation mode. `model` is not changed.

    Raises
    ------
    TypeError
        If it is a network that cannot have a guide.
    ValueError
        If there is no target, or the loss stops being finite.

    Examples
    --------
    >>> import numpy as np, scatacworks as sca
    >>> from scatacworks.models.data import DrawRules, Sample
    >>> from scatacworks.models.guide_training import GuideConfig, GuideTarget, fit_guide
    >>> genome, rng = sca.Genome({"chr1": 60_000}), np.random.default_rng(0)
    >>> open_at = np.arange(2_000, 58_000, 4_000)
    >>> sites = np.unique((rng.choice(open_at, 3_000) + rng.integers(0, 300, 3_000)).astype(np.int32))
    >>> clean = sca.Tracks.from_chromosomes(["a"], genome, [("chr1", [(sites, None, np.ones(len(sites), np.uint16))])])
    >>> peaks = {"chr1": np.column_stack([open_at, open_at + 300])}
    >>> sample = Sample(clean, "a", 80e6, {"chr1": np.array([[0, 60_000]])}, peaks=peaks)
    >>> row = (open_at.astype(np.int32), np.full(len(open_at), 300, np.int32), np.ones(len(open_at), np.float32))
    >>> prior = sca.Prior(sca.Tracks.from_chromosomes(["other"], genome, [("chr1", [row])]))
    >>> config = GuideConfig(steps=1, batch_size=1, draw=DrawRules(core_bp=8_192))
    >>> fit_guide(sca.models.BinnedUNet(), [GuideTarget(sample, prior)], config=config, progress=False).has_guide
    True
    """
    config = config or GuideConfig()
    if not targets:
        msg = "there is no target to train a guide on"
        raise ValueError(msg)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        guided = copy.deepcopy(model) if model.has_guide else with_guide(model)
    guided.requires_grad_(requires_grad=False).eval()
    crops = _Crops(guided, targets, config, np.random.default_rng(seed))
    calibration = replace(
        config, steps=config.calibration, learning_rate=0.02, weight_decay=0.0, warmup=1, signal_weight=0.0
    )
    n_updates = config.steps + config.calibration
    more_if_closed = partial(_weights, guided, config=config)
    with torch_threads(n_jobs), tqdm(total=n_updates, desc="guide", disable=not progress) as bar:
        _optimize(guided, guided.guide, crops, config, weights=more_if_closed, bar=bar)
        _optimize(guided, guided.guide.offset, crops, calibration, weights=lambda _: 1.0, bar=bar)
    return guided.requires_grad_(requires_grad=True)


def _optimize(
    model: BinnedUNet,
    part: nn.Module,
    crops: _Crops,
    config: GuideConfig,
    *,
    weights: Callable[[dict[str, torch.Tensor]], torch.Tensor | float],
    bar: tqdm,
) -> None:
    """Make the loss of fresh draws small by a part of the model, in place; what remains is the running average."""
    part.requires_grad_(requires_grad=True)
    average = copy.deepcopy(part).requires_grad_(requires_grad=False)
    optimizer = torch.optim.AdamW(part.parameters(), lr=config.learning_rate, weight_decay=config.weight_decay)
    for step in range(config.steps):
        for group in optimizer.param_groups:
            group["lr"] = config.learning_rate * rise_and_fall(step, config.warmup, config.steps)
        batch = crops.batch()
        loss = _loss(model, batch | {"mask": batch["mask"] * weights(batch)}, config)
        optimizer.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(part.parameters(), 1.0)
        optimizer.step()
        follow(average, part, config.average, step + 1)
        bar.set_postfix(loss=f"{float(loss.detach()):.3f}", refresh=False)
        bar.update()
    part.load_state_dict(average.state_dict())
    part.requires_grad_(requires_grad=False)


def _loss(model: BinnedUNet, batch: dict[str, torch.Tensor], config: GuideConfig) -> torch.Tensor:
    """The loss of a batch, which must be finite."""
    signal, logit, _ = model.guided(batch["counts"], batch["depth"], batch["prior"])
    signal, logit = cut(signal, model.margin), cut(logit, model.margin)
    loss, _ = poisson_loss(signal, logit, batch, signal_weight=config.signal_weight)
    if not torch.isfinite(loss):
        msg = f"the loss became {float(loss.detach())}; take a lower learning rate"
        raise ValueError(msg)
    return loss


def _weights(model: BinnedUNet, batch: dict[str, torch.Tensor], config: GuideConfig) -> torch.Tensor:
    """Weight of every bin: more where it is open elsewhere and closed here."""
    fraction = cut(batch["prior"][:, 0], model.halo // model.bin_size).square()
    coverage = batch["target"] / batch["exposure"][:, None]
    is_closed = (fraction > config.closed_fraction) & (batch["label"] == 0) & (coverage < config.closed_coverage)
    more = (config.closed_weight * (5e6 / batch["depth"]) ** config.closed_power).clamp(max=12)
    return 1 + more[:, None] * is_closed


class _Crops:
    """Draw batches of crops with their priors."""

    def __init__(
        self, model: BinnedUNet, targets: list[GuideTarget], config: GuideConfig, rng: np.random.Generator
    ) -> None:
        self.targets, self.config, self.rng = targets, config, rng
        self.drawer = Drawer([target.sample for target in targets], model, config.draw)
        self.contexts: list[_Context] = []

    def batch(self) -> dict[str, torch.Tensor]:
        """Stack a batch."""
        crops = [self._crop(self._context()) for _ in range(self.config.batch_size)]
        return {key: torch.from_numpy(np.stack([crop[key] for crop in crops])) for key in crops[0]}

    def _context(self) -> _Context:
        """Take one of the draws kept, or a new one."""
        if len(self.contexts) < self.config.kept:
            self.contexts.append(self._new())
            return self.contexts[-1]
        place = int(self.rng.integers(len(self.contexts)))
        if self.rng.random() < self.config.renewed:
            self.contexts[place] = self._new()
        return self.contexts[place]

    def _new(self) -> _Context:
        rng = self.rng
        code = self.drawer.draw_sample(rng)
        target, sample = self.targets[code], self.drawer.samples[code]
        low, high = (math.log(depth) for depth in self.config.draw.depth_range)
        depth = min(math.exp(rng.uniform(low, high)), sample.depth / 2)
        if sample.noisy_depth and rng.random() < self.config.draw.real_fraction:
            depth = sample.noisy_depth
        seen = depth * math.exp(rng.uniform(0, math.log(_DEEPER))) if rng.random() < 0.5 else depth
        is_wrong = rng.random() < self.config.wrong
        sites = _thinned(sample, min(seen / sample.depth, 1.0), rng, shifted=is_wrong)
        use = target.draw_rows(rng, self.config.few)
        return _Context(code, depth, Guidance.make(target.prior, sites, use=use[None]), is_wrong)

    def _crop(self, context: _Context) -> dict[str, np.ndarray]:
        """Draw a crop of a context's sample at its depth, with its prior (weight 1)."""
        drawer, rng = self.drawer, self.rng
        sample = drawer.samples[context.target]
        chrom, start, end = drawer.draw_region(rng, context.target)
        begin = max((int(rng.integers(start, end)) - drawer.core // 2) // drawer.stride, 0) * drawer.stride
        crop = drawer.at(sample, chrom, begin, depth=context.depth, rng=rng)
        code = sample.clean.genome.code(chrom)
        place = int(rng.integers(0, sample.clean.genome.lengths[code])) if context.is_wrong else begin
        steps, values = context.guidance.channels(0, code)
        bases = place - drawer.halo + drawer.bin_size // 2 + drawer.bin_size * np.arange(crop["counts"].shape[-1])
        at = np.searchsorted(steps, bases, side="right") - 1
        crop["prior"] = np.where(at >= 0, values[at].T, 0).astype(np.float32)
        crop["prior"][N_MAPS:-1] = values[0, N_MAPS:-1, None]
        crop["prior"][-1] = 1
        if self.config.draw.flip and rng.random() < 0.5:
            crop = flipped(crop)
        return crop


def _thinned(sample: Sample, fraction: float, rng: np.random.Generator, *, shifted: bool) -> Tracks:
    """Keep a fraction of a sample's cut sites; `shifted` moves them along the chromosome, away from every element."""
    genome = sample.clean.genome
    runs = {}
    for chrom in sample.regions:
        positions, counts = sample.sites(chrom)
        counts = rng.binomial(counts.astype(np.int64), fraction)
        if shifted:
            positions = (positions.astype(np.int64) + rng.integers(genome.length(chrom))) % genome.length(chrom)
            order = np.argsort(positions)
            positions, counts = positions[order], counts[order]
        kept = counts > 0
        runs[chrom] = (positions[kept].astype(np.int32), None, counts[kept])
    order = [chrom for chrom in genome.chroms if chrom in runs]
    return Tracks.from_chromosomes([sample.group], genome, ((chrom, [runs[chrom]]) for chrom in order))
