"""Run a network on batches of windows: on the CPU from many threads, or on one device."""

from __future__ import annotations

import threading
from contextlib import contextmanager
from typing import TYPE_CHECKING

import torch

if TYPE_CHECKING:
    from collections.abc import Iterator

    import numpy as np

    from scatacworks.models.base import Model


def pick_device(device: str | torch.device | None) -> torch.device:
    """Return the device asked for; by default CUDA, else Apple's, where there is one, else the CPU.

    Raises
    ------
    ValueError
        If the device is not at hand.
    """
    if device is None:
        if torch.cuda.is_available():
            return torch.device("cuda")
        return torch.device("mps" if torch.backends.mps.is_available() else "cpu")
    try:
        chosen = torch.device(device)
        torch.empty(0, device=chosen)
    except (RuntimeError, AssertionError, NotImplementedError) as error:
        msg = f"The device {str(device)!r} cannot be used ({str(error).splitlines()[0]}). Give device='cpu' or None."
        raise ValueError(msg) from error
    return chosen


class Engine:
    """Numpy in, numpy out, one call per batch, from any thread.

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

    def __call__(self, counts: np.ndarray, depth: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Return signal and logit at bin centres, float32 (n_windows, n_core_bins + 2 margin).

        `counts` is float32 (n_windows, n_channels, n_bins), `depth` float32 (n_windows,).
        """
        if self.device.type == "cpu":
            return self._forward(counts, depth)
        with self._lock:  # batches of several threads would only compete for the device
            return self._forward(counts, depth)

    def _forward(self, counts: np.ndarray, depth: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        with torch.inference_mode(), torch.autocast(self.device.type, torch.bfloat16, enabled=self.amp):
            signal, logit = self.model(_move(counts, self.device), _move(depth, self.device))
        return signal.float().cpu().numpy(), logit.float().cpu().numpy()


def _move(array: np.ndarray, device: torch.device) -> torch.Tensor:
    tensor = torch.from_numpy(array)
    return tensor if device.type == "cpu" else tensor.to(device, non_blocking=True)


@contextmanager
def ready(model: Model, device: torch.device) -> Iterator[Model]:
    """Put a network on a device and into evaluation mode, and back afterwards."""
    training, home = model.training, next(model.parameters()).device
    model.eval().to(device)
    try:
        yield model
    finally:
        model.to(home).train(training)
