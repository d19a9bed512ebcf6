"""tl.denoise(path=…) in several processes at once: this one and another."""

from __future__ import annotations

import faulthandler
import inspect
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest

import scatacworks as sca

GROUPS = tuple("abcdef")
N_UNITS = 12  # of each group chr1, and chr2 with chr3


def work(h5ad, model, begun, name, n_others="1", *, hangs=""):
    """Denoise into the store and return its path; nothing is computed before as many processes have begun as told."""
    import time
    from pathlib import Path
    from unittest import mock

    import anndata as ad

    import scatacworks as sca
    from scatacworks.models import _predictor

    begun = Path(begun)
    make_units, run = _predictor.make_units, _predictor.Predictor.run

    def noted(self, unit, progress=None):
        (begun / f"{unit.chroms[0]}.{unit.groups[0]}.{name}").touch()
        while hangs or len({path.suffix for path in begun.iterdir()}) < int(n_others):
            time.sleep(0.01)
        return run(self, unit, progress)

    with (
        mock.patch.object(
            _predictor, "make_units", lambda *args, **options: make_units(*args, **options, unit_bp=30_000)
        ),
        mock.patch.object(_predictor.Predictor, "run", noted),
    ):
        adata = ad.read_h5ad(h5ad)
        sca.tl.denoise(adata, model=model, path=begun.parent / "store", n_jobs=1, progress=False)
    return adata.uns["denoised"]["path"]


@pytest.fixture(autouse=True)
def limit():
    """End a test that waits for ever, and its process."""
    faulthandler.dump_traceback_later(300, exit=True, file=sys.__stderr__)
    yield
    faulthandler.cancel_dump_traceback_later()


@pytest.fixture
def adata(make_pseudobulk):
    return make_pseudobulk(groups=GROUPS, n=(300, 200, 100, 60, 50, 40))


@pytest.fixture
def given(adata, model_file, tmp_path):
    """What every process is given."""
    adata.write_h5ad(tmp_path / "in.h5ad")
    (tmp_path / "begun").mkdir()
    return tmp_path / "in.h5ad", model_file, tmp_path / "begun"


@pytest.fixture
def start(given):
    """Start a process."""
    started = []

    def begin(*arguments, how=""):
        code = f"import sys\n{inspect.getsource(work)}\nprint(work(*sys.argv[1:]{how}))"
        command = [sys.executable, "-c", code, *map(str, [*given, *arguments])]
        started.append(subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True))
        return started[-1]

    yield begin
    for process in started:
        process.kill()
        process.wait()


def units_begun(tmp_path):
    return sorted(path.name.rsplit(".", 1) for path in (tmp_path / "begun").iterdir())


def wait_for(n_units, tmp_path, process):
    while len(units_begun(tmp_path)) < n_units:
        assert process.poll() is None, process.stderr.read()
        time.sleep(0.05)


def check(adata, model_file, tmp_path):
    sca.tl.denoise(adata, model=model_file, n_jobs=1, progress=False)
    for layer in ("signal", "probability"):
        whole = sca.get.tracks(adata, key="denoised", layer=layer)
        stored = sca.Tracks.from_zarr(tmp_path / "store" / layer)
        for group in GROUPS:
            for chrom, size in whole.genome.sizes.items():
                np.testing.assert_array_equal(stored.window(group, chrom, 0, size), whole.window(group, chrom, 0, size))
    assert {path.name for path in tmp_path.iterdir()} == {"in.h5ad", "begun", "store"}


def test_processes_share_the_units_of_one_run(adata, model_file, tmp_path, given, start):
    other = start("other", 2)
    assert work(*given, "this", 2) == str(tmp_path / "store")
    out, error = other.communicate(timeout=300)
    assert other.returncode == 0, error
    assert out.strip() == str(tmp_path / "store")
    units = units_begun(tmp_path)
    assert len({unit for unit, _ in units}) == len(units) == N_UNITS
    assert {name for _, name in units} == {"this", "other"}
    check(adata, model_file, tmp_path)


def test_what_a_killed_process_had_begun_is_done_by_another(adata, model_file, tmp_path, given, start):
    stuck = start("stuck", how=", hangs=True")
    wait_for(1, tmp_path, stuck)
    ((unit, _),) = units_begun(tmp_path)

    def kill():
        wait_for(N_UNITS, tmp_path, stuck)  # until all but the one that is claimed are begun
        waited = [unit, "this"] not in units_begun(tmp_path)
        stuck.kill()
        return waited

    with ThreadPoolExecutor(1) as pool:
        waited = pool.submit(kill)
        work(*given, "this")
    assert waited.result()
    assert [unit, "this"] in units_begun(tmp_path)
    check(adata, model_file, tmp_path)
