import anndata
import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import pytest

import scatacworks as sca

PARTS = ["promoter", "exon", "intron", "intergenic"]


@pytest.fixture
def table():
    rng = np.random.default_rng(1)
    table = pd.DataFrame({"chrom": "chr1", "start": np.arange(200), "end": np.arange(200) + 1})
    table["annotation"] = pd.Categorical(rng.choice(["promoter", "intron", "intergenic"], 200), PARTS)
    table["component"] = pd.Categorical(
        rng.choice(["Neural", "Lymphoid", ""], 200), ["Neural", "Lymphoid", "unused", ""]
    )
    table["repeat"] = rng.choice(["SINE", "LINE", ""], 200)
    table["direction"] = rng.choice(["up", "down"], 200)
    yield table.set_index(table.index.astype(str))
    plt.close("all")


def bars(ax):
    """Return left end and width of the bars by class and bar."""
    names = [label.get_text() for label in ax.get_yticklabels()]
    return {
        (container.get_label(), name): (patch.get_x(), patch.get_width())
        for container in ax.containers
        for name, patch in zip(names, container.patches, strict=True)
    }


def test_shares_of_gene_parts_stack_to_one_per_component(table):
    adata = anndata.AnnData(np.ones((1, 200), np.float32), var=table)
    ax = sca.pl.annotate_regions(adata, return_fig=True).axes[0]
    assert [label.get_text() for label in ax.get_yticklabels()] == ["all", "Neural", "Lymphoid"]
    assert [text.get_text() for text in ax.get_legend().get_texts()] == ["promoter", "intron", "intergenic"]
    found = bars(ax)
    own = {"all": table} | {name: table[table["component"] == name] for name in ("Neural", "Lymphoid")}
    for name, rows in own.items():
        shares = rows["annotation"].value_counts(normalize=True)
        left = 0
        for part in ("promoter", "intron", "intergenic"):
            np.testing.assert_allclose(found[part, name], (left, shares[part]))
            left += shares[part]
        assert left == pytest.approx(1)
    assert [text.get_text() for text in ax.texts] == [str(len(rows)) for rows in own.values()]


def test_other_classes_and_groups_of_a_table_in_given_axes(table):
    adata = anndata.AnnData(np.ones((1, 1), np.float32))
    adata.uns["differential_regions"] = table
    _, ax = plt.subplots()
    figure = sca.pl.annotate_regions(adata, key="differential_regions", column="repeat", groupby="direction", ax=ax)
    assert figure is ax.figure
    assert [label.get_text() for label in ax.get_legend().get_texts()] == ["LINE", "SINE", "none"]
    up = table[table["direction"] == "up"]["repeat"]
    assert bars(ax)["none", "up"][1] == pytest.approx((up == "").mean())


def test_one_bar_without_groups_is_shown(table, monkeypatch):
    shown = []
    monkeypatch.setattr(plt, "show", lambda: shown.append(1))
    assert sca.pl.annotate_regions(table.drop(columns="component")) is None
    assert shown == [1]
    assert [label.get_text() for label in plt.gca().get_yticklabels()] == ["all"]


def test_errors(table):
    with pytest.raises(KeyError, match="family"):
        sca.pl.annotate_regions(table, column="family")
    with pytest.raises(KeyError, match="lineage"):
        sca.pl.annotate_regions(table, groupby="lineage")
    with pytest.raises(KeyError, match="regions"):
        sca.pl.annotate_regions(anndata.AnnData(np.ones((1, 1), np.float32)), key="regions")
    with pytest.raises(ValueError, match="no region"):
        sca.pl.annotate_regions(table[:0])
