import anndata
import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import pytest

import scatacworks as sca
from scatacworks.io import Motif


@pytest.fixture
def index():
    rng = np.random.default_rng(0)
    n = 300
    var = pd.DataFrame({"chrom": "chr1", "start": np.arange(n) * 1000, "component": np.repeat(["A", "B", "C"], 100)})
    var["end"] = var["start"] + 200
    var["sequence"] = ["".join(rng.choice(list("ACGT"), 30)) + ("AGATAAGA" if i < 60 else "") for i in range(n)]
    var.index = var.index.astype(str)
    index = anndata.AnnData(np.ones((1, n), np.float32), var=var)
    genes = pd.DataFrame(
        {"chrom": "chr1", "start": np.arange(10) * 30_000 + 2_000, "name": [f"g{i}" for i in range(10)]}
    )
    genes["end"], genes["strand"] = genes["start"] + 20_000, "+"
    sca.tl.gene_components(index, genes=genes)
    motifs = [Motif("GATA", np.eye(4)[[0, 2, 0, 3, 0, 0, 2, 0]], factors=("GATA1",)), Motif("x", np.eye(4)[[1] * 6])]
    sca.tl.motif_enrichment(index, motifs=motifs, progress=False, n_jobs=1)
    gwas = pd.DataFrame({"CHR": 1, "BP": np.arange(0, 90) * 1000 + 50, "P": np.logspace(-9, -1, 90)})
    sca.tl.trait_enrichment(index, sumstats={"MONO": gwas}, ld_blocks=1000)
    yield index
    plt.close("all")


def test_top_genes_have_a_bar_each_in_the_colour_of_their_component(index):
    index.uns["component_colors"] = ["#ff0000", "#00ff00", "#0000ff"]
    figure = sca.pl.gene_components(index, return_fig=True, n_top=2)
    ax = figure.axes[0]
    shown = [label.get_text() for label in ax.get_yticklabels()]
    table = index.uns["gene_components"]["genes"].set_index("name")["component"]
    assert len(shown) == 6
    assert [table[name] for name in shown] == ["A", "A", "B", "B", "C", "C"]
    assert ax.patches[0].get_facecolor()[:3] == (1, 0, 0)
    assert "p" in ax.get_xlabel()


def test_map_places_every_labelled_gene(index):
    figure = sca.pl.gene_components(index, kind="map", names=["g1"], return_fig=True)
    ax = figure.axes[0]
    labelled = (index.uns["gene_components"]["genes"]["component"] != "").sum()
    assert sum(len(points.get_offsets()) for points in ax.collections) == labelled
    assert [text.get_text() for text in ax.texts] == ["g1"]


def test_gene_sets_use_the_same_figure(index):
    sca.tl.gene_set_components(index, gene_sets={"first": ["g0", "g1", "g2"], "last": ["g7", "g8", "g9"]})
    figure = sca.pl.gene_components(index, key="gene_set_components", return_fig=True)
    assert [label.get_text() for label in figure.axes[0].get_yticklabels()] == ["first", "last"]


def test_motif_map_shows_components_and_factors(index):
    figure = sca.pl.motif_enrichment(index, return_fig=True)
    ax = figure.axes[0]
    assert [label.get_text() for label in ax.get_xticklabels()] == ["A", "B", "C"]
    assert "GATA1" in [label.get_text() for label in ax.get_yticklabels()]
    assert ax.images[0].get_array().shape == (2, 3)


def test_trait_lines_run_from_loose_to_strict_in_given_axes(index):
    _, ax = plt.subplots()
    sca.pl.trait_enrichment(index, "MONO", ax=ax)
    assert ax.get_xlim()[0] > ax.get_xlim()[1]
    assert {text.get_text() for text in ax.get_legend().get_texts()} == {"A", "B", "C"}


def cells_of(ax):
    """Values and dots of a heat map by trait and component."""
    traits, components = (
        [label.get_text() for label in labels] for labels in (ax.get_yticklabels(), ax.get_xticklabels())
    )
    values = pd.DataFrame(np.ma.filled(ax.images[0].get_array(), np.nan), traits, components)
    dots = {(traits[int(row)], components[int(column)]) for column, row in ax.collections[0].get_offsets()}
    return values, dots


def test_all_traits_are_a_heat_map_of_the_lowest_q_over_thresholds(index):
    places = {"FIRST": [0, 1], "LAST": [2], "FEW": [1]}  # blocks of 100 elements, one per component
    gwas = {}
    for trait, blocks in places.items():
        hit = np.concatenate([np.arange(100) + 100 * block for block in blocks])
        gwas[trait] = pd.DataFrame({"CHR": 1, "BP": hit * 1000 + 50, "P": 1e-9})
    gwas["FEW"] = gwas["FEW"][:2]  # not enough to be significant
    sca.tl.trait_enrichment(index, sumstats=gwas, ld_blocks=1000, thresholds=[1e-2, 1e-8, 1e-12])
    table = index.uns["trait_enrichment"]["table"]
    ax = sca.pl.trait_enrichment(index, show=False).axes[0]
    values, dots = cells_of(ax)
    assert list(values.columns) == ["A", "B", "C"]
    assert list(values.index) == ["FIRST", "FEW", "LAST"]  # by leading component
    for (trait, component), own in table.groupby(["trait", "component"]):
        assert values.loc[trait, component] == pytest.approx(-np.log10(own["q_value"].min()))
        assert ((trait, component) in dots) == (own["q_value"].min() <= 0.05)
    assert dots == {("FIRST", "A"), ("FIRST", "B"), ("LAST", "C")}
    assert "q ≤ 0.05" in [text.get_text() for text in ax.get_legend().get_texts()]
    _, none = cells_of(sca.pl.trait_enrichment(index, fdr=1e-200, show=False).axes[0])
    assert none == set()


def test_results_of_ldsc_are_a_heat_map_of_z(tmp_path):
    z = {"B": [0.5, -6.0, 1.0], "A": [-2.0, 1.0, 7.0], "C": [np.nan, 5.0, 4.0]}
    z = pd.DataFrame(z, index=["X", "Y", "Z"])
    files = {trait: tmp_path / f"{trait}.cell_type_results.txt" for trait in z.index}
    for trait, path in files.items():
        rows = {"Name": z.columns, "Coefficient": z.loc[trait] * 1e-8, "Coefficient_std_error": 1e-8}
        pd.DataFrame(rows).to_csv(path, sep="\t", index=False, na_rep="NA")
    table = sca.io.read_ldsc(files)
    figure, ax = plt.subplots()
    assert sca.pl.trait_enrichment(table, ax=ax) is figure
    values, dots = cells_of(ax)
    assert list(values.index) == ["X", "Z", "Y"]  # led by B, A, C
    assert list(values.columns) == ["B", "A", "C"]
    np.testing.assert_allclose(values, z.loc[values.index], rtol=1e-6)
    assert ax.images[0].get_clim() == (-7, 7)
    assert dots == {("Z", "A"), ("Z", "C"), ("Y", "C")}
    table.loc[table["coefficient_z"] < -5, "coefficient_z"] = -60
    assert sca.pl.trait_enrichment(table, show=False).axes[-1]._colorbar.extend == "min"
    with pytest.raises(ValueError, match="holds no trait"):
        sca.pl.trait_enrichment(table.iloc[:0])
    with pytest.raises(ValueError, match="no thresholds to show one trait over; leave trait out"):
        sca.pl.trait_enrichment(table, "X")
    with pytest.raises(KeyError, match="lacks the column.*coefficient_z.*expected that of io.read_ldsc"):
        sca.pl.trait_enrichment(table.drop(columns="coefficient_z"))
    plt.close("all")


def test_errors(index):
    with pytest.raises(KeyError, match="HEIGHT"):
        sca.pl.trait_enrichment(index, "HEIGHT")
    with pytest.raises(ValueError, match="kind"):
        sca.pl.gene_components(index, kind="pie")
    with pytest.raises(KeyError, match="no 'NOGENE' among the"):
        sca.pl.gene_components(index, kind="map", names=["NOGENE"])
    index.uns["gene_components"]["genes"]["component"] = ""
    with pytest.raises(ValueError, match="No entry"):
        sca.pl.gene_components(index)
    for name in ("gene_components", "motif_enrichment"):
        del index.uns[name]
        with pytest.raises(KeyError, match=f"sca.tl.{name}"):
            getattr(sca.pl, name)(index)
