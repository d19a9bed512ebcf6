"""Lines of fragment files to coded columns, without the GIL.

A line is `chrom, start, end, barcode[, count[, anything]]`, separated by tabs and ended by LF or CRLF. The name of the
chromosome is compared with the last line's first (one 64-bit word), numbers are read eight digits at a time and a
barcode is hashed while its end is looked for.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from scatacworks._core.names import Table, add, find, has_room, view
from scatacworks._core.words import address, load8, load64, low_bytes, number, scan_name
from scatacworks._numba import njit

__all__ = ["BAD_REASONS", "Columns", "Faults", "Rules", "parse_lines"]

TAB, LF, CR, HASH, DOT = 9, 10, 13, 35, 46
MIN_LINE = 6  # bytes of the shortest line that can be right
MAX_COUNT = 65_535

OK, NAMES_FULL = 0, 1  # what `parse_lines` returns

BAD_REASONS = (
    "",
    "has no tab-separated start and end",
    "has a start that is not a whole number of 0 or more",
    "has an end that is not a whole number",
    "has a start that is not before its end",
    "ends beyond its chromosome",
    "has no barcode in column 4",
    "has a count in column 5 that is not a whole number of 1 or more",
)
NO_COLUMNS, BAD_START, BAD_END, NO_LENGTH, BEYOND, NO_BARCODE, BAD_COUNT = range(1, 8)


UNKNOWN = 0  # count of a line without column 5, or with a full stop there


class Rules(NamedTuple):
    """What to do with a line."""

    n_cells: int  # lines of barcodes coded from here on are counted, not returned
    max_names: int  # barcodes beyond so many are not remembered
    bulk: bool  # three columns will do and every line belongs to cell 0
    chrom_codes: np.ndarray  # int32, code of every known spelling of a chromosome; -1 where it is to be skipped
    chrom_ends: np.ndarray  # int64, length of that chromosome in bp


class Columns(NamedTuple):
    """Room for parsed lines; every array is as long as there can be lines."""

    start: np.ndarray  # int32
    end: np.ndarray  # int32
    cell: np.ndarray  # int32
    count: np.ndarray  # uint16, 0 where the line has none
    run_chrom: np.ndarray  # int32, code of the chromosome of a run of lines
    run_from: np.ndarray  # int32, first line of that run


class Faults(NamedTuple):
    """The first malformed lines."""

    line: np.ndarray  # int64 (n,), number of the line within the text given, from 1
    reason: np.ndarray  # int64 (n,), into `BAD_REASONS`
    size: np.ndarray  # int64 (n,), bytes kept
    text: np.ndarray  # uint8 (n, m), the line, cut


# counters in the int64 array `tally`
LINES, COMMENTS, KEPT, RUNS, UNMATCHED, BAD, AT = range(7)
N_TALLY = 7


@njit
def _next_line(at: int) -> int:
    """Return the address behind the next line feed."""
    while load8(at) != LF:
        at += 1
    return at + 1


@njit
def _fault(at: int, reason: int, line: int, tally: np.ndarray, faults: Faults) -> int:
    """Keep a malformed line; returns the address behind it."""
    i = tally[BAD]
    tally[BAD] += 1
    if i < len(faults.line):
        faults.line[i], faults.reason[i] = line, reason
        size = 0
        while size < faults.text.shape[1] and load8(at + size) not in (LF, CR):
            faults.text[i, size] = load8(at + size)
            size += 1
        faults.size[i] = size
    return _next_line(at)


@njit(forceinline=True)
def _positions(at: int, chrom_stop: int, bulk: int) -> tuple[int, int, int, int]:
    """Read start and end; returns (start, end, address behind them, reason)."""
    start, n_start = number(at)
    at += n_start
    separated = load8(at) == TAB
    end, n_end = number(at + 1)
    at += n_end + 1
    mark = load8(at)
    reason = 0
    if start >= end or end > chrom_stop or not separated or mark != TAB:  # rare: say which
        if n_start == 0 or not separated:
            reason = BAD_START
        elif n_end == 0 or mark not in (TAB, LF, CR):
            reason = BAD_END
        elif start >= end:
            reason = NO_LENGTH
        elif end > chrom_stop:
            reason = BEYOND
        elif not bulk:
            reason = NO_BARCODE
    elif n_start == 0:
        reason = BAD_START
    return start, end, at, reason


@njit
def _count_column(at: int) -> tuple[int, int, int]:
    """Read column 5; returns (count, address behind the line, reason)."""
    count, n = number(at)
    mark = load8(at + n)
    if n == 0 and mark == DOT:
        return np.int64(UNKNOWN), _next_line(at), 0 if load8(at + 1) in (TAB, LF, CR) else BAD_COUNT
    reason = 0 if count > 0 and mark in (TAB, LF, CR) else BAD_COUNT
    return min(count, MAX_COUNT), _next_line(at + n), reason


@njit(forceinline=True)
def _rest_of_line(at: int, here: int) -> tuple[int, int, int]:
    """Read what follows the barcode from `at` to `here`; returns (count, address behind the line, reason)."""
    mark, digit = load8(here), load8(here + 1) - 48
    if mark == TAB and 1 <= digit <= 9 and load8(here + 2) == LF and here > at:
        return digit, here + 3, 0
    if here == at or mark not in (TAB, LF, CR):
        return np.int64(UNKNOWN), here, NO_BARCODE
    if mark == TAB:
        return _count_column(here + 1)
    return np.int64(UNKNOWN), _next_line(here), 0


@njit
def _find_chromosome(at: int, chroms: Table, rules: Rules) -> tuple[int, int, int, int]:
    """Look up or add the name of a chromosome.

    Returns
    -------
    Its place among the names (-1: no room), its code in the genome (-1: to be skipped), its end, and the bytes to skip
    (0: the line has no columns).
    """
    here, key = scan_name(at)
    size = here - at
    if size == 0 or load8(here) != TAB:
        return np.int64(-1), np.int64(-1), np.int64(0), np.int64(0)
    place = find(view(chroms), at, size, key)
    if place < 0 and has_room(chroms, size):
        place = add(chroms, at, size, key)
    if 0 <= place < len(rules.chrom_codes):
        return place, np.int64(rules.chrom_codes[place]), rules.chrom_ends[place], size + 1
    return place, np.int64(-1), np.int64(2**31 - 1), size + 1


@njit
def _new_barcode(at: int, size: int, key: np.uint64, rules: Rules, barcodes: Table) -> int:
    """Add a barcode; returns its code, -1 if enough are known, or -2 if the table must grow first."""
    if barcodes.used[0] >= rules.max_names:
        return np.int64(-1)
    return add(barcodes, at, size, key) if has_room(barcodes, size) else np.int64(-2)


@njit
def parse_lines(
    text: np.ndarray,
    at: int,
    stop: int,
    rules: Rules,
    chroms: Table,
    chrom_counts: np.ndarray,
    barcodes: Table,
    columns: Columns,
    tally: np.ndarray,
    faults: Faults,
) -> int:
    """Parse the whole lines of `text[at:stop]`.

    Parameters
    ----------
    text, at, stop
        uint8; `text[stop - 1]` is a line feed and `PAD` bytes behind `stop` are readable.
    rules
        A :class:`Rules`.
    chroms
        A :class:`~scatacworks._core.names.Table`; unknown names are added.
    chrom_counts
        int64, one more than `chroms` has room for; lines of the names that are skipped are counted.
    barcodes
        As `chroms`.
    columns
        :class:`Columns`, filled from `tally[KEPT]` on.
    tally
        int64 `(N_TALLY,)`, counted up; `tally[AT]` is where parsing ended.
    faults
        :class:`Faults`.

    Returns
    -------
    `OK`, or `NAMES_FULL` when `barcodes` must grow before parsing goes on from `tally[AT]`.
    """
    kept, run, lines, unmatched = tally[KEPT], tally[RUNS], tally[LINES], 0
    chrom_word, chrom_mask, chrom_skip = np.uint64(1), np.uint64(0), np.int64(0)
    place, chrom, chrom_stop = np.int64(-1), np.int64(-1), np.int64(0)
    last_chrom = np.int64(columns.run_chrom[run - 1]) if run > 0 else np.int64(-1)
    names, n_cells, bulk = view(barcodes), rules.n_cells, rules.bulk
    starts, ends, cells, counts = columns.start, columns.end, columns.cell, columns.count
    begin, status = address(text), OK
    at, stop = at + begin, stop + begin
    while at < stop:
        line, lines = at, lines + 1
        if load64(at) & chrom_mask != chrom_word:
            chrom_mask, chrom_word = np.uint64(0), np.uint64(1)
            if load8(at) in (HASH, LF, CR):
                tally[COMMENTS] += 1
                at = _next_line(at)
                continue
            place, chrom, chrom_stop, chrom_skip = _find_chromosome(at, chroms, rules)
            if chrom_skip == 0:
                at = _fault(line, NO_COLUMNS, lines, tally, faults)
                continue
            if chrom_skip <= 8:
                chrom_mask = low_bytes(~np.uint64(0), chrom_skip)
                chrom_word = load64(at) & chrom_mask
        start, end, at, reason = _positions(at + chrom_skip, chrom_stop, bulk)
        code, count = np.int64(0), np.int64(UNKNOWN)
        if reason == 0 and bulk:
            at = _next_line(at)
        elif reason == 0:
            at += 1
            here, key = scan_name(at)
            count, after, reason = _rest_of_line(at, here)
            if reason == 0 and chrom >= 0:
                code = find(names, at, here - at, key)
                if code < 0:
                    code = _new_barcode(at, here - at, key, rules, barcodes)
                    if code == -2:
                        at, lines, status = line, lines - 1, NAMES_FULL
                        break
            at = after
        if reason != 0:
            at = _fault(line, reason, lines, tally, faults)
        elif chrom < 0:
            chrom_counts[place] += 1  # -1, a name there was no room for, counts in the last place
        elif code < 0 or code >= n_cells:
            unmatched += 1
        else:
            if chrom != last_chrom:
                columns.run_chrom[run], columns.run_from[run] = chrom, kept
                last_chrom = chrom
                run += 1
            starts[kept], ends[kept], cells[kept], counts[kept] = start, end, code, count
            kept += 1
    tally[KEPT], tally[RUNS], tally[LINES], tally[AT] = kept, run, lines, at - begin
    tally[UNMATCHED] += unmatched
    return status


@njit
def line_bounds(text: np.ndarray, n: int) -> tuple[int, int]:
    """Return the positions behind the first and the last line feed of `text[:n]`; 0 where there is none."""
    first, last = 0, 0
    for i in range(n):
        if text[i] == LF:
            first = i + 1
            break
    for i in range(n - 1, -1, -1):
        if text[i] == LF:
            last = i + 1
            break
    return first, last
