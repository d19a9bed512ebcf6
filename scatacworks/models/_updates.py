"""What every training of ours does: the rate of an update, and the running average of the weights."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import torch

if TYPE_CHECKING:
    from torch import nn


def rise(step: int, warmup: int) -> float:
    """Share of the highest rate at update `step` (from 0): a linear rise over `warmup` updates."""
    return min(1.0, (step + 1) / warmup) if warmup else 1.0


def rise_and_fall(step: int, warmup: int, n_steps: int) -> float:
    """Share of the highest rate at update `step` (from 0): a linear rise, and a cosine to zero at `n_steps`."""
    return rise(step, warmup) * 0.5 * (1 + math.cos(math.pi * min(step / n_steps, 1.0)))


@torch.no_grad()
def follow(average: nn.Module, current: nn.Module, decay: float, n_updates: int) -> None:
    """Move averaged weights towards the current ones after `n_updates` updates, in place.

    Early on it is the mean of most that was: `decay`, the weight of the past, is approached from below.
    """
    past = min(decay, (1 + n_updates) / (10 + n_updates))
    torch._foreach_lerp_(list(average.parameters()), list(current.parameters()), 1 - past)
