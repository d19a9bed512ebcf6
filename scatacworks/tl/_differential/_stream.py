"""Moments over many denoised groups, streamed: a batch of groups at a time, each denoised once, no track made."""

from __future__ import annotations

import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from tqdm.auto import tqdm

from scatacworks._columns import placed
from scatacworks._core.calling import call_dense
from scatacworks._core.intervals import pack
from scatacworks._files import atomic_path
from scatacworks._logging import logger
from scatacworks.prior import Guidance
from scatacworks.tl._denoising.call_peaks import LIMITS
from scatacworks.tl._differential._universe import as_columns

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path

    import pandas as pd

    from scatacworks.models._dense import DensePredictor
    from scatacworks.models.base import Model
    from scatacworks.prior import Prior
    from scatacworks.tl._differential._source import GroupSource
    from scatacworks.tracks import Tracks

BATCH_BP = 512_000_000  # bases x groups denoised at once, on the network's bins
POOLED_BP = 64_000_000  # bases of short chromosomes in which all groups together are denoised at once
BATCH_GROUPS = 32  # groups denoised at once, at most
SAVE_SECONDS = 60.0  # what a stopped run loses at most, beside its last batch
KEPT = "groups.npz"


def reach(model: Model) -> int:
    """Return how far from a region a cut site can be that changes it, and the grid of windows on top."""
    return model.halo + 2 * model.stride


def convention(model: Model) -> str:
    """Return where cut sites are counted for a network: as in its training, where it resolves that."""
    return str(model.card["convention"]) if model.bin_size == 1 else "10x"


@dataclass
class Denoiser:
    """A network and how to run it."""

    model: Model
    options: dict[str, Any]
    prior: Prior | None = None
    prior_weight: float = 1.0

    def __call__(self, cut_sites: Tracks, depth: np.ndarray, regions: Mapping[int, np.ndarray]) -> tuple:
        """Return signal and probability within the regions."""
        from scatacworks.models.predict import predict

        options = self.options | {"guidance": self.guidance(cut_sites)}
        return predict(self.model, cut_sites, depth=depth, regions=regions, progress=False, **options)[:2]

    def guidance(self, cut_sites: Tracks) -> Guidance | None:
        """Return the prior as these groups see it, which is the same for all."""
        if self.prior is None:
            return None
        return Guidance.make(self.prior, cut_sites, strength=self.prior_weight, match=False)


@dataclass
class Found:
    """What is known of the groups done so far.

    Every group is scaled to a mean signal of 1, so groups can be added without knowing the others' totals.

    Attributes
    ----------
    total
        Denoised signal summed over the regions, before scaling; float64, `(n_groups,)`.
    signal
        Mean scaled signal in the tested regions; float32, `(n_groups, n_tested)`.
    mean, squares
        Mean and sum of squared deviations of the scaled signal per base; float32, `(n_bases,)`. Empty if not wanted.
    done
        Number of groups that are in.
    """

    total: np.ndarray
    signal: np.ndarray
    mean: np.ndarray
    squares: np.ndarray
    done: int = 0

    @property
    def sd(self) -> np.ndarray:
        """Population standard deviation per base of the scaled signal; float32."""
        return np.sqrt(self.squares / np.float32(self.done))


@dataclass
class Stream:
    """One pass over batches of groups x regions.

    Attributes
    ----------
    source
        Where cut sites come from.
    denoise
        The network.
    regions
        What to compute: chromosome code -> sorted, disjoint intervals.
    progress
        Show progress bars.
    title
        What the bar of the groups says.
    folder
        Where finished work waits; nowhere if `None`.
    """

    source: GroupSource
    denoise: Denoiser
    regions: Mapping[int, np.ndarray]
    progress: bool
    title: str = "background"
    folder: Path | None = None

    @property
    def n_bases(self) -> int:
        """Bases of all regions."""
        return sum(int(np.diff(intervals).sum()) for intervals in self.regions.values())

    def pooled_peaks(self) -> Iterator[tuple[int, np.ndarray]]:
        """Yield peaks of all groups together: chromosome code, `(n, 2)` starts and ends."""
        from scatacworks.models._plan import make_units

        depth = np.array([self.source.pooled_depth])
        shown = {"unit": "b", "unit_scale": True, "desc": "pooled peaks", "disable": not self.progress}
        with tqdm(total=self.n_bases, **shown) as bar:
            for unit in make_units(self.source.genome, 1, regions=self.regions, unit_bp=POOLED_BP):
                spans = {code: self.regions[code] for code in unit.chroms}
                sites = self.source.pooled_around(spans, reach(self.denoise.model))
                _, probability = self.denoise(sites, depth, spans)
                for code, intervals in spans.items():
                    found = []
                    for low, high in intervals.tolist():
                        values = probability.window(0, code, low, high)
                        starts, ends = call_dense(values, *LIMITS)
                        found.append(np.column_stack([starts + low, ends + low]))
                    bar.update(int(np.diff(intervals).sum()))
                    yield code, np.concatenate(found)

    def run(self, tested: pd.DataFrame, *, moments: bool = True) -> Found:
        """Denoise every group and return its mean in the tested regions, and with `moments` how all vary per base.

        While the network is at the next batch of groups, the last one is reduced in another thread.
        """
        from scatacworks.models._dense import DensePredictor

        segments = self._flat(tested)
        found, saved = self._resume(len(tested), self.n_bases if moments else 0), time.monotonic()
        n_groups = len(self.source.groups)
        step = int(np.clip(BATCH_BP // self.n_bases, 1, BATCH_GROUPS))
        shown = {"unit": "b", "unit_scale": True, "desc": self.title, "smoothing": 0.1}
        shown |= {"total": self.n_bases * n_groups, "initial": self.n_bases * found.done, "disable": not self.progress}
        options = self.denoise.options | {"prior": self.denoise.prior}
        network = DensePredictor(self.denoise.model, self.source.genome, self.regions, **options)
        with tqdm(**shown) as bar, network, ThreadPoolExecutor(1, "reduce") as reducer:
            waiting = None
            for low in range(found.done, n_groups, step):
                groups = slice(low, min(low + step, n_groups))
                signal = self._signal(network, groups)
                if waiting is not None:
                    waiting.result()
                    if self.folder is not None and time.monotonic() - saved >= SAVE_SECONDS:
                        self._save(found)
                        saved = time.monotonic()
                waiting = reducer.submit(self._add, found, groups, network, signal, segments)
                bar.update(self.n_bases * (groups.stop - groups.start))
            if waiting is not None:
                waiting.result()
        return found

    def _signal(self, network: DensePredictor, groups: slice) -> np.ndarray:
        """Denoise a batch of groups."""
        sites = self.source.around(self.regions, reach(self.denoise.model), groups)
        return network.signal(sites, self.source.depth[groups], self.denoise.guidance(sites))

    def _add(
        self, found: Found, groups: slice, network: DensePredictor, signal: np.ndarray, segments: np.ndarray
    ) -> None:
        """Add what a batch of groups tells."""
        total, sums = network.segment_sums(signal, *segments)
        scale = np.divide(self.n_bases, total, out=np.zeros(len(total)), where=total > 0)
        found.total[groups] = total
        found.signal[groups] = sums / np.diff(segments, axis=0) * scale[:, None]
        if len(found.mean):
            network.add_moments(signal, scale, found.mean, found.squares, found.done)
        found.done = groups.stop

    def _flat(self, tested: pd.DataFrame) -> np.ndarray:
        """Return start and end of tested intervals, each wholly in one region, in flat coordinates."""
        codes, start, end = placed(tested, self.source.genome)
        span_codes, low, high = as_columns(self.regions)
        span = np.searchsorted(pack(span_codes, low), pack(codes, start), side="right") - 1
        shift = (np.cumsum(high - low) - high)[span]  # bases of the regions before, less where this one starts
        return np.stack([start + shift, end + shift])

    def _resume(self, n_tested: int, n_bases: int) -> Found:
        """Return what an earlier run has kept, or nothing done."""
        path = None if self.folder is None else self.folder / KEPT
        if path is not None and path.exists():
            with np.load(path) as kept:
                arrays = [kept[name] for name in ("total", "signal", "mean", "squares")]
                logger.info("Resuming: %d of %d groups are done.", int(kept["done"]), len(arrays[0]))
                return Found(*arrays, int(kept["done"]))
        n_groups = len(self.source.groups)
        moments = (np.zeros(n_bases, np.float32) for _ in range(2))
        return Found(np.zeros(n_groups), np.zeros((n_groups, n_tested), np.float32), *moments)

    def _save(self, found: Found) -> None:
        """Keep what is done, in place of what was kept before."""
        with atomic_path(self.folder / KEPT) as aside, aside.open("wb") as handle:
            np.savez(handle, **vars(found))
