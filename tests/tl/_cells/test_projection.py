import anndata
import numpy as np
import pandas as pd
import pytest
from scipy import sparse

import scatacworks as sca


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
    ok = np.arange(200) != 7
    found = cells.obs["label"].astype(object).where(cells.obs["label"].isin(["A", "B"]))
    assert (found == cells.obs["type"].astype(object))[ok].mean() > 0.7
    assert pd.isna(cells.obs["label"].iloc[7])
    assert cells.obs["label_margin"][ok].min() >= 0
    row = cells.obsm["label_correlation"].iloc[0]
    expected = np.corrcoef(cells.obsm["X_bulk"][0], cells.uns["X_bulk"]["scores"][1])[0, 1]
    assert row["B"] == pytest.approx(expected, abs=1e-5)


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
    rows = {}
    for kind, own in OWN.items():
        obs = marrow.obs[marrow.obs["celltype"].astype(str).str.startswith(kind)]
        rows[kind] = {
            "alone": obs["label"].isin(own).mean(),
            "smoothed": obs["smooth"].isin(own).mean(),
            "correlation": obs["label_score"].median(),
        }
    table = pd.DataFrame(rows).T
    # CD4 and CD8 cells are told apart by few of the 10,000 peaks; no type is asked for less than chance times three
    assert (table["alone"] > [0.85, 0.95, 0.9, 0.65, 0.25, 0.9]).all(), table
    assert (table["smoothed"] > [0.98, 0.88, 0.95, 0.9, 0.19, 0.95]).all(), table
    assert (table["correlation"] > 0.65).all(), table


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
