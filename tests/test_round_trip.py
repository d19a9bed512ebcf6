"""What the main job leaves in an AnnData or a MuData survives writing and reading, and goes on working."""

from __future__ import annotations

import anndata
import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import pytest

import scatacworks as sca


def smoother():
    """The one model that needs no training."""
    model = sca.models.Gaussian()
    model.card["data"] = "none: a smoother"
    model.card["depth_range"] = [0, 1e9]
    return model


@pytest.fixture(scope="module")
def done():
    """Toy cells after the main job."""
    adata = sca.datasets.toy(n_cells=60)
    adata.obs["group"] = adata.obs["group"].cat.rename_categories({"A": "NK/T", "B": "naïve B", "C": "C"})
    sca.pp.pseudobulk(adata, "group", progress=False)
    sca.tl.denoise(adata, model=smoother(), progress=False)
    sca.tl.call_peaks(adata)
    figure = sca.pl.tracks(adata, "chr1:4000-6000", show=False)
    plt.close(figure)
    return adata


def reread(adata, path, mudata):
    if path.suffix == ".h5ad":
        adata.write_h5ad(path)
        return anndata.read_h5ad(path)
    if path.suffix == ".zarr":
        adata.write_zarr(path)
        return anndata.read_zarr(path)
    rna = anndata.AnnData(np.ones((adata.n_obs, 2), np.float32), obs=pd.DataFrame(index=adata.obs_names))
    mudata.MuData({"rna": rna, "atac": adata.copy()}).write(path)
    return mudata.read_h5mu(path)


@pytest.mark.parametrize("name", ["a.h5ad", "a.zarr", "a.h5mu"])
def test_everything_is_usable_after_reading_back(done, tmp_path, name, mudata):
    back = reread(done, tmp_path / name, mudata)
    for key, layer in (("pseudobulk", None), ("denoised", "signal"), ("denoised", "probability")):
        one, two = (sca.get.tracks(data, key=key, layer=layer) for data in (done, back))
        assert list(one.groups) == list(two.groups)
        np.testing.assert_array_equal(one.sums(), two.sums())
        for group in one.groups:
            windows = [tracks.window(group, "chr2", 0, 100_000) for tracks in (one, two)]
            np.testing.assert_array_equal(*windows)
    stored = (back.mod["atac"] if name.endswith("h5mu") else back).uns["peaks"]
    pd.testing.assert_frame_equal(stored, done.uns["peaks"], check_dtype=False, check_index_type=False)

    sca.tl.call_peaks(back, threshold=0.7, key_added="strict")
    sca.tl.denoise(back, model=smoother(), key_added="again", regions="chr1:1000-9000", progress=False)
    files = sca.io.write_bigwig(back, tmp_path / "bw", groups=["naïve B"], progress=False)
    assert sca.io.read_bigwig(files).sums()[0] > 0
    assert set(sca.io.write_peaks(back, tmp_path / "peaks")) == {"NK/T", "naïve B", "C"}
    figure = sca.pl.tracks(back, "chr1:4000-6000", show=False)
    assert len(figure.axes) == 3 * 4
    plt.close(figure)


def test_a_view_is_left_alone(done):
    parent = done.copy()
    view = parent[:30]
    sca.tl.call_peaks(view, key_added="of_view")
    assert "of_view" not in parent.uns


class BackedCells:
    """What an object of SnapATAC2 that is backed by a file shows of itself."""

    obs, uns, obsm, obs_names = object(), {}, {}, []

    def to_memory(self):
        pytest.fail("whoever has the object loads it, not the function")


@pytest.mark.parametrize("kind", ["lazy", "backed by SnapATAC2"])
def test_cells_that_are_not_in_memory_are_refused_with_the_way_out(done, tmp_path, kind):
    adata = BackedCells()
    if kind == "lazy":
        pytest.importorskip("xarray")
        from anndata.experimental import read_lazy

        done.write_h5ad(tmp_path / "cells.h5ad")
        adata = read_lazy(tmp_path / "cells.h5ad")
        loaded = sca.get.track(adata.to_memory(), "NK/T", "chr1:4000-6000", key="denoised", layer="signal")
        expected = sca.get.track(done, "NK/T", "chr1:4000-6000", key="denoised", layer="signal")
        np.testing.assert_array_equal(loaded, expected)
    for function in (sca.pl.tracks, sca.pp.pseudobulk, sca.pp.count_regions, sca.io.write_peaks):
        with pytest.raises(TypeError, match=r"is not in memory .*adata = adata\.to_memory\(\)"):
            function(adata, "group")


def test_what_cannot_be_loaded_is_not_told_to_be():
    """An AnnDataSet of SnapATAC2 has no `to_memory`."""
    dataset = type("AnnDataSet", (), dict(vars(BackedCells), to_memory=property()))()
    with pytest.raises(TypeError, match=r"An object of AnnDataSet cannot .* sca\.io\.read_fragments\(\{sample: path"):
        sca.pp.pseudobulk(dataset, "group")
