"""Half-open intervals on coded chromosomes: merge, overlap, nearest, largest overlap.

Every function takes plain arrays: `chrom` (integer codes), `start` and `end` (bp from 0, `end` excluded). Positions
of different chromosomes are kept apart by one int64 key, `chrom << 32 | position`, so one sorted array serves all.
"""

from __future__ import annotations

import numpy as np

from scatacworks._numba import njit

_SHIFT = 32


def pack(chrom: np.ndarray, position: np.ndarray) -> np.ndarray:
    """Return the int64 sort key of positions: chromosome code in the high half, position in the low half."""
    return (np.asarray(chrom, np.int64) << _SHIFT) + np.asarray(position, np.int64)


def merge(
    chrom: np.ndarray, start: np.ndarray, end: np.ndarray, *, gap: int = 0
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Join intervals that overlap, touch, or lie at most `gap` bp apart; sorted result."""
    if len(start) == 0:
        return np.empty(0, np.int32), np.empty(0, np.int64), np.empty(0, np.int64)
    left, right = pack(chrom, start), pack(chrom, end)
    order = np.argsort(left, kind="stable")
    left, reach = left[order], np.maximum.accumulate(right[order])
    code = np.asarray(chrom)[order]
    new = np.concatenate([[True], (left[1:] > reach[:-1] + gap) | (code[1:] != code[:-1])])
    first = np.flatnonzero(new)
    last = np.concatenate([first[1:], [len(left)]]) - 1
    low = (1 << _SHIFT) - 1
    return code[first].astype(np.int32), left[first] & low, reach[last] & low


def overlap_pairs(
    query: tuple[np.ndarray, np.ndarray, np.ndarray], target: tuple[np.ndarray, np.ndarray, np.ndarray]
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return every pair of intervals that share at least one base.

    Parameters
    ----------
    query, target
        `(chrom, start, end)`, in any order.

    Returns
    -------
    index of the query (int64), index of the target (int64) and shared bases (int64), sorted by query, then target.
    """
    order = np.argsort(pack(target[0], target[1]), kind="stable")
    left, right = (pack(target[0], side)[order] for side in target[1:])
    first, stop = pack(query[0], query[1]), pack(query[0], query[2])
    # the running maximum of the ends never falls, so the first target that can reach a query is found by bisection
    low = np.searchsorted(np.maximum.accumulate(right), first, side="right") if len(right) else np.zeros_like(first)
    high = np.searchsorted(left, stop, side="left")
    which, hit = _pairs(first, stop, left, right, low, high)
    hit_target = order[hit]
    shared = np.minimum(stop[which], right[hit]) - np.maximum(first[which], left[hit])
    rank = np.lexsort((hit_target, which))
    return which[rank], hit_target[rank], shared[rank]


@njit
def _pairs(
    first: np.ndarray, stop: np.ndarray, left: np.ndarray, right: np.ndarray, low: np.ndarray, high: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """List the overlapping pairs among the candidates `low:high` of every query."""
    n_pairs = 0
    for i in range(len(first)):
        for j in range(low[i], high[i]):
            n_pairs += right[j] > first[i] and left[j] < stop[i]
    which, hit = np.empty(n_pairs, np.int64), np.empty(n_pairs, np.int64)
    n_pairs = 0
    for i in range(len(first)):
        for j in range(low[i], high[i]):
            if right[j] > first[i] and left[j] < stop[i]:
                which[n_pairs], hit[n_pairs] = i, j
                n_pairs += 1
    return which, hit


def any_overlap(
    query: tuple[np.ndarray, np.ndarray, np.ndarray], target: tuple[np.ndarray, np.ndarray, np.ndarray]
) -> np.ndarray:
    """Return for every query whether it shares a base with any target; bool."""
    chrom, start, end = merge(*target)
    if len(start) == 0:
        return np.zeros(len(query[1]), bool)
    before = np.searchsorted(pack(chrom, start), pack(query[0], query[2]), side="left") - 1
    reach = pack(chrom, end)
    return (before >= 0) & (reach[before] > pack(query[0], query[1]))


def covered(
    query: tuple[np.ndarray, np.ndarray, np.ndarray], target: tuple[np.ndarray, np.ndarray, np.ndarray]
) -> np.ndarray:
    """Return the number of bases of every query that lie in any target; int64, each base counted once."""
    chrom, start, end = merge(*target)
    if len(start) == 0:
        return np.zeros(len(query[1]), np.int64)
    left, right = pack(chrom, start), pack(chrom, end)
    total = np.cumsum(right - left) - (right - left)

    def below(position: np.ndarray) -> np.ndarray:
        """Count target bases before each key."""
        last = np.searchsorted(left, position, side="right") - 1
        return np.where(last >= 0, total[last] + np.minimum(position, right[last]) - left[last], 0)

    return below(pack(query[0], query[2])) - below(pack(query[0], query[1]))


def largest_overlap(
    query: tuple[np.ndarray, np.ndarray, np.ndarray], target: tuple[np.ndarray, np.ndarray, np.ndarray]
) -> tuple[np.ndarray, np.ndarray]:
    """Return for every query the target that shares most bases with it, and how many.

    Ties go to the target of which the larger fraction is covered (the shorter one), then to the first.

    Returns
    -------
    index of the target (int64, -1 without overlap), shared bases (int64).
    """
    which, hit, shared = overlap_pairs(query, target)
    best = np.full(len(query[1]), -1, np.int64)
    bases = np.zeros(len(query[1]), np.int64)
    if len(which):
        length = np.asarray(target[2], np.int64)[hit] - np.asarray(target[1], np.int64)[hit]
        order = np.lexsort((hit, length, -shared, which))
        first = order[np.concatenate([[True], which[order][1:] != which[order][:-1]])]
        best[which[first]], bases[which[first]] = hit[first], shared[first]
    return best, bases


def nearest(
    query_chrom: np.ndarray, query_position: np.ndarray, target_chrom: np.ndarray, target_position: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Return for every position the nearest target position of its chromosome and the signed distance to it.

    The distance is target minus query in bp; ties go to the target on the left, then to the first in the input.

    Returns
    -------
    index of the target (int64, -1 where the chromosome has none), distance (int64, 0 there).
    """
    query_chrom, query_position = np.asarray(query_chrom, np.int64), np.asarray(query_position, np.int64)
    index = np.full(len(query_position), -1, np.int64)
    distance = np.zeros(len(query_position), np.int64)
    if len(target_position) == 0:
        return index, distance
    key = pack(target_chrom, target_position)
    order = np.argsort(key, kind="stable")
    key, position, code = key[order], np.asarray(target_position, np.int64)[order], np.asarray(target_chrom)[order]
    own = pack(query_chrom, query_position)
    right = np.searchsorted(key, own, side="left")
    left = np.maximum(right - 1, 0)
    left = np.searchsorted(key, key[left], side="left")  # the first of equal positions
    right_in = np.minimum(right, len(key) - 1)
    far = np.iinfo(np.int64).max
    to_right = np.where((right < len(key)) & (code[right_in] == query_chrom), position[right_in] - query_position, far)
    to_left = np.where((right > 0) & (code[left] == query_chrom), query_position - position[left], far)
    use_left = to_left <= to_right
    found = np.minimum(to_left, to_right) < far
    index[found] = order[np.where(use_left, left, right_in)][found]
    distance[found] = np.where(use_left, -to_left, to_right)[found]
    return index, distance


def point_in(
    chrom: np.ndarray, position: np.ndarray, target: tuple[np.ndarray, np.ndarray, np.ndarray]
) -> tuple[np.ndarray, np.ndarray]:
    """Return every pair of a position and an interval that contains it, sorted by position, then interval."""
    position = np.asarray(position, np.int64)
    which, hit, _ = overlap_pairs((chrom, position, position + 1), target)
    return which, hit
