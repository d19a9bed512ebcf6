"""BigWig files of a denoised track, against pyBigWig and pybigtools with zoom levels."""

from __future__ import annotations

import tempfile
from pathlib import Path

import numpy as np

import scatacworks as sca
from benchmarks.harness import Row, compare
from benchmarks.peaks import probability_track
from scatacworks._core.runs import encode


def rows(size: str) -> list[Row]:
    """Write the same runs of four chromosomes with each library, and read the file back."""
    n_bases = 16_000_000 if size == "large" else 400_000
    genome = sca.Genome({f"chr{i}": n_bases for i in range(1, 5)})
    runs = {chrom: encode(probability_track(n_bases, seed), 0, 0.0) for seed, chrom in enumerate(genome.chroms)}
    tracks = sca.Tracks.from_chromosomes(["a"], genome, [(chrom, [parts]) for chrom, parts in runs.items()])
    folder = Path(tempfile.mkdtemp())
    work = {"work": tracks.n_runs / 1e6, "unit": "M runs/s"}

    def write(n_jobs: int | None) -> Path:
        return sca.io.write_bigwig(tracks, folder / "ours.bw", fill_gaps=False, n_jobs=n_jobs, progress=False)["a"]

    def same(ours: Path, reference: Path) -> str:
        return _same_values(ours, tracks) + _sizes(ours, reference)

    pybigwig, pybigtools = _pybigwig(genome, runs, folder), _pybigtools(genome, runs, folder)
    found = [
        compare("bigWig, one thread", lambda: write(1), pybigwig, reference_name="pyBigWig", check=same, **work),
        compare("bigWig, all threads", lambda: write(None), pybigwig, reference_name="pyBigWig", check=same, **work),
    ]
    if pybigtools is not None:
        options = {"reference_name": "pybigtools", "check": same} | work
        found.append(compare("bigWig, all threads", lambda: write(None), pybigtools, **options))
    read = compare("bigWig, reading", lambda: _read(folder), lambda: _read_pybigwig(folder), **_reading(work))
    return [*found, read]


def _pybigwig(genome: sca.Genome, runs: dict, folder: Path):
    import pyBigWig

    def write() -> Path:
        handle = pyBigWig.open(str(folder / "pybigwig.bw"), "w")
        handle.addHeader(list(genome.sizes.items()), maxZooms=10)
        for chrom, (starts, lengths, values) in runs.items():
            handle.addEntries([chrom] * len(starts), starts, ends=starts + lengths, values=values.astype(float))
        handle.close()
        return folder / "pybigwig.bw"

    return write


def _pybigtools(genome: sca.Genome, runs: dict, folder: Path):
    try:
        import pybigtools
    except ImportError:
        return None

    def write() -> Path:
        entries = (
            (chrom, start, start + length, value)
            for chrom, parts in runs.items()
            for start, length, value in zip(*(part.tolist() for part in parts), strict=True)
        )
        handle = pybigtools.open(str(folder / "pybigtools.bw"), "w")
        handle.write(genome.sizes, entries)
        return folder / "pybigtools.bw"

    return write


def _same_values(path: Path, tracks: sca.Tracks) -> str:
    import pyBigWig

    handle = pyBigWig.open(str(path))
    for chrom, size in tracks.genome.sizes.items():
        found = np.nan_to_num(handle.values(chrom, 0, size, numpy=True))
        if not np.array_equal(found, tracks.window("a", chrom, 0, size)):
            msg = f"the values of {chrom} differ"
            raise AssertionError(msg)
    return "every base equal when read by pyBigWig; "


def _sizes(ours: Path, reference: Path) -> str:
    return f"{ours.stat().st_size / 1e6:.1f} and {reference.stat().st_size / 1e6:.1f} MB"


def _read(folder: Path) -> list:
    tracks = sca.io.read_bigwig(folder / "ours.bw")
    return [[part.tolist() for part in tracks.runs(0, chrom)] for chrom in tracks.genome.chroms]


def _read_pybigwig(folder: Path) -> list:
    import pyBigWig

    handle = pyBigWig.open(str(folder / "ours.bw"))
    out = []
    for chrom in handle.chroms():
        starts, ends, values = zip(*handle.intervals(chrom), strict=True)
        out.append([list(starts), [end - start for start, end in zip(starts, ends, strict=True)], list(values)])
    return out


def _reading(work: dict) -> dict:
    def check(ours: list, reference: list) -> str:
        if ours != reference:
            msg = "the runs differ"
            raise AssertionError(msg)
        return "equal runs"

    return {"reference_name": "pyBigWig intervals", "check": check} | work
