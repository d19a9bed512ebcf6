"""One element from a set of peaks, and the cut points of a deep clump of summits.

The statements are those of the published index (Meuleman et al. 2020, methods "DHS index"); all comparisons are made on
integer sums, so that no rounding depends on the order of the peaks.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from scatacworks._numba import njit

# columns of a row, the int32 record of one element
START, END, SUMMIT, CORE_START, CORE_END, N_SAMPLES, N_PEAKS, HEAD, LOW, HIGH, ALIVE = range(11)
N_FIELDS = 11


class Peaks(NamedTuple):
    """Peaks of one chromosome sorted by summit, of one base at least; `score` is float64, the rest are integers."""

    start: np.ndarray
    end: np.ndarray
    summit: np.ndarray
    sample: np.ndarray
    score: np.ndarray


class Rules(NamedTuple):
    """Numbers that define an index; `closed` is 1 where a peak's end is counted as one of its bases."""

    clump_gap: int = 20
    window: int = 20
    core_low: float = 0.025
    core_high: float = 0.975
    min_multi_samples: int = 10
    closed: int = 1


class Scratch(NamedTuple):
    """Working memory of one thread."""

    stamp: np.ndarray  # int64 (n_samples + 1,): last visit of a sample; the last entry is the visit counter
    best: np.ndarray  # float64 (n_samples,)
    times: np.ndarray  # int32 (n_samples,)
    touched: np.ndarray  # int32 (n_samples,)
    pile: np.ndarray  # int32 (widest island + 2,)
    summits: np.ndarray  # int32 (largest island,)


@njit
def make_scratch(n_samples: int, widest: int, largest: int) -> Scratch:
    """Return working memory for islands of so many bp and peaks."""
    return Scratch(
        np.zeros(n_samples + 1, np.int64),
        np.empty(n_samples, np.float64),
        np.empty(n_samples, np.int32),
        np.empty(n_samples, np.int32),
        np.empty(widest, np.int32),
        np.empty(largest, np.int32),
    )


@njit
def _pile_up(peaks: Peaks, following: np.ndarray, row: np.ndarray, closed: int, pile: np.ndarray) -> None:
    """Write start and end of a row: the outermost bases beside the top whose pile-up is closest to half its maximum."""
    low, size = row[LOW], row[HIGH] - row[LOW] + 1
    pile[: size + 1] = 0
    peak = row[HEAD]
    while peak >= 0:
        pile[peaks.start[peak] - low] += 1
        pile[peaks.end[peak] + closed - low] -= 1
        peak = following[peak]
    highest, ties = 0, 0
    for at in range(size):
        if at > 0:
            pile[at] += pile[at - 1]
        if pile[at] > highest:
            highest, ties = pile[at], 0
        if pile[at] == highest:
            ties += 1
    top, seen = 0, 0
    for at in range(size):
        if pile[at] == highest:
            seen += 1
            if seen == (ties + 1) // 2:
                top = at
                break
    left, nearest = top, abs(2 * pile[top] - highest) + 1
    for at in range(top + 1):
        if abs(2 * pile[at] - highest) < nearest:
            left, nearest = at, abs(2 * pile[at] - highest)
    right, nearest = top, abs(2 * pile[top] - highest) + 1
    for at in range(size - 1, top - 1, -1):
        if abs(2 * pile[at] - highest) < nearest:
            right, nearest = at, abs(2 * pile[at] - highest)
    row[START] = low + left
    row[END] = low + right + 1 - closed


@njit
def _total_score(peaks: Peaks, following: np.ndarray, head: int, scratch: Scratch) -> tuple[float, int]:
    """Sum over samples of the sample's highest score, and the number of samples; the sum carries its rounding error."""
    stamp, best, touched = scratch.stamp, scratch.best, scratch.touched
    stamp[-1] += 1
    visit, n_samples = stamp[-1], 0
    peak = head
    while peak >= 0:
        sample = peaks.sample[peak]
        if stamp[sample] != visit:
            stamp[sample] = visit
            best[sample] = peaks.score[peak]
            touched[n_samples] = sample
            n_samples += 1
        elif peaks.score[peak] > best[sample]:
            best[sample] = peaks.score[peak]
        peak = following[peak]
    total, rest = 0.0, 0.0
    for at in range(n_samples):
        value = best[touched[at]]
        summed = total + value
        back = summed - total
        rest += (total - (summed - back)) + (value - back)
        total = summed
    return total + rest, n_samples


@njit
def _quantile(values: np.ndarray, n: int, probability: float) -> float:
    """Quantile of sorted values, linear between order statistics (type 7)."""
    index = 1 + (n - 1) * probability
    low = int(np.floor(index))
    rest = index - low
    if rest > 0 and low < n and values[low] != values[low - 1]:
        return (1 - rest) * values[low - 1] + rest * values[low]
    return float(values[low - 1])


@njit
def delineate(peaks: Peaks, following: np.ndarray, row: np.ndarray, rules: Rules, scratch: Scratch) -> float:
    """Fill a row from the peaks of its list (from `row[HEAD]` along `following`) and return its score."""
    n, low, high = 0, peaks.start[row[HEAD]], 0
    peak = row[HEAD]
    while peak >= 0:
        scratch.summits[n] = peaks.summit[peak]
        low = min(low, peaks.start[peak])
        high = max(high, peaks.end[peak] - 1 + rules.closed)
        n += 1
        peak = following[peak]
    row[LOW], row[HIGH], row[N_PEAKS] = low, high, n
    if n == 1:
        row[START], row[END] = low, high + 1 - rules.closed
    else:
        _pile_up(peaks, following, row, rules.closed, scratch.pile)
    score, row[N_SAMPLES] = _total_score(peaks, following, row[HEAD], scratch)
    middle = (scratch.summits[(n - 1) // 2] + scratch.summits[n // 2]) / 2
    row[SUMMIT] = np.int32(np.rint(middle))
    row[CORE_START] = np.int32(np.rint(_quantile(scratch.summits, n, rules.core_low)))
    row[CORE_END] = np.int32(np.rint(_quantile(scratch.summits, n, rules.core_high)))
    if row[SUMMIT] < row[START] or row[SUMMIT] > row[END] - 1 + rules.closed:
        row[SUMMIT] = np.int32(np.rint((row[START] + row[END] - 1 + rules.closed) / 2))
        row[CORE_START] = row[CORE_END] = -1
    row[ALIVE] = 1
    return score


@njit
def _window_sums(summit: np.ndarray, n: int, window: int) -> np.ndarray:
    """Number of summits in the window around each of the `n` positions of a clump; the edges repeat their neighbour."""
    below = np.cumsum(np.bincount(summit - summit[0] + 1))
    half = window // 2
    sums = np.empty(n + 1, np.int32)  # position p of the text is sums[p]; sums[0] is not used
    for at in range(1, n + 1):
        center = min(max(at, half), n - half)
        sums[at] = below[center + half] - below[center - half]
    return sums


@njit
def cut_points(summit: np.ndarray, window: int) -> np.ndarray:
    """Positions 0 = c_0 < ... < c_m = range that split a clump of sorted summits into segments (c_i, c_i+1].

    Position 1 is the first summit. A clump is split only where 20 summits or more fall into some window; the cut is the
    middle one of the lowest positions of each stretch between crossings of the median.
    """
    n = summit[-1] - summit[0] + 1
    single = np.array([0, n], np.int64)
    if n < window or len(summit) < window:
        return single
    sums = _window_sums(summit, n, window)
    if sums[1:].max() < window:
        return single
    twice = 2 * np.median(sums[1:])  # a whole number, of which no rounding is left
    cuts = [0]
    before = 0
    for at in range(1, n + 1):
        if at == n or (2 * sums[at] < twice) != (2 * sums[at + 1] < twice):
            if at == n and before == 0:
                return single
            stretch = sums[max(before, 1) : at + 1]
            lowest = np.flatnonzero(stretch == stretch.min())
            middle = lowest[(len(lowest) - 1) // 2]
            if 0 < middle < n - before:
                cuts.append(before + middle)
            before = at
    return _without_faint_ends(np.array([*cuts, n], dtype=np.int64), sums)


@njit
def _without_faint_ends(cuts: np.ndarray, sums: np.ndarray) -> np.ndarray:
    """Drop the first and the last inner cut where less than 1 % of the summed track lies up to, or from, it."""
    total = sums[1:].astype(np.int64).sum()
    first, last = 1, len(cuts) - 1  # inner cuts are cuts[first:last]
    if last > first and 100 * sums[1 : cuts[first] + 1].astype(np.int64).sum() < total:
        first += 1
    if last > first and 100 * sums[cuts[last - 1] :].astype(np.int64).sum() < total:
        last -= 1
    return np.concatenate((cuts[:1], cuts[first:last], cuts[-1:]))
