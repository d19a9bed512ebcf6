"""Moments over many denoised groups, streamed: a batch of groups at a time, each denoised once, no track kept."""

from __future__ import annotations

import json
import shutil
import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from tqdm.auto import tqdm

from scatacworks._core.calling import call_dense
from scatacworks._core.differential import segment_means
from scatacworks._core.moments import batch_moments, join
from scatacworks._files import atomic_path, require_writable
from scatacworks._logging import logger
from scatacworks.prior import Guidance
from scatacworks.tl._denoising.call_peaks import LIMITS
from scatacworks.tl._differential._universe import as_arrays

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path

    import pandas as pd

    from scatacworks.models.base import Model
    from scatacworks.prior import Prior
    from scatacworks.tl._differential._source import GroupSource
    from scatacworks.tracks import Tracks

BLOCK_BP = 2_000_000  # regions whose values per base are held at once, for a batch of groups
BATCH_BP = 64_000_000  # bases x groups denoised at once
SAVE_SECONDS = 60.0  # what a stopped run loses at most, beside its last batch
KEPT = "groups.npz"


class Block(NamedTuple):
    """Neighbouring intervals of one chromosome, worked on together.

    Attributes
    ----------
    code
        Code of the chromosome.
    intervals
        `(n, 2)`, sorted, disjoint.
    first
        Position of the first base in the flat arrays over all regions.
    """

    code: int
    intervals: np.ndarray
    first: int

    @property
    def n_bases(self) -> int:
        """Bases of all intervals."""
        return int(np.diff(self.intervals).sum())

    @property
    def offsets(self) -> np.ndarray:
        """Where each interval starts in the block's flat arrays."""
        return np.concatenate([[0], np.cumsum(np.diff(self.intervals).ravel())])


def make_blocks(regions: Mapping[int, np.ndarray], block_bp: int = BLOCK_BP) -> list[Block]:
    """Divide regions into blocks; an interval longer than a block is a block of its own."""
    blocks, first = [], 0
    for code, intervals in sorted(regions.items()):
        size = np.cumsum(np.diff(intervals).ravel())
        number = (size - 1) // block_bp
        for part in np.split(intervals, np.flatnonzero(np.diff(number)) + 1):
            blocks.append(Block(code, part, first))
            first += blocks[-1].n_bases
    return blocks


@dataclass
class Denoiser:
    """A network and how to run it."""

    model: Model
    options: dict[str, Any] = field(default_factory=dict)
    prior: Prior | None = None
    prior_weight: float = 1.0

    def __call__(self, cut_sites: Tracks, depth: np.ndarray, regions: Mapping[int, np.ndarray]) -> tuple:
        """Return signal and probability within the regions; a prior is the same for all groups."""
        from scatacworks.models.predict import predict

        guidance = None
        if self.prior is not None:
            guidance = Guidance.make(self.prior, cut_sites, strength=self.prior_weight, match=False)
        options = self.options | {"guidance": guidance}
        return predict(self.model, cut_sites, depth=depth, regions=regions, progress=False, **options)[:2]


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

    def add(self, block: Block, dense: np.ndarray, scale: np.ndarray) -> None:
        """Add the values of more groups in a block to the moments."""
        own = slice(block.first, block.first + block.n_bases)
        join(self.mean[own], self.squares[own], self.done, *batch_moments(dense, scale), len(dense))


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
    folder
        Where finished work waits; nowhere if `None`.
    progress
        Show a progress bar.
    """

    source: GroupSource
    denoise: Denoiser
    regions: Mapping[int, np.ndarray]
    folder: Path | None
    progress: bool

    @property
    def n_bases(self) -> int:
        """Bases of all regions."""
        return sum(int(np.diff(intervals).sum()) for intervals in self.regions.values())

    @property
    def _reach(self) -> int:
        """How far from a region a cut site can be that changes it, and the grid of windows on top."""
        return self.denoise.model.halo + 2 * self.denoise.model.stride

    def pooled_peaks(self) -> Iterator[tuple[int, np.ndarray]]:
        """Yield peaks of all groups together: chromosome code, `(n, 2)` starts and ends."""
        depth = np.array([min(self.source.pooled_depth, float(self.denoise.model.card["depth_range"][1]))])
        for code, intervals in sorted(self.regions.items()):
            sites = self.source.pooled_around(code, intervals, self._reach)
            _, probability = self.denoise(sites, depth, {code: intervals})
            found = []
            for low, high in intervals.tolist():
                values = probability.window(0, code, low, high)
                starts, ends, *_ = call_dense(values, *LIMITS)
                found.append(np.column_stack([starts + low, ends + low]))
            yield code, np.concatenate(found)

    def run(self, tested: pd.DataFrame, *, moments: bool = True) -> Found:
        """Denoise every group and return its mean in the tested regions, and with `moments` how all vary per base."""
        blocks = make_blocks(self.regions)
        segments = block_segments(blocks, *as_arrays(tested, self.source.genome))
        found, saved = self._resume(len(tested), self.n_bases if moments else 0), time.monotonic()
        n_groups, step = len(self.source.groups), max(1, BATCH_BP // self.n_bases)
        options = {"unit": "b", "unit_scale": True, "desc": "background", "smoothing": 0.1}
        shown = {"total": self.n_bases * n_groups, "initial": self.n_bases * found.done, "disable": not self.progress}
        with tqdm(**options, **shown) as bar:
            while found.done < n_groups:
                groups = slice(found.done, min(found.done + step, n_groups))
                self._add(found, groups, blocks, segments)
                bar.update(self.n_bases * (groups.stop - groups.start))
                if self.folder is not None and time.monotonic() - saved >= SAVE_SECONDS:
                    self._save(found)
                    saved = time.monotonic()
        return found

    def _add(self, found: Found, groups: slice, blocks: list[Block], segments: list[tuple]) -> None:
        """Denoise a batch of groups and add what it tells."""
        sites = self.source.around(self.regions, self._reach, groups)
        signal, _ = self.denoise(sites, self.source.depth[groups], self.regions)
        total = found.total[groups] = signal.sums()
        scale = np.divide(self.n_bases, total, out=np.zeros(len(total)), where=total > 0)
        means = []
        for block, wanted in zip(blocks, segments, strict=True):
            dense = dense_values(signal, block)
            means.append(segment_means(dense, *wanted) * scale[:, None])
            if len(found.mean):
                found.add(block, dense, scale)
        found.signal[groups] = np.concatenate(means, axis=1)
        found.done = groups.stop

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


def dense_values(tracks: Tracks, block: Block) -> np.ndarray:
    """Return the values of all groups in a block; float32, `(n_groups, n_bases)`."""
    out = np.empty((len(tracks.groups), block.n_bases), np.float32)
    offsets = block.offsets
    for group in range(len(out)):
        for i, (start, end) in enumerate(block.intervals.tolist()):
            out[group, offsets[i] : offsets[i + 1]] = tracks.window(group, block.code, start, end)
    return out


def block_segments(blocks: list[Block], codes: np.ndarray, start: np.ndarray, end: np.ndarray) -> list[tuple]:
    """Return the tested intervals of every block (each wholly in one of its intervals) in flat coordinates."""
    out = []
    for block in blocks:
        inside = (codes == block.code) & (start >= block.intervals[0, 0]) & (end <= block.intervals[-1, 1])
        low = start[inside]
        span = np.searchsorted(block.intervals[:, 0], low, side="right") - 1
        shift = block.offsets[span] - block.intervals[span, 0]
        out.append((low + shift, end[inside] + shift))
    return out


def open_folder(path: Path, description: dict[str, Any]) -> Path:
    """Return the hidden folder beside `path` where unfinished work waits; work of other parameters is refused."""
    folder = path.with_name(f".{path.name}.unfinished")
    note, text = folder / "parameters.json", json.dumps(description, sort_keys=True)
    if note.exists():
        if note.read_text() != text:
            msg = (
                f"{folder} holds unfinished work of a run with other parameters, model or input. Repeat that run to "
                "finish it, delete the folder, or give another path."
            )
            raise ValueError(msg)
        return folder
    require_writable(path.parent)
    folder.mkdir(exist_ok=True)
    with atomic_path(note) as aside:
        aside.write_text(text)
    return folder


def remove_folder(folder: Path) -> None:
    """Delete finished work."""
    shutil.rmtree(folder)
