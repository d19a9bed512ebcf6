"""Which sample has which element."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from scatacworks._core.radix import order_by
from scatacworks._numba import njit

if TYPE_CHECKING:
    from collections.abc import Iterable


@njit
def _append(
    order: np.ndarray, label: np.ndarray, base: int, sample: np.ndarray, signal: np.ndarray, first: np.ndarray,
    cursor: np.ndarray, indices: np.ndarray, data: np.ndarray,
) -> None:  # fmt: skip
    """Append the peaks, sorted by element, to the rows of their samples; several of one element keep the highest."""
    for peak in order:
        row, element = sample[peak], label[peak] + base
        at = cursor[row]
        if at > first[row] and indices[at - 1] == element:
            data[at - 1] = max(data[at - 1], signal[peak])
        else:
            indices[at], data[at] = element, signal[peak]
            cursor[row] = at + 1


def sample_by_element(
    parts: Iterable[tuple[np.ndarray, np.ndarray, np.ndarray, int]], n_peaks: np.ndarray, dtype: np.dtype
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Build the samples x elements matrix of highest signals from labelled peaks.

    Parameters
    ----------
    parts
        For each chromosome: element of each peak (from 0), its sample, its signal, and the chromosome's number of
        elements.
    n_peaks
        Number of peaks of each sample.
    dtype
        Type of the signal.

    Returns
    -------
    `indptr`, `indices` and `data` of a CSR matrix with sorted indices.
    """
    first = np.concatenate([[0], np.cumsum(n_peaks)])
    cursor = first[:-1].copy()
    indices, data = np.empty(first[-1], np.int32), np.empty(first[-1], dtype)
    base = 0
    for label, sample, signal, n_elements in parts:
        _append(order_by(label), label, base, sample, signal, first, cursor, indices, data)
        base += n_elements
    indptr = np.concatenate([[0], np.cumsum(cursor - first[:-1])])
    for row in range(len(n_peaks)):
        part, target = slice(first[row], cursor[row]), slice(indptr[row], indptr[row + 1])
        indices[target], data[target] = indices[part].copy(), data[part].copy()
    return indptr, indices[: indptr[-1]], data[: indptr[-1]]


@njit
def elements_hit(
    peak_start: np.ndarray, peak_end: np.ndarray, start: np.ndarray, end: np.ndarray, reach: np.ndarray, fraction: float
) -> tuple[np.ndarray, np.ndarray]:
    """Pairs (peak, element) of one chromosome where at least `fraction` of the peak lies in the element.

    Elements are sorted by start; `reach` is the running maximum of their ends.
    """
    peaks, elements = [], []
    for peak in range(len(peak_start)):
        needed = fraction * (peak_end[peak] - peak_start[peak]) - 1e-6  # 0.55 * 100 is 55.00000000000001
        at = np.searchsorted(start, peak_end[peak]) - 1
        while at >= 0 and reach[at] > peak_start[peak]:
            shared = min(end[at], peak_end[peak]) - max(start[at], peak_start[peak])
            if shared > 0 and shared >= needed:
                peaks.append(peak)
                elements.append(at)
            at -= 1
    return np.array(peaks, dtype=np.int64), np.array(elements, dtype=np.int64)


@njit
def count_new(indptr: np.ndarray, indices: np.ndarray, chosen: np.ndarray) -> np.ndarray:
    """Count, for every sample, the elements that it has and no chosen sample has.

    Parameters
    ----------
    indptr, indices
        Samples of every element: a CSC matrix of samples x elements.
    chosen
        Which samples are; bool `(n_samples,)`.

    Returns
    -------
    Number of elements; int64 `(n_samples,)`, zero for the chosen.
    """
    counts = np.zeros(len(chosen), np.int64)
    for element in range(len(indptr) - 1):
        samples = indices[indptr[element] : indptr[element + 1]]
        for sample in samples:  # soon left where many are chosen, or have it
            if chosen[sample]:
                break
        else:
            for sample in samples:
                counts[sample] += 1
    return counts
