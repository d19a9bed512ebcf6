"""Fragment files to an AnnData of cells."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, get_args

import numpy as np
import pandas as pd

from scatacworks import _keys
from scatacworks._arguments import flag, one_of, whole
from scatacworks._core.paired import to_rows
from scatacworks._logging import logger
from scatacworks._numba import njit
from scatacworks._regions import spans_frame
from scatacworks.genome import Genome
from scatacworks.io._barcode_files import cell_table
from scatacworks.io._barcodes import join_names, split_names
from scatacworks.io._bedpe import refuse_bedpe
from scatacworks.io._report import FragmentReport
from scatacworks.io._source import (
    FileSource,
    FragmentSource,
    Malformed,
    check_not_empty,
    excluded_spans,
    open_fragments,
)

if TYPE_CHECKING:
    from anndata import AnnData
    from scipy.sparse import csr_matrix

__all__ = ["read_fragments"]

DEFAULT_MIN_FRAGMENTS = 200
_MOST_ELSEWHERE = 0.1  # share of the lines on sequences the genome lacks that passes without a warning
_ORGANELLE, _ORGANELLE_BP, _ORGANELLE_DENSITY = 0.01, 2_000_000, 20  # at least of all fragments; at most; over the mean


def read_fragments(
    path: str | os.PathLike[str] | Mapping[str, str | os.PathLike[str]],
    *,
    genome: Genome | str | Path | Mapping[str, int],
    barcodes: Sequence[str] | pd.DataFrame | str | os.PathLike[str] | Mapping[str, Any] | None = None,
    min_fragments: int | None = None,
    bulk: bool = False,
    malformed: Malformed = "error",
    exclude: str | os.PathLike[str] | Sequence[str] | pd.DataFrame | None = None,
    in_memory: bool = False,
    n_jobs: int | None = None,
    progress: bool = True,
) -> AnnData:
    r"""Read the cells of one or several fragment files.

    A fragment file has the columns chrom, start, end (bp, 0-based, half-open), barcode and, optionally, the number of
    reads behind the fragment and more, which is ignored. It may be plain, gzip, bgzip or zstd, have `#` lines, be
    sorted by position, by barcode or not at all; no index is needed. Every line is one fragment: column 5 is never a
    multiplier, it only tells `frac_dup`. The fragments stay in the file, which is read once here for the counts below
    and again by the steps that need positions, unless `in_memory=True`.

    Parameters
    ----------
    path
        Path of a fragment file, or a dict of sample -> path. The cells of several samples are named `sample:barcode`.
    genome
        `"hg38"`, `"hg19"`, `"mm10"`, `"mm39"`, a chromosome sizes file, a dict of name -> length, or a
        :class:`~scatacworks.Genome`. `chr1` and `1`, `chrM` and `MT` are taken for the same; other sequences of the
        file are skipped and counted.
    barcodes
        The cells: a list, a DataFrame indexed by barcode (its columns go to `.obs`), an AnnData (likewise), or the path
        of a text file with one barcode per line or a table (TSV or CSV, with column names or without; barcodes in a
        column named `barcode`, as row names or in the first column; of 10x's tables of all barcodes, those called
        cells). For several samples, a dict of sample -> any of these, or names such as `sample:barcode`.
        By default, every barcode with at least `min_fragments`.
    min_fragments
        Cells with fewer fragments are left out, and counted in the log. By default 200 without `barcodes`, and 0 with:
        a list of cells is kept whole, also those without any fragment, unless a number is asked for as well.
    bulk
        The file (each file) is one sample, not single cells: it is read as one cell named by the sample or the file,
        and three columns will do.
    malformed
        `"error"` stops at the first malformed line and names it; `"skip"` leaves such lines out and reports them.
    exclude
        Regions in which signal is no accessibility, such as ENCODE's blacklist: a BED file, a table, a region or a list
        of regions. Fragments that start or end in one are left out, here and by every step that reads fragments later.
    in_memory
        Also keep the fragments in `.obsm["fragment_paired"]`, in SnapATAC2's form: the file is not needed again.
    n_jobs
        Threads; by default all cores.
    progress
        Show a progress bar.

    Returns
    -------
    :class:`~anndata.AnnData` of `n_cells` × 0, sample by sample, cells in the order of `barcodes` or else of their
    first fragment. Sets:

    `.obs["n_fragments"]` : int64
        Fragments (lines) on the genome's chromosomes but mitochondria and plastids; see
        :attr:`~scatacworks.Genome.nuclear`.
    `.obs["frac_dup"]` : float64
        Share of reads that are duplicates, 1 - lines / sum of column 5; NaN where it is not known, as in a file
        without column 5 or with `bulk=True`.
    `.obs["frac_mito"]` : float64
        Share of the fragments that are of mitochondria or plastids; NaN for a cell without any.
    `.obs["sample"]` : categorical
        The sample, if `path` is a dict.
    `.obsm["fragment_paired"]` : CSR, `n_cells` × genome length, uint32
        With `in_memory=True`: column = start in the concatenated genome, value = length in bp.
    `.uns["files"]["fragments"]`, `.uns["reference_sequences"]`, `.uns["scatacworks"]`
        Path (or sample -> path), chromosome names and lengths, parameters and counts of lines.
    `.uns["excluded_regions"]` : DataFrame
        With `exclude`: `chrom`, `start`, `end` (0-based, half-open), sorted and disjoint.
    `.uns["reference_genes"]` : DataFrame
        If `genome` is a :class:`~scatacworks.Genome` that was given genes: these.

    Raises
    ------
    FileNotFoundError, IsADirectoryError
        If a file is missing or a folder.
    KeyError
        If `barcodes` is a dict that lacks a sample.
    ValueError
        If a file is empty, truncated, damaged or not one of fragments, such as one of read pairs (BEDPE); a line is
        malformed or lies beyond its chromosome (wrong genome?); no barcode matches; or no cell is left.

    Examples
    --------
    >>> import scatacworks as sca
    >>> lines = ["chr1\t100\t300\tAAAC-1\t2", "chr1\t150\t260\tTTTG-1\t1", "chr2\t10\t90\tAAAC-1\t1"]
    >>> _ = open("toy_fragments.tsv", "w").write("\n".join(lines))
    >>> adata = sca.io.read_fragments(
    ...     "toy_fragments.tsv", genome={"chr1": 1000, "chr2": 500}, min_fragments=1, progress=False
    ... )
    >>> adata.obs["n_fragments"].to_dict()
    {'AAAC-1': 2, 'TTTG-1': 1}
    """
    one_of(malformed, "malformed", get_args(Malformed))
    min_fragments = None if min_fragments is None else whole(min_fragments, "min_fragments", least=0)
    genome = Genome(genome)
    if genome.has_own_genes:
        _ = genome.genes  # a table that cannot be read is told before the fragments are
    excluded = excluded_spans(exclude, genome)
    paths = _absolute(path)
    least = min_fragments if min_fragments is not None else 0 if barcodes is not None or bulk else DEFAULT_MIN_FRAGMENTS
    wanted = _tables_per_sample(barcodes, paths)
    counted = {}
    for sample, one in paths.items():
        table = wanted[sample]
        cells = None if table is None else table.index.tolist()
        source = FileSource(one, genome, cells, bulk=bulk, malformed=malformed, name=sample, excluded=excluded)
        refuse_bedpe(source.path)
        counted[sample] = _count(source, table, least, n_jobs=n_jobs, progress=progress)
    obs = _join_samples(counted, bulk=bulk)
    if obs.empty:
        most = max(one.most for one in counted.values())
        raise ValueError(_none_left(most, least, given=barcodes is not None))
    params = {"min_fragments": least, "bulk": bulk, "malformed": malformed}
    adata = _make_anndata(obs, paths, counted, genome, params)
    if excluded:
        adata.uns[_keys.EXCLUDED_REGIONS] = spans_frame(excluded, genome)
    if flag(in_memory, "in_memory"):
        source = open_fragments(adata)
        adata.obsm[_keys.FRAGMENT_PAIRED] = paired_matrix(source, n_jobs=n_jobs, progress=progress)
    return adata


@dataclass
class _Counted:
    """The cells of one file."""

    obs: pd.DataFrame
    report: FragmentReport
    most: int  # fragments of the largest barcode
    n_dropped: int


def _absolute(path: Any) -> dict[str | None, str]:
    """Return sample -> absolute path; the sample of a single file is `None`."""
    if not isinstance(path, Mapping | str | os.PathLike):
        msg = f"path is {path!r}; expected the path of a fragment file, or a dict of sample -> path."
        raise TypeError(msg)
    if not isinstance(path, Mapping):
        return {None: str(Path(path).expanduser().absolute())}
    if not path:
        msg = "The dict of samples is empty; expected sample -> path."
        raise ValueError(msg)
    for sample in path:
        if not str(sample) or "/" in str(sample):
            msg = f"The sample name {sample!r} cannot be stored; rename it without '/'."
            raise ValueError(msg)
    return {str(sample): str(Path(one).expanduser().absolute()) for sample, one in path.items()}


def _tables_per_sample(barcodes: Any, paths: Mapping[str | None, str]) -> dict[str | None, pd.DataFrame | None]:
    """Return sample -> table of the cells wanted, indexed by barcode."""
    if barcodes is None:
        return dict.fromkeys(paths)
    if isinstance(barcodes, Mapping):
        missing = [sample for sample in paths if sample not in barcodes]
        if missing:
            msg = f"barcodes has no entry for the sample(s) {', '.join(map(repr, missing))}; it has {list(barcodes)}."
            raise KeyError(msg)
        return {sample: cell_table(barcodes[sample]) for sample in paths}
    table = cell_table(barcodes)
    if list(paths) == [None]:
        return {None: table}
    by_sample = split_names(table.index.tolist(), list(paths))
    return {sample: table.iloc[list(own.values())].set_axis(list(own), axis=0) for sample, own in by_sample.items()}


@njit
def _add_counts(
    cell: np.ndarray, count: np.ndarray, n_lines: np.ndarray, n_reads: np.ndarray, n_with_reads: np.ndarray
) -> None:
    for i in range(len(cell)):
        n_lines[cell[i]] += 1
        n_reads[cell[i]] += count[i]
        n_with_reads[cell[i]] += count[i] > 0


def _count(
    source: FileSource, table: pd.DataFrame | None, least: int, *, n_jobs: int | None, progress: bool
) -> _Counted:
    """Count fragments, reads and fragments of organelles of every cell of a file in one pass."""
    nuclear = np.append(source.genome.nuclear, False)
    totals = np.zeros((4, len(source.cells)), np.int64)  # fragments, those of organelles, reads, fragments with reads
    per_chrom = np.zeros(len(nuclear), np.int64)
    for chrom, piece in source.pieces(n_jobs=n_jobs, progress=progress, count_unmatched=True):
        top = int(piece.cell.max(initial=-1)) + 1
        if top > totals.shape[1]:
            totals = np.pad(totals, ((0, 0), (0, max(top, 2 * totals.shape[1]) - totals.shape[1])))
        _add_counts(piece.cell, piece.count, totals[int(not nuclear[chrom])], *totals[2:])
        per_chrom[chrom] += len(piece.cell)
    cells, report = source.cells, source.report
    totals = np.pad(totals, ((0, 0), (0, max(len(cells) - totals.shape[1], 0))))  # cells found in excluded fragments
    n, n_mito, reads, with_reads = totals[:, : len(cells)]
    report.n_cells_matched = int((n + n_mito > 0).sum())
    check_not_empty(report, str(source.path), source.genome, None if table is None else cells, on_genome=int(n.sum()))
    with np.errstate(invalid="ignore", divide="ignore"):
        obs = pd.DataFrame(
            {
                _keys.N_FRAGMENTS: n,
                _keys.FRAC_DUP: 1 - with_reads / reads,
                _keys.FRAC_MITO: n_mito / (n + n_mito),
            },
            index=pd.Index(np.asarray(cells, dtype=object)),
        )
    if table is not None:
        obs = pd.concat([obs, table.drop(columns=obs.columns, errors="ignore").set_axis(obs.index)], axis=1)
    kept = obs[_keys.N_FRAGMENTS] >= least
    _log(source, report, int((~kept).sum()), least, given=table is not None)
    _warn_of_organelles(source, per_chrom[:-1])
    return _Counted(obs.loc[kept], report, int(n.max(initial=0)), int((~kept).sum()))


def _log(source: FileSource, report: FragmentReport, n_dropped: int, least: int, *, given: bool) -> None:
    logger.info("%s: %s", source.path.name, report)
    elsewhere = sum(report.skipped_contigs.values())
    if elsewhere > _MOST_ELSEWHERE * report.n_lines:
        message = (
            "%s: %.0f %% of its lines lie on sequences that %s lacks, such as %s, and are left out. Another genome?"
        )
        examples = ", ".join(sorted(report.skipped_contigs, key=report.skipped_contigs.get, reverse=True)[:3])
        logger.warning(message, source.path.name, 100 * elsewhere / report.n_lines, source.genome.name, examples)
    if n_dropped:
        logger.info("%s: %s barcodes with fewer than %s fragments left out", source.path.name, f"{n_dropped:,}", least)
    if given and report.n_cells_matched < 0.9 * report.n_cells:
        message = "%s: only %s of the %s barcodes have a fragment in the file; others there are %s"
        examples = ", ".join(report.unmatched_barcodes[:3]) or "none"
        logger.warning(message, source.path.name, f"{report.n_cells_matched:,}", f"{report.n_cells:,}", examples)
    if report.n_malformed:
        message = "%s: %s malformed lines left out, the first: %s"
        logger.warning(message, source.path.name, f"{report.n_malformed:,}", report.malformed[0])


def _warn_of_organelles(source: FileSource, per_chrom: np.ndarray) -> None:
    """Name short chromosomes so full of fragments that they are mitochondria or plastids under another name."""
    genome, counts = source.genome, np.where(source.genome.nuclear, per_chrom, 0)
    total_bp = genome.lengths[genome.nuclear].sum()
    full = (counts > _ORGANELLE * counts.sum()) & (genome.lengths < _ORGANELLE_BP)
    full &= counts * total_bp > _ORGANELLE_DENSITY * counts.sum() * genome.lengths
    if full.any():
        names = [genome.chroms[code] for code in np.flatnonzero(full)]
        logger.warning(
            "%s: %.0f %% of the fragments lie on %s. If it is a mitochondrion or plastid, say so, with organelles=%r "
            "of the Genome, or leave it out of the chromosome sizes: else it counts as depth.",
            source.path.name, 100 * counts[full].sum() / counts.sum(), ", ".join(names), [*genome.organelles, *names],
        )  # fmt: skip


def _join_samples(counted: Mapping[str | None, _Counted], *, bulk: bool) -> pd.DataFrame:
    if None in counted:
        return counted[None].obs
    frames = []
    for sample, one in counted.items():
        names = one.obs.index if bulk else join_names(sample, one.obs.index)
        frames.append(one.obs.set_axis(pd.Index(names, dtype=object), axis=0).assign(**{_keys.SAMPLE: sample}))
    obs = pd.concat(frames)
    obs[_keys.SAMPLE] = pd.Categorical(obs[_keys.SAMPLE], categories=list(counted))
    return obs


def _none_left(most: int, least: int, *, given: bool) -> str:
    whose, way_out = "barcode", "name the cells with barcodes="
    if given:
        whose, way_out = "barcode of barcodes=", "leave it out to keep all of them"
    return (
        f"No {whose} has {least:,} fragments or more (the largest has {most:,}); pass a smaller min_fragments, or "
        f"{way_out}."
    )


def _make_anndata(
    obs: pd.DataFrame,
    paths: dict[str | None, str],
    counted: Mapping[str | None, _Counted],
    genome: Genome,
    params: dict[str, Any],
) -> AnnData:
    from anndata import AnnData

    from scatacworks import __version__

    report = FragmentReport()
    for one in counted.values():
        report.merge(one.report)
    sizes = {sample: Path(path).stat().st_size for sample, path in paths.items()}
    files, n_bytes = (found.get(None, found) for found in (paths, sizes))  # of a single file, or by sample
    adata = AnnData(obs=obs)
    adata.uns[_keys.FILES] = {_keys.FRAGMENTS: files}
    adata.uns[_keys.REFERENCE_SEQUENCES] = genome.to_frame()
    if genome.has_own_genes:
        adata.uns[_keys.REFERENCE_GENES] = genome.genes
    provenance = {**params, "grouped": bool(report.sorted), **report.to_dict(), "version": __version__}
    provenance["n_bytes"] = n_bytes
    provenance["n_barcodes_left_out"] = sum(one.n_dropped for one in counted.values())
    adata.uns[_keys.PROVENANCE] = {_keys.GENOME: genome.name, _keys.FRAGMENTS: provenance}
    return adata


def paired_matrix(source: FragmentSource, *, n_jobs: int | None = None, progress: bool = False) -> csr_matrix:
    """Return all fragments as SnapATAC2's cells x genome matrix: column = start, value = length (uint32)."""
    from scipy.sparse import csr_matrix

    blocks = list(source.chromosomes(n_jobs=n_jobs, progress=progress))
    per_cell = np.zeros(len(source.cells), np.int64)
    for block in blocks:
        per_cell += np.bincount(block.cell, minlength=len(per_cell))
    indptr = np.concatenate([[0], np.cumsum(per_cell)])
    indices, data = np.empty(indptr[-1], np.int64), np.empty(indptr[-1], np.uint32)
    at, offsets = indptr[:-1].copy(), source.genome.offsets
    for block in blocks:
        to_rows(block.start, block.end, block.cell, offsets[block.chrom], at, indices, data)
    return csr_matrix((data, indices, indptr), shape=(len(per_cell), int(offsets[-1])))
