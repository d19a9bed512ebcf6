"""Cut sites of the cells that are in a group, chromosome by chromosome, and what is known only after the last one."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from scatacworks._core.pileup import CONVENTIONS, sorted_cut_sites
from scatacworks._core.territory import FINEST_TILE_BP, TILES_BP, count_tiles, occupied, territory
from scatacworks._numba import njit

if TYPE_CHECKING:
    from scatacworks._core.fragments import FragmentBlock
    from scatacworks._membership import Membership
    from scatacworks.genome import Genome


class CellCounter:
    """Turns fragments into cut sites by cell and keeps totals.

    Parameters
    ----------
    membership
        The groups.
    convention
        Where the cut sites of a fragment are, a key of `CONVENTIONS`.
    genome
        Genome of the fragments.
    """

    def __init__(self, membership: Membership, convention: str, genome: Genome) -> None:
        self.membership, self.shifts, self.genome = membership, CONVENTIONS[convention], genome
        self.in_a_group = np.diff(membership.matrix.indptr) > 0
        self.nuclear_per_cell = np.zeros(len(self.in_a_group), np.int64)
        self.other_per_cell = np.zeros(len(self.in_a_group), np.int64)
        self.tiles = np.zeros((2, len(TILES_BP)), np.int64)
        self.n_of_one_base = 0

    def add(self, block: FragmentBlock) -> None:
        """Count the fragments of one chromosome."""
        length = int(self.genome.lengths[block.chrom])
        nuclear = self.genome.nuclear[block.chrom]
        per_cell = self.nuclear_per_cell if nuclear else self.other_per_cell
        self.n_of_one_base += int(_count(block.start, block.end, block.cell, per_cell))
        if nuclear:
            self.tiles += occupied(count_tiles(block.start, length, FINEST_TILE_BP))

    def keys(self, block: FragmentBlock) -> np.ndarray:
        """Return the cut sites of the cells in a group: sorted int64 `position << 32 | cell`."""
        columns = [block.start, block.end, block.cell]
        kept = self.in_a_group[block.cell]
        if not kept.all():
            columns = [column[kept] for column in columns]
        return sorted_cut_sites(*columns, shifts=self.shifts, length=int(self.genome.lengths[block.chrom]))

    @property
    def per_cell(self) -> np.ndarray:
        """Fragments of every cell; int64, `(n_cells,)`."""
        return self.nuclear_per_cell + self.other_per_cell

    @property
    def n_fragments(self) -> np.ndarray:
        """Fragments of every group; int64, `(n_groups,)`."""
        return self.membership.sums(self.per_cell)

    def require_fragments(self) -> None:
        """Refuse groups that have no fragment at all."""
        if not self.n_fragments.any():
            msg = (
                f"No fragment belongs to any group: the cells have {int(self.per_cell.sum()):,} fragments, "
                f"none of them the {int(self.in_a_group.sum()):,} cells in a group."
            )
            raise ValueError(msg)

    def territory_bp(self) -> float:
        """Return the bases of the nuclear genome that the fragments of all cells cover."""
        n_fragments = int(self.nuclear_per_cell.sum())
        return territory(self.tiles, n_fragments, int(self.genome.lengths[self.genome.nuclear].sum()))


@njit
def _count(start: np.ndarray, end: np.ndarray, cell: np.ndarray, per_cell: np.ndarray) -> int:
    """Add the fragments of every cell to `per_cell`; returns how many are one base long."""
    n_of_one_base = 0
    for i in range(len(start)):
        per_cell[cell[i]] += 1
        n_of_one_base += end[i] - start[i] == 1
    return n_of_one_base
