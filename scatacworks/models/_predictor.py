"""A network made ready to denoise one set of cut sites, unit by unit."""

from __future__ import annotations

import threading
from collections import deque
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager, ExitStack
from itertools import pairwise
from typing import TYPE_CHECKING

import numpy as np
import torch

from scatacworks import _threads
from scatacworks._arguments import whole
from scatacworks._core import interpolate
from scatacworks.models import _device
from scatacworks.models._engine import Engine, explain_memory, pick_device, ready
from scatacworks.models._plan import (
    GroupTape,
    Regions,
    Unit,
    Window,
    batches,
    computed_bp,
    list_sites,
    list_stretches,
    make_group_tape,
    make_units,
)
from scatacworks.models._rounding import Encoded, Rounding
from scatacworks.models.guide import without_guide
from scatacworks.prior import CHANNELS

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence

    from tqdm import tqdm

    from scatacworks.models.base import Model
    from scatacworks.prior import Guidance
    from scatacworks.tracks import Tracks

Results = dict[tuple[int, int], tuple[Encoded, ...]]
"""Chromosome code and group -> runs of every output."""

Piece = tuple[tuple[int, int, int], Encoded]
"""Chromosome code, group and output, and some of their runs."""

KINDS = (interpolate.SIGNAL, interpolate.LOGIT, interpolate.LOGIT)  # of the outputs; the last, unguided, with a prior
_NO_RUNS = tuple(np.empty(0, dtype) for dtype in (np.int32, np.int32, np.int16))
_CORE = 131_072
_NO_FILL = -(2**15)  # a level that does not occur
_BYTES_PER_BASE = 1024  # of a GPU's memory, with room to spare: features, interpolated outputs, their levels
_FEEDERS = 4  # threads that prepare batches for a device and put runs away


class Predictor:
    """A network made ready to denoise units of (chromosomes x groups) of one set of cut sites.

    Use as a context manager: the network goes to its device on entering and back on leaving.

    Parameters
    ----------
    model
        Network with weights.
    cut_sites
        Cut sites per group.
    depth
        Cut sites per 3.1e9 bp of territory of every group, `(n_groups,)`.
    regions
        Chromosome code -> sorted, disjoint intervals; the nuclear genome if `None`.
    device, batch_size, n_jobs
        See :func:`predict`.
    skip
        Leave out windows without a cut site in reach.
    rounding
        How finely values are stored.
    core
        bp that a window yields; a multiple of the model's stride. About 131 kb by default.
    amp
        Compute in bfloat16 where that is safe.
    guidance
        A prior as every group sees it, for a model with a guide.
    extra
        Tracks of the model's extra channels, in its order, each of one group or of those of `cut_sites`. They reach
        everywhere, so nothing is skipped.
    """

    def __init__(
        self,
        model: Model,
        cut_sites: Tracks,
        *,
        depth: np.ndarray | Sequence[float],
        regions: Regions | None = None,
        device: str | torch.device | None = None,
        batch_size: int | None = None,
        n_jobs: int | None = None,
        skip: bool = True,
        rounding: Rounding | None = None,
        core: int | None = None,
        amp: bool = False,
        guidance: Guidance | None = None,
        extra: Sequence[Tracks] = (),
    ) -> None:
        if guidance is None and model.has_guide:
            model = without_guide(model)  # whose context is narrower
        model.check_geometry()
        if len(extra) != len(model.extra_channels):
            msg = (
                f"The model {model.card['name']!r} reads {len(model.extra_channels)} extra channels "
                f"({', '.join(model.extra_channels)}) and got {len(extra)}; tl.denoise takes them, as extra=."
            )
            raise ValueError(msg)
        self.extra = tuple(extra)
        self.guidance = guidance
        self.kinds = KINDS[:2] if guidance is None else KINDS
        self.model, self.cut_sites, self.regions, self.skip = model, cut_sites, regions, skip and not extra
        self._computed_bp = computed_bp(cut_sites.genome, regions)
        self.device = pick_device(device)
        self.n_jobs = _threads.resolve(n_jobs)
        if not isinstance(rounding, Rounding | None):
            msg = f"rounding is {rounding!r}; expected a scatacworks.models.Rounding."
            raise TypeError(msg)
        self.rounding = rounding or Rounding()
        self.core = _core_length(model) if core is None else _check_core(model, core)
        if batch_size is None:
            batch_size = _batch_size(model, self.device, self.core)
        self.batch_size = whole(batch_size, "batch_size")
        self.amp = amp
        self.depth, self.gain = usable_depth(model, depth, len(cut_sites.groups))
        self.fill = np.zeros((len(self.depth), len(self.kinds)), np.int64)
        self._gathering = threading.Lock()  # a prior keeps what it was asked for last, which is no work for two threads

    def __enter__(self) -> Predictor:
        with ExitStack() as stack:  # undone if something here fails
            stack.enter_context(ready(self.model, self.device))
            stack.enter_context(_threads.torch_threads(1))
            self._engine = Engine(self.model, amp=self.amp)
            self.fill = self._constants()
            self._pipeline = self.make_pipeline() if stays_there(self.device) else None
            self._workers = self.n_jobs if self._pipeline is None else min(self.n_jobs, _FEEDERS)
            self._pool = ThreadPoolExecutor(self._workers, "denoise", initializer=torch.set_num_threads, initargs=(1,))
            self._stack = stack.pop_all()
        return self

    @property
    def _n_bins(self) -> int:
        """Bins of a window."""
        return (self.core + 2 * self.model.halo) // self.model.bin_size

    def make_pipeline(self) -> _device.Pipeline:
        """Return what a device does to a batch."""
        options = {"batch_size": self.batch_size, "amp": self.amp}
        return _device.Pipeline(self.model, self._n_bins, self.kinds, self.rounding, **options)

    def _constants(self) -> np.ndarray:
        """Level of the outputs where no cut site is within reach; int64 `(n_groups, n_outputs)`."""
        model, out = self.model, np.zeros_like(self.fill)
        n_bins = (2 * model.halo + model.stride) // model.bin_size
        counts = np.zeros((1, model.n_channels, n_bins), np.float32)
        prior = None if self.guidance is None else np.zeros((1, len(CHANNELS), n_bins), np.float32)
        for group, depth in enumerate(self.depth):
            values = self._engine(counts, np.full(1, depth, np.float32), prior)
            middle = [row[0, row.shape[1] // 2] for row in values]
            out[group] = [self.rounding.level(kind, value) for kind, value in zip(self.kinds, middle, strict=True)]
        return out

    def __exit__(self, *error: object) -> None:
        self._pool.shutdown(wait=True, cancel_futures=True)
        self._stack.close()

    def units(self) -> list[Unit]:
        """Return the units in which the work is divided."""
        return make_units(self.cut_sites.genome, len(self.cut_sites.groups), regions=self.regions)

    def leaves_out(self, chrom: int) -> bool:
        """Tell whether a chromosome is not computed because no regions name it: one of mitochondria or plastids."""
        return self.regions is None and not self.cut_sites.genome.nuclear[chrom]

    def unit_bp(self, unit: Unit) -> int:
        """Bases x groups of a unit."""
        return int(self._computed_bp[list(unit.chroms)].sum()) * len(unit.groups)

    def run_all(self, units: Iterable[Unit], progress: tqdm | None = None) -> Iterator[tuple[Unit, Results]]:
        """Denoise units in order; a GPU computes the next one while the last one's runs are put together."""
        if self._pipeline is None:
            yield from ((unit, self.run(unit, progress)) for unit in units)
            return
        pool = ThreadPoolExecutor(2, "unit")
        try:
            yield from _ahead(pool, lambda unit: (unit, self.run(unit, progress)), units, 2)
        finally:
            pool.shutdown(cancel_futures=True)  # after an error, no unit is begun any more

    def run(self, unit: Unit, progress: tqdm | None = None) -> Results:
        """Denoise a unit: (chromosome code, group) -> encoded runs of every output."""
        options = {"regions": self.regions, "skip": self.skip, "guidance": self.guidance}
        with self._gathering:
            tapes = [make_group_tape(self.cut_sites, unit, group, self.model, **options) for group in unit.groups]
        work = list(batches(tapes, self.core, self.batch_size))
        parts: dict[tuple[int, int, int], list[Encoded]] = {}
        done, total = 0, self.unit_bp(unit)
        compute = self._on_host if self._pipeline is None else self._on_device
        for i, pieces in enumerate(_ahead(self._pool, compute, work, 2 * self._workers)):
            for key, encoded in pieces:
                parts.setdefault(key, []).append(encoded)
            now = total * (i + 1) // len(work)
            _advance(progress, now - done)
            done = now
        _advance(progress, total - done)
        return {(chrom, group): self._join(parts, chrom, group) for group in unit.groups for chrom in unit.chroms}

    def _join(self, parts: dict[tuple[int, int, int], list[Encoded]], chrom: int, group: int) -> tuple[Encoded, ...]:
        """Join the runs of every output of one group on one chromosome."""
        found = []
        for output in range(len(self.kinds)):
            pieces = parts.pop((chrom, group, output), None) or [_NO_RUNS]
            columns = [np.concatenate(column) for column in zip(*pieces, strict=True)]
            n = interpolate.join_runs(*columns)
            runs = tuple(column[:n] for column in columns)
            if self.regions is not None:
                runs = interpolate.fill_gaps(*runs, self.regions[chrom], int(self.fill[group, output]))
            found.append(runs)
        return tuple(found)

    def _on_host(self, batch: list[Window]) -> list[Piece]:
        """Denoise one batch; interpolate, round and encode on the CPU."""
        found = self.bins(batch)
        return [
            piece
            for i, (tape, first) in enumerate(batch)
            for output, values in enumerate(found)
            for piece in self._encode(output, values[i], tape, first)
        ]

    def bins(self, batch: list[Window]) -> tuple[np.ndarray, ...]:
        """Outputs at the bin centres of windows, before rounding."""
        model = self.model
        counts = np.zeros((len(batch), model.n_channels, self._n_bins), np.float32)
        for i, (tape, first) in enumerate(batch):
            tape.fill(counts[i, 0], first - model.halo, model.bin_size)
            counts[i, 0] *= self.gain[tape.group]
        if self.extra:
            counts[:, 1:] = self._extra(batch)
        depth = np.array([self.depth[tape.group] for tape, _ in batch], np.float32)
        prior = self._prior(batch)
        with self._explain_memory():
            return self._engine(counts, depth, prior)

    def _explain_memory(self) -> AbstractContextManager:
        batch = f"a batch of {self.batch_size} windows of {self.core:,} bp and their context"
        way_out = "End what else uses it, or compute on another one, such as device='cpu'."
        if self.batch_size > 1:
            half = self.batch_size // 2
            smaller = f"Give a smaller one, batch_size={half} (--batch-size {half} on the command line)."
            way_out = f"{smaller} Or: {way_out[0].lower()}{way_out[1:]}"
        return explain_memory(self.device, batch, way_out)

    def _prior(self, batch: list[Window]) -> np.ndarray | None:
        """Channels of the prior in windows, float32 `(n_windows, n_channels, n_bins)`."""
        if self.guidance is None:
            return None
        out = np.empty((len(batch), len(CHANNELS), self._n_bins), np.float32)
        for i, (tape, first) in enumerate(batch):
            tape.fill_prior(out[i], first - self.model.halo, self.model.bin_size)
        return out

    def _extra(self, batch: list[Window]) -> np.ndarray | None:
        """Values of the extra channels in windows, float32 `(n_windows, n_extra, n_bins)`."""
        if not self.extra:
            return None
        out = np.empty((len(batch), len(self.extra), self._n_bins), np.float32)
        for i, (tape, first) in enumerate(batch):
            what = self.extra, self.cut_sites.groups[tape.group]
            begin = first - self.model.halo
            tape.fill_extra(out[i], begin, self.model.bin_size, *what, genome=self.cut_sites.genome)
        return out

    def _encode(self, output: int, values: np.ndarray, tape: GroupTape, first: int) -> Iterator[Piece]:
        """Interpolate, round and run-length encode one window."""
        out = [np.empty(self.core, dtype) for dtype in (np.int32, np.int32, np.int32, np.int16)]
        kind, t = self.kinds[output], tape.tape
        step, limit = self.rounding.steps[kind], self.rounding.limits[kind]
        geometry = (t.tape, t.start, t.low, t.high)
        fill = int(self.left_out[tape.group, output])
        n = interpolate.encode_window(values, self.model.bin_size, first, *geometry, kind, step, limit, fill, *out)
        chrom = t.chrom[out[0][:n]]
        for low, high in _equal(chrom):
            yield (int(chrom[low]), tape.group, output), tuple(column[low:high].copy() for column in out[1:])

    @property
    def left_out(self) -> np.ndarray:
        """Level that needs no runs, of every output; int64 `(n_groups, n_outputs)`."""
        return self.fill if self.regions is None else np.full_like(self.fill, _NO_FILL)

    def describe(self, batch: list[Window]) -> tuple[_device.Batch, np.ndarray]:
        """Return what a device needs to know of windows, and chromosome code and group of every wanted stretch."""
        bins, counts = list_sites(batch, self.model, self._n_bins)
        stretches, owners = list_stretches(batch, self.core)
        groups = [tape.group for tape, _ in batch]
        gain, depth = self.gain[groups], self.depth[groups].astype(np.float32)
        fill = np.ascontiguousarray(self.left_out[owners[:, 1]].T, np.int16)
        inputs = bins, counts, self._extra(batch), gain, depth, self._prior(batch)
        return _device.Batch(*inputs, *stretches, fill), owners

    def _on_device(self, batch: list[Window]) -> list[Piece]:
        """Denoise one batch, all of it on the device."""
        described, owners = self.describe(batch)
        with self._explain_memory():
            found = self._pipeline(described)
        pieces, spans = [], _equal(owners)
        for output, pointer in enumerate(found.pointer):
            for low, high in spans:
                own = slice(pointer[low], pointer[high])
                runs = found.starts[own], found.lengths[own], found.levels[own]
                pieces.append(((*owners[low].tolist(), output), runs))
        return pieces


def _ahead(pool: ThreadPoolExecutor, function: Callable, items: Iterable, most: int) -> Iterator:
    """Apply a function to items in a pool, in order, to `most` of them before they are asked for."""
    waiting: deque = deque()
    for item in items:
        waiting.append(pool.submit(function, item))
        if len(waiting) > most:
            yield waiting.popleft().result()
    while waiting:
        yield waiting.popleft().result()


def _equal(keys: np.ndarray) -> list[tuple[int, int]]:
    """Stretches of equal neighbours (rows): first, and the one after the last."""
    different = keys[1:] != keys[:-1]
    borders = np.flatnonzero(different if keys.ndim == 1 else different.any(1)) + 1
    return list(pairwise([0, *borders.tolist(), len(keys)])) if len(keys) else []


def _advance(progress: tqdm | None, n_bp: int) -> None:
    """Move a progress bar on, which units that run at the same time share."""
    if progress is not None:
        with progress.get_lock():
            progress.update(n_bp)


def stays_there(device: torch.device) -> bool:
    """Tell whether whole batches are worked on by the device, rounding and run-length encoding included."""
    return device.type == "cuda"


def _core_length(model: Model) -> int:
    """Core of a window in bp: long enough that the halo costs little, short enough for the caches of a CPU."""
    return max(1, _CORE // model.stride) * model.stride


def _check_core(model: Model, core: int) -> int:
    if core <= 0 or core % model.stride:
        msg = f"core is {core}; expected a positive multiple of the model's stride, {model.stride} bp."
        raise ValueError(msg)
    return core


def _batch_size(model: Model, device: torch.device, core: int) -> int:
    """Windows per call: one on a CPU thread, as many as fill a device elsewhere, if they fit."""
    if device.type == "cpu":
        return 1
    bases = 4_194_304 * (4 if model.bin_size > 1 else 1)
    if device.type == "cuda":
        bases = min(bases, torch.cuda.mem_get_info(device)[0] // _BYTES_PER_BASE)
    elif device.type == "mps":
        free = torch.mps.recommended_max_memory() - torch.mps.driver_allocated_memory()
        bases = min(bases, free // _BYTES_PER_BASE)
    return max(1, bases // core)


def usable_depth(model: Model, depth: np.ndarray | Sequence[float], n_groups: int) -> tuple[np.ndarray, np.ndarray]:
    """Return the depth that the network is told for every group, and what its counts are multiplied by.

    A group deeper than anything in training is scaled down to the deepest: the network amplifies what it does not
    know. A group without cut sites gets the lowest depth.
    """
    depth = np.array(depth, np.float64)
    if depth.shape != (n_groups,) or not np.isfinite(depth).all() or (depth < 0).any():
        msg = f"depth must be {n_groups} finite numbers, one per group, not negative; got {depth.tolist()}."
        raise ValueError(msg)
    low, high = model.card["depth_range"]
    usable = np.minimum(np.where(depth == 0, float(low), depth), float(high))
    return usable, np.where(depth > high, high / np.maximum(depth, 1), 1.0).astype(np.float32)
