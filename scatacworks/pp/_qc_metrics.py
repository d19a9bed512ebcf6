"""Quality of cells, in one pass over the fragments."""

from __future__ import annotations

import warnings
from itertools import pairwise
from os import PathLike
from typing import TYPE_CHECKING, Any

import numpy as np

from scatacworks import _keys, _step
from scatacworks._anndata import require_genes
from scatacworks._core import quality
from scatacworks._core.intervals import merge
from scatacworks._regions import as_regions
from scatacworks._strands import start_sites, strands_of
from scatacworks._text import listed
from scatacworks.genome import Genome
from scatacworks.io._genes import read_genes
from scatacworks.io._source import open_fragments

if TYPE_CHECKING:
    import pandas as pd
    from anndata import AnnData
    from mudata import MuData

    from scatacworks._core.fragments import FragmentBlock


def qc_metrics(
    adata: AnnData | MuData,
    *,
    peaks: pd.DataFrame | str | list[str] | None = None,
    genes: pd.DataFrame | str | PathLike[str] | Genome | None = None,
    key_added: str = _keys.QC,
    mod: str = "atac",
    n_jobs: int | None = None,
    progress: bool = True,
    copy: bool = False,
) -> AnnData | MuData | None:
    """Measure the quality of every cell from its fragments.

    A fragment is one line of the file, whatever its number of reads; fragments of mitochondria and plastids (see
    :attr:`~scatacworks.Genome.nuclear`) count for `frac_mito` and `frac_dup` only. Fragments kept in
    `.obsm["fragment_paired"]` have no number of reads, and SnapATAC2 leaves mitochondrial ones out: these two columns
    then stay as they are.

    Parameters
    ----------
    adata
        Cells, `(n_cells, …)`, that know their fragments, as for :func:`~scatacworks.pp.pseudobulk`.
    peaks
        Regions for the fraction of fragments in peaks: a table with `chrom`, `start`, `end`, a key of `.uns` that
        holds one, the path of a BED file, or a list of regions.
    genes
        Genes whose starts of transcription are used: a table with `chrom`, `start`, `end`, `strand`, or a file or
        genome, as :func:`~scatacworks.io.read_genes` takes it; by default the genome's own genes.
    key_added
        Slot of `.uns` for the profiles.
    mod
        Modality to use where `adata` is a MuData.
    n_jobs
        Threads; `None`: all cores, or `SCATACWORKS_NUM_THREADS`.
    progress
        Show a progress bar.
    copy
        Return a changed copy rather than writing to `adata`.

    Returns
    -------
    `None`, or the changed copy. Sets:

    `.obs["n_fragments"]` : int64
        Fragments on chromosomes of the nucleus.
    `.obs["frac_dup"]` : float64
        Share of reads that repeat a fragment: 1 - lines / sum of column 5; NaN where there is no column 5.
    `.obs["frac_mito"]` : float64
        Share of all fragments that are of mitochondria or plastids; left as it is where the genome has neither.
    `.obs["tsse"]` : float64
        Enrichment of cut sites at starts of transcription: `(centre / 101) / ((flank + 20) / 200)`, with `centre` the
        cell's cut sites within 50 bp of a start and `flank` those 1,901 to 2,000 bp away on either side, over all
        starts. As the ENCODE score, a ratio of densities; the 20 (0.1 a base) keeps it low where there are few.
        Thresholds of other packages are others: ArchR has these windows, but `max(flank, 20)` in place of `flank + 20`;
        SnapATAC2 a centre of 11 bp rather than 101; muon counts reads over whole fragments, 1,001 bp at the centre.
    `.obs["nucleosome_signal"]` : float64
        Fragments of 147 to 293 bp over those shorter than 147 bp.
    `.obs["frip"]` : float64
        With `peaks`: share of `n_fragments` that overlap a peak by a base or more.
    `.uns[key_added]` : dict
        `fragment_lengths`, int64 `(1001,)`: fragments of 0 … 999 and of at least 1,000 bp; `tss_profile`, float64
        `(4001,)`: cut sites at -2,000 … 2,000 bp from a start, in the direction of transcription, over their mean in
        the outermost 100 bp; `params`.

    Ratios without a denominator are NaN.

    Raises
    ------
    KeyError
        If the object knows no fragments.
    TypeError
        If `genes` is neither a table nor a file of them.
    ValueError
        If it lacks a column or is of another assembly, or `.uns[key_added]` holds another kind of result.

    Warns
    -----
    UserWarning
        If the genome has no genes; `tsse` is then left out.

    Examples
    --------
    >>> import scatacworks as sca
    >>> adata = sca.datasets.pbmc_windows()
    >>> sca.pp.qc_metrics(adata, progress=False)
    >>> bool((adata.obs["nucleosome_signal"].dropna() >= 0).all())
    True
    """
    result, target = _step.begin(adata, mod=mod, copy=copy)
    _step.claim(target, key_added, "fragment_lengths")
    source = open_fragments(target)
    require_genes(target, genes, "The cells are")
    starts = _transcription_starts(source.genome, genes)
    regions = None if peaks is None else _merged(peaks, source.genome, target)
    counts = _Counts(target.n_obs, starts, regions, source.genome.nuclear)
    for block in source.chromosomes(n_jobs=n_jobs, progress=progress):
        counts.add(block)
    # fragments kept in the object, as by SnapATAC2, know no duplicates, and may lack the mitochondrial ones
    kept = {_keys.FRAC_DUP, _keys.FRAC_MITO} if _keys.FRAGMENT_PAIRED in target.obsm else set()
    for name, values in counts.per_cell().items():
        if name not in kept or name not in target.obs:
            target.obs[name] = values
    target.uns[key_added] = counts.profiles() | {
        _keys.PARAMS: _step.params(genome=source.genome.name, with_peaks=peaks is not None)
    }
    return result if copy else None


class _Counts:
    """What is counted per cell and per position, chromosome by chromosome."""

    def __init__(
        self,
        n_cells: int,
        starts: dict[int, tuple[np.ndarray, np.ndarray]] | None,
        regions: dict[int, tuple[np.ndarray, np.ndarray]] | None,
        nuclear: np.ndarray,
    ) -> None:
        self.starts, self.regions, self.nuclear = starts, regions, nuclear
        names = ("lines", "with_reads", "reads", "in_organelles", "short", "mono", "centre", "flank", "in_peaks")
        self.cells = {name: np.zeros(n_cells, np.int64) for name in names}
        self.lengths = np.zeros(quality.LONGEST + 1, np.int64)
        self.profile = np.zeros(2 * quality.TSS_WINDOW + 1, np.int64)

    def add(self, block: FragmentBlock) -> None:
        """Count a chromosome."""
        cells, n_cells = self.cells, len(self.cells["lines"])
        lines = np.bincount(block.cell, minlength=n_cells)
        cells["lines"] += lines
        cells["with_reads"] += np.bincount(block.cell, weights=block.count > 0, minlength=n_cells).astype(np.int64)
        cells["reads"] += np.bincount(block.cell, weights=block.count, minlength=n_cells).astype(np.int64)
        if not self.nuclear[block.chrom]:
            cells["in_organelles"] += lines
            return
        columns = (block.start, block.end, block.cell)
        quality.count_lengths(*columns, self.lengths, cells["short"], cells["mono"])
        if self.starts and block.chrom in self.starts:
            tss, strand = self.starts[block.chrom]
            quality.count_around_tss(*columns, tss, strand, self.profile, cells["centre"], cells["flank"])
        if self.regions and block.chrom in self.regions:
            quality.count_overlapping(*columns, *self.regions[block.chrom], cells["in_peaks"])

    def per_cell(self) -> dict[str, np.ndarray]:
        """Return the columns of `.obs`."""
        c = self.cells
        nuclear = c["lines"] - c["in_organelles"]
        out = {
            _keys.N_FRAGMENTS: nuclear,
            _keys.FRAC_DUP: 1 - _ratio(c["with_reads"], c["reads"]),
            _keys.NUCLEOSOME_SIGNAL: _ratio(c["mono"], c["short"]),
        }
        if not self.nuclear.all():
            out[_keys.FRAC_MITO] = _ratio(c["in_organelles"], c["lines"])
        if self.starts is not None:
            out[_keys.TSSE] = quality.tss_enrichment(c["centre"], c["flank"])
        if self.regions is not None:
            out[_keys.FRIP] = _ratio(c["in_peaks"], nuclear)
        return out

    def profiles(self) -> dict[str, Any]:
        """Return what describes the cells together."""
        out: dict[str, Any] = {"fragment_lengths": self.lengths}
        if self.starts is not None:
            flank = np.r_[self.profile[: quality.TSS_FLANK], self.profile[-quality.TSS_FLANK :]].mean()
            out["tss_profile"] = self.profile / flank if flank > 0 else np.full(len(self.profile), np.nan)
        return out


def _ratio(part: np.ndarray, whole: np.ndarray) -> np.ndarray:
    return np.divide(part, whole, out=np.full(len(part), np.nan), where=whole > 0)


def _transcription_starts(
    genome: Genome, genes: pd.DataFrame | str | PathLike[str] | Genome | None
) -> dict[int, tuple[np.ndarray, np.ndarray]] | None:
    """Return sorted unique starts of transcription and their strands (1, -1) per chromosome code."""
    if isinstance(genes, str | PathLike | Genome):
        genes = read_genes(genes, genome=genome)
    try:
        table = genome.genes if genes is None else genes
    except ValueError as error:
        warnings.warn(f"{error} The enrichment at starts of transcription is left out.", UserWarning, stacklevel=3)
        return None
    missing = [name for name in ("chrom", "start", "end", "strand") if name not in getattr(table, "columns", ())]
    if missing:
        found = f"lacks the column(s) {', '.join(missing)}" if hasattr(table, "columns") else f"is {table!r}"
        msg = f"genes {found}; expected a table with chrom, start, end and strand, or a file of genes."
        raise (ValueError if hasattr(table, "columns") else TypeError)(msg)
    table = table.assign(strand=strands_of(table["strand"], "genes"))
    codes, direction = genome.resolve(table["chrom"]), np.where(table["strand"] == "-", -1, 1)
    if genes is not None and (codes < 0).all():
        found = listed(table["chrom"].unique())
        msg = f"The genes have no chromosome of {genome.name!r} (they have {found}); are they of the same genome?"
        raise ValueError(msg)
    sites = np.unique(np.stack([codes, start_sites(table), direction]), axis=1)
    return _by_chromosome(*sites)


def _merged(peaks: Any, genome: Genome, adata: AnnData) -> dict[int, tuple[np.ndarray, np.ndarray]]:
    table = as_regions(peaks, genome, uns=adata.uns)
    return _by_chromosome(*merge(*(table[name].to_numpy() for name in ("code", "start", "end"))))


def _by_chromosome(codes: np.ndarray, *columns: np.ndarray) -> dict[int, tuple[np.ndarray, ...]]:
    bounds = np.searchsorted(codes, np.arange(codes.max() + 2)) if len(codes) else [0]
    return {
        code: tuple(column[low:high].astype(np.int32) for column in columns)
        for code, (low, high) in enumerate(pairwise(bounds))
        if high > low
    }
