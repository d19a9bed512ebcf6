"""A network made ready to denoise one set of cut sites, unit by unit."""

from __future__ import annotations

from collections import deque
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from typing import TYPE_CHECKING

import numpy as np
import torch

from scatacworks import _threads
from scatacworks._core import interpolate, windows
from scatacworks.models._engine import Engine, pick_device, ready
from scatacworks.models._plan import GroupTape, Regions, Unit, batches, make_group_tape, make_units
from scatacworks.models._rounding import Encoded, Rounding
from scatacworks.prior import CHANNELS

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from tqdm import tqdm

    from scatacworks.models.base import Model
    from scatacworks.prior import Guidance
    from scatacworks.tracks import Tracks

KINDS = (interpolate.SIGNAL, interpolate.LOGIT, interpolate.LOGIT)  # of the outputs; the last, unguided, with a prior
_NO_RUNS = [np.empty(0, dtype) for dtype in (np.int32, np.int32, np.int32, np.int16)]
_CORE = 131_072
_NO_FILL = -(2**15)  # a level that does not occur


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
        Chromosome code -> sorted, disjoint intervals; everything if `None`.
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
    ) -> None:
        self.guidance = guidance
        self.kinds = KINDS[:2] if guidance is None else KINDS
        self.model, self.cut_sites, self.regions, self.skip = model, cut_sites, regions, skip
        self.device = pick_device(device)
        self.n_jobs = _threads.resolve(n_jobs)
        self.rounding = rounding or Rounding()
        self.core = _core_length(model) if core is None else _check_core(model, core)
        self.batch_size = batch_size or _batch_size(model, self.device, self.core)
        self.amp = amp
        self.depth, self.gain = _usable_depth(model, depth, len(cut_sites.groups))
        self.fill = np.zeros((len(self.depth), len(self.kinds)), np.int64)

    def __enter__(self) -> Predictor:
        self._stack = ExitStack()
        self._stack.enter_context(ready(self.model, self.device))
        self._stack.enter_context(_threads.torch_threads(1))
        pad_to = 0 if self.device.type == "cpu" else self.batch_size
        self._engine = Engine(self.model, amp=self.amp, pad_to=pad_to)
        self.fill = self._constants()
        self._pool = ThreadPoolExecutor(self.n_jobs, "denoise", initializer=torch.set_num_threads, initargs=(1,))
        return self

    def _constants(self) -> np.ndarray:
        """Level of the outputs where no cut site is within reach; int64 `(n_groups, n_outputs)`."""
        model, out = self.model, np.zeros_like(self.fill)
        n_bins = (2 * model.halo + model.stride) // model.bin_size
        counts = np.zeros((1, model.n_channels, n_bins), np.float32)
        prior = None if self.guidance is None else np.zeros((1, len(CHANNELS), n_bins), np.float32)
        engine = Engine(model, amp=self.amp)
        for group, depth in enumerate(self.depth):
            values = engine(counts, np.full(1, depth, np.float32), prior)
            middle = [row[0, row.shape[1] // 2] for row in values]
            out[group] = [self.rounding.level(kind, value) for kind, value in zip(self.kinds, middle, strict=True)]
        return out

    def __exit__(self, *error: object) -> None:
        self._pool.shutdown(wait=True, cancel_futures=True)
        self._stack.close()

    def units(self) -> list[Unit]:
        """Return the units in which the work is divided."""
        return make_units(self.cut_sites.genome, len(self.cut_sites.groups), regions=self.regions)

    def unit_bp(self, unit: Unit) -> int:
        """Bases x groups of a unit."""
        lengths = self.cut_sites.genome.lengths
        one = [lengths[c] if self.regions is None else np.diff(self.regions[c]).sum() for c in unit.chroms]
        return int(sum(one)) * len(unit.groups)

    def run(self, unit: Unit, progress: tqdm | None = None) -> dict[tuple[int, int], tuple[Encoded, ...]]:
        """Denoise a unit: (chromosome code, group) -> encoded runs of every output."""
        options = {"regions": self.regions, "skip": self.skip, "guidance": self.guidance}
        tapes = [make_group_tape(self.cut_sites, unit, group, self.model, **options) for group in unit.groups]
        work = list(batches(tapes, self.core, self.batch_size))
        parts: dict[int, list] = {group: [] for group in unit.groups}
        done, total = 0, self.unit_bp(unit)
        for i, results in enumerate(self._map(work)):
            for group, encoded in results:
                parts[group].append(encoded)
            if progress is not None:
                now = total * (i + 1) // len(work)
                progress.update(now - done)
                done = now
        if progress is not None:
            progress.update(total - done)
        return {key: value for tape in tapes for key, value in self._collect(tape, parts[tape.group], unit).items()}

    def _collect(self, tape: GroupTape, parts: list, unit: Unit) -> dict[tuple[int, int], tuple[Encoded, ...]]:
        """Return the runs of one group on every chromosome of a unit."""
        n_outputs = len(self.kinds)
        outputs = [_join(tape.tape, [part[i] for part in parts], unit.chroms) for i in range(n_outputs)]
        if self.regions is not None:
            for i, found in enumerate(outputs):
                fill = int(self.fill[tape.group, i])
                for chrom, runs in found.items():
                    found[chrom] = interpolate.fill_gaps(*runs, self.regions[chrom], fill)
        return {(chrom, tape.group): tuple(found[chrom] for found in outputs) for chrom in unit.chroms}

    def _map(self, work: list) -> Iterator[list]:
        """Compute batches in the pool, in order, a few ahead."""
        waiting: deque = deque()
        for batch in work:
            waiting.append(self._pool.submit(self._compute, batch))
            if len(waiting) > 2 * self.n_jobs:
                yield waiting.popleft().result()
        while waiting:
            yield waiting.popleft().result()

    def _compute(self, batch: list[tuple[GroupTape, int]]) -> list[tuple[int, list[tuple]]]:
        """Denoise one batch; returns (group, runs of every output) per window."""
        found = self.bins(batch)
        return [
            (tape.group, [self._encode(output, values[i], tape, first) for output, values in enumerate(found)])
            for i, (tape, first) in enumerate(batch)
        ]

    def bins(self, batch: list[tuple[GroupTape, int]]) -> tuple[np.ndarray, ...]:
        """Outputs at the bin centres of windows, before rounding."""
        model = self.model
        n_bins = (self.core + 2 * model.halo) // model.bin_size
        counts = np.zeros((len(batch), model.n_channels, n_bins), np.float32)
        prior = None if self.guidance is None else np.empty((len(batch), len(CHANNELS), n_bins), np.float32)
        for i, (tape, first) in enumerate(batch):
            tape.fill(counts[i, 0], first - model.halo, model.bin_size)
            counts[i, 0] *= self.gain[tape.group]
            if prior is not None:
                tape.fill_prior(prior[i], first - model.halo, model.bin_size)
        depth = np.array([self.depth[tape.group] for tape, _ in batch], np.float32)
        return self._engine(counts, depth, prior)

    def _encode(self, output: int, values: np.ndarray, tape: GroupTape, first: int) -> tuple[np.ndarray, ...]:
        """Interpolate, round and run-length encode one window: interval, starts, lengths, levels."""
        out = [np.empty(self.core, dtype) for dtype in (np.int32, np.int32, np.int32, np.int16)]
        kind = self.kinds[output]
        t, step, limit = tape.tape, self.rounding.steps[kind], self.rounding.limits[kind]
        fill = int(self.fill[tape.group, output]) if self.regions is None else _NO_FILL
        geometry = (t.tape, t.start, t.end, t.low, t.high)
        n = interpolate.encode_window(values, self.model.bin_size, first, *geometry, kind, step, limit, fill, *out)
        return tuple(array[:n].copy() for array in out)


def _join(tape: windows.Tape, parts: list[tuple[np.ndarray, ...]], chroms: tuple[int, ...]) -> dict[int, Encoded]:
    """Join the runs of a group's windows and divide them by chromosome."""
    columns = [np.concatenate(column) for column in zip(*parts, strict=True)] if parts else list(_NO_RUNS)
    columns[0] = tape.chrom[columns[0]]
    n = interpolate.join_runs(*columns)
    bounds = np.searchsorted(columns[0][:n], [*chroms, chroms[-1] + 1])
    return {
        chrom: tuple(column[low:high].copy() for column in columns[1:])
        for chrom, low, high in zip(chroms, bounds[:-1], bounds[1:], strict=True)
    }


def _core_length(model: Model) -> int:
    """Core of a window in bp: long enough that the halo costs little, short enough for the caches of a CPU."""
    return max(1, _CORE // model.stride) * model.stride


def _check_core(model: Model, core: int) -> int:
    if core <= 0 or core % model.stride:
        msg = f"core is {core}; expected a positive multiple of the model's stride, {model.stride} bp."
        raise ValueError(msg)
    return core


def _batch_size(model: Model, device: torch.device, core: int) -> int:
    """Windows per call: one on a CPU thread, as many as fill a device elsewhere."""
    if device.type == "cpu":
        return 1
    return max(1, 4_194_304 * (4 if model.bin_size > 1 else 1) // core)


def _usable_depth(model: Model, depth: np.ndarray | Sequence[float], n_groups: int) -> tuple[np.ndarray, np.ndarray]:
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
