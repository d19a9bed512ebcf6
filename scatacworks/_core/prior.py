"""What many samples say about each base: stretches with a constant set of samples, weighed by one sample's cut sites.

Rows are samples (or other sets of intervals), each a step function of values in (0, 1]. Between two neighbouring
breakpoints of all rows the set of present rows is constant: a segment.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from scatacworks._numba import njit

TILE_BP = 128  # how finely it is noted where cut sites are
LEAST_GAP_BP = 5_000
GAPS = 50  # times the median distance of occupied tiles: what is empty for longer was not measured


class Segments(NamedTuple):
    """Segments of one chromosome, gaps between elements included.

    Segment `i` is `[bounds[i], bounds[i + 1])` (int64, 0-based); the rows present in it are
    `rows[indptr[i]:indptr[i + 1]]` (int32), with these `values` (float32).
    """

    bounds: np.ndarray
    indptr: np.ndarray
    rows: np.ndarray
    values: np.ndarray


def make_segments(starts: np.ndarray, ends: np.ndarray, rows: np.ndarray, values: np.ndarray, size: int) -> Segments:
    """Divide a chromosome of `size` bp at every start and end of intervals; those of a row must not overlap."""
    position = np.concatenate([starts, ends]).astype(np.int64)
    order = np.argsort(position, kind="stable")
    found = _sweep(
        position, order, np.ascontiguousarray(rows, np.int32), np.ascontiguousarray(values, np.float32), size
    )
    return Segments(*found)


@njit
def _sweep(position: np.ndarray, order: np.ndarray, rows: np.ndarray, values: np.ndarray, size: int) -> tuple:
    """Walk along the sorted starts (first half of `position`) and ends (second half), keeping the open intervals."""
    n = len(rows)
    n_segments, n_entries, n_open, here = 0, 0, 0, 0
    for event in order:
        if position[event] > here:
            n_segments += 1
            n_entries += n_open
            here = position[event]
        n_open += 1 if event < n else -1
    n_segments += here < size
    bounds = np.zeros(n_segments + 1, np.int64)
    indptr = np.zeros(n_segments + 1, np.int64)
    out_rows, out_values = np.empty(n_entries, np.int32), np.empty(n_entries, np.float32)
    is_open, place = np.empty(n, np.int64), np.empty(n, np.int64)
    segment, n_open, at, here = 0, 0, 0, 0
    for event in order:
        if position[event] > here:
            for k in range(n_open):
                out_rows[at], out_values[at] = rows[is_open[k]], values[is_open[k]]
                at += 1
            here = position[event]
            segment += 1
            bounds[segment], indptr[segment] = here, at
        if event < n:
            is_open[n_open], place[event] = event, n_open
            n_open += 1
        else:
            n_open -= 1
            last, gone = is_open[n_open], place[event - n]
            is_open[gone], place[last] = last, gone
    if here < size:
        bounds[n_segments], indptr[n_segments] = size, at
    return bounds, indptr, out_rows, out_values


def site_counts(bounds: np.ndarray, sites: np.ndarray, counts: np.ndarray) -> np.ndarray:
    """Return the cut sites in every segment, from their sorted positions and counts; float64."""
    total = np.concatenate([[0.0], np.cumsum(counts, dtype=np.float64)])
    return np.diff(total[np.searchsorted(sites, bounds)])


def measured_lengths(bounds: np.ndarray, occupied: np.ndarray) -> np.ndarray:
    """Return how many bases of every segment were measured; float64.

    Measured are the stretches between neighbouring occupied tiles of `TILE_BP`, where they are not much further apart
    than most: a file may hold windows of a genome only, and no genome can be measured everywhere.

    Parameters
    ----------
    bounds
        Of the segments.
    occupied
        Whether a tile has a cut site of any group.
    """
    tiles = np.flatnonzero(occupied)
    if len(tiles) < 2:
        return np.zeros(len(bounds) - 1)
    gap = np.diff(tiles) * TILE_BP
    gap = np.where(gap <= max(LEAST_GAP_BP, GAPS * np.median(gap)), gap, 0)
    edges, total = tiles * TILE_BP, np.concatenate([[0], np.cumsum(gap)]).astype(np.float64)
    return np.diff(_walked(bounds, edges, gap, total))


def _walked(bounds: np.ndarray, edges: np.ndarray, gap: np.ndarray, total: np.ndarray) -> np.ndarray:
    """Measured bases before each position."""
    at = np.clip(np.searchsorted(edges, bounds, side="right") - 1, 0, len(gap))
    into = np.clip(bounds - edges[at], 0, None)
    return total[at] + np.minimum(into, np.append(gap, 0)[at])


@njit
def row_exposure(segments: Segments, lengths: np.ndarray, n_rows: int) -> np.ndarray:
    """Return the sum over segments of length times value of every row; float64, `(n_rows,)`."""
    _, indptr, rows, values = segments
    out = np.zeros(n_rows)
    for i in range(len(lengths)):
        for k in range(indptr[i], indptr[i + 1]):
            out[rows[k]] += lengths[i] * values[k]
    return out


@njit
def keep_segments(segments: Segments, kept: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return pointers, rows and values of some segments (by position)."""
    _, indptr, rows, values = segments
    out = np.zeros(len(kept) + 1, np.int64)
    for i in range(len(kept)):
        out[i + 1] = out[i] + indptr[kept[i] + 1] - indptr[kept[i]]
    out_rows, out_values = np.empty(out[-1], np.int32), np.empty(out[-1], np.float32)
    for i in range(len(kept)):
        low, high = indptr[kept[i]], indptr[kept[i] + 1]
        out_rows[out[i] : out[i + 1]] = rows[low:high]
        out_values[out[i] : out[i + 1]] = values[low:high]
    return out, out_rows, out_values


@njit
def match_rows(
    indptr: np.ndarray,
    rows: np.ndarray,
    values: np.ndarray,
    counts: np.ndarray,
    exposure: np.ndarray,
    background: float,
    start: float,
    strength: float = 0.5,
    n_iterations: int = 40,
) -> np.ndarray:
    """Return how strongly each row's elements are cut, in sites per base; float64, `(n_rows,)`.

    The cut sites of a segment are Poisson with the mean `length * (background + sum of weight * value over its rows)`;
    the weights have a Gamma prior with mean `start` and shape `strength`, and are found by expectation maximisation.

    Parameters
    ----------
    indptr, rows, values
        Rows of the segments that hold cut sites.
    counts
        Cut sites of these segments.
    exposure
        Sum over all segments, with and without cut sites, of length times value of every row.
    background
        Cut sites per base where no row is present.
    start
        The weight of every row before the cut sites are seen.
    strength
        How many cut sites this is worth.
    n_iterations
        Steps.
    """
    weights = np.full(len(exposure), start)
    for _ in range(n_iterations):
        share = np.zeros(len(exposure))
        for i in range(len(counts)):
            mean = background
            for k in range(indptr[i], indptr[i + 1]):
                mean += weights[rows[k]] * values[k]
            for k in range(indptr[i], indptr[i + 1]):
                share[rows[k]] += counts[i] / mean * values[k]
        weights = (weights * share + strength) / (exposure + strength / start)
    return weights


@njit
def weighted_sums(indptr: np.ndarray, rows: np.ndarray, values: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """Return the sum of weight times value over the rows of every segment; float64."""
    out = np.zeros(len(indptr) - 1)
    for i in range(len(out)):
        for k in range(indptr[i], indptr[i + 1]):
            out[i] += weights[rows[k]] * values[k]
    return out


@njit
def fill_steps(
    out: np.ndarray,
    first: int,
    bin_size: int,
    tape: np.ndarray,
    start: np.ndarray,
    end: np.ndarray,
    pointer: np.ndarray,
    chrom_index: np.ndarray,
    steps: np.ndarray,
    values: np.ndarray,
) -> None:
    """Write step functions of the genome to the bins (n_channels, n_bins) of a tape from `first` on.

    A bin has the value of its middle base, in genome coordinates. The steps of interval `i` of the tape are
    `steps[pointer[c]:pointer[c + 1]]` with `c = chrom_index[i]`: the first bases of the `values` (n_steps, n_channels),
    the last of which reaches on for ever; before the first step, and where the tape ends, values are zero.
    """
    out[:] = 0
    last = first + out.shape[1] * bin_size
    middle = (bin_size - 1) // 2
    i = max(np.searchsorted(tape, first, side="right") - 1, 0)
    while i < len(tape) and tape[i] < last:
        shift = tape[i] - start[i]  # tape position = genome position + shift
        low, high = max(start[i], first - shift), min(end[i], last - shift)
        p, q = pointer[chrom_index[i]], pointer[chrom_index[i] + 1]
        j = p + np.searchsorted(steps[p:q], low + middle, side="right") - 1
        at, stop = (low + shift - first) // bin_size, (high - middle - 1 + shift - first) // bin_size + 1
        while at < stop:  # the bins of one step
            base = first + at * bin_size + middle - shift
            while j + 1 < q and steps[j + 1] <= base:
                j += 1
            until = stop if j + 1 == q else min(stop, at + (steps[j + 1] - base - 1) // bin_size + 1)
            if j >= p:
                for channel in range(len(out)):
                    out[channel, at:until] = values[j, channel]
            at = until
        i += 1
