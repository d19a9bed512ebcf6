import anndata
import numpy as np
import pandas as pd
import pytest

import scatacworks as sca
from scatacworks.io import Motif


@pytest.fixture
def index():
    rng = np.random.default_rng(0)
    n = 60
    var = pd.DataFrame({"chrom": ["chr2"] * 30 + ["chr10"] * 30, "start": np.tile(np.arange(30) * 1000, 2)})
    var["end"] = var["start"] + 150
    var["summit"] = var["start"] + 70
    var["core_start"], var["core_end"] = var["start"] + 60.0, var["start"] + 90.0
    var.loc[3, ["core_start", "core_end"]] = np.nan
    var["mean_signal"], var["n_samples"] = rng.random(n), rng.integers(1, 9, n)
    var["component"] = pd.Categorical(np.where(np.arange(n) < 30, "NK/T", "B"))
    var["sequence"] = ["CC" + "AGATAAGA" * (i % 2) + "CCCCCCCCCCC" for i in range(n)]
    var["identifier"] = [f"2.{i}" for i in range(n)]
    var.index = var["identifier"].to_numpy()
    index = anndata.AnnData(np.ones((1, n), np.float32), var=var)
    index.varm["X_vocabulary"] = rng.random((n, 2))
    genes = pd.DataFrame([["chr2", 5_000, 9_000, "AAA", "+"], ["chr2", 8_000, 20_000, "BBB", "-"]])
    sca.tl.gene_components(index, genes=genes.set_axis(["chrom", "start", "end", "name", "strand"], axis=1))
    gata = Motif("GATA", np.eye(4)[[0, 2, 0, 3, 0, 0, 2, 0]], factors=("AAA",))
    sca.tl.motif_enrichment(index, motifs=[gata], progress=False, n_jobs=1)
    sca.tl.tf_elements(index, exclusive=False)
    gwas = pd.DataFrame({"chrom": ["2"], "pos": [5_101], "p": [1e-9]})
    sca.tl.trait_enrichment(index, sumstats={"MONO": gwas, "LYMPH": gwas})
    return index


def test_all_annotations_are_joined(index):
    table = sca.get.components(index, loadings=True)
    assert list(table.columns[:4]) == ["chrom", "start", "end", "identifier"]
    assert len(table) == index.n_vars
    assert table.loc["2.8", "genes"] == "AAA;BBB"
    assert table.loc["2.40", "genes"] == ""
    assert table.loc["2.5", "motifs"] == "AAA"
    assert table.loc["2.6", "motifs"] == ""
    assert table.loc["2.5", "traits"] == "MONO;LYMPH"
    assert (table["traits"] != "").sum() == 1
    np.testing.assert_array_equal(table["loading 2"], index.varm["X_vocabulary"][:, 1])
    assert "genes" not in index.var


def test_bed_is_sorted_coloured_and_described(index, tmp_path, monkeypatch):
    index.uns["component_colors"] = ["#ff0000", "#00ff01"]
    monkeypatch.setattr("os.linesep", "\r\n")  # as on Windows
    sca.get.components(index, bed=tmp_path / "e.bed")
    bed = pd.read_csv(tmp_path / "e.bed", sep="\t", header=None, dtype={3: str})
    assert bed.shape == (60, 15)
    assert b"\r" not in (tmp_path / "e.bed").read_bytes()
    assert bed[0].tolist() == ["chr10"] * 30 + ["chr2"] * 30  # byte order, as bedToBigBed wants
    assert set(zip(bed[12], bed[8], strict=True)) == {("B", "255,0,0"), ("NK/T", "0,255,1")}
    row = bed[bed[3] == "2.3"].iloc[0]
    assert row[[6, 7]].tolist() == [3070, 3071]
    assert bed[bed[3] == "2.4"].iloc[0][[6, 7]].tolist() == [4060, 4091]  # its last position is 4090
    assert ((bed[6] >= bed[1]) & (bed[7] <= bed[2]) & (bed[4] <= 1000)).all()
    assert (tmp_path / "e.as").read_text().count(";") == 15
    # IGV takes columns 10 to 12 for blocks: it refuses the file, or draws something else, where they are not
    assert (bed[9] == 1).all()
    assert (bed[10] == bed[2] - bed[1]).all()
    assert (bed[11] == 0).all()


def test_bed_makes_a_bigbed(index, tmp_path):
    pybigtools = pytest.importorskip("pybigtools")
    sca.get.components(index, bed=tmp_path / "e.bed")
    rows = [line.split("\t", 3) for line in (tmp_path / "e.bed").read_text().splitlines()]
    writer = pybigtools.open(str(tmp_path / "e.bb"), "w")
    writer.write({"chr10": 10**6, "chr2": 10**6}, ((c, int(s), int(e), rest) for c, s, e, rest in rows))
    with pybigtools.open(str(tmp_path / "e.bb")) as handle:
        assert len(list(handle.records("chr2"))) == 30


def test_errors(index, tmp_path):
    with pytest.raises(KeyError, match="No labels"):
        sca.get.components(index, bed=tmp_path / "e.bed", component_key="nothing")
    del index.var["chrom"]
    with pytest.raises(KeyError, match="chrom"):
        sca.get.components(index)


def test_regions_have_the_motifs_of_the_element_beneath_them(index):
    regions = index.var.loc[["2.5", "2.6", "2.7"], ["chrom", "start", "end"]]
    regions.iloc[2, 1:] += 10**6
    before = regions.copy()
    found = sca.tl.annotate_regions(regions, index=index)
    assert found["motifs"].tolist() == ["AAA", "", ""]
    pd.testing.assert_frame_equal(regions, before)


def test_colours_are_any_that_matplotlib_knows(index, tmp_path):
    sca.get.components(index, bed=tmp_path / "c.bed", colors={"B": "red"})
    table = pd.read_csv(tmp_path / "c.bed", sep="\t", header=None)
    assert table.loc[table[12] == "B", 8].unique().tolist() == ["255,0,0"]
    with pytest.raises(ValueError, match="redd"):
        sca.get.components(index, bed=tmp_path / "d.bed", colors={"B": "redd"})
    assert not (tmp_path / "d.bed").exists()


def test_loadings_that_are_not_there_are_asked_for_in_vain(index):
    del index.varm["X_vocabulary"]
    with pytest.raises(KeyError, match=r"no loadings in \.varm\['X_vocabulary'\]; run sca\.tl\.vocabulary"):
        sca.get.components(index, loadings=True)
