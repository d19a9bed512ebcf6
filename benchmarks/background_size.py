"""How many background groups, and which: 250 well-spread ones against 1,000 random ones; calls under the null.

Uses raw cut-site counts in the peaks (and in tiles), no network, so that many repeats are cheap.

    python -m benchmarks.background_size DATA --repeats 40
"""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from benchmarks._priming import EDGE_BP, Setting, knn_members, read_peaks, simulate, target_members
from scatacworks._core import intervals
from scatacworks._core.fdr import benjamini_hochberg
from scatacworks._core.region_test import one_against_many, size_factors
from scatacworks._core.replication import Overlap, group_overlap
from scatacworks.tl._differential._universe import as_arrays

if TYPE_CHECKING:
    from scipy.sparse import csr_array

    from benchmarks._priming import Cells

TILE = 500
BACKGROUNDS = {
    "1,000 random": (1000, False),
    "250 random": (250, False),
    "250 spread": (250, True),
    "100 spread": (100, True),
}


class Counts:
    """Cut sites of cells in regions, and what groups of them look like."""

    def __init__(self, cells: Cells, regions: pd.DataFrame) -> None:
        self.cells, self.matrix = cells, cells.count_matrix(regions)
        self.regions = regions

    def groups(self, members: csr_array) -> np.ndarray:
        """Return counts per region and group, brought to the mean number of cut sites."""
        sites = np.asarray(members.T.astype(float) @ self.cells.n_sites, float)
        counts = (members.T.astype(float) @ self.matrix).toarray()
        return counts * (sites.mean() / sites)[:, None]

    def test(self, target: np.ndarray, groups: np.ndarray, overlap: Overlap) -> tuple[np.ndarray, np.ndarray]:
        """Return z and p of every region."""
        reference = groups.mean(axis=0)
        level = reference.mean()
        groups = groups * size_factors(groups, reference, level)[:, None]
        own = target * size_factors(target[None], reference, level)
        result = one_against_many(own, groups, overlap)
        return result.z, result.p


def tiles(genome_sizes: dict[str, int]) -> pd.DataFrame:
    """Return tiles over everything but the ends."""
    parts = []
    for chrom, size in genome_sizes.items():
        start = np.arange(EDGE_BP, size - EDGE_BP, TILE)
        parts.append(pd.DataFrame({"chrom": chrom, "start": start, "end": start + TILE}))
    return pd.concat(parts, ignore_index=True)


def compare(folder: Path, setting: Setting, seed: int) -> pd.DataFrame:
    """Return, per background and subpopulation, how z and calls agree with those of 1,000 random groups."""
    cells = simulate(folder, setting, seed=seed)
    counts = Counts(cells, read_peaks(folder, cells.genome))
    targets = counts.groups(target_members(cells))
    rows, first = [], {}
    for name, (n, spread) in BACKGROUNDS.items():
        members = knn_members(cells, n_groups=n, spread=spread, seed=seed)
        groups = counts.groups(members)
        for t, target in enumerate(targets):
            overlap = group_overlap(members, cells.target == t)
            z, p = counts.test(target, groups, overlap)
            called = benjamini_hochberg(p) < 0.05
            z0, called0 = first.setdefault(t, (z, called))
            planted = cells.planted[t]
            real = planted[planted["kind"] != "control"]
            truth = intervals.any_overlap(as_arrays(counts.regions, cells.genome), as_arrays(real, cells.genome))
            rows.append(
                {
                    "background": name,
                    "effective": overlap.effective_number,
                    "for the mean": overlap.mean_number,
                    "correlation of z": np.corrcoef(z, z0)[0, 1],
                    "sd of z difference": (z - z0).std(),
                    "called": int(called.sum()),
                    "false share": (called & ~truth).sum() / max(called.sum(), 1),
                    "called by both": int((called & called0).sum()),
                    "by one only": int((called ^ called0).sum()),
                }
            )
    return pd.DataFrame(rows).groupby("background", sort=False).mean()


def null_calls(folder: Path, setting: Setting, *, n_groups: int, seed: int) -> pd.DataFrame:
    """Return regions called in subpopulations that differ in nothing, among peaks and among tiles."""
    cells = simulate(folder, setting, seed=seed)
    members = knn_members(cells, n_groups=n_groups, spread=True, seed=seed)
    rows = []
    for name, regions in (("peaks", read_peaks(folder, cells.genome)), ("tiles", tiles(cells.genome.sizes))):
        counts = Counts(cells, regions)
        groups, targets = counts.groups(members), counts.groups(target_members(cells))
        for t, target in enumerate(targets):
            _, p = counts.test(target, groups, group_overlap(members, cells.target == t))
            called = int((benjamini_hochberg(p) < 0.05).sum())
            rows.append(
                {"tested": name, "called": called, "p < 0.05": (p < 0.05).mean(), "p < 0.001": (p < 1e-3).mean()}
            )
    table = pd.DataFrame(rows).assign(any=lambda t: t["called"] > 0)
    return table.groupby("tested").mean()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", type=Path, help="folder with the HSC 80 M cut sites and peaks")
    parser.add_argument("--repeats", type=int, default=40, help="subpopulations without a difference")
    parser.add_argument("--seed", type=int, default=0)
    given = parser.parse_args()
    for varying in (0.0, 0.3):
        print(f"\n{varying:.0%} of the peaks vary among the other cells")
        print(compare(given.data, Setting(n_targets=5, varying=varying), given.seed).round(3).to_string())
        null = Setting(n_targets=given.repeats, n_null=given.repeats, varying=varying)
        print(null_calls(given.data, null, n_groups=250, seed=given.seed).round(5).to_string())


if __name__ == "__main__":
    main()
