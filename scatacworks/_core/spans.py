"""Spans: intervals of one chromosome as rows of start and end, (n, 2), from 0 and half-open."""

from __future__ import annotations

from bisect import bisect_left

import numpy as np

from scatacworks._core.intervals import merge
from scatacworks._numba import njit


def union(spans: np.ndarray) -> np.ndarray:
    """Join spans, in any order, that overlap or touch; sorted and disjoint, int64."""
    _, start, end = merge(np.zeros(len(spans), np.int64), spans[:, 0], spans[:, 1])
    return np.column_stack([start, end])


@njit
def intersect(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """Return what is in both of two sorted, disjoint sets; int64."""
    out = np.empty((len(a) + len(b), 2), np.int64)
    n, i, j = 0, 0, 0
    while i < len(a) and j < len(b):
        low, high = max(a[i, 0], b[j, 0]), min(a[i, 1], b[j, 1])
        if low < high:
            out[n, 0], out[n, 1] = low, high
            n += 1
        if a[i, 1] < b[j, 1]:
            i += 1
        else:
            j += 1
    return out[:n].copy()


def subtract(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """Return what is in `a` and not in `b`, both sorted and disjoint; int64."""
    limits = np.iinfo(np.int64)
    return intersect(a, np.concatenate([[limits.min], b.ravel(), [limits.max]]).astype(np.int64).reshape(-1, 2))


def between(positions: np.ndarray, start: int, end: int) -> slice:
    """Return where sorted positions lie in `[start, end)`.

    Asked for a number of another type, NumPy's own search would first convert all positions.
    """
    return slice(bisect_left(positions, start), bisect_left(positions, end))


def painted(spans: np.ndarray | None, start: int, end: int) -> np.ndarray:
    """Tell which bases of `[start, end)` lie in the spans, in any order; bool, `(end - start,)`."""
    steps = np.zeros(end - start + 1, np.int32)
    if spans is not None:
        rows = spans[(spans[:, 1] > start) & (spans[:, 0] < end)] - start
        np.add.at(steps, np.clip(rows[:, 0], 0, end - start), 1)
        np.add.at(steps, np.clip(rows[:, 1], 0, end - start), -1)
    return np.cumsum(steps[:-1]) > 0
