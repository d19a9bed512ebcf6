"""Cut sites of many groups around regions: from a pseudobulk, or straight from fragments and a membership."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np

from scatacworks import _keys, _step
from scatacworks._anndata import params_of
from scatacworks._core.pileup import group_cut_sites
from scatacworks._core.runs import sum_sites
from scatacworks._core.spans import between
from scatacworks._core.territory import REFERENCE_BP
from scatacworks._counting import CellCounter
from scatacworks._depth import require_nucleus
from scatacworks._membership import Membership, groupby_of, has_groups, resolve_groups
from scatacworks._regions import nuclear_spans
from scatacworks.get import tracks as get_tracks
from scatacworks.io._source import excluded_digest, open_fragments
from scatacworks.tl._denoising._inputs import resolve_depth
from scatacworks.tl._denoising._samples import default_regions
from scatacworks.tracks import Runs, Tracks

if TYPE_CHECKING:
    from collections.abc import Mapping

    from anndata import AnnData
    from mudata import MuData

    from scatacworks.genome import Genome
    from scatacworks.io._source import FragmentSource

POOL = "all groups"
_COUNTED_BP = 16_000_000  # bases in which the cut sites of all groups are counted at once


@dataclass
class GroupSource(ABC):
    """Groups of cells whose cut sites can be asked for window by window.

    Attributes
    ----------
    groups
        Names, `(n_groups,)`.
    genome
        The genome of the positions.
    depth
        Cut sites per 3.1e9 bp of territory; float64, `(n_groups,)`.
    territory_bp
        Bases of the nuclear genome that the fragments cover.
    provenance
        What the cut sites are, for the record.
    """

    groups: np.ndarray
    genome: Genome
    depth: np.ndarray
    territory_bp: float
    provenance: dict[str, Any]

    @abstractmethod
    def runs(self, code: int, start: int, end: int, groups: slice = slice(None)) -> list[Runs]:
        """Return the cut sites of every group, or some, in a window."""

    @abstractmethod
    def select(self, groups: np.ndarray | slice) -> GroupSource:
        """Return some groups, by position."""

    def n_sites(self, regions: Mapping[int, np.ndarray]) -> np.ndarray:
        """Return how many cut sites every group has in the regions; int64, `(n_groups,)`."""
        total = np.zeros(len(self.groups), np.int64)
        for code, intervals in regions.items():
            for start, end in intervals.tolist():
                for low in range(start, end, _COUNTED_BP):
                    runs = self.runs(code, low, min(low + _COUNTED_BP, end))
                    total += np.array([values.sum(dtype=np.int64) for _, _, values in runs])
        return total

    def pooled(self, code: int, start: int, end: int) -> Runs:
        """Return the cut sites of all groups together in a window."""
        parts = self.runs(code, start, end)
        return sum_sites(*(np.concatenate([part[i] for part in parts]) for i in (0, 2)))

    @property
    def pooled_depth(self) -> float:
        """Depth of all groups together, as :meth:`pooled` counts them."""
        return float(self.depth.sum())

    def around(self, regions: Mapping[int, np.ndarray], reach: int, groups: slice) -> Tracks:
        """Return the cut sites of some groups at most `reach` bp from regions (and some between them), as tracks."""
        chromosomes = (
            (code, self.runs(code, *_span(intervals, reach), groups)) for code, intervals in sorted(regions.items())
        )
        return Tracks.from_chromosomes(self.groups[groups], self.genome, chromosomes)

    def pooled_around(self, regions: Mapping[int, np.ndarray], reach: int) -> Tracks:
        """Return the cut sites of all groups together around regions, as :meth:`around`."""
        chromosomes = ((code, [self.pooled(code, *_span(own, reach))]) for code, own in sorted(regions.items()))
        return Tracks.from_chromosomes([POOL], self.genome, chromosomes)


def default_spans(source: GroupSource) -> dict[int, np.ndarray]:
    """Return the nuclear genome, or the windows of it that the fragments were cut to, with a word about these."""
    genome = source.genome
    whole = nuclear_spans(genome)
    if source.territory_bp >= genome.lengths[genome.nuclear].sum() / 2:
        return whole
    pooled = ((code, [source.pooled(code, 0, int(genome.lengths[code]))]) for code in whole)
    windows = default_regions(Tracks.from_chromosomes([POOL], genome, pooled), "", stacklevel=5)
    return whole if windows is None else {genome.code(chrom): rows for chrom, rows in windows.items()}


def _span(intervals: np.ndarray, reach: int) -> tuple[int, int]:
    """Return the first and last base, half-open, that can change what is computed in sorted intervals."""
    return max(int(intervals[0, 0]) - reach, 0), int(intervals[-1, 1]) + reach


@dataclass
class CountedSource(GroupSource):
    """Groups counted before, by :func:`~scatacworks.pp.pseudobulk`."""

    cut_sites: Tracks

    def select(self, groups: np.ndarray | slice) -> CountedSource:
        names = self.groups[groups]
        return replace(self, groups=names, depth=self.depth[groups], cut_sites=self.cut_sites.select(list(names)))

    def runs(self, code: int, start: int, end: int, groups: slice = slice(None)) -> list[Runs]:
        out = []
        for group in range(len(self.groups))[groups]:
            starts, _, values = self.cut_sites.runs(group, code)
            within = between(starts, start, end)
            out.append((starts[within], None, values[within]))
        return out


@dataclass
class CellSource(GroupSource):
    """Groups counted on the fly: cut sites by cell, handed to the groups of each cell when a window is asked for.

    A cell of many groups is stored once, so a thousand overlapping groups take no more memory than their cells.
    """

    membership: Membership
    keys: dict[int, np.ndarray]
    cells_depth: float

    @property
    def pooled_depth(self) -> float:
        return self.cells_depth

    def select(self, groups: np.ndarray | slice) -> CellSource:
        some = self.membership.select(groups)
        return replace(self, groups=some.groups, depth=self.depth[groups], membership=some)

    def _slice(self, code: int, start: int, end: int) -> np.ndarray:
        keys = self.keys.get(code, np.empty(0, np.int64))
        low, high = np.searchsorted(keys, [start << 32, end << 32])
        return keys[low:high]

    def runs(self, code: int, start: int, end: int, groups: slice = slice(None)) -> list[Runs]:
        some = self if groups == slice(None) else self.select(groups)
        members = some.membership.matrix
        return group_cut_sites(self._slice(code, start, end), members.indptr, members.indices, len(some.groups))

    def around(self, regions: Mapping[int, np.ndarray], reach: int, groups: slice) -> Tracks:
        if groups != slice(None):  # the groups are chosen once, not for every chromosome
            return self.select(groups).around(regions, reach, slice(None))
        return super().around(regions, reach, groups)

    def pooled(self, code: int, start: int, end: int) -> Runs:
        position, count = np.unique(self._slice(code, start, end) >> 32, return_counts=True)
        return position.astype(np.int32), None, count.astype(np.uint32)


def has_cut_sites(adata: AnnData, key: str | None) -> bool:
    """Tell whether a slot of `.uns` holds a pseudobulk."""
    slot = adata.uns.get(key)
    return hasattr(slot, "get") and (slot.get(_keys.CUT_SITES) is not None or slot.get("path") is not None)


def take_groups(data: AnnData | MuData, adata: AnnData, key: str | None) -> None:
    """Give the modality a grouping that a MuData has elsewhere, unless `key` names cut sites that were counted."""
    if not has_cut_sites(adata, key):
        _step.take_column(data, adata, key)


def require_groups(adata: AnnData, key: str) -> None:
    """Refuse a name that neither cut sites nor a grouping of cells have, with a `KeyError`."""
    if not has_cut_sites(adata, key) and not has_groups(adata, key):
        msg = (
            f"There are no groups under {key!r}: neither cut sites in .uns (pp.pseudobulk writes them), nor a column "
            "of .obs, nor a membership in .obsm (pp.knn_groups writes one)."
        )
        raise KeyError(msg)


def genome_for(adata: AnnData, key: str) -> Genome:
    """Return the genome of a pseudobulk, or of the fragments."""
    if has_cut_sites(adata, key):
        return get_tracks(adata, key=key, layer=_keys.CUT_SITES).genome
    return open_fragments(adata).genome


def open_groups(
    adata: AnnData,
    key: str,
    regions: Mapping[int, np.ndarray] | None,
    reach: int,
    *,
    convention: str,
    n_jobs: int | None,
) -> GroupSource:
    """Return the groups named by `key`: a slot of `.uns` with cut sites, or a grouping of cells.

    Parameters
    ----------
    adata, key
        The object, and the name.
    regions, reach, convention, n_jobs
        Of a grouping of cells: only cut sites at most `reach` bp from these intervals are kept in memory; where the cut
        sites of a fragment are; and threads.

    Raises
    ------
    KeyError
        If `key` is neither.
    """
    require_groups(adata, key)
    if has_cut_sites(adata, key):
        return _counted(adata, key)
    source = read_groups(
        resolve_groups(adata, key), open_fragments(adata), regions, reach, key=key, convention=convention, n_jobs=n_jobs
    )
    source.provenance["excluded"] = excluded_digest(adata)
    return source


def _counted(adata: AnnData, key: str) -> CountedSource:
    cut_sites = get_tracks(adata, key=key, layer=_keys.CUT_SITES)
    params = params_of(adata, key)
    convention, territory_bp = str(params.get("convention", "")), float(params.get("territory_bp", np.inf))
    excluded = str(params.get("excluded", ""))
    provenance = {"groupby": groupby_of(adata, key), "convention": convention, "excluded": excluded}
    depth = resolve_depth(adata, key, cut_sites, None)
    return CountedSource(cut_sites.groups, cut_sites.genome, depth, territory_bp, provenance, cut_sites)


def read_groups(
    membership: Membership,
    fragments: FragmentSource,
    regions: Mapping[int, np.ndarray] | None,
    reach: int,
    *,
    convention: str,
    key: str,
    n_jobs: int | None,
) -> CellSource:
    """Read the fragments once; keep cut sites near the regions, and count everything."""
    genome = fragments.genome
    require_nucleus(genome)
    counter, keys = CellCounter(membership, convention, genome), {}
    for block in fragments.chromosomes(n_jobs=n_jobs):
        counter.add(block)
        if regions is None:
            keys[block.chrom] = counter.keys(block)
        elif block.chrom in regions:
            keys[block.chrom] = _near(counter.keys(block), regions[block.chrom], reach)
    counter.require_fragments()
    territory_bp = counter.territory_bp()
    to_depth = 2 * REFERENCE_BP / territory_bp
    cells_depth = to_depth * float(counter.nuclear_per_cell[counter.in_a_group].sum())
    provenance = {"groupby": key, "convention": convention}
    depth = to_depth * membership.sums(counter.nuclear_per_cell)
    return CellSource(membership.groups, genome, depth, territory_bp, provenance, membership, keys, cells_depth)


def _near(keys: np.ndarray, intervals: np.ndarray, reach: int) -> np.ndarray:
    """Keep the cut sites at most `reach` bp from sorted, disjoint intervals."""
    position = keys >> 32
    low = np.searchsorted(position, intervals[:, 0] - reach)
    high = np.searchsorted(position, intervals[:, 1] + reach)
    change = np.zeros(len(keys) + 1, np.int64)
    np.add.at(change, low, 1)
    np.add.at(change, high, -1)
    return keys[np.cumsum(change[:-1]) > 0]
