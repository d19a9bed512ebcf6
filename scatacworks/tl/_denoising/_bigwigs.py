"""Cut sites from bigWig files, of cut sites or of their coverage."""

from __future__ import annotations

import warnings
from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial
from os import PathLike
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from scatacworks._arguments import one_of
from scatacworks._core.boxes import sites_of_boxes
from scatacworks._text import listed
from scatacworks.io._bigwig_read import read_complete
from scatacworks.tl._denoising._samples import (
    ANOTHER_SIGNAL,
    cut_sites_of,
    default_regions,
    intervals,
    union,
    warn_of_unmeasured,
)
from scatacworks.tl._denoising.call_peaks import with_lengths
from scatacworks.tracks import Tracks

if TYPE_CHECKING:
    from scatacworks.genome import Genome
    from scatacworks.models.data import Intervals

_ONLY = "sample"  # the group's name where there is one file
_MOST_UNSOLVED = 0.1  # of the covered bases
_LONG, _ENOUGH = 5, 100  # bases of a mean run, of so many runs: counts of single bases hardly ever repeat for longer


@dataclass(frozen=True)
class SitesFromFiles:
    """Cut sites of bigWig files.

    Attributes
    ----------
    sites
        The cut sites.
    unsolved
        Chromosome -> stretches of coverage that no cut sites explain, (n, 2).
    absent
        Chromosome that a file lacks -> the file.
    """

    sites: Tracks
    unsolved: dict[str, np.ndarray]
    absent: dict[str, Path]


def are_bigwigs(data: Any) -> bool:
    """Tell whether the argument names files rather than holding data."""
    return isinstance(data, str | PathLike | Mapping)


def read_sites(
    files: Any, *, kind: str, extend: int, genome: Genome | None = None, n_jobs: int | None, progress: bool
) -> SitesFromFiles:
    """Read a bigWig file, a folder of them or group -> file as cut sites.

    Raises
    ------
    ValueError
        If values are NaN or no counts, coverage is not that of extended cut sites, or the genome is another.
    """
    one_of(kind, "bigwig", ("coverage", "cut_sites"))
    named = files if isinstance(files, Mapping) or Path(files).is_dir() else {_ONLY: files}
    tracks, absent = read_complete(named, genome=genome, n_jobs=n_jobs, progress=progress)
    solver = _Solver(tracks, extend)
    solve = solver.solve if kind == "coverage" else partial(_counts, tracks)
    chromosomes = ((c, [solve(g, c) for g in range(len(tracks.groups))]) for c in tracks.genome.chroms)
    sites = Tracks.from_chromosomes(tracks.groups, tracks.genome, chromosomes)
    return SitesFromFiles(sites, solver.finish(), absent)


def _counts(tracks: Tracks, group: int, chrom: str) -> tuple[np.ndarray, None, np.ndarray]:
    """Take runs as counts of cut sites on each of their bases."""
    starts, lengths, values = with_lengths(tracks, group, chrom)
    if (values < 0).any() or (values != np.round(values)).any():
        msg = (
            f"{tracks.groups[group]!r} has values on {chrom} that are no counts of cut sites. Give "
            f"single-base counts that are not normalised; coverage is read with bigwig='coverage'. {ANOTHER_SIGNAL}"
        )
        raise ValueError(msg)
    occupied = lengths[values > 0]
    if len(occupied) >= _ENOUGH and occupied.mean() > _LONG:
        msg = (
            f"{tracks.groups[group]!r} keeps its values on {chrom} for {occupied.mean():.0f} bases on average, as "
            "coverage does and cut sites of single bases do not. Read it with bigwig='coverage'."
        )
        raise ValueError(msg)
    within = np.arange(int(lengths.sum())) - np.repeat(np.cumsum(lengths) - lengths, lengths)
    positions = (np.repeat(starts, lengths) + within).astype(np.int32)
    return positions, None, np.repeat(values, lengths).astype(np.uint32)


class _Solver:
    """Takes runs as the coverage of extended cut sites."""

    def __init__(self, tracks: Tracks, extend: int) -> None:
        self.tracks, self.extend = tracks, extend
        self.unsolved: list[dict[str, np.ndarray]] = []
        self.covered = np.zeros(len(tracks.groups), np.int64)
        self.lost = np.zeros(len(tracks.groups), np.int64)

    def solve(self, group: int, chrom: str) -> tuple[np.ndarray, None, np.ndarray]:
        runs = with_lengths(self.tracks, group, chrom)
        size = self.tracks.genome.length(chrom)
        positions, counts, unsolved = sites_of_boxes(*runs, extend=self.extend, length=size)
        self.covered[group] += int(runs[1].sum())
        self.lost[group] += int(np.diff(unsolved, axis=1).sum())
        self.unsolved.append({chrom: unsolved})
        return positions, None, counts.astype(np.uint32)

    def finish(self) -> dict[str, np.ndarray]:
        """Stretches without a solution, of all groups; refuse files that are something else altogether."""
        share = self.lost / np.maximum(self.covered, 1)
        worst = int(np.argmax(share))
        name = self.tracks.groups[worst]
        if share[worst] > _MOST_UNSOLVED:
            msg = (
                f"{share[worst]:.0%} of the covered bases of {name!r} are not the coverage of cut sites extended by "
                f"{self.extend} bp. Give unscaled coverage of that extension, or cut sites with bigwig='cut_sites'. "
                f"{ANOTHER_SIGNAL}"
            )
            raise ValueError(msg)
        if share[worst] > 0:
            msg = (
                f"{int(self.lost[worst]):,} covered bases of {name!r} ({share[worst]:.2%}) are not the coverage of cut "
                f"sites extended by {self.extend} bp, as beside gaps; they are left out."
            )
            warnings.warn(msg, UserWarning, stacklevel=4)
        return union(*self.unsolved)


def open_pair(
    clean: Any, noisy: Any, key: str, *, kind: str, extend: int, n_jobs: int | None, progress: bool
) -> tuple[Any, Any, dict[str, np.ndarray], dict[str, Path]]:
    """Read whichever of a pair is files.

    Returns
    -------
    The clean and the noisy data; stretches to leave out by chromosome; chromosomes that a file lacks, with the file.
    """
    options = {"kind": kind, "extend": extend, "n_jobs": n_jobs, "progress": progress}
    unsolved: dict[str, np.ndarray] = {}
    absent: dict[str, Path] = {}
    found = [clean, noisy]
    known = [cut_sites_of(data, key).genome for data in found if data is not None and not are_bigwigs(data)]
    genome = known[0] if known and any(map(are_bigwigs, found)) else None
    for i, data in enumerate(found):
        if are_bigwigs(data):
            read = read_sites(data, genome=genome, **options)
            found[i], genome = read.sites, read.sites.genome
            absent |= read.absent
            unsolved = union(unsolved, read.unsolved)
    return found[0], found[1], unsolved, absent


def present(regions: Any, data: Any, key: str, absent: Mapping[str, Path]) -> Intervals | None:
    """Regions, by default the windows that the data hold or `None` for the nuclear genome.

    Chromosomes that a file lacks are left out, and none may have been asked for.
    """
    genome = cut_sites_of(data, key).genome
    found = default_regions(data, key) if regions is None else intervals(regions, genome)
    if regions is not None:
        warn_of_unmeasured(found, data, key)
    if not absent:
        return found
    if regions is None:
        msg = f"Chromosomes are left out: {_lacking(sorted(absent), absent)}."
        warnings.warn(msg, UserWarning, stacklevel=3)
        found = intervals(None, genome) if found is None else found
        return {chrom: rows for chrom, rows in found.items() if chrom not in absent}
    lost = sorted(absent.keys() & set(found))
    if lost:
        msg = f"{_lacking(lost, absent)}, which regions= asks for; leave that out, or give a complete file."
        raise ValueError(msg)
    return found


def _lacking(chroms: list[str], absent: Mapping[str, Path]) -> str:
    """Say which file lacks which of these chromosomes."""
    by_file: dict[Path, list[str]] = {}
    for chrom in chroms:
        by_file.setdefault(absent[chrom], []).append(chrom)
    return "; ".join(f"{file} lacks {listed(names)}" for file, names in by_file.items())
