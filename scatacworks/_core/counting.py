"""Which regions the fragments of a chromosome touch."""

from __future__ import annotations

import numpy as np

from scatacworks._numba import njit

INSERTION, FRAGMENT, PAIRED_INSERTION = 0, 1, 2


def cells_in_regions(
    start: np.ndarray,
    end: np.ndarray,
    cell: np.ndarray,
    region_start: np.ndarray,
    region_end: np.ndarray,
    *,
    mode: int,
    shifts: tuple[int, int] = (0, -1),
) -> tuple[np.ndarray, np.ndarray]:
    """Return one pair (cell, region) per count, in the order of the fragments.

    Parameters
    ----------
    start, end, cell
        Fragments of a chromosome, sorted by start.
    region_start, region_end
        Regions of the chromosome, sorted by start; they may overlap.
    mode
        `INSERTION`: each cut site in a region counts; `FRAGMENT`: each fragment that shares a base with a region
        counts once; `PAIRED_INSERTION`: each fragment with one or both cut sites in a region counts once.
    shifts
        What leads from a fragment's start and end to its cut sites.

    Returns
    -------
    int32 cells and int32 regions, `(n_counts,)` each.
    """
    if len(region_start) == 0:
        return np.empty(0, np.int32), np.empty(0, np.int32)
    reach = np.maximum.accumulate(region_end)
    arguments = (start, end, cell, region_start, region_end, reach, mode, shifts[0], shifts[1])
    nothing = np.empty(0, np.int32)
    n_counts = _list_counts(*arguments, nothing, nothing)
    cells, regions = np.empty(n_counts, np.int32), np.empty(n_counts, np.int32)
    _list_counts(*arguments, cells, regions)
    return cells, regions


@njit
def _list_counts(
    start: np.ndarray,
    end: np.ndarray,
    cell: np.ndarray,
    region_start: np.ndarray,
    region_end: np.ndarray,
    reach: np.ndarray,
    mode: int,
    shift_start: int,
    shift_end: int,
    cells: np.ndarray,
    regions: np.ndarray,
) -> int:
    """Write the pairs where there is room for them; return how many there are."""
    n_counts, upto = 0, 0
    for i in range(len(start)):
        left, right = start[i] + shift_start, end[i] + shift_end
        if mode == FRAGMENT:
            left, right = start[i], end[i] - 1
        while upto < len(region_start) and region_start[upto] <= left:
            upto += 1
        last = upto
        while last < len(region_start) and region_start[last] <= right:
            last += 1
        # regions from `last` on begin behind the fragment; going down, none reaches it once `reach` falls short
        region = last - 1
        while region >= 0 and reach[region] > left:
            has_left = region_start[region] <= left < region_end[region]
            has_right = region_start[region] <= right < region_end[region]
            if mode == FRAGMENT:
                n = int(region_end[region] > left)
            elif mode == INSERTION:
                n = int(has_left) + int(has_right)
            else:
                n = int(has_left or has_right)
            for _ in range(n):
                if n_counts < len(cells):
                    cells[n_counts], regions[n_counts] = cell[i], region
                n_counts += 1
            region -= 1
    return n_counts


@njit
def _larger(a: float, b: float) -> float:
    """Return the larger number, or NaN where either is, which `max` gives only where it comes first."""
    return a if a >= b or np.isnan(a) else b


@njit
def add_to_regions(
    starts: np.ndarray,
    lengths: np.ndarray,
    values: np.ndarray,
    fill: float,
    region_start: np.ndarray,
    region_end: np.ndarray,
    sums: np.ndarray,
    maxima: np.ndarray,
) -> None:
    """Write the sum and the maximum of a step function over every region, NaN where a base of it is.

    `lengths` of one element holds for all.
    """
    constant = len(lengths) == 1
    first = np.searchsorted(starts, region_start)
    for i in range(len(region_start)):
        covered, total, highest = 0, 0.0, -np.inf
        j = first[i] - 1 if first[i] > 0 else 0
        while j < len(starts) and starts[j] < region_end[i]:
            stop = starts[j] + (lengths[0] if constant else lengths[j])
            shared = min(stop, region_end[i]) - max(starts[j], region_start[i])
            if shared > 0:
                covered += shared
                total += shared * values[j]
                highest = _larger(highest, values[j])
            j += 1
        rest = region_end[i] - region_start[i] - covered
        if rest > 0:
            total, highest = total + rest * fill, _larger(highest, fill)
        sums[i], maxima[i] = total, highest
