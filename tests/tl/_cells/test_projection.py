import tracemalloc
from functools import partial

import anndata
import numpy as np
import pandas as pd
import pytest
from scipy import sparse

import scatacworks as sca
from scatacworks.tl._cells.project_bulk import _normalized


def test_smooth_equals_a_loop(cells):
    rng = np.random.default_rng(0)
    cells.obsm["X_lsi"] = rng.normal(size=(200, 3))
    cells.obs["score"] = rng.random(200)
    cells.obs.loc[cells.obs_names[3], "score"] = np.nan
    cells.layers["sparse"] = sparse.csr_matrix(cells.X)
    cells.obsm["table"] = pd.DataFrame(rng.random((200, 2)), index=cells.obs_names, columns=["a", "b"])
    sca.tl.smooth(cells, keys=["X", "sparse", "table", "score"], n_neighbors=7)
    points = cells.obsm["X_lsi"].astype(np.float32)
    for i in (0, 50, 199):
        near = np.argsort(((points - points[i]) ** 2).sum(1))[:7]
        np.testing.assert_allclose(cells.layers["X_smooth"][i], cells.X[near].mean(0), rtol=1e-5)
        np.testing.assert_allclose(cells.layers["sparse_smooth"][[i]].toarray()[0], cells.X[near].mean(0), rtol=1e-5)
        np.testing.assert_allclose(cells.obsm["table_smooth"].iloc[i], cells.obsm["table"].iloc[near].mean(), rtol=1e-5)
        assert cells.obs["score_smooth"].iloc[i] == pytest.approx(np.nanmean(cells.obs["score"].iloc[near]))


def test_smooth_of_very_many_cells_does_without_all_distances(cells, monkeypatch):
    def approximate(points, k, **_):
        distances = ((points[:, None] - points) ** 2).sum(2)
        return np.argsort(distances, axis=1)[:, :k]

    cells.obsm["X_lsi"] = np.random.default_rng(0).normal(size=(200, 3)).astype(np.float32)
    cells.obs["score"] = np.arange(200.0)
    exact = cells.copy()
    sca.tl.smooth(exact, keys="score", n_neighbors=7)
    monkeypatch.setattr("scatacworks._neighbors.EXACT_UP_TO", 200**2 - 1)
    monkeypatch.setattr("sklearn.neighbors.NearestNeighbors", None)
    monkeypatch.setattr("scatacworks._neighbors.approximate_neighbors", approximate)  # which takes a minute to compile
    sca.tl.smooth(cells, keys="score", n_neighbors=7)
    np.testing.assert_allclose(cells.obs["score_smooth"], exact.obs["score_smooth"])


def test_smooth_errors(cells):
    with pytest.raises(KeyError, match=r"sca\.pp\.lsi"):
        sca.tl.smooth(cells, keys="X")
    cells.obsm["X_lsi"] = np.zeros((200, 2))
    with pytest.raises(ValueError, match="n_neighbors"):
        sca.tl.smooth(cells, keys="X", n_neighbors=201)
    with pytest.raises(KeyError, match="nothing"):
        sca.tl.smooth(cells, keys="nothing", n_neighbors=5)
    cells.obsm["X_lsi"][0] = np.nan
    with pytest.raises(ValueError, match="not finite"):
        sca.tl.smooth(cells, keys="X", n_neighbors=5)


@pytest.fixture
def bulk(cells):
    """Bulk of A, B and two others over the cells' peaks and some more."""
    rng = np.random.default_rng(3)
    rate = np.full((1000, 4), 1.0)
    rate[:100, 1], rate[100:200, 0], rate[200:300, 2], rate[300:400, 3] = 0.2, 0.2, 5, 5
    table = pd.DataFrame(rng.poisson(rate * 200), index=cells.var_names, columns=["A", "B", "C", "D"])
    extra = pd.DataFrame(1.0, index=["chrX:1-2"], columns=table.columns)
    return pd.concat([extra, table])


def test_cells_land_on_their_population(cells, bulk):
    cells.X[7] = 0
    sca.tl.project_bulk(cells, bulk)
    assert cells.uns["X_bulk"]["n_common"] == 1000
    loadings = cells.uns["X_bulk"]["loadings"]
    np.testing.assert_allclose(loadings.T @ loadings, np.eye(3), atol=1e-8)
    sca.tl.transfer_labels(cells, reference=None)
    ok = ~np.isin(np.arange(200), [7, 8])
    found = cells.obs["label"].astype(object).where(cells.obs["label"].isin(["A", "B"]))
    # three components place many cells with C or D, which have their other peaks; A and B are told apart
    assert found[ok].notna().mean() > 0.4
    assert (found == cells.obs["type"].astype(object))[ok & found.notna()].mean() > 0.95
    assert pd.isna(cells.obs["label"].iloc[7])
    assert cells.obs["label_margin"][ok].min() >= 0
    row = cells.obsm["label_correlation"].iloc[0]
    expected = np.corrcoef(cells.obsm["X_bulk"][0], cells.uns["X_bulk"]["scores"][1])[0, 1]
    assert row["B"] == pytest.approx(expected, abs=1e-5)


@pytest.mark.parametrize("normalize", ["quantile", "log", None])
def test_the_order_of_samples_and_peaks_changes_nothing(cells, bulk, normalize):
    names = np.random.default_rng(0).permutation(cells.var_names)
    orders = [(columns, cells) for columns in (list("ABCD"), list("DCBA"), list("BDAC"))]
    found = []
    for columns, of in [*orders, (list("ABCD"), cells[:, names].copy())]:
        sca.tl.project_bulk(of, bulk[columns], normalize=normalize)
        sca.tl.transfer_labels(of)
        found.append((of.obsm["X_bulk"], of.obs["label"].astype(str).tolist()))
    for scores, labels in found[1:]:
        np.testing.assert_allclose(scores, found[0][0], atol=1e-5)
        assert labels == found[0][1]


def test_the_order_of_peaks_changes_nothing_where_references_are_zero_in_many(cells):
    rng = np.random.default_rng(3)
    rate = rng.gamma(0.3, 1, (1000, 1)) * rng.lognormal(size=(1000, 4)) * [1, 1, 3, 10]
    bulk = pd.DataFrame(rng.poisson(rate), index=cells.var_names, columns=list("ABCD"))
    assert (bulk == 0).mean().max() > 0.6
    shuffled = cells[:, rng.permutation(1000)].copy()
    for one in (cells, shuffled):
        sca.tl.project_bulk(one, bulk)
        sca.tl.transfer_labels(one)
    np.testing.assert_allclose(*(one.obsm["label_correlation"].to_numpy() for one in (cells, shuffled)), atol=1e-4)


def test_equal_values_of_a_reference_stay_equal():
    found = _normalized(np.array([[0.0, 0.0, 1.0], [3.0, 1.0, 7.0]]), "quantile")
    # the means of log2(x + 1) by rank are 0.5, 1 and 2
    np.testing.assert_allclose(found, [[0.75, 0.75, 2], [1, 0.5, 2]])


def test_backed_cells_and_references_are_read(cells, bulk, tmp_path):
    reference = anndata.AnnData(bulk.T.astype(np.float32))
    sca.tl.project_bulk(cells, bulk)
    stored = []
    for name, data in (("cells", cells), ("reference", reference)):
        data.write_h5ad(tmp_path / name)
        stored.append(anndata.read_h5ad(tmp_path / name, backed="r"))
    sca.tl.project_bulk(*stored)
    np.testing.assert_allclose(stored[0].obsm["X_bulk"], cells.obsm["X_bulk"], rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize(
    "function",
    [
        sca.tl.project_bulk,
        lambda cells, reference: sca.tl.match_samples(cells, reference, layer=None),
        lambda cells, _: sca.tl.smooth(cells, keys="X", n_neighbors=5),
        lambda cells, _: sca.tl.saturation(cells),
        lambda cells, _: sca.tl.project_vocabulary(cells, cells),
    ],
)
def test_cells_that_were_not_counted_are_told(cells, bulk, function):
    reference = anndata.AnnData(bulk.T)
    empty = anndata.AnnData(obs=cells.obs, var=cells.var)
    empty.obsm["X_lsi"], empty.varm["X_vocabulary"] = np.ones((200, 2)), np.ones((len(cells.var), 2))
    with pytest.raises(ValueError, match=r"no counts in \.X; make them with sca\.pp\.count_regions"):
        function(empty, reference)


def test_an_anndata_reference_is_the_same(cells, bulk):
    reference = anndata.AnnData(bulk.T)
    first = sca.tl.project_bulk(cells, bulk, copy=True).obsm["X_bulk"]
    np.testing.assert_allclose(sca.tl.project_bulk(cells, reference, copy=True).obsm["X_bulk"], first)
    assert "X_bulk" not in cells.obsm


OWN = {  # cell types of the marrow, by the beginning of their name, and the sorted populations they belong to
    "CD14.Mono": ["Mono"],
    "NK": ["NK"],
    "B": ["B"],
    "CD4": ["CD4"],
    "CD8": ["CD8"],
    "HSC": ["HSC", "MPP"],
}


def test_marrow_cells_land_on_their_sorted_population(shared_data):
    folder = shared_data / "heme_scatac_peaks"
    marrow = anndata.read_h5ad(folder / "bmmc_scatac_10k_peaks.h5ad")
    reference = pd.read_csv(folder / "bulk_heme_signal_on_same_peaks.tsv.gz", sep="\t", index_col=0)
    sca.tl.project_bulk(marrow, reference)
    sca.tl.transfer_labels(marrow)
    sca.pp.lsi(marrow, n_components=20)
    sca.tl.smooth(marrow, keys="X_bulk", n_neighbors=25)
    sca.tl.transfer_labels(marrow, use_rep="X_bulk_smooth", reference="X_bulk", key_added="smooth")
    sca.tl.transfer_labels(marrow, reference, method="likelihood", key_added="likely")
    rows = {}
    for kind, own in OWN.items():
        obs = marrow.obs[marrow.obs["celltype"].astype(str).str.startswith(kind)]
        rows[kind] = {
            "alone": obs["label"].isin(own).mean(),
            "smoothed": obs["smooth"].isin(own).mean(),
            "likely": obs["likely"].isin(own).mean(),
            "correlation": obs["label_score"].median(),
        }
    table = pd.DataFrame(rows).T
    # correlation does not tell CD8 from CD4 and NK cells, which share most of the 10,000 peaks; likelihood does
    assert (table["alone"] > [0.85, 0.95, 0.85, 0.65, 0.25, 0.9]).all(), table
    assert (table["smoothed"] > [0.98, 0.88, 0.95, 0.9, 0.19, 0.9]).all(), table
    assert (table["likely"] > [0.93, 0.85, 0.95, 0.74, 0.6, 0.85]).all(), table
    assert (table["correlation"] > 0.65).all(), table
    cd8 = marrow.obs[marrow.obs["celltype"].astype(str).str.startswith("CD8")]
    assert cd8["likely"].value_counts().index[0] == "CD8"


def test_likelihood_equals_a_loop(cells, bulk):
    """The log of every accessible peak's share in a reference, mixed with the mean of all, against that mean."""
    cells.X[7] = 0
    cells.X[8] = cells.var_names == bulk.index[500]  # the peak that no reference has
    cells.layers["kept"], cells.X = cells.X, np.zeros_like(cells.X)
    bulk.iloc[500] = 0
    sca.tl.transfer_labels(cells, bulk, method="likelihood", layer="kept", background=0.3)
    shares = bulk.iloc[1:] / bulk.iloc[1:].sum()
    for i in (0, 99, 150):
        for name in bulk.columns:
            expected = 0.0
            for j in range(cells.n_vars):
                mean = shares.iloc[j].mean()
                if cells.layers["kept"][i, j] > 0 and mean > 0:
                    expected += np.log((0.7 * shares[name].iloc[j] + 0.3 * mean) / mean)
            assert cells.obsm["label_likelihood"][name].iloc[i] == pytest.approx(expected, rel=1e-5, abs=1e-5)
    ordered = np.sort(cells.obsm["label_likelihood"].to_numpy(), axis=1)
    ok = ~np.isin(np.arange(200), [7, 8])
    np.testing.assert_allclose(cells.obs["label_score"][ok], ordered[ok, -1])
    np.testing.assert_allclose(cells.obs["label_margin"][ok], ordered[ok, -1] - ordered[ok, -2], atol=1e-5)
    assert cells.obs["label"].iloc[[7, 8]].isna().all()
    assert cells.obs["label_margin"].iloc[[7, 8]].isna().all()
    assert (cells.obs["label"].astype(object) == cells.obs["type"].astype(object))[ok].mean() > 0.95


def test_references_of_one_label_count_as_one(cells, bulk):
    sca.tl.transfer_labels(cells, anndata.AnnData(bulk.T), method="likelihood")
    twice = bulk.set_axis(["A", "A", "C", "D"], axis=1)
    sca.tl.transfer_labels(cells, twice, method="likelihood", key_added="twice")
    table = cells.obsm["label_likelihood"]
    np.testing.assert_allclose(cells.obsm["twice_likelihood"]["A"], table[["A", "B"]].max(axis=1))
    assert list(cells.obsm["twice_likelihood"].columns) == ["A", "C", "D"]


def test_a_smoothed_embedding_names_its_reference(cells, bulk):
    sca.tl.project_bulk(cells, bulk)
    cells.obsm["X_bulk_smooth"] = cells.obsm["X_bulk"]
    with pytest.raises(KeyError, match=r"such as 'X_bulk'"):
        sca.tl.transfer_labels(cells, use_rep="X_bulk_smooth")
    sca.tl.transfer_labels(cells)
    sca.tl.transfer_labels(cells, use_rep="X_bulk_smooth", reference="X_bulk", key_added="again")
    assert cells.obs["again"].tolist() == cells.obs["label"].tolist()


def test_projection_errors(cells, bulk):
    with pytest.raises(ValueError, match="peaks in common"):
        sca.tl.project_bulk(cells, bulk.set_axis([f"x{i}" for i in range(len(bulk))]))
    with pytest.raises(ValueError, match="at least 3"):
        sca.tl.project_bulk(cells, bulk[["A", "B"]])
    with pytest.raises(ValueError, match="samples of the reference are alike in the 1,000 common peaks"):
        sca.tl.project_bulk(cells, pd.concat([bulk["A"]] * 3, axis=1, keys=list("ABC")))
    with pytest.raises(ValueError, match="missing, infinite or negative"):
        sca.tl.project_bulk(cells, bulk.where(bulk > bulk.median()))
    with pytest.raises(ValueError, match=r"1001 peaks more than once, such as 'chrX:1-2'"):
        sca.tl.project_bulk(cells, pd.concat([bulk, bulk]))
    with pytest.raises(ValueError, match="n_components is 0"):
        sca.tl.project_bulk(cells, bulk, n_components=0)
    with pytest.raises(KeyError, match="project_bulk"):
        sca.tl.transfer_labels(cells)
    cells.obsm["X_bulk"] = np.zeros((200, 2))
    with pytest.raises(ValueError, match="components"):
        sca.tl.transfer_labels(cells, reference=pd.DataFrame(np.eye(3), index=list("abc")))
    with pytest.raises(TypeError, match="method='likelihood'"):
        sca.tl.transfer_labels(cells, anndata.AnnData(bulk.T))
    with pytest.raises(ValueError, match="'correlation' or 'likelihood'"):
        sca.tl.transfer_labels(cells, bulk, method="cosine")
    with pytest.raises(ValueError, match="missing or infinite values"):
        sca.tl.transfer_labels(cells, pd.DataFrame([[1.0, np.nan], [1.0, 0.0]], index=["A", "B"]))


def test_likelihood_errors(cells, bulk):
    for reference in (None, "X_bulk"):
        with pytest.raises(TypeError, match="needs reference="):
            sca.tl.transfer_labels(cells, reference, method="likelihood")
    with pytest.raises(ValueError, match="background is 1"):
        sca.tl.transfer_labels(cells, bulk, method="likelihood", background=1)
    with pytest.raises(ValueError, match=r"without signal in the common peaks: \['C'\]"):
        sca.tl.transfer_labels(cells, bulk.assign(C=0), method="likelihood")
    with pytest.raises(ValueError, match="has 1 samples"):
        sca.tl.transfer_labels(cells, bulk[["A"]], method="likelihood")
    with pytest.raises(ValueError, match="negative values"):
        sca.tl.transfer_labels(cells, np.log2(bulk / bulk.mean()), method="likelihood")
    with pytest.raises(ValueError, match="0 peaks in common"):
        sca.tl.transfer_labels(cells, bulk.iloc[:0], method="likelihood")
    with pytest.raises(KeyError, match="There is no layer 'raw'"):
        sca.tl.transfer_labels(cells, bulk, method="likelihood", layer="raw")
    assert "label" not in cells.obs


def test_smoothing_what_has_no_mean_is_refused_and_writes_nothing(cells):
    cells.obsm["X_lsi"] = np.random.default_rng(0).normal(size=(200, 2))
    with pytest.raises(TypeError, match=r"\.obs\['type'\] holds category; expected numbers"):
        sca.tl.smooth(cells, keys=["X", "type"], n_neighbors=5)
    assert not cells.layers


def test_one_component_has_no_correlation(cells):
    cells.obsm["X_one"] = np.random.default_rng(0).normal(size=(cells.n_obs, 1))
    with pytest.raises(ValueError, match=r"obsm\['X_one'\] has 1 component"):
        sca.tl.transfer_labels(cells, pd.DataFrame([[1.0], [-1.0]], index=["B", "T"]), use_rep="X_one")


def test_more_components_than_the_reference_has_and_one_are_refused(cells, bulk):
    for n_components in (1, 4):
        with pytest.raises(ValueError, match=f"n_components is {n_components}; expected a whole number from 2 to 3"):
            sca.tl.project_bulk(cells, bulk, n_components=n_components)


def test_projection_holds_the_counts_twice_at_most():
    names = [f"chr1:{i}-{i + 1}" for i in range(3_000)]
    counts = sparse.random(2_000, 3_000, 0.3, format="csr", random_state=0, dtype=np.float32)
    adata = anndata.AnnData(counts, var=pd.DataFrame(index=names))
    reference = pd.DataFrame(np.random.default_rng(0).gamma(1, 10, (3_000, 4)), index=names, columns=list("abcd"))
    sca.tl.project_bulk(adata[:50].copy(), reference)
    tracemalloc.start()
    sca.tl.project_bulk(adata, reference)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 30 * counts.nnz
    present = (counts.toarray() > 0).astype(float)
    share = present / present.sum(1, keepdims=True)
    scores = (share - share.mean(0)) @ adata.uns["X_bulk"]["loadings"]
    scores = (scores - scores.mean(1, keepdims=True)) / scores.std(1, keepdims=True)
    np.testing.assert_allclose(adata.obsm["X_bulk"], scores, atol=1e-5)


@pytest.mark.parametrize("function", [sca.tl.project_bulk, partial(sca.tl.transfer_labels, method="likelihood")])
def test_columns_of_a_reference_that_describe_peaks_are_told(cells, bulk, function):
    with pytest.raises(ValueError, match="that hold no numbers, 'chrom', 'gene'; expected one column"):
        function(cells, bulk.assign(chrom="chr1", gene="A"))
    with pytest.raises(ValueError, match="The reference has missing"):
        function(cells, bulk.convert_dtypes().mask(bulk >= 0))


def test_numbers_of_a_reference_may_be_objects(cells, bulk):
    given = [
        sca.tl.project_bulk(cells, reference, copy=True).obsm["X_bulk"] for reference in (bulk, bulk.astype(object))
    ]
    np.testing.assert_array_equal(*given)
