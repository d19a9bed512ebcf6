"""Run a network on batches of windows, on the CPU from many threads or on one device."""

from __future__ import annotations

import threading
from contextlib import contextmanager, nullcontext
from typing import TYPE_CHECKING

import torch

from scatacworks.models import _blocked

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    import numpy as np
    from torch import Tensor

    from scatacworks.models.base import Model


def gpu_names() -> list[str]:
    """Return the names of the CUDA devices at hand."""
    return [torch.cuda.get_device_name(i) for i in range(torch.cuda.device_count())]


def pick_device(device: str | torch.device | None) -> torch.device:
    """Return the device asked for; by default CUDA where there is one, else the CPU.

    Apple's GPUs, on which nothing of this has been run, must be asked for (``"mps"``).

    Raises
    ------
    ValueError
        If the device is not at hand.
    """
    if device is None:
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    try:
        chosen = torch.device(device)
        torch.empty(0, device=chosen)
    except (RuntimeError, AssertionError, NotImplementedError) as error:
        msg = f"The device {str(device)!r} cannot be used ({str(error).splitlines()[0]}). Give device='cpu' or None."
        raise ValueError(msg) from error
    return chosen


class Engine:
    """Numpy in, numpy out, one call per batch, from any thread.

    On a CPU every thread computes its own batch; elsewhere one batch is computed at a time.

    Parameters
    ----------
    model
        Network, already on its device and in evaluation mode.
    amp
        Compute in bfloat16 where torch's autocast does so.
    """

    def __init__(self, model: Model, *, amp: bool = False) -> None:
        self.model = model
        self.amp = amp
        self.device = next(model.parameters()).device
        self._lock = threading.Lock()

    def __call__(
        self, counts: np.ndarray, depth: np.ndarray, prior: np.ndarray | None = None
    ) -> tuple[np.ndarray, ...]:
        """Return signal and logit at bin centres, float32 (n_windows, n_core_bins + 2 margin).

        `counts` is float32 (n_windows, n_channels, n_bins), `depth` float32 (n_windows,). With a `prior`, float32
        (n_windows, n_prior_channels, n_bins), both are guided by it, and the unguided logit comes third.
        """
        inputs = [torch.from_numpy(values) for values in (counts, depth, prior) if values is not None]
        with nullcontext() if self.device.type == "cpu" else self._lock:
            found = forward(self.model, [values.to(self.device) for values in inputs], amp=self.amp)
            return tuple(values.cpu().numpy() for values in found)


def forward(model: Model, inputs: Sequence[Tensor], *, amp: bool) -> tuple[Tensor, ...]:
    """Run a network on its device, without gradients; float32 in and out."""
    with torch.inference_mode(), torch.autocast(inputs[0].device.type, torch.bfloat16, enabled=amp):
        found = model(*inputs) if len(inputs) == 2 else model.guided(*inputs)
    return tuple(values.float() for values in found)


@contextmanager
def explain_memory(device: str | torch.device, batch: str, way_out: str) -> Iterator[None]:
    """Say what was too large, and the way out, where a device runs out of memory.

    The error stays torch's `OutOfMemoryError` (a `RuntimeError`), or becomes it where a driver's own one came through.
    """
    try:
        yield
    except RuntimeError as error:
        first = str(error).splitlines()[0] if str(error) else ""
        if not isinstance(error, torch.OutOfMemoryError) and "out of memory" not in first:
            raise
        msg = f"The memory of {str(device)!r} does not hold {batch}. {way_out} ({first})"
        raise torch.OutOfMemoryError(msg) from error


@contextmanager
def ready(model: Model, device: torch.device) -> Iterator[Model]:
    """Put a network on a device and into evaluation mode, and back afterwards."""
    training, home = model.training, next(model.parameters()).device
    model.eval().to(device)
    try:
        yield model
    finally:
        _blocked.forget(model)
        model.to(home).train(training)
