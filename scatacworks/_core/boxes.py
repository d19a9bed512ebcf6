"""Cut sites from the coverage that they were extended to."""

from __future__ import annotations

import numpy as np

from scatacworks._numba import njit

_TOLERANCE = 1e-3  # how far from a whole number a coverage may be


def sites_of_boxes(
    starts: np.ndarray, lengths: np.ndarray, values: np.ndarray, *, extend: int, length: int
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Undo the extension of cut sites by `extend` bases to either side, exactly.

    A coverage that is a sum of boxes of `w = 2 * extend + 1` bases rises at `x` by the sites on `x + extend` and falls
    by those on `x - extend - 1`. Each stretch of coverage between bases without any is solved by itself, from its left.

    Parameters
    ----------
    starts, lengths, values
        Runs of coverage, sorted, without zeros (`n`,).
    extend
        bp to either side of a cut site.
    length
        bp of the chromosome.

    Returns
    -------
    positions, counts
        Sorted cut sites, int32 and int64.
    unsolved
        Stretches that are no sum of such boxes, whose sites are left out; starts and ends, int64 (`n`, 2).
    """
    starts, lengths = np.asarray(starts, np.int64), np.asarray(lengths, np.int64)
    if len(starts) == 0:
        return np.empty(0, np.int32), np.empty(0, np.int64), np.empty((0, 2), np.int64)
    first = np.flatnonzero(np.concatenate([[True], starts[1:] != starts[:-1] + lengths[:-1]]))
    last = np.append(first[1:], len(starts))
    positions, counts, unsolved = [np.empty(0, np.int32)], [np.empty(0, np.int64)], []
    for a, b in zip(first, last, strict=True):
        dense = np.repeat(np.asarray(values[a:b], np.float64), lengths[a:b])
        begin, end = int(starts[a]), int(starts[a]) + len(dense)
        solved, found = _solve(dense, extend, (begin == 0, end == length))
        if not solved:
            unsolved.append((begin, end))
            continue
        at = np.flatnonzero(found)
        positions.append((at + begin).astype(np.int32))
        counts.append(found[at])
    return np.concatenate(positions), np.concatenate(counts), np.array(unsolved, np.int64).reshape(-1, 2)


@njit
def _solve(coverage: np.ndarray, extend: int, cut_off: tuple[bool, bool]) -> tuple[bool, np.ndarray]:
    """Cut sites on each base of one stretch, and whether they explain all of it."""
    n = len(coverage)
    at_start, at_end = cut_off  # whether the stretch touches the chromosome's start and end
    sites = np.zeros(n, np.int64)
    previous = 0
    # past the stretch's end the coverage is 0, which has to close every box that is still open
    for i in range(n if at_end else n + 1):
        now = 0.0 if i == n else coverage[i]
        whole = np.int64(np.round(now))
        if abs(now - whole) > _TOLERANCE:
            return False, sites
        opened = whole - previous + (sites[i - extend - 1] if i > extend else 0)
        previous = whole
        if opened < 0:
            return False, sites
        if opened > 0:
            # boxes that the chromosome's start or end cuts off cannot be told from whole ones elsewhere
            if i + extend >= n or (at_start and i == 0):
                return False, sites
            sites[i + extend] = opened
    if at_end:
        return True, sites
    for i in range(max(n - extend, 0), n):
        if sites[i] > 0:
            return False, sites
    return True, sites
