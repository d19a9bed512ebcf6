"""Regulatory landscapes of genes, and how many labelled elements they hold."""

from __future__ import annotations

import numpy as np

from scatacworks._core.intervals import pack


def landscapes(
    chrom: np.ndarray,
    start: np.ndarray,
    end: np.ndarray,
    strand: np.ndarray,
    *,
    upstream: int,
    downstream: int,
    lengths: np.ndarray | None,
) -> tuple[np.ndarray, np.ndarray]:
    """Extend genes to both sides, at most half-way to the next gene that does not overlap them.

    Parameters
    ----------
    chrom, start, end
        Genes: chromosome code, and bp from 0, half-open.
    strand
        True where the gene is read from right to left.
    upstream, downstream
        Largest extension in bp before the first and behind the last base of the gene, in its own direction.
    lengths
        Chromosome lengths in bp, at which extensions stop; they do not if `None`.

    Returns
    -------
    start and end of the landscapes, int64.
    """
    start, end = np.asarray(start, np.int64), np.asarray(end, np.int64)
    left_limit, right_limit = np.where(strand, downstream, upstream), np.where(strand, upstream, downstream)
    by_end, by_start = np.sort(pack(chrom, end)), np.sort(pack(chrom, start))
    before = np.searchsorted(by_end, pack(chrom, start), side="right") - 1
    after = np.searchsorted(by_start, pack(chrom, end), side="left")
    # a neighbour of another chromosome is no limit: its key differs by more than any extension
    far = np.int64(1) << 31
    left_gap = np.where(before >= 0, pack(chrom, start) - by_end[np.maximum(before, 0)], far)
    right_gap = np.where(after < len(start), by_start[np.minimum(after, len(start) - 1)] - pack(chrom, end), far)
    left_gap = np.where(left_gap > start, far, left_gap)
    right_gap = np.where(right_gap >= far, far, right_gap)
    new_start = np.maximum(start - np.minimum(left_limit, left_gap // 2), 0)
    new_end = end + np.minimum(right_limit, right_gap // 2)
    if lengths is not None:
        new_end = np.maximum(np.minimum(new_end, np.asarray(lengths, np.int64)[chrom]), end)
    return new_start, new_end


def count_labels(
    windows: tuple[np.ndarray, np.ndarray, np.ndarray],
    elements: tuple[np.ndarray, np.ndarray, np.ndarray],
    labels: np.ndarray,
    n_labels: int,
) -> np.ndarray:
    """Count the elements of every label that overlap each window, by differences of running counts.

    Elements are half-open intervals (one base wide where only their summit counts) with a label from 0, or -1.

    Returns
    -------
    int64 `(n_windows, n_labels)`.
    """
    starts, ends = pack(elements[0], elements[1]), pack(elements[0], elements[2])
    by_start, by_end = np.argsort(starts, kind="stable"), np.argsort(ends, kind="stable")
    # overlapping = those that begin before the window ends, less those that ended before it began
    begun = np.searchsorted(starts[by_start], pack(windows[0], windows[2]), side="left")
    ended = np.searchsorted(ends[by_end], pack(windows[0], windows[1]), side="right")
    out = np.empty((len(begun), n_labels), np.int64)
    labels_begun, labels_ended = np.asarray(labels)[by_start], np.asarray(labels)[by_end]
    running = np.zeros(len(starts) + 1, np.int64)
    for label in range(n_labels):
        np.cumsum(labels_begun == label, out=running[1:])
        out[:, label] = running[begun]
        np.cumsum(labels_ended == label, out=running[1:])
        out[:, label] -= running[ended]
    return out
