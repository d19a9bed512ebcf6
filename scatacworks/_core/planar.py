"""Spectra with frequencies outermost and complex numbers as two real planes.

A product of complex matrices per frequency is then one batched product of real matrices.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from scatacworks._numba import njit

if TYPE_CHECKING:
    import numpy as np

_BLOCK = 16  # lanes that are transposed together: a cache line


@njit
def split(pairs: np.ndarray, planes: np.ndarray) -> None:
    """Copy (c, lanes, 2 n) interleaved real and imaginary parts to (n, 2 c, lanes), real rows first."""
    n_rows, lanes = pairs.shape[0], pairs.shape[1]
    for c in range(n_rows):
        for first in range(0, lanes, _BLOCK):
            last = min(first + _BLOCK, lanes)
            for f in range(planes.shape[0]):
                real, imag = planes[f, c], planes[f, n_rows + c]
                for i in range(first, last):
                    real[i] = pairs[c, i, 2 * f]
                    imag[i] = pairs[c, i, 2 * f + 1]


@njit
def join(planes: np.ndarray, pairs: np.ndarray) -> None:
    """Undo :func:`split`."""
    n_rows, lanes = pairs.shape[0], pairs.shape[1]
    for c in range(n_rows):
        for first in range(0, lanes, _BLOCK):
            last = min(first + _BLOCK, lanes)
            for f in range(planes.shape[0]):
                real, imag = planes[f, c], planes[f, n_rows + c]
                for i in range(first, last):
                    pairs[c, i, 2 * f] = real[i]
                    pairs[c, i, 2 * f + 1] = imag[i]
