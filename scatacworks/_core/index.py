"""The consensus index: from peaks of many samples to elements, chromosome by chromosome.

Peaks are sorted by summit. Clumps are runs of summits at most `clump_gap` apart; islands are runs of clumps whose peaks
overlap. No element reaches outside its island, so islands are indexed in parallel and the result does not depend on how
they are shared out.
"""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from scatacworks._core.delineate import (
    CORE_END,
    CORE_START,
    END,
    HEAD,
    N_FIELDS,
    N_PEAKS,
    N_SAMPLES,
    START,
    SUMMIT,
    Peaks,
    Rules,
    Scratch,
    cut_points,
    delineate,
    make_scratch,
)
from scatacworks._core.radix import order_by
from scatacworks._core.resolve import BY_CORE, BY_EXTENT, BY_SUMMIT, merge_groups
from scatacworks._numba import njit

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

MODES = ("all", "core", "any")
BLOCK_PEAKS = 200_000  # an island-aligned piece of work


class Elements(NamedTuple):
    """Elements of one chromosome in one mode, sorted by start, then end. Cores are -1 where there is none."""

    start: np.ndarray
    end: np.ndarray
    summit: np.ndarray
    core_start: np.ndarray
    core_end: np.ndarray
    n_samples: np.ndarray
    n_peaks: np.ndarray
    score: np.ndarray


class ChromosomeIndex(NamedTuple):
    """Elements per mode, the element of each peak (mode "all"), and where these went in the other modes."""

    elements: dict[str, Elements]
    label: np.ndarray
    merged_into: dict[str, np.ndarray]


def by_summit(given: Peaks) -> tuple[np.ndarray, Peaks]:
    """Return the order of peaks by their summits, and the peaks in it."""
    order = order_by(given.summit)
    return order, Peaks(*(field[order] for field in given[:4]), given.score[order].astype(float))


def _clumps(peaks: Peaks, gap: int) -> np.ndarray:
    """Offsets of the clumps in the peaks sorted by summit."""
    first = np.flatnonzero(np.diff(peaks.summit) > gap) + 1
    return np.concatenate([[0], first, [len(peaks.summit)]]).astype(np.int32)


def _islands(peaks: Peaks, clumps: np.ndarray) -> np.ndarray:
    """Offsets of the islands in the clumps; a summit outside its peak counts as part of it."""
    low = np.minimum.reduceat(np.minimum(peaks.start, peaks.summit), clumps[:-1])
    high = np.maximum.reduceat(np.maximum(peaks.end, peaks.summit), clumps[:-1])
    low_after, high_before = np.minimum.accumulate(low[::-1])[::-1], np.maximum.accumulate(high)
    first = np.flatnonzero(low_after[1:] > high_before[:-1]) + 1
    return np.concatenate([[0], first, [len(low)]]).astype(np.int32)


def _scratch(peaks: Peaks, clumps: np.ndarray, islands: np.ndarray, n_samples: int) -> Scratch:
    """Working memory wide enough for every island of a block."""
    bounds = clumps[islands]
    widths = np.maximum.reduceat(peaks.end, bounds[:-1]) - np.minimum.reduceat(peaks.start, bounds[:-1])
    return make_scratch(n_samples, int(widths.max()) + 3, int(np.diff(bounds).max()))


@njit
def _segments(peaks: Peaks, clumps: np.ndarray, window: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Cut the clumps; return the first peak of each segment, the links between its peaks, and offsets per clump."""
    n_peaks = clumps[-1]
    begins, following = np.empty(n_peaks, np.int32), np.empty(n_peaks, np.int32)
    offsets = np.zeros(len(clumps), np.int64)
    n = 0
    for clump in range(len(clumps) - 1):
        at, last = clumps[clump], clumps[clump + 1]
        origin = peaks.summit[at] - 1
        for cut in cut_points(peaks.summit[at:last], window)[1:]:
            begin = at
            while at < last and peaks.summit[at] - origin <= cut:
                following[at] = at + 1
                at += 1
            if at > begin:
                following[at - 1] = -1
                begins[n] = begin
                n += 1
        offsets[clump + 1] = n
    return begins[:n].copy(), following, offsets


@njit
def _delineate_all(
    peaks: Peaks, following: np.ndarray, begins: np.ndarray, rules: Rules, scratch: Scratch
) -> tuple[np.ndarray, np.ndarray]:
    """Rows and scores of segments, before any merging."""
    rows, score = np.empty((len(begins), N_FIELDS), np.int32), np.empty(len(begins), np.float64)
    for at in range(len(begins)):
        rows[at, HEAD] = begins[at]
        score[at] = delineate(peaks, following, rows[at], rules, scratch)
    return rows, score


@njit
def _labels(rows: np.ndarray, following: np.ndarray) -> np.ndarray:
    """Row number of each peak."""
    label = np.empty(len(following), np.int32)
    for row in range(len(rows)):
        peak = rows[row, HEAD]
        while peak >= 0:
            label[peak] = row
            peak = following[peak]
    return label


def _index_block(
    peaks: Peaks, clumps: np.ndarray, islands: np.ndarray, n_samples: int, rules: Rules, modes: tuple[str, ...]
) -> list[tuple[np.ndarray, np.ndarray, np.ndarray]]:
    """Per mode the rows and scores of one run of islands, and the row of each peak ("all") or of each "all" row."""
    base, stop = clumps[islands[0]], clumps[islands[-1]]
    peaks = Peaks(*(field[base:stop] for field in peaks))
    clumps, islands = clumps[islands[0] : islands[-1] + 1] - base, islands - islands[0]
    scratch = _scratch(peaks, clumps, islands, n_samples)
    begins, following, offsets = _segments(peaks, clumps, rules.window)
    rows, score = _delineate_all(peaks, following, begins, rules, scratch)
    offsets = merge_groups(peaks, following, rows, score, offsets, (BY_SUMMIT, True, rules, scratch))[islands]
    offsets = merge_groups(peaks, following, rows, score, offsets, (BY_SUMMIT, True, rules, scratch))
    rows, score = rows[: offsets[-1]], score[: offsets[-1]]
    tables = [(rows, score, _labels(rows, following))]
    for mode in modes[1:]:
        links, merged, merged_score = following.copy(), rows.copy(), score.copy()
        setting = (BY_CORE if mode == "core" else BY_EXTENT, False, rules, scratch)
        n = merge_groups(peaks, links, merged, merged_score, offsets, setting)[-1]
        tables.append((merged[:n], merged_score[:n], _labels(merged[:n], links)[rows[:, HEAD]]))
    return tables


def _blocks(clumps: np.ndarray, islands: np.ndarray, block_peaks: int) -> Iterator[np.ndarray]:
    """Runs of islands of about `block_peaks` peaks each."""
    offsets = clumps[islands]
    first = 0
    while first < len(islands) - 1:
        last = int(np.searchsorted(offsets, offsets[first] + block_peaks, side="left"))
        last = min(max(last, first + 1), len(islands) - 1)
        yield islands[first : last + 1]
        first = last


def to_elements(rows: np.ndarray, score: np.ndarray) -> Elements:
    """Columns of the rows."""
    fields = (START, END, SUMMIT, CORE_START, CORE_END, N_SAMPLES, N_PEAKS)
    return Elements(*(rows[:, field].copy() for field in fields), score)


def _gather(blocks: list[list[tuple]], modes: tuple[str, ...], order: np.ndarray) -> ChromosomeIndex:
    """Join the blocks of one chromosome."""
    elements, places = {}, {}
    for mode, tables in zip(modes, zip(*blocks, strict=True), strict=True):
        rows, score, place = zip(*tables, strict=True)
        first = np.cumsum([0, *map(len, rows)])
        elements[mode] = to_elements(np.concatenate(rows), np.concatenate(score))
        places[mode] = np.concatenate([own + base for own, base in zip(place, first, strict=False)])
    label = np.empty(len(order), np.int32)
    label[order] = places.pop("all")
    return ChromosomeIndex(elements, label, places)


def index_chromosomes(
    chromosomes: Iterable[Peaks],
    n_samples: int,
    *,
    rules: Rules = Rules(),  # noqa: B008
    modes: tuple[str, ...] = MODES,
    n_jobs: int = 1,
    block_peaks: int = BLOCK_PEAKS,
) -> Iterator[ChromosomeIndex]:
    """Index one chromosome after the other.

    Parameters
    ----------
    chromosomes
        Peaks of each chromosome in any order: int32 start, end and summit (0-based), integer sample codes, scores.
    n_samples
        Number of samples; codes are below it.
    rules
        The numbers of the method.
    modes
        Which of "all" (always first), "core" and "any" to make.
    n_jobs
        Threads.
    block_peaks
        Peaks per piece of work; changes nothing in the result.

    Yields
    ------
    One :class:`ChromosomeIndex` per chromosome; labels are in the order of the peaks given.
    """
    modes = tuple(mode for mode in MODES if mode in {"all", *modes})
    with ThreadPoolExecutor(n_jobs) as pool:
        for given in chromosomes:
            order, peaks = by_summit(given)
            clumps = _clumps(peaks, rules.clump_gap)
            islands = _islands(peaks, clumps)
            blocks = pool.map(
                lambda block, p=peaks, c=clumps: _index_block(p, c, block, n_samples, rules, modes),
                list(_blocks(clumps, islands, block_peaks)),
            )
            yield _gather(list(blocks), modes, order)
