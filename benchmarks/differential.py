"""Planted regions in 50 of 2,000 cells: which way of finding them does best, and what it claims under the null.

Cells are drawn from real cut sites (30 Mb of bulk HSC ATAC-seq at 80 M reads): 2,000 other cells, and independent
subpopulations of 50 cells, all against the same other cells. The network never saw the planted changes, but part of it
was trained on the sites' source.

    python -m benchmarks.differential DATA --targets 10 --null 20 --out differential.csv
"""

from __future__ import annotations

import argparse
import json
import time
import warnings
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
from scipy import sparse, stats

import scatacworks as sca
from benchmarks._priming import EDGE_BP, Setting, knn_members, read_peaks, read_sites, simulate, to_anndata
from scatacworks._core import intervals
from scatacworks._core.differential import join_z, two_sided_p, z_scores
from scatacworks._core.fdr import benjamini_hochberg
from scatacworks._core.moments import join
from scatacworks._core.pileup import box_coverage
from scatacworks.metrics import auprc, auroc
from scatacworks.tl._differential._store import get_background
from scatacworks.tl._differential._target import open_target, stretches
from scatacworks.tl._differential._universe import as_arrays

if TYPE_CHECKING:
    from anndata import AnnData

    from benchmarks._priming import Cells

EXTEND = 100
FDR = 0.05
STEP = 8  # bases are scored at every 8th, as the network's bins are no finer


def prepare(
    folder: Path,
    setting: Setting,
    *,
    regions: list[tuple[str, int, int]],
    n_groups: int,
    spread: bool,
    model: Any,
    n_jobs: int | None,
    seed: int,
) -> tuple[Cells, AnnData, dict[str, float]]:
    """Draw the cells, denoise the subpopulations and make the background."""
    cells = simulate(folder, setting, seed=seed)
    adata = to_anndata(cells, knn_members(cells, n_groups=n_groups, spread=spread, seed=seed))
    shared = {"regions": regions, "model": model, "n_jobs": n_jobs, "progress": False}
    start = time.perf_counter()
    sca.tl.denoise(adata, **shared)
    denoised = time.perf_counter()
    options = {"key": "background_sites", "key_added": "background_moments"}
    sca.tl.background(adata, **options, **shared)
    seconds = {"denoise": denoised - start, "background": time.perf_counter() - denoised}
    return cells, adata, seconds


class RawCoverage:
    """Coverage (cut sites extended by 100 bp) of targets and background, normalised; z per base without a network."""

    def __init__(self, adata: AnnData, regions: pd.DataFrame) -> None:
        self.targets = sca.get.tracks(adata, key="pseudobulk")
        self.groups = sca.get.tracks(adata, key="background_sites")
        self.target_sums, self.group_sums = self.targets.sums(), self.groups.sums()
        self.regions = regions
        self.moments = {chrom: self._moments(chrom, start, end) for chrom, start, end in _rows(regions)}

    def _cover(self, tracks: sca.Tracks, group: int, chrom: str, start: int, end: int) -> np.ndarray:
        starts, _, counts = tracks.runs(group, chrom)
        low, high = np.searchsorted(starts, [start - EXTEND, end + EXTEND])
        return box_coverage(starts[low:high], counts[low:high].astype(np.int64), start, end, EXTEND)

    def _moments(self, chrom: str, start: int, end: int) -> tuple[np.ndarray, np.ndarray]:
        """Return mean and standard deviation per base over the groups."""
        mean, squares = np.zeros(end - start), np.zeros(end - start)
        scale = self.group_sums.mean() / self.group_sums
        for group in range(len(scale)):
            values = self._cover(self.groups, group, chrom, start, end)
            join(mean, squares, group, values * scale[group], np.zeros(len(values)), 1)
        return mean, np.sqrt(squares / len(scale))

    def z(self, target: int) -> dict[str, np.ndarray]:
        """Return z per base of one subpopulation, by chromosome."""
        scale = self.group_sums.mean() / self.target_sums[target]
        out = {}
        for chrom, start, end in _rows(self.regions):
            out[chrom] = z_scores(self._cover(self.targets, target, chrom, start, end) * scale, *self.moments[chrom])
        return out


def _rows(regions: pd.DataFrame) -> list[tuple[str, int, int]]:
    return list(regions[["chrom", "start", "end"]].itertuples(index=False, name=None))


def denoised_z(adata: AnnData, group: str) -> dict[str, np.ndarray]:
    """Return z per base of the denoised track, by chromosome."""
    background = get_background(adata, "background_moments")
    target = open_target(adata, "denoised", group, background)
    return {s.chrom: z_scores(s.signal, s.mean, s.sd) for s in stretches(background, target)}


def joined(z: dict[str, np.ndarray], offset: int, min_z: float = 2.0) -> pd.DataFrame:
    """Return the regions of the published test from z per base."""
    parts = []
    for chrom, values in z.items():
        start, end, _, top, _ = join_z(values, min_z, 200)
        parts.append(pd.DataFrame({"chrom": chrom, "start": start + offset, "end": end + offset, "top_z": top}))
    table = pd.concat(parts, ignore_index=True)
    p = two_sided_p(table["top_z"].to_numpy())
    return table.assign(p=p, q=benjamini_hochberg(p))


def peak_tests(cells: Cells, peaks: pd.DataFrame, target: int) -> dict[str, pd.DataFrame]:
    """Test a cells x peaks matrix as is usual: Wilcoxon on log counts per 10,000, and pooled counts.

    The second is a likelihood-ratio test of a common rate with the dispersion estimated among disjoint groups of 50
    other cells (quasi-Poisson), in the spirit of edgeR.
    """
    matrix = cells.count_matrix(peaks).tocsr()
    own, rest = np.flatnonzero(cells.target == target), np.flatnonzero(cells.target < 0)
    kept = np.concatenate([own, rest])
    logged = matrix[kept].multiply(1e4 / np.maximum(cells.n_sites[kept], 1)[:, None]).tocsc()
    logged.data = np.log1p(logged.data)
    p_wilcoxon = _wilcoxon(logged, np.arange(len(kept)) < len(own))
    p_counts = _quasi_poisson(matrix, cells.n_sites, own, rest)
    tables = {}
    for name, p in (("peak matrix, Wilcoxon", p_wilcoxon), ("peak matrix, counts", p_counts)):
        tables[name] = peaks.assign(p=p, q=benjamini_hochberg(p))
    return tables


def _wilcoxon(values: sparse.csc_array, first: np.ndarray) -> np.ndarray:
    """Two-sided rank-sum test of every column, with the correction for ties; zeros are ranked together."""
    n, n_first = len(first), int(first.sum())
    p = np.ones(values.shape[1])
    for column in range(values.shape[1]):
        rows = values.indices[values.indptr[column] : values.indptr[column + 1]]
        if len(rows) == 0:
            continue
        found = values.data[values.indptr[column] : values.indptr[column + 1]]
        ranks = stats.rankdata(found) + n - len(rows)
        n_zero = n - len(rows)
        total = ranks[first[rows]].sum() + (n_first - first[rows].sum()) * (n_zero + 1) / 2
        _, ties = np.unique(found, return_counts=True)
        ties = np.append(ties, n_zero)
        variance = n_first * (n - n_first) / 12 * (n + 1 - (ties**3 - ties).sum() / (n * (n - 1)))
        z = (total - n_first * (n + 1) / 2) / np.sqrt(max(variance, 1e-12))
        p[column] = two_sided_p(np.array(z))
    return p


def _quasi_poisson(matrix: sparse.csr_array, depth: np.ndarray, own: np.ndarray, rest: np.ndarray) -> np.ndarray:
    """Signed root of the deviance of a common rate over the dispersion among disjoint groups."""
    groups = np.array_split(np.random.default_rng(0).permutation(rest), len(rest) // 50)
    counts = np.stack([np.asarray(matrix[g].sum(axis=0)).ravel() for g in groups])
    size = np.array([depth[g].sum() for g in groups], float)
    rate = counts.sum(axis=0) / size.sum()
    expected = size[:, None] * rate
    pearson = (np.divide((counts - expected) ** 2, expected, out=np.zeros_like(expected), where=expected > 0)).sum(0)
    dispersion = max(1.0, float(np.median(pearson[rate > 0]) / (len(groups) - 1)))
    a, n_a, b, n_b = np.asarray(matrix[own].sum(axis=0)).ravel(), depth[own].sum(), counts.sum(axis=0), size.sum()
    pooled = (a + b) / (n_a + n_b)
    deviance = 2 * (_xlog(a, n_a * pooled) + _xlog(b, n_b * pooled))
    return stats.chi2.sf(np.maximum(deviance, 0) / dispersion, 1)


def _xlog(x: np.ndarray, y: np.ndarray) -> np.ndarray:
    return np.where(x > 0, x * np.log(np.maximum(x, 1e-300) / np.maximum(y, 1e-300)), 0.0) - (x - y)


def places(cells: Cells, peaks: pd.DataFrame, target: int, regions: pd.DataFrame) -> pd.DataFrame:
    """Return where a region-level score is asked for: planted regions, unchanged peaks and closed controls."""
    planted = cells.planted[target]
    real = planted[planted["kind"] != "control"]
    untouched = ~intervals.any_overlap(as_arrays(peaks, cells.genome), as_arrays(real, cells.genome))
    table = pd.concat([planted, peaks[untouched].assign(kind="unchanged", fold=1.0)], ignore_index=True)
    inside = intervals.covered(as_arrays(table, cells.genome), as_arrays(regions, cells.genome))
    table = table[inside == table["end"] - table["start"]].reset_index(drop=True)
    return table.assign(truth=table["kind"].isin(["changed", "new"]))


def best_p(table: pd.DataFrame, where: pd.DataFrame, cells: Cells) -> np.ndarray:
    """Return the smallest p-value of the tested regions that touch each place; 1 where none does."""
    which, hit, _ = intervals.overlap_pairs(as_arrays(where, cells.genome), as_arrays(table, cells.genome))
    out = np.ones(len(where))
    np.minimum.at(out, which, table["p"].to_numpy()[hit])
    return out


def score_regions(table: pd.DataFrame, where: pd.DataFrame, cells: Cells) -> dict[str, float]:
    """Ranking of places by p-value; precision of the called regions and recall of the planted ones."""
    truth = where["truth"].to_numpy()
    called = table[table["q"] < FDR]
    if not truth.any():
        return {"called": len(called)}
    score = -np.log10(np.maximum(best_p(table, where, cells), 1e-300))
    right = intervals.any_overlap(as_arrays(called, cells.genome), as_arrays(where[truth], cells.genome))
    found = intervals.any_overlap(as_arrays(where, cells.genome), as_arrays(called, cells.genome))
    out = {
        "region_auroc": auroc(truth, score),
        "region_auprc": auprc(truth, score),
        "called": len(called),
        "false_share": 1 - right.mean() if len(called) else 0.0,
        "recall": found[truth].mean(),
    }
    changed = (where["kind"] != "new").to_numpy()
    out |= {
        "changed_auroc": auroc(truth[changed], score[changed]),
        "changed_auprc": auprc(truth[changed], score[changed]),
    }
    for kind, fold in sorted(set(zip(where["kind"][truth], where["fold"][truth], strict=True))):
        at = ((where["kind"] == kind) & (where["fold"] == fold)).to_numpy()
        out[f"recall {kind} {fold:g}"] = found[at].mean()
    return out


def score_bases(score: dict[str, np.ndarray], where: pd.DataFrame, offset: int) -> dict[str, float]:
    """Ranking of bases by score against the planted regions."""
    truth, values = [], []
    for chrom, z in score.items():
        inside = np.zeros(len(z), bool)
        for row in where[where["truth"] & (where["chrom"] == chrom)].itertuples():
            inside[row.start - offset : row.end - offset] = True
        truth.append(inside[::STEP])
        values.append(np.nan_to_num(np.abs(z[::STEP]), posinf=1e6))
    truth, values = np.concatenate(truth), np.concatenate(values)
    return {"base_auroc": auroc(truth, values), "base_auprc": auprc(truth, values)}


def painted(table: pd.DataFrame, z: dict[str, np.ndarray], offset: int) -> dict[str, np.ndarray]:
    """Give every base the score of the tested region it lies in."""
    out = {chrom: np.zeros(len(values), np.float32) for chrom, values in z.items()}
    score = -np.log10(np.maximum(table["p"].to_numpy(), 1e-300))
    for chrom, start, end, value in zip(
        table["chrom"].astype(str), table["start"] - offset, table["end"] - offset, score, strict=True
    ):
        if chrom in out:
            out[chrom][max(start, 0) : end] = value
    return out


def evaluate(cells: Cells, adata: AnnData, peaks: pd.DataFrame, raw: RawCoverage, target: int) -> dict[str, dict]:
    """Return scores of every method on one subpopulation."""
    group = f"population {target}"
    where = places(cells, peaks, target, raw.regions)
    raw_z = raw.z(target)
    z = denoised_z(adata, group)
    results = {"raw coverage z": (joined(raw_z, EDGE_BP), raw_z)}
    sca.tl.differential_regions(adata, group, method="paper", progress=False)
    results["denoised z (paper)"] = adata.uns["differential_regions"].copy(), z
    sca.tl.differential_regions(adata, group, progress=False)
    table = adata.uns["differential_regions"].copy()
    weighted = {chrom: np.nan_to_num(np.abs(values), posinf=1e3) for chrom, values in z.items()}
    confidence = painted(table, z, EDGE_BP)
    combined = {chrom: confidence[chrom] + 1e-3 * np.minimum(weighted[chrom], 50) for chrom in z}
    results["default"] = table, combined
    for name, tested in peak_tests(cells, peaks, target).items():
        results[name] = tested, painted(tested, z, EDGE_BP)
    scores = {name: score_regions(tested, where, cells) for name, (tested, _) in results.items()}
    if where["truth"].any():
        scores = {name: scores[name] | score_bases(bases, where, EDGE_BP) for name, (_, bases) in results.items()}
    return scores


def run(
    folder: Path, setting: Setting, regions: list[tuple[str, int, int]], **options: Any
) -> tuple[pd.DataFrame, dict]:
    """Return scores by method and subpopulation, and notes."""
    cells, adata, seconds = prepare(folder, setting, regions=regions, **options)
    raw = RawCoverage(adata, adata.uns["background_moments"]["regions"])
    peaks = read_peaks(folder, cells.genome)
    inside = intervals.covered(as_arrays(peaks, cells.genome), as_arrays(raw.regions, cells.genome))
    peaks = peaks[inside == peaks["end"] - peaks["start"]].reset_index(drop=True)
    parts = []
    for target in range(setting.n_targets):
        scores = pd.DataFrame(evaluate(cells, adata, peaks, raw, target)).T.rename_axis("method").reset_index()
        parts.append(scores.assign(target=target, null=target >= setting.n_targets - setting.n_null))
    total = adata.uns["background_moments"]["total"]
    notes = {"seconds": seconds, "total_cv": float(total.std() / total.mean()), "n_peaks": len(peaks)}
    return pd.concat(parts, ignore_index=True), notes | adata.uns["scatacworks"]["differential_regions"]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", type=Path, help="folder with the HSC 80 M cut sites and peaks")
    parser.add_argument("--targets", type=int, default=8, help="subpopulations with planted regions")
    parser.add_argument("--null", type=int, default=8, help="subpopulations without")
    parser.add_argument("--regions", nargs="+", default=["chr3:20000-9980000"])
    parser.add_argument("--groups", type=int, default=250)
    parser.add_argument("--random", action="store_true", help="random centres instead of well-spread ones")
    parser.add_argument("--varying", type=float, default=0.0, help="share of peaks that vary among the other cells")
    parser.add_argument("--model", default="default")
    parser.add_argument("--jobs", type=int)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--out", type=Path)
    given = parser.parse_args()
    warnings.simplefilter("ignore")
    genome, _ = read_sites(given.data)
    setting = Setting(n_targets=given.targets + given.null, n_null=given.null, varying=given.varying)
    options = {"n_groups": given.groups, "spread": not given.random, "model": given.model, "seed": given.seed}
    options["n_jobs"] = given.jobs
    scores, notes = run(given.data, setting, [genome.region(region) for region in given.regions], **options)
    shown = scores.drop(columns="target")
    print(shown[~shown["null"]].groupby("method").mean().T.round(4).to_string())
    print("\nregions called where nothing is planted:")
    print(shown[shown["null"]].groupby("method")["called"].agg(["mean", "median", "max"]).to_string())
    print(json.dumps(notes, default=float))
    if given.out is not None:
        scores.to_csv(given.out, index=False)


if __name__ == "__main__":
    main()
