"""Cut sites that know their cell and their fragment, and shallow versions drawn from them."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np

from scatacworks._core.spans import between


@dataclass
class CellSites:
    """Cut sites with the cell, and where known the fragment, that each is from.

    Attributes
    ----------
    positions, cells
        Chromosome -> sorted positions (int32) and their cells (int32 codes from 0), of equal length.
    n_cells
        Number of cells.
    fragments
        Chromosome -> number of the fragment of each site (int32), counted along the chromosome; both sites of a
        fragment have the same. `None` where fragments are not known.
    """

    positions: dict[str, np.ndarray]
    cells: dict[str, np.ndarray]
    n_cells: int
    fragments: dict[str, np.ndarray] | None = None

    @cached_property
    def shares(self) -> np.ndarray:
        """Fraction of all cut sites that each cell has; float64, `(n_cells,)`."""
        counts = sum(np.bincount(codes, minlength=self.n_cells) for codes in self.cells.values())
        return counts / max(counts.sum(), 1)

    def of_cells(
        self, rng: np.random.Generator, chrom: str, span: tuple[int, int], n: int
    ) -> tuple[np.ndarray, np.ndarray, float]:
        """Draw `n` cells; positions and counts of their sites within the span, and their share of all sites."""
        drawn = np.zeros(self.n_cells, bool)
        drawn[rng.choice(self.n_cells, n, replace=False)] = True
        where = self._within(chrom, span)
        kept = self.positions[chrom][where][drawn[self.cells[chrom][where]]]
        return kept, np.ones(len(kept), np.int64), float(self.shares[drawn].sum())

    def of_fragments(
        self, rng: np.random.Generator, chrom: str, span: tuple[int, int], share: float
    ) -> tuple[np.ndarray, np.ndarray]:
        """Keep every fragment, both of its sites or neither, with the probability `share`; positions and counts."""
        where = self._within(chrom, span)
        codes = self.fragments[chrom][where]
        if len(codes) == 0:
            return self.positions[chrom][where], np.empty(0, np.int64)
        first = int(codes.min())
        # fragments are numbered by their start, so those of a window are close together
        drawn = rng.random(int(codes.max()) - first + 1) < share
        kept = self.positions[chrom][where][drawn[codes - first]]
        return kept, np.ones(len(kept), np.int64)

    def _within(self, chrom: str, span: tuple[int, int]) -> slice:
        return between(self.positions[chrom], *span)
