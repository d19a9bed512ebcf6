"""The two common consensus rules, beside the index: fixed-width windows where the best peak wins, and plain union."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from scatacworks._core.delineate import (
    END,
    HEAD,
    N_FIELDS,
    START,
    SUMMIT,
    Peaks,
    Rules,
    Scratch,
    delineate,
    make_scratch,
)
from scatacworks._core.index import ChromosomeIndex, by_summit, to_elements
from scatacworks._core.radix import order_by
from scatacworks._numba import njit

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator


@njit
def _best_windows(summit: np.ndarray, score: np.ndarray, half_width: int) -> np.ndarray:
    """Winner of each peak (sorted by summit): the best-scoring peak not yet lost whose window overlaps its own."""
    winner = np.full(len(summit), -1, np.int32)
    for peak in np.argsort(-score, kind="mergesort"):
        if winner[peak] >= 0:
            continue
        winner[peak] = peak
        for step in (-1, 1):
            other = peak + step
            while 0 <= other < len(summit) and abs(summit[other] - summit[peak]) <= 2 * half_width:
                if winner[other] < 0:
                    winner[other] = peak
                other += step
    return winner


@njit
def _unions(start: np.ndarray, end: np.ndarray) -> np.ndarray:
    """First peak of the union that each peak belongs to; touching peaks are joined."""
    winner = np.empty(len(start), np.int32)
    first, high = -1, -1
    for peak in order_by(start):
        if first < 0 or start[peak] > high:
            first = peak
        winner[peak] = first
        high = max(high, end[peak])
    return winner


@njit
def _rows(
    peaks: Peaks, winner: np.ndarray, rules: Rules, scratch: Scratch
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Rows, scores and labels of groups of peaks, each named by one of its peaks."""
    n = len(winner)
    group = np.full(n, -1, np.int32)
    tail, following = np.empty(n, np.int32), np.full(n, -1, np.int32)
    rows, score = np.empty((n, N_FIELDS), np.int32), np.empty(n, np.float64)
    label = np.empty(n, np.int32)
    found = 0
    for peak in range(n):
        at = group[winner[peak]]
        if at < 0:
            at = group[winner[peak]] = found
            rows[at, HEAD] = peak
            found += 1
        else:
            following[tail[at]] = peak
        tail[at], label[peak] = peak, at
    for at in range(found):
        score[at] = delineate(peaks, following, rows[at], rules, scratch)
    return rows[:found].copy(), score[:found].copy(), label


def merge_chromosomes(
    chromosomes: Iterable[tuple[Peaks, int]], n_samples: int, *, method: str, half_width: int, rules: Rules
) -> Iterator[ChromosomeIndex]:
    """Consensus of each chromosome by `"iterative"` (windows of `2 * half_width + 1` bp) or `"union"`.

    Peaks as for :func:`~scatacworks._core.index.index_chromosomes`, each with the length of its chromosome, at which
    windows are cut. Labels are in the order of the peaks given.
    """
    for given, length in chromosomes:
        order, peaks = by_summit(given)
        if method == "iterative":
            winner = _best_windows(peaks.summit, peaks.score, half_width)
        else:
            winner = _unions(peaks.start, peaks.end)
        width = int(peaks.end.max() - peaks.start.min()) + 3  # as wide as all peaks
        rows, score, label = _rows(peaks, winner, rules, make_scratch(n_samples, width, len(order)))
        if method == "iterative":
            best = winner[rows[:, HEAD]]
            rows[:, SUMMIT] = peaks.summit[best]
            rows[:, START] = np.maximum(peaks.summit[best] - half_width, 0)
            rows[:, END] = np.minimum(peaks.summit[best] + half_width + 1, length)
        else:
            first, last = np.full(len(rows), 2**31 - 1, np.int32), np.zeros(len(rows), np.int32)
            np.minimum.at(first, label, peaks.start)
            np.maximum.at(last, label, peaks.end)
            rows[:, START], rows[:, END] = first, last
        place = np.lexsort((rows[:, END], rows[:, START]))
        back = np.empty(len(order), np.int32)
        back[order] = np.argsort(place).astype(np.int32)[label]
        yield ChromosomeIndex({"all": to_elements(rows[place], score[place])}, back, {})
