"""Figures of training and scores."""

from __future__ import annotations

import anndata
import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import pytest
from matplotlib.colors import to_rgb

import scatacworks as sca


def test_training_draws_one_line_per_depth():
    history = pd.DataFrame(
        {"step": [1, 2], "loss": [1.0, 0.5], "auprc_1M": [0.1, 0.2], "auprc_5M": [0.3, 0.5], "pearson_1M": [0.1, 0.3]}
    )
    figure = sca.pl.training(history, return_fig=True)
    assert [len(ax.lines) for ax in figure.axes] == [1, 2, 1]
    assert figure.axes[1].get_ylabel() == "AUPRC"
    assert [text.get_text() for text in figure.legends[0].get_texts()] == ["1M", "5M"]
    with pytest.raises(KeyError, match="no column of 'auroc'"):
        sca.pl.training(history, metrics=["auroc"])


def test_metrics_draws_one_column_per_method():
    table = pd.DataFrame({"method": ["raw", "raw", "denoised"], "auprc": [0.1, 0.3, 0.9]})
    figure = sca.pl.metrics(table, metrics=["auprc"], return_fig=True)
    assert [t.get_text() for t in figure.axes[0].get_xticklabels()] == ["raw", "denoised"]
    with pytest.raises(KeyError, match="'f1'"):
        sca.pl.metrics(table, metrics=["f1"])


def test_depth_curve_has_a_log_axis_and_a_band():
    table = pd.DataFrame({"method": ["raw"] * 2, "depth": [5e6, 1e6], "auprc": [0.7, 0.4]})
    table["low"], table["high"] = table["auprc"] - 0.1, table["auprc"] + 0.1
    figure, ax = plt.subplots()
    assert sca.pl.depth_curve(table, ax=ax) is figure
    assert ax.get_xscale() == "log"
    assert list(ax.lines[0].get_xdata()) == [1e6, 5e6]
    assert len(ax.collections) == 1


def test_depth_curve_tells_models_and_groups_apart():
    rows = [
        {"method": method, "group": group, "depth": depth, "auprc": score + depth / 1e7}
        for method in ("raw", "one", "two")
        for group in "AB"
        for depth in (5e6, 1e6)
        for score in (0.1, 0.3)  # of two blocks
    ]
    ax = sca.pl.depth_curve(pd.DataFrame(rows), return_fig=True).axes[0]
    assert len(ax.lines) == 6
    assert len({line.get_color() for line in ax.lines}) == 3
    assert [text.get_text() for text in ax.get_legend().get_texts()] == ["raw", "one", "two"]
    assert ax.lines[0].get_xydata().tolist() == [[1e6, pytest.approx(0.3)], [5e6, pytest.approx(0.7)]]


def test_the_legend_of_a_depth_curve_leaves_the_lines_free():
    rows = [(m, 10.0**d, 0.1 * d + 0.1 * i) for i, m in enumerate(["raw", "one", "two", "three"]) for d in range(4, 8)]
    figure = sca.pl.depth_curve(pd.DataFrame(rows, columns=["method", "depth", "auprc"]), return_fig=True)
    figure.canvas.draw()
    ax = figure.axes[0]
    assert ax.get_legend().get_window_extent().x0 >= ax.bbox.x1


def test_inks_are_light_on_a_dark_background():
    table = pd.DataFrame({"n_components": [1, 2], "f1": 0.5, "auprc": 0.5, "precision": 0.5, "recall": 0.5})
    index = anndata.AnnData(np.zeros((1, 1)))
    index.uns["vocabulary_scan"] = {"summary": table.assign(f1_gain=0.1), "boundary": 0.35}
    levels = {}
    for style in ("default", "dark_background"):
        with plt.style.context(style):
            figure = sca.pl.vocabulary_scan(index, show=False)
        figure.axes[0].set_xticks([1, 1.5, 2])  # a tick more than there was
        figure.draw_without_rendering()
        axes = figure.axes
        texts = [ax.yaxis.label for ax in axes] + [text for ax in axes for text in ax.get_xticklabels()]
        inks = [text.get_color() for text in texts] + [axes[0].spines["left"].get_edgecolor()]
        levels[style] = [np.mean(to_rgb(ink)) for ink in inks]
    assert max(levels["default"]) < 0.5 < min(levels["dark_background"])
