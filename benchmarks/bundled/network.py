"""Train the network: many updates of large batches, the weights averaged, the rate falling by a cosine."""

from __future__ import annotations

import copy
import math
import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import torch
from torch.nn import functional as F

from benchmarks.bundled.data import BIN, DrawSettings, Versions
from scatacworks.models.losses import _masked_mean

if TYPE_CHECKING:
    from torch import Tensor

    from benchmarks.bundled.data import HSC, Blood


@dataclass
class Settings:
    """Of a training run."""

    steps: int
    batch: int = 16
    rate: float = 2e-3
    decay: float = 0.01
    warmup: int = 150
    average: float = 0.999
    signal_weight: float = 0.03
    teacher: float = 0.0  # share of the loss that is against the teachers' answer
    draw: DrawSettings = field(default_factory=DrawSettings)


def loss_of(
    signal: Tensor, logit: Tensor, batch: dict[str, Tensor], signal_weight: float, masks: tuple[Tensor, ...] = ()
) -> Tensor:
    """Deviance of the coverage and cross-entropy of the peaks; `masks`: weights of either, by default the batch's."""
    for_signal, for_peaks = masks or (batch["mask"], batch["mask"])
    rate = signal * batch["exposure"][:, None] + 1e-4
    target = batch["target"]
    deviance = 2 * (target * (target.clamp(min=1e-6).log() - rate.log()) - target + rate)
    bce = F.binary_cross_entropy_with_logits(logit, batch["label"], reduction="none")
    return signal_weight * _masked_mean(deviance, for_signal) + _masked_mean(bce, for_peaks)


def core(model, batch: dict[str, Tensor]) -> tuple[Tensor, Tensor]:
    signal, logit = model(batch["counts"], batch["depth"])[:2]
    m = model.margin
    return signal[:, m:-m].float(), logit[:, m:-m].float()


@torch.no_grad()
def taught(teachers: list, batch: dict[str, Tensor], halo: int) -> dict[str, Tensor]:
    """The batch with the mean answer of the teachers as target and label."""
    answers = [core(teacher, trimmed(batch, halo - teacher.halo)) for teacher in teachers]
    root = torch.stack([signal.clamp(min=0).sqrt() for signal, _ in answers]).mean(0)
    label = torch.stack([logit for _, logit in answers]).mean(0).sigmoid()
    return batch | {"target": root.square() * batch["exposure"][:, None], "label": label}


def fit(model, hsc: HSC, blood: Blood, settings: Settings, *, seed: int, teachers: list | None = None, log: str = ""):
    """Train in place; returns the averaged network."""
    device = hsc.device
    torch.manual_seed(seed)
    model.to(device).train()
    average = copy.deepcopy(model).requires_grad_(requires_grad=False)
    halo = max([model.halo, *(t.halo for t in teachers or [])])
    versions = Versions(hsc, blood, settings.draw, halo, seed)
    optimizer = torch.optim.AdamW(
        model.parameters(), lr=settings.rate, weight_decay=settings.decay, fused=device.type == "cuda"
    )
    started, shown = time.perf_counter(), 0.0
    for step in range(settings.steps):
        share = step / settings.steps
        rate = settings.rate * min(1.0, (step + 1) / settings.warmup) * 0.5 * (1 + math.cos(math.pi * share))
        for group in optimizer.param_groups:
            group["lr"] = rate
        batch = versions.batch(settings.batch)
        signal, logit = core(model, trimmed(batch, halo - model.halo))
        loss = loss_of(signal, logit, batch, settings.signal_weight)
        if teachers:
            soft = loss_of(signal, logit, taught(teachers, batch, halo), settings.signal_weight)
            loss = torch.lerp(loss, soft, settings.teacher)
        optimizer.zero_grad(set_to_none=True)
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        decay = min(settings.average, (2 + step) / (11 + step))
        with torch.no_grad():
            torch._foreach_lerp_(list(average.parameters()), list(model.parameters()), 1 - decay)
        if step % 200 == 0 and time.perf_counter() - shown > 20:
            shown = time.perf_counter()
            value = float(loss.detach())
            print(f"{log} {step}/{settings.steps} loss {value:.4f} {shown - started:.0f} s", flush=True)
            if not math.isfinite(value):
                msg = f"{log}: the loss is {value} at update {step}"
                raise ValueError(msg)
    print(f"{log} {settings.steps} updates in {time.perf_counter() - started:.0f} s", flush=True)
    return average.eval()


def trimmed(batch: dict[str, Tensor], edge_bp: int) -> dict[str, Tensor]:
    """Drop so much of the context on either side."""
    edge = edge_bp // BIN
    counts = batch["counts"]
    return batch | {"counts": counts[..., edge : counts.shape[-1] - edge]} if edge else batch
