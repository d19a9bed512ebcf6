"""Bins to bases: linear interpolation, rounding and run-length encoding in one pass."""

from __future__ import annotations

import numpy as np

from scatacworks._numba import njit

SIGNAL, LOGIT = 0, 1  # how values are rounded to whole levels

KNEE, COARSE = -3.5, 10.0  # log odds below which steps are wider, and how many times

# Signals are rounded on a square-root scale (equal steps of a count's standard deviation). Log odds are rounded to the
# middles of steps, so that no rounding crosses zero and calls at a probability of 0.5 are those of the unrounded track;
# steps are wider in the background (probabilities below 0.03), where most bases lie and little is decided.


@njit
def level(value: float, kind: int, inverse_step: float, limit: int) -> int:
    """Return the whole number that a value is stored as."""
    if kind == SIGNAL:
        return min(int(np.sqrt(max(value, 0.0)) * inverse_step + 0.5), limit)
    bounded = max(min(value, limit / inverse_step), -limit / inverse_step)
    if bounded < KNEE:
        bounded = KNEE + (bounded - KNEE) / COARSE
    return int(np.floor(bounded * inverse_step))


def decode(levels: np.ndarray, kind: int, step: float, scale: float = 1.0, out: np.ndarray | None = None) -> np.ndarray:
    """Return the float32 values (signal times `scale`, or probability) of levels, in `out` (flat) if it is given."""
    levels = np.asarray(levels)
    if out is None:
        out = np.empty(levels.shape, np.float32)
    if levels.size:
        low = int(levels.min())
        table = _decoded(np.arange(low, int(levels.max()) + 1, dtype=np.float64), kind, step, scale)
        _look_up(levels.ravel(), low, table, out.reshape(-1))
    return out


def _decoded(levels: np.ndarray, kind: int, step: float, scale: float) -> np.ndarray:
    """Values of levels, float32."""
    if kind == SIGNAL:
        return ((levels * step) ** 2 * scale).astype(np.float32)
    middle = (levels + 0.5) * step
    odds = np.where(middle < KNEE, KNEE + (middle - KNEE) * COARSE, middle)
    return (1 / (1 + np.exp(-odds))).astype(np.float32)


@njit
def _look_up(levels: np.ndarray, low: int, table: np.ndarray, out: np.ndarray) -> None:
    for i in range(len(levels)):
        out[i] = table[levels[i] - low]


@njit
def _layout(n_bins: int, bin_size: int, first: int) -> tuple[int, float, int]:
    """Bases from the last centre before the core to its first base, where centres lie in a base, and the core's end."""
    margin = 1 if bin_size > 1 else 0
    half = (bin_size + 1) // 2 if margin else 0
    return half, 0.5 if bin_size % 2 == 0 else 0.0, first + (n_bins - 2 * margin) * bin_size


@njit
def _between(bins: np.ndarray, bin_size: int, offset: int) -> tuple[float, float, int]:
    """Values at the centres on either side of a base, and how many bases there are from it to the next centre."""
    left = offset // bin_size
    right = left if bin_size == 1 else left + 1
    return bins[left], bins[right], bin_size - offset % bin_size


@njit
def encode_window(
    bins: np.ndarray,
    bin_size: int,
    first: int,
    tape: np.ndarray,
    start: np.ndarray,
    low: np.ndarray,
    high: np.ndarray,
    kind: int,
    step: float,
    limit: int,
    fill: int,
    out_interval: np.ndarray,
    out_starts: np.ndarray,
    out_lengths: np.ndarray,
    out_levels: np.ndarray,
) -> int:
    """Write the runs of one window whose core begins at `first` on the tape; returns how many.

    `bins` are values at bin centres, with one bin more on either side where `bin_size > 1`. Base `r` of a bin lies
    between its centre and the neighbour's on that side. Runs that equal `fill` are left out. The out arrays must hold
    one element per base of the core.
    """
    half, centered, last = _layout(len(bins), bin_size, first)
    inverse_step = 1.0 / step
    n = 0
    i = max(np.searchsorted(tape, first, side="right") - 1, 0)
    while i < len(tape) and tape[i] < last:
        shift = tape[i] - start[i]
        base, stop = max(low[i], first - shift), min(high[i], last - shift)
        previous = fill
        while base < stop:
            offset = base + shift - first + half
            a, b, room = _between(bins, bin_size, offset)
            stretch = min(stop - base, room)
            level_a, level_b = level(a, kind, inverse_step, limit), level(b, kind, inverse_step, limit)
            same = level_a == level_b
            slope = (b - a) / bin_size
            within = offset % bin_size + centered
            for k in range(1 if same else stretch):
                here = level_a if same else level(a + slope * (within + k), kind, inverse_step, limit)
                length = stretch if same else 1
                if here != fill:
                    if here == previous:
                        out_lengths[n - 1] += length
                    else:
                        out_interval[n], out_starts[n] = i, base + k
                        out_lengths[n], out_levels[n] = length, here
                        n += 1
                previous = here
            base += stretch
        i += 1
    return n


@njit
def expand_window(
    bins: np.ndarray,
    bin_size: int,
    first: int,
    tape: np.ndarray,
    start: np.ndarray,
    low: np.ndarray,
    high: np.ndarray,
    step: float,
    limit: int,
    out: np.ndarray,
) -> int:
    """Write the rounded signal of every wanted base of one window, as :func:`encode_window` finds it; how many."""
    half, centered, last = _layout(len(bins), bin_size, first)
    inverse_step = 1.0 / step
    n = 0
    i = max(np.searchsorted(tape, first, side="right") - 1, 0)
    while i < len(tape) and tape[i] < last:
        shift = tape[i] - start[i]
        base, stop = max(low[i], first - shift), min(high[i], last - shift)
        while base < stop:
            offset = base + shift - first + half
            a, b, room = _between(bins, bin_size, offset)
            stretch = min(stop - base, room)
            level_a, level_b = level(a, SIGNAL, inverse_step, limit), level(b, SIGNAL, inverse_step, limit)
            if level_a == level_b:
                out[n : n + stretch] = (level_a * step) ** 2
            else:
                slope = (b - a) / bin_size
                within = offset % bin_size + centered
                for k in range(stretch):
                    out[n + k] = (level(a + slope * (within + k), SIGNAL, inverse_step, limit) * step) ** 2
            n += stretch
            base += stretch
        i += 1
    return n


@njit
def join_runs(starts: np.ndarray, lengths: np.ndarray, levels: np.ndarray) -> int:
    """Join, in place, touching runs of equal level; returns how many remain."""
    n = 0
    for i in range(len(starts)):
        if n and levels[i] == levels[n - 1] and starts[n - 1] + lengths[n - 1] == starts[i]:
            lengths[n - 1] += lengths[i]
        else:
            starts[n], lengths[n], levels[n] = starts[i], lengths[i], levels[i]
            n += 1
    return n


@njit
def fill_gaps(
    starts: np.ndarray, lengths: np.ndarray, levels: np.ndarray, regions: np.ndarray, fill: int
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Give the bases of `regions` (n, 2) that no run covers runs of `fill`; the runs must lie inside the regions."""
    capacity = 2 * len(starts) + len(regions)
    out_starts, out_lengths = np.empty(capacity, np.int32), np.empty(capacity, np.int32)
    out_levels = np.empty(capacity, levels.dtype)
    n, i = 0, 0
    for region in range(len(regions)):
        cursor, end = regions[region, 0], regions[region, 1]
        while cursor < end:
            at_run = i < len(starts) and starts[i] == cursor
            stop = end if i == len(starts) or starts[i] >= end else starts[i]
            out_starts[n] = cursor
            out_lengths[n] = lengths[i] if at_run else stop - cursor
            out_levels[n] = levels[i] if at_run else fill
            cursor += out_lengths[n]
            n += 1
            i += at_run
    return out_starts[:n].copy(), out_lengths[:n].copy(), out_levels[:n].copy()
