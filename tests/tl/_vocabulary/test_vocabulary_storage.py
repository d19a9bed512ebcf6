"""Vocabularies of matrices that are not in memory, and the device they are fitted on."""

from __future__ import annotations

import tracemalloc

import anndata
import numpy as np
import pandas as pd
import pytest
import scipy.sparse as sp
import torch
import zarr
from anndata.io import sparse_dataset, write_elem

import scatacworks as sca
from scatacworks.tl._vocabulary import _device
from scatacworks.tl._vocabulary._matrix import patterns_of, row_blocks


@pytest.fixture(scope="module")
def matrix() -> sp.csr_matrix:
    rng = np.random.default_rng(0)
    mean = rng.gamma(0.4, 1, (200, 4)) @ rng.gamma(0.3, 0.3, (4, 900))
    return sp.csr_matrix((rng.random(mean.shape) < 1 - np.exp(-mean)).astype(np.uint8))


def backed_index(matrix, path) -> anndata.AnnData:
    anndata.AnnData(matrix).write_h5ad(path)
    return anndata.read_h5ad(path, backed="r")


def zarr_index(matrix, path) -> anndata.AnnData:
    group = zarr.open_group(path, mode="w", zarr_format=2)
    write_elem(group, "X", matrix)
    return anndata.AnnData(sparse_dataset(group["X"]))


def dask_index(matrix, _) -> anndata.AnnData:
    array = pytest.importorskip("dask.array")
    return anndata.AnnData(array.from_array(matrix.toarray(), chunks=(70, 400)).map_blocks(sp.csr_matrix))


SOURCES = {
    "backed CSR": backed_index,
    "backed CSC": lambda matrix, path: backed_index(matrix.tocsc(), path),
    "backed dense": lambda matrix, path: backed_index(matrix.toarray(), path),
    "zarr CSR": zarr_index,
    "dask": dask_index,
}


@pytest.mark.parametrize("source", SOURCES)
def test_every_storage_gives_the_same_patterns(matrix, tmp_path, source):
    index = SOURCES[source](matrix, tmp_path / "index.h5ad")
    wanted = patterns_of(anndata.AnnData(matrix), None)
    found = patterns_of(index, None, size=3000)
    for ours, theirs in zip(found[:4], wanted[:4], strict=True):
        np.testing.assert_array_equal(ours, theirs)
    assert found.rows.dtype == np.uint16


@pytest.mark.parametrize("source", ["backed CSR", "backed dense", "zarr CSR"])
def test_blocks_are_bounded_and_hold_every_row(matrix, tmp_path, source):
    index = SOURCES[source](matrix, tmp_path / "index.h5ad")
    parts = list(row_blocks(index, size=3000))
    assert len(parts) > 5
    assert max(part.nnz for part in parts) < 2 * 3000
    assert (sp.vstack(parts) != matrix).nnz == 0


def test_rows_far_larger_than_a_block_come_one_by_one(matrix, tmp_path):
    parts = list(row_blocks(backed_index(matrix[:20], tmp_path / "index.h5ad"), size=1))
    assert [part.shape[0] for part in parts] == [1] * len(parts)


@pytest.mark.slow
def test_only_the_packed_matrix_is_in_memory(tmp_path):
    rng = np.random.default_rng(1)
    large = sp.csr_matrix((rng.random((1000, 2000)) < 0.25).astype(np.uint8))  # 5e5 ones: 2.5 MB as CSR, 1 MB packed
    index = backed_index(large, tmp_path / "index.h5ad")
    patterns_of(index, None, size=2**14, collapse=False)  # compiles
    tracemalloc.start()
    patterns_of(index, None, size=2**14, collapse=False)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.reset_peak()
    patterns_of(index, None, size=2**14, collapse=False, folder=tmp_path)
    filed = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 1.9e6
    assert filed < 0.9e6


@pytest.mark.parametrize("source", SOURCES)
def test_the_vocabulary_is_the_same(matrix, tmp_path, source):
    index = SOURCES[source](matrix, tmp_path / "index.h5ad")
    wanted = anndata.AnnData(matrix)
    for one in (index, wanted):
        sca.tl.vocabulary(one, n_components=4, max_iter=20, progress=False)
    np.testing.assert_array_equal(index.varm["X_vocabulary"], wanted.varm["X_vocabulary"])


@pytest.mark.parametrize("source", SOURCES)
def test_what_needs_the_whole_index_reads_it(matrix, tmp_path, source):
    indices = SOURCES[source](matrix, tmp_path / "index.h5ad"), anndata.AnnData(matrix)
    start = np.arange(matrix.shape[1]) * 1_000
    var = pd.DataFrame({"chrom": "chr1", "start": start, "end": start + 500}, index=start.astype(str))
    regions = var.iloc[:50].assign(start=start[:50] + 100).set_axis([f"region {i}" for i in range(50)])
    results = []
    for index in indices:
        index.uns["reference_sequences"] = sca.Genome("hg38").to_frame()
        index.var = var
        sca.tl.saturation(index, n_subsets=3)
        query = anndata.AnnData(index.X, var=var)
        sca.tl.match_samples(query, anndata.AnnData(matrix, var=var), layer=None)
        sca.tl.vocabulary(index, n_components=3, max_iter=5, progress=False)
        cells = anndata.AnnData(np.eye(2, 50, dtype=np.float32), var=regions)
        sca.tl.project_vocabulary(cells, index)
        fraction = sca.tl.prior(index).fraction("chr1", 0, int(start[-1]))
        results.append(
            (
                index.uns["saturation"]["table"],
                query.obs,
                pd.DataFrame(cells.obsm["X_vocabulary"]),
                pd.DataFrame({"f": fraction}),
            )
        )
    for ours, theirs in zip(*results, strict=True):
        pd.testing.assert_frame_equal(ours, theirs)


def test_small_problems_stay_on_the_cpu(matrix):
    index = anndata.AnnData(matrix)
    sca.tl.vocabulary(index, n_components=3, max_iter=2, progress=False)
    assert index.uns["vocabulary"]["params"]["device"] == "cpu"


def test_large_problems_go_to_a_gpu_where_there_is_one(matrix, monkeypatch):
    patterns = patterns_of(anndata.AnnData(matrix), None)
    monkeypatch.setattr(_device, "LARGE", 1)
    for names, wanted in (([], "cpu"), (["a GPU"], "a GPU is asked for")):
        monkeypatch.setattr("scatacworks.models._engine.gpu_names", lambda names=names: names)
        monkeypatch.setattr("scatacworks.models._engine.pick_device", lambda device: f"a GPU is asked for: {device}")
        assert _device.choose(None, patterns, 3)[1].startswith(wanted)
        assert _device.choose("cpu", patterns, 3)[1] == "cpu"


@pytest.mark.parametrize("device", ["cuda:99", "mps", "gpu"])
@pytest.mark.parametrize("tool", [sca.tl.vocabulary, sca.tl.vocabulary_scan])
def test_devices_that_cannot_be_used_are_refused(matrix, tool, device):
    sizes = 2 if tool is sca.tl.vocabulary else [2]
    with pytest.raises(ValueError, match="device"):
        tool(anndata.AnnData(matrix), n_components=sizes, device=device, progress=False)


@pytest.mark.gpu
def test_a_gpu_gives_the_same_vocabulary(matrix):
    if not torch.cuda.is_available():
        pytest.skip("needs a CUDA device")
    one, other = (
        sca.tl.vocabulary(anndata.AnnData(matrix), n_components=4, device=device, progress=False, copy=True)
        for device in ("cpu", "cuda")
    )
    assert other.uns["vocabulary"]["error"] == pytest.approx(one.uns["vocabulary"]["error"], rel=1e-5)
    labels = [found.var["component"].cat.codes for found in (one, other)]  # -1 where nothing is present
    assert (labels[0] == labels[1]).mean() > 0.99
