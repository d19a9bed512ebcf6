"""Where a vocabulary is fitted."""

from __future__ import annotations

from contextlib import AbstractContextManager, nullcontext
from functools import partial
from typing import TYPE_CHECKING

from scatacworks._core.nmf import Descent

if TYPE_CHECKING:
    from collections.abc import Callable

    from scatacworks._core.patterns import Patterns

LARGE = 2**28  # ones times components from which a GPU is worth its start


def choose(device: str | None, patterns: Patterns, k: int) -> tuple[Callable[..., Descent], str]:
    """What visits the columns, and the device it runs on; torch is loaded only where it may be needed."""
    if device == "cpu" or (device is None and len(patterns.rows) * k < LARGE):
        return Descent, "cpu"
    if device is not None and not str(device).startswith("cuda"):
        msg = f"device is {device!r}; expected 'cpu', 'cuda', 'cuda:0' and the like, or None."
        raise ValueError(msg)
    from scatacworks.models._engine import gpu_names, pick_device
    from scatacworks.models._nmf import TorchDescent

    if device is None and not gpu_names():
        return Descent, "cpu"

    chosen = pick_device(device or "cuda")
    return partial(TorchDescent, device=chosen), str(chosen)


def memory_explained(device: str, patterns: Patterns, k: int) -> AbstractContextManager:
    """Say the way out where the memory of a GPU does not hold a factorisation."""
    if device == "cpu":
        return nullcontext()
    from scatacworks.models._engine import explain_memory

    what = f"the loadings of {len(patterns.count):,} distinct elements on {k} components and some of their ones"
    return explain_memory(device, what, "Give device='cpu', which computes the same, or end what else uses it.")
