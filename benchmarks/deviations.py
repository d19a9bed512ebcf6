"""Deviations of accessibility in sets of peaks (`tl.motif_deviations`) against pychromVAR, speed and memory.

Bone-marrow cells over 10,000 peaks (the folder in SCA_SHARED_DATA), random sets of 300 peaks, the same background for
both. Each side runs in a process of its own, in turn, on one thread. `SCATACWORKS_PEERS=/path/to/python` names a Python
with pychromvar where this one has none.
"""

from __future__ import annotations

import json
import os
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np

from benchmarks.harness import Row

SIZES = {"small": (5, 100, 3), "large": (1, 400, 1)}  # one cell in so many is kept; sets; rounds
N_PEAKS, N_BACKGROUND = 300, 50

COMMON = """
import json, sys, time
from pathlib import Path
import anndata, numpy as np, pandas as pd
from scipy import sparse
folder, out = Path(sys.argv[1]), sys.argv[2]
counts = sparse.load_npz(folder / "counts.npz")
stored = np.load(folder / "sets.npz")
sets, background = stored["sets"], stored["background"]
adata = anndata.AnnData(counts)
def prepare(n_sets):
    global adata
    adata = anndata.AnnData(counts)
    fill(sets[:, :n_sets])
def peak():
    return next(int(line.split()[1]) for line in open("/proc/self/status") if line.startswith("VmHWM")) / 1e6
"""
MAIN = """
prepare(2)
run()  # compiles
prepare(sets.shape[1])
before, start = peak(), time.process_time()
z = run()
record = {"cpu_seconds": time.process_time() - start, "peak_gb": peak(), "added_gb": peak() - before}
np.save(out, np.asarray(z, np.float32))
print(json.dumps(record))
"""
OURS = """
import scatacworks as sca
def fill(sets):
    adata.varm["motif_matches"] = pd.DataFrame(sets > 0, index=adata.var_names)
def run():
    sca.tl.motif_deviations(adata, background=background, bias=None, n_jobs=1, progress=False)
    return adata.obsm["motif_deviations_z"].to_numpy()
"""
THEIRS = """
import pychromvar
def fill(sets):
    adata.varm["bg_peaks"], adata.varm["motif_match"] = background, sets
    adata.uns["motif_name"] = np.arange(sets.shape[1]).astype(str)
def run():
    return pychromvar.compute_deviations(adata, n_jobs=1).X
"""


def rows(size: str) -> list[Row]:
    """Return the row for `size`, "small" or "large"; seconds are CPU seconds."""
    every, n_sets, n_rounds = SIZES[size]
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        shape = _write_input(folder, every, n_sets)
        ours, theirs = [], []
        for _ in range(n_rounds):
            ours.append(_run(OURS, sys.executable, folder, "ours"))
            found = _run(THEIRS, os.environ.get("SCATACWORKS_PEERS", sys.executable), folder, "theirs")
            theirs += [] if found is None else [found]
        check = _agreement(folder) if theirs else "pychromvar is not installed"
    middle = [{key: statistics.median(one[key] for one in side) for key in side[0]} for side in (ours, theirs) if side]
    memory = " and ".join(f"{side['added_gb']:.2f}" for side in middle) + " GB added (peak in all "
    memory += " and ".join(f"{side['peak_gb']:.2f}" for side in middle) + ")"
    return [
        Row(
            f"deviations of {shape[0]:,} cells in {n_sets} sets of {N_PEAKS} of {shape[1]:,} peaks",
            "pychromVAR" if theirs else "",
            middle[0]["cpu_seconds"],
            middle[1]["cpu_seconds"] if theirs else None,
            check=f"{memory}; {check}",
            repeats=n_rounds,
            extra={"memory": middle},
        )
    ]


def _write_input(folder: Path, every: int, n_sets: int) -> tuple[int, int]:
    """Write counts, sets and background; returns cells and peaks."""
    import anndata
    from scipy import sparse

    data = Path(os.environ.get("SCA_SHARED_DATA", "../shared/data"))
    marrow = anndata.read_h5ad(data / "heme_scatac_peaks" / "bmmc_scatac_10k_peaks.h5ad")
    counts = sparse.csr_matrix(marrow.X[::every]).astype(np.float32)
    rng = np.random.default_rng(0)
    counts = counts[:, np.asarray(counts.sum(0)).ravel() > 0]
    sets = np.zeros((counts.shape[1], n_sets), np.uint8)
    for column in sets.T:
        column[rng.choice(len(column), N_PEAKS, replace=False)] = 1
    sparse.save_npz(folder / "counts.npz", counts)
    background = rng.integers(0, len(sets), (len(sets), N_BACKGROUND))
    np.savez(folder / "sets.npz", sets=sets, background=background)
    return counts.shape


def _run(side: str, python: str, folder: Path, name: str) -> dict | None:
    """Run one side; `None` where it is not installed."""
    script = folder / f"{name}_run.py"
    script.write_text(COMMON + side + MAIN)
    threads = dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "NUMBA_NUM_THREADS"), "1")
    command = [python, str(script), str(folder), str(folder / f"{name}.npy")]
    done = subprocess.run(command, capture_output=True, text=True, check=False, env=os.environ | threads)
    if "No module named 'pychromvar'" in done.stderr:
        return None
    if done.returncode:
        msg = f"{name} failed:\n{done.stderr}"
        raise RuntimeError(msg)
    return json.loads(done.stdout.splitlines()[-1])


def _agreement(folder: Path) -> str:
    """Say how far both agree; raises where they do not."""
    ours, theirs = (np.load(folder / f"{name}.npy") for name in ("ours", "theirs"))
    known = np.isfinite(ours) & np.isfinite(theirs)
    r = float(np.corrcoef(ours[known], theirs[known])[0, 1])
    if r < 0.9:
        msg = f"z-scores correlate at {r:.3f} only"
        raise AssertionError(msg)
    return f"z-scores correlate at {r:.3f} (pychromVAR's background is another, see motif_deviations)"
