"""One pass over a fragment file: chunks are parsed by threads, joined in order, no line lost."""

from __future__ import annotations

import threading
from codecs import BOM_UTF8
from collections import deque
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from scatacworks import _threads
from scatacworks._core import parsing
from scatacworks._core.fragments import Piece, group_by_chromosome
from scatacworks._core.names import Names
from scatacworks._core.parsing import AT, BAD, COMMENTS, KEPT, LINES, N_TALLY, RUNS, UNMATCHED
from scatacworks.genome import MITOCHONDRIAL, PLASTID, Genome, built_in_sizes
from scatacworks.io._chunks import Buffer, Chunk, Text, file_kind, read_chunks
from scatacworks.io._report import BadLine, FragmentReport

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

_ALL = np.iinfo(np.int32).max
_MAX_CONTIGS = 4096  # names of sequences outside the genome that are told apart
_MAX_LINE = 1 << 26
_EXAMPLES = 1000  # unmatched barcodes remembered when their exact number is not asked for
_HEADER_NAMES = {"start", "chromstart", "chrom_start", "begin", "fragmentstart"}


@dataclass(frozen=True)
class Settings:
    """How to read a file. `cells` are its barcodes in the order of their codes; `None` takes every barcode."""

    genome: Genome
    cells: Sequence[str] | None = None
    bulk: bool = False
    skip_malformed: bool = False
    count_unmatched: bool = False


@dataclass
class Parsed:
    """The fragments of a chunk, by chromosome."""

    head: bytes  # what belongs to the last line of the chunk before
    tail: bytes  # what belongs to the first line of the next
    whole: bool  # whether there is a line feed at all
    pieces: list[tuple[int, Piece]]  # in the order of the file, if `in_runs`
    in_runs: bool  # whether the fragments of a chromosome lie together
    n_lines: int
    n_comments: int
    faults: list[tuple[int, str, str]]  # line within the chunk (from 1), reason, text
    parser: int
    new_names: tuple[np.ndarray, np.ndarray, np.ndarray] | None


class Parser:
    """What one thread needs to parse chunks: its own tables of names and room for columns."""

    def __init__(self, settings: Settings, number: int) -> None:
        self.settings, self.number = settings, number
        codes = dict(settings.genome.spellings)
        for name in (*MITOCHONDRIAL, *PLASTID):  # that the genome lacks: one more chromosome, counted and left out
            codes.setdefault(name, len(settings.genome))
        ends = np.append(settings.genome.lengths, _ALL)
        self.chroms = Names(codes, room=_MAX_CONTIGS)
        self.chrom_counts = np.zeros(len(self.chroms.table.offsets) + 1, np.int64)
        known = None if settings.bulk else settings.cells
        n_cells = _ALL if known is None else len(known)
        self.names = Names(() if known is None else known)
        everything = settings.cells is None or settings.count_unmatched
        chrom_codes = np.fromiter(codes.values(), np.int32)
        self.rules = parsing.Rules(
            n_cells, _ALL if everything else n_cells + _EXAMPLES, settings.bulk, chrom_codes, ends[chrom_codes]
        )
        self.tally = np.zeros(N_TALLY, np.int64)
        self.faults = parsing.Faults(*(np.zeros(20, np.int64) for _ in range(3)), np.zeros((20, 160), np.uint8))
        self.columns = _make_columns(1 << 12)
        self.buffer = Buffer()
        self.n_unmatched = 0

    def parse(self, chunk: Chunk, *, from_line_start: bool) -> Parsed:
        """Parse a chunk; unless it begins with a line, what is before its first line feed is left to the caller."""
        before = len(self.names)
        self.tally[:] = 0
        buffer, head = self.buffer, b"" if from_line_start else None
        buffer.size = 0
        for size in chunk.batches(buffer):
            first, last = parsing.line_bounds(buffer.data, size)
            if last == 0 and size <= _MAX_LINE:
                continue
            if last == 0:  # refused by whoever joins the lines, before the rest is inflated
                break
            if head is None:
                head = buffer.data[:first].tobytes()
            else:
                first = 0
                if from_line_start and buffer.data[:3].tobytes() == BOM_UTF8:
                    first = 3
            self._parse_text(first, last)
            buffer.keep_from(last)
        tail = buffer.data[: buffer.size].tobytes()
        return self._result(head, tail, before)

    def _parse_text(self, at: int, stop: int) -> None:
        self.columns = _with_room(self.columns, self.tally, stop - at)
        while True:
            status = parsing.parse_lines(
                self.buffer.data,
                at,
                stop,
                self.rules,
                self.chroms.table,
                self.chrom_counts,
                self.names.table,
                self.columns,
                self.tally,
                self.faults,
            )
            if status == parsing.OK:
                return
            at = int(self.tally[AT])
            line = stop - at
            self.names.reserve(len(self.names) + 1, int(self.names.table.used[1]) + line)

    def _result(self, head: bytes | None, tail: bytes, before: int) -> Parsed:
        tally = self.tally
        n, n_runs = int(tally[KEPT]), int(tally[RUNS])
        pieces, in_runs = self._pieces(n, n_runs)
        self.n_unmatched += int(tally[UNMATCHED])
        learned = len(self.names) > before and self.settings.cells is None
        whole = head is not None
        return Parsed(
            head=head if whole else tail,
            tail=tail if whole else b"",
            whole=whole,
            pieces=pieces,
            in_runs=in_runs,
            n_lines=int(tally[LINES]),
            n_comments=int(tally[COMMENTS]),
            faults=self._take_faults(),
            parser=self.number,
            new_names=self.names.packed(before) if learned else None,
        )

    def _pieces(self, n: int, n_runs: int) -> tuple[list[tuple[int, Piece]], bool]:
        """Return the fragments by chromosome, in the order of the file, and whether each was in one stretch."""
        columns = self.columns
        if n_runs == 1:  # the usual case of a sorted file
            return [(int(columns.run_chrom[0]), Piece(*(column[:n].copy() for column in columns[:4])))], True
        n_chroms = len(self.settings.genome) + 1
        *parts, bounds = group_by_chromosome(
            tuple(columns[:4]), columns.run_chrom, columns.run_from, n_runs, n, n_chroms
        )
        present = np.flatnonzero(np.diff(bounds))
        in_runs = n_runs == len(present)
        order = columns.run_chrom[:n_runs].tolist() if in_runs else present.tolist()
        return [(c, Piece(*(part[bounds[c] : bounds[c + 1]] for part in parts))) for c in order], in_runs

    def _take_faults(self) -> list[tuple[int, str, str]]:
        n, faults = int(self.tally[BAD]), self.faults
        kept = [
            (
                int(faults.line[i]),
                parsing.BAD_REASONS[faults.reason[i]],
                faults.text[i, : faults.size[i]].tobytes().decode("utf-8", "backslashreplace"),
            )
            for i in range(min(n, len(faults.line)))
        ]
        return kept + [(0, "", "")] * (n - len(kept))


def _make_columns(room: int) -> parsing.Columns:
    kinds = (np.int32, np.int32, np.int32, np.uint16, np.int32, np.int32)
    return parsing.Columns(*(np.empty(room, kind) for kind in kinds))


def _with_room(columns: parsing.Columns, tally: np.ndarray, n_bytes: int) -> parsing.Columns:
    """Return columns with room for every line there can be in so many bytes."""
    kept, runs = int(tally[KEPT]), int(tally[RUNS])
    needed = kept + n_bytes // parsing.MIN_LINE + 1
    if needed <= len(columns.start):
        return columns
    larger = _make_columns(needed + needed // 2)
    for old, new in zip(columns, larger, strict=True):
        used = runs if old is columns.run_chrom or old is columns.run_from else kept
        new[:used] = old[:used]
    return larger


class FileReader:
    """One pass over one file.

    Iterate over :meth:`pieces`; then `report` is complete and, where `cells` was `None`, `names` holds the barcodes in
    order of their first fragment.
    """

    def __init__(self, path: str | Path, settings: Settings) -> None:
        self.path, self.settings = Path(path), settings
        self.kind = file_kind(self.path)
        self.report = FragmentReport()
        self.names = Names()
        self._maps: dict[int, np.ndarray] = {}
        self._local = threading.local()
        self._parsers: list[Parser] = []
        self._lock = threading.Lock()
        self._last_chrom, self._seen = -1, set()

    def pieces(self, *, n_jobs: int | None = None, progress: bool = False) -> Iterator[tuple[int, Piece]]:
        """Yield (chromosome code, fragments) in the order of the file; the code after the last is for organelles."""
        from tqdm.auto import tqdm

        pending = b""
        stitcher = self._new_parser()
        bar = tqdm(total=self.path.stat().st_size, unit="B", unit_scale=True, desc=self.path.name, disable=not progress)
        with bar:
            for parsed in self._parsed(_threads.resolve(n_jobs), bar):
                if not parsed.whole:
                    pending = self._hold(pending + parsed.head)
                    continue
                if pending or parsed.head:
                    yield from self._absorb(stitcher.parse(_as_chunk(pending + parsed.head), from_line_start=True))
                yield from self._absorb(parsed)
                pending = self._hold(parsed.tail)
            if pending:
                yield from self._absorb(stitcher.parse(_as_chunk(pending + b"\n"), from_line_start=True))
        self._finish()

    def _parsed(self, n_jobs: int, bar: object) -> Iterator[Parsed]:
        """Parse chunks in threads; yields results in the order of the file."""
        waiting: deque[Future[Parsed]] = deque()
        pool = ThreadPoolExecutor(n_jobs, thread_name_prefix="fragments")
        try:
            for i, chunk in enumerate(read_chunks(self.path, self.kind, bar.update)):
                _threads.require_reader()
                waiting.append(pool.submit(self._parse, chunk, first=i == 0))
                while len(waiting) > 2 * n_jobs + 4 or (waiting and waiting[0].done()):
                    yield waiting.popleft().result()
            while waiting:
                yield waiting.popleft().result()
        finally:
            pool.shutdown(cancel_futures=True)

    def _parse(self, chunk: Chunk, *, first: bool) -> Parsed:
        # A thread takes chunks in the order of the file, so the names new to its own parser come in that order too.
        parser = getattr(self._local, "parser", None)
        if parser is None:
            parser = self._local.parser = self._new_parser()
        return parser.parse(chunk, from_line_start=first)

    def _new_parser(self) -> Parser:
        with self._lock:
            parser = Parser(self.settings, len(self._parsers))
            self._parsers.append(parser)
        return parser

    def _hold(self, pending: bytes) -> bytes:
        if len(pending) > _MAX_LINE:
            msg = (
                f"{self.path} does not look like a fragment file: no line ends within {_MAX_LINE >> 20} MB. "
                "Expected lines of chrom, start, end, barcode and count, separated by tabs."
            )
            raise ValueError(msg)
        return pending

    def _absorb(self, parsed: Parsed) -> Iterator[tuple[int, Piece]]:
        """Take a result into account and pass its fragments on."""
        report = self.report
        for line, reason, text in parsed.faults:
            self._malformed(line, reason, text, report.n_comments + parsed.n_comments)
        report.n_lines += parsed.n_lines
        report.n_comments += parsed.n_comments
        if parsed.new_names is not None:
            known = self._maps.get(parsed.parser, np.empty(0, np.int32))
            self._maps[parsed.parser] = np.concatenate([known, self.names.add_packed(*parsed.new_names)])
        if not parsed.in_runs:
            report.sorted = False
        for chrom, piece in parsed.pieces:
            if chrom != self._last_chrom:
                report.sorted = report.sorted and chrom not in self._seen
                self._seen.add(chrom)
                self._last_chrom = chrom
            report.n_fragments += len(piece.start)
            codes = self._maps.get(parsed.parser)
            yield chrom, piece if codes is None else piece._replace(cell=codes[piece.cell])

    def _malformed(self, line: int, reason: str, text: str, n_comments: int) -> None:
        report = self.report
        fields = text.split("\t")
        if len(fields) > 2 and fields[1].lower() in _HEADER_NAMES:
            report.n_comments += 1
            return
        bad = BadLine(str(self.path), report.n_lines + line, text, reason)
        if not self.settings.skip_malformed:
            raise ValueError(explain(bad, self.settings.genome, first=bad.number <= n_comments + 1))
        report.n_malformed += 1
        if reason and len(report.malformed) < 20:
            report.malformed.append(bad)

    def _finish(self) -> None:
        """Add up what every parser counted on its own."""
        report, settings = self.report, self.settings
        others: dict[str, None] = {}
        for parser in self._parsers:
            report.n_unmatched += parser.n_unmatched
            counts = parser.chrom_counts
            for code in np.flatnonzero(counts).tolist():
                name = parser.chroms.decode(code, code + 1)[0] if code < len(parser.chroms) else "others"
                report.skipped_contigs[name] = report.skipped_contigs.get(name, 0) + int(counts[code])
            if settings.cells is not None:
                limit = None if settings.count_unmatched else len(settings.cells) + _EXAMPLES
                others.update(dict.fromkeys(parser.names.decode(len(settings.cells), limit)))
        report.unmatched_barcodes = list(others)[:_EXAMPLES]
        report.n_unmatched_barcodes = len(others) if settings.count_unmatched else None
        report.n_cells = len(self.names) if settings.cells is None else len(settings.cells)


def _as_chunk(line: bytes) -> Text:
    return Text(np.frombuffer(line, np.uint8))


def explain(bad: BadLine, genome: Genome, *, first: bool) -> str:
    """Return the sentence for a malformed line, with the likely cause and the way out."""
    fields = bad.text.split("\t")
    if bad.reason == parsing.BAD_REASONS[parsing.BEYOND]:
        return _explain_beyond(bad, fields, genome)
    if first and bad.reason in parsing.BAD_REASONS[parsing.NO_COLUMNS : parsing.BAD_END + 1]:
        return (
            f"{bad.path} does not look like a fragment file: {_first_line(bad)}; expected chrom, start, end, barcode "
            "and count, separated by tabs."
        )
    if bad.reason == parsing.BAD_REASONS[parsing.NO_BARCODE] and len(fields) == 3:
        return (
            f"{bad.path}, line {bad.number:,} has three columns and no barcode: {bad.text!r}. If the whole file is one "
            "sample, sca.io.read_fragments(..., bulk=True) reads it."
        )
    return f"{bad}. Mend the file, or pass malformed='skip' (--malformed skip) to leave such lines out and count them."


def _first_line(bad: BadLine) -> str:
    """Describe a line that is none of a fragment file; binary data are not shown."""
    if not bad.text.replace("\t", "").isprintable():
        return f"line {bad.number:,} is binary data"
    return f"line {bad.number:,} is {bad.text!r}"


def _explain_beyond(bad: BadLine, fields: list[str], genome: Genome) -> str:
    code = genome.code(fields[0])
    chrom, end = genome.chroms[code], int(fields[2])
    others = {name: sizes for name, sizes in built_in_sizes().items() if name != genome.name}
    fits = [name for name, sizes in others.items() if end <= sizes.get(chrom, 0)]
    advice = "Pass"
    if fits:
        is_it = f"It fits {' and '.join(fits)}: is it of that assembly?"
        advice = f"{is_it} Then pass genome={fits[0]!r} (--genome {fits[0]}). Or pass"
    return (
        f"{bad.path}, line {bad.number:,} ends at {end:,}, beyond {chrom} of {genome.name} "
        f"({int(genome.lengths[code]):,} bp): {bad.text!r}. {advice} malformed='skip' (--malformed skip) to leave such "
        "lines out."
    )
