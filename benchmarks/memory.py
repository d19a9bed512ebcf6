"""Peak memory: fragments to cut sites of 8 groups, in memory and into a store, and these denoised into a store.

Every row runs in a process of its own, `python -m benchmarks.memory WHAT FRAGMENTS [CHROMOSOME ...]`, whose peak holds
everything, libraries included (0.25 GB without torch, 0.45 GB with it).
"""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING

from benchmarks.harness import Row, peak_memory_gb

if TYPE_CHECKING:
    from collections.abc import Iterator

    from anndata import AnnData

N_FRAGMENTS = {"small": 2_000_000, "large": 20_000_000}
REGIONS = {"small": ["chr22"], "large": ["chr1"]}  # long chromosomes make the largest units
THIN = 200  # one cell of so many is kept for the whole genome: most of it is skipped


def rows(size: str) -> Iterator[Row]:
    """Yield a row for every way: seconds are CPU seconds."""
    n = N_FRAGMENTS[size]
    label = f"{n // 1_000_000} M fragments, 8 groups"
    yield _row(f"{label}: cut sites in memory", "count", n)
    yield _row(f"{label}: cut sites into a store", "store", n)
    yield _row(f"{label}: {', '.join(REGIONS[size])} denoised into a store", "denoise", n, *REGIONS[size])
    if size == "large":
        yield _row(f"one cell in {THIN}, 8 groups: whole genome denoised into a store", "genome", n)


def _row(path: str, *arguments: object) -> Row:
    command = [sys.executable, "-m", "benchmarks.memory", *map(str, arguments)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        msg = f"{' '.join(command)} failed:\n{done.stderr}"
        raise RuntimeError(msg)
    found = json.loads(done.stdout.splitlines()[-1])
    check = f"peak {found['peak_gb']:.2f} GB" + (
        f"; until each unit was done {found['units_gb']}" if "units_gb" in found else ""
    )
    return Row(path, "", found["cpu_seconds"], check=check, extra=found)


def main(what: str, n_fragments: int, *regions: str) -> None:
    import pandas as pd

    import scatacworks as sca
    from benchmarks.fragments import fragment_file

    path = fragment_file(n_fragments)
    obs = pd.read_csv(path.with_name(f"{path.name.split('.')[0]}.cells.tsv"), sep="\t", index_col="barcode")
    if what == "genome":
        obs = obs.iloc[::THIN]
    cells = sca.io.read_fragments(path, genome="hg38", barcodes=obs, progress=False)
    record = {}
    start = time.process_time()
    with tempfile.TemporaryDirectory() as folder:
        store = None if what == "count" else Path(folder) / "cut_sites"
        sca.pp.pseudobulk(cells, "group", path=store, progress=False)
        if what in ("denoise", "genome"):
            record = _denoise(cells, Path(folder), list(regions) or None)
    print(json.dumps({"cpu_seconds": time.process_time() - start, "peak_gb": peak_memory_gb()} | record))


def _denoise(cells: AnnData, folder: Path, regions: list[str] | None) -> dict:
    """Denoise into a store; returns the peak so far when each unit was done."""
    import scatacworks as sca
    from scatacworks.models._predictor import Predictor

    run, units = Predictor.run, []

    def watched(self: Predictor, *arguments: object) -> object:
        found = run(self, *arguments)
        units.append(round(peak_memory_gb(), 2))
        return found

    Predictor.run = watched
    if regions is not None:
        sizes = sca.Genome("hg38").sizes
        regions = [f"{chrom}:0-{sizes[chrom]}" for chrom in regions]
    sca.tl.denoise(cells, regions=regions, path=folder / "denoised", device="cpu", progress=False)
    size = sum(file.stat().st_size for file in (folder / "denoised").rglob("*") if file.is_file())
    return {"units_gb": units, "store_gb": size / 1e9}


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]), *sys.argv[3:])
