import anndata
import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import pytest

import scatacworks as sca


@pytest.fixture
def cells():
    rng = np.random.default_rng(0)
    bulk = pd.DataFrame(rng.gamma(1, 10, (60, 4)), columns=["B", "T", "NK", "Mono"])
    bulk.index = [f"chr1:{i}-{i + 1}" for i in range(60)]
    cells = anndata.AnnData(rng.poisson(1, (30, 60)).astype(np.float32))
    cells.var_names = bulk.index
    cells.obs["type"] = pd.Categorical(["NK/T"] * 20 + ["B"] * 10)
    sca.tl.project_bulk(cells, bulk)
    yield cells
    plt.close("all")


def test_cells_and_references_are_placed(cells):
    figure = sca.pl.projection(cells, color="type", components=(2, 3), return_fig=True)
    ax = figure.axes[0]
    assert [len(points.get_offsets()) for points in ax.collections] == [10, 20, 4]
    np.testing.assert_allclose(ax.collections[0].get_offsets(), cells.obsm["X_bulk"][20:, 1:3])
    np.testing.assert_allclose(ax.collections[2].get_offsets(), cells.uns["X_bulk"]["scores"][:, 1:3])
    assert [text.get_text() for text in ax.texts] == ["B", "T", "NK", "Mono"]
    assert ax.get_xlabel().startswith("component 2")


def test_names_of_references_that_lie_close_do_not_overlap(cells):
    scores = cells.uns["X_bulk"]["scores"]
    cells.uns["X_bulk"]["scores"] = scores[:1] + np.array([[0.0], [0.001], [0.002], [0.003]])
    figure = sca.pl.projection(cells, return_fig=True)
    figure.draw_without_rendering()
    boxes = [text.get_window_extent() for text in figure.axes[0].texts]
    assert not any(a.overlaps(b) for i, a in enumerate(boxes) for b in boxes[:i])


def test_cells_without_a_group_are_grey_and_counted(cells):
    cells.obs["type"] = cells.obs["type"].where(np.arange(30) >= 3)
    ax = sca.pl.projection(cells, color="type", return_fig=True).axes[0]
    assert [len(points.get_offsets()) for points in ax.collections] == [3, 10, 17, 4]
    assert [text.get_text() for text in ax.get_legend().get_texts()] == ["no type (3)", "B", "NK/T"]


def test_errors(cells):
    with pytest.raises(ValueError, match="components 1 to 3"):
        sca.pl.projection(cells, components=(1, 4))
    with pytest.raises(KeyError, match="nothing"):
        sca.pl.projection(cells, color="nothing")
    del cells.obsm["X_bulk"]
    with pytest.raises(KeyError, match="project_bulk"):
        sca.pl.projection(cells)


def test_new_figure_is_shown_and_given_axes_are_not(cells, monkeypatch):
    shown = []
    monkeypatch.setattr(plt, "show", lambda: shown.append(True))
    assert sca.pl.projection(cells) is None
    assert shown == [True]
    _, ax = plt.subplots()
    assert sca.pl.projection(cells, ax=ax) is ax.figure
    assert shown == [True]


def test_numbers_name_groups_as_everywhere(cells):
    cells.obs["cluster"] = np.where(np.arange(30) == 0, np.nan, np.arange(30) % 2)
    ax = sca.pl.projection(cells, color="cluster", return_fig=True).axes[0]
    assert [text.get_text() for text in ax.get_legend().get_texts()] == ["no cluster (1)", "0", "1"]
    cells.obs["score"] = np.linspace(0, 1, 30)
    with pytest.raises(ValueError, match=r"\.obs\['score'\] is a measurement"):
        sca.pl.projection(cells, color="score")


def test_many_groups_have_colours_of_their_own_and_a_legend_on_the_page(cells):
    cells.obs["cluster"] = pd.Categorical([f"cluster {i}" for i in range(30)])
    figure = sca.pl.projection(cells, color="cluster", return_fig=True)
    figure.canvas.draw()
    ax = figure.axes[0]
    colors = {tuple(points.get_facecolor()[0]) for points in ax.collections[:30]}
    assert len(colors) == 30
    box = ax.get_legend().get_window_extent()
    assert box.y0 >= 0
    assert box.x1 <= figure.bbox.x1
    assert ax.bbox.height > 0.7 * figure.bbox.height


def test_axes_of_a_part_of_a_figure_can_be_given(cells):
    part, _ = plt.figure().subfigures(1, 2)
    ax = part.subplots()
    sca.pl.projection(cells, ax=ax)
    assert len(ax.texts) == 4
