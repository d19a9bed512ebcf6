"""Training recipes: every number of a run in one frozen dataclass."""

from __future__ import annotations

import dataclasses
import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

import numpy as np

from scatacworks._arguments import flag, one_of, real, share, whole
from scatacworks.models.data import DrawRules
from scatacworks.models.losses import LOSSES

if TYPE_CHECKING:
    from collections.abc import Sequence

    from scatacworks.models.losses import Loss

Recipe = Literal["default", "paper"]
_CHOICES = {
    "optimizer": ("adamw", "adam"),
    "schedule": ("cosine", "constant"),
    "select": ("last", "best"),
    "monitor": ("auprc", "auroc"),
}


@dataclass(frozen=True)
class TrainConfig:
    """Settings of a training run.

    Attributes
    ----------
    steps
        Updates in all; what does not divide evenly among the epochs is left out.
    epochs
        Parts that the run is divided into; each ends with validation and a checkpoint.
    batch_size
        Crops per update and device.
    learning_rate, weight_decay, optimizer
        Of the optimiser; weight decay only for ``"adamw"``.
    schedule
        ``"cosine"`` falls to zero at the last update after a linear rise over `warmup` updates.
    warmup
        Updates of linear rise.
    clip
        Largest norm of the gradient; 0 for none.
    average
        Decay per update of the running average of the weights, which is what is validated and kept; 0 for none.
    loss
        ``"poisson"``, ``"paper"``, or a function with the arguments and the results of
        :func:`~scatacworks.models.losses.poisson_loss`, such as ``functools.partial(poisson_loss, peak_weight=2)``.
        A run that is resumed knows it by its name and bound arguments alone, which two lambdas have in common.
    select
        ``"last"`` keeps the weights at the end, ``"best"`` those of the epoch with the best `monitor`.
    monitor
        Validation score for `select` and `patience`: ``"auprc"`` or ``"auroc"``, the mean over validation depths.
    patience
        Epochs without improvement after which training stops; 0 for never.
    draw
        How crops are drawn, see :class:`~scatacworks.models.data.DrawRules`.
    tiled
        Instead of random crops go through a tiling of the regions in random order, empty crops left out, with the
        real noisy track or one fixed depth, as the published software does.
    validation_depths
        Depths (cut sites per 3.1e9 bp) at which validation data are thinned; the real noisy track's is added.
    """

    steps: int = 1500
    epochs: int = 10
    batch_size: int = 4
    learning_rate: float = 2e-3
    weight_decay: float = 0.01
    optimizer: Literal["adamw", "adam"] = "adamw"
    schedule: Literal["cosine", "constant"] = "cosine"
    warmup: int = 100
    clip: float = 1.0
    average: float = 0.998
    loss: Literal["poisson", "paper"] | Loss = "poisson"
    select: Literal["last", "best"] = "last"
    monitor: Literal["auprc", "auroc"] = "auprc"
    patience: int = 0
    draw: DrawRules = dataclasses.field(default_factory=DrawRules)
    tiled: bool = False
    validation_depths: tuple[float, ...] = (2e5, 1e6, 5e6)

    def __post_init__(self) -> None:
        object.__setattr__(self, "validation_depths", _depths(self.validation_depths))
        for name in ("steps", "epochs", "batch_size"):
            object.__setattr__(self, name, whole(getattr(self, name), name))
        for name in ("warmup", "patience"):
            object.__setattr__(self, name, whole(getattr(self, name), name, least=0))
        for name in ("learning_rate", "weight_decay", "clip"):
            if not 0 <= real(getattr(self, name), name) < math.inf:
                msg = f"{name} is {getattr(self, name)}; expected a number from 0 on."
                raise ValueError(msg)
        share(self.average, "average")
        flag(self.tiled, "tiled")
        for name, known in _CHOICES.items():
            one_of(getattr(self, name), name, known)
        if not callable(self.loss):
            one_of(self.loss, "loss", LOSSES)
        if self.steps < self.epochs:
            msg = (
                f"steps is {self.steps} and epochs {self.epochs}; every epoch needs at least one step. "
                f"Give more steps, or at most {self.steps} epochs."
            )
            raise ValueError(msg)


def _depths(given: Sequence[float]) -> tuple[float, ...]:
    depths = tuple(given) if np.iterable(given) else (0,)
    if not all(real(depth, "validation_depths") > 0 for depth in depths):
        msg = f"validation_depths is {given!r}; expected cut sites per 3.1e9 bp, such as [2e5, 1e6]."
        raise ValueError(msg)
    return depths


def recipe(name: Recipe = "default", **changes: object) -> TrainConfig:
    """Return a named recipe, with changes.

    Parameters
    ----------
    name
        ``"default"``: depths drawn at random, Poisson deviance, AdamW with warm-up and cosine, clipping, averaged
        weights. ``"paper"``: squared error, correlation and cross-entropy, Adam at 2e-4, batches of 64 intervals of
        50 kb, 25 passes, the epoch of best validation AUROC :cite:p:`Lal2021`; set `steps` to 25 passes of your data.
    changes
        Fields of :class:`TrainConfig` or of :class:`~scatacworks.models.data.DrawRules`. With fewer `steps` than the
        recipe has epochs there are as many epochs as steps.

    Returns
    -------
    The settings.

    Raises
    ------
    ValueError
        If there is no such recipe, or no such field.
    """
    if name not in ("default", "paper"):
        msg = f"there is no recipe {name!r}; the recipes are 'default' and 'paper'"
        raise ValueError(msg)
    config = TrainConfig() if name == "default" else _PAPER
    rules = {f.name for f in dataclasses.fields(DrawRules)}
    known = {f.name for f in dataclasses.fields(TrainConfig)} - {"draw"} | rules
    unknown = sorted(set(changes) - known)
    if "draw" in unknown:
        msg = f"draw= is made of the settings {', '.join(sorted(rules))}; give these themselves."
        raise ValueError(msg)
    if unknown:
        msg = f"recipes have no setting {unknown[0]!r}; they have {', '.join(sorted(known))}"
        raise ValueError(msg)
    if "steps" in changes:
        changes = {"epochs": min(config.epochs, whole(changes["steps"], "steps"))} | changes
    draw = dataclasses.replace(config.draw, **{k: v for k, v in changes.items() if k in rules})
    return dataclasses.replace(config, **({k: v for k, v in changes.items() if k not in rules} | {"draw": draw}))


_PAPER = TrainConfig(
    steps=25,
    epochs=25,
    batch_size=64,
    learning_rate=2e-4,
    weight_decay=0.0,
    optimizer="adam",
    schedule="constant",
    warmup=0,
    clip=0.0,
    average=0.0,
    loss="paper",
    select="best",
    monitor="auroc",
    draw=DrawRules(core_bp=50_000, depth_range=(5e6, 5e6), real_fraction=1.0, depth_jitter=0.0, flip=False),
    tiled=True,
    validation_depths=(5e6,),
)
