"""From cut sites to runs on a GPU: cut sites go there, runs of levels come back, and nothing dense crosses over."""

from __future__ import annotations

import threading
from contextlib import AbstractContextManager, nullcontext
from typing import TYPE_CHECKING, Any, NamedTuple

import torch

from scatacworks._core.interpolate import COARSE, KNEE, SIGNAL
from scatacworks.models._engine import forward

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    import numpy as np
    from torch import Tensor

    from scatacworks.models._rounding import Rounding
    from scatacworks.models.base import Model


class Batch(NamedTuple):
    """Windows to compute, as arrays on the host or as tensors.

    Attributes
    ----------
    bins, counts
        Cut sites: bin, counted through all windows (int64), and how many there (float32); bins may repeat.
    extra
        Values of the extra channels, float32 `(n_windows, n_extra, n_bins)`, or `None`.
    gain, depth
        What the counts of a window are multiplied by, and its depth; float32 `(n_windows,)`.
    prior
        Channels of a prior, float32 `(n_windows, n_channels, n_bins)`, or `None`.
    low, high
        Wanted stretches, sorted and disjoint, in bases counted through all cores; int64 `(n_stretches,)`.
    base
        Genome position of the first base of each; int64.
    fill
        Level whose runs are left out, per output and stretch; int16 `(n_outputs, n_stretches)`.
    """

    bins: np.ndarray | Tensor
    counts: np.ndarray | Tensor
    extra: np.ndarray | Tensor | None
    gain: np.ndarray | Tensor
    depth: np.ndarray | Tensor
    prior: np.ndarray | Tensor | None
    low: np.ndarray | Tensor
    high: np.ndarray | Tensor
    base: np.ndarray | Tensor
    fill: np.ndarray | Tensor


class Found(NamedTuple):
    """Runs of a batch; those of output `o` in stretch `s` are from `pointer[o, s]` to `pointer[o, s + 1]`.

    Attributes
    ----------
    starts, lengths
        First base in the genome and bp of every run; int32 `(n_runs,)`.
    levels
        Levels; int16 `(n_runs,)`.
    pointer
        int64 `(n_outputs, n_stretches + 1)`.
    """

    starts: np.ndarray
    lengths: np.ndarray
    levels: np.ndarray
    pointer: np.ndarray


class Pipeline:
    """Everything that happens on the device to a batch, queued on one stream; may be called from any thread.

    One batch is on the device at a time: a call holds the lock until its runs are counted, and waits for their copies
    outside of it. Other threads prepare batches meanwhile. Full batches replay a CUDA graph of the network and the
    rounding.

    Parameters
    ----------
    model
        Network, already on its device and in evaluation mode.
    n_bins
        Bins of a window, halo included.
    kinds
        Kind of every output, see :mod:`scatacworks._core.interpolate`.
    rounding
        How finely values are stored.
    batch_size
        Windows of a full batch.
    amp
        Compute in bfloat16 where torch's autocast does so.
    graphs
        Replay full batches as a CUDA graph.
    """

    def __init__(
        self,
        model: Model,
        n_bins: int,
        kinds: Sequence[int],
        rounding: Rounding,
        *,
        batch_size: int,
        amp: bool = False,
        graphs: bool = True,
    ) -> None:
        self.model, self.n_bins, self.kinds, self.rounding = model, n_bins, kinds, rounding
        self.batch_size, self.amp = batch_size, amp
        self.device = next(model.parameters()).device
        self.graphs = graphs and self.device.type == "cuda"
        self._graph: Graph | None = None
        self._lock = threading.Lock()

    @property
    def _there(self) -> AbstractContextManager:
        """Context in which a thread's streams and events are those of this device."""
        return torch.cuda.device(self.device) if self.device.type == "cuda" else nullcontext()

    @torch.inference_mode()
    def __call__(self, batch: Batch) -> Found:
        """Return the runs of a batch."""
        with self._there:
            return self._run(batch)

    def _run(self, batch: Batch) -> Found:
        pinned = self.pinned(batch)
        with self._lock:
            there = self.upload(pinned)
            levels = self.levels(*self.inputs(there))
            found = find_runs(levels, there.low, there.high, there.base, there.fill)
            out = [fetch(values) for values in found]
            done = _mark(self.device)
        if done is not None:
            done.synchronize()
        return Found(*(values.numpy().copy() for values in out))  # pinned memory is scarce

    def pinned(self, batch: Batch) -> Batch:
        """Return a batch as tensors in memory that the device can read by itself."""
        tensors = [None if values is None else torch.from_numpy(values) for values in batch]
        if self.device.type == "cuda":
            tensors = [None if values is None else values.pin_memory() for values in tensors]
        return Batch(*tensors)

    def upload(self, batch: Batch) -> Batch:
        """Queue the copies of a batch of tensors to the device."""
        return Batch(*(None if values is None else values.to(self.device, non_blocking=True) for values in batch))

    def inputs(self, batch: Batch) -> list[Tensor]:
        """Return what the network reads, from a batch on the device: counts, depth and, if it has one, the prior."""
        n_windows = len(batch.depth)
        counts = torch.zeros((n_windows * self.n_bins,), dtype=torch.float32, device=self.device)
        counts.index_add_(0, batch.bins, batch.counts)  # whole numbers, so the order does not matter
        counts = counts.view(n_windows, 1, self.n_bins) * batch.gain[:, None, None]
        counts = counts if batch.extra is None else torch.cat([counts, batch.extra], dim=1)
        return [counts, batch.depth, *([] if batch.prior is None else [batch.prior])]

    def levels(self, *inputs: Tensor) -> Tensor:
        """Return the level of every base of every core, int16 `(n_outputs, n_windows, core)`."""
        if not self.graphs or len(inputs[0]) < self.batch_size:
            return self._levels(*inputs)
        if self._graph is None:
            self._graph = Graph(self._levels, inputs)
        return self._graph.replay(inputs)

    def _levels(self, *inputs: Tensor) -> Tensor:
        outputs = forward(self.model, inputs, amp=self.amp)
        return torch.stack([self._round(values, kind) for values, kind in zip(outputs, self.kinds, strict=True)])

    def _round(self, values: Tensor, kind: int) -> Tensor:
        step, limit = self.rounding.steps[kind], self.rounding.limits[kind]
        return to_levels(between_centers(values, self.model.bin_size), kind, 1.0 / step, limit)


class Graph:
    """The kernels of a function for one shape of inputs, recorded once and replayed without Python in between."""

    _recording = threading.Lock()  # CUDA allows one recording at a time in a process

    def __init__(self, function: Callable[..., Any], inputs: Sequence[Tensor]) -> None:
        device = inputs[0].device
        self.inputs = [values.clone() for values in inputs]
        side = torch.cuda.Stream(device)
        side.wait_stream(torch.cuda.current_stream(device))
        with torch.cuda.stream(side):  # libraries pick their algorithms before the recording
            for _ in range(2):
                function(*self.inputs)
        torch.cuda.current_stream(device).wait_stream(side)
        self.graph = torch.cuda.CUDAGraph()
        # torch's own stream for recordings is on the device that recorded first
        with self._recording, torch.cuda.graph(self.graph, stream=side, capture_error_mode="thread_local"):
            self.out = function(*self.inputs)

    def replay(self, inputs: Sequence[Tensor]) -> Any:
        """Return the recorded output for new inputs; it is overwritten by the next replay."""
        for own, values in zip(self.inputs, inputs, strict=True):
            own.copy_(values, non_blocking=True)
        self.graph.replay()
        return self.out


def between_centers(values: Tensor, bin_size: int) -> Tensor:
    """Interpolate between bin centres, with one bin more on either side where `bin_size > 1`; float64 per base."""
    if bin_size == 1:
        return values.double()
    n_bases = (values.shape[1] - 2) * bin_size
    within = torch.arange(bin_size, device=values.device, dtype=torch.float64) + (0.5 if bin_size % 2 == 0 else 0.0)
    slope = (values[:, 1:] - values[:, :-1]).double() / bin_size
    bases = (values[:, :-1].double()[..., None] + slope[..., None] * within).flatten(1)
    half = (bin_size + 1) // 2  # from the last centre before the core to its first base
    return bases[:, half : half + n_bases]


def to_levels(values: Tensor, kind: int, inverse_step: float, limit: int) -> Tensor:
    """Round float64 values, which are overwritten, to what :func:`scatacworks._core.interpolate.level` gives; int16."""
    if kind == SIGNAL:
        return values.clamp_(min=0).sqrt_().mul_(inverse_step).add_(0.5).clamp_(max=limit).to(torch.int16)
    values.clamp_(-limit / inverse_step, limit / inverse_step)
    bent = torch.where(values < KNEE, (values - KNEE) / COARSE + KNEE, values)
    return bent.mul_(inverse_step).floor_().to(torch.int16)


def find_runs(levels: Tensor, low: Tensor, high: Tensor, base: Tensor, fill: Tensor) -> tuple[Tensor, ...]:
    """Run-length encode the wanted stretches of levels (n_outputs, n_windows, core); see :class:`Batch`.

    Returns
    -------
    Starts (int32, genome), lengths (int32), levels (int16) and pointer (int64, `(n_outputs, n_stretches + 1)`).
    """
    n_outputs, n = len(levels), levels[0].numel()
    offset = torch.arange(n_outputs, device=levels.device)[:, None] * n
    low, high, base = (low + offset).flatten(), (high + offset).flatten(), base.repeat(n_outputs)
    flat = levels.flatten()
    border = torch.ones(len(flat) + 1, dtype=torch.bool, device=flat.device)
    torch.ne(flat[1:], flat[:-1], out=border[1:-1])
    border.index_fill_(0, torch.cat([low, high]), value=True)
    at = border.nonzero()[:, 0]
    start, length = at[:-1], at.diff()
    stretch = torch.searchsorted(low, start, right=True) - 1
    level = flat[start]
    wanted = (stretch >= 0) & (start < high[stretch]) & (level != fill.flatten()[stretch])
    kept = wanted.nonzero()[:, 0]
    start, length, stretch, level = start[kept], length[kept], stretch[kept], level[kept]
    pointer = torch.searchsorted(stretch, torch.arange(len(low) + 1, device=flat.device))
    pointer = pointer.unfold(0, len(low) // n_outputs + 1, len(low) // n_outputs).contiguous()
    return (start + (base - low)[stretch]).int(), length.int(), level, pointer


def fetch(values: Tensor) -> Tensor:
    """Queue the copy to the host."""
    if values.device.type == "cpu":
        return values
    return torch.empty(values.shape, dtype=values.dtype, pin_memory=True).copy_(values, non_blocking=True)


def _mark(device: torch.device) -> torch.cuda.Event | None:
    """Return an event that all work queued so far precedes."""
    if device.type == "cpu":
        return None
    done = torch.cuda.Event()
    done.record()
    return done
