"""Distances between neighbours of one label along the genome, under permutations of the labels."""

from __future__ import annotations

import numpy as np

from scatacworks._numba import njit


@njit
def nearest_same(
    chrom: np.ndarray, position: np.ndarray, labels: np.ndarray, n_labels: int, total: np.ndarray, pairs: np.ndarray
) -> int:
    """Add up the distances to the nearest element of the same label and chromosome; elements sorted by position.

    `total` and the number of elements with such a neighbour, `pairs` (both per label), are overwritten; returns how
    many adjacent elements share their label. The distance to the *next* element alone would say nothing: those
    distances add up to the span of the chromosome however the labels lie.
    """
    last = np.full(n_labels, -1, np.int64)
    gap = np.full(n_labels, -1, np.int64)  # from the last element of a label back to the one before, -1 for none
    total[:] = 0
    pairs[:] = 0
    adjacent = 0
    for i in range(len(position)):
        label = labels[i]
        before = last[label]
        last[label] = i
        if before >= 0 and chrom[before] == chrom[i]:
            distance = position[i] - position[before]
            total[label] += distance if gap[label] < 0 else min(gap[label], distance)
            pairs[label] += 1
            gap[label] = distance
            adjacent += before == i - 1
        elif gap[label] >= 0:  # the last one of the chromosome before
            total[label] += gap[label]
            pairs[label] += 1
            gap[label] = -1
    for label in range(n_labels):
        if gap[label] >= 0:
            total[label] += gap[label]
            pairs[label] += 1
    return adjacent


@njit
def _shuffle(labels: np.ndarray, seed: int) -> np.ndarray:
    """Return the labels in random order (Fisher-Yates on xorshift64*)."""
    shuffled = labels.copy()
    state = np.uint64(seed) * np.uint64(2) + np.uint64(1)
    for j in range(len(shuffled) - 1, 0, -1):
        state ^= state >> np.uint64(12)
        state ^= state << np.uint64(25)
        state ^= state >> np.uint64(27)
        other = np.int64((state * np.uint64(2685821657736338717)) >> np.uint64(33)) % (j + 1)
        kept = shuffled[j]
        shuffled[j] = shuffled[other]
        shuffled[other] = kept
    return shuffled


@njit
def permuted(
    chrom: np.ndarray, position: np.ndarray, labels: np.ndarray, n_labels: int, seeds: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Return per permutation the mean distance of each label, and the number of adjacent pairs that share a label."""
    mean = np.empty((len(seeds), n_labels))
    adjacent = np.empty(len(seeds), np.int64)
    total, pairs = np.empty(n_labels), np.empty(n_labels)
    for i in range(len(seeds)):
        adjacent[i] = nearest_same(chrom, position, _shuffle(labels, seeds[i]), n_labels, total, pairs)
        for label in range(n_labels):
            mean[i, label] = total[label] / pairs[label] if pairs[label] else np.nan
    return mean, adjacent
