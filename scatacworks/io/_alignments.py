"""Fragments of a BAM file, one chromosome at a time."""

from __future__ import annotations

import re
import struct
from itertools import pairwise
from typing import TYPE_CHECKING, Any

import numpy as np

from scatacworks._core import bam as kernels
from scatacworks._core.fragments import FragmentBlock, Piece, Spool
from scatacworks._core.names import Names
from scatacworks.genome import Genome
from scatacworks.io._chunks import BGZF_MAGIC, Buffer, read_chunks

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from pathlib import Path

__all__ = ["AlignmentSource"]

_SINGLE = "Of single-end reads no fragments can be made: each tells only one end, and both are counted."
_COLUMNS = ("mate", "start", "end", "reverse", "cell")
_KINDS = {"mate": np.uint64, "reverse": np.bool_, "name_at": np.int64, "name_size": np.int64}


class AlignmentSource:
    """One pass over a BAM file.

    Parameters
    ----------
    path
        BAM file.
    genome
        Chromosomes to take; `None` for all sequences of the file.
    tag
        Tag that holds the barcode, or `None`.
    regex
        Pattern of the barcode in the name of the read, if there is no tag.
    bulk
        Give all alignments the name of the file as their barcode, instead.
    shift
        Added to start and end, in bp.
    """

    def __init__(
        self,
        path: Path,
        genome: Any,
        *,
        tag: str | None,
        regex: str | None = None,
        bulk: bool = False,
        shift: tuple[int, int] = (4, -5),
    ) -> None:
        self.path, self.shift, self.tag = path, shift, tag
        self.pattern = None if tag is not None or bulk else _compile(regex or "")
        if tag is not None and len(tag.encode()) != 2:
            msg = f"barcode_tag is {tag!r}; expected two letters such as 'CB'."
            raise ValueError(msg)
        self.names, self.n_fragments = Names(), 0
        self._sample = self.names.add([path.stem.encode()]) if bulk else None
        self.tally = np.zeros(3, np.int64)  # records, those that pass the filters, those with a barcode
        self._buffer = Buffer()
        self._note: Callable[[int], Any] = lambda _: None
        self._batches = self._read_batches()
        text, references = self._read_header()
        if not references:
            msg = f"{path} names no sequence in its header, as where reads are not aligned yet; align them first."
            raise ValueError(msg)
        self._sorted = "SO:coordinate" in text.partition("\n")[0]
        own = Genome(dict(references), name=path.name.split(".")[0])
        self.genome = own if genome is None else Genome(genome)
        self._codes = self.genome.resolve([name for name, _ in references])
        if not (self._codes >= 0).any():
            shown = ", ".join(name for name, _ in references[:5])
            msg = f"No sequence of {path} is a chromosome of {self.genome.name}; the file has {shown}."
            raise ValueError(msg)
        self._check_lengths(references)

    def _check_lengths(self, references: list[tuple[str, int]]) -> None:
        """Refuse another assembly; organelles are not looked at, hg19's `chrM` comes in two lengths."""
        for (name, length), code in zip(references, self._codes, strict=True):
            if code >= 0 and self.genome.nuclear[code] and length != self.genome.lengths[code]:
                msg = (
                    f"{name} has {length:,} bp in {self.path} and {self.genome.lengths[code]:,} in "
                    f"{self.genome.name}: the reads were aligned to another assembly. Pass that as genome, or none."
                )
                raise ValueError(msg)

    @property
    def tag_code(self) -> int:
        """The tag as a number, -1 without one."""
        return -1 if self.tag is None else int.from_bytes(self.tag.encode(), "little")

    @property
    def cells(self) -> Sequence[str]:
        """Barcodes in the order of their codes, so far."""
        return self.names.decode()

    def __str__(self) -> str:
        records, passed, named = self.tally.tolist()
        whose, rest = f"{len(self.names):,} barcodes", f", {named:,} of them with a barcode"
        if self._sample is not None:
            whose, rest = "one sample", ""
        return (
            f"{self.n_fragments:,} fragments of {whose}, from {records:,} alignments "
            f"({passed:,} pass the filters{rest})"
        )

    def blocks(self, filters: kernels.Filters, *, progress: bool = False) -> Iterator[FragmentBlock]:
        """Yield the fragments of each chromosome that has any, in the genome's order, sorted by start and end."""
        from tqdm.auto import tqdm

        in_order = self._sorted and bool((np.diff(self._codes[self._codes >= 0]) > 0).all())
        total = self.path.stat().st_size
        with (
            Spool() as spool,
            tqdm(total=total, unit="B", unit_scale=True, desc=self.path.name, disable=not progress) as bar,
        ):
            self._note = bar.update
            for ref, columns in self._references(filters):
                piece = self._fragments(int(self._codes[ref]), columns)
                if not len(piece.start):
                    continue
                self.n_fragments += len(piece.start)
                spool.add(int(self._codes[ref]), piece)
                if in_order:
                    yield spool.take(int(self._codes[ref]))
            for code in spool.chroms:
                yield spool.take(code)
        if not self.n_fragments:
            raise ValueError(self._none_found(filters))

    def _fragments(self, code: int, columns: list[np.ndarray]) -> Piece:
        """Join the alignments on one chromosome."""
        start, end, cell = kernels.join_mates(*columns)
        start = np.maximum(start + self.shift[0], 0).astype(np.int32)
        end = np.minimum(end + self.shift[1], self.genome.lengths[code]).astype(np.int32)
        keep = start < end
        return Piece(*kernels.collapse_duplicates(start[keep], end[keep], cell[keep]))

    def _references(self, filters: kernels.Filters) -> Iterator[tuple[int, list[np.ndarray]]]:
        """Yield the alignments on each sequence, as soon as they are complete."""
        waiting: dict[int, list[list[np.ndarray]]] = {}
        done: set[int] = set()
        for ref, columns in self._stretches(filters):
            if ref in done:
                msg = f"{self.path} says it is sorted by position but is not; sort it (samtools sort)."
                raise ValueError(msg)
            if self._sorted and ref not in waiting:
                for complete in list(waiting):
                    done.add(complete)
                    yield complete, _join(waiting.pop(complete))
            waiting.setdefault(ref, []).append(columns)
        for ref in list(waiting):
            yield ref, _join(waiting.pop(ref))

    def _stretches(self, filters: kernels.Filters) -> Iterator[tuple[int, list[np.ndarray]]]:
        """Yield alignments on one sequence, as they come."""
        while True:
            reads, n = self._parse(filters)
            ref = reads.ref[:n]
            bounds = np.concatenate([[0], np.flatnonzero(np.diff(ref)) + 1, [n]]) if n else [0]
            for low, high in pairwise(bounds):
                if ref[low] >= 0 and self._codes[ref[low]] >= 0:
                    yield int(ref[low]), [getattr(reads, name)[low:high] for name in _COLUMNS]
            if next(self._batches, None) is None:
                break
        if self._buffer.size:
            msg = f"{self.path} is truncated: it ends within an alignment. Copy the file again."
            raise ValueError(msg)

    def _parse(self, filters: kernels.Filters) -> tuple[kernels.Reads, int]:
        """Parse the whole records in the buffer and keep what is left."""
        buffer = self._buffer
        room = buffer.size // kernels.SMALLEST + 1
        reads = kernels.Reads(*(np.empty(room, _KINDS.get(name, np.int32)) for name in kernels.Reads._fields))
        self.names.reserve(len(self.names) + room, int(self.names.table.used[1]) + buffer.size + 8 * room)
        n, used = kernels.parse_records(buffer.data, 0, buffer.size, filters, self.names.table, reads, self.tally)
        if used < 0:
            raise ValueError(self._damaged("holds what is not an alignment"))
        if reads.ref[:n].max(initial=-1) >= len(self._codes):
            raise ValueError(self._damaged("has an alignment to a sequence that its header lacks"))
        if self.pattern is not None:
            reads, n = self._name_barcodes(reads, n)
        elif self._sample is not None:
            reads.cell[:n] = self._sample[0]
        buffer.keep_from(used)
        return reads, n

    def _name_barcodes(self, reads: kernels.Reads, n: int) -> tuple[kernels.Reads, int]:
        """Code the barcodes in the names of reads; reads without one are left out."""
        spans = zip(reads.name_at[:n].tolist(), reads.name_size[:n].tolist(), strict=True)
        found = [self.pattern.search(self._buffer.data[at : at + size].tobytes()) for at, size in spans]
        keep = np.fromiter((match is not None for match in found), bool, n)
        group = 1 if self.pattern.groups else 0
        codes = self.names.add([match[group] for match in found if match is not None])
        self.tally[2] -= n - len(codes)
        kept = kernels.Reads(*(column[:n][keep] for column in reads))
        return kept._replace(cell=codes), len(codes)

    def _none_found(self, filters: kernels.Filters) -> str:
        records, passed, named = self.tally.tolist()
        if not records:
            return f"{self.path} holds no alignment."
        if not passed:
            return (
                f"None of the {records:,} alignments of {self.path} passes the filters (min_mapq={filters.min_mapq}, "
                f"require_flags={filters.require:#x}, exclude_flags={filters.exclude:#x}); are the reads paired? "
                f"{_SINGLE} Pairs that are not marked as proper, as some programs write them, need require_flags=1."
            )
        if not named and self.tag is not None:
            return (
                f"No alignment of {self.path} has the tag {self.tag!r}; name the tag of the barcode with barcode_tag=, "
                "or where it is in the name of the read with barcode_regex=; a file of one sample has bulk=True."
            )
        if not named:
            return f"barcode_regex {self.pattern.pattern.decode()!r} matches no name of a read of {self.path}."
        return f"No two of the {named:,} alignments of {self.path} that pass the filters are mates. {_SINGLE}"

    def _read_header(self) -> tuple[str, list[tuple[str, int]]]:
        """Return the header's text, and name and length of the sequences; the buffer then begins with a record."""
        with self.path.open("rb") as file:
            if file.read(4) != BGZF_MAGIC:
                msg = f"{self.path} is not a BAM file. Turn SAM or CRAM into BAM first (samtools view -b)."
                raise ValueError(msg)
        if self._bytes(0, 4) != b"BAM\x01":
            msg = f"{self.path} is compressed like a BAM file but holds something else."
            raise ValueError(msg)
        n_text = self._integer(4)
        text = self._bytes(8, n_text).decode("utf-8", "replace").rstrip("\0")
        at, references = 12 + n_text, []
        for _ in range(self._integer(8 + n_text)):
            size = self._integer(at)
            name = self._bytes(at + 4, size)[:-1].decode("utf-8", "backslashreplace")
            references.append((name, self._integer(at + 4 + size)))
            if not name or references[-1][1] < 1:
                raise ValueError(self._damaged("names a sequence without a name or a length"))
            at += 8 + size
        self._buffer.keep_from(at)
        return text, references

    def _integer(self, at: int) -> int:
        return struct.unpack("<i", self._bytes(at, 4))[0]

    def _bytes(self, at: int, n: int) -> bytes:
        """Return `n` bytes of the header."""
        if n < 0:
            raise ValueError(self._damaged("states a negative length in its header"))
        while self._buffer.size < at + n:
            if next(self._batches, None) is None:
                msg = f"{self.path} is truncated: it ends within the header. Copy the file again."
                raise ValueError(msg)
        return self._buffer.data[at : at + n].tobytes()

    def _damaged(self, what: str) -> str:
        return f"{self.path} is damaged: it {what}. Copy the file again."

    def _read_batches(self) -> Iterator[int]:
        for chunk in read_chunks(self.path, "bgzf", self._used):
            yield from chunk.batches(self._buffer)

    def _used(self, n: int) -> None:
        self._note(n)  # a progress bar, once there is one


def _join(parts: list[list[np.ndarray]]) -> list[np.ndarray]:
    return [np.concatenate(columns) for columns in zip(*parts, strict=True)]


def _compile(regex: str) -> re.Pattern[bytes]:
    try:
        return re.compile(regex.encode())
    except re.error as error:
        msg = f"barcode_regex {regex!r} is not a regular expression: {error}."
        raise ValueError(msg) from error
