"""How many background groups, and which: 250 well-spread ones against 1,000 random ones; calls under the null.

Uses raw cut-site counts in peaks and in tiles between them, no network, so that many repeats are cheap.

    python -m benchmarks.background_size DATA --repeats 40
"""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from benchmarks._priming import EDGE_BP, Setting, knn_members, read_peaks, simulate, target_members
from scatacworks._columns import placed
from scatacworks._core import intervals
from scatacworks._core.fdr import adjust_families
from scatacworks._core.region_test import normalize, one_against_many
from scatacworks._core.replication import Overlap, group_overlap
from scatacworks.tl._differential._universe import peaks_and_tiles

if TYPE_CHECKING:
    from scipy.sparse import csr_array

    from benchmarks._priming import Cells

TILE = 500
FDR = 0.05
PIECES = 1  # of the three pieces of 10 Mb, how many are tested
BACKGROUNDS = {
    "1,000 random": (1000, False),
    "250 random": (250, False),
    "250 spread": (250, True),
    "100 spread": (100, True),
}


class Counts:
    """Cut sites of cells in peaks and tiles, and what groups of them look like."""

    def __init__(self, cells: Cells, folder: Path, pieces: int) -> None:
        inner = {code: np.array([[EDGE_BP, size - EDGE_BP]]) for code, size in enumerate(cells.genome.lengths[:pieces])}
        self.cells = cells
        self.regions = peaks_and_tiles(read_peaks(folder, cells.genome), inner, cells.genome, TILE)
        self.family = self.regions["family"].to_numpy(str)
        self.matrix = cells.count_matrix(self.regions)

    def groups(self, members: csr_array) -> np.ndarray:
        """Return counts per region and group, brought to the mean number of cut sites."""
        sites = np.asarray(members.T.astype(float) @ self.cells.n_sites, float)
        counts = (members.T.astype(float) @ self.matrix).toarray()
        return counts * (sites.mean() / sites)[:, None]

    def test(
        self, target: np.ndarray, groups: np.ndarray, overlap: Overlap
    ) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Return z, p and q of every region."""
        own, groups = (normalize(values, groups, self.family) for values in (target[None], groups))
        result = one_against_many(own[0], groups, overlap, self.family)
        return result.z, result.p, adjust_families(result.p, self.family)


def compare(folder: Path, setting: Setting, seed: int) -> pd.DataFrame:
    """Return, per background and subpopulation, how z and calls agree with those of 1,000 random groups."""
    cells = simulate(folder, setting, seed=seed)
    counts = Counts(cells, folder, PIECES)
    targets = counts.groups(target_members(cells))
    rows, first = [], {}
    for name, (n, spread) in BACKGROUNDS.items():
        members = knn_members(cells, n_groups=n, spread=spread, seed=seed)
        groups = counts.groups(members)
        for t, target in enumerate(targets):
            overlap = group_overlap(members, cells.target == t, cells.n_sites)
            z, _, q = counts.test(target, groups, overlap)
            called = q < FDR
            z0, called0 = first.setdefault(t, (z, called))
            planted = cells.planted[t]
            real = planted[planted["kind"] != "control"]
            truth = intervals.any_overlap(placed(counts.regions, cells.genome), placed(real, cells.genome))
            rows.append(
                {
                    "background": name,
                    "effective": overlap.effective_number,
                    "correlation of z": np.corrcoef(z, z0)[0, 1],
                    "sd of z difference": (z - z0).std(),
                    "called": int(called.sum()),
                    "false share": (called & ~truth).sum() / max(called.sum(), 1),
                    "by one only": int((called ^ called0).sum()),
                }
            )
    return pd.DataFrame(rows).groupby("background", sort=False).mean()


def null_calls(folder: Path, setting: Setting, *, n_groups: int, seed: int) -> pd.Series:
    """Return what is called in subpopulations that differ in nothing."""
    cells = simulate(folder, setting, seed=seed)
    members = knn_members(cells, n_groups=n_groups, spread=True, seed=seed)
    counts = Counts(cells, folder, PIECES)
    groups, targets = counts.groups(members), counts.groups(target_members(cells))
    rows = []
    for t, target in enumerate(targets):
        _, p, q = counts.test(target, groups, group_overlap(members, cells.target == t, cells.n_sites))
        shares = {f"p < {level:g}": (p < level).mean() for level in (0.05, 1e-3, 1e-4)}
        rows.append({"called": int((q < FDR).sum()), "any": bool((q < FDR).any()), "regions": len(p), **shares})
    return pd.DataFrame(rows).mean()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", type=Path, help="folder with the HSC 80 M cut sites and peaks")
    parser.add_argument("--repeats", type=int, default=40, help="subpopulations without a difference")
    parser.add_argument("--seed", type=int, default=0)
    given = parser.parse_args()
    for varying in (0.0, 0.3):
        print(f"\n{varying:.0%} of the peaks vary among the other cells")
        print(compare(given.data, Setting(n_targets=5, varying=varying), given.seed).round(3).to_string(), flush=True)
        for at_end, where in ((0, "anywhere"), (1, "at an end of the axis")):
            null = Setting(n_targets=given.repeats, n_null=given.repeats, varying=varying, at_end=at_end)
            print(f"\n{given.repeats} subpopulations without a difference, {where}")
            print(null_calls(given.data, null, n_groups=250, seed=given.seed).round(6).to_string(), flush=True)


if __name__ == "__main__":
    main()
