"""Moments over many denoised groups, streamed: regions outside, groups inside, no track kept."""

from __future__ import annotations

import json
import shutil
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from tqdm.auto import tqdm

from scatacworks._core.calling import call_dense
from scatacworks._core.differential import segment_means
from scatacworks._core.moments import Moments
from scatacworks._files import atomic_path, require_writable
from scatacworks._logging import logger
from scatacworks.tl._differential._universe import as_arrays

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path

    import pandas as pd

    from scatacworks.models.base import Model
    from scatacworks.tl._differential._source import GroupSource
    from scatacworks.tracks import Tracks

BLOCK_BP = 2_000_000  # regions denoised together, for all groups
BATCH_BP = 64_000_000  # bases x groups held as dense values at most
SUBSET_BP = 16_384  # windows from which a cheaper scale is measured
PEAK_THRESHOLD, PEAK_LENGTH, PEAK_GAP = 0.5, 200, 30  # as tl.call_peaks


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

    def __call__(self, cut_sites: Tracks, depth: np.ndarray, regions: Mapping[int, np.ndarray]) -> tuple:
        """Return signal and probability within the regions."""
        from scatacworks.models.predict import predict

        return predict(self.model, cut_sites, depth=depth, regions=regions, progress=False, **self.options)


@dataclass
class Stream:
    """Passes over blocks x groups.

    Attributes
    ----------
    source
        Where cut sites come from.
    denoise
        The network.
    blocks
        What to compute.
    folder
        Where finished blocks wait; nowhere if `None`.
    progress
        Show a progress bar.
    """

    source: GroupSource
    denoise: Denoiser
    blocks: list[Block]
    folder: Path | None
    progress: bool

    def totals(self, share: float = 1.0) -> np.ndarray:
        """Return the sum of every group's denoised signal over the regions, or over a share of them; float64.

        The share is taken as evenly spread windows, the same for all groups.
        """
        blocks = thinned(self.blocks, share)
        out = np.zeros(len(self.source.groups))
        with self._bar(sum(block.n_bases for block in blocks), "scale") as bar:
            for i, block in enumerate(blocks):
                found = self._kept(f"total-{i:05d}", lambda block=block: {"total": self._block_totals(block)})
                out += found["total"]
                bar.update(block.n_bases * len(out))
        return out

    def _block_totals(self, block: Block) -> np.ndarray:
        return np.concatenate([dense.sum(axis=1, dtype=np.float64) for _, dense in self._batches(block)])

    def pooled_peaks(self) -> Iterator[tuple[int, np.ndarray]]:
        """Yield peaks of all groups together, per interval: chromosome code, `(n, 2)` starts and ends."""
        depth = np.array([min(self.source.pooled_depth, float(self.denoise.model.card["depth_range"][1]))])
        for i, block in enumerate(self.blocks):
            peaks = self._kept(f"peaks-{i:05d}", lambda block=block: {"peaks": self._block_peaks(block, depth)})[
                "peaks"
            ]
            if len(peaks):
                yield block.code, peaks

    def _block_peaks(self, block: Block, depth: np.ndarray) -> np.ndarray:
        start, end = self._reach(block)
        window = self.source.pooled_window(block.code, start, end)
        _, probability = self.denoise(window, depth, {block.code: block.intervals})
        found = []
        for low, high in block.intervals.tolist():
            values = probability.window(0, block.code, low, high)
            starts, ends, *_ = call_dense(values, PEAK_THRESHOLD, PEAK_LENGTH, PEAK_GAP)
            found.append(np.column_stack([starts + low, ends + low]))
        return np.concatenate(found)

    def moments(
        self, scale: np.ndarray, segments: list[tuple[np.ndarray, np.ndarray]]
    ) -> Iterator[dict[str, np.ndarray]]:
        """Yield for every block the mean and sd per base and the groups' means in its segments.

        Parameters
        ----------
        scale
            Factor of every group.
        segments
            Per block, starts and ends of the tested intervals in the block's flat arrays.
        """
        with self._bar(sum(block.n_bases for block in self.blocks), "background") as bar:
            for i, (block, wanted) in enumerate(zip(self.blocks, segments, strict=True)):
                yield self._kept(
                    f"moments-{i:05d}", lambda block=block, wanted=wanted: self._block_moments(block, scale, wanted)
                )
                bar.update(block.n_bases * len(scale))

    def summaries(self, scale: np.ndarray, tested: pd.DataFrame) -> np.ndarray:
        """Return the mean of every group in the tested intervals; float32, `(n_groups, n_tested)`."""
        segments = block_segments(self.blocks, *as_arrays(tested, self.source.genome))
        return np.concatenate([part["signal"] for part in self.moments(scale, segments)], axis=1)

    def _block_moments(self, block: Block, scale: np.ndarray, segments: tuple) -> dict[str, np.ndarray]:
        moments = Moments(block.n_bases)
        means = np.empty((len(scale), len(segments[0])), np.float32)
        for groups, dense in self._batches(block):
            moments.update(dense, scale[groups])
            means[groups] = segment_means(dense, *segments) * scale[groups, None]
        return {"mean": moments.mean.astype(np.float32), "sd": moments.sd().astype(np.float32), "signal": means}

    def _batches(self, block: Block) -> Iterator[tuple[slice, np.ndarray]]:
        """Yield denoised values of a block, `(groups of the batch, n_bases)`, a batch of groups at a time."""
        start, end = self._reach(block)
        step = max(1, BATCH_BP // block.n_bases)
        everything = self.source.window(block.code, start, end, slice(None))
        for low in range(0, len(self.source.groups), step):
            groups = slice(low, min(low + step, len(self.source.groups)))
            cut_sites = everything.select(self.source.groups[groups])
            signal, _ = self.denoise(cut_sites, self.source.depth[groups], {block.code: block.intervals})
            yield groups, dense_values(signal, block)

    def _reach(self, block: Block) -> tuple[int, int]:
        """Window that holds every cut site which can change the block."""
        reach = self.denoise.model.halo + 2 * self.denoise.model.stride
        length = int(self.source.genome.lengths[block.code])
        return max(int(block.intervals[0, 0]) - reach, 0), min(int(block.intervals[-1, 1]) + reach, length)

    def _bar(self, n_bases: int, what: str) -> tqdm:
        total = n_bases * len(self.source.groups)
        return tqdm(total=total, unit="b", unit_scale=True, desc=what, disable=not self.progress, smoothing=0.1)

    def _kept(self, name: str, compute: Any) -> dict[str, np.ndarray]:
        """Return a finished piece of work, computing (and keeping) it if it is not there."""
        if self.folder is None:
            return compute()
        path = self.folder / f"{name}.npz"
        if path.exists():
            with np.load(path) as stored:
                return {key: stored[key] for key in stored.files}
        found = compute()
        with atomic_path(path) as aside, aside.open("wb") as handle:
            np.savez(handle, **found)
        return found


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


def thinned(blocks: list[Block], share: float) -> list[Block]:
    """Cut blocks into windows and keep an even share of them; 1 keeps the blocks as they are."""
    step = max(1, round(1 / share))
    if step == 1:
        return blocks
    number, out = 0, []
    for block in blocks:
        kept = []
        for start, end in block.intervals.tolist():
            for low in range(start, end, SUBSET_BP):
                if number % step == 0:
                    kept.append((low, min(low + SUBSET_BP, end)))
                number += 1
        if kept:
            out.append(Block(block.code, np.array(kept), block.first))
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
        logger.info("Resuming: %d pieces in %s are done.", len(list(folder.glob("*.npz"))), folder)
        return folder
    require_writable(path.parent)
    folder.mkdir(exist_ok=True)
    with atomic_path(note) as aside:
        aside.write_text(text)
    return folder


def remove_folder(folder: Path) -> None:
    """Delete finished work."""
    shutil.rmtree(folder)
