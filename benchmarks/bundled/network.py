"""Train the network: many updates of large batches, the weights averaged, the rate falling by a cosine."""

from __future__ import annotations

import copy
import math
import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import torch

from benchmarks.bundled.data import BIN
from benchmarks.bundled.versions import DrawSettings, Versions
from scatacworks.models._updates import follow, rise_and_fall
from scatacworks.models.losses import poisson_loss

if TYPE_CHECKING:
    from collections.abc import Callable

    from torch import Tensor, nn

    from benchmarks.bundled.data import HSC, Blood
    from scatacworks.models import BinnedUNet


@dataclass
class TrainingSettings:
    """Of updates of any kind.

    Attributes
    ----------
    steps, batch
        Updates, and crops of each.
    rate, decay, warmup
        Highest rate and weight decay of AdamW, and updates until that rate is reached.
    average
        Weight of what was before in the running average of the weights.
    signal_weight
        Weight of the coverage's deviance beside the cross-entropy of the peaks.
    """

    steps: int
    batch: int = 16
    rate: float = 2e-3
    decay: float = 0.01
    warmup: int = 150
    average: float = 0.999
    signal_weight: float = 0.03


@dataclass
class NetworkSettings(TrainingSettings):
    """Of the training of a network; `teacher` is the share of the loss that is against the teachers' answer."""

    teacher: float = 0.0
    draw: DrawSettings = field(default_factory=DrawSettings)


def loss_of(
    signal: Tensor, logit: Tensor, batch: dict[str, Tensor], signal_weight: float, masks: tuple[Tensor, ...] = ()
) -> Tensor:
    """Deviance of the coverage and cross-entropy of the peaks; `masks`: weights of either, by default the batch's."""
    for_signal, for_peaks = masks or (batch["mask"], batch["mask"])
    _, terms = poisson_loss(signal, logit, batch | {"mask": for_signal})
    if masks:
        _, of_peaks = poisson_loss(signal, logit, batch | {"mask": for_peaks})
        terms["bce"] = of_peaks["bce"]
    return signal_weight * terms["deviance"] + terms["bce"]


def core(outputs: tuple[Tensor, ...], margin: int) -> tuple[Tensor, Tensor]:
    """Signal and logit of a network without the margin that it adds for interpolation; float32."""
    signal, logit = outputs[:2]
    return signal[:, margin:-margin].float(), logit[:, margin:-margin].float()


def trimmed(batch: dict[str, Tensor], edge_bp: int) -> dict[str, Tensor]:
    """Drop so much of the context on either side."""
    edge = edge_bp // BIN
    counts = batch["counts"]
    return batch | {"counts": counts[..., edge : counts.shape[-1] - edge]} if edge else batch


def answer(model: BinnedUNet, batch: dict[str, Tensor], halo: int) -> tuple[Tensor, Tensor]:
    """Signal and logit on the cores of a batch with `halo` bp of context."""
    given = trimmed(batch, halo - model.halo)
    return core(model(given["counts"], given["depth"]), model.margin)


@torch.no_grad()
def taught(teachers: list[BinnedUNet], batch: dict[str, Tensor], halo: int) -> dict[str, Tensor]:
    """The batch with the mean answer of the teachers, in bfloat16, as target and label."""
    with torch.autocast(batch["counts"].device.type, torch.bfloat16):
        answers = [answer(teacher, batch, halo) for teacher in teachers]
    root = torch.stack([signal.float().clamp(min=0).sqrt() for signal, _ in answers]).mean(0)
    label = torch.stack([logit.float() for _, logit in answers]).mean(0).sigmoid()
    return batch | {"target": root.square() * batch["exposure"][:, None], "label": label}


def optimize(module: nn.Module, settings: TrainingSettings, loss_of_draw: Callable[[], Tensor], log: str) -> nn.Module:
    """Make the loss of fresh draws small, in place.

    Returns
    -------
    A copy with the running average of the weights, without gradients.

    Raises
    ------
    ValueError
        If a loss that is shown is not finite.
    """
    parameters = list(module.parameters())
    fused = parameters[0].device.type == "cuda"
    optimizer = torch.optim.AdamW(parameters, lr=settings.rate, weight_decay=settings.decay, fused=fused)
    average = copy.deepcopy(module).requires_grad_(requires_grad=False)
    started, shown = time.perf_counter(), 0.0
    for step in range(settings.steps):
        optimizer.param_groups[0]["lr"] = settings.rate * rise_and_fall(step, settings.warmup, settings.steps)
        loss = loss_of_draw()
        optimizer.zero_grad(set_to_none=True)
        loss.backward()
        torch.nn.utils.clip_grad_norm_(parameters, 1.0)
        optimizer.step()
        follow(average, module, settings.average, step + 1)
        if step % 100 == 0 and time.perf_counter() - shown > 20:
            shown, value = time.perf_counter(), float(loss.detach())
            print(f"{log} {step}/{settings.steps} loss {value:.4f} {shown - started:.0f} s", flush=True)
            if not math.isfinite(value):
                msg = f"{log}: the loss is {value} at update {step}"
                raise ValueError(msg)
    print(f"{log} {settings.steps} updates in {time.perf_counter() - started:.0f} s", flush=True)
    return average


def fit(
    model: BinnedUNet,
    hsc: HSC,
    blood: Blood,
    settings: NetworkSettings,
    *,
    seed: int,
    teachers: list[BinnedUNet] | None = None,
    log: str = "",
) -> BinnedUNet:
    """Train a network in place, with teachers or without; returns one with averaged weights."""
    torch.manual_seed(seed)
    model.to(hsc.device).train()
    halo = max([model.halo, *(teacher.halo for teacher in teachers or [])])
    versions = Versions(hsc, blood, settings.draw, halo, seed)

    def loss_of_draw() -> Tensor:
        batch = versions.batch(settings.batch)
        signal, logit = answer(model, batch, halo)
        loss = loss_of(signal, logit, batch, settings.signal_weight)
        if not teachers:
            return loss
        soft = loss_of(signal, logit, taught(teachers, batch, halo), settings.signal_weight)
        return torch.lerp(loss, soft, settings.teacher)

    return optimize(model, settings, loss_of_draw, log).eval()
