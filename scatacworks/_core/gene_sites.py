"""Cut sites near transcription starts, weighted by distance."""

from __future__ import annotations

import math

import numpy as np

from scatacworks._numba import njit


@njit
def near_starts(
    sites: np.ndarray, cells: np.ndarray, tss: np.ndarray, reach: int, decay: float
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """List every pair of a cut site and a transcription start at most `reach` bp apart, with its weight.

    Parameters
    ----------
    sites, cells
        Positions of cut sites (any order) and the cell of each.
    tss
        Positions of transcription starts, ascending.
    reach
        Largest distance in bp.
    decay
        Weight is exp(-distance / decay).

    Returns
    -------
    cell, position in `tss`, weight.
    """
    first = np.searchsorted(tss, sites - reach, side="left")
    last = np.searchsorted(tss, sites + reach, side="right")
    n = (last - first).sum()
    cell, gene, weight = np.empty(n, np.int32), np.empty(n, np.int32), np.empty(n, np.float64)
    at = 0
    for i in range(len(sites)):
        for j in range(first[i], last[i]):
            cell[at], gene[at] = cells[i], j
            weight[at] = math.exp(-abs(sites[i] - tss[j]) / decay)
            at += 1
    return cell, gene, weight
