import anndata
import numpy as np
import pandas as pd
import pytest

import scatacworks as sca

mudata = pytest.importorskip("mudata")


def test_a_mudata_gives_the_same_in_its_modality(cells):
    regions = {"A": cells.var.iloc[:100][["chrom", "start", "end"]]}
    variants = cells.var.iloc[:50][["chrom", "start"]].assign(end=lambda t: t["start"] + 1, posterior=0.5)
    cells.obsm["X_lsi"] = np.random.default_rng(0).normal(size=(200, 2))
    bulk = pd.DataFrame(np.random.default_rng(1).random((1000, 4)), index=cells.var_names, columns=list("abcd"))
    rna = cells[:, :5].copy()
    rna.var_names = [f"gene{i}" for i in range(5)]
    both = mudata.MuData({"atac": cells.copy(), "rna": rna})
    index = anndata.AnnData(np.random.default_rng(2).integers(0, 2, (8, 1000)), var=cells.var)
    sca.tl.vocabulary(index, n_components=3, progress=False)
    for data in (cells, both):
        sca.tl.project_vocabulary(data, index, method="poisson")
        sca.tl.motif_deviations(data, annotations=regions, progress=False)
        sca.tl.motif_variability(data, n_bootstrap=10)
        sca.tl.trait_scores(data, variants={"t": variants}, n_background=10, progress=False)
        sca.tl.project_bulk(data, bulk)
        sca.tl.transfer_labels(data)
        sca.tl.smooth(data, keys="X", n_neighbors=5)
    own = both.mod["atac"]
    for key in ("motif_deviations_z", "trait_scores", "X_bulk", "X_vocabulary"):
        np.testing.assert_array_equal(np.asarray(own.obsm[key]), np.asarray(cells.obsm[key]))
    np.testing.assert_array_equal(own.layers["X_smooth"], cells.layers["X_smooth"])
    with pytest.raises(KeyError, match="no modality 'rnaX'"):
        sca.tl.smooth(both, keys="X", mod="rnaX")


def test_an_embedding_and_groups_of_all_modalities_are_those_of_the_mudata(cells):
    rna = cells[::-1, :5].copy()  # in another order
    rna.var_names = [f"gene{i}" for i in range(5)]
    rna.obs["kind"] = pd.Categorical(np.where(np.arange(200) < 80, "first", "second"))
    both = mudata.MuData({"atac": cells.copy(), "rna": rna})
    own = both.mod["atac"]
    points = pd.DataFrame(np.random.default_rng(0).normal(size=(200, 2)), index=cells.obs_names)
    both.obsm["X_joint"] = points.loc[both.obs_names].to_numpy()
    cells.obsm["X_joint"] = points.to_numpy()
    cells.obs["rna:kind"] = rna.obs["kind"].reindex(cells.obs_names)
    near = cells.var.iloc[:50][["chrom", "start"]].assign(end=lambda t: t["start"] + 1, posterior=0.5)
    for data in (cells, both):
        sca.pp.knn_groups(data, use_rep="X_joint", n_neighbors=5)
        sca.tl.smooth(data, keys="X", use_rep="X_joint", n_neighbors=5)
        sca.tl.trait_scores(
            data, variants={"t": near}, use_rep="X_joint", groupby="rna:kind", propagate=True, n_background=10,
            n_permutations=20, progress=False,
        )  # fmt: skip
    assert (own.obsm["knn_groups"] != cells.obsm["knn_groups"]).nnz == 0
    np.testing.assert_array_equal(own.layers["X_smooth"], cells.layers["X_smooth"])
    np.testing.assert_array_equal(own.obsm["trait_scores_propagated"], cells.obsm["trait_scores_propagated"])
    pd.testing.assert_frame_equal(own.uns["trait_scores"]["groups"], cells.uns["trait_scores"]["groups"])
    assert "X_joint" not in own.obsm  # no copy that could grow old
    with pytest.raises(KeyError, match=r"no embedding .obsm\['X_other'\]; there are \['X_joint', 'knn_groups'"):
        sca.tl.smooth(both, keys="X", use_rep="X_other")
    with pytest.raises(KeyError, match="no embedding"):  # there mudata has which cells the modality has
        sca.tl.smooth(both, keys="X", use_rep="rna")


def test_cells_that_a_mudata_has_not_taken_up_have_no_embedding(cells):
    both = mudata.MuData({"atac": cells[:150].copy()})
    both.obsm["X_joint"] = np.ones((150, 2))
    both.mod["atac"] = cells.copy()  # without both.update()
    with pytest.raises(ValueError, match="not finite in 50 cells"):
        sca.tl.smooth(both, keys="X", use_rep="X_joint", n_neighbors=5)
