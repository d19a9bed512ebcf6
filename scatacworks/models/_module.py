"""The Lightning side of training: data loader, updates, validation, checkpoints."""

from __future__ import annotations

import copy
import json
from functools import cached_property
from typing import TYPE_CHECKING, Any

import lightning as L
import numpy as np
import torch
from torch.utils.data import DataLoader, Dataset
from tqdm.auto import tqdm

from scatacworks._core.scoring import PairMoments, Ranking, average_precision, roc_area
from scatacworks._core.spans import between
from scatacworks._logging import logger
from scatacworks.models._bins import cut
from scatacworks.models._description import describe
from scatacworks.models._updates import follow, rise, rise_and_fall
from scatacworks.models.data import Drawer
from scatacworks.models.losses import LOSSES

if TYPE_CHECKING:
    from scatacworks.models._recipes import TrainConfig
    from scatacworks.models.base import Model
    from scatacworks.models.data import Sample


_DRAWS = 3  # sets of cells of each number that are validated


class _Crops(Dataset):
    """Crops of one epoch. Crop `i` depends on the seed, the epoch and `i` alone, so that a run can be resumed."""

    def __init__(self, drawer: Drawer, config: TrainConfig, key: tuple[int, int], n_crops: int) -> None:
        self.drawer, self.config, self.key, self.n_crops = drawer, config, key, n_crops
        self.tiles = drawer.tiles() if config.tiled else []
        self.order = self._order() if config.tiled else None

    def _order(self) -> np.ndarray:
        """Tiles of this epoch in random order, repeated when an epoch is longer than the tiling."""
        rng = np.random.default_rng(self.key)
        used = np.array([i for i, tile in enumerate(self.tiles) if self._has_data(tile)])
        if len(used) == 0:
            msg = "no training tile has a cut site"
            raise ValueError(msg)
        return np.concatenate([rng.permutation(used) for _ in range(-(-self.n_crops // len(used)))])

    def _has_data(self, tile: tuple[int, str, int]) -> bool:
        sample = self.drawer.samples[tile[0]]
        source = sample.clean if sample.noisy is None else sample.noisy
        positions, _, _ = source.runs(sample.group, tile[1])
        found = between(positions, tile[2], tile[2] + self.drawer.core)
        return found.stop > found.start

    def __len__(self) -> int:
        return self.n_crops

    def __getitem__(self, i: int) -> dict[str, np.ndarray]:
        rng = np.random.default_rng([*self.key, i + 1])
        if not self.config.tiled:
            return self.drawer.random(rng)
        code, chrom, begin = self.tiles[self.order[i]]
        sample = self.drawer.samples[code]
        numbers = [] if sample.noisy_depth else self.drawer.numbers_of_cells(sample)
        if numbers:
            return self.drawer.with_cells(sample, chrom, begin, n_cells=int(rng.choice(numbers)), rng=rng)
        depth = sample.noisy_depth or self.config.draw.depth_range[0]
        return self.drawer.at(sample, chrom, begin, depth=depth, rng=rng)


class _Validation(Dataset):
    """Every validation tile at every depth or with several sets of every number of cells, always the same."""

    def __init__(self, drawer: Drawer, config: TrainConfig, seed: int) -> None:
        self.drawer, self.seed = drawer, seed
        self.items = []
        for code, chrom, begin in drawer.tiles():
            sample = drawer.samples[code]
            numbers = drawer.numbers_of_cells(sample)
            depths = set() if numbers else {d for d in config.validation_depths if d <= sample.depth}
            depths |= {sample.noisy_depth} if sample.noisy_depth else set()
            if not numbers and not depths:
                depths = {sample.depth / 10}
            self.items += [(code, chrom, begin, n, draw) for n in numbers for draw in range(_DRAWS)]
            self.items += [(code, chrom, begin, depth, None) for depth in sorted(depths)]

    def __len__(self) -> int:
        return len(self.items)

    def __getitem__(self, i: int) -> dict[str, Any]:
        code, chrom, begin, amount, draw = self.items[i]
        sample = self.drawer.samples[code]
        if draw is not None:
            # one seed for all tiles, so that they all see the same cells
            rng = np.random.default_rng([self.seed, code, amount, draw])
            crop = self.drawer.with_cells(sample, chrom, begin, n_cells=amount, rng=rng)
            return crop | {"level": f"{amount} cell{'s' if amount > 1 else ''}"}
        rng = np.random.default_rng([self.seed, i])
        crop = self.drawer.at(sample, chrom, begin, depth=amount, rng=rng)
        return crop | {"level": f"{amount / 1e6:.3g}M"}


class ProgressBar(L.Callback):
    """One bar of all updates, with the loss, on standard error: Lightning's are on standard output, among results."""

    def on_train_start(self, trainer: L.Trainer, _: L.LightningModule) -> None:
        """Show it, from where a resumed run goes on."""
        total = trainer.max_epochs * trainer.num_training_batches
        self.bar = tqdm(total=total, initial=trainer.global_step, desc="train", disable=not trainer.is_global_zero)

    def on_train_batch_end(self, _: L.Trainer, __: L.LightningModule, outputs: dict[str, Any], *___: Any) -> None:
        """Count an update."""
        if outputs:  # a loss that is not finite leaves none and ends the run
            self.bar.set_postfix(loss=f"{float(outputs['loss']):.3f}", refresh=False)
            self.bar.update()

    def on_train_end(self, *_: Any) -> None:
        """Leave it where it is."""
        self.bar.close()

    def on_exception(self, *_: Any) -> None:
        """Leave it where it is, if the training began."""
        if hasattr(self, "bar"):
            self.bar.close()


class TrainingModule(L.LightningModule):
    """One network in training, with the running average of its weights."""

    def __init__(self, model: Model, config: TrainConfig, data: tuple[list[Sample], list[Sample]], seed: int) -> None:
        super().__init__()
        model.check_geometry()
        self.model, self.settings, self.seed, self._data = model, config, seed, data
        self.average = copy.deepcopy(model).requires_grad_(requires_grad=False) if config.average else None
        self._train = Drawer(data[0], model, config.draw)
        self._validate = Drawer(data[1], model, config.draw) if data[1] else None
        self.stopped: str | None = None
        self.diverged = False  # the last weights give no numbers
        self.history: list[dict[str, float]] = []
        self.best: tuple[float, dict[str, torch.Tensor]] = (-np.inf, {})
        self._losses: list[float] = []
        self._scores: dict[str, tuple[PairMoments, Ranking]] = {}

    @property
    def kept(self) -> Model:
        """The network whose weights are validated and kept."""
        return self.average if self.average is not None else self.model

    # -- data ---------------------------------------------------------------------------------------------------------
    def train_dataloader(self) -> DataLoader:
        """Crops of the current epoch."""
        epoch, rank = self.trainer.current_epoch, self.trainer.global_rank
        n = self.settings.steps // self.settings.epochs * self.settings.batch_size
        crops = _Crops(self._train, self.settings, (self.seed, epoch * self.trainer.world_size + rank), n)
        return self._loader(crops)

    def val_dataloader(self) -> DataLoader | list:
        """Validation tiles."""
        return [] if self._validate is None else self._loader(_Validation(self._validate, self.settings, self.seed))

    def _loader(self, dataset: Dataset) -> DataLoader:
        # a generator of its own keeps the loader away from torch's global random state
        generator = torch.Generator().manual_seed(self.seed)
        return DataLoader(dataset, batch_size=self.settings.batch_size, generator=generator)

    # -- updates ------------------------------------------------------------------------------------------------------
    def configure_optimizers(self) -> dict[str, Any]:
        """Optimiser and learning-rate schedule."""
        c = self.settings
        if c.optimizer == "adamw":
            optimizer = torch.optim.AdamW(self.model.parameters(), lr=c.learning_rate, weight_decay=c.weight_decay)
        else:
            optimizer = torch.optim.Adam(self.model.parameters(), lr=c.learning_rate)
        total = c.steps // c.epochs * c.epochs

        def factor(step: int) -> float:
            return rise_and_fall(step, c.warmup, total) if c.schedule == "cosine" else rise(step, c.warmup)

        schedule = torch.optim.lr_scheduler.LambdaLR(optimizer, factor)
        return {"optimizer": optimizer, "lr_scheduler": {"scheduler": schedule, "interval": "step"}}

    def training_step(self, batch: dict[str, torch.Tensor], _: int) -> torch.Tensor | None:
        """Loss of one batch; a loss that is not finite ends the run before it touches the weights."""
        signal, logit = self._core(self.model, batch)
        loss = self._loss(signal, logit, batch)
        if not torch.isfinite(loss):
            self.stopped = f"the loss became {float(loss.detach())} at update {self.global_step}"
            self.stopped += ", where the signal is negative" if (signal < 0).any() else ""
            logger.warning("Training stops: %s; the last good weights are kept.", self.stopped)
            self.trainer.should_stop = True
            return None
        self._losses.append(float(loss.detach()))
        return loss

    def _loss(self, *given: Any) -> torch.Tensor:
        chosen = self.settings.loss
        found = (chosen if callable(chosen) else LOSSES[chosen])(*given)
        if not isinstance(found, tuple):
            msg = f"The loss {chosen!r} returned a {type(found).__name__}; expected the loss and a dict of its terms."
            raise TypeError(msg)
        return found[0]

    def on_train_batch_end(self, *_: Any) -> None:
        """Move the averaged weights towards the current ones."""
        if self.average is not None and not self.stopped:
            follow(self.average, self.model, self.settings.average, self.global_step)

    def _core(self, model: Model, batch: dict[str, torch.Tensor]) -> tuple[torch.Tensor, torch.Tensor]:
        """Output without the extra bins for interpolation."""
        signal, logit = model(batch["counts"], batch["depth"])
        return cut(signal, model.margin), cut(logit, model.margin)

    # -- validation ---------------------------------------------------------------------------------------------------
    def on_validation_epoch_start(self) -> None:
        """Start the scores anew."""
        self._scores = {}

    def validation_step(self, batch: dict[str, torch.Tensor], _: int) -> None:
        """Add a batch to the scores of its depths or numbers of cells."""
        signal, logit = self._core(self.kept, batch)
        if not (torch.isfinite(signal).all() and torch.isfinite(logit).all()):
            self.diverged = True
            return
        signal = (signal * batch["exposure"][:, None]).float().cpu().numpy()
        logit = logit.float().cpu().numpy()
        target, label, mask = (batch[key].cpu().numpy() for key in ("target", "label", "mask"))
        for i, level in enumerate(batch["level"]):
            moments, ranking = self._scores.setdefault(level, (PairMoments(), Ranking()))
            keep = mask[i] > 0
            moments.update(target[i][keep], signal[i][keep])
            ranking.update(label[i][keep] >= 0.5, logit[i][keep])

    def on_validation_epoch_end(self) -> None:
        """Score every level, keep the best weights, look for a dead output."""
        if self.diverged:
            self.stopped = self.stopped or f"the output became nan or infinite before update {self.global_step}"
            self.trainer.should_stop = True
            return
        if self.trainer.sanity_checking or not self._scores:
            return
        row: dict[str, float] = {}
        for name, (moments, ranking) in self._scores.items():
            if moments.comoment[1] == 0 and moments.comoment[0] > 0:
                msg = (
                    "The network's output is the same everywhere: it has died (a ReLU output without bias can). "
                    "Start again with another seed or a lower learning rate."
                )
                raise ValueError(msg)
            tp, fp = ranking.cumulative()
            row |= {f"auprc_{name}": average_precision(tp, fp), f"auroc_{name}": roc_area(tp, fp)}
            row |= {f"pearson_{name}": moments.pearson(), f"mse_{name}": moments.mse_scaled()}
        monitored = [v for key, v in row.items() if key.startswith(self.settings.monitor) and np.isfinite(v)]
        score = float(np.mean(monitored)) if monitored else float("nan")
        self._record(score, row)
        if score > self.best[0]:
            self.best = (score, {k: v.detach().clone() for k, v in self.kept.state_dict().items()})
        self._stop_when_flat()

    def on_train_epoch_end(self) -> None:
        """Keep the loss also where nothing is validated."""
        if self._validate is None:
            self._record(float("nan"), {})

    def _record(self, score: float, row: dict[str, float]) -> None:
        """Write down an epoch."""
        loss = float(np.mean(self._losses)) if self._losses else float("nan")
        self.history.append(
            {"epoch": self.current_epoch, "step": self.global_step, "loss": loss, "score": score, **row}
        )
        self._losses = []
        self.log_dict({k: v for k, v in self.history[-1].items() if k not in ("epoch", "step")}, prog_bar=False)

    def _stop_when_flat(self) -> None:
        """Stop early when the score has not risen for `patience` epochs."""
        scores = [row["score"] for row in self.history]
        if self.settings.patience and len(scores) - 1 - int(np.argmax(scores)) >= self.settings.patience:
            self.stopped = f"no better {self.settings.monitor} for {self.settings.patience} epochs"
            self.trainer.should_stop = True

    # -- checkpoints --------------------------------------------------------------------------------------------------
    @cached_property
    def description(self) -> dict[str, dict[str, Any]]:
        """Everything that must agree when a run is resumed."""
        return describe(self.model, self.settings, self._data, self.seed)

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Store description, history and best weights beside Lightning's state."""
        checkpoint["scatacworks"] = {
            "description": json.dumps(self.description),
            "history": json.dumps(self.history),
            "best_score": float(self.best[0]),
            "best_weights": self.best[1],
        }

    def on_load_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Take up history and best weights."""
        stored = checkpoint["scatacworks"]
        self.history = json.loads(stored["history"])
        self.best = (stored["best_score"], stored["best_weights"])
