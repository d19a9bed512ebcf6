import gzip

import anndata
import numpy as np
import pandas as pd
import pytest
from scipy import stats

import scatacworks as sca
from scatacworks.tl._annotation._enrichment import enrichment_table


def genes_every(spacing, length, n, chrom="chr1"):
    start = np.arange(n) * spacing + 10_000
    strand = np.where(np.arange(n) % 2, "-", "+")
    return pd.DataFrame(
        {"chrom": chrom, "start": start, "end": start + length, "name": [f"g{i}" for i in range(n)], "strand": strand}
    )


def test_counts_and_p_equal_a_loop_with_scipy(make_index):
    index = make_index(n=600)
    index.var.iloc[::7, index.var.columns.get_loc("component")] = np.nan
    genes = genes_every(9_000, 4_000, 12)
    sca.tl.gene_components(index, genes=genes)
    stored = index.uns["gene_components"]
    var, components = index.var.dropna(subset="component"), stored["components"].tolist()
    assert components == ["A", "B", "C", "D"]
    for row, gene in enumerate(stored["genes"].itertuples()):
        inside = (var["chrom"] == gene.chrom) & var["summit"].between(gene.landscape_start, gene.landscape_end - 1)
        for column, component in enumerate(components):
            own = var["component"] == component
            k, n = int((inside & own).sum()), int(inside.sum())
            share = float((own & ~inside).sum() / (~inside).sum())
            expected = stats.binomtest(k, n, share, alternative="greater").pvalue
            assert stored["counts"][row, column] == k
            np.testing.assert_allclose(10 ** stored["log10_p"][row, column], expected, rtol=1e-9)
            np.testing.assert_allclose(stored["enrichment"][row, column], k / (n * share))


def test_planted_gene_is_found_and_its_elements_are_concordant(make_index):
    index = make_index()
    inside = (index.var["chrom"] == "chr2") & index.var["start"].between(200_000, 235_000)
    index.var.loc[inside, "component"] = "C"
    genes = pd.concat([genes_every(25_000, 8_000, 20), genes_every(25_000, 8_000, 20, "chr2")])
    planted = pd.DataFrame({"chrom": ["chr2"], "start": [202_000], "end": [228_000], "name": ["X"], "strand": ["-"]})
    sca.tl.gene_components(index, genes=pd.concat([genes, planted], ignore_index=True))
    table = index.uns["gene_components"]["genes"].set_index("name")
    assert table.loc["X", "component"] == "C"
    assert table.loc["X", "concordant"] == 1
    assert (
        index.var.loc[inside & index.var["start"].between(205_000, 225_000), "gene_concordance"] == "concordant"
    ).all()


def test_null_p_is_uniform_or_larger():
    rng = np.random.default_rng(0)
    n = 60_000
    start = np.sort(rng.integers(0, 50_000_000, n))
    var = pd.DataFrame({"chrom": "chr1", "start": start, "end": start + 150})
    var["component"] = rng.choice(list("ABCD"), n)
    index = anndata.AnnData(np.ones((1, n), np.float32), var=var.set_index(var.index.astype(str)))
    sca.tl.gene_components(index, genes=genes_every(48_000, 40_000, 1000))
    stored = index.uns["gene_components"]
    p = 10 ** stored["log10_p"].ravel()
    for level in (0.01, 0.05, 0.2, 0.5):  # discrete tests: at most the level, and not far from it
        assert level * 0.6 < np.mean(p <= level) < level * 1.25
    assert stored["summary"]["n_labelled"] <= 2


def test_tss_variant_and_strand(make_index):
    index = make_index()
    genes = pd.DataFrame(
        {
            "chrom": ["chr1", "chr1"],
            "start": [50_000, 150_000],
            "end": [60_000, 160_000],
            "name": ["a", "b"],
            "strand": ["+", "-"],
        }
    )
    sca.tl.gene_components(index, genes=genes, tss=5000)
    table = index.uns["gene_components"]["genes"]
    assert table[["landscape_start", "landscape_end"]].values.tolist() == [[45_000, 55_001], [154_999, 165_000]]


def landscapes_of(index, names):
    table = index.uns["gene_components"]["genes"]
    return table[table["name"].isin(names)].itertuples()


def test_gene_sets_pool_each_element_once(make_index, tmp_path, caplog):
    index = make_index()
    genes = genes_every(20_000, 9_000, 30)
    overlapping = genes.iloc[[3]].assign(name="twin")
    genes = pd.concat([genes, overlapping], ignore_index=True)
    chosen = ["g1", "g3", "twin", "g9"]
    sca.tl.gene_components(index, genes=genes)
    for gene in landscapes_of(index, chosen):
        inside = (index.var["chrom"] == "chr1") & index.var["summit"].between(
            gene.landscape_start, gene.landscape_end - 1
        )
        index.var.loc[inside, "component"] = "B"
    sca.tl.gene_components(index, genes=genes)
    path = tmp_path / "sets.gmt"
    path.write_text("planted\tx\tG1\tg3\ttwin\tg9\tabsent\n\nnull\tx\tg15\tg17\nunknown\tx\tnobody\n")
    sca.tl.gene_set_components(index, gene_sets=path)
    stored = index.uns["gene_set_components"]
    table = stored["gene_sets"].set_index("name")
    assert table.index.tolist() == ["planted", "null"]
    assert "unknown" in caplog.text
    fewer = sca.tl.gene_set_components(index, gene_sets=path, min_genes=3, copy=True)
    assert fewer.uns["gene_set_components"]["gene_sets"]["name"].tolist() == ["planted"]
    assert table.loc["planted", ["n_genes", "n_known", "component"]].tolist() == [5, 4, "B"]
    inside = np.zeros(index.n_vars, bool)
    for gene in landscapes_of(index, chosen):
        inside |= (index.var["chrom"] == "chr1") & index.var["summit"].between(
            gene.landscape_start, gene.landscape_end - 1
        )
    assert table.loc["planted", "n_elements"] == inside.sum()
    own = index.var["component"] == "B"
    k, n, share = int((own & inside).sum()), int(inside.sum()), float((own & ~inside).sum() / (~inside).sum())
    expected = stats.binomtest(k, n, share, alternative="greater").pvalue
    np.testing.assert_allclose(10 ** stored["log10_p"][0, 1], expected, rtol=1e-8)
    sca.tl.gene_set_components(index, gene_sets=path, exact=True)
    stored = index.uns["gene_set_components"]
    fourfold = [[(own & inside).sum(), (~own & inside).sum()], [(own & ~inside).sum(), (~own & ~inside).sum()]]
    expected = stats.fisher_exact(fourfold, alternative="greater").pvalue
    np.testing.assert_allclose(10 ** stored["log10_p"][0, 1], expected, rtol=1e-8)


def test_a_set_with_much_of_the_genome_is_tested_as_others_are(make_index):
    index = make_index()
    genes = genes_every(20_000, 9_000, 50)
    sets = {"most": [f"g{i}" for i in range(45)], "few": ["g3"]}
    rng, low = np.random.default_rng(0), {"most": 0, "few": 0}
    index = index[:, index.var["chrom"] == "chr1"].copy()
    sca.tl.gene_components(index, genes=genes, upstream=6_000, downstream=6_000)
    for _ in range(200):
        index.var["component"] = rng.permutation(index.var["component"])
        sca.tl.gene_set_components(index, gene_sets=sets, exact=True)
        stored = index.uns["gene_set_components"]
        for name, log10_p in zip(stored["gene_sets"]["name"], stored["log10_p"], strict=True):
            low[name] += (log10_p < np.log10(0.05)).sum()
    n_tests = 200 * len(stored["components"])
    assert stored["counts"][0].sum() > 0.7 * index.n_vars
    assert low["most"] < 0.07 * n_tests
    assert low["few"] < 0.07 * n_tests


def test_results_survive_h5ad(make_index, tmp_path):
    index = make_index(n=400)
    sca.tl.gene_components(index, genes=genes_every(9_000, 4_000, 10))
    sca.tl.gene_set_components(index, gene_sets={"NK/T": ["g1", "g2"]})
    index.write_h5ad(tmp_path / "i.h5ad")
    again = anndata.read_h5ad(tmp_path / "i.h5ad")
    for key, name in (("gene_components", "genes"), ("gene_set_components", "gene_sets")):
        pd.testing.assert_frame_equal(
            again.uns[key][name], index.uns[key][name], check_dtype=False, check_categorical=False
        )
        np.testing.assert_array_equal(again.uns[key]["counts"], index.uns[key]["counts"])


def test_copy_leaves_the_input_untouched(make_index):
    index = make_index(n=400)
    changed = sca.tl.gene_components(index, genes=genes_every(9_000, 4_000, 10), copy=True)
    assert "gene_components" in changed.uns
    assert "gene_components" not in index.uns
    assert "gene_concordance" not in index.var


def test_errors(make_index, tmp_path):
    index = make_index(n=400)
    with pytest.raises(KeyError, match="run sca.tl.gene_components"):
        sca.tl.gene_set_components(index, gene_sets={"a": ["b"]})
    with pytest.raises(KeyError, match=r"sca\.tl\.vocabulary"):
        sca.tl.gene_components(index, genes=genes_every(9_000, 4_000, 10), component_key="nothing")
    with pytest.raises(ValueError, match="no chromosome in common"):
        sca.tl.gene_components(index, genes=genes_every(9_000, 4_000, 10, "chrQ"))
    sca.tl.gene_components(index, genes=genes_every(9_000, 4_000, 10))
    with pytest.raises(ValueError, match="None of the 1 gene sets"):
        sca.tl.gene_set_components(index, gene_sets={"a": ["b"]})
    (tmp_path / "bad.gmt").write_text("name only\n")
    with pytest.raises(ValueError, match="line 1"):
        sca.tl.gene_set_components(index, gene_sets=tmp_path / "bad.gmt")
    index.var["component"] = np.nan
    with pytest.raises(ValueError, match="empty for all"):
        sca.tl.gene_components(index, genes=genes_every(9_000, 4_000, 10))


def test_the_genes_of_a_set_are_a_list(make_index):
    index = make_index()
    sca.tl.gene_components(index, genes=genes_every(25_000, 8_000, 10))
    with pytest.raises(TypeError, match="The gene set 'one' is 'g1'; expected a list of genes"):
        sca.tl.gene_set_components(index, gene_sets={"two": ["g1", "g2"], "one": "g1"})


def test_gene_sets_may_be_gzipped(make_index, tmp_path):
    index = make_index()
    sca.tl.gene_components(index, genes=genes_every(25_000, 8_000, 10))
    (tmp_path / "s.gmt.gz").write_bytes(gzip.compress(b"two\tof them\tg1\tg2\n"))
    sca.tl.gene_set_components(index, gene_sets=tmp_path / "s.gmt.gz")
    assert index.uns["gene_set_components"]["gene_sets"]["n_known"].tolist() == [2]


def test_genes_of_a_set_that_differ_by_case_are_two():
    from scatacworks.tl._annotation.gene_set_components import _membership

    names = pd.Series(["dl", "Dl", "wg", "N"])
    sets = {"signal": ["Dl", "WG"], "axis": ["dl", "n"]}
    kept, members, _ = _membership(sets, names, 1)
    assert kept == ["signal", "axis"]
    assert members.toarray().tolist() == [[0, 1, 1, 0], [1, 0, 0, 1]]


def test_a_gene_set_that_is_there_twice_is_told(make_index, tmp_path):
    index = make_index(n=400)
    sca.tl.gene_components(index, genes=genes_every(9_000, 4_000, 10))
    path = tmp_path / "sets.gmt"
    path.write_text("B\tx\tg1\nT\tx\tg2\nB\tx\tg3\n")
    with pytest.raises(ValueError, match=r"sets\.gmt, line 3: the gene set 'B' is there twice"):
        sca.tl.gene_set_components(index, gene_sets=path)
    path.write_text("B\tx\tg1 \t g3\t\n")
    sca.tl.gene_set_components(index, gene_sets=path)
    assert index.uns["gene_set_components"]["gene_sets"]["n_known"].tolist() == [2]
    index.uns["other"] = {"genes": index.uns["gene_components"]["genes"]}
    with pytest.raises(KeyError, match="is no result of .* it lacks 'params'"):
        sca.tl.gene_set_components(index, gene_sets=path, genes_key="other")


def test_a_component_with_hardly_any_element_is_not_called_by_chance():
    rng = np.random.default_rng(0)
    labels = np.r_[0, 1, rng.integers(2, 8, 498)]  # the first two have one element each
    counts = np.array([np.bincount(labels[rng.random(500) < 0.05], minlength=8) for _ in range(500)])
    result = enrichment_table(counts, labels)
    assert (counts[:, :2] > 0).sum() > 20
    assert not (result["q_value"] <= 0.05).any()
    row = int(counts[:, 0].argmax())
    expected = stats.binom.sf(0, counts[row].sum(), 1 / 500)
    assert 10 ** result["log10_p"][row, 0] == pytest.approx(expected)
