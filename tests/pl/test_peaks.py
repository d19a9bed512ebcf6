from __future__ import annotations

import anndata
import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import pytest

import scatacworks as sca


@pytest.fixture
def adata():
    group = pd.Categorical(["A"] * 3 + ["B"], categories=["A", "B", "none"])
    table = pd.DataFrame({"group": group, "chrom": "chr1", "start": [0, 10, 20, 30], "end": [5, 30, 120, 90]})
    return anndata.AnnData(np.zeros((1, 0), np.float32), uns={"peaks": table.assign(max=[1.0, 2, 3, 4])})


def test_bars_are_the_numbers_of_peaks(adata):
    figure = sca.pl.peaks(adata, show=False)
    assert [bar.get_width() for bar in figure.axes[0].patches] == [3, 1, 0]
    assert [label.get_text() for label in figure.axes[0].get_yticklabels()] == ["A", "B", "none"]
    plt.close(figure)


@pytest.mark.parametrize("kind", [int, float, "category"])
def test_numbers_are_names_of_groups(adata, kind):
    adata.uns["peaks"]["group"] = pd.Series([1, 1, 1, 2]).astype(kind)
    figure = sca.pl.peaks(adata, groups=[1, "2"], show=False)
    assert [bar.get_width() for bar in figure.axes[0].patches] == [3, 1]
    assert [label.get_text() for label in figure.axes[0].get_yticklabels()] == ["1", "2"]
    plt.close(figure)


def test_medians_are_those_of_the_table(adata):
    figure = sca.pl.peaks(adata, groups=["A"], show=False)
    medians = [line.get_xdata()[0] for line in figure.axes[1].lines if line.get_color() == "white"]
    assert medians == [20]
    plt.close(figure)


def test_bad_input_is_explained(adata):
    with pytest.raises(KeyError, match="no group 'Z' among the peaks"):
        sca.pl.peaks(adata, groups=["Z"], show=False)
    with pytest.raises(KeyError, match=r"run sca\.tl\.call_peaks\(adata\) first"):
        sca.pl.peaks(adata, key="none", show=False)


@pytest.mark.parametrize("column", ["group", "start", "end", "max"])
def test_a_table_of_other_peaks_is_told_what_it_lacks(adata, column):
    adata.uns["peaks"] = adata.uns["peaks"].drop(columns=column)
    calls = [lambda: sca.pl.peaks(adata, show=False)]
    if column == "group":
        calls += [lambda: sca.get.peaks(adata, "A"), lambda: sca.pl.tracks(adata, "chr1:0-90", layers="peaks")]
        adata.uns["reference_sequences"] = sca.Genome({"chr1": 200}).to_frame()
    for call in calls:
        with pytest.raises(KeyError, match=rf"\.uns\['peaks'\] is no result of .*call_peaks.*: it lacks '{column}'"):
            call()


def test_the_peaks_of_many_groups_are_parted_once(monkeypatch):
    n = 30
    table = pd.DataFrame({"group": pd.Categorical([f"g{i % n}" for i in range(300)]), "chrom": "chr1"})
    table = table.assign(start=np.arange(300), end=np.arange(300) * 2 + 1, max=1.0)
    adata = anndata.AnnData(np.zeros((1, 1), np.float32), uns={"peaks": table})
    asked = []
    equal = pd.Series.__eq__
    monkeypatch.setattr(pd.Series, "__eq__", lambda *args: asked.append(1) or equal(*args))
    figure = sca.pl.peaks(adata, show=False)
    assert len(asked) < n
    medians = [line.get_xdata()[0] for line in figure.axes[1].lines if len(line.get_xdata()) == 2]
    width = (table["end"] - table["start"]).groupby(table["group"], observed=True).median()
    assert set(width) <= set(medians)


def test_a_table_without_peaks_is_drawn_empty(adata):
    adata.uns["peaks"] = adata.uns["peaks"].iloc[:0].assign(group=pd.Categorical([]))
    assert len(sca.pl.peaks(adata, show=False).axes) == 3
