"""Peaks of a step function or a dense track: cutoff, minimum length and maximum gap, in one pass."""

from __future__ import annotations

import numpy as np

from scatacworks._numba import njit

_NO_PEAK = -1
_BLOCK = 64


@njit
def call_runs(
    starts: np.ndarray,
    lengths: np.ndarray,
    values: np.ndarray,
    fill: float,
    size: int,
    cutoff: float,
    min_length: int,
    max_gap: int,
) -> tuple[np.ndarray, np.ndarray]:
    """Return starts and ends (int64) of the peaks of a step function on `[0, size)`.

    Stretches of at least `cutoff` that lie at most `max_gap` bases apart are joined; what is then at least
    `min_length` bases long is a peak. Bases without a run have the value `fill`.
    """
    n = len(starts)
    peak_starts, peak_ends = np.empty(n + 1, np.int64), np.empty(n + 1, np.int64)
    n_peaks, left, right, cursor = 0, _NO_PEAK, _NO_PEAK, 0
    for i in range(n + 1):
        start = starts[i] if i < n else size
        end = size if i == n else start + lengths[i]
        # the uncovered stretch before this run, then the run itself
        for part in range(2):
            low, high = (cursor, start) if part == 0 else (start, end)
            value = fill if part == 0 or i == n else values[i]
            if high <= low or not value >= cutoff:
                continue
            if left != _NO_PEAK and low - right <= max_gap:
                right = high
                continue
            if left != _NO_PEAK and right - left >= min_length:
                peak_starts[n_peaks], peak_ends[n_peaks] = left, right
                n_peaks += 1
            left, right = low, high
        cursor = end
    if left != _NO_PEAK and right - left >= min_length:
        peak_starts[n_peaks], peak_ends[n_peaks] = left, right
        n_peaks += 1
    return peak_starts[:n_peaks].copy(), peak_ends[:n_peaks].copy()


@njit
def weigh_runs(
    lengths: np.ndarray, values: np.ndarray, fill: float, size: int, edges: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Return the bases (int64) of a step function between ascending edges, and the sum of their values (float64).

    The first entry is what lies below all edges, the last what is at least the highest. NaN counts nowhere.
    """
    bases, sums = np.zeros(len(edges) + 1, np.int64), np.zeros(len(edges) + 1, np.float64)
    uncovered = size
    for i in range(len(values) + 1):
        length = lengths[i] if i < len(values) else uncovered
        value = values[i] if i < len(values) else fill
        uncovered -= length
        if not np.isnan(value):
            k = np.searchsorted(edges, value, side="right")
            bases[k] += length
            sums[k] += value * length
    return bases, sums


def expected_f1(bases: np.ndarray, sums: np.ndarray) -> np.ndarray:
    """Return the F1 to be expected of all bases from each edge of :func:`weigh_runs` on; float64.

    Values are taken for probabilities: of the called bases their sum is right, and of all bases the sum of all is to
    be found.
    """
    called, right = (np.cumsum(part[::-1])[::-1][1:] for part in (bases, sums))
    return 2 * right / np.maximum(called + sums.sum(), np.finfo(float).tiny)


@njit
def summarize_runs(
    starts: np.ndarray,
    lengths: np.ndarray,
    values: np.ndarray,
    fill: float,
    peak_starts: np.ndarray,
    peak_ends: np.ndarray,
) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Return summit (absolute base, int64), mean and maximum of a step function in each of the sorted peaks.

    The summit is the middle of the highest stretch; of several equally high ones, the middle one's. NaN, which a gap
    within a peak may hold, counts nowhere: last comes the number of the other bases (int64).
    """
    n_peaks, n = len(peak_starts), len(starts)
    summit = np.empty(n_peaks, np.int64)
    mean, highest = np.empty(n_peaks, np.float64), np.empty(n_peaks, np.float64)
    n_known = np.empty(n_peaks, np.int64)
    first = 0
    for p in range(n_peaks):
        low, high = peak_starts[p], peak_ends[p]
        while first < n and starts[first] + lengths[first] <= low:
            first += 1
        best, n_best, total, n_known[p] = _scan(starts, lengths, values, fill, low, high, first)
        mean[p], highest[p] = total / n_known[p] if n_known[p] else np.nan, best
        summit[p] = _nth_best(starts, lengths, values, fill, low, high, first, best, (n_best + 1) // 2)
    return summit, mean, highest, n_known


@njit
def _piece(
    starts: np.ndarray, lengths: np.ndarray, values: np.ndarray, fill: float, cursor: int, high: int, i: int
) -> tuple[int, float, int]:
    """Return the end and value of the constant piece that begins at `cursor`, and the run to look at next."""
    if i >= len(starts) or starts[i] >= high:
        return high, fill, i
    if starts[i] > cursor:
        return int(starts[i]), fill, i
    end = starts[i] + lengths[i]
    return min(int(end), high), float(values[i]), i + 1


@njit
def _scan(
    starts: np.ndarray, lengths: np.ndarray, values: np.ndarray, fill: float, low: int, high: int, first: int
) -> tuple[float, int, float, int]:
    """Maximum, how many pieces reach it, sum and number of the bases of `[low, high)` that are not NaN."""
    best, n_best, total, n_known, cursor, i = -np.inf, 0, 0.0, 0, low, first
    while cursor < high:
        end, value, i = _piece(starts, lengths, values, fill, cursor, high, i)
        if not np.isnan(value):
            total += value * (end - cursor)
            n_known += end - cursor
        if value > best:
            best, n_best = value, 1
        elif value == best:
            n_best += 1
        cursor = end
    return best, n_best, total, n_known


@njit
def _nth_best(
    starts: np.ndarray,
    lengths: np.ndarray,
    values: np.ndarray,
    fill: float,
    low: int,
    high: int,
    first: int,
    best: float,
    wanted: int,
) -> int:
    """Middle of the `wanted`-th piece that reaches the maximum."""
    cursor, i = low, first
    while cursor < high:
        end, value, i = _piece(starts, lengths, values, fill, cursor, high, i)
        if value == best:
            wanted -= 1
            if wanted == 0:
                return (cursor + end) // 2
        cursor = end
    return (low + high) // 2


@njit
def _next_above(track: np.ndarray, i: int, cutoff: float) -> int:
    """First base from `i` on of at least `cutoff`, or the length; whole blocks are looked at together."""
    n = len(track)
    while i + _BLOCK <= n:
        hits = 0
        for j in range(_BLOCK):
            hits += track[i + j] >= cutoff
        if hits:
            break
        i += _BLOCK
    while i < n and not track[i] >= cutoff:
        i += 1
    return i


@njit
def call_dense(track: np.ndarray, cutoff: float, min_length: int, max_gap: int) -> tuple[np.ndarray, np.ndarray]:
    """Return starts and ends (int64) of the peaks of a dense track, as :func:`call_runs`."""
    capacity = 1024
    bounds = np.empty((capacity, 2), np.int64)
    n, n_peaks, i = len(track), 0, 0
    left, right = _NO_PEAK, _NO_PEAK
    while True:
        i = _next_above(track, i, cutoff)
        at_end = i >= n
        if left != _NO_PEAK and (at_end or i - right > max_gap):
            if right - left >= min_length:
                if n_peaks == capacity:
                    capacity *= 2
                    grown = np.empty((capacity, 2), np.int64)
                    grown[:n_peaks] = bounds
                    bounds = grown
                bounds[n_peaks, 0], bounds[n_peaks, 1] = left, right
                n_peaks += 1
            left = _NO_PEAK
        if at_end:
            break
        left = i if left == _NO_PEAK else left
        while i < n and track[i] >= cutoff:
            i += 1
        right = i
    return bounds[:n_peaks, 0].copy(), bounds[:n_peaks, 1].copy()
