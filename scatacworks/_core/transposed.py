"""Spectra with their frequencies outermost, so that a product of matrices per frequency is one batched product.

Lanes are moved eight at a time: loops of a known length compile to a few vector instructions.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from scatacworks._numba import njit

if TYPE_CHECKING:
    import numpy as np


@njit
def frequencies_first(x: np.ndarray, out: np.ndarray) -> None:
    """Copy (channels, lanes, n) to (n, channels, lanes)."""
    lanes, n = x.shape[1], x.shape[2]
    whole = lanes // 8 * 8
    for c in range(x.shape[0]):
        for first in range(0, whole, 8):
            for f in range(n):
                for i in range(8):
                    out[f, c, first + i] = x[c, first + i, f]
        for lane in range(whole, lanes):
            for f in range(n):
                out[f, c, lane] = x[c, lane, f]


@njit
def frequencies_last(x: np.ndarray, out: np.ndarray) -> None:
    """Copy (n, channels, lanes) to (channels, lanes, n)."""
    lanes, n = out.shape[1], out.shape[2]
    whole = n // 8 * 8
    for c in range(out.shape[0]):
        for first in range(0, whole, 8):
            for lane in range(lanes):
                for i in range(8):
                    out[c, lane, first + i] = x[first + i, c, lane]
        for f in range(whole, n):
            for lane in range(lanes):
                out[c, lane, f] = x[f, c, lane]
