"""The signal of many groups in the same regions, reduced as it comes from the network: no track is made."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from scatacworks._core import interpolate, moments, windows
from scatacworks.models._plan import Regions, Unit, batches, fill_tape
from scatacworks.models._predictor import Predictor, usable_depth
from scatacworks.prior import Guidance
from scatacworks.tracks import Tracks

if TYPE_CHECKING:
    from collections.abc import Callable

    from scatacworks.genome import Genome
    from scatacworks.models.base import Model
    from scatacworks.prior import Prior

__all__ = ["DensePredictor"]


class DensePredictor(Predictor):
    """A network made ready to denoise batches of groups in fixed regions, and to reduce them.

    All groups are computed in the same windows, and nothing is skipped. Their signal stays on the network's bins until
    it is interpolated and rounded, a window at a time, as tracks would be. Bases of the regions are counted one after
    the other ("flat"). Use as a context manager.

    Parameters
    ----------
    model
        Network with weights.
    genome
        Genome of the positions.
    regions
        Chromosome code -> sorted, disjoint, half-open intervals, int64 `(n, 2)`.
    prior
        The prior that all groups are guided by, if any; :meth:`signal` is told how they see it.
    options
        `device`, `batch_size`, `n_jobs`, `core`, `rounding` and `amp` of :class:`Predictor`.
    """

    def __init__(
        self, model: Model, genome: Genome, regions: Regions, *, prior: Prior | None = None, **options: Any
    ) -> None:
        nothing = Tracks.from_chromosomes([], genome, [])
        guidance = None if prior is None else Guidance.make(prior, nothing, match=False)
        super().__init__(model, nothing, depth=[], regions=regions, skip=False, guidance=guidance, **options)
        self.unit = Unit(tuple(sorted(regions)), ())
        self.tape = windows.make_tape([(code, self._intervals(code)) for code in self.unit.chroms])
        self.firsts = windows.window_starts(self.tape, self.core)
        self._geometry = (self.tape.tape, self.tape.start, self.tape.low, self.tape.high)
        self._flat = flat_starts(self.tape, self.firsts)

    def _intervals(self, code: int) -> np.ndarray:
        size = int(self.cut_sites.genome.lengths[code])
        grid = self.model.halo, self.model.stride
        return windows.active_intervals(np.empty(0), size, *grid, regions=self.regions[code], skip=False)

    def _constants(self) -> np.ndarray:
        return self.fill  # what no cut site reaches is computed like all else

    def signal(self, cut_sites: Tracks, depth: np.ndarray, guidance: Guidance | None = None) -> np.ndarray:
        """Return the signal of groups at bin centres; float32, `(n_groups, n_windows, n_bins)`."""
        n_groups = len(cut_sites.groups)
        self.cut_sites, self.guidance = cut_sites, guidance
        self.depth, self.gain = usable_depth(self.model, depth, n_groups)
        tapes = [
            fill_tape(self.tape, [cut_sites.runs(group, code) for code in self.unit.chroms], self.unit, group, guidance)
            for group in range(n_groups)
        ]
        work = list(batches(tapes, self.core, self.batch_size))
        margin = 2 if self.model.bin_size > 1 else 0
        out = np.empty((n_groups * len(self.firsts), self.core // self.model.bin_size + margin), np.float32)

        def compute(i: int) -> None:
            found = self.bins(work[i])[0]
            out[i * self.batch_size : i * self.batch_size + len(found)] = found

        self._each(compute, range(len(work)))
        return out.reshape(n_groups, len(self.firsts), -1)

    def segment_sums(self, signal: np.ndarray, starts: np.ndarray, ends: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Return the signal's sum over all bases `(n_groups,)` and over flat segments `(n_groups, n_segments)`."""
        bounds = np.unique(np.concatenate([[0, int(self._flat[-1])], starts, ends]))
        cumulative = np.empty((len(signal), len(bounds)))

        def reduce(group: int) -> None:
            values, at, total = np.empty(self.core, np.float32), 0, 0.0
            for window, first in enumerate(self._flat[:-1].tolist()):
                n = self._expand(signal[group, window], window, values)
                at, total = moments.running_sum(values[:n], first, bounds, at, total, cumulative[group])

        self._each(reduce, range(len(signal)))
        low, high = np.searchsorted(bounds, starts), np.searchsorted(bounds, ends)
        return cumulative[:, -1].copy(), cumulative[:, high] - cumulative[:, low]

    def add_moments(
        self, signal: np.ndarray, scale: np.ndarray, mean: np.ndarray, squares: np.ndarray, count: int
    ) -> None:
        """Add the scaled signal of groups to moments of `count` others, `(n_bases,)` each, in place."""

        def reduce(window: int) -> None:
            own = slice(self._flat[window], self._flat[window + 1])
            values = np.empty((len(signal), own.stop - own.start), np.float32)
            for group in range(len(signal)):
                self._expand(signal[group, window], window, values[group])
            more = moments.batch_moments(values, scale)
            moments.join(mean[own], squares[own], count, *more, len(signal))

        self._each(reduce, range(len(self.firsts)))

    def _expand(self, bins: np.ndarray, window: int, out: np.ndarray) -> int:
        kind, first = interpolate.SIGNAL, int(self.firsts[window])
        step, limit = self.rounding.steps[kind], self.rounding.limits[kind]
        return interpolate.expand_window(bins, self.model.bin_size, first, *self._geometry, step, limit, out)

    def _each(self, function: Callable[[int], None], items: range) -> None:
        """Call a function for every item from all threads."""
        with ThreadPoolExecutor(self.n_jobs, "dense", initializer=torch.set_num_threads, initargs=(1,)) as pool:
            for _ in pool.map(function, items):
                pass


def flat_starts(tape: windows.Tape, firsts: np.ndarray) -> np.ndarray:
    """Return how many wanted bases lie before each window on the tape, and all of them; int64, `(n_windows + 1,)`."""
    low, high = tape.low - tape.start + tape.tape, tape.high - tape.start + tape.tape
    size = np.concatenate([[0], np.cumsum(high - low)])
    interval = np.searchsorted(high, firsts, side="right")
    inside = np.maximum(firsts - np.append(low, tape.length)[interval], 0)
    return np.append(size[interval] + inside, size[-1]).astype(np.int64)
