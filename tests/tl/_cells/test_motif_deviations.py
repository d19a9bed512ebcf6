import anndata
import numpy as np
import pandas as pd
import pytest
from scipy import sparse

import scatacworks as sca
from scatacworks._core.deviations import deviations
from scatacworks.io import Motif


def test_planted_sets_separate_the_types(cells):
    regions = {
        "A": cells.var.iloc[:100][["chrom", "start", "end"]],
        "null": cells.var.iloc[500:600][["chrom", "start", "end"]],
    }
    sca.tl.motif_deviations(cells, annotations=regions, progress=False)
    z = cells.obsm["motif_deviations_z"]
    assert z["A"][:100].mean() > 2
    assert z["A"][100:].mean() < -2
    assert abs(z["null"].mean()) < 0.5
    assert 0.7 < z["null"].std() < 1.4
    about = cells.uns["motif_deviations"]["annotations"].set_index("name")
    assert about.loc["A", ["n_peaks", "fraction_matches"]].tolist() == [100, pytest.approx(0.1, abs=0.001)]
    sca.tl.motif_variability(cells, n_bootstrap=100)
    table = cells.uns["motif_variability"]
    assert table["name"].tolist() == ["A", "null"]
    assert table["q_value"].iloc[0] < 1e-10
    assert (table["lower"] < table["variability"]).all()


def test_a_given_background_is_used(cells):
    background = np.random.default_rng(5).integers(0, 1000, (1000, 10))
    cells.varm["sets"] = pd.DataFrame(np.eye(1000)[:, :3] + 1.0, index=cells.var_names, columns=list("xyz"))
    sca.tl.motif_deviations(cells, annotations="sets", background=background, progress=False, n_jobs=2)
    expected = deviations(sparse.csr_matrix(cells.X), sparse.csr_matrix(cells.varm["sets"].to_numpy()), background)
    np.testing.assert_allclose(cells.obsm["motif_deviations_z"], expected[1], rtol=1e-4)


def test_motifs_in_sequences_and_gc(cells):
    rng = np.random.default_rng(0)
    gata = Motif("GATA", np.eye(4)[[0, 2, 0, 3, 0, 0, 2, 0]], factors=("GATA1",))
    cells.var["sequence"] = [
        "".join(rng.choice(list("CG"), 40)) + ("AGATAAGA" if i < 100 else "ATTGTAGT") for i in range(1000)
    ]
    del cells.var["gc"]
    sca.tl.motif_deviations(cells, annotations=[gata, gata], sequences="sequence", progress=False)
    assert cells.obsm["motif_deviations_z"].columns.tolist() == ["GATA", "GATA-1"]
    assert cells.var["gc"].iloc[0] == pytest.approx(42 / 48)
    assert cells.obsm["motif_deviations_z"]["GATA"][:100].mean() > 2


def test_empty_cells_and_few_counts_are_nan(cells, caplog):
    cells.X[0] = 0
    few = {"one": cells.var.iloc[[300]][["chrom", "start", "end"]]}
    sca.tl.motif_deviations(cells, annotations=few, progress=False)
    assert np.isnan(cells.obsm["motif_deviations"]["one"].iloc[0])
    assert "1 of 200 cells have no count" in caplog.text


def test_results_survive_h5ad_and_copy(cells, tmp_path):
    regions = {"NK/T": cells.var.iloc[:100][["chrom", "start", "end"]]}
    changed = sca.tl.motif_deviations(cells, annotations=regions, progress=False, copy=True)
    assert "motif_deviations" not in cells.obsm
    sca.tl.motif_variability(changed, n_bootstrap=10)
    del changed.obsm["motif_deviations"], changed.obsm["motif_deviations_z"]
    changed.write_h5ad(tmp_path / "a.h5ad")
    again = anndata.read_h5ad(tmp_path / "a.h5ad")
    assert again.uns["motif_deviations"]["annotations"]["name"].tolist() == ["NK/T"]


def test_errors(cells):
    with pytest.raises(KeyError, match=r"\.varm"):
        sca.tl.motif_deviations(cells)
    with pytest.raises(ValueError, match="annotations is empty"):
        sca.tl.motif_deviations(cells, annotations={})
    with pytest.raises(ValueError, match="sequences"):
        sca.tl.motif_deviations(cells, annotations=[Motif("x", np.full((4, 4), 0.25))])
    cells.varm["sets"] = np.ones((1000, 1))
    with pytest.raises(KeyError, match="accessibility alone"):
        sca.tl.motif_deviations(cells, annotations="sets", bias="nothing")
    for background, message in (
        (np.zeros((10, 5), int), r"shape \(10, 5\); expected 1000 rows"),
        (np.zeros((1000, 1), int), "at least 2 columns"),
        (np.full((1000, 5), 1000), "expected positions of peaks, 0 to 999"),
        (np.full((1000, 5), 0.5), "expected positions of peaks, 0 to 999"),
    ):
        with pytest.raises(ValueError, match=message):
            sca.tl.motif_deviations(cells, annotations="sets", bias=None, background=background)
    with pytest.raises(KeyError, match="motif_deviations"):
        sca.tl.motif_variability(cells)
    cells.X = -cells.X
    with pytest.raises(ValueError, match="negative or missing"):
        sca.tl.motif_deviations(cells, annotations="sets")


def test_sets_without_a_score_have_no_interval(cells):
    few = pd.DataFrame(np.eye(1000)[:, :1], index=cells.var_names, columns=["few"])
    cells.varm["sets"] = few.assign(many=1.0 * (np.arange(1000) < 100))
    sca.tl.motif_deviations(cells, annotations="sets", progress=False, minimum=5)
    sca.tl.motif_variability(cells, n_bootstrap=50)  # a warning is an error here
    table = cells.uns["motif_variability"].set_index("name")
    assert table.loc["few", ["lower", "upper"]].isna().all()
    assert table.loc["many", "lower"] < table.loc["many", "variability"] < table.loc["many", "upper"]


def test_variability_is_judged_by_the_cells_with_a_score():
    z = np.random.default_rng(0).normal(size=(500, 400))
    z[20:, 100:] = np.nan
    adata = anndata.AnnData(np.zeros((500, 1), np.float32))
    adata.obsm["motif_deviations_z"] = pd.DataFrame(z, adata.obs_names, [str(i) for i in range(400)])
    sca.tl.motif_variability(adata, n_bootstrap=0)
    table = adata.uns["motif_variability"]
    assert (table["p_value"][table["n_cells"] == 20] < 0.05).mean() == pytest.approx(0.05, abs=0.03)
