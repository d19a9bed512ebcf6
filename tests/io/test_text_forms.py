"""Text files as they come from other programs: compressed or not, with marks and line ends of other systems."""

from __future__ import annotations

import gzip
import os
from codecs import BOM_UTF8
from pathlib import Path

import anndata as ad
import pandas as pd
import pytest

import scatacworks as sca
from scatacworks.cli._groups import read_groups
from scatacworks.io._barcode_files import read_cell_table

SIZES = {"chr1": 1_000, "chr2": 500}
_GENE = 'gene_id "g1"; transcript_id "t1"; gene_name "A";'
_READERS = {
    "fragments.tsv": (
        lambda path: sca.io.read_fragments(path, genome=SIZES, min_fragments=1, progress=False, n_jobs=1).obs,
        "chr1\t10\t50\tAAACGGGT-1\t1\nchr1\t20\t60\tTTTGAAAC-1\t2\nchr2\t5\t9\tAAACGGGT-1\t1\n",
    ),
    "barcodes.txt": (read_cell_table, "AAACGGGT-1\nTTTGAAAC-1\n"),
    "table.csv": (read_cell_table, "barcode,n\nAAACGGGT-1,3\nTTTGAAAC-1,4\n"),
    "groups.tsv": (lambda path: read_groups(Path(path)), "barcode\tcell_type\nAAACGGGT-1\tB\nTTTGAAAC-1\tT\n"),
    "peaks.bed": (sca.io.read_peaks, "#chrom\tstart\tend\tdepth\nchr1\t10\t50\t3\nchr2\t5\t9\t4\n"),
    "genes.gtf": (sca.io.read_genes, f"#!x\nchr1\tx\texon\t11\t100\t.\t+\t.\t{_GENE}\n"),
    "genes.bed": (sca.io.read_genes, "chr1\t10\t100\tA\t0\t+\n"),
    "motifs.pfm": (
        lambda path: pd.DataFrame([(m.name, m.matrix.tolist()) for m in sca.io.read_motifs(path)]),
        ">MA0035.4 GATA1\n0 0 10 0\n10 0 0 0\n",
    ),
    "motifs.meme": (
        lambda path: pd.DataFrame([(m.name, m.matrix.tolist()) for m in sca.io.read_motifs(path)]),
        "MEME version 4\n\nMOTIF GATA1\nletter-probability matrix: alength= 4 w= 2\n0 0 1 0\n1 0 0 0\n",
    ),
    "index.txt": (sca.io.read_dhs_index, "seqname\tstart\tend\tnumsamples\nchr1\t10\t20\t3\n"),
    "genome.bed": (lambda path: sca.Genome(SIZES, genes=path).genes, "chr1\t10\t100\tA\t0\t+\n"),
    "t.results": (
        lambda path: sca.io.read_ldsc({"trait": path}),
        "Name\tCoefficient\tCoefficient_std_error\tCoefficient_P_value\nLymphoid\t2e-8\t1e-8\t0.02\n",
    ),
    "x.chrom.sizes": (lambda path: sca.Genome(path).to_frame(), "chr1\t1000\nchr2\t500\n"),
}
_FORMS = {
    "byte order mark": lambda text: BOM_UTF8 + text,
    "Windows": lambda text: text.replace(b"\n", b"\r\n"),
    "both, compressed": lambda text: gzip.compress(BOM_UTF8 + text.replace(b"\n", b"\r\n")),
    "no last line feed": lambda text: text.rstrip(b"\n"),
}


@pytest.mark.parametrize("form", _FORMS)
@pytest.mark.parametrize("name", _READERS)
def test_a_file_is_the_same_in_every_form(name, form, tmp_path):
    read, text = _READERS[name]
    (tmp_path / name).write_text(text)
    expected = read(tmp_path / name)
    assert len(expected)
    (tmp_path / name).write_bytes(_FORMS[form](text.encode()))
    pd.testing.assert_frame_equal(read(tmp_path / name), expected)


@pytest.mark.parametrize("ending", [".gz", ".bgz", ".GZ"])
@pytest.mark.parametrize("name", _READERS)
def test_what_is_compressed_is_seen_whatever_the_name(name, ending, tmp_path):
    read, text = _READERS[name]
    (tmp_path / name).write_text(text)
    packed = tmp_path / (name + ending if ending.islower() else (name + ending).upper())
    for content in (gzip.compress(text.encode()), text.encode()):
        packed.write_bytes(content)
        pd.testing.assert_frame_equal(read(packed), read(tmp_path / name))


@pytest.mark.parametrize("name", _READERS)
def test_addresses_pipes_and_files_without_content_are_told(name, tmp_path):
    read, text = _READERS[name]
    with pytest.raises(FileNotFoundError, match=r"https://example\.org/\S+ is an address; download it"):
        read(f"https://example.org/{name}")
    os.mkfifo(tmp_path / name)
    with pytest.raises(ValueError, match="is a pipe or device"):
        read(tmp_path / name)
    (tmp_path / name).unlink()
    (tmp_path / name).write_text("")
    with pytest.raises(ValueError, match="is empty"):
        read(tmp_path / name)
    (tmp_path / name).write_bytes(gzip.compress(text.encode() * 99)[:-20])
    with pytest.raises(ValueError, match=f"{name}.* (truncated|damaged|cannot be read|is not|is no)"):
        read(tmp_path / name)
    (tmp_path / name).write_bytes(text.encode("utf-16"))
    with pytest.raises(ValueError, match=name):
        read(tmp_path / name)


@pytest.mark.parametrize("name", ["genes.bed", "genome.bed", "index.txt", "t.results"])
def test_a_row_with_more_columns_than_the_others_is_told_with_its_file(name, tmp_path):
    read, text = _READERS[name]
    (tmp_path / name).write_text(text + "\t".join("123456789" * 3) + "\n")
    with pytest.raises(ValueError, match=f"{name} cannot be read as a table .*in line"):
        read(tmp_path / name)


def test_the_home_is_known_by_its_sign(tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path))
    read, text = _READERS["fragments.tsv"]
    (tmp_path / "f.tsv").write_text(text)
    assert len(read("~/f.tsv")) == 2
    peaks = pd.DataFrame({"chrom": ["chr1"], "start": [1], "end": [5]})
    files = sca.io.write_peaks(peaks, "~/new/peaks.bed")
    assert files["peaks"] == tmp_path / "new" / "peaks.bed"
    assert len(sca.io.read_peaks("~/new/peaks.bed")) == len(sca.io.read_peaks("~/new")) == 1
    assert sca.io.write_fragments("~/f.tsv", "~/out.tsv", genome=SIZES, progress=False) == tmp_path / "out.tsv"


def test_the_first_cell_of_a_table_without_names_is_kept(tmp_path):
    (tmp_path / "cells.tsv").write_text("# made by x\nAAACGGGT-1\tB\nTTTGAAAC-1\tT\n")
    assert read_cell_table(tmp_path / "cells.tsv").index.tolist() == ["AAACGGGT-1", "TTTGAAAC-1"]
    (tmp_path / "named.tsv").write_text("#barcode\tcell_type\nAAACGGGT-1\tB\n")
    assert read_cell_table(tmp_path / "named.tsv")["cell_type"].to_dict() == {"AAACGGGT-1": "B"}
    assert read_groups(tmp_path / "named.tsv")["cell_type"].to_dict() == {"AAACGGGT-1": "B"}


def test_row_names_and_columns_without_names_are_those_of_cells(tmp_path):
    (tmp_path / "r.tsv").write_text("n\tcell_type\nAAACGGGT-1\t5\tB\nTTTGAAAC-1\t7\tT\n")  # of R's write.table
    table = read_cell_table(tmp_path / "r.tsv")
    assert table.to_dict() == {
        "n": {"AAACGGGT-1": 5, "TTTGAAAC-1": 7},
        "cell_type": {"AAACGGGT-1": "B", "TTTGAAAC-1": "T"},
    }
    (tmp_path / "nameless.csv").write_text("AAACGGGT-1,B,7,\n")
    table = read_cell_table(tmp_path / "nameless.csv")
    assert table.to_dict() == {"group": {"AAACGGGT-1": "B"}, "column_3": {"AAACGGGT-1": "7"}}
    ad.AnnData(obs=table).write_h5ad(tmp_path / "cells.h5ad")


def test_numbers_of_rows_are_no_barcodes(tmp_path):
    expected = {"cell_type": {"AAACGGGT-1": "B", "TTTGAAAC-1": "T"}}
    files = {
        "pandas.csv": ",barcode,cell_type\n0,AAACGGGT-1,B\n1,TTTGAAAC-1,T\n",
        "r.tsv": "barcode\tcell_type\n1\tAAACGGGT-1\tB\n2\tTTTGAAAC-1\tT\n",
    }
    for name, text in files.items():
        (tmp_path / name).write_text(text)
        for read in (read_cell_table, read_groups):
            assert read(tmp_path / name).to_dict() == expected, name
    (tmp_path / "numbered_cells.csv").write_text(",cell,cell_type\nAAACGGGT-1,1,B\nTTTGAAAC-1,2,T\n")
    for read in (read_cell_table, read_groups):
        assert read(tmp_path / "numbered_cells.csv")[["cell_type"]].to_dict() == expected
    (tmp_path / "signac.csv").write_text('"","cell_id","cluster"\n"a","_cell_0","5"\n"b","None","7"\n')
    assert read_cell_table(tmp_path / "signac.csv").index.tolist() == ["a", "b"]


def test_one_column_beside_row_names_is_no_list_of_barcodes(tmp_path):
    (tmp_path / "r.tsv").write_text("cell_type\nAAACGGGT-1\tB\n")  # of R's write.table
    for read in (read_cell_table, read_groups):
        assert read(tmp_path / "r.tsv").to_dict() == {"cell_type": {"AAACGGGT-1": "B"}}


def test_lines_that_end_with_cr_alone_are_not_one_line(tmp_path):
    (tmp_path / "f.tsv").write_bytes(_READERS["fragments.tsv"][1].encode().replace(b"\n", b"\r"))
    with pytest.raises(ValueError, match="lines that end with CR alone"):
        _READERS["fragments.tsv"][0](tmp_path / "f.tsv")


def test_two_lengths_of_a_chromosome_are_told(tmp_path):
    (tmp_path / "x.sizes").write_text("chr1\t1000\nchr1\t1000\nchr1\t7\n")
    with pytest.raises(ValueError, match=r"x\.sizes, line 3: chr1 has the length 7 here and 1000 above"):
        sca.Genome(tmp_path / "x.sizes")
