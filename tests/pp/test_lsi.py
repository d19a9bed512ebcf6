from __future__ import annotations

import tracemalloc

import anndata as ad
import numpy as np
import pytest
from scipy import sparse

import scatacworks as sca


@pytest.fixture
def two_kinds():
    """400 cells of two kinds with very different depths."""
    rng = np.random.default_rng(0)
    kind = np.arange(400) % 2
    rate = np.where(kind[:, None] == np.arange(300) % 2, 0.6, 0.15) * rng.lognormal(0, 0.6, 400)[:, None]
    return ad.AnnData(sparse.csr_matrix(rng.poisson(rate).astype(np.float32)), obs={"kind": kind})


def test_embedding_equals_the_dense_computation(two_kinds):
    sca.pp.lsi(two_kinds, n_components=5, max_depth_correlation=None)
    counts = two_kinds.X.toarray().astype(float)
    tf, idf = counts / counts.sum(1, keepdims=True), 400 / counts.sum(0)
    left, values, right = np.linalg.svd(np.log1p(1e4 * tf * idf), full_matrices=False)
    left *= [np.sign(max(loadings, key=abs)) for loadings in right]
    expected = (left[:, :5] - left[:, :5].mean(0)) * values[:5]
    np.testing.assert_allclose(two_kinds.obsm["X_lsi"], expected, rtol=1e-3, atol=1e-3)
    np.testing.assert_allclose(two_kinds.uns["lsi"]["singular_values"], values[:5])


def test_the_component_of_depth_is_dropped_and_kinds_come_apart(two_kinds):
    sca.pp.lsi(two_kinds, n_components=4)
    report = two_kinds.uns["lsi"]
    assert report["kept"].tolist() == [False, True, True, True, True]
    assert abs(report["depth_correlation"][0]) > 0.75
    first = two_kinds.obsm["X_lsi"][:, 0]
    side = (first > np.median(first)).astype(int)
    agreement = (side == two_kinds.obs["kind"]).mean()
    assert max(agreement, 1 - agreement) > 0.95


def test_unit_variance_changes_the_weights_only(two_kinds):
    sca.pp.lsi(two_kinds, n_components=4)
    sca.pp.lsi(two_kinds, n_components=4, unit_variance=True, key_added="X_unit")
    unit = two_kinds.obsm["X_unit"]
    np.testing.assert_allclose(unit.std(0, ddof=1), 1, rtol=1e-5)
    for i in range(4):
        assert abs(np.corrcoef(unit[:, i], two_kinds.obsm["X_lsi"][:, i])[0, 1]) == pytest.approx(1, abs=1e-5)


@pytest.mark.parametrize("function", [sca.pp.lsi, sca.tl.vocabulary, sca.tl.motif_deviations])
def test_a_missing_layer_is_told_with_those_there_are(two_kinds, function):
    two_kinds.layers["counts"] = two_kinds.X.copy()
    two_kinds.layers["binary"] = two_kinds.X != 0
    options = {sca.tl.motif_deviations: {"annotations": "m", "bias": None}, sca.tl.vocabulary: {"n_components": 2}}
    two_kinds.varm["m"] = np.ones((two_kinds.n_vars, 1))
    with pytest.raises(KeyError, match=r"There is no layer 'raw' \(found: \['binary', 'counts'\]\)"):
        function(two_kinds, layer="raw", **options.get(function, {}))


def test_counts_of_dask_are_read(two_kinds):
    array = pytest.importorskip("dask.array")
    sca.pp.lsi(two_kinds, n_components=3)
    other = ad.AnnData(array.from_array(two_kinds.X.toarray(), chunks=(7, 5)))
    sca.pp.lsi(other, n_components=3)
    np.testing.assert_allclose(other.obsm["X_lsi"], two_kinds.obsm["X_lsi"], rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("backed", [False, True])
@pytest.mark.parametrize("form", ["dense", "csr", "csc", "int"])
def test_storage_changes_nothing(two_kinds, form, backed, tmp_path):
    sca.pp.lsi(two_kinds, n_components=3)
    counts = two_kinds.X.tocsr()
    forms = {"dense": counts.toarray(), "csr": counts, "csc": counts.tocsc(), "int": counts.astype(np.int32)}
    other = ad.AnnData(forms[form])
    if backed:
        other.write_h5ad(tmp_path / "counts.h5ad")
        other = ad.read_h5ad(tmp_path / "counts.h5ad", backed="r")
    sca.pp.lsi(other, n_components=3)
    np.testing.assert_allclose(other.obsm["X_lsi"], two_kinds.obsm["X_lsi"], rtol=1e-4, atol=1e-4)


def test_a_cell_without_counts_warns_and_stays_finite(two_kinds):
    counts = two_kinds.X.toarray()
    counts[3] = 0
    two_kinds.X = counts
    with pytest.warns(UserWarning, match="1 of 400 cells have no counts"):
        sca.pp.lsi(two_kinds, n_components=3)
    assert np.isfinite(two_kinds.obsm["X_lsi"]).all()


def test_wrong_input_is_named(two_kinds):
    with pytest.raises(ValueError, match="n_components=400 is out of reach for 400 cells x 300 regions"):
        sca.pp.lsi(two_kinds, n_components=400)
    with pytest.raises(TypeError, match="scale_factor is '1e4'"):
        sca.pp.lsi(two_kinds, n_components=2, scale_factor="1e4")
    with pytest.raises(KeyError, match="no layer 'counts'"):
        sca.pp.lsi(two_kinds, layer="counts")
    with pytest.raises(ValueError, match="negative or missing"):
        sca.pp.lsi(ad.AnnData(-two_kinds.X))
    with pytest.raises(ValueError, match="All counts are zero"):
        sca.pp.lsi(ad.AnnData(0 * two_kinds.X))
    with pytest.raises(ValueError, match="no counts in .X"):
        sca.pp.lsi(ad.AnnData(obs=two_kinds.obs))


def test_counts_whose_columns_lead_out_of_the_matrix_are_refused(two_kinds):
    two_kinds.X = sparse.csr_matrix(two_kinds.X)
    two_kinds.X.indices[5] = two_kinds.n_vars
    for function in (sca.pp.lsi, sca.tl.vocabulary, sca.tl.saturation):
        with pytest.raises(ValueError, match="The matrix is damaged: indices must be from 0 to 299"):
            function(two_kinds)


def test_real_bone_marrow_cells_lie_beside_their_kind(shared_data):
    adata = ad.read_h5ad(shared_data / "heme_scatac_peaks" / "bmmc_scatac_10k_peaks.h5ad")
    adata = adata[::4].copy()
    sca.pp.lsi(adata, n_components=15)
    sca.pp.knn_groups(adata, n_neighbors=16)
    members = adata.obsm["knn_groups"].tocsc().indices.reshape(-1, 16)
    kinds = adata.obs["celltype"].astype(str).to_numpy()
    chance = np.square(adata.obs["celltype"].value_counts(normalize=True)).sum()
    same = ((kinds[members] == kinds[:, None]).sum(1) - 1) / 15
    assert same.mean() > 3 * chance


def test_the_counts_are_held_once_more_and_left_alone():
    matrix = sparse.random(2_000, 3_000, 0.3, format="csr", random_state=0)
    matrix.data[:] = 1
    adata = ad.AnnData(matrix.copy())
    sca.pp.lsi(adata[:50].copy(), n_components=2)
    tracemalloc.start()
    sca.pp.lsi(adata, n_components=2)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 30 * matrix.nnz  # a copy takes 12 bytes a count, one factor for each of them another 8
    assert (matrix != adata.X).nnz == 0


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"scale_factor": -1}, "scale_factor is -1; expected a number above 0"),
        ({"max_depth_correlation": 2}, "max_depth_correlation is 2; expected a number from 0 to 1"),
        ({"max_depth_correlation": 0.0}, "All 5 components correlate with the cells' depth by more than 0"),
    ],
)
def test_arguments_that_leave_no_embedding_are_explained(two_kinds, options, message):
    with pytest.raises(ValueError, match=message):
        sca.pp.lsi(two_kinds, n_components=4, **options)
    assert "X_lsi" not in two_kinds.obsm
