"""Sites of motifs: matches as they are given, or found in a genome's sequence."""

from __future__ import annotations

import os
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import pandas as pd
from tqdm.auto import tqdm

from scatacworks import _threads
from scatacworks._arguments import share
from scatacworks._core import motif_scan
from scatacworks._fasta import open_fasta
from scatacworks._logging import logger
from scatacworks._regions import as_regions
from scatacworks._strands import strands_of
from scatacworks.io._peaks_read import read_bed
from scatacworks.tl._annotation._motif_matches import base_frequencies, load_motifs

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from scatacworks.genome import Genome
    from scatacworks.io import Motif

_STRANDED = ("name", "score", "strand")


class Sites(NamedTuple):
    """Sites of one motif, of one chromosome after the other."""

    chrom: np.ndarray
    center: np.ndarray
    reverse: np.ndarray
    width: int
    factor: str = ""

    def take(self, chosen: np.ndarray) -> Sites:
        """Return some of the sites."""
        return self._replace(chrom=self.chrom[chosen], center=self.center[chosen], reverse=self.reverse[chosen])

    def on(self, chrom: int) -> tuple[np.ndarray, np.ndarray]:
        """Return centres and directions on a chromosome."""
        here = self.chrom == chrom
        return self.center[here], self.reverse[here]


def read_sites(sites: Any, genome: Genome) -> dict[str, Sites]:
    """Read matches in any form: motif -> its sites."""
    found: dict[str, Sites] = {}
    for name, table in _tables(sites):
        if name in found:
            msg = f"Two motifs of sites are called {name!r}; give each a name of its own."
            raise ValueError(msg)
        found[name] = _one_motif(table, genome, name)
    return found


def _tables(sites: Any) -> Iterator[tuple[str, pd.DataFrame]]:
    """Return the name of every motif and its matches."""
    if isinstance(sites, Mapping):
        if not sites:
            msg = "sites is an empty mapping; expected motif -> its matches."
            raise ValueError(msg)
        yield from ((str(name), _table(one)) for name, one in sites.items())
        return
    table = _table(sites)
    column = _column(table, "motif")
    if column is not None and len(table):
        if table[column].isna().any():
            msg = f"{int(table[column].isna().sum()):,} of {len(table):,} sites have no name in the column {column}."
            raise ValueError(msg)
        yield from ((str(name), one) for name, one in table.groupby(column, sort=False, observed=True))
    else:
        yield "sites" if isinstance(sites, pd.DataFrame) else Path(Path(sites).name.removesuffix(".gz")).stem, table


def _column(table: pd.DataFrame, name: str) -> Any:
    """Return what a table calls a column, in whatever case, or `None`."""
    return next((column for column in table if str(column).lower() == name), None)


def _table(sites: Any) -> pd.DataFrame:
    if isinstance(sites, pd.DataFrame):
        return sites
    if isinstance(sites, str | os.PathLike):
        return read_bed(sites, _STRANDED)
    msg = f"sites is a {type(sites).__name__}; expected a table, a BED file, or a dict of motif -> such."
    raise TypeError(msg)


def _one_motif(table: pd.DataFrame, genome: Genome, what: str) -> Sites:
    """Return the sites of a table."""
    if len(table) == 0:
        msg = f"There are no rows in {what}."
        raise ValueError(msg)
    table = as_regions(table, genome, stacklevel=5)
    start, end = table["start"].to_numpy(), table["end"].to_numpy()
    widths = end - start
    if widths.min() < widths.max():
        logger.warning(
            "The rows of %s are %d to %d bp wide. If they are of several motifs, these have to be named in a column "
            "motif, such as by sites.rename(columns={'name': 'motif'}).", what, widths.min(), widths.max(),
        )  # fmt: skip
    strand = _column(table, "strand")
    reverse = np.zeros(len(table), bool) if strand is None else strands_of(table[strand], what) == "-"
    return _at(table["code"].to_numpy(), start, end, reverse, int(np.median(widths)))


def on_chromosomes(found: Mapping[str, Sites], known: Sequence[int]) -> dict[str, Sites]:
    """Leave out sites on other chromosomes: organelles, of which there are many copies, and what has no sequence."""
    inside = {name: np.isin(sites.chrom, known) for name, sites in found.items()}
    return _kept(found, inside, "sites lie on mitochondria or plastids, or on chromosomes that the FASTA file lacks")


def within_chromosomes(found: Mapping[str, Sites], genome: Genome, flank: int) -> dict[str, Sites]:
    """Leave out sites close to the end of a chromosome: beyond it nothing is cut, however open it is."""
    inside = {
        name: (sites.center >= flank) & (sites.center < genome.lengths[sites.chrom] - flank)
        for name, sites in found.items()
    }
    return _kept(found, inside, "windows reach over the end of their chromosome")


def _kept(found: Mapping[str, Sites], chosen: Mapping[str, np.ndarray], what: str) -> dict[str, Sites]:
    """Take the chosen sites, telling how many and which motifs are left out."""
    kept = {name: sites.take(chosen[name]) for name, sites in found.items()}
    n, n_kept = (sum(len(sites.chrom) for sites in which.values()) for which in (found, kept))
    report_left_out(n_kept, n, what)
    without = [name for name, sites in kept.items() if len(sites.chrom) == 0]
    if without:
        logger.warning("No site is left of %s.", ", ".join(without))
    return {name: sites for name, sites in kept.items() if name not in without}


def report_left_out(n_kept: int, n: int, what: str) -> None:
    """Tell how many are left out, and why; refuse to go on with none."""
    if n_kept == 0:
        msg = f"All {n:,} {what}."
        raise ValueError(msg)
    if n_kept < n:
        logger.warning("%d of %d %s; they are left out.", n - n_kept, n, what)


def _at(chrom: np.ndarray, start: np.ndarray, end: np.ndarray, reverse: np.ndarray, width: int) -> Sites:
    """Return sites by their middles: the same base of the motif on either strand."""
    half = (end - start) // 2
    return Sites(chrom, np.where(reverse, end - 1 - half, start + half), reverse, width)


def find_matches(
    motifs: Any, table: pd.DataFrame, fasta: Any, *, p_value: float, n_jobs: int | None, progress: bool
) -> dict[str, Sites]:
    """Find the best match of every motif in each region."""
    share(p_value, "p_value", inside=True)
    loaded = load_motifs(motifs)
    if table.empty:
        msg = f"No nuclear chromosome of the regions is in {fasta}."
        raise ValueError(msg)
    with open_fasta(fasta) as sequences:
        rows = zip(table["chrom"], table["start"].tolist(), table["end"].tolist(), strict=True)
        codes, bounds = motif_scan.encode([sequences.text(*row) for row in rows])
    words, background = motif_scan.words_of(codes, bounds), base_frequencies(codes)
    start, chrom = table["start"].to_numpy(), table["code"].to_numpy()

    def sites_of(motif: Motif) -> Sites:
        """Return the matches of one motif, those in several regions once."""
        scores = motif_scan.log_odds(motif.matrix, background, pseudocount=1.0, n_sites=motif.n_sites)
        cutoff = motif_scan.threshold(scores, background, p_value)
        _, at, reverse = motif_scan.scan(codes, bounds, words, scores, cutoff)
        met = np.flatnonzero(at >= 0)
        begin = start[met] + at[met]
        once = np.sort(np.unique(np.column_stack([chrom[met], begin]), axis=0, return_index=True)[1])
        met, begin = met[once], begin[once]
        sites = _at(chrom[met], begin, begin + len(motif), reverse[met], len(motif))
        return sites._replace(factor="::".join(motif.factors))

    found = {}
    with ThreadPoolExecutor(_threads.resolve(n_jobs)) as pool:
        every = tqdm(pool.map(sites_of, loaded), total=len(loaded), desc="motifs", disable=not progress)
        for motif, sites in zip(loaded, every, strict=True):
            if len(sites.chrom):
                found[motif.name] = sites
            else:
                logger.warning("No region has a match of %s; it is left out.", motif.name)
    if not found:
        msg = f"None of the {len(loaded)} motifs matches in any of the {len(table)} regions at p_value={p_value}."
        raise ValueError(msg)
    return found


def with_sequence(genome: Genome, fasta: Any) -> list[int]:
    """Return the nuclear chromosomes that a FASTA file has, which must be of the same assembly."""
    with open_fasta(fasta) as sequences:
        known = [code for code in np.flatnonzero(genome.nuclear).tolist() if genome.chroms[code] in sequences]
        for code in known:
            chrom, length = genome.chroms[code], int(genome.lengths[code])
            if sequences.length(chrom) != length:
                msg = (
                    f"{chrom} has {sequences.length(chrom):,} bp in {fasta} but {length:,} in {genome.name}; give the "
                    "sequence of the assembly that the cut sites are of."
                )
                raise ValueError(msg)
    if not known:
        msg = f"No chromosome of {genome.name} ({', '.join(genome.chroms[:3])}, …) is in {fasta}."
        raise ValueError(msg)
    return known
