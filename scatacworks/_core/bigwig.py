"""Write bigWig files from runs: sections compressed by several threads, zoom levels in one compiled pass."""

from __future__ import annotations

import struct
import zlib
from typing import TYPE_CHECKING, BinaryIO, NamedTuple

import numpy as np
from isal import isal_zlib

from scatacworks._core import bigwig_format as fmt
from scatacworks._numba import njit

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from concurrent.futures import ThreadPoolExecutor

MAX_ZOOMS = 10
_ZOOM_STEP = 4  # each zoom level is this much coarser than the one before
_SECTIONS_PER_TASK = 32
_LEVEL = 1  # of isal's 0 to 3: higher ones gain 1 % in size
_FEW_BYTES = 4096  # of a section, below which isal is not used
_RUNS_PER_RECORD = 32  # of the finest zoom level, roughly; finer ones take much space and save little reading
_LEAST_REDUCTION = 256
_LONG = 200  # bp; longer runs, such as zeros between cut sites, do not make the finest level coarser


class _Sections(NamedTuple):
    """Compressed sections of one chromosome, their index leaves, and the number of records in them."""

    leaves: np.ndarray
    blobs: list[bytes]
    n_records: int


class Writer:
    """Write one bigWig file, chromosome by chromosome.

    Parameters
    ----------
    handle
        Binary file opened for writing, seekable.
    sizes
        Chromosome -> length in bp. :attr:`chroms` is the order (by name) in which they must be added.
    pool
        Threads that compress.
    """

    def __init__(self, handle: BinaryIO, sizes: Mapping[str, int], *, pool: ThreadPoolExecutor) -> None:
        self.chroms = sorted(sizes, key=str.encode)
        self._codes = {chrom: code for code, chrom in enumerate(self.chroms)}
        self._handle, self._pool = handle, pool
        self._leaves: list[np.ndarray] = []
        self._zooms: list[list[_Sections]] = [[] for _ in range(MAX_ZOOMS)]
        self._reduction = 0  # of the finest zoom level; the first chromosome with runs decides
        self._buffer_bytes = 0
        self._summaries: list[tuple[float, ...]] = []
        # header, zoom headers and summary are known at the end only
        handle.write(bytes(fmt.HEADER_BYTES + fmt.ZOOM_HEADER_BYTES * MAX_ZOOMS + fmt.SUMMARY_BYTES))
        self._chrom_offset = handle.tell()
        handle.write(fmt.chrom_tree(self.chroms, sizes))
        self._data_offset = handle.tell()
        handle.write(bytes(8))

    def add(self, chrom: str, starts: np.ndarray, lengths: np.ndarray | None, values: np.ndarray) -> None:
        """Add the sorted, non-overlapping runs of one chromosome."""
        if len(starts) == 0:
            return
        items = np.empty(len(starts), fmt.ITEM)
        items["start"], items["value"] = starts, values
        items["end"] = starts + (1 if lengths is None else lengths)
        code = self._codes[chrom]
        leaves = fmt.leaves_of(items, code)
        blobs = self._compress(items, fmt.section_headers(leaves, len(items)))
        self._leaves.append(self._write_blobs(leaves, blobs))
        self._add_zooms(code, items)

    def close(self) -> None:
        """Write the index, the zoom levels and the header."""
        leaves = _concatenate(self._leaves)
        index_offset = self._handle.tell()
        self._handle.write(fmt.index(leaves, index_offset))
        zooms = self._write_zooms()
        self._handle.write(struct.pack("<I", fmt.MAGIC))
        summary_offset = fmt.HEADER_BYTES + fmt.ZOOM_HEADER_BYTES * MAX_ZOOMS
        offsets = (self._chrom_offset, self._data_offset, index_offset, 0, 0, 0, summary_offset)
        self._handle.seek(0)
        self._handle.write(struct.pack("<IHHQQQHHQQIQ", fmt.MAGIC, 4, len(zooms), *offsets, self._buffer_bytes, 0))
        for reduction, data, index in zooms:
            self._handle.write(struct.pack("<IIQQ", reduction, 0, data, index))
        self._handle.seek(summary_offset)
        self._handle.write(struct.pack("<Qdddd", *_total(self._summaries)))
        self._handle.seek(self._data_offset)
        self._handle.write(struct.pack("<Q", len(leaves)))

    def _compress(self, items: np.ndarray, headers: np.ndarray | None) -> Iterator[bytes]:
        """Yield the compressed sections of `items` in order."""
        head = 0 if headers is None else headers.itemsize
        in_largest = min(len(items), fmt.ITEMS_PER_SECTION)
        self._buffer_bytes = max(self._buffer_bytes, head + in_largest * items.itemsize)
        tasks = range(0, -(-len(items) // fmt.ITEMS_PER_SECTION), _SECTIONS_PER_TASK)
        if len(tasks) == 1:  # as of most scaffolds, for which a thread costs more than the work
            yield from _compress_sections(items, headers, 0)
            return
        for blobs in self._pool.map(lambda first: _compress_sections(items, headers, first), tasks):
            yield from blobs

    def _write_blobs(self, leaves: np.ndarray, blobs: Iterator[bytes] | list[bytes]) -> np.ndarray:
        """Write sections and note in their leaves where they are."""
        sizes = [self._handle.write(blob) for blob in blobs]
        leaves["size"] = sizes
        leaves["offset"] = self._handle.tell() - np.cumsum(sizes[::-1])[::-1]
        return leaves

    def _add_zooms(self, code: int, items: np.ndarray) -> None:
        spans = items["end"] - items["start"]
        per_run = np.minimum(spans, _LONG).mean()
        self._reduction = self._reduction or max(_LEAST_REDUCTION, int(_RUNS_PER_RECORD * per_run))
        reduction = self._reduction
        positions, stats = summarize_runs(items["start"], items["end"], items["value"], reduction)
        self._summaries.append(
            (int(positions[:, 2].sum()), stats[:, 0].min(), stats[:, 1].max(), stats[:, 2].sum(), stats[:, 3].sum())
        )
        for level in self._zooms:
            records = _zoom_records(code, positions, stats)
            level.append(_Sections(fmt.leaves_of(records, code), list(self._compress(records, None)), len(records)))
            reduction *= _ZOOM_STEP
            positions, stats = summarize_records(positions, stats, reduction)

    def _write_zooms(self) -> list[tuple[int, int, int]]:
        """Write the levels; return reduction, offset of the data and offset of the index of each."""
        written = []
        last = np.inf
        for i, level in enumerate(self._zooms):
            n_records = sum(sections.n_records for sections in level)
            if not level or n_records >= last:
                break  # nothing is gained by a coarser level
            last = n_records
            data_offset = self._handle.tell()
            self._handle.write(struct.pack("<I", n_records))
            leaves = _concatenate([self._write_blobs(sections.leaves, sections.blobs) for sections in level])
            index_offset = self._handle.tell()
            self._handle.write(fmt.index(leaves, index_offset))
            written.append((self._reduction * _ZOOM_STEP**i, data_offset, index_offset))
        return written


def _concatenate(leaves: list[np.ndarray]) -> np.ndarray:
    return np.concatenate(leaves) if leaves else np.empty(0, fmt.LEAF)


def _compress_sections(items: np.ndarray, headers: np.ndarray | None, first: int) -> list[bytes]:
    """Compress the sections `first`, `first + 1`, … of one task."""
    blobs = []
    last = min(first + _SECTIONS_PER_TASK, -(-len(items) // fmt.ITEMS_PER_SECTION))
    for section in range(first, last):
        body = items[section * fmt.ITEMS_PER_SECTION : (section + 1) * fmt.ITEMS_PER_SECTION].tobytes()
        head = b"" if headers is None else headers[section].tobytes()
        blobs.append(_compress(head + body))
    return blobs


def _compress(section: bytes) -> bytes:
    """Compress a section to the same bytes in every process, which isal seldom fails to do, up to some 2,500 bytes."""
    return zlib.compress(section) if len(section) < _FEW_BYTES else isal_zlib.compress(section, _LEVEL)


def _total(summaries: list[tuple[float, ...]]) -> tuple[float, ...]:
    """Combine covered bases, minimum, maximum, sum and sum of squares over chromosomes."""
    if not summaries:
        return 0, 0.0, 0.0, 0.0, 0.0
    covered, low, high, total, squares = zip(*summaries, strict=True)
    return sum(covered), min(low), max(high), sum(total), sum(squares)


def _zoom_records(code: int, positions: np.ndarray, stats: np.ndarray) -> np.ndarray:
    records = np.empty(len(positions), fmt.ZOOM)
    records["chrom"] = code
    records["start"], records["end"], records["valid"] = positions.T
    records["min"], records["max"], records["sum"], records["sum_squares"] = stats.T
    return records


@njit
def summarize_runs(
    starts: np.ndarray, ends: np.ndarray, values: np.ndarray, bin_size: int
) -> tuple[np.ndarray, np.ndarray]:
    """Return one record per bin that holds covered bases, and a single one for all bins that a run covers whole.

    Positions (int64, `(n, 3)`) are the first covered base, the end of the last one, and the number of covered bases;
    statistics (float64, `(n, 4)`) are minimum, maximum, sum and sum of squares.
    """
    n_records = 0  # at most
    current = -1
    for i in range(len(starts)):
        first, last = starts[i] // bin_size, (ends[i] - 1) // bin_size
        n_records += (first != current) + (last > first) + (last > first + 1)
        current = last
    positions = np.empty((n_records, 3), np.int64)
    stats = np.empty((n_records, 4), np.float64)
    record, current = -1, -1
    for i in range(len(starts)):
        record, current = _add_run(
            positions, stats, record, current, np.int64(starts[i]), np.int64(ends[i]), np.float64(values[i]), bin_size
        )
    return positions[: record + 1].copy(), stats[: record + 1].copy()


@njit
def summarize_records(positions: np.ndarray, stats: np.ndarray, bin_size: int) -> tuple[np.ndarray, np.ndarray]:
    """Merge records into bins of a multiple of their size; the form is that of :func:`summarize_runs`."""
    out_positions = np.empty((3 * len(positions), 3), np.int64)
    out_stats = np.empty((3 * len(positions), 4), np.float64)
    record, current = -1, -1
    for i in range(len(positions)):
        here = positions[i, 0] // bin_size
        if (positions[i, 1] - 1) // bin_size > here:  # of several bins, so all of it has one value
            record, current = _add_run(
                out_positions, out_stats, record, current, positions[i, 0], positions[i, 1], stats[i, 0], bin_size
            )
            continue
        if here != current:
            record, current = record + 1, here
            out_positions[record], out_stats[record] = positions[i], stats[i]
            continue
        out_positions[record, 1] = positions[i, 1]
        out_positions[record, 2] += positions[i, 2]
        out_stats[record, 0] = min(out_stats[record, 0], stats[i, 0])
        out_stats[record, 1] = max(out_stats[record, 1], stats[i, 1])
        out_stats[record, 2] += stats[i, 2]
        out_stats[record, 3] += stats[i, 3]
    return out_positions[: record + 1].copy(), out_stats[: record + 1].copy()


@njit
def _add_run(
    positions: np.ndarray,
    stats: np.ndarray,
    record: int,
    current: int,
    start: int,
    end: int,
    value: float,
    bin_size: int,
) -> tuple[int, int]:
    """Add a run to the record of its first bin, one of all bins between, and one of its last; return the last."""
    last = (end - 1) // bin_size
    while start < end:
        here = start // bin_size
        stop = end if here == last else (here + 1 if here == current or start % bin_size else last) * bin_size
        if here != current:
            record, current = record + 1, here
            positions[record] = start, stop, 0
            stats[record] = value, value, 0.0, 0.0
        n = stop - start
        positions[record, 1] = stop
        positions[record, 2] += n
        stats[record, 0], stats[record, 1] = min(stats[record, 0], value), max(stats[record, 1], value)
        stats[record, 2] += n * value
        stats[record, 3] += n * value * value
        start = stop
    return record, last
