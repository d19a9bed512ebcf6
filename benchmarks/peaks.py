"""Peaks from a dense track and from runs, against macs3 bdgpeakcall."""

from __future__ import annotations

import tempfile
from pathlib import Path

import numpy as np

from benchmarks.harness import Row, compare
from scatacworks._core.calling import call_dense, call_runs, summarize_runs
from scatacworks._core.runs import encode

CUTOFF, MIN_LENGTH, MAX_GAP = 0.5, 200, 30


def probability_track(n_bases: int, seed: int = 0) -> np.ndarray:
    """Peaks of a few hundred bases over a wavy background, to three decimals, as published; one value per base."""
    rng = np.random.default_rng(seed)
    knots = rng.random(n_bases // 64 + 2, np.float32) * 0.08
    track = np.interp(np.arange(n_bases) / 64, np.arange(len(knots)), knots).astype(np.float32)
    for start in rng.integers(0, n_bases - 2000, n_bases // 20_000):
        width = int(rng.integers(100, 1500))
        shape = np.sin(np.linspace(0, np.pi, width)) * rng.uniform(0.3, 1)
        np.maximum(track[start : start + width], shape, out=track[start : start + width])
    return np.round(track, 3)


def rows(size: str) -> list[Row]:
    """Ours from bases and from runs beside macs3 on the track's bedGraph file, as its command takes it."""
    n_bases = 100_000_000 if size == "large" else 10_000_000
    track = probability_track(n_bases)
    runs = encode(track, 0, 0.0)
    macs3 = _macs3(runs)

    def dense() -> list[tuple[int, int]]:
        starts, ends = call_dense(track, CUTOFF, MIN_LENGTH, MAX_GAP)
        return list(zip(starts.tolist(), ends.tolist(), strict=True))

    def sparse() -> list[tuple[int, int]]:
        starts, ends = call_runs(*runs, 0.0, n_bases, CUTOFF, MIN_LENGTH, MAX_GAP)
        summarize_runs(*runs, 0.0, starts, ends)
        return list(zip(starts.tolist(), ends.tolist(), strict=True))

    options = {"reference_name": "macs3 bdgpeakcall", "check": _same, "work": n_bases / 1e6, "unit": "Mb/s"}
    return [
        compare("peaks from a dense track", dense, macs3, **options),
        compare("peaks from runs", sparse, macs3, **options),
    ]


def _macs3(runs: tuple[np.ndarray, np.ndarray, np.ndarray]):
    try:
        from MACS3.IO.BedGraphIO import bedGraphIO
    except ImportError:
        return None
    columns = zip(*(column.tolist() for column in runs), strict=True)
    text = "".join(f"chr1\t{start}\t{start + length}\t{value:.3f}\n" for start, length, value in columns)
    path = Path(tempfile.mkdtemp()) / "track.bedGraph"
    path.write_text(text)

    def call() -> list[tuple[int, int]]:
        bedgraph = bedGraphIO(str(path)).read_bedGraph()
        found = bedgraph.call_peaks(cutoff=CUTOFF, min_length=MIN_LENGTH, max_gap=MAX_GAP, call_summits=False)
        return [(peak["start"], peak["end"]) for peak in found.get_data_from_chrom(b"chr1")]

    return call


def _same(ours: list, reference: list | None) -> str:
    if reference is None:
        return f"{len(ours):,} peaks; macs3 is not installed"
    if ours != reference:
        msg = "the intervals differ from those of macs3"
        raise AssertionError(msg)
    return f"{len(ours):,} identical intervals"
