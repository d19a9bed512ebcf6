"""Cut sites with their cells and fragments, read again from the fragments of an AnnData."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from scatacworks import _keys
from scatacworks._anndata import atac, fragment_files, params_of
from scatacworks._arguments import one_of
from scatacworks._core.pileup import CONVENTIONS
from scatacworks._membership import groupby_of, has_groups, resolve_groups
from scatacworks.io._source import open_fragments
from scatacworks.models.data import CellSites
from scatacworks.tracks import Tracks

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from scatacworks._core.fragments import FragmentBlock

UNITS = ("sites", "fragments", "cells")


def choose_unit(data: Any, key: str, draw: str | None, n_cells: Sequence[int]) -> str:
    """What is kept or dropped as a whole: as asked for, else fragments where they are at hand."""
    one_of(draw, "draw", (*UNITS, None))
    if n_cells and draw not in (None, "cells"):
        msg = f'n_cells={list(n_cells)} are drawn as cells; leave out draw={draw!r}, or give draw="cells".'
        raise ValueError(msg)
    unit = draw or ("cells" if n_cells else "fragments" if _missing(data, key) is None else "sites")
    if unit != "sites" and (why := _missing(data, key)):
        msg = f"To draw {unit}, the cells and their fragments have to be known, but {why}."
        raise ValueError(msg)
    return unit


def _missing(data: Any, key: str) -> str | None:
    """What keeps cells and fragments from being read; `None` where nothing does."""
    if isinstance(data, Tracks):
        return "these are tracks without cells"
    adata = atac(data)
    if "source_group" in adata.uns[key]:
        return f".uns[{key!r}] holds cut sites that pp.subsample thinned one by one"
    if not has_groups(adata, groupby_of(adata, key)):
        return f".uns[{key!r}] was not made from an .obs column or .obsm membership that is still there"
    if _keys.FRAGMENT_PAIRED in adata.obsm:
        return None
    files = fragment_files(adata)
    if files is None:
        return "the object names no fragment file"
    paths = files.values() if hasattr(files, "values") else [files]
    lost = [str(path) for path in paths if not Path(str(path)).is_file()]
    return f"there is no fragment file {lost[0]}" if lost else None


def read_cells(
    data: Any, key: str, groups: Sequence[str], chroms: Iterable[str], *, n_jobs: int | None, progress: bool
) -> dict[str, CellSites]:
    """Cut sites of every group by cell and fragment, on some chromosomes; as `pp.pseudobulk` counted them.

    Raises
    ------
    ValueError
        If they are not those that were counted, because groups or cells have changed since.
    """
    adata = atac(data)
    membership = resolve_groups(adata, groupby_of(adata, key), groups=groups)
    source = open_fragments(adata)
    wanted = {source.genome.code(chrom): chrom for chrom in chroms}
    shifts = CONVENTIONS[str(params_of(adata, key).get("convention", "10x"))]
    gathered = [_Gathered(membership.matrix[:, [i]].toarray()[:, 0]) for i in range(len(groups))]
    for block in source.chromosomes(n_jobs=n_jobs, progress=progress):
        if block.chrom in wanted:
            last = int(source.genome.lengths[block.chrom]) - 1
            for one in gathered:
                one.add(wanted[block.chrom], block, shifts, last)
    return {group: one.take(wanted.values()) for group, one in zip(groups, gathered, strict=True)}


def check_same(cells: CellSites, sites: Tracks, group: str, key: str) -> None:
    """Refuse cells whose cut sites are not those of the group's track."""
    for chrom, positions in cells.positions.items():
        counted = int(np.sum(sites.runs(group, chrom)[2], dtype=np.int64))
        if counted != len(positions):
            msg = (
                f"On {chrom}, the cells of {group!r} now have {len(positions):,} cut sites, but .uns[{key!r}] counted "
                f"{counted:,}: groups or cells have changed since. Run pp.pseudobulk again."
            )
            raise ValueError(msg)


class _Gathered:
    """Cut sites of one group by cell and fragment, chromosome by chromosome."""

    def __init__(self, member: np.ndarray) -> None:
        self.n_cells = int(member.sum())
        self.code = np.full(len(member), -1, np.int32)
        self.code[member] = np.arange(self.n_cells, dtype=np.int32)
        self.parts: dict[str, tuple[np.ndarray, np.ndarray, np.ndarray]] = {}

    def add(self, chrom: str, block: FragmentBlock, shifts: tuple[int, int], last: int) -> None:
        """Add the group's fragments of a chromosome, sorted by start."""
        codes = self.code[block.cell]
        own = codes >= 0
        columns = zip((block.start, block.end), shifts, strict=True)
        ends = [np.minimum(column[own] + shift, last) for column, shift in columns]
        positions = np.concatenate(ends)
        order = np.argsort(positions, kind="stable")
        fragment = np.tile(np.arange(int(own.sum()), dtype=np.int32), 2)
        self.parts[chrom] = (positions[order], np.tile(codes[own], 2)[order], fragment[order])

    def take(self, chroms: Iterable[str]) -> CellSites:
        """Everything, with empty arrays where a chromosome has no fragment."""
        none = (np.empty(0, np.int32),) * 3
        parts = {chrom: self.parts.get(chrom, none) for chrom in chroms}
        positions, cells, fragments = ({chrom: part[i] for chrom, part in parts.items()} for i in range(3))
        return CellSites(positions, cells, self.n_cells, fragments)
