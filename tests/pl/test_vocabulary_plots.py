"""Plots of the vocabulary: artists, not pixels."""

from __future__ import annotations

import anndata
import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import pytest

import scatacworks as sca
from scatacworks._palette import COMPONENT_COLORS, component_colors
from scatacworks.pl._components import winner_order


@pytest.fixture(scope="module")
def index() -> anndata.AnnData:
    obs = pd.DataFrame({"system": ["blood"] * 6 + ["brain"] * 6}, index=[f"s{i}" for i in range(12)])
    index = anndata.AnnData(np.kron(np.eye(3, dtype=int), np.ones((4, 20), int)), obs=obs)
    index.X[0, 25] = 1
    sca.tl.vocabulary(index, n_components=3, progress=False)
    sca.tl.label_components(index, keys="system")
    sca.tl.saturation(index)
    sca.tl.vocabulary_scan(index, n_components=[1, 2, 3], progress=False)
    return index


def heights(ax: plt.Axes) -> np.ndarray:
    """Highest point of the stack at every bar."""
    top = np.zeros(len(ax.get_xticks()) or 200)
    for bars in ax.collections:
        for path in bars.get_paths():
            at = round(path.vertices[:4, 0].mean())
            top[at] = max(top[at], path.vertices[:, 1].max())
    return top


def test_bars_are_as_high_as_the_loadings(index):
    names = index.obs_names[[3, 7, 9]].tolist()
    figure = sca.pl.barcodes(index, names, axis="obs", sort=False, show=False)
    expected = index[names].obsm["X_vocabulary"].sum(axis=1)
    np.testing.assert_allclose(heights(figure.axes[0]), expected)
    assert [text.get_text() for text in figure.axes[0].get_xticklabels()] == names


def test_normalised_bars_are_one(index):
    figure = sca.pl.component_bars(index, groupby="system", normalize=True, show=False)
    np.testing.assert_allclose(heights(figure.axes[0]), 1)


@pytest.mark.parametrize("missing", [np.nan, None, ""])
def test_samples_without_a_group_are_left_out_and_counted(index, missing):
    index = index.copy()
    kinds = index.obs["system"].astype(object).to_numpy(copy=True)
    kinds[:2] = missing
    index.obs["system"] = kinds
    ax = sca.pl.component_bars(index, groupby="system", show=False).axes[0]
    names = [text.get_text() for text in ax.get_xticklabels()]
    assert sorted(names) == sorted(set(kinds[2:]))
    loadings = index.obsm["X_vocabulary"]
    expected = [loadings[np.array([kind == name for kind in kinds])].mean(axis=0).sum() for name in names]
    np.testing.assert_allclose(heights(ax), expected, rtol=1e-6)
    assert ax.get_xlabel() == "2 samples without system left out"


def test_unused_categories_and_whole_numbers_with_gaps_are_groups_by_their_names(index):
    index = index.copy()
    index.obs["cluster"] = np.where(np.arange(index.n_obs) == 0, np.nan, np.arange(index.n_obs) % 2)
    index.obs["kind"] = pd.Categorical(["a"] * index.n_obs, ["a", "b"])
    ax = sca.pl.component_bars(index, groupby="cluster", show=False).axes[0]
    assert sorted(text.get_text() for text in ax.get_xticklabels()) == ["0", "1"]
    assert ax.get_xlabel() == "1 sample without cluster left out"
    ax = sca.pl.component_bars(index, groupby="kind", show=False).axes[0]
    assert [text.get_text() for text in ax.get_xticklabels()] == ["a"]
    assert ax.get_xlabel() == ""


def test_columns_without_groups_are_refused(index):
    index = index.copy()
    index.obs["nothing"], index.obs["share"] = np.nan, np.linspace(0, 1, index.n_obs)
    with pytest.raises(ValueError, match="no category"):
        sca.pl.component_bars(index, groupby="nothing", show=False)
    with pytest.raises(ValueError, match="measurement"):
        sca.pl.component_bars(index, groupby="share", show=False)


def test_samples_are_sorted_by_winner_then_loading():
    loadings = np.array([[0, 1.0], [2, 0], [0, 0], [3, 1], [0, 5]])
    assert winner_order(loadings).tolist() == [3, 1, 4, 0, 2]


def test_component_colours_are_fixed_and_differ():
    assert len(set(COMPONENT_COLORS)) == 16
    names = [str(at) for at in range(40)]
    colors = component_colors({}, names)
    assert len(set(colors.values())) == 40
    assert list(colors.values())[:16] == list(COMPONENT_COLORS)


def test_labels_show_every_category(index):
    figure = sca.pl.component_labels(index, show=False)
    assert {text.get_text() for text in figure.axes[0].get_yticklabels()} == {"blood (6)", "brain (6)"}
    assert figure.axes[0].images[0].get_array().shape == (2, 3)


def test_curves_have_the_values(index):
    figure = sca.pl.vocabulary_scan(index, show=False)
    first = figure.axes[0].lines[0].get_ydata()
    np.testing.assert_allclose(first, index.uns["vocabulary_scan"]["summary"]["f1"])
    assert all(float(tick).is_integer() for tick in figure.axes[0].get_xticks())
    figure = sca.pl.saturation(index, show=False)
    lines = {line.get_label(): line for line in figure.axes[0].lines}
    np.testing.assert_allclose(lines["mean (exact)"].get_ydata(), index.uns["saturation"]["table"]["mean"])


def test_a_scan_of_one_size_is_drawn(index):
    sca.tl.vocabulary_scan(index, n_components=2, key_added="one", progress=False)
    figure = sca.pl.vocabulary_scan(index, key="one", show=False)
    assert figure.axes[0].lines[0].get_ydata() == pytest.approx(index.uns["one"]["summary"]["f1"].to_numpy())


@pytest.mark.parametrize("plot", ["barcodes", "component_bars", "component_labels", "saturation", "vocabulary_scan"])
def test_plots_draw_into_given_axes_and_name_what_is_missing(index, plot):
    _, ax = plt.subplots()
    assert getattr(sca.pl, plot)(index, ax=ax) is ax.figure
    with pytest.raises(KeyError, match=r"run (sca\.)?tl\."):
        getattr(sca.pl, plot)(anndata.AnnData(np.ones((2, 2))), show=False)


def test_unknown_names_are_told(index):
    with pytest.raises(KeyError, match="nobody"):
        sca.pl.barcodes(index, ["nobody"], axis="obs", show=False)
    with pytest.raises(KeyError, match="no column"):
        sca.pl.component_bars(index, groupby="organ", show=False)


@pytest.mark.parametrize(("n", "pixels"), [(60, False), (3_000, True)])
def test_bars_of_many_cells_are_pixels_in_vector_formats(n, pixels):
    cells = anndata.AnnData(np.zeros((n, 1), np.float32))
    cells.obsm["X_vocabulary"] = np.random.default_rng(0).random((n, 3))
    for figure in (sca.pl.component_bars(cells, show=False), sca.pl.barcodes(cells, axis="obs", n=n, show=False)):
        assert [bool(bars.get_rasterized()) for bars in figure.axes[0].collections] == [pixels] * 3


def test_bars_of_groups_are_the_means_of_their_cells():
    rng = np.random.default_rng(0)
    kind = rng.choice(["a", "b", "c", ""], 200)
    cells = anndata.AnnData(
        np.zeros((200, 1), np.float32), obs=pd.DataFrame({"kind": kind}, index=map(str, range(200)))
    )
    cells.obsm["X_vocabulary"] = rng.random((200, 1))
    figure = sca.pl.component_bars(cells, groupby="kind", show=False)
    expected = pd.Series(cells.obsm["X_vocabulary"][:, 0]).groupby(kind).mean().drop("")
    names = [text.get_text() for text in figure.axes[0].get_xticklabels()]
    np.testing.assert_allclose(heights(figure.axes[0]), expected[names])
