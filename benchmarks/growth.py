"""How cost grows: CPU seconds and memory against fragments, groups and genome length, with fitted exponents.

Every point runs in a process of its own, `python -m benchmarks.growth AXIS N`, after a warm-up on a small input, so
that compiling is left out and its peak memory is its own. CPU seconds (all threads) depend less on what else the
machine does than elapsed ones. `python -m benchmarks growth --json FILE` keeps the points; `docs/make_growth.py` draws
them.
"""

from __future__ import annotations

import json
import subprocess
import sys
import time
from typing import TYPE_CHECKING

import numpy as np

from benchmarks.harness import Row, peak_memory_gb

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

POINTS = {
    "small": {
        "fragments": [1_000_000, 2_000_000, 5_000_000],
        "groups": [1, 10, 100, 1_000],
        "bases": [1_500_000, 3_000_000, 6_000_000],
    },
    "large": {
        "fragments": [1_000_000, 2_000_000, 5_000_000, 20_000_000, 100_000_000],
        "groups": [1, 10, 100, 1_000],
        "bases": [1_500_000, 3_000_000, 6_000_000, 12_000_000],
    },
}
WHAT = {
    "fragments": "fragments.tsv.gz to cut sites of 8 groups",
    "groups": "2 M fragments to cut sites of disjoint groups",
    "bases": "denoising of one group at 5 M cut sites a genome",
}


def rows(size: str) -> Iterator[Row]:
    """Measure every point and fit how time and memory grow with it."""
    for axis, numbers in POINTS[size].items():
        points = [measure(axis, n) for n in numbers]
        found = {name: exponent(numbers, [p[name] for p in points]) for name in ("cpu_seconds", "memory_gb")}
        yield Row(
            f"{WHAT[axis]}: growth with {axis}",
            f"{numbers[0]:,} to {numbers[-1]:,}",
            points[-1]["cpu_seconds"],
            check=f"exponents: CPU time {found['cpu_seconds']:.2f}, memory {found['memory_gb']:.2f}",
            extra={"axis": axis, "points": points, "exponents": found},
        )


def exponent(x: list[int], y: list[float]) -> float:
    """Slope of log y against log x: 1 is linear, 0 constant."""
    return float(np.polyfit(np.log(x), np.log(y), 1)[0])


def measure(axis: str, n: int) -> dict:
    """Run one point in its own process; a file that it reads is made by another, whose memory is not counted."""
    if axis == "fragments":
        make = f"from benchmarks.fragments import fragment_file; fragment_file({n})"
        subprocess.run([sys.executable, "-c", make], check=True)
    command = [sys.executable, "-m", "benchmarks.growth", axis, str(n)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        msg = f"{' '.join(command)} failed:\n{done.stderr}"
        raise RuntimeError(msg)
    return json.loads(done.stdout.splitlines()[-1])


def _pile(n_fragments: int, n_groups: int) -> Callable[[], object]:
    """Count the cut sites of a file for so many groups of equal size."""
    import anndata as ad
    import pandas as pd

    import scatacworks as sca
    from benchmarks.fragments import cells_of, fragment_file

    path = fragment_file(n_fragments)
    cells = cells_of(path)
    obs = pd.DataFrame({"group": [f"G{i % n_groups}" for i in range(len(cells))]}, index=cells)
    adata = ad.AnnData(obs=obs)
    adata.uns["files"] = {"fragments": str(path)}
    adata.uns["reference_sequences"] = sca.Genome("hg38").to_frame()
    return lambda: sca.pp.pseudobulk(adata, "group", progress=False)


def _denoise(n_bases: int) -> Callable[[], object]:
    from benchmarks.denoise import cut_sites
    from scatacworks import models
    from scatacworks.models.predict import predict

    model, sites = models.load("default"), cut_sites(5e6, n_bases)
    return lambda: predict(model, sites, depth=[5e6], progress=False, device="cpu", n_jobs=1)


RUN = {"fragments": lambda n: _pile(n, 8), "groups": lambda n: _pile(2_000_000, n), "bases": _denoise}
WARM_UP = {"fragments": 1_000_000, "groups": 1, "bases": 500_000}


def main(axis: str, n: int) -> None:
    RUN[axis](WARM_UP[axis])()
    run = RUN[axis](n)
    start = time.process_time()
    kept = run()
    record = {"n": n, "cpu_seconds": time.process_time() - start, "memory_gb": peak_memory_gb()}
    del kept
    print(json.dumps(record))


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]))
