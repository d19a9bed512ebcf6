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
    figure = sca.pl.saturation(index, show=False)
    lines = {line.get_label(): line for line in figure.axes[0].lines}
    np.testing.assert_allclose(lines["mean (exact)"].get_ydata(), index.uns["saturation"]["table"]["mean"])


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
