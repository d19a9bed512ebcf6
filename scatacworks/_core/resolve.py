"""Merging of elements that hold each other's summit, core or extent."""

from __future__ import annotations

import numpy as np

from scatacworks._core.delineate import (
    ALIVE,
    CORE_END,
    CORE_START,
    END,
    HEAD,
    HIGH,
    LOW,
    N_FIELDS,
    START,
    SUMMIT,
    Peaks,
    Rules,
    Scratch,
    delineate,
)
from scatacworks._numba import njit

BY_SUMMIT, BY_CORE, BY_EXTENT = range(3)


@njit
def join_lists(following: np.ndarray, one: int, other: int) -> int:
    """Merge two lists of peaks, each in summit order, and return the head."""
    head, tail = -1, -1
    while one >= 0 or other >= 0:
        if other < 0 or (one >= 0 and one < other):
            taken, one = one, following[one]
        else:
            taken, other = other, following[other]
        if tail < 0:
            head = taken
        else:
            following[tail] = taken
        tail = taken
    return head


@njit
def several_sites(peaks: Peaks, following: np.ndarray, heads: tuple[int, int], rules: Rules, scratch: Scratch) -> bool:
    """Whether most peaks of the union come from samples with more than one: two true neighbours, not one element."""
    stamp, times, touched = scratch.stamp, scratch.times, scratch.touched
    stamp[-1] += 1
    visit, n_samples, most = stamp[-1], 0, 1
    for head in heads:
        peak = head
        while peak >= 0:
            sample = peaks.sample[peak]
            if stamp[sample] != visit:
                stamp[sample] = visit
                times[sample] = 0
                touched[n_samples] = sample
                n_samples += 1
            times[sample] += 1
            most = max(most, times[sample])
            peak = following[peak]
    if n_samples <= rules.min_multi_samples:
        return False
    tally = np.zeros(most + 1, np.int64)
    for at in range(n_samples):
        tally[times[touched[at]]] += 1
    commonest = 1
    for n in range(2, most + 1):
        if n * tally[n] > commonest * tally[commonest]:
            commonest = n
    return commonest != 1


@njit
def _span(row: np.ndarray, mode: int, closed: int) -> tuple[int, int]:
    """The bases (both counted) by which a row looks for others."""
    last = row[END] - 1 + closed
    if mode == BY_SUMMIT:
        return row[SUMMIT], row[SUMMIT]
    if mode == BY_CORE and row[CORE_START] >= 0:
        return max(row[CORE_START], row[START]), min(row[CORE_END], last)
    return row[START], last


@njit
def _best_partner(at: int, rows: np.ndarray, score: np.ndarray, spans: np.ndarray, search: tuple) -> int:
    """Position of the highest-scoring live row that the row at `at` looks into; the first one of equals."""
    start, reach, mode, closed = search
    if mode == BY_CORE:
        low, high = spans[at, 0], spans[at, 1]
    else:
        low, high = _span(rows[at], mode, closed)
    found = -1
    for other in range(np.searchsorted(start, low - reach), np.searchsorted(start, high + reach, side="right")):
        if rows[other, ALIVE] == 0:
            continue
        if mode == BY_CORE:
            other_low, other_high = spans[other, 0], spans[other, 1]
        else:
            other_low, other_high = rows[other, START], rows[other, END] - 1 + closed
        if other_low <= high and other_high >= low and (found < 0 or score[other] > score[found]):
            found = other
    return found if found >= 0 else at


@njit
def _round(peaks: Peaks, following: np.ndarray, rows: np.ndarray, score: np.ndarray, setting: tuple) -> int:
    """Visit all rows (sorted by start and end) once in ascending score; return the number of merges."""
    mode, guarded, rules, scratch = setting
    n = len(rows)
    spans = np.empty((n, 2), np.int64)
    reach = 0
    for at in range(n):
        spans[at, 0], spans[at, 1] = _span(rows[at], mode, rules.closed)
        reach = max(reach, rows[at, START] - rows[at, LOW], rows[at, HIGH] - rows[at, START])
    start = rows[:, START].copy()
    merges = 0
    for at in np.argsort(score, kind="mergesort"):
        target = _best_partner(at, rows, score, spans, (start, reach, mode, rules.closed))
        if target == at:
            continue
        heads = (rows[at, HEAD], rows[target, HEAD])
        if guarded and several_sites(peaks, following, heads, rules, scratch):
            continue
        rows[target, HEAD] = join_lists(following, heads[0], heads[1])
        score[target] = delineate(peaks, following, rows[target], rules, scratch)
        reach = max(reach, start[target] - rows[target, LOW], rows[target, HIGH] - start[target])
        rows[at, ALIVE] = 0
        merges += 1
    return merges


@njit
def _set_row(rows: np.ndarray, score: np.ndarray, at: int, given: tuple[np.ndarray, float]) -> None:
    """Write a row field by field: where arrays are assigned, the check of their shapes takes seconds to compile."""
    for field in range(N_FIELDS):
        rows[at, field] = given[0][field]
    score[at] = given[1]


@njit
def sort_rows(rows: np.ndarray, score: np.ndarray) -> int:
    """Move the live rows to the front, sorted by start, then end (stable); return their number."""
    live = np.flatnonzero(rows[:, ALIVE])
    keys = np.empty(len(live), np.int64)
    for at, row in enumerate(live):
        keys[at] = (np.int64(rows[row, START]) << 32) | np.int64(rows[row, END])
    order = live[np.argsort(keys, kind="mergesort")]
    sorted_rows, sorted_score = rows[order], score[order]
    for at in range(len(order)):
        _set_row(rows, score, at, (sorted_rows[at], sorted_score[at]))
    return len(order)


@njit
def merge_groups(
    peaks: Peaks, following: np.ndarray, rows: np.ndarray, score: np.ndarray, offsets: np.ndarray, setting: tuple
) -> np.ndarray:
    """Merge within each group of rows until a round changes nothing; `setting` is (mode, guarded, rules, scratch).

    The rows that remain are sorted within their group and moved to the front; their offsets per group are returned.
    """
    left = np.zeros(len(offsets), np.int64)
    n = 0
    for group in range(len(offsets) - 1):
        first, last = offsets[group], offsets[group + 1]
        if last - first > 1:
            last = first + sort_rows(rows[first:last], score[first:last])
            while _round(peaks, following, rows[first:last], score[first:last], setting) > 0:
                last = first + sort_rows(rows[first:last], score[first:last])
        for at in range(first, last):
            _set_row(rows, score, n, (rows[at], score[at]))
            n += 1
        left[group + 1] = n
    return left
