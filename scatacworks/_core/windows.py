"""Active windows: only what has a cut site within a model's reach is computed, packed without gaps onto tapes.

A *tape* is the concatenation of genome intervals. Every interval reaches at least a model's halo beyond its outermost
cut sites, or beyond what is wanted of it, so neighbours on the tape see exactly the zeros they would see in the genome,
and tapes can be cut into windows of any length without regard to intervals or chromosomes.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from scatacworks._core.spans import intersect
from scatacworks._numba import njit


class Tape(NamedTuple):
    """Genome intervals laid end to end; all arrays int64, one element per interval, in genome order.

    Bases of interval `i` are `[start[i], end[i])` of chromosome `chrom[i]`, which may reach over its ends, and begin at
    `tape[i]` of the tape; results are wanted for `[low[i], high[i])`.
    """

    chrom: np.ndarray
    start: np.ndarray
    end: np.ndarray
    low: np.ndarray
    high: np.ndarray
    tape: np.ndarray

    @property
    def length(self) -> int:
        """Length in bp."""
        return int(self.tape[-1] + self.end[-1] - self.start[-1]) if len(self.tape) else 0


def make_tape(pieces: list[tuple[int, np.ndarray]]) -> Tape:
    """Lay intervals out; `pieces` holds (chromosome code, (n, 4) array of start, end, low, high)."""
    kept = [(chrom, intervals) for chrom, intervals in pieces if len(intervals)]
    rows = np.concatenate([intervals for _, intervals in kept]) if kept else np.empty((0, 4), np.int64)
    chrom = np.repeat([chrom for chrom, _ in kept], [len(intervals) for _, intervals in kept]).astype(np.int64)
    start, end, low, high = (np.ascontiguousarray(column) for column in rows.T)
    tape = np.cumsum(end - start) - (end - start)
    return Tape(chrom, start, end, low, high, tape)


def active_intervals(
    sites: np.ndarray, size: int, halo: int, stride: int, *, regions: np.ndarray | None = None, skip: bool = True
) -> np.ndarray:
    """Return the intervals to compute on one chromosome, (n, 4) int64: start, end, low, high.

    Parameters
    ----------
    sites
        Sorted cut sites, bp.
    size
        Length of the chromosome.
    halo, stride
        Reach of the model in bp and the grid of interval ends (a halo is a multiple of the stride).
    regions
        Sorted, disjoint intervals (n, 2) to which results are limited; all bases if `None`.
    skip
        Leave out what no cut site can reach.
    """
    if skip:
        blocks = _reached(np.asarray(sites, np.int64), halo, stride)
    else:
        blocks = np.array([[-halo, -(-size // stride) * stride + halo]], np.int64)
    if regions is None:
        return np.column_stack([blocks, np.maximum(blocks[:, 0], 0), np.minimum(blocks[:, 1], size)])
    wanted = intersect(blocks, np.asarray(regions, np.int64))
    return _with_halo(wanted, blocks, halo, stride)


@njit
def _reached(sites: np.ndarray, halo: int, stride: int) -> np.ndarray:
    """Merge the stride-aligned blocks whose output a cut site can change."""
    out = np.empty((len(sites), 2), np.int64)
    n = 0
    for site in sites:
        start = (site - halo) // stride * stride
        end = ((site + halo) // stride + 1) * stride
        if n and start <= out[n - 1, 1]:
            out[n - 1, 1] = max(end, out[n - 1, 1])
        else:
            out[n, 0], out[n, 1] = start, end
            n += 1
    return out[:n].copy()


def _with_halo(wanted: np.ndarray, blocks: np.ndarray, halo: int, stride: int) -> np.ndarray:
    """Give wanted intervals their context on the grid, so that nothing on the tape reaches them from outside."""
    low, high = wanted[:, 0] // stride * stride, -(-wanted[:, 1] // stride) * stride
    start, end = low - halo, high + halo
    before, after, gap = slice(None, -1), slice(1, None), low[1:] - high[:-1]
    # between two that end where their blocks do, no cut site is within the halo of either: they need no context
    free = np.isin(wanted[before, 1], blocks[:, 1]) & np.isin(wanted[after, 0], blocks[:, 0])
    end[before][free], start[after][free] = high[before][free], low[after][free]
    # two that are near share theirs: the tape goes on from one to the other as the genome does
    near = ~free & (gap >= 0) & (gap < 2 * halo)
    end[before][near] = start[after][near] = high[before][near]
    return np.column_stack([start, end, wanted])


def window_starts(tape: Tape, core: int) -> np.ndarray:
    """Tape positions of the windows (core of `core` bp) that hold wanted bases; int64."""
    if not tape.length:
        return np.empty(0, np.int64)
    n = -(-tape.length // core)
    change = np.zeros(n + 1, np.int64)
    np.add.at(change, (tape.tape + tape.low - tape.start) // core, 1)
    np.add.at(change, (tape.tape + tape.high - tape.start - 1) // core + 1, -1)
    return np.flatnonzero(np.cumsum(change)[:n] > 0) * core


@njit
def list_sites(
    first: int,
    n_bins: int,
    bin_size: int,
    tape: np.ndarray,
    start: np.ndarray,
    end: np.ndarray,
    site_pointer: np.ndarray,
    chrom_index: np.ndarray,
    sites: np.ndarray,
    counts: np.ndarray,
) -> tuple[np.ndarray, np.ndarray]:
    """Return bins (int64) and counts (float32) of the cut sites in `n_bins` bins of the tape from `first` on.

    The sites of interval `i` are among `sites[site_pointer[c]:site_pointer[c + 1]]` with `c = chrom_index[i]`, sorted.
    """
    last = first + n_bins * bin_size
    begin = max(np.searchsorted(tape, first, side="right") - 1, 0)
    n, i = 0, begin
    while i < len(tape) and tape[i] < last:
        shift = tape[i] - start[i]  # tape position = genome position + shift
        low, high = max(start[i], first - shift), min(end[i], last - shift)
        own = sites[site_pointer[chrom_index[i]] : site_pointer[chrom_index[i] + 1]]
        n += max(np.searchsorted(own, high) - np.searchsorted(own, low), 0)
        i += 1
    bins, values = np.empty(n, np.int64), np.empty(n, np.float32)
    n, i = 0, begin
    while i < len(tape) and tape[i] < last:
        shift = tape[i] - start[i]
        low, high = max(start[i], first - shift), min(end[i], last - shift)
        p, q = site_pointer[chrom_index[i]], site_pointer[chrom_index[i] + 1]
        j = p + np.searchsorted(sites[p:q], low)
        while j < q and sites[j] < high:
            bins[n], values[n] = (sites[j] + shift - first) // bin_size, counts[j]
            n += 1
            j += 1
        i += 1
    return bins, values


@njit
def fill_counts(
    out: np.ndarray,
    first: int,
    bin_size: int,
    tape: np.ndarray,
    start: np.ndarray,
    end: np.ndarray,
    site_pointer: np.ndarray,
    chrom_index: np.ndarray,
    sites: np.ndarray,
    counts: np.ndarray,
) -> None:
    """Write the cut sites per bin of the tape from `first` on to `out` (n_bins,), zero where the tape ends."""
    out[:] = 0
    bins, values = list_sites(first, len(out), bin_size, tape, start, end, site_pointer, chrom_index, sites, counts)
    for i in range(len(bins)):
        out[bins[i]] += values[i]


@njit
def list_stretches(
    first: int, core: int, tape: np.ndarray, start: np.ndarray, low: np.ndarray, high: np.ndarray
) -> np.ndarray:
    """Return the wanted bases of a window whose core begins at `first` on the tape, (n, 4) int64.

    Columns are where a stretch begins and ends in the core, its first base in the genome, and its interval.
    """
    last = first + core
    begin = max(np.searchsorted(tape, first, side="right") - 1, 0)
    out = np.empty((max(np.searchsorted(tape, last) - begin, 0), 4), np.int64)
    n = 0
    for i in range(begin, begin + len(out)):
        shift = tape[i] - start[i]
        base, stop = max(low[i], first - shift), min(high[i], last - shift)
        if base < stop:
            out[n, 0], out[n, 1], out[n, 2], out[n, 3] = base + shift - first, stop + shift - first, base, i
            n += 1
    return out[:n].copy()
