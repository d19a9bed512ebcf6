import anndata
import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import pytest

import scatacworks as sca


@pytest.fixture
def index():
    start = np.arange(300) * 1000
    var = pd.DataFrame({"chrom": "chr1", "start": start, "end": start + 200})
    var["component"] = np.r_[np.repeat(["A", "B"], 100), np.where(np.arange(100) % 2, "C", "D")]
    var.loc[7, "component"] = "single"
    index = anndata.AnnData(np.ones((1, 300), np.float32), var=var.set_index(var.index.astype(str)))
    yield index
    plt.close("all")


def test_observed_against_permutations(index):
    sca.tl.component_clustering(index, n_permutations=99, n_jobs=1)
    table = index.uns["component_clustering"]["components"].set_index("component").drop("single")
    table.loc["B", "p_value"] = index.uns["component_clustering"]["components"].loc["1", "p_value"] = 0.5
    ax = sca.pl.component_clustering(index, return_fig=True).axes[0]
    assert [label.get_text() for label in ax.get_yticklabels()] == list("ABCD")
    points = next(c for c in ax.collections if len(c.get_offsets()) == 4)
    np.testing.assert_allclose(points.get_offsets()[:, 0], table["mean_distance"] / 1e3)
    filled = (points.get_facecolors()[:, :3] < 1).any(axis=1)
    assert filled.tolist() == (table["p_value"] <= 0.05).tolist()
    assert filled.any()
    assert not filled[1]
    np.testing.assert_allclose([bar.get_x() + bar.get_width() / 2 for bar in ax.patches], table["expected"] / 1e3)
    np.testing.assert_allclose([bar.get_width() for bar in ax.patches], 4 * table["expected_sd"] / 1e3)
    assert [text.get_text() for text in ax.texts] == [f"{ratio:.2f}" for ratio in table["ratio"]]
    assert ax.get_xscale() == "log"


def test_one_permutation_has_no_spread_in_given_axes(index):
    sca.tl.component_clustering(index, n_permutations=1, n_jobs=1)
    _, ax = plt.subplots()
    assert sca.pl.component_clustering(index, ax=ax) is ax.figure
    assert [bar.get_width() for bar in ax.patches] == pytest.approx([0] * 4, abs=1e-9)


def test_errors(index):
    with pytest.raises(KeyError, match=r"sca\.tl\.component_clustering"):
        sca.pl.component_clustering(index)
    few = index[:, [0, 100, 200]].copy()
    sca.tl.component_clustering(few, n_permutations=2, n_jobs=1)
    with pytest.raises(ValueError, match="two elements"):
        sca.pl.component_clustering(few)
