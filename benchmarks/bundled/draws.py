"""What draws of all kinds share."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import torch

if TYPE_CHECKING:
    import numpy as np
    from torch import Tensor


def log_uniform(rng: np.random.Generator, low: float, high: float) -> float:
    """A number whose logarithm is uniform."""
    return math.exp(rng.uniform(math.log(low), math.log(high)))


def flipped(arrays: dict[str, Tensor], keys: tuple[str, ...], rng: np.random.Generator) -> dict[str, Tensor]:
    """Reverse some crops of a batch, drawn, along their last axis, in the arrays that are named."""
    out = dict(arrays)
    device, n = arrays[keys[0]].device, len(arrays[keys[0]])
    flip = torch.from_numpy(rng.random(n) < 0.5).to(device)
    for key in keys:
        values = arrays[key]
        out[key] = torch.where(flip.view(-1, *[1] * (values.ndim - 1)), values.flip(-1), values)
    return out


def centers_of(mask: Tensor) -> np.ndarray:
    """Bins round which crops are cut: all where the loss is taken."""
    return mask.cpu().numpy().nonzero()[0]
