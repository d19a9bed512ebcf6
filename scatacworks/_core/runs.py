"""Sparse step functions on one chromosome: sorted, non-overlapping runs of equal value."""

from __future__ import annotations

import numpy as np

from scatacworks._numba import njit


@njit
def are_in_order(starts: np.ndarray, lengths: np.ndarray, size: int) -> bool:
    """Tell whether runs are sorted, apart and within `[0, size)`; `lengths` has one element if all are equal."""
    before, constant = np.int64(0), len(lengths) == 1
    for i in range(len(starts)):
        start, length = np.int64(starts[i]), np.int64(lengths[0] if constant else lengths[i])
        if start < before or length < 1:
            return False
        before = start + length
    return before <= size


@njit
def fill_window(
    starts: np.ndarray, lengths: np.ndarray, values: np.ndarray, start: int, fill: float, out: np.ndarray
) -> None:
    """Write the step function of `[start, start + len(out))` to `out`; `lengths` has one element if all are equal."""
    out[:] = fill
    end = start + len(out)
    constant = len(lengths) == 1
    for i in range(len(starts)):
        left = starts[i]
        right = left + (lengths[0] if constant else lengths[i])
        if right <= start:
            continue
        if left >= end:
            break
        out[max(left - start, 0) : min(right - start, end - start)] = values[i]


@njit
def highest_in_bins(
    starts: np.ndarray, lengths: np.ndarray, values: np.ndarray, start: int, end: int, fill: float, width: int
) -> np.ndarray:
    """Return the highest value of the step function in every bin of `width` bp of `[start, end)`, the last one shorter.

    Each run is looked at once, and no base. NaN counts only where nothing else is in a bin; float32.
    """
    out = np.full((end - start + width - 1) // width, np.nan, np.float32)
    here = start  # up to which all is seen
    constant = len(lengths) == 1
    for i in range(len(starts)):
        left, right = max(starts[i], start), min(starts[i] + (lengths[0] if constant else lengths[i]), end)
        if right <= left:
            continue
        _raise_bins(out, here - start, left - start, width, fill)
        _raise_bins(out, left - start, right - start, width, values[i])
        here = right
    _raise_bins(out, here - start, end - start, width, fill)
    return out


@njit
def _raise_bins(out: np.ndarray, left: int, right: int, width: int, value: float) -> None:
    """Raise the bins that `[left, right)` touches to at least `value`."""
    if right <= left:
        return
    for i in range(left // width, (right - 1) // width + 1):
        if not out[i] >= value:  # also where the bin knows nothing yet
            out[i] = out[i] if np.isnan(value) else value


@njit
def encode(dense: np.ndarray, offset: int, fill: float) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return starts, lengths and values of the runs of `dense` that differ from `fill`."""
    n_runs = 0
    previous = fill
    for value in dense:
        if value != previous and value != fill:
            n_runs += 1
        previous = value
    starts = np.empty(n_runs, np.int32)
    lengths = np.empty(n_runs, np.int32)
    values = np.empty(n_runs, dense.dtype)
    run = -1
    previous = fill
    for i in range(len(dense)):
        value = dense[i]
        if value != fill:
            if value != previous:
                run += 1
                starts[run], lengths[run], values[run] = offset + i, 0, value
            lengths[run] += 1
        previous = value
    return starts, lengths, values


@njit
def sum_runs(starts: np.ndarray, lengths: np.ndarray, values: np.ndarray) -> tuple:
    """Add step functions (the runs of all, in any order), giving runs of the sum; bases without a run count as zero."""
    n = len(starts)
    position = np.empty(2 * n, np.int64)
    change = np.empty(2 * n, np.float64)
    for i in range(n):
        position[2 * i] = starts[i]
        position[2 * i + 1] = starts[i] + lengths[i]
        change[2 * i] = values[i]
        change[2 * i + 1] = -float(values[i])
    order = np.argsort(position, kind="mergesort")
    out_starts = np.empty(2 * n, np.int32)
    out_lengths = np.empty(2 * n, np.int32)
    out_values = np.empty(2 * n, np.float64)
    run, level, n_open, i = 0, 0.0, 0, 0
    while i < 2 * n:
        here = position[order[i]]
        while i < 2 * n and position[order[i]] == here:
            level += change[order[i]]
            n_open += 1 if order[i] % 2 == 0 else -1
            i += 1
        if n_open == 0:
            level = 0.0  # no rounding error is carried from one island to the next
            continue
        length = position[order[i]] - here
        if run > 0 and out_values[run - 1] == level and out_starts[run - 1] + out_lengths[run - 1] == here:
            out_lengths[run - 1] += length
        elif level != 0.0:
            out_starts[run], out_lengths[run], out_values[run] = here, length, level
            run += 1
    return out_starts[:run].copy(), out_lengths[:run].copy(), out_values[:run].copy()


def sum_sites(starts: np.ndarray, values: np.ndarray) -> tuple[np.ndarray, None, np.ndarray]:
    """Add counts of cut sites, in any order, that fall on the same base; int32, `None` and uint32.

    Values that are no whole numbers, as of a prior whose elements are one base long, give float32.
    """
    unique, inverse = np.unique(starts, return_inverse=True)
    total = np.bincount(inverse, weights=values, minlength=len(unique))
    return unique.astype(np.int32), None, total.astype(np.float32 if values.dtype.kind == "f" else np.uint32)


def join_equal(
    starts: np.ndarray, lengths: np.ndarray, values: np.ndarray
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Join touching runs of equal value; lengths become int32."""
    if len(starts) == 0:
        return starts, lengths.astype(np.int32, copy=False), values
    new = np.append(True, (starts[1:] != starts[:-1] + lengths[:-1]) | (values[1:] != values[:-1]))
    first = np.flatnonzero(new)
    return starts[first], np.add.reduceat(lengths, first).astype(np.int32), values[first]
