"""Run a network on batches of windows: on the CPU from many threads, or on one device."""

from __future__ import annotations

import threading
from contextlib import contextmanager
from typing import TYPE_CHECKING

import torch

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    import numpy as np
    from torch import Tensor

    from scatacworks.models.base import Model


def gpu_names() -> list[str]:
    """Return the names of the CUDA devices at hand."""
    return [torch.cuda.get_device_name(i) for i in range(torch.cuda.device_count())]


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

    On a CPU every thread computes its own batch. On CUDA batches are queued in order on one stream, with copies from
    and to pinned memory that do not wait, and whole batches are replayed as a CUDA graph; a thread waits for its own
    result only, so that others fill and encode batches meanwhile.

    Parameters
    ----------
    model
        Network, already on its device and in evaluation mode.
    amp
        Compute in bfloat16 where torch's autocast does so.
    pad_to
        Windows per batch; shorter batches are filled up with zeros to this size. 0: as they come.
    graphs
        Replay batches of `pad_to` windows as a CUDA graph.
    """

    def __init__(self, model: Model, *, amp: bool = False, pad_to: int = 0, graphs: bool = True) -> None:
        self.model = model
        self.amp = amp
        self.pad_to = pad_to
        self.device = next(model.parameters()).device
        self.graphs = graphs and self.device.type == "cuda" and pad_to > 0
        self._graph: _Graph | None = None
        self._lock = threading.Lock()

    def __call__(
        self, counts: np.ndarray, depth: np.ndarray, prior: np.ndarray | None = None
    ) -> tuple[np.ndarray, ...]:
        """Return signal and logit at bin centres, float32 (n_windows, n_core_bins + 2 margin).

        `counts` is float32 (n_windows, n_channels, n_bins), `depth` float32 (n_windows,). With a `prior`, float32
        (n_windows, n_prior_channels, n_bins), both are guided by it, and the unguided logit comes third.
        """
        given = ((counts, 0.0), (depth, 1.0), (prior, 0.0))  # with what to pad: a depth is not 0
        inputs = [_padded(torch.from_numpy(values), self.pad_to, fill) for values, fill in given if values is not None]
        if self.device.type == "cpu":
            out = self.forward(*inputs)
        elif self.device.type == "cuda":
            out = self._queued(inputs)
        else:
            with self._lock:
                out = [values.cpu() for values in self.forward(*(values.to(self.device) for values in inputs))]
        return tuple(values[: len(counts)].numpy() for values in out)

    def forward(self, *inputs: Tensor) -> tuple[Tensor, ...]:
        """Run the network on its device, without gradients; float32 in and out."""
        with torch.inference_mode(), torch.autocast(self.device.type, torch.bfloat16, enabled=self.amp):
            found = self.model(*inputs) if len(inputs) == 2 else self.model.guided(*inputs)
        return tuple(values.float() for values in found)

    def _queued(self, inputs: list[Tensor]) -> list[Tensor]:
        """Queue one batch and wait for it, outside the lock."""
        inputs = [values.pin_memory() for values in inputs]
        with self._lock:
            if self.graphs and inputs[0].shape[0] == self.pad_to:
                if self._graph is None or self._graph.inputs[0].shape != inputs[0].shape:
                    self._graph = _Graph(self.forward, inputs, self.device)
                found = self._graph.replay(inputs)
            else:
                found = self.forward(*(values.to(self.device, non_blocking=True) for values in inputs))
            out = [torch.empty(values.shape, pin_memory=True) for values in found]
            for host, values in zip(out, found, strict=True):
                host.copy_(values, non_blocking=True)
            done = torch.cuda.Event()
            done.record()
        done.synchronize()
        return out


class _Graph:
    """A network's kernels for one shape of batch, recorded once and replayed without Python in between."""

    def __init__(self, forward: Callable, inputs: list[Tensor], device: torch.device) -> None:
        self.inputs = [values.to(device) for values in inputs]
        side = torch.cuda.Stream(device)
        side.wait_stream(torch.cuda.current_stream(device))
        with torch.cuda.stream(side):  # libraries pick their algorithms before the recording
            for _ in range(2):
                forward(*self.inputs)
        torch.cuda.current_stream(device).wait_stream(side)
        self.graph = torch.cuda.CUDAGraph()
        with torch.cuda.graph(self.graph, capture_error_mode="thread_local"):
            self.out = forward(*self.inputs)

    def replay(self, inputs: list[Tensor]) -> tuple[Tensor, ...]:
        """Return the recorded outputs for new inputs; they are overwritten by the next replay."""
        for own, values in zip(self.inputs, inputs, strict=True):
            own.copy_(values, non_blocking=True)
        self.graph.replay()
        return self.out


def _padded(x: Tensor, n: int, value: float = 0.0) -> Tensor:
    """Fill a batch up to `n` windows."""
    missing = n - x.shape[0]
    return x if missing <= 0 else torch.cat([x, x.new_full((missing, *x.shape[1:]), value)])


@contextmanager
def ready(model: Model, device: torch.device) -> Iterator[Model]:
    """Put a network on a device and into evaluation mode, and back afterwards."""
    training, home = model.training, next(model.parameters()).device
    model.eval().to(device)
    try:
        yield model
    finally:
        model.to(home).train(training)
