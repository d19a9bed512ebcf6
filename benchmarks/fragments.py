"""Fragment files to coded arrays, against decompressing alone and against other readers.

Readers that this interpreter cannot import are left out; `SCATACWORKS_PEERS=/path/to/python` names one that has
snapatac2 and polars.
"""

from __future__ import annotations

import gzip
import os
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import pandas as pd

from benchmarks.harness import Row, compare
from benchmarks.make_fragments import write
from scatacworks import _threads
from scatacworks.io._source import open_fragments

SIZES = {"small": 2_000_000, "large": 20_000_000}

PEERS = {
    "polars": """
import polars as pl
names = ["chrom", "start", "end", "barcode", "count"]
kinds = {"chrom": pl.Categorical, "start": pl.Int32, "end": pl.Int32, "barcode": pl.Categorical, "count": pl.UInt16}
def run(): return pl.read_csv(path, separator="\\t", has_header=False, new_columns=names, schema_overrides=dict(zip(
    [f"column_{i}" for i in range(1, 6)], kinds.values()))).height
""",
    "snapatac2 import_fragments": """
import tempfile, snapatac2 as snap
def run():
    with tempfile.TemporaryDirectory() as folder:
        data = snap.pp.import_fragments(path, snap.genome.hg38, file=folder + "/a.h5ad", sorted_by_barcode=False,
                                        min_num_fragments=0, tempdir=folder, n_jobs=2)
        n = data.n_obs
        data.close()
        return n
""",
}
REPEATS = {"polars": 5, "snapatac2 import_fragments": 1}  # the latter takes most of a minute
TIMER = """
import time
if __name__ == "__main__":
    begin = time.perf_counter()
    run()
    print("seconds", time.perf_counter() - begin)
"""


def fragment_file(n: int) -> Path:
    """Make, or find, the file of so many fragments."""
    folder = Path(os.environ.get("SCATACWORKS_BENCHMARKS", Path(tempfile.gettempdir()) / "scatacworks-benchmarks"))
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"fragments_{n}.tsv.gz"
    return path if path.exists() else write(path, n)


def cells_of(path: Path) -> list[str]:
    return pd.read_csv(path.with_name(path.name.split(".")[0] + ".cells.tsv"), sep="\t")["barcode"].tolist()


def read(path: Path, cells: list[str]) -> int:
    """Read a file as every step of the package does; returns the number of fragments."""
    return sum(len(block) for block in open_fragments(path, genome="hg38", cells=cells).chromosomes())


def check(path: Path, cells: list[str]) -> str:
    """Compare every column with pandas' reading of the file."""
    kinds = {"chrom": "category", "start": np.int32, "end": np.int32, "barcode": "category", "count": np.uint16}
    table = pd.read_csv(path, sep="\t", header=None, names=list(kinds), dtype=kinds)
    source = open_fragments(path, genome="hg38", cells=cells)
    code = pd.Index(cells).get_indexer(table["barcode"].cat.categories)[table["barcode"].cat.codes]
    groups = table.groupby("chrom", observed=True).indices
    for block in source.chromosomes():
        mine = groups.pop(source.genome.chroms[block.chrom])
        for ours, theirs in ((block.start, table["start"]), (block.end, table["end"]), (block.count, table["count"])):
            np.testing.assert_array_equal(ours, theirs.to_numpy()[mine])
        np.testing.assert_array_equal(block.cell, code[mine])
    if groups:
        raise AssertionError(list(groups))
    return f"all columns of {len(table):,} lines equal pandas'"


def timed(path: Path, cells: list[str]) -> float:
    """Return the seconds that reading a file takes."""
    start = time.perf_counter()
    read(path, cells)
    return time.perf_counter() - start


def run_peer(script: str, path: Path) -> float | None:
    """Return the seconds another reader takes, measured in its own process; `None` where it is not installed."""
    python = os.environ.get("SCATACWORKS_PEERS", sys.executable)
    code = f"path = {str(path)!r}\n{script}{TIMER}"
    with tempfile.NamedTemporaryFile("w", suffix=".py", delete=False) as file:
        file.write(code)
    done = subprocess.run([python, file.name], capture_output=True, text=True, check=False)
    Path(file.name).unlink()
    found = [line for line in done.stdout.splitlines() if line.startswith("seconds")]
    return float(found[-1].split()[1]) if found else None


def rows(size: str) -> list[Row]:
    """Return the rows of the table for `size`, "small" or "large"."""
    n = SIZES[size]
    path = fragment_file(n)
    cells = cells_of(path)
    common = {"work": n / 1e6, "unit": "M fragments/s"}
    threads = _threads.resolve()
    bgzip = shutil.which("bgzip")
    command = [bgzip, f"-@{threads}", "-dc", str(path)]
    out = [
        compare(
            f"{n / 1e6:g} M bgzipped fragments to coded arrays",
            lambda: read(path, cells),
            (lambda: subprocess.run(command, stdout=subprocess.DEVNULL, check=True)) if bgzip else None,
            reference_name=f"bgzip -@{threads} -dc to nowhere" if bgzip else "",
            check=lambda *_: check(path, cells),
            **common,
        )
    ]
    plain = path.with_name(f"plain_{n}.tsv.gz")
    if not plain.exists():
        with gzip.open(path) as raw, gzip.open(plain, "wb", compresslevel=1) as ordinary:
            shutil.copyfileobj(raw, ordinary, 1 << 22)
    out.append(
        compare(
            "the same as ordinary gzip",
            lambda: read(plain, cells),
            lambda: subprocess.run(["gzip", "-dc", str(plain)], stdout=subprocess.DEVNULL, check=True),
            reference_name="gzip -dc to nowhere",
            **common,
        )
    )
    for name, script in PEERS.items():
        pairs = [(timed(path, cells), run_peer(script, path)) for _ in range(REPEATS[name])]
        if pairs[0][1] is None:
            continue
        ours, theirs = map(float, np.median(pairs, axis=0))
        throughput = n / 1e6 / ours
        out.append(
            Row("bgzipped fragments to coded arrays", name, ours, theirs, unit=common["unit"], throughput=throughput)
        )
    return out
