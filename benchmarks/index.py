"""The consensus index on made-up peaks: time, peaks per second, memory, and the floor of sorting and one sweep."""

from __future__ import annotations

import numpy as np

from benchmarks._resident import watch
from benchmarks.harness import Row
from scatacworks import _threads
from scatacworks._core.radix import order_by
from scatacworks._numba import njit
from scatacworks.genome import Genome
from scatacworks.tl._vocabulary._index import build_index
from scatacworks.tl._vocabulary._peaks import PeakTable

PARAMS = {
    "overlap": "all",
    "method": "index",
    "clump_gap": 20,
    "window": 20,
    "core_quantiles": np.array([0.025, 0.975]),
    "min_multi_samples": 10,
    "compat": "meuleman2020",
    "half_width": 250,
}


def made_up(n_peaks: int, n_samples: int, per_element: float, seed: int = 0) -> PeakTable:
    """Peaks of many samples around elements spread over hg38; a few elements are in most samples, many in few."""
    rng, genome = np.random.default_rng(seed), Genome("hg38")
    genome = Genome({name: size for name, size in genome.sizes.items() if size > 2e7}, name="hg38")
    share = genome.lengths / genome.lengths.sum()
    names = ("chrom", "start", "end", "summit", "sample", "signal")
    columns: dict[str, list[np.ndarray]] = {name: [] for name in names}
    for chrom, length in enumerate(genome.lengths):
        n_elements = int(n_peaks * share[chrom] / per_element)
        sites = np.sort(rng.integers(2000, length - 2000, n_elements))
        depth = rng.poisson(expected_depth(rng.lognormal(0, 1.6, n_elements), per_element, n_samples))
        depth = depth.clip(1, n_samples)
        summit = np.repeat(sites, depth).astype(np.int32)
        summit += rng.normal(0, 14, len(summit)).astype(np.int32)
        width = rng.gamma(9, 20, len(summit)).astype(np.int32) + 30
        start = summit - (width * rng.random(len(summit), np.float32)).astype(np.int32)
        columns["chrom"].append(np.full(len(summit), chrom, np.int32))
        columns["start"].append(start)
        columns["end"].append(start + width)
        columns["summit"].append(summit)
        columns["sample"].append(rng.integers(0, n_samples, len(summit), np.uint16))
        columns["signal"].append(rng.random(len(summit), np.float32))
    joined = {}
    for name in names:
        joined[name] = np.concatenate(columns.pop(name))
    samples = np.array([f"sample{i:04d}" for i in range(n_samples)])
    return PeakTable(np.array(genome.chroms), samples, **joined)


def expected_depth(weight: np.ndarray, mean: float, highest: int) -> np.ndarray:
    """Scale weights so that they have this mean after the deepest elements are cut down to all samples."""
    scale = mean / weight.mean()
    for _ in range(100):
        scale *= mean / (weight * scale).clip(1, highest).mean()
    return weight * scale


@njit
def sweep(start: np.ndarray, end: np.ndarray, order: np.ndarray) -> int:
    """Number of merged intervals."""
    n, high = 0, -1
    for at in order:
        if start[at] > high:
            n += 1
        high = max(high, end[at])
    return n


def floor(table: PeakTable) -> int:
    """Sort by start and merge, chromosome by chromosome: less than any index can do."""
    found = 0
    for rows in table.by_chromosome():
        start, end = table.start[rows], table.end[rows]
        found += sweep(start, end, order_by(start))
    return found


def measure(n_peaks: int, n_samples: int, per_element: float) -> Row:
    """One row."""
    table = made_up(n_peaks, n_samples, per_element)
    n_jobs = _threads.resolve()
    with watch() as least:
        floor(table)
    with watch() as whole:
        index = build_index(table, PARAMS, None, n_jobs=n_jobs)
    n = len(table.start)
    return Row(
        f"tl.dhs_index, {n / 1e6:.1f} M peaks of {n_samples} samples, {n_jobs} threads",
        "sort and sweep (the floor)",
        whole["seconds"],
        least["seconds"],
        check=f"{index.n_vars:,} elements; {whole['cpu_seconds']:.1f} s CPU, {whole['resident_gb']:.1f} GB",
        unit="M peaks/s",
        throughput=n / 1e6 / whole["seconds"],
        extra=whole,
    )


def rows(size: str) -> list[Row]:
    """Peaks in memory to a finished AnnData: elements of all three modes, both matrices, identifiers."""
    measure(200_000, 80, 20)  # compiles
    settings = [(1_000_000, 80, 37), (2_000_000, 80, 37)]
    if size == "large":
        settings = [(1_800_000, 80, 37), (7_200_000, 80, 37), (76_500_000, 733, 21.3)]
    return [measure(*setting) for setting in settings]
