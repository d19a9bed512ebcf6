"""Fragments as columns: grouped by chromosome, sorted, and kept in memory or spilled to disk until asked for."""

from __future__ import annotations

import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import numpy as np

from scatacworks._core import pages
from scatacworks._core.radix import radix_order
from scatacworks._numba import njit

__all__ = ["FragmentBlock", "Spool", "group_by_chromosome", "make_block", "without"]


@dataclass(frozen=True)
class FragmentBlock:
    """All fragments of one chromosome, sorted by start, then end.

    Positions are 0-based and half-open: the fragment covers `[start, end)`, its cut sites are `start` and `end - 1`.
    """

    chrom: int  # code of the chromosome in the genome
    start: np.ndarray  # int32 (n,)
    end: np.ndarray  # int32 (n,)
    cell: np.ndarray  # int32 (n,), index of the cell
    count: np.ndarray  # uint16 (n,), column 5 (reads behind the fragment), 0 where it is not known

    def __len__(self) -> int:
        return len(self.start)


class Piece(NamedTuple):
    """Fragments of one chromosome, in the order of the file."""

    start: np.ndarray
    end: np.ndarray
    cell: np.ndarray
    count: np.ndarray

    @property
    def nbytes(self) -> int:
        """Bytes of memory."""
        return sum(column.nbytes for column in self)


def without(piece: Piece, spans: np.ndarray) -> Piece:
    """Leave out fragments with a cut site in `spans`, sorted and disjoint intervals `(n, 2)`."""
    starts, ends = spans.astype(np.int32).T
    outside = np.ones(len(piece.start), bool)
    for site in (piece.start, piece.end - 1):
        outside &= np.searchsorted(starts, site, "right") == np.searchsorted(ends, site, "right")
    return piece if outside.all() else Piece(*(column[outside] for column in piece))


_TYPES = (np.int32, np.int32, np.int32, np.uint16)


@njit
def group_by_chromosome(
    columns: tuple[np.ndarray, ...], run_chrom: np.ndarray, run_from: np.ndarray, n_runs: int, n: int, n_chroms: int
) -> tuple[np.ndarray, ...]:
    """Bring the fragments of a chromosome together, in the order of the file.

    Parameters
    ----------
    columns
        Tuple of start, end, cell and count, `(>= n,)` each.
    run_chrom, run_from
        Chromosome and first fragment of every run.
    n_runs, n, n_chroms
        Runs, fragments and chromosomes; the arrays may have room for more.

    Returns
    -------
    start, end, cell, count `(n,)` and bounds `(n_chroms + 1,)` of the chromosomes in them.
    """
    bounds = np.zeros(n_chroms + 1, np.int64)
    for i in range(n_runs):
        stop = run_from[i + 1] if i + 1 < n_runs else n
        bounds[run_chrom[i] + 1] += stop - run_from[i]
    for i in range(n_chroms):
        bounds[i + 1] += bounds[i]
    at = bounds[:-1].copy()
    start, end = np.empty(n, np.int32), np.empty(n, np.int32)
    cell, count = np.empty(n, np.int32), np.empty(n, np.uint16)
    for i in range(n_runs):
        low, stop = run_from[i], run_from[i + 1] if i + 1 < n_runs else n
        to = at[run_chrom[i]]
        for j in range(low, stop):
            start[to], end[to] = columns[0][j], columns[1][j]
            cell[to], count[to] = columns[2][j], columns[3][j]
            to += 1
        at[run_chrom[i]] = to
    return start, end, cell, count, bounds


@njit
def _is_sorted(start: np.ndarray, end: np.ndarray) -> bool:
    """Tell whether fragments are in order of start, then end."""
    for i in range(1, len(start)):
        if start[i] < start[i - 1] or (start[i] == start[i - 1] and end[i] < end[i - 1]):
            return False
    return True


def make_block(chrom: int, pieces: list[Piece]) -> FragmentBlock:
    """Join pieces of a chromosome and sort them by start and end; ties keep the order. Empties the list of pieces."""
    parts = [list(column) for column in zip(*pieces, strict=True)]
    pieces.clear()  # memory holds one column twice, not all
    columns = [_join(parts.pop(0)) for _ in range(4)]
    start, end = columns[:2]
    if not _is_sorted(start, end):
        order = np.arange(len(start))
        for key in (end, start):
            order = radix_order(key, order)
        columns = [column[order] for column in columns]
    return FragmentBlock(chrom, *columns)


def _join(parts: list[np.ndarray]) -> np.ndarray:
    """Concatenate one column."""
    return parts[0] if len(parts) == 1 else np.concatenate(parts, out=pages.empty(sum(map(len, parts)), parts[0].dtype))


class _Growing:
    """Fragments of one chromosome, appended to: pieces that came from other threads can be let go of at once."""

    def __init__(self) -> None:
        self.n = 0
        self._columns = [np.empty(0, kind) for kind in _TYPES]

    def append(self, piece: Piece) -> None:
        """Add fragments."""
        before, self.n = self.n, self.n + len(piece.start)
        for i, part in enumerate(piece):
            if self.n > len(self._columns[i]):
                larger = pages.empty(4 * self.n if before else self.n, part.dtype)  # what is not used takes no memory
                larger[:before] = self._columns[i][:before]
                self._columns[i] = larger
            self._columns[i][before : self.n] = part

    def piece(self) -> Piece:
        """Return all of them."""
        return Piece(*(column[: self.n] for column in self._columns))


class Spool:
    """Fragments waiting for their turn, per chromosome; beyond `limit` bytes they go to temporary files.

    Used as a context manager, which removes the files.
    """

    def __init__(self, limit: int = 2 << 30, folder: str | Path | None = None) -> None:
        self.limit, self._folder = limit, folder
        self._held: dict[int, _Growing] = {}
        self._spilled: dict[int, list[int]] = {}  # chromosome -> fragments of each piece in its file
        self._nbytes = 0
        self._files: tempfile.TemporaryDirectory | None = None

    def __enter__(self) -> Spool:
        return self

    def __exit__(self, *_: object) -> None:
        if self._files is not None:
            self._files.cleanup()
        self._held, self._spilled = {}, {}

    @property
    def chroms(self) -> list[int]:
        """Chromosomes that have fragments here, in order."""
        return sorted(self._held.keys() | self._spilled.keys())

    def add(self, chrom: int, piece: Piece) -> None:
        """Keep a piece."""
        self._held.setdefault(chrom, _Growing()).append(piece)
        self._nbytes += piece.nbytes
        if self._nbytes > self.limit:
            for code in list(self._held):
                self._spill(code)

    def take(self, chrom: int) -> FragmentBlock:
        """Remove a chromosome and return it."""
        pieces = self._unspill(chrom)
        if chrom in self._held:
            pieces.append(self._release(chrom))
        return make_block(chrom, pieces)

    def _release(self, chrom: int) -> Piece:
        piece = self._held.pop(chrom).piece()
        self._nbytes -= piece.nbytes
        return piece

    def _spill(self, chrom: int) -> None:
        if self._files is None:
            self._files = tempfile.TemporaryDirectory(prefix="scatacworks-", dir=self._folder)
        piece = self._release(chrom)
        with (Path(self._files.name) / str(chrom)).open("ab") as out:
            for column in piece:
                out.write(memoryview(column).cast("B"))
        self._spilled.setdefault(chrom, []).append(len(piece.start))

    def _unspill(self, chrom: int) -> list[Piece]:
        if chrom not in self._spilled:
            return []
        path = Path(self._files.name) / str(chrom)
        with path.open("rb") as file:
            pieces = [Piece(*(np.fromfile(file, kind, size) for kind in _TYPES)) for size in self._spilled.pop(chrom)]
        path.unlink()
        return pieces
