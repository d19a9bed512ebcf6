import gzip

import numpy as np
import pandas as pd
import pytest

from scatacworks.io import Motif, read_motifs

JASPAR = ">MA0004.1 Arnt::HIF1A\nA  [ 4 19  0 ]\nC  [16  0 20 ]\nG  [ 0  1  0 ]\nT  [ 0  0  0 ]\n"
PFM = ">MA0004.1_MA0004.1.Arnt::HIF1A\n4 16 0 0\n19 0 1 0\n0 20 0 0\n"
MEME = """\
MEME version 4

ALPHABET= ACGT

MOTIF MA0004.1 Arnt::HIF1A
letter-probability matrix: alength= 4 w= 3 nsites= 20 E= 0
 0.20 0.80 0.00 0.00
 0.95 0.00 0.05 0.00
 0.00 1.00 0.00 0.00
URL http://example.org
"""


@pytest.mark.parametrize("text", [JASPAR, PFM, MEME])
def test_three_forms_give_one_motif(tmp_path, text):
    (tmp_path / "m.txt").write_text(text)
    (motif,) = read_motifs(tmp_path / "m.txt")
    np.testing.assert_allclose(motif.matrix, [[0.2, 0.8, 0, 0], [0.95, 0, 0.05, 0], [0, 1, 0, 0]])
    assert motif.factors == ("Arnt", "HIF1A")
    assert len(motif) == 3


def test_gzip_and_factor_table(tmp_path):
    (tmp_path / "m.pfm.gz").write_bytes(gzip.compress(b">GM.1\n1 0 0 0\n0 1 0 0\n"))
    (tmp_path / "f.txt").write_text(
        "GM.1\tFactor\tEvidence\n# more\n\nGM.1\tSOX9\tx\nGM.1\tMA0001.1.SRY::TBP\ty\nGM.1\tSOX9\tz\n"
    )
    (motif,) = read_motifs(tmp_path / "m.pfm.gz", factors=tmp_path / "f.txt")
    assert motif.factors == ("SOX9", "SRY", "TBP")


def test_repeated_names_are_told_apart(tmp_path, caplog):
    (tmp_path / "m.pfm").write_text("# all\n\n>GATA1\n1 0 0 0\n\n>SPI1\n1 0 0 0\n>GATA1\n0 1 0 0\n>GATA1\n0 0 1 0\n")
    motifs = read_motifs(tmp_path / "m.pfm")
    assert [motif.name for motif in motifs] == ["GATA1", "SPI1", "GATA1-1", "GATA1-2"]
    assert [int(motif.matrix[0].argmax()) for motif in motifs] == [0, 0, 1, 2]
    assert "2 of the 4 motifs of" in caplog.text
    assert "'GATA1' is called 'GATA1-1'" in caplog.text


def test_whole_collections(shared_data):
    folder = shared_data / "motifs"
    jaspar = read_motifs(folder / "JASPAR2022_vertebrates.pfm")
    assert len(jaspar) == 838
    assert {"GATA1", "CTCF", "HNF4A"} <= {factor for motif in jaspar for factor in motif.factors}
    with_table = read_motifs(
        folder / "gimme.vertebrate.v5.0.pfm", factors=folder / "gimme.vertebrate.v5.0.motif2factors.txt"
    )
    assert len(with_table) == 1796
    assert sum(bool(motif.factors) for motif in with_table) == 1690


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("chr1\t1\t5\n", "not a motif file"),
        (">empty\n>next\n1 0 0 0\n", "length zero"),
        (">bad\n1 0 0\n", "four numbers"),
        (">bad\n1 0 0 x\n", "expected numbers"),
        (">bad\n0 0 0 0\n1 0 0 0\n0 0 0 0\n", "position 1 has a negative"),
        (">bad\n1 0 0 0\n2 -1 0 0\n", "position 2 has a negative"),
        (MEME.replace("0.95", "19"), "sums to"),
        (MEME.replace(" 0.00 1.00 0.00 0.00\n", ""), r"has 2 positions, but should have 3 \(w=\); is the file cut"),
        (">\n1 0 0 0\n", r"no name after its '>', the one that begins with \[1\.0, 0\.0, 0\.0, 0\.0\]"),
    ],
)
def test_bad_motifs_are_named(tmp_path, text, message):
    (tmp_path / "m.txt").write_text(text)
    with pytest.raises(ValueError, match=message):
        read_motifs(tmp_path / "m.txt")


@pytest.mark.parametrize(
    ("matrix", "message"),
    [
        (np.array([[0, 0, 20, 0], [18, 2, 0, 0]]), "Divide counts by their sum"),
        (np.log2([[0.1, 0.1, 0.1, 0.7]]) + 2, "expected probabilities"),
        ([[1, np.nan, 0, 0]], "expected probabilities"),
        (np.eye(4)[:, :3], r"has the shape \(4, 3\); expected a row per position"),
        (np.empty((0, 4)), r"has the shape \(0, 4\)"),
        (pd.DataFrame(np.eye(4), columns=list("TGCA")), r"the columns \['T', 'G', 'C', 'A'\]"),
    ],
)
def test_a_matrix_without_probabilities_makes_no_motif(matrix, message):
    with pytest.raises(ValueError, match=message):
        Motif("M", matrix)


def test_tables_and_lists_make_the_motif_that_an_array_does():
    array = np.eye(4)[[2, 0, 3, 0]]
    tables = [pd.DataFrame(array, columns=list(columns)) for columns in ("ACGT", "acgt", range(4))]
    for given in (array.tolist(), *tables, array.astype(int)):
        np.testing.assert_array_equal(Motif("GATA", given).matrix, array)
    with pytest.raises(TypeError, match="factors of the motif 'GATA' is 'GATA1'; expected a tuple"):
        Motif("GATA", array, factors="GATA1")
