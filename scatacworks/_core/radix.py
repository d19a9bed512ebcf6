"""Stable order of integers by radix sort."""

from __future__ import annotations

import numpy as np

from scatacworks._numba import njit


@njit
def radix_order(keys: np.ndarray, order: np.ndarray) -> np.ndarray:
    """Stable order by non-negative int32 keys, 11 bits a pass, beginning from `order`, which is overwritten."""
    other = np.empty_like(order)
    highest = keys.max() if len(keys) else 0
    shift = 0
    while highest >> shift:
        tally = np.zeros(2049, np.int64)
        for key in keys:
            tally[((key >> shift) & 2047) + 1] += 1
        for digit in range(2048):
            tally[digit + 1] += tally[digit]
        for at in order:
            digit = (keys[at] >> shift) & 2047
            other[tally[digit]] = at
            tally[digit] += 1
        order, other = other, order
        shift += 11
    return order


@njit
def order_by(keys: np.ndarray) -> np.ndarray:
    """Stable order of non-negative int32 keys; int32."""
    return radix_order(keys, np.arange(len(keys), dtype=np.int32))
