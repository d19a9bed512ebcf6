"""tl.denoise(path=…) in several processes at once."""

from __future__ import annotations

import subprocess
import sys
import time

import numpy as np
import pytest

import scatacworks as sca

GROUPS = tuple("abcdef")
N_UNITS = 12  # of each group chr1, and chr2 with chr3
SCRIPT = """
import sys, time
from pathlib import Path
import anndata as ad
import scatacworks as sca
from scatacworks.models import _predictor
from scatacworks.models._plan import make_units

h5ad, model, folder, name, n_others, hangs = sys.argv[1:]
folder = Path(folder)
_predictor.make_units = lambda *args, **options: make_units(*args, **options, unit_bp=30_000)
run = _predictor.Predictor.run


def noted(self, unit, progress=None):
    (folder / f"{unit.chroms[0]}.{unit.groups[0]}.{name}").touch()
    while hangs == "True" or len({path.suffix for path in folder.iterdir()}) < int(n_others):
        time.sleep(0.01)
    return run(self, unit, progress)


_predictor.Predictor.run = noted
adata = ad.read_h5ad(h5ad)
sca.tl.denoise(adata, model=model, path=folder.parent / "store", n_jobs=1, progress=False)
print(adata.uns["denoised"]["path"])
"""


@pytest.fixture
def adata(make_pseudobulk):
    return make_pseudobulk(groups=GROUPS, n=(300, 200, 100, 60, 50, 40))


@pytest.fixture
def start(adata, model_file, tmp_path):
    """Start a process that denoises into the store; it computes nothing before as many have begun as are told."""
    adata.write_h5ad(tmp_path / "in.h5ad")
    (tmp_path / "begun").mkdir()
    started = []

    def begin(name, *, n_others=1, hangs=False):
        arguments = [tmp_path / "in.h5ad", model_file, tmp_path / "begun", name, n_others, hangs]
        command = [sys.executable, "-c", SCRIPT, *map(str, arguments)]
        started.append(subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True))
        return started[-1]

    yield begin
    for process in started:
        process.kill()
        process.wait()


def begun(tmp_path):
    return sorted(path.name.rsplit(".", 1) for path in (tmp_path / "begun").iterdir())


def check(adata, model_file, tmp_path):
    sca.tl.denoise(adata, model=model_file, n_jobs=1, progress=False)
    for layer in ("signal", "probability"):
        whole = sca.get.tracks(adata, key="denoised", layer=layer)
        stored = sca.Tracks.from_zarr(tmp_path / "store" / layer)
        for group in GROUPS:
            for chrom, size in whole.genome.sizes.items():
                np.testing.assert_array_equal(stored.window(group, chrom, 0, size), whole.window(group, chrom, 0, size))
    assert {path.name for path in tmp_path.iterdir()} == {"in.h5ad", "begun", "store"}


def test_processes_share_the_units_of_one_run(adata, model_file, tmp_path, start):
    names = ["one", "two"]
    processes = [start(name, n_others=2) for name in names]
    for process in processes:
        out, error = process.communicate(timeout=300)
        assert process.returncode == 0, error
        assert out.strip() == str(tmp_path / "store")
    units = begun(tmp_path)
    assert len({unit for unit, _ in units}) == len(units) == N_UNITS
    assert {name for _, name in units} == set(names)
    check(adata, model_file, tmp_path)


def test_what_a_killed_process_had_begun_is_done_by_another(adata, model_file, tmp_path, start):
    stuck = start("stuck", hangs=True)
    while not begun(tmp_path):
        assert stuck.poll() is None, stuck.stderr.read()
        time.sleep(0.05)
    ((unit, _),) = begun(tmp_path)
    other = start("other")
    while len(begun(tmp_path)) < N_UNITS:  # until all but the one that is claimed are done
        assert other.poll() is None, other.stderr.read()
        time.sleep(0.05)
    assert [unit, "other"] not in begun(tmp_path)
    stuck.kill()
    _, error = other.communicate(timeout=300)
    assert other.returncode == 0, error
    assert [unit, "other"] in begun(tmp_path)
    check(adata, model_file, tmp_path)
