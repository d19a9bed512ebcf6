"""Alignments to fragments: records of a BAM file, mates joined by the hash of their name, duplicates collapsed."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from scatacworks._core.names import Table, add, find, view
from scatacworks._core.words import address, hash_bytes, load8, load16, load32
from scatacworks._numba import njit

__all__ = ["SMALLEST", "Filters", "Reads", "collapse_duplicates", "join_mates", "parse_records"]

SMALLEST = 37  # bytes of a record whose read has no name, no bases and no tags
_HEADER = 36  # bytes of a record before the name of the read
_REVERSE = 0x10
_SIZES = np.zeros(128, np.int64)  # bytes of a tag's value, by its type
for _kind, _size in zip("AcCsSiIf", (1, 1, 1, 2, 2, 4, 4, 4), strict=True):
    _SIZES[ord(_kind)] = _size
_CONSUMES = np.array([1, 0, 1, 1, 0, 0, 0, 1, 1] + [0] * 7, np.int64)  # CIGAR operations that move along the genome


class Filters(NamedTuple):
    """Which alignments to take."""

    min_mapq: int
    require: int  # flags that must all be set
    exclude: int  # flags that must not be set
    tag: int  # the two letters of the barcode's tag, little-endian; -1 to leave barcodes to the caller


class Reads(NamedTuple):
    """Room for alignments; every array is as long as there can be records."""

    mate: np.ndarray  # uint64, hash of the read's name: the same for both mates
    ref: np.ndarray  # int32, reference sequence
    start: np.ndarray  # int32, leftmost aligned base
    end: np.ndarray  # int32, behind the rightmost
    reverse: np.ndarray  # bool
    cell: np.ndarray  # int32, code of the barcode
    name_at: np.ndarray  # int64, where the name of the read begins in the data
    name_size: np.ndarray  # int64, its bytes


@njit
def _reference_span(at: int, n: int) -> int:
    """Return the bases of the genome that `n` CIGAR operations cover."""
    span = np.int64(0)
    for i in range(n):
        operation = load32(at + 4 * i)
        span += _CONSUMES[operation & 15] * (operation >> 4)
    return span


@njit
def _find_tag(at: int, stop: int, tag: int) -> tuple[int, int]:
    """Return address and bytes of a text tag; (0, -1) where it is not there."""
    while at + 3 <= stop:
        here, kind = load16(at), load8(at + 2)
        at += 3
        if kind in (90, 72):  # Z, H: text ended by zero
            begin = at
            while at < stop and load8(at) != 0:
                at += 1
            if here == tag:
                return begin, at - begin
            at += 1
        elif kind == 66:  # B: an array
            at += 5 + _SIZES[load8(at) & 127] * load32(at + 1)
        else:
            at += max(1, _SIZES[kind & 127])
    return 0, -1


@njit
def parse_records(
    data: np.ndarray, at: int, stop: int, filters: Filters, barcodes: Table, reads: Reads, tally: np.ndarray
) -> tuple[int, int]:
    """Take the alignments that pass from the whole records of `data[at:stop]`.

    Parameters
    ----------
    data, at, stop
        uint8, and which part of it holds records.
    filters
        Which alignments pass, and where their barcode is.
    barcodes
        Table with room for as many new names as there can be records.
    reads
        Columns with room for as many alignments; filled from the first on.
    tally
        int64 `(3,)`, counted up: records, those that pass the filters, those among them with a barcode.

    Returns
    -------
    Number of alignments in `reads`, and where the first record that is not whole begins (-1: not a record).
    """
    begin, n, names = address(data), 0, view(barcodes)
    while at + 4 <= stop:
        size = load32(begin + at)
        if size < SMALLEST - 4 or size > 1 << 30:
            return n, -1
        if at + 4 + size > stop:
            break
        record, record_stop = begin + at, begin + at + 4 + size
        name, name_size, n_ops = record + _HEADER, load8(record + 12) - 1, load16(record + 16)
        length = load32(record + 20)
        tags = name + name_size + 1 + 4 * n_ops + (length + 1) // 2 + length
        if name_size < 0 or tags > record_stop:
            return n, -1
        at += 4 + size
        tally[0] += 1
        flag = load16(record + 18)
        if load8(record + 13) < filters.min_mapq or flag & filters.exclude or flag & filters.require != filters.require:
            continue
        tally[1] += 1
        code = np.int64(-1)
        if filters.tag >= 0:
            barcode, barcode_size = _find_tag(tags, record_stop, filters.tag)
            if barcode_size <= 0:
                continue
            key = hash_bytes(barcode, barcode_size)
            code = find(names, barcode, barcode_size, key)
            code = code if code >= 0 else add(barcodes, barcode, barcode_size, key)
        tally[2] += 1
        start = load32(record + 8)
        reads.mate[n], reads.ref[n], reads.cell[n] = hash_bytes(name, name_size), load32(record + 4), code
        reads.start[n], reads.end[n] = start, start + _reference_span(name + name_size + 1, n_ops)
        reads.reverse[n] = flag & _REVERSE != 0
        reads.name_at[n], reads.name_size[n] = name - begin, name_size
        n += 1
    return n, at


@njit
def _pairs(order: np.ndarray, mate: np.ndarray, reverse: np.ndarray, cell: np.ndarray, pairs: np.ndarray) -> int:
    """Find neighbours in the order of names that are mates on opposite strands; writes (forward, reverse)."""
    n, i = 0, 0
    while i + 1 < len(order):
        a, b = order[i], order[i + 1]
        if mate[a] == mate[b] and cell[a] == cell[b] and reverse[a] != reverse[b]:
            pairs[n, 0], pairs[n, 1] = (b, a) if reverse[a] else (a, b)
            n, i = n + 1, i + 2
        else:
            i += 1
    return n


def join_mates(
    mate: np.ndarray, start: np.ndarray, end: np.ndarray, reverse: np.ndarray, cell: np.ndarray
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Join the mates on one chromosome to fragments from the forward mate's first base to the reverse mate's last.

    Returns
    -------
    start, end (bp, 0-based, half-open, not shifted) and cell; int32 each. Reads without a mate are left out.
    """
    order = np.argsort(mate, kind="stable")
    pairs = np.empty((len(order) // 2 + 1, 2), np.int64)
    n = _pairs(order, mate, reverse, cell, pairs)
    forward, backward = pairs[:n, 0], pairs[:n, 1]
    return start[forward], end[backward], cell[forward]


def collapse_duplicates(
    start: np.ndarray, end: np.ndarray, cell: np.ndarray
) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Make one of the fragments of a cell with the same start and end.

    Returns
    -------
    start, end, cell (int32), sorted by start, end and cell, and the number of each (uint16, at most 65,535).
    """
    order = np.lexsort((cell, end, start))
    start, end, cell = start[order], end[order], cell[order]
    new = np.ones(len(start), bool)
    new[1:] = (np.diff(start) != 0) | (np.diff(end) != 0) | (np.diff(cell) != 0)
    first = np.flatnonzero(new)
    count = np.minimum(np.diff(np.append(first, len(start))), 65_535).astype(np.uint16)
    return start[first], end[first], cell[first], count
