import anndata
import numpy as np
import pandas as pd
import pytest
from scipy import stats

import scatacworks as sca
from scatacworks.io import Motif
from scatacworks.tl._annotation._motif_matches import match, sequences_of

GATA = Motif("GATA", np.eye(4)[[0, 2, 0, 3, 0, 0, 2, 0]], factors=("GATA1",))
CTCF = Motif("CTCF", np.eye(4)[[1, 1, 0, 1, 1, 0, 2, 2, 2, 2, 2, 1]], factors=("CTCF",))


@pytest.fixture
def index():
    """GATA planted in half of component A, CTCF in half of everything."""
    rng = np.random.default_rng(0)
    n = 600
    sequences = ["".join(rng.choice(list("ACGT"), 80)) for _ in range(n)]
    component = np.repeat(["A", "B", "C"], n // 3)
    for i in range(0, 200, 2):
        sequences[i] = sequences[i][:30] + "TCTTATCT" + sequences[i][38:]  # reverse strand
    for i in range(1, n, 2):
        sequences[i] = sequences[i][:30] + "CCACCAGGGGGC" + sequences[i][42:]
    var = pd.DataFrame({"chrom": "chr1", "start": np.arange(n) * 1000, "sequence": sequences, "component": component})
    var["end"] = var["start"] + 80
    var.index = [f"e{i}" for i in range(n)]
    return anndata.AnnData(np.ones((1, n), np.float32), var=var)


def test_planted_motif_is_found_where_it_is(index):
    sca.tl.motif_enrichment(index, motifs=[GATA, CTCF], progress=False)
    table = index.uns["motif_enrichment"]["table"].set_index(["factor", "component"])
    assert table.loc[("GATA1", "A"), "q_value"] < 1e-20
    assert table.loc[("GATA1", "B"), "p_value"] > 0.5
    assert table.loc[("CTCF", "A"), "p_value"] > 0.05
    matches = index.varm["motif_matches"].toarray()
    assert matches[0:200:2, 0].all()
    assert matches[1::2, 1].all()


def test_motifs_of_one_name_are_told_apart(index, caplog):
    sca.tl.motif_enrichment(index, motifs=[GATA, Motif("GATA", CTCF.matrix)], progress=False)
    table = index.uns["motif_enrichment"]["table"]
    assert sorted(table["motif"]) == ["GATA"] * 3 + ["GATA-1"] * 3
    assert "'GATA' is called 'GATA-1'" in caplog.text


def test_p_equals_scipys_fisher(index):
    sca.tl.motif_enrichment(index, motifs=[GATA, CTCF], progress=False, p_value=1e-3)
    matches = index.varm["motif_matches"].toarray()
    for row in index.uns["motif_enrichment"]["table"].itertuples():
        has = matches[:, 0 if row.factor == "GATA1" else 1]
        own = (index.var["component"] == row.component).to_numpy()
        table = [[(has & own).sum(), (~has & own).sum()], [(has & ~own).sum(), (~has & ~own).sum()]]
        expected = stats.fisher_exact(table, alternative="greater")
        np.testing.assert_allclose(row.p_value, expected.pvalue, rtol=1e-9)
        np.testing.assert_allclose(row.odds_ratio, expected.statistic)


def test_matches_are_reused_for_another_grouping_and_unlabelled_elements_are_left_out(index):
    sca.tl.motif_enrichment(index, motifs=[GATA], progress=False)
    index.var["half"] = pd.Categorical(np.where(np.arange(600) < 300, "first", None), categories=["first", "second"])
    sca.tl.motif_enrichment(index, component_key="half", key_added="by_half")
    assert index.uns["by_half"]["table"]["n_component"].tolist() == [300]


def test_matches_never_come_under_the_names_of_other_motifs(index):
    sca.tl.motif_enrichment(index, motifs=[GATA], progress=False)
    before = index.varm["motif_matches"].copy()
    with pytest.raises(ValueError, match=r"matches of the motifs in \.uns\['motif_enrichment'\], and other motifs"):
        sca.tl.motif_enrichment(index, motifs=[CTCF], key_added="other", progress=False)
    assert (index.varm["motif_matches"] != before).nnz == 0
    sca.tl.motif_enrichment(index, motifs=[GATA], key_added="same", progress=False)
    sca.tl.motif_enrichment(index, motifs=[CTCF], progress=False)
    assert index.uns["motif_enrichment"]["motifs"].tolist() == ["CTCF"]


def test_fasta_equals_the_column(index, tmp_path):
    fasta = tmp_path / "g.fa"
    genome = ["N"] * 600_000
    for start, sequence in zip(index.var["start"], index.var["sequence"], strict=True):
        genome[start : start + 80] = sequence.lower()
    fasta.write_text(">1\n" + "".join(genome)[:599_000] + "\n")
    found = sequences_of(index.var, fasta, width=None)
    assert found[:-1] == index.var["sequence"].tolist()[:-1]
    assert found[-1] == "N" * 80
    around = sequences_of(index.var, fasta, width=100)
    assert around[0][:10] == "N" * 10
    assert around[0][10:90] == index.var["sequence"].iloc[0]


def test_short_and_unknown_sequences_never_match_and_are_counted(caplog):
    found = match(["", "AGATAAG", "AGATNAGA", "AGATAAGA", "NNNNAGATAAGANN"], [GATA, CTCF], p_value=1e-3, n_jobs=1)
    assert found.toarray()[:, 0].tolist() == [False, False, False, True, True]
    assert "2 of 5 sequences are shorter" in caplog.text


def test_similar_motifs_share_a_cluster(index):
    other = Motif("GATA.2", np.vstack([np.full((1, 4), 0.25), GATA.matrix]), factors=("GATA2",))
    sca.tl.motif_enrichment(index, motifs=[GATA, CTCF, other], progress=False)
    cluster = index.uns["motif_enrichment"]["table"].drop_duplicates("motif").set_index("motif")["cluster"]
    assert cluster["GATA"] == cluster["GATA.2"] != cluster["CTCF"]


def test_tf_elements_equal_sets(index, tmp_path):
    sca.tl.motif_enrichment(index, motifs=[GATA, CTCF], progress=False)
    genes = pd.DataFrame([["chr1", 50_000, 150_000, "Gata1", "+"], ["chr1", 450_000, 550_000, "CTCF", "-"]])
    genes.columns = ["chrom", "start", "end", "name", "strand"]
    sca.tl.gene_components(index, genes=genes)
    index.var["n_components"] = np.where(np.arange(600) % 4 == 0, 1, 2)
    sca.tl.tf_elements(index)
    matches = index.varm["motif_matches"].toarray()
    expected = {("Gata1", f"e{i}") for i in range(200) if matches[i, 0] and i % 4 == 0}
    expected |= {("CTCF", f"e{i}") for i in range(400, 600) if matches[i, 1] and i % 4 == 0}
    table = index.uns["tf_elements"]["table"]
    assert set(zip(table["factor"], table["element"], strict=True)) == expected
    (tmp_path / "f.bed").write_text("chr1\t0\t50000\n")
    sca.tl.tf_elements(index, footprints={"A": tmp_path / "f.bed"})
    table = index.uns["tf_elements"]["table"]
    near = {(factor, element) for factor, element in expected if factor == "Gata1" and int(element[1:]) < 50}
    assert set(zip(table["factor"], table["element"], strict=True)) == near


def test_errors(index):
    with pytest.raises(KeyError, match="neither a column"):
        sca.tl.motif_enrichment(index, motifs=[GATA], sequences="nowhere")
    with pytest.raises(KeyError, match="No motif matches"):
        sca.tl.motif_enrichment(index)
    with pytest.raises(TypeError, match="Motif"):
        sca.tl.motif_enrichment(index, motifs=[])
    with pytest.raises(ValueError, match="p_value is 0; expected a number between 0 and 1"):
        sca.tl.motif_enrichment(index, motifs=[GATA], p_value=0, progress=False)
    with pytest.raises(KeyError, match="gene_components"):
        sca.tl.tf_elements(index)


def test_expected_factors_lead_their_component(shared_data):
    """1,500 of the published elements with sequence: GATA in myeloid/erythroid, HNF in digestive, IRF in lymphoid."""
    table = pd.read_csv(shared_data / "dhs_meuleman2020" / "dhs_sample_16k.tsv.gz", sep="\t")
    table = table[table["component"].isin([13, 15, 5])].groupby("component").head(500)
    names = {13: "Digestive", 15: "Myeloid/erythroid", 5: "Lymphoid"}
    var = pd.DataFrame({"sequence": table["raw_sequence"], "component": table["component"].map(names)})
    index = anndata.AnnData(np.ones((1, len(var)), np.float32), var=var.set_index(var.index.astype(str)))
    motifs = sca.io.read_motifs(shared_data / "motifs" / "JASPAR2022_vertebrates.pfm")
    wanted = {"GATA1", "HNF4A", "RUNX1", "CTCF", "SOX10", "NEUROD1", "TEAD1", "SPI1", "Irf1"}
    chosen = [motif for motif in motifs if set(motif.factors) & wanted and len(motif.factors) == 1]
    sca.tl.motif_enrichment(index, motifs=chosen, progress=False)
    top = index.uns["motif_enrichment"]["table"].groupby("component")["factor"].first()
    assert top["Digestive"] == "HNF4A"
    assert top["Myeloid/erythroid"] in {"GATA1", "SPI1"}
    assert top["Lymphoid"] == "Irf1"


def test_factors_without_a_labelled_gene_are_said(index, caplog):
    genes = pd.DataFrame([["chr1", 0, 100_000, "OTHER", "+"]], columns=["chrom", "start", "end", "name", "strand"])
    sca.tl.gene_components(index, genes=genes)
    sca.tl.motif_enrichment(index, motifs=[GATA], progress=False)
    sca.tl.tf_elements(index, exclusive=False)
    assert "No factor with a motif has a gene with a label" in caplog.text


def test_a_width_is_of_no_use_to_sequences_that_are_given(index):
    with pytest.raises(ValueError, match=r"width=20 needs a FASTA file; the sequences in \.var\['sequence'\]"):
        sca.tl.motif_enrichment(index, motifs=[GATA], width=20, progress=False)
