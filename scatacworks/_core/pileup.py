"""Cut sites of fragments, per group of cells, and their coverage; one chromosome at a time."""

from __future__ import annotations

import numpy as np

from scatacworks._core import pages
from scatacworks._numba import njit

CONVENTIONS: dict[str, tuple[int, int]] = {"10x": (0, -1), "atacworks": (1, 1)}
"""What is added to a fragment's start and end to reach its two cut sites, in bp.

`"10x"`: first and last base of the fragment `[start, end)`, right for all files that are already shifted for Tn5.
`"atacworks"`: the positions on which the published AtacWorks models were trained.
"""


def sorted_cut_sites(
    start: np.ndarray, end: np.ndarray, cell: np.ndarray, *, shifts: tuple[int, int], length: int
) -> np.ndarray:
    """Return both cut sites of every fragment as keys `position << 32 | cell`; int64, `(2 * n_fragments,)`.

    They are sorted by position; the order of cells at one position is left open. Sites that a convention puts beyond
    the last base are counted on it, so that none is lost.
    """
    keys = pages.empty(2 * len(start), np.int64)
    _fill_keys(start, end, cell, shifts[0], shifts[1], length - 1, keys)
    keys.sort()
    return keys


@njit
def _fill_keys(
    start: np.ndarray, end: np.ndarray, cell: np.ndarray, shift_start: int, shift_end: int, last: int, keys: np.ndarray
) -> None:
    n = len(start)
    for i in range(n):
        keys[i] = np.int64(min(start[i] + shift_start, last)) << 32 | cell[i]
        keys[n + i] = np.int64(min(end[i] + shift_end, last)) << 32 | cell[i]


@njit
def _sites_per_group(keys: np.ndarray, indptr: np.ndarray, indices: np.ndarray, n_groups: int) -> np.ndarray:
    """Return how many cut sites every group has; int64, `(n_groups,)`."""
    n_sites = np.zeros(n_groups, np.int64)
    if len(keys) < len(indptr):  # on a short chromosome most cells have nothing
        for key in keys:
            cell = key & 0xFFFFFFFF
            for k in range(indptr[cell], indptr[cell + 1]):
                n_sites[indices[k]] += 1
        return n_sites
    per_cell = np.zeros(len(indptr) - 1, np.int64)
    for key in keys:
        per_cell[key & 0xFFFFFFFF] += 1
    for cell in range(len(per_cell)):
        for k in range(indptr[cell], indptr[cell + 1]):
            n_sites[indices[k]] += per_cell[cell]
    return n_sites


@njit
def _distribute(
    keys: np.ndarray, indptr: np.ndarray, indices: np.ndarray, first: np.ndarray, starts: np.ndarray, counts: np.ndarray
) -> tuple[np.ndarray, bool]:
    """Hand every cut site to the groups of its cell; those of a group begin at its `first`.

    The sites arrive in order of position, so each group's list is sorted as it grows and a repeated position is the
    list's last element. The cost is one step per site and membership, whatever the number of groups.

    Returns
    -------
    Where each group's list ends, and whether a count was larger than `counts` holds.
    """
    last, overflows = first.copy(), False
    for key in keys:
        position = np.int32(key >> 32)
        cell = key & 0xFFFFFFFF
        for k in range(indptr[cell], indptr[cell + 1]):
            group = indices[k]
            at = last[group]
            if at > first[group] and starts[at - 1] == position:
                counts[at - 1] += 1
                overflows |= counts[at - 1] == 0
            else:
                starts[at] = position
                counts[at] = 1
                last[group] = at + 1
    return last, overflows


def group_cut_sites(
    keys: np.ndarray, indptr: np.ndarray, indices: np.ndarray, n_groups: int
) -> list[tuple[np.ndarray, None, np.ndarray]]:
    """Return the cut sites of every group on one chromosome.

    Parameters
    ----------
    keys
        Sorted cut sites of :func:`sorted_cut_sites`.
    indptr, indices
        Groups of every cell (CSR, cells x groups); a cell may be in many groups or in none.
    n_groups
        Number of groups.

    Returns
    -------
    One `(starts, None, counts)` per group: positions with a cut site (int32, sorted, unique), and how many there are
    (uint16, or uint32 where that does not hold them).
    """
    n_sites = _sites_per_group(keys, indptr, indices, n_groups)
    first = np.cumsum(n_sites) - n_sites
    starts = pages.empty(n_sites.sum(), np.int32)  # at most so many positions; what is not used takes no memory
    counts = pages.empty(n_sites.sum(), np.uint16)
    last, overflows = _distribute(keys, indptr, indices, first, starts, counts)
    if overflows:
        counts = counts.astype(np.uint32)
        _distribute(keys, indptr, indices, first, starts, counts)
    return [(starts[low:high], None, counts[low:high]) for low, high in zip(first, last, strict=True)]


def box_coverage(starts: np.ndarray, counts: np.ndarray, start: int, end: int, extend: int) -> np.ndarray:
    """Return how many cut sites lie within `extend` bases of each base of `[start, end)`; float32.

    Parameters
    ----------
    starts, counts
        Sorted positions and counts of the cut sites; those farther than `extend` from the window change nothing.
    start, end
        The window, in bp; it must lie within the chromosome.
    extend
        Bases covered to both sides of a cut site: a box of `2 * extend + 1` bp.
    """
    change = np.zeros(end - start + 1, np.float64 if counts.dtype.kind == "f" else np.int64)  # counts may be scaled
    return _box_coverage(starts, counts, start, end, extend, change)


@njit
def _box_coverage(
    starts: np.ndarray, counts: np.ndarray, start: int, end: int, extend: int, change: np.ndarray
) -> np.ndarray:
    for i in range(len(starts)):
        left, right = starts[i] - extend, starts[i] + extend + 1
        if right > start and left < end:
            change[max(left, start) - start] += counts[i]
            change[min(right, end) - start] -= counts[i]
    out = np.empty(end - start, np.float32)
    level = 0
    for i in range(end - start):
        level += change[i]
        out[i] = level
    return out


def run_length_coverage(
    starts: np.ndarray, counts: np.ndarray, length: int, extend: int
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return the coverage of a whole chromosome as runs of equal, non-zero value, without a dense array.

    The boxes open and close in the order of their cut sites: two sorted streams of events, merged.

    Parameters
    ----------
    starts, counts
        Sorted positions and counts of the cut sites.
    length
        Bases of the chromosome; boxes are cut at its ends.
    extend
        Bases covered to both sides of a cut site.

    Returns
    -------
    Starts (int32), lengths (int32) and values (uint32, of scaled counts float32) of the runs.
    """
    values = np.empty(2 * len(starts), np.float32 if counts.dtype.kind == "f" else np.uint32)
    return _run_length_coverage(starts, counts, length, extend, values)


@njit
def _run_length_coverage(
    starts: np.ndarray, counts: np.ndarray, length: int, extend: int, run_values: np.ndarray
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    n = len(starts)
    run_starts = np.empty(2 * n, np.int32)
    run_lengths = np.empty(2 * n, np.int32)
    run, opened, closed = 0, 0, 0
    level, previous = np.int64(0), np.int64(0)
    while closed < n:
        here = min(starts[closed] + extend + 1, length)
        if opened < n:
            here = min(here, max(starts[opened] - extend, 0))
        before = level
        while opened < n and max(starts[opened] - extend, 0) == here:
            level += counts[opened]
            opened += 1
        while closed < n and min(starts[closed] + extend + 1, length) == here:
            level -= counts[closed]
            closed += 1
        if opened == closed:
            level = 0  # of fractions the rounding would be left
        if level != before:
            if before > 0:
                run_starts[run], run_lengths[run], run_values[run] = previous, here - previous, before
                run += 1
            previous = here
    return run_starts[:run].copy(), run_lengths[:run].copy(), run_values[:run].copy()
