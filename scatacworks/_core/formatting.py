"""Coded columns to lines of a fragment file."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from scatacworks._numba import njit

if TYPE_CHECKING:
    from collections.abc import Iterable


@njit
def _put_number(out: np.ndarray, at: int, value: int) -> int:
    """Write a number of 0 or more; returns the position behind it."""
    stop, left = at + 1, value
    while left >= 10:
        left //= 10
        stop += 1
    for i in range(stop - 1, at - 1, -1):
        out[i] = 48 + value % 10
        value //= 10
    return stop


@njit
def _put_lines(
    out: np.ndarray,
    chrom: np.ndarray,
    start: np.ndarray,
    end: np.ndarray,
    cell: np.ndarray,
    count: np.ndarray,
    arena: np.ndarray,
    offsets: np.ndarray,
) -> int:
    """Write all lines; returns the bytes written."""
    at = 0
    for i in range(len(start)):
        for byte in chrom:
            out[at] = byte
            at += 1
        out[at] = 9
        at = _put_number(out, at + 1, np.int64(start[i]))
        out[at] = 9
        at = _put_number(out, at + 1, np.int64(end[i]))
        out[at] = 9
        at += 1
        for j in range(offsets[cell[i]], offsets[cell[i] + 1]):
            out[at] = arena[j]
            at += 1
        out[at] = 9
        at = _put_number(out, at + 1, max(np.int64(count[i]), np.int64(1)))
        out[at] = 10
        at += 1
    return at


class PackedNames(NamedTuple):
    """Names one after the other."""

    arena: np.ndarray  # uint8
    offsets: np.ndarray  # int64 (n + 1,)


def pack_names(names: Iterable[str]) -> PackedNames:
    """Pack names for :func:`format_fragments`."""
    encoded = [str(name).encode() for name in names]
    sizes = np.fromiter((len(name) for name in encoded), np.int64, len(encoded))
    return PackedNames(np.frombuffer(b"".join(encoded), np.uint8), np.concatenate([[0], np.cumsum(sizes)]))


def format_fragments(
    chrom: str, start: np.ndarray, end: np.ndarray, cell: np.ndarray, count: np.ndarray, barcodes: PackedNames
) -> bytes:
    """Return the lines of fragments of one chromosome.

    Parameters
    ----------
    chrom
        Name of the chromosome.
    start, end, cell, count
        Integer arrays of one length; `cell` indexes `barcodes`. A count of 0, which is not known, is written as 1.
    barcodes
        Of :func:`pack_names`.
    """
    encoded = np.frombuffer(chrom.encode(), np.uint8)
    room = int(np.diff(barcodes.offsets)[cell].sum()) + len(start) * (len(encoded) + 3 * 10 + 5)
    out = np.empty(room, np.uint8)
    return out[: _put_lines(out, encoded, start, end, cell, count, *barcodes)].tobytes()
