"""Planted regions in 50 of 2,000 cells: which way of finding them does best, and what it claims under the null.

Cells are drawn from real cut sites (30 Mb of bulk HSC ATAC-seq at 80 M reads): 2,000 other cells, and independent
subpopulations of 50 cells, all against the same other cells. The network never saw the planted changes, but part of it
was trained on the sites' source.

    python -m benchmarks.differential DATA                    # 10 Mb, 250 well-spread groups: 15 minutes on 2 cores
    python -m benchmarks.differential DATA --size large       # 30 Mb, 1,000 random and 250 well-spread groups
    python -m benchmarks.differential DATA --varying 0.3 --targets 5 --null 5 --model accessibility-holdout \\
        --prior non-blood self                                # the default test with priors beside it, same cells

Priors: the ENCODE samples that are not blood (SCA_SHARED_DATA), or the peaks of the other cells in ten clusters. With
any, every second new element is planted where more than a fifth of the samples that are not blood have one, as is every
second closed control; and elements that more than a twentieth have are tested as a third family ("elements too").
"""

from __future__ import annotations

import argparse
import json
import time
import warnings
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
from scipy import sparse, stats

import scatacworks as sca
from benchmarks._priming import Setting, knn_members, read_peaks, read_sites, simulate, to_anndata
from benchmarks.guided import BLOOD, COMMON, encode_peaks
from scatacworks import _threads
from scatacworks._columns import placed
from scatacworks._core import intervals
from scatacworks._core.differential import join_z, two_sided_p, z_scores
from scatacworks._core.fdr import adjust_families, benjamini_hochberg, family_weights
from scatacworks._core.moments import join
from scatacworks._core.pileup import box_coverage
from scatacworks._core.region_test import normalize, one_against_many
from scatacworks._core.replication import group_overlap
from scatacworks.metrics import auprc, auroc
from scatacworks.tl._differential._store import get_background
from scatacworks.tl._differential._target import open_target, stretches
from scatacworks.tl._differential._universe import clip_to, merged, peaks_and_tiles
from scatacworks.tl._differential.background import TILE_BP

if TYPE_CHECKING:
    from collections.abc import Iterable

    from anndata import AnnData

    from benchmarks._priming import Cells
    from scatacworks import Genome, Prior

EXTEND = 100
FDR = 0.05
STEP = 8  # bases are scored at every 8th, as the network's bins are no finer
NOWHERE = 1e3  # in place of a p-value, where nothing was tested
CHUNK_BP = 2_000_000
N_CLUSTERS = 10  # of the other cells, whose peaks are the prior "self"
KNOWN = 0.05  # fraction of the samples beyond which their elements are tested as a family
SIZES = {
    "small": {"regions": ["chr3:20000-9980000"], "backgrounds": {"250 spread": (250, True)}},
    "large": {
        "regions": ["chr1:20000-9980000", "chr2:20000-9980000", "chr3:20000-9980000"],
        "backgrounds": {"1,000 random": (1000, False), "250 spread": (250, True)},
    },
}


class Clock:
    """Seconds by step."""

    def __init__(self) -> None:
        self.seconds: dict[str, float] = {}
        self.last = time.perf_counter()

    def __call__(self, step: str) -> None:
        now = time.perf_counter()
        self.seconds[step] = round(now - self.last, 1)
        self.last = now


class Experiment:
    """Cells, denoised subpopulations and backgrounds; the first background is the one that methods are compared on."""

    def __init__(self, folder: Path, setting: Setting, given: argparse.Namespace) -> None:
        self.clock, self.setting = Clock(), setting
        samples = not_blood(read_sites(folder)[0]) if given.prior else None
        self.elsewhere = shared_elements(samples, COMMON) if given.prior else None
        self.cells = simulate(folder, setting, seed=given.seed, elsewhere=self.elsewhere)
        self.clock("simulate")
        self.n_jobs = _threads.resolve(given.jobs)
        regions = [self.cells.genome.region(region) for region in given.regions]
        shared = {"regions": regions, "model": given.model, "precision": given.precision}
        shared |= {"n_jobs": given.jobs, "progress": given.progress}
        elements = shared_elements(samples, KNOWN) if given.prior else None
        universes = self._universes(shared, elements)
        self.clock("pooled peaks")
        self.adata, self.backgrounds, self.variants = None, {}, {}
        for name, (n_groups, spread) in given.backgrounds.items():
            members = knn_members(self.cells, n_groups=n_groups, spread=spread, seed=given.seed)
            adata = to_anndata(self.cells, members)
            if self.adata is None:
                self.adata = adata
                self.clock("cells and groups")
                sca.tl.denoise(self.adata, **shared)
                self.clock("denoise subpopulations")
            else:
                adata.uns["denoised"] = self.adata.uns["denoised"]
            self.backgrounds[name], *more = backgrounds(adata, universes, shared)
            self.clock(f"background, {name}")
            if adata is self.adata and more:
                self.variants["default, elements too"] = more[0]
        for name in given.prior:
            prior = samples if name == "non-blood" else self._own_prior(shared)
            found = self._guided(prior, shared, elements)
            names = [f"default, prior {name}", f"default, prior {name}, elements too"]
            self.variants |= dict(zip(names, found, strict=True))
            self.clock(f"prior {name}")
        self.adata = next(iter(self.backgrounds.values()))
        found = self.adata.uns["background_moments"]
        self.regions, self.universe = found["regions"], found["universe"]
        self.raw = RawCoverage(self.adata, self.regions, self.n_jobs)
        self.counts = RawCounts(self.cells, self.adata, self.universe)
        peaks = read_peaks(folder, self.cells.genome)
        inside = intervals.covered(placed(peaks, self.cells.genome), placed(self.regions, self.cells.genome))
        self.peaks = peaks[inside == peaks["end"] - peaks["start"]].reset_index(drop=True)
        self.pooled_peaks = self.universe[self.universe["family"] == "peak"][["chrom", "start", "end"]]
        sca.tl.call_peaks(self.adata)
        self.clock("raw coverage and counts")

    def _own_prior(self, shared: dict[str, Any]) -> Prior:
        """Return the peaks of the other cells in clusters along the axis that some peaks vary with."""
        others = np.flatnonzero(self.cells.target < 0)
        ranks = self.cells.latent[others, 0].argsort().argsort()
        cluster = ranks * N_CLUSTERS // len(others)
        shape = (len(self.cells.target), N_CLUSTERS)
        pool = to_anndata(self.cells, sparse.csr_array((np.ones(len(others), bool), (others, cluster)), shape=shape))
        sca.tl.denoise(pool, key="background_sites", key_added="pool", **shared)
        sca.tl.call_peaks(pool, key="pool")
        return sca.tl.prior(pool.uns["peaks"], genome=self.cells.genome)

    def _guided(self, prior: Prior, shared: dict[str, Any], elements: pd.DataFrame) -> list[AnnData]:
        """Return the subpopulations and the first background denoised with a prior, for each universe."""
        adata = to_anndata(self.cells, sparse.csr_array(self.adata.obsm["background"]))
        given = {"prior": prior, **shared}
        sca.tl.denoise(adata, prior_match=False, **given)
        return backgrounds(adata, self._universes(given | {"prior_match": False}, elements), given)

    def _universes(self, options: dict[str, Any], elements: pd.DataFrame | None) -> list[pd.DataFrame]:
        """Return what `tl.background` tests by default when it reads cells: peaks of the other cells, and tiles.

        And the same with elements of other samples, if there are any.
        """
        others = sparse.csr_array((self.cells.target < 0)[:, None])
        pool = to_anndata(self.cells, others)
        sca.tl.denoise(pool, key="background_sites", key_added="pool", **options)
        sca.tl.call_peaks(pool, key="pool")
        spans = {}
        for chrom, start, end in options["regions"]:
            spans.setdefault(self.cells.genome.code(chrom), []).append([start, end])
        spans = {code: np.array(intervals) for code, intervals in spans.items()}
        usual = peaks_and_tiles(pool.uns["peaks"], spans, self.cells.genome, TILE_BP)
        if elements is None:
            return [usual]
        return [usual, with_elements(usual, clip_to(elements, spans, self.cells.genome), self.cells.genome)]

    def run(self) -> tuple[pd.DataFrame, pd.DataFrame]:
        """Return scores by method and subpopulation, and how backgrounds agree."""
        with ThreadPoolExecutor(self.n_jobs) as pool:
            parts = list(pool.map(partial(evaluate, self), range(self.setting.n_targets)))
        self.clock("test and score")
        scores, agreement = (pd.concat(found, ignore_index=True) for found in zip(*parts, strict=True))
        return scores, agreement


def not_blood(genome: Genome) -> Prior:
    """Return the ENCODE samples other than blood."""
    return sca.tl.prior(encode_peaks(), exclude=BLOOD, genome=genome)


def shared_elements(samples: Prior, fraction: float) -> pd.DataFrame:
    """Return where more than a fraction of the samples have an element."""
    parts = []
    for chrom, size in samples.genome.sizes.items():
        edges = np.diff((samples.fraction(chrom, 0, size) > fraction).astype(np.int8), prepend=0, append=0)
        start, end = np.flatnonzero(edges > 0), np.flatnonzero(edges < 0)
        parts.append(pd.DataFrame({"chrom": chrom, "start": start, "end": end}))
    return pd.concat(parts, ignore_index=True)


def with_elements(universe: pd.DataFrame, elements: pd.DataFrame, genome: Genome) -> pd.DataFrame:
    """Put elements that touch no peak, as a third family, in the place of the tiles that they touch."""
    is_peak = (universe["family"] == "peak").to_numpy()
    peaks = placed(universe[is_peak], genome)
    own = elements[~intervals.any_overlap(placed(elements, genome), peaks)].assign(family="element")
    kept = is_peak | ~intervals.any_overlap(placed(universe, genome), placed(own, genome))
    both = pd.concat([universe[kept], own], ignore_index=True)
    return both.iloc[np.lexsort((both["start"], genome.resolve(both["chrom"])))].reset_index(drop=True)


def backgrounds(adata: AnnData, universes: list[pd.DataFrame], shared: dict[str, Any]) -> list[AnnData]:
    """Denoise the background once, and return the cells with what each of the universes takes of it."""
    where = ["chrom", "start", "end"]
    tested = pd.concat(universes).drop_duplicates(where)
    sca.tl.background(adata, key="background_sites", universe=tested, key_added="background_moments", **shared)
    whole = adata.uns.pop("background_moments")
    place = pd.Series(np.arange(len(tested)), index=pd.MultiIndex.from_frame(whole["universe"][where]))
    out = []
    for universe in universes:
        kept = place[pd.MultiIndex.from_frame(universe[where])].to_numpy()
        out.append(adata.copy())
        out[-1].uns["background_moments"] = whole | {"universe": universe, "signal": whole["signal"][:, kept]}
    return out


class RawCoverage:
    """Coverage (cut sites extended by 100 bp) of targets and background, normalised; z per base without a network."""

    def __init__(self, adata: AnnData, regions: pd.DataFrame, n_jobs: int) -> None:
        self.targets = sca.get.tracks(adata, key="pseudobulk")
        self.groups = sca.get.tracks(adata, key="background_sites")
        self.target_sums, self.group_sums = self.targets.sums(), self.groups.sums()
        self.rows = list(regions[["chrom", "start", "end"]].itertuples(index=False, name=None))
        pieces = [
            (chrom, low, min(low + CHUNK_BP, end))
            for chrom, start, end in self.rows
            for low in range(start, end, CHUNK_BP)
        ]
        with ThreadPoolExecutor(n_jobs) as pool:
            found = list(pool.map(lambda piece: self._moments(*piece), pieces))
        self.moments = {}
        for chrom, start, end in self.rows:
            own = [at for at, piece in enumerate(pieces) if piece[0] == chrom and start <= piece[1] < end]
            self.moments[chrom, start] = tuple(np.concatenate([found[at][i] for at in own]) for i in range(2))

    def _cover(self, tracks: sca.Tracks, group: int, chrom: str, start: int, end: int) -> np.ndarray:
        positions, counts = tracks.sites(group, chrom, max(start - EXTEND, 0), end + EXTEND)
        return box_coverage(positions, counts.astype(np.int64), start, end, EXTEND)

    def _moments(self, chrom: str, start: int, end: int) -> tuple[np.ndarray, np.ndarray]:
        """Return mean and standard deviation per base over the groups."""
        mean, squares, nothing = np.zeros(end - start), np.zeros(end - start), np.zeros(end - start)
        scale = self.group_sums.mean() / self.group_sums
        for group in range(len(scale)):
            values = self._cover(self.groups, group, chrom, start, end)
            join(mean, squares, group, values * scale[group], nothing, 1)
        return mean.astype(np.float32), np.sqrt(squares / len(scale)).astype(np.float32)

    def z(self, target: int) -> list[tuple[str, int, np.ndarray]]:
        """Return z per base of one subpopulation: chromosome, first base, values."""
        scale = self.group_sums.mean() / self.target_sums[target]
        return [
            (chrom, start, z_scores(self._cover(self.targets, target, chrom, start, end) * scale, *self.moments[key]))
            for (chrom, start, end), key in zip(self.rows, self.moments, strict=True)
        ]


class RawCounts:
    """Cut sites in the regions that the default test looks at: the same test without a network."""

    def __init__(self, cells: Cells, adata: AnnData, universe: pd.DataFrame) -> None:
        self.cells, self.universe = cells, universe
        self.members = sparse.csr_array(adata.obsm["background"])
        matrix = cells.count_matrix(universe)
        of_groups = (self.members.T.astype(np.float64) @ matrix).toarray()
        rows = np.flatnonzero(cells.target >= 0)
        shape = (len(cells.planted), len(cells.target))
        own = sparse.csr_array((np.ones(len(rows)), (cells.target[rows], rows)), shape=shape)
        depth = np.asarray(self.members.T.astype(np.float64) @ cells.n_sites)
        self.groups = of_groups * (depth.mean() / depth)[:, None]
        self.targets = (own @ matrix).toarray() * (depth.mean() / (own @ cells.n_sites))[:, None]

        self.normalized = normalize(self.groups, self.groups, universe["family"].to_numpy(str))

    def test(self, target: int) -> pd.DataFrame:
        """Return the table of regions of one subpopulation."""
        family = self.universe["family"].to_numpy(str)
        own = normalize(self.targets[[target]], self.groups, family)[0]
        overlap = group_overlap(self.members, self.cells.target == target, self.cells.n_sites)
        result = one_against_many(own, self.normalized, overlap, family)
        table = self.universe[["chrom", "start", "end", "family"]].assign(p_value=result.p, z=result.z)
        return table.assign(q_value=adjust_families(result.p, family))


def denoised_z(adata: AnnData, group: str) -> list[tuple[str, int, np.ndarray]]:
    """Return z per base of the denoised track: chromosome, first base, values."""
    background = get_background(adata, "background_moments")
    target = open_target(adata, "denoised", group, background)
    return [(s.chrom, s.start, z_scores(s.signal, s.mean, s.sd)) for s in stretches(background, target)]


def joined(z: list[tuple[str, int, np.ndarray]], min_z: float = 2.0) -> pd.DataFrame:
    """Return the regions of the published test from z per base."""
    parts = []
    for chrom, first, values in z:
        start, end, _, top, _ = join_z(values, min_z, 200)
        parts.append(pd.DataFrame({"chrom": chrom, "start": start + first, "end": end + first, "top_z": top}))
    table = pd.concat(parts, ignore_index=True)
    p = two_sided_p(table["top_z"].to_numpy())
    return table.assign(p_value=p, q_value=benjamini_hochberg(p))


def peak_tests(run: Experiment, target: int) -> dict[str, pd.DataFrame]:
    """Test a cells x peaks matrix as is usual: Wilcoxon on log counts per 10,000, and pooled counts.

    The peaks are those of the other cells, as in the default test; or merged with the rare cells' own, as those make
    their matrix who call peaks in every group. The second test is a likelihood-ratio test of a common rate with the
    dispersion estimated among disjoint groups of 50 other cells (quasi-Poisson), in the spirit of edgeR.
    """
    cells = run.cells
    own, rest = np.flatnonzero(cells.target == target), np.flatnonzero(cells.target < 0)
    kept = np.concatenate([own, rest])
    found = run.adata.uns["peaks"]
    both = pd.concat([run.pooled_peaks, found[found["group"] == f"population {target}"][["chrom", "start", "end"]]])
    tables = {}
    for suffix, peaks in (("", run.pooled_peaks), (", own peaks too", merged(both, cells.genome))):
        matrix = cells.count_matrix(peaks).tocsr()
        logged = matrix[kept].multiply(1e4 / np.maximum(cells.n_sites[kept], 1)[:, None]).tocsc()
        logged.data = np.log1p(logged.data)
        p_wilcoxon = _wilcoxon(logged, np.arange(len(kept)) < len(own))
        p_counts = _quasi_poisson(matrix, cells.n_sites, own, rest)
        for name, p in (("Wilcoxon", p_wilcoxon), ("counts", p_counts)):
            tables[f"peak matrix, {name}{suffix}"] = peaks.assign(p_value=p, q_value=benjamini_hochberg(p))
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


def places(run: Experiment, target: int) -> pd.DataFrame:
    """Return where a region-level score is asked for: planted regions, unchanged peaks and closed controls."""
    cells, peaks = run.cells, run.peaks
    planted = cells.planted[target]
    real = planted[planted["kind"] != "control"]
    untouched = ~intervals.any_overlap(placed(peaks, cells.genome), placed(real, cells.genome))
    table = pd.concat([planted, peaks[untouched].assign(kind="unchanged", fold=1.0)], ignore_index=True)
    inside = intervals.covered(placed(table, cells.genome), placed(run.regions, cells.genome))
    table = table[inside == table["end"] - table["start"]].reset_index(drop=True)
    if run.elsewhere is not None:
        at = intervals.any_overlap(placed(table, cells.genome), placed(run.elsewhere, cells.genome))
        table["place"] = np.where(at, "common elsewhere", "not so")
    return table.assign(truth=table["kind"].isin(["changed", "new"]))


def best_p(table: pd.DataFrame, where: pd.DataFrame, cells: Cells) -> np.ndarray:
    """Return the smallest (weighted) p-value of the tested regions that touch each place; highest where none does."""
    which, hit, _ = intervals.overlap_pairs(placed(where, cells.genome), placed(table, cells.genome))
    out = np.full(len(where), NOWHERE)
    np.minimum.at(out, which, order(table)[hit])
    return out


def score_regions(table: pd.DataFrame, where: pd.DataFrame, run: Experiment) -> dict[str, float]:
    """Ranking of places by p-value; precision of the called regions and recall of the planted ones."""
    cells = run.cells
    truth = where["truth"].to_numpy()
    called = table[table["q_value"] < FDR]
    if not truth.any():
        return {"called": len(called)}
    regions = placed(called, cells.genome)
    score = -np.log10(np.maximum(best_p(table, where, cells), 1e-300))
    right = intervals.any_overlap(regions, placed(where[truth], cells.genome))
    found = intervals.any_overlap(placed(where, cells.genome), regions)
    out = {"called": len(called), "false": int((~right).sum()), "recall": found[truth].mean()}
    out |= {"region AUROC": auroc(truth, score), "region AUPRC": auprc(truth, score)}
    if run.elsewhere is not None:
        common = intervals.any_overlap(regions, placed(run.elsewhere, cells.genome))
        out["false, common elsewhere"] = int((~right & common).sum())
    kind, fold = where["kind"].to_numpy(str), where["fold"].to_numpy()
    changed = np.isin(kind, ["changed", "unchanged"])
    classes = {
        "changed": changed,
        "up": changed & (fold >= 1),
        "down": changed & (fold <= 1),
        "new": np.isin(kind, ["new", "control"]),
    }
    if "place" in where:
        places_of = {place: (where["place"] == place).to_numpy() for place in ("common elsewhere", "not so")}
        classes |= {
            f"{name}, {place}": at & here for name, at in list(classes.items())[1:] for place, here in places_of.items()
        }
    for name, at in classes.items():
        if truth[at].any() and not truth[at].all():
            out[f"region AUPRC, {name}"] = auprc(truth[at], score[at])
            out[f"recall, {name}"] = found[at & truth].mean()
    for kind, fold in sorted(set(zip(where["kind"][truth], where["fold"][truth], strict=True))):
        at = ((where["kind"] == kind) & (where["fold"] == fold)).to_numpy()
        out[f"recall, {kind} {fold:g}x"] = found[at].mean()
    return out


def score_bases(score: list[np.ndarray], run: Experiment, where: pd.DataFrame) -> dict[str, float]:
    """Ranking of every 8th base by its score against the planted regions."""
    truth = []
    for chrom, start, end in run.raw.rows:
        inside = np.zeros(end - start, bool)
        for row in where[where["truth"] & (where["chrom"] == chrom)].itertuples():
            inside[max(row.start - start, 0) : max(row.end - start, 0)] = True
        truth.append(inside[::STEP])
    truth, values = np.concatenate(truth), np.concatenate(score)
    return {"base AUPRC": auprc(truth, values)}


def thinned(z: list[tuple[str, int, np.ndarray]]) -> list[np.ndarray]:
    """Return |z| at every 8th base; at most 1,000."""
    return [np.nan_to_num(np.abs(values[::STEP]), posinf=1e3) for _, _, values in z]


def painted(table: pd.DataFrame, run: Experiment) -> list[np.ndarray]:
    """Give every 8th base -log10 of the (weighted) p-value of the tested region it lies in; lowest elsewhere."""
    out = []
    score = -np.log10(np.maximum(order(table), 1e-300))
    chroms = table["chrom"].astype(str).to_numpy()
    start, stop = table["start"].to_numpy(), table["end"].to_numpy()
    for chrom, first, end in run.raw.rows:
        values = np.full(end - first, -np.log10(NOWHERE), np.float32)
        for i in np.flatnonzero(chroms == chrom):
            values[max(start[i] - first, 0) : max(stop[i] - first, 0)] = score[i]
        out.append(values[::STEP])
    return out


def evaluate(run: Experiment, target: int) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Return scores of every method on one subpopulation, and how its tests on the backgrounds agree."""
    group = f"population {target}"
    where = places(run, target)
    tested = {name: default_test(adata, group) for name, adata in run.backgrounds.items()}
    default = next(iter(tested.values()))
    raw_z, z = run.raw.z(target), denoised_z(run.adata, group)
    sca.tl.differential_regions(run.adata, group, method="paper", key_added=f"{group}, paper", progress=False)
    raw_counts = run.counts.test(target)
    results = {
        "default": (default, combined(painted(default, run), thinned(z))),
        **{name: variant_test(run, adata, group) for name, adata in run.variants.items()},
        "published procedure": (run.adata.uns.pop(f"{group}, paper"), thinned(z)),
        "raw coverage, published procedure": (joined(raw_z), thinned(raw_z)),
        "raw counts, default test": (raw_counts, combined(painted(raw_counts, run), thinned(raw_z))),
    }
    for name, table in peak_tests(run, target).items():
        results[name] = table, painted(table, run)
    null = target >= run.setting.n_targets - run.setting.n_null
    rows = []
    for name, (table, bases) in results.items():
        scores = score_regions(table, where, run) | ({} if null else score_bases(bases, run, where))
        rows.append({"method": name, "target": target, "null": null} | scores)
    truth = intervals.any_overlap(placed(default, run.cells.genome), placed(where[where["truth"]], run.cells.genome))
    agreement = [compare(name, default, other, truth) | {"null": null} for name, other in tested.items()]
    return pd.DataFrame(rows), pd.DataFrame(agreement)


def default_test(adata: AnnData, group: str) -> pd.DataFrame:
    """Return the table of the default test; nothing stays behind."""
    sca.tl.differential_regions(adata, group, key_added=group, progress=False)
    adata.uns.pop(f"{group}_z")
    return adata.uns.pop(group)


def variant_test(run: Experiment, adata: AnnData, group: str) -> tuple[pd.DataFrame, list[np.ndarray]]:
    """Return the table of the default test of other tracks or regions, and the rank of bases."""
    table = default_test(adata, group)
    return table, combined(painted(table, run), thinned(denoised_z(adata, group)))


def order(table: pd.DataFrame) -> np.ndarray:
    """Return p-values in the order in which the false discovery rate takes them: over the weight of the family."""
    p = table["p_value"].to_numpy()
    return p / family_weights(table["family"].to_numpy(str)) if "family" in table else p


def combined(painted: list[np.ndarray], z: list[np.ndarray]) -> list[np.ndarray]:
    """Rank bases by the p-value of their region; z decides among equals."""
    return [p + 1e-3 * np.minimum(one, 50) for p, one in zip(painted, z, strict=True)]


def compare(name: str, first: pd.DataFrame, other: pd.DataFrame, truth: np.ndarray) -> dict[str, Any]:
    """Say how two tests of the same regions agree."""
    called, also = first["significant"].to_numpy(), other["significant"].to_numpy()
    return {
        "background": name,
        "correlation of z": np.corrcoef(first["z"], other["z"])[0, 1],
        "sd of the difference": float((first["z"] - other["z"]).std()),
        "called": int(also.sum()),
        "false": int((also & ~truth).sum()),
        "by one only": int((called ^ also).sum()),
    }


def show(title: str, table: pd.DataFrame) -> None:
    """Print a table, columns the methods."""
    print(f"\n{title}\n{table.round(3).to_string()}", flush=True)


def report(run: Experiment, scores: pd.DataFrame, agreement: pd.DataFrame) -> None:
    """Print what was found."""
    order = list(scores["method"].unique())
    planted, null = scores[~scores["null"]], scores[scores["null"]].groupby("method")["called"]
    means = planted.drop(columns=["target", "null"]).groupby("method").mean().T[order]
    total = planted.groupby("method")[["called", "false"]].sum().loc[order]
    means.loc["false share of all calls"] = total["false"] / total["called"].clip(lower=1)
    means.loc["called, null: mean"] = null.mean()
    means.loc["called, null: largest"] = null.max()
    means.loc["called, null: share of tests with any"] = null.agg(lambda called: (called > 0).mean())
    show(f"{run.setting.varying:.0%} of the peaks vary among the other cells", means)
    if run.variants:
        show("more than the default: mean over populations (standard error), in", differences(planted, run.variants))
    if len(run.backgrounds) > 1:
        names = list(run.backgrounds)
        for nulls, title in ((False, "backgrounds, planted"), (True, "backgrounds, null")):
            found = agreement[agreement["null"] == nulls].drop(columns="null")
            show(title, found.groupby("background").mean().T[names])
    notes = {name: adata.uns["scatacworks"]["population 0"] for name, adata in run.backgrounds.items()}
    print(json.dumps({"seconds": run.clock.seconds, "tested": len(run.universe), "notes": notes}, default=float))


def differences(scores: pd.DataFrame, methods: Iterable[str]) -> pd.DataFrame:
    """Return what each method has more of than the default, of the same populations."""
    by_method = {
        name: part.drop(columns=["method", "null"]).set_index("target") for name, part in scores.groupby("method")
    }
    columns = {}
    for name in methods:
        more = by_method[name] - by_method["default"]
        error = more.std() / np.sqrt(more.count())
        above = (more > 0).sum()
        columns[name] = [
            f"{mean:+.3f} ({e:.3f}), {n_more}/{n}"
            for mean, e, n_more, n in zip(more.mean(), error, above, more.count(), strict=True)
        ]
    return pd.DataFrame(columns, index=more.columns)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", type=Path, help="folder with the HSC 80 M cut sites and peaks")
    parser.add_argument("--size", choices=list(SIZES), default="small")
    parser.add_argument("--targets", type=int, default=10, help="subpopulations with planted regions")
    parser.add_argument("--null", type=int, default=10, help="subpopulations without")
    parser.add_argument("--regions", nargs="+", help="instead of those of the size")
    parser.add_argument("--groups", type=int, help="well-spread background groups, instead of those of the size")
    parser.add_argument(
        "--varying", type=float, nargs="+", default=[0.0, 0.3], help="share of peaks that vary among the other cells"
    )
    parser.add_argument("--model", default="default")
    parser.add_argument("--precision", choices=["float32", "bfloat16"], default="float32")
    parser.add_argument("--prior", nargs="+", choices=["non-blood", "self"], default=[], help="guided tracks, too")
    parser.add_argument("--jobs", type=int)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--out", type=Path, help="write the scores of every subpopulation to this CSV file")
    parser.add_argument("--progress", action="store_true")
    given = parser.parse_args()
    warnings.simplefilter("ignore")
    size = SIZES[given.size]
    given.regions = given.regions or size["regions"]
    given.backgrounds = {f"{given.groups} spread": (given.groups, True)} if given.groups else size["backgrounds"]
    parts = []
    for varying in given.varying:
        setting = Setting(n_targets=given.targets + given.null, n_null=given.null, varying=varying, at_end=2)
        run = Experiment(given.data, setting, given)
        scores, agreement = run.run()
        report(run, scores, agreement)
        parts.append(scores.assign(varying=varying))
        if given.out is not None:
            pd.concat(parts, ignore_index=True).to_csv(given.out, index=False)


if __name__ == "__main__":
    main()
