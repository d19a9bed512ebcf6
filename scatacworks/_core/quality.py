"""Quality of cells, counted from the fragments of one chromosome at a time."""

from __future__ import annotations

import numpy as np

from scatacworks._numba import njit

LONGEST = 1_000  # bp; longer fragments are counted here
NUCLEOSOME_BP = 147
TSS_WINDOW = 2_000  # bp to both sides of a transcription start site
TSS_CENTER = 50
TSS_FLANK = 100
FLANK_PSEUDOCOUNT = 20  # 0.1 a base: keeps cells with few fragments from high scores by chance


@njit
def count_lengths(
    start: np.ndarray, end: np.ndarray, cell: np.ndarray, histogram: np.ndarray, short: np.ndarray, mono: np.ndarray
) -> None:
    """Add to the histogram of fragment lengths, and to each cell's nucleosome-free and mononucleosomal fragments."""
    for i in range(len(start)):
        length = end[i] - start[i]
        histogram[min(length, LONGEST)] += 1
        if length < NUCLEOSOME_BP:
            short[cell[i]] += 1
        elif length < 2 * NUCLEOSOME_BP:
            mono[cell[i]] += 1


@njit
def count_around_tss(
    start: np.ndarray,
    end: np.ndarray,
    cell: np.ndarray,
    tss: np.ndarray,
    strand: np.ndarray,
    profile: np.ndarray,
    center: np.ndarray,
    flank: np.ndarray,
) -> None:
    """Add the cut sites near transcription start sites to their profile and to each cell's centre and flanks.

    Parameters
    ----------
    start, end, cell
        Fragments of a chromosome, sorted by start.
    tss, strand
        Sorted positions, and 1 or -1.
    profile
        Cut sites at -2000 … 2000 bp in the direction of transcription, int64 `(4001,)`.
    center, flank
        Cut sites within 50 bp, and in the outermost 100 bp on both sides; int64 `(n_cells,)`.
    """
    first = 0
    for i in range(len(start)):
        while first < len(tss) and tss[first] < start[i] - TSS_WINDOW:
            first += 1
        for position in (np.int64(start[i]), np.int64(end[i] - 1)):
            j = first
            while j < len(tss) and tss[j] <= position + TSS_WINDOW:
                away = (position - tss[j]) * strand[j]
                if abs(away) <= TSS_WINDOW:
                    profile[away + TSS_WINDOW] += 1
                    center[cell[i]] += abs(away) <= TSS_CENTER
                    flank[cell[i]] += abs(away) > TSS_WINDOW - TSS_FLANK
                j += 1


@njit
def count_overlapping(
    start: np.ndarray,
    end: np.ndarray,
    cell: np.ndarray,
    region_start: np.ndarray,
    region_end: np.ndarray,
    overlapping: np.ndarray,
) -> None:
    """Add to each cell's fragments that share a base with a region; regions sorted and apart, fragments sorted."""
    first = 0
    for i in range(len(start)):
        while first < len(region_end) and region_end[first] <= start[i]:
            first += 1
        if first < len(region_start) and region_start[first] < end[i]:
            overlapping[cell[i]] += 1


def tss_enrichment(center: np.ndarray, flank: np.ndarray) -> np.ndarray:
    """Return cut sites per base within 50 bp of a start site over those per base in the flanks; float64.

    `(center / 101) / ((flank + 20) / 200)`.
    """
    return (center / (2 * TSS_CENTER + 1)) / ((flank + FLANK_PSEUDOCOUNT) / (2 * TSS_FLANK))
