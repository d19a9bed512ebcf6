"""Fragments from wherever they are: a file, files of several samples, or an object that knows or holds them."""

from __future__ import annotations

import bisect
import os
import warnings
from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import pandas as pd

from scatacworks import _anndata, _keys, _threads
from scatacworks._anndata import fragment_files, genome_of, params_of
from scatacworks._arrays import require_sound
from scatacworks._core.fragments import FragmentBlock, Piece, Spool, make_block, without
from scatacworks._core.paired import from_rows
from scatacworks._logging import logger
from scatacworks._numba import njit
from scatacworks._regions import as_regions, disjoint, regions_digest
from scatacworks._text import listed
from scatacworks.genome import Genome
from scatacworks.io._barcodes import explain_no_match, join_names, split_names
from scatacworks.io._chunks import file_kind
from scatacworks.io._layout import chromosome_order
from scatacworks.io._reader import FileReader, Settings
from scatacworks.io._report import FragmentReport

if TYPE_CHECKING:
    from anndata import AnnData

__all__ = ["FragmentSource", "Malformed", "open_fragments"]

Malformed = Literal["error", "skip"]
_MEMORY = 2 << 30  # bytes of fragments held before they go to temporary files


class FragmentSource(ABC):
    """Fragments of known cells, one chromosome at a time.

    Attributes
    ----------
    genome
        The :class:`~scatacworks.Genome` of the chromosome codes.
    cells
        Names of the cells in the order of their codes. For a file read without `cells`, the barcodes in order of
        their first fragment, complete after the pass.
    report
        The :class:`FragmentReport` of the last pass, complete at its end.
    files
        Paths that are read.
    """

    genome: Genome
    cells: Sequence[str]
    report: FragmentReport
    files: Sequence[Path] = ()

    def chromosomes(self, *, n_jobs: int | None = None, progress: bool = False) -> Iterator[FragmentBlock]:
        """Yield the fragments of each chromosome that has any, in the genome's order, sorted by start and end.

        The next chromosome is read while the last one is used.
        """
        blocks = self._chromosomes(n_jobs=n_jobs, progress=progress)
        return _threads.ahead(block for block in blocks if len(block))  # all of a chromosome may be excluded

    @abstractmethod
    def _chromosomes(self, *, n_jobs: int | None, progress: bool) -> Iterator[FragmentBlock]:
        """Yield what `chromosomes` does."""

    def _kept(self, chrom: int, piece: Piece) -> Piece:
        """Leave out the fragments that are cut in excluded regions."""
        return without(piece, self.excluded[chrom]) if chrom in self.excluded else piece

    def __repr__(self) -> str:
        return f"{type(self).__name__}({len(self.cells):,} cells, {self.genome!r})"


class FileSource(FragmentSource):
    """One fragment file; see :func:`open_fragments`."""

    def __init__(
        self,
        path: str | os.PathLike[str],
        genome: Genome,
        cells: Sequence[str] | None = None,
        *,
        bulk: bool = False,
        malformed: Malformed = "error",
        grouped: bool | None = None,
        memory: int = _MEMORY,
        name: str | None = None,
        excluded: Mapping[int, np.ndarray] | None = None,
    ) -> None:
        self.path, self.genome, self.excluded = Path(path).expanduser(), genome, excluded or {}
        self.files = [self.path]
        self.bulk, self.malformed, self.grouped, self.memory = bulk, malformed, grouped, memory
        self._wanted = None if cells is None else list(map(str, cells))
        if bulk:
            self._wanted = [name or self.path.name.split(".")[0]]
        self.cells = self._wanted or []
        self.report = FragmentReport()
        self._reader()  # finds a missing or unreadable file early

    def _reader(self, *, count_unmatched: bool = False) -> FileReader:
        skip = self.malformed == "skip"
        settings = Settings(self.genome, self._wanted, self.bulk, skip_malformed=skip, count_unmatched=count_unmatched)
        return FileReader(self.path, settings)

    def pieces(
        self, *, n_jobs: int | None = None, progress: bool = False, count_unmatched: bool = False
    ) -> Iterator[tuple[int, Piece]]:
        """Yield (chromosome code, fragments) in the order of the file; the code after the last is for organelles."""
        reader = self._reader(count_unmatched=count_unmatched)
        with closing(reader.pieces(n_jobs=n_jobs, progress=progress)) as pieces:
            n_excluded = 0
            for chrom, piece in pieces:
                kept = self._kept(chrom, piece)
                n_excluded += len(piece.start) - len(kept.start)
                yield chrom, kept
        self.report = reader.report
        self.report.n_fragments -= n_excluded
        self.report.n_excluded = n_excluded
        if self._wanted is None:
            self.cells = reader.names.decode()

    def _chromosomes(self, *, n_jobs: int | None, progress: bool) -> Iterator[FragmentBlock]:
        """Yield the fragments chromosome by chromosome.

        A file that is grouped by chromosome (every sorted one) streams: few chromosomes are in memory at a time. Of
        any other, all fragments are kept (14 bytes each) until its end, in temporary files beyond 2 GB.
        """
        expected, first = None, True
        used = np.zeros(len(self._wanted or ()), bool)
        with Spool(self.memory) as spool, closing(self.pieces(n_jobs=n_jobs, progress=progress)) as pieces:
            current, done, emitted = -1, set(), -1
            for chrom, piece in pieces:
                if first:  # the threads are busy by now
                    expected, first = self._expected(), False
                if chrom >= len(self.genome):
                    continue
                if self._wanted is not None:
                    _mark(used, piece.cell)
                if chrom != current:
                    done.add(current)
                    done.discard(chrom)
                    current = chrom
                    if chrom <= emitted:
                        raise ValueError(self._not_grouped(chrom))
                    if expected is not None and chrom not in expected:
                        bisect.insort(expected, chrom)
                while expected and expected[0] in done:
                    emitted = expected.pop(0)
                    yield spool.take(emitted)
                spool.add(chrom, piece)
            for chrom in spool.chroms:
                yield spool.take(chrom)
        self.report.n_cells_matched = len(self.cells) if self._wanted is None else int(used.sum())
        check_not_empty(self.report, str(self.path), self.genome, self._wanted)

    def _expected(self) -> list[int] | None:
        """Return the codes of the chromosomes to come, in the genome's order, or `None` to wait for the end."""
        if self.grouped is False:
            return None
        order = chromosome_order(self.path, file_kind(self.path), self.genome)
        return None if order is None else sorted(order)

    def _not_grouped(self, chrom: int) -> str:
        name = self.genome.chroms[chrom]
        return (
            f"{self.path} looked sorted but {name} appears again after later chromosomes. Sort it (sort -k1,1 -k2,2n), "
            "or make the object with sca.io.read_fragments, which looks at all of it."
        )


class SamplesSource(FragmentSource):
    """Several files, one per sample, as one set of cells."""

    def __init__(
        self, sources: dict[str, FileSource], positions: Mapping[str, np.ndarray], cells: Sequence[str]
    ) -> None:
        self.sources, self.positions, self.cells = sources, positions, cells
        self.files = [file for source in sources.values() for file in source.files]
        self.genome = next(iter(sources.values())).genome
        self.report = FragmentReport()

    def _chromosomes(self, *, n_jobs: int | None, progress: bool) -> Iterator[FragmentBlock]:
        """Yield the fragments of all samples chromosome by chromosome.

        The samples share the threads: where there are as many, each has one to parse its file.
        """
        n_jobs = _threads.resolve(n_jobs)
        each = max(n_jobs // len(self.sources), 1)
        streams = {name: source._chromosomes(n_jobs=each, progress=progress) for name, source in self.sources.items()}
        heads: dict[str, FragmentBlock | None] = {}
        due = list(streams)
        with _threads.workers(min(n_jobs, len(streams))) as pool:
            while True:
                heads |= zip(due, pool.map(lambda name: next(streams[name], None), due), strict=True)
                chroms = {name: heads[name].chrom for name in streams if heads[name] is not None}
                if not chroms:
                    break
                chrom = min(chroms.values())
                due = [name for name in chroms if chroms[name] == chrom]
                pieces = [self._coded(name, heads.pop(name)) for name in due]
                yield make_block(chrom, pieces)  # before the samples are read on
        self.report = FragmentReport()
        for source in self.sources.values():
            self.report.merge(source.report)

    def _coded(self, name: str, block: FragmentBlock) -> Piece:
        """Return the fragments of a sample with the cells' codes among all."""
        return Piece(block.start, block.end, self.positions[name][block.cell], block.count)


class PairedSource(FragmentSource):
    """Fragments kept in `.obsm["fragment_paired"]`, as SnapATAC2 does; no file is read. Counts are not known."""

    def __init__(
        self, matrix: Any, stored: Genome, genome: Genome, cells: Sequence[str], excluded: Mapping[int, np.ndarray]
    ) -> None:
        if matrix.shape[1] != int(stored.offsets[-1]):
            msg = (
                f".obsm[{_keys.FRAGMENT_PAIRED!r}] has {matrix.shape[1]:,} columns, but the sequences in "
                f".uns[{_keys.REFERENCE_SEQUENCES!r}] have {int(stored.offsets[-1]):,} bases; they must be equal."
            )
            raise ValueError(msg)
        self.matrix, self.stored, self.genome, self.cells, self.excluded = matrix, stored, genome, cells, excluded
        self.report = FragmentReport()

    def _chromosomes(self, *, n_jobs: int | None, progress: bool) -> Iterator[FragmentBlock]:
        """Yield the fragments chromosome by chromosome."""
        matrix = self.matrix.tocsr()
        require_sound(matrix, f".obsm[{_keys.FRAGMENT_PAIRED!r}]")
        start, end, cell, bounds, n_bad = from_rows(matrix.indptr, matrix.indices, matrix.data, self.stored.offsets)
        if n_bad:
            msg = (
                f"{n_bad:,} fragments of .obsm[{_keys.FRAGMENT_PAIRED!r}] reach over the end of a sequence of "
                f".uns[{_keys.REFERENCE_SEQUENCES!r}]: the two do not belong together."
            )
            raise ValueError(msg)
        report = self.report = FragmentReport(n_cells=len(self.cells), n_unmatched_barcodes=0)
        report.n_cells_matched = int((np.diff(matrix.indptr) > 0).sum())
        codes, places = self.genome.resolve(self.stored.chroms).tolist(), {}
        for name, code, (low, high) in zip(self.stored.chroms, codes, pairwise(bounds.tolist()), strict=True):
            if high > low and code < 0:
                report.skipped_contigs[name] = high - low
            elif high > low:
                places[code] = slice(low, high)
        for code, part in sorted(places.items()):
            self._check_end(code, end[part])
            unknown = np.zeros(part.stop - part.start, np.uint16)
            piece = Piece(start[part], end[part], cell[part], unknown)
            kept = self._kept(code, piece)
            report.n_fragments += len(kept.start)
            report.n_excluded += len(piece.start) - len(kept.start)
            yield make_block(code, [kept])

    def _check_end(self, code: int, end: np.ndarray) -> None:
        if end.max() > self.genome.lengths[code]:
            msg = (
                f"A fragment ends at {int(end.max()):,}, beyond {self.genome.chroms[code]} of {self.genome.name} "
                f"({int(self.genome.lengths[code]):,} bp); the fragments were stored for {self.stored.name}."
            )
            raise ValueError(msg)


def open_fragments(
    data: Any,
    *,
    genome: Genome | str | Path | Mapping[str, int] | None = None,
    cells: Sequence[str] | None = None,
    mod: str = "atac",
) -> FragmentSource:
    """Find the fragments of `data`.

    Parameters
    ----------
    data
        Path of a fragment file; dict of sample -> path; an AnnData with `.obsm["fragment_paired"]` (used first) or
        `.uns["files"]["fragments"]`; or a MuData with such a modality.
    genome
        A :class:`~scatacworks.Genome` or what makes one; by default that of the AnnData.
    cells
        Barcodes to read, coded in this order; for several samples names such as `sample:barcode`. By default the
        AnnData's cells; of a file all barcodes.
    mod
        Modality of a MuData.

    Raises
    ------
    KeyError
        If the object has no fragments, no genome is known, or it has no such cell.
    ValueError, FileNotFoundError
        If a file is missing, empty, damaged, or not a fragment file; while reading, if a line is malformed or no
        barcode matches.

    Examples
    --------
    >>> from scatacworks.io._source import open_fragments
    >>> source = open_fragments("fragments.tsv.gz", genome="hg38")  # doctest: +SKIP
    >>> for block in source.chromosomes():  # doctest: +SKIP
    ...     print(source.genome.chroms[block.chrom], len(block))
    """
    if _anndata.is_mudata(data) or _anndata.is_anndata(data):
        return _from_anndata(_anndata.atac(data, mod), genome, cells)
    if genome is None:
        msg = "genome is missing; give the assembly of the file, such as genome='hg38'."
        raise ValueError(msg)
    return _from_paths(data, Genome(genome), cells)


def _from_paths(
    data: Any, genome: Genome, cells: Sequence[str] | None, *, bulk: bool = False, **options: Any
) -> FragmentSource:
    """Return the fragments of one file, or of one per sample; `options` are those of :class:`FileSource`."""
    cells = None if cells is None else list(map(str, cells))
    if cells is not None and not bulk:
        _check_unique(cells)
    if isinstance(data, str | os.PathLike):
        return FileSource(data, genome, cells, bulk=bulk, **options)
    if not isinstance(data, Mapping) or not data:
        msg = f"Expected a path, a dict of sample -> path, an AnnData or a MuData, got {type(data).__name__}."
        raise TypeError(msg)
    paths = {str(sample): path for sample, path in data.items()}
    options["memory"] = _MEMORY // len(paths)  # files that are read side by side share it
    if bulk:
        sources = {name: FileSource(path, genome, bulk=True, name=name, **options) for name, path in paths.items()}
        positions = {name: np.array([i], np.int32) for i, name in enumerate(paths)}
        return SamplesSource(sources, positions, list(paths))
    if cells is None:
        msg = "Reading several samples needs cells; use sca.io.read_fragments to find them."
        raise ValueError(msg)
    split = split_names(cells, list(paths))
    sources = {name: FileSource(path, genome, list(split[name]), **options) for name, path in paths.items()}
    positions = {name: np.fromiter(own.values(), np.int32) for name, own in split.items()}
    keep = {name: source for name, source in sources.items() if split[name]}
    return SamplesSource(keep or sources, positions, cells)


def _from_anndata(adata: AnnData, genome: Any, cells: Sequence[str] | None) -> FragmentSource:
    own = genome_of(adata)
    genome = own if genome is None else Genome(genome)
    names = [str(name) for name in adata.obs_names]
    if _keys.FRAGMENT_PAIRED in adata.obsm:
        matrix = adata.obsm[_keys.FRAGMENT_PAIRED]
        if own is None:
            msg = (
                f"The AnnData has .obsm[{_keys.FRAGMENT_PAIRED!r}] but no .uns[{_keys.REFERENCE_SEQUENCES!r}]: set it "
                "to the genome of the fragments, such as scatacworks.Genome('hg38').to_frame()."
            )
            raise KeyError(msg)
        if cells is not None:
            rows = adata.obs_names.get_indexer(list(cells))
            if (rows < 0).any():
                msg = f"The object has no cell {list(cells)[int(np.argmin(rows))]!r}; its cells are {listed(names)}."
                raise KeyError(msg)
            matrix = matrix.tocsr()[rows]
        excluded = excluded_spans(adata.uns.get(_keys.EXCLUDED_REGIONS), genome)
        return PairedSource(matrix, own, genome, names if cells is None else list(cells), excluded)
    files = fragment_files(adata)
    if files is None:
        msg = (
            f"The AnnData knows no fragments: neither .uns[{_keys.FILES!r}][{_keys.FRAGMENTS!r}] (a path, or a dict of "
            f"sample -> path) nor .obsm[{_keys.FRAGMENT_PAIRED!r}]. Set the first, or make the object with "
            "sca.io.read_fragments."
        )
        raise KeyError(msg)
    if genome is None:
        msg = (
            f"The AnnData knows its fragment file but not its genome: set .uns[{_keys.REFERENCE_SEQUENCES!r}] = "
            "sca.Genome('hg38').to_frame(), with a chromosome sizes file for any genome that is not built in."
        )
        raise KeyError(msg)
    stored = params_of(adata, _keys.FRAGMENTS)
    options = {
        "bulk": bool(stored.get("bulk", False)),
        "malformed": str(stored.get("malformed", "error")),
        "grouped": stored.get("grouped"),
        "excluded": excluded_spans(adata.uns.get(_keys.EXCLUDED_REGIONS), genome),
    }
    _warn_if_replaced(files, stored.get("n_bytes"))
    try:
        return _from_paths(files, genome, names if cells is None else cells, **options)
    except FileNotFoundError as error:
        msg = f"{error} Where it has moved, give its place in .uns[{_keys.FILES!r}][{_keys.FRAGMENTS!r}]."
        raise FileNotFoundError(msg) from error


def excluded_spans(regions: Any, genome: Genome) -> dict[int, np.ndarray]:
    """Return the intervals whose fragments are left out, as `as_spans` does; none for `None` and an empty list."""
    try:
        table = None if regions is None else as_regions(regions, genome, gene_flanks=True, stacklevel=4)
    except (KeyError, TypeError, ValueError) as error:
        error.add_note(f"These are the regions whose fragments are to be left out, .uns[{_keys.EXCLUDED_REGIONS!r}].")
        raise
    return {} if table is None or table.empty else disjoint(table)


def excluded_digest(adata: AnnData) -> str:
    """Return a short digest of the regions whose fragments are left out, `"none"` without any."""
    with warnings.catch_warnings(action="ignore"):  # told where the fragments are opened
        spans = excluded_spans(adata.uns.get(_keys.EXCLUDED_REGIONS), genome_of(adata))
    return regions_digest(spans) if spans else "none"


def _warn_if_replaced(files: Any, sizes: Any) -> None:
    """Say so where a file has another size than when its cells were read."""
    files, sizes = (found if isinstance(found, Mapping) else {None: found} for found in (files, sizes))
    for sample, size in sizes.items():
        path = Path(files.get(sample) or "").expanduser()
        if size is not None and path.is_file() and path.stat().st_size != int(size):
            message = (
                "%s has %s bytes; it had %s when its cells were read. Where its fragments are others by now, the "
                "numbers in .obs are still those of the earlier ones: read it again with io.read_fragments."
            )
            logger.warning(message, path, f"{path.stat().st_size:,}", f"{int(size):,}")


def _check_unique(cells: Sequence[str]) -> None:
    """Refuse cells of one name, whose fragments cannot be told apart."""
    names = pd.Index(cells)
    if not names.is_unique:
        repeats = names[names.duplicated()]
        sample_name = join_names("sample", [repeats[0]])[0]
        msg = (
            f"{len(repeats):,} of {len(cells):,} cells have the name of another one, such as {repeats[0]!r}, so that "
            f"their fragments cannot be told apart. Name the cells of several samples {sample_name!r} "
            f"and give each sample's file: .uns[{_keys.FILES!r}][{_keys.FRAGMENTS!r}] = {{'sample': path, ...}}."
        )
        raise ValueError(msg)


def check_not_empty(
    report: FragmentReport, path: str, genome: Genome, cells: Sequence[str] | None, *, on_genome: int | None = None
) -> None:
    """Raise the sentence that says why a pass gave no fragment, or (`on_genome`) of organelles only."""
    found = report.n_fragments if on_genome is None else on_genome
    if found or (report.n_fragments and not report.skipped_contigs):
        return
    if cells is not None and len(cells) == 0:  # none was asked for, as where all are of other samples
        return
    if report.n_excluded and not report.n_fragments:
        whose = "of the cells " if cells else ""
        msg = f"All {report.n_excluded:,} fragments {whose}in {path} are cut in the regions that are left out."
        raise ValueError(msg)
    if report.n_unmatched and cells and not report.n_fragments:
        raise ValueError(explain_no_match(path, cells, report.unmatched_barcodes))
    if report.skipped_contigs:
        shown = ", ".join(map(repr, list(report.skipped_contigs)[:5]))
        msg = f"No fragment of {path} lies on a chromosome of {genome.name}; the file has {shown}. Another genome?"
        raise ValueError(msg)
    msg = f"{path} holds no fragment ({report.n_lines:,} lines, {report.n_comments:,} of them comments)."
    raise ValueError(msg)


@njit
def _mark(used: np.ndarray, cell: np.ndarray) -> None:
    """Mark the cells that occur."""
    for code in cell:
        used[code] = True
