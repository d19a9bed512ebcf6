"""Every bad input gives one sentence with the file, the line or the key, and the way out."""

from __future__ import annotations

import gzip
import re
import shutil
import subprocess

import anndata as ad
import numpy as np
import pandas as pd
import pytest

import scatacworks as sca
from scatacworks._core import bgzf
from scatacworks.io import _layout
from scatacworks.io._chunks import Buffer
from scatacworks.io._source import open_fragments

GENOME = sca.Genome({"chr1": 1_000, "chr2": 500}, name="toy")
GOOD = "chr1\t10\t90\tAAACGAAAGACGTCAG-1\t1\n"


def read(path, **options):
    return sca.io.read_fragments(path, **({"genome": GENOME, "min_fragments": 1, "progress": False} | options))


def as_bgzf(text: bytes) -> bytes:
    return b"".join(bgzf.make_block(text[i : i + 5000]) for i in range(0, len(text), 5000)) + bgzf.EOF_BLOCK


def test_missing(tmp_path):
    with pytest.raises(FileNotFoundError, match="fragment file .*nothing.tsv.gz does not exist"):
        read(tmp_path / "nothing.tsv.gz")


def test_empty_and_folder(tmp_path):
    (tmp_path / "empty.tsv").touch()
    with pytest.raises(ValueError, match=r"empty.tsv is empty \(0 bytes\)"):
        read(tmp_path / "empty.tsv")
    with pytest.raises(IsADirectoryError, match="is a folder; expected a fragment file"):
        read(tmp_path)


def test_only_comments(tmp_path):
    (tmp_path / "f.tsv").write_text("# a\n# b\n")
    with pytest.raises(ValueError, match=r"holds no fragment \(2 lines, 2 of them comments\)"):
        read(tmp_path / "f.tsv")


@pytest.mark.parametrize("write", [gzip.compress, as_bgzf], ids=["gzip", "bgzf"])
@pytest.mark.parametrize("n_jobs", [1, 2])
def test_cut_in_the_middle(tmp_path, write, n_jobs):
    path = tmp_path / "f.tsv.gz"
    path.write_bytes(write((GOOD * 50_000).encode())[:-500])
    with pytest.raises(ValueError, match=r"f.tsv.gz is truncated: .*Copy or download the file again"):
        read(path, n_jobs=n_jobs)


def test_cut_between_blocks_is_warned_of(tmp_path):
    path = tmp_path / "f.tsv.gz"
    path.write_bytes(as_bgzf((GOOD * 1000).encode())[: -len(bgzf.EOF_BLOCK)])
    with pytest.warns(UserWarning, match="lacks the end-of-file block"):
        read(path)


@pytest.mark.parametrize("write", [gzip.compress, as_bgzf], ids=["gzip", "bgzf"])
def test_wrong_checksum(tmp_path, write):
    data = bytearray(write((GOOD * 100).encode()))
    position = len(data) - 8 if write is gzip.compress else len(data) - len(bgzf.EOF_BLOCK) - 8
    data[position] ^= 1
    path = tmp_path / "f.tsv.gz"
    path.write_bytes(data)
    with pytest.raises(ValueError, match=r"f.tsv.gz is damaged.*(CRC|cannot be decompressed)"):
        read(path)


def test_every_flipped_byte_of_a_compressed_file_is_told(tmp_path):
    path = tmp_path / "f.tsv.gz"
    lines = "".join(f"chr1\t{i}\t{i + 50}\tCELL{i % 7}\t1\n" for i in range(400)).encode()
    for data in (gzip.compress(lines, mtime=0), as_bgzf(lines)):
        for at in range(24, len(data), 37):
            path.write_bytes(data[:at] + bytes([data[at] ^ 0xFF]) + data[at + 1 :])
            with pytest.raises(ValueError, match=re.escape(str(path))):
                read(path, n_jobs=1)


def test_zstd_of_several_frames_is_read_and_a_cut_one_is_told(tmp_path):
    zstandard = pytest.importorskip("zstandard")
    path, compress = tmp_path / "f.tsv.zst", zstandard.ZstdCompressor(write_checksum=True).compress
    lines = "".join(f"chr1\t{i % 900}\t{i % 900 + 50}\tCELL{i % 7}\t1\n" for i in range(20_000)).encode()
    whole = compress(lines[:100_000]) + compress(lines[100_000:])
    path.write_bytes(whole)
    assert read(path).obs["n_fragments"].sum() == 20_000
    for data, told in (
        (whole[: len(whole) // 2], "is truncated"),
        (whole[:-3], "is truncated"),
        (whole[:-3] + b"abc", "is damaged"),
        (whole[:99] + b"abc" + whole[102:], "is damaged"),
    ):
        path.write_bytes(data)
        with pytest.raises(ValueError, match=f"f.tsv.zst {told}"):
            read(path)


def test_garbage_behind_the_last_block(tmp_path):
    path = tmp_path / "f.tsv.gz"
    path.write_bytes(as_bgzf(GOOD.encode()) + b"garbage that is long enough to look at")
    with pytest.raises(ValueError, match="neither a gzip member nor the end of the file"):
        read(path)


@pytest.mark.parametrize(
    "content", [b"hello world\n", bytes(range(256)) * 20, b"a,b,c\n1,2,3\n", b"@read1\nACGT\n+\nIIII\n"]
)
def test_not_a_fragment_file(tmp_path, content):
    path = tmp_path / "f.tsv"
    path.write_bytes(content)
    with pytest.raises(ValueError, match="f.tsv does not look like a fragment file: line 1 is "):
        read(path)


def test_binary_data_are_not_shown(tmp_path):
    (tmp_path / "f.tsv").write_bytes(bytes(range(128, 256)) + bytes(range(9)) + b"\nx\n")
    with pytest.raises(ValueError, match="line 1 is binary data; expected chrom"):
        read(tmp_path / "f.tsv")


@pytest.mark.parametrize(("part", "at", "value"), [("indices", 3, 1500), ("indices", 0, -7), ("indptr", 1, 99)])
def test_a_paired_matrix_that_leads_out_of_itself(tmp_path, part, at, value):
    (tmp_path / "f.tsv").write_text("".join(f"chr1\t{i}\t{i + 50}\tCELL{i % 3}\t1\n" for i in range(30)))
    adata = read(tmp_path / "f.tsv", in_memory=True)
    getattr(adata.obsm["fragment_paired"], part)[at] = value
    with pytest.raises(ValueError, match=r"\.obsm\['fragment_paired'\] is damaged: ind"):
        list(open_fragments(adata).chromosomes())


def test_a_cell_that_the_object_lacks_is_no_other_cell(tmp_path):
    (tmp_path / "f.tsv").write_text("".join(f"chr1\t{i}\t{i + 50}\tCELL{i % 3}\t1\n" for i in range(30)))
    adata = read(tmp_path / "f.tsv", in_memory=True)
    with pytest.raises(KeyError, match="has no cell 'CELL9'; its cells are CELL0, CELL1, CELL2"):
        open_fragments(adata, cells=["CELL1", "CELL9"])
    assert open_fragments(adata, cells=["CELL2", "CELL1"]).cells == ["CELL2", "CELL1"]


@pytest.mark.parametrize("path", [None, 3])
def test_no_path(path):
    with pytest.raises(TypeError, match=r"path is .*expected the path of a fragment file, or a dict"):
        read(path)


def test_only_names_that_there_are_are_shown(tmp_path):
    (tmp_path / "f.tsv").write_text(GOOD)
    with pytest.raises(ValueError, match=r"None of the 2 barcodes \('x', 'y'\) occurs in .*, which has 'AAACG[^,]*'\."):
        read(tmp_path / "f.tsv", barcodes=["x", "y"])


def test_paired_matrix_without_a_genome():
    adata = ad.AnnData(np.zeros((1, 0), np.float32))
    adata.obsm["fragment_paired"] = np.zeros((1, 10), np.uint32)
    with pytest.raises(KeyError, match=r"no .uns\['reference_sequences'\]: set it to the genome.*to_frame\(\)"):
        open_fragments(adata)


@pytest.mark.parametrize("write", [bytes, gzip.compress, as_bgzf], ids=["text", "gzip", "bgzf"])
@pytest.mark.parametrize("options", [{}, {"bulk": True}, {"barcodes": ["AAAC"]}], ids=["found", "bulk", "given"])
def test_pairs_of_reads_are_no_fragments(tmp_path, write, options):
    pairs = [f"chr1\t{s}\t{s + 50}\tchr1\t{s + 90}\t{s + 140}\tAAAC\t60\t+\t-" for s in range(99)]
    path = tmp_path / "pairs.bedpe"
    path.write_bytes(write("\n".join(["# made by bedtools", *pairs, ""]).encode()))
    with pytest.raises(ValueError, match=r"pairs.bedpe, line 2: .*is a pair of reads \(BEDPE\).*bulk=True") as caught:
        read(path, **options)
    command = ["awk", "-v", "OFS=\t", re.search(r"'({.*})'", str(caught.value))[1]]
    if shutil.which("awk") is None:
        pytest.skip("needs awk, which the message names")
    made = subprocess.run(command, input="\n".join(pairs), capture_output=True, text=True, check=True)
    (tmp_path / "fragments.tsv").write_text(made.stdout)
    adata = read(tmp_path / "fragments.tsv", in_memory=True)
    assert adata.obs["n_fragments"].to_dict() == {"AAAC": 99}
    assert set(adata.obsm["fragment_paired"].data) == {140}


def test_cells_named_as_chromosomes_are_cells(tmp_path):
    path = tmp_path / "f.tsv"
    path.write_text("1\t10\t90\t1\t4\n1\t10\t90\t2\t1\textra\n")
    assert read(path).obs_names.tolist() == ["1", "2"]
    path.write_text("1\t10\t90\t1\t4\t+\n1\t10\t90\t2\t1\t9\n")  # six columns, as of pairs of reads
    assert read(path).obs_names.tolist() == ["1", "2"]


def test_one_endless_line(tmp_path, monkeypatch):
    monkeypatch.setattr("scatacworks.io._reader._MAX_LINE", 1 << 20)
    path = tmp_path / "f.bin"
    path.write_bytes(b"x" * (6 << 20))
    with pytest.raises(ValueError, match="no line ends within 1 MB"):
        read(path)


@pytest.mark.parametrize("before", [b"", GOOD.encode()], ids=["throughout", "after lines"])
def test_an_endless_line_is_not_inflated_to_its_end(tmp_path, monkeypatch, before):
    monkeypatch.setattr("scatacworks.io._reader._MAX_LINE", 1 << 20)
    held = []
    make_room = Buffer.make_room
    monkeypatch.setattr(Buffer, "make_room", lambda self, n: held.append(self.size + n) or make_room(self, n))
    block = bgzf.make_block(bytes(60_000))
    path = tmp_path / "f.tsv.gz"
    path.write_bytes(as_bgzf(before)[: -len(bgzf.EOF_BLOCK)] + block * (20 << 20 >> 16) + bgzf.EOF_BLOCK)
    with pytest.raises(ValueError, match="no line ends within 1 MB"):
        read(path)
    assert max(held) < 3 << 20


def test_bam_and_h5ad_are_named(tmp_path):
    (tmp_path / "a.bam").write_bytes(as_bgzf(b"BAM\x01" + bytes(50)))
    with pytest.raises(ValueError, match=r"is a BAM file, not a fragment file. Turn it .* sca.io.bam_to_fragments"):
        read(tmp_path / "a.bam")
    ad.AnnData(np.ones((1, 1), np.float32)).write_h5ad(tmp_path / "a.h5ad")
    with pytest.raises(ValueError, match=r"is a HDF5 file.*read_h5ad"):
        read(tmp_path / "a.h5ad")


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("chr1\t90\t10\tA\t1", "line 3 has a start that is not before its end: 'chr1\\t90\\t10\\tA\\t1'"),
        ("chr1\t10\t10\tA\t1", "start that is not before its end"),
        ("chr1\t-5\t10\tA\t1", "line 3 has a start that is not a whole number of 0 or more"),
        ("chr1\t5.0\t10\tA\t1", "start that is not a whole number"),
        ("chr1\t5\tx\tA\t1", "line 3 has an end that is not a whole number"),
        ("chr1\t5\t1001\tA\t1", "line 3 ends at 1,001, beyond chr1 of toy (1,000 bp)"),
        ("chr1\t5\t99999999999999\tA\t1", "99999999999999\\tA\\t1'. Pass malformed='skip'"),
        ("chr1\t5\t10", "line 3 has three columns and no barcode"),
        ("chr1\t5\t10\t\t1", "line 3 has no barcode in column 4"),
        ("chr1\t5\t10\tA\tmany", "line 3 has a count in column 5"),
        ("chr1\t5\t10\tA\t0", "count in column 5 that is not a whole number of 1 or more"),
        ("chr1", "line 3 has no tab-separated start and end: 'chr1'"),
        ("chr1 5 10 A 1", "line 3 has no tab-separated start and end"),
    ],
)
def test_malformed_line(tmp_path, line, message):
    path = tmp_path / "f.tsv"
    path.write_text(f"# comment\n{GOOD}{line}\n{GOOD}")
    with pytest.raises(ValueError, match=re.escape(message)):
        read(path)
    report = read(path, malformed="skip").uns["scatacworks"]["fragments"]
    assert (report["n_malformed"], report["n_fragments"]) == (1, 2)


def test_line_numbers_are_right_far_into_the_file(tmp_path, monkeypatch):
    monkeypatch.setattr("scatacworks.io._chunks.TEXT_CHUNK", 1000)
    path = tmp_path / "f.tsv"
    path.write_text("#\n" * 7 + GOOD * 5000 + "chr1\t5\tx\tA\n" + GOOD * 100)
    with pytest.raises(ValueError, match="line 5,008 has an end"):
        read(path, n_jobs=2)


def test_another_assembly_is_named(tmp_path):
    path = tmp_path / "f.tsv"
    path.write_text("chr1\t249000000\t249000100\tA\t1\n")
    with pytest.raises(ValueError, match=r"beyond chr1 of hg38 .*It fits hg19: is it of that assembly\? .*'hg19'"):
        read(path, genome="hg38")


def test_no_chromosome_in_common(tmp_path):
    path = tmp_path / "f.tsv"
    path.write_text("NC_000001.11\t5\t10\tA\t1\n")
    with pytest.raises(ValueError, match=r"No fragment of .* lies on a chromosome of toy; the file has 'NC_000001.11'"):
        read(path)


@pytest.mark.parametrize(
    ("cell", "guess"),
    [
        ("AAACGAAAGACGTCAG", "add the suffix '-1'"),
        ("pbmc#AAACGAAAGACGTCAG-1", "remove the prefix 'pbmc#'"),
        ("AAACGAAAGACGTCAG-2", "remove the suffix '-2' and add the suffix '-1'"),
        ("AAACGAAAGACGTCAG-1-batch", "(remove the suffix '-batch')"),
        ("AAACGAAAGACGTCAG-10", "remove the suffix '-10' and add the suffix '-1'"),
        ("CTGACGTCTTTCGTTT-1", "reverse complements"),
        ("cell_12", "Are they of the same sample"),
        ("TTACGAAAGACGTCAT", "'TTACGAAAGACGTCAT' would be 'TTACGAAAGACGTCAT-1' (add the suffix '-1'). Are they of"),
    ],
)
def test_no_barcode_matches(tmp_path, cell, guess):
    path = tmp_path / "f.tsv"
    path.write_text(GOOD)
    with pytest.raises(ValueError, match=f"None of the 1 barcodes .*{cell}.*AAACGAAAGACGTCAG-1.*{re.escape(guess)}"):
        read(path, barcodes=[cell])
    adata = read(path)
    adata.obs_names = [cell]
    with pytest.raises(ValueError, match=re.escape(guess)):
        list(open_fragments(adata).chromosomes())


def test_advice_on_names_passes_over_those_without_bases(tmp_path):
    path = tmp_path / "f.tsv"
    path.write_text(GOOD)
    advice = "'TTACGAAAGACGTCAT' would be 'TTACGAAAGACGTCAT-1' (add the suffix '-1')"
    with pytest.raises(ValueError, match=re.escape(advice)):
        read(path, barcodes=["NO_BARCODE", "TTACGAAAGACGTCAT"])


def test_cells_of_several_samples_are_told_from_those_of_one(tmp_path):
    path = tmp_path / "f.tsv"
    path.write_text(GOOD)
    names = ["AAACGAAAGACGTCAG-1-x", "AAACGAAAGACGTCAG-1-y"]
    with pytest.raises(ValueError, match=r"as those of several samples do; give each sample its file: {sample: path"):
        read(path, barcodes=names)
    adata = read({"x": path, "y": path}, barcodes=names)
    assert adata.obs["n_fragments"].gt(0).all()


def test_barcodes_twice_none_or_not_a_table(tmp_path):
    path = tmp_path / "f.tsv"
    path.write_text(GOOD)
    with pytest.raises(ValueError, match="names 1 barcodes twice, such as 'A'"):
        read(path, barcodes=["A", "B", "A"])
    with pytest.raises(ValueError, match="names no cell"):
        read(path, barcodes=[])
    with pytest.raises(FileNotFoundError, match="file of barcodes .* does not exist"):
        read(path, barcodes=tmp_path / "none.txt")


def test_object_without_fragments_or_genome(tmp_path):
    adata = ad.AnnData(np.ones((2, 1), np.float32))
    for files in ({}, "moved.tsv.gz", {"fragments": None}):
        adata.uns["files"] = files
        with pytest.raises(KeyError, match="knows no fragments"):
            open_fragments(adata)
    adata.uns["files"] = {"fragments": str(tmp_path / "moved.tsv.gz")}
    with pytest.raises(KeyError, match="knows its fragment file but not its genome"):
        open_fragments(adata)
    with pytest.raises(FileNotFoundError, match=r"moved.tsv.gz does not exist.*in \.uns\['files'\]\['fragments'\]"):
        open_fragments(adata, genome=GENOME)
    with pytest.raises(ValueError, match="genome is missing"):
        open_fragments(tmp_path / "f.tsv")
    with pytest.raises(TypeError, match="Expected a path, a dict"):
        open_fragments(3, genome=GENOME)


def test_a_file_that_only_looks_sorted(tmp_path, monkeypatch):
    """One stray line between the places looked at: refused while streaming, read once all of it has been looked at."""
    monkeypatch.setattr(_layout, "SMALL", 1)
    text = "".join(f"chr1\t{i}\t{i + 9}\tA\t1\n" for i in [*range(900)] * 600) + "chr2\t1\t2\tA\t1\n" * 600_000
    stray = len(text) - 60_000 * 13
    text = text[:stray] + "chr1\t5\t9\tA\t1\n" + text[stray:]
    path = tmp_path / "f.tsv"
    path.write_text(text)
    with pytest.raises(ValueError, match="looked sorted but chr1 appears again.*sca.io.read_fragments"):
        list(open_fragments(path, genome=GENOME, cells=["A"]).chromosomes())
    blocks = list(open_fragments(read(path)).chromosomes())
    assert [len(block) for block in blocks] == [540_001, 600_000]


def test_options_are_checked_before_the_file_is_read(tmp_path):
    with pytest.raises(ValueError, match="malformed='ignore' is unknown; expected 'error' or 'skip'"):
        read(tmp_path / "nothing.tsv.gz", malformed="ignore")
    with pytest.raises(TypeError, match="min_fragments is '200'"):
        read(tmp_path / "nothing.tsv.gz", min_fragments="200")


def test_a_table_that_is_not_indexed_by_barcode_is_told(tmp_path):
    (tmp_path / "good.tsv").write_text(GOOD)
    cells = pd.DataFrame({"kind": ["B"], "Barcode": ["AAACGAAAGACGTCAG-1"]})
    with pytest.raises(ValueError, match=re.escape("is not indexed by barcode but by row; set the index, such as by")):
        read(tmp_path / "good.tsv", barcodes=cells)
    assert read(tmp_path / "good.tsv", barcodes=cells.set_index("Barcode")).obs["kind"].tolist() == ["B"]
    with pytest.raises(ValueError, match=re.escape("set the index, such as by .set_index('Barcode')")):
        read(tmp_path / "good.tsv", barcodes=pd.concat([cells[["kind"]], cells], axis=1))  # two columns of one name
    chosen = pd.concat([cells, cells]).reset_index(drop=True).iloc[1:].loc[[1]]  # rows keep their numbers
    for name in ("Barcode", "Unnamed: 0"):
        with pytest.raises(ValueError, match=re.escape(f"set the index, such as by .set_index({name!r})")):
            read(tmp_path / "good.tsv", barcodes=chosen.rename(columns={"Barcode": name}))


def test_a_table_separated_by_spaces_is_told(tmp_path):
    (tmp_path / "good.tsv").write_text(GOOD)
    (tmp_path / "r.txt").write_text('"kind" "n"\n"AAACGAAAGACGTCAG-1" "B" 3\n')  # as write.table
    with pytest.raises(ValueError, match=r"r\.txt has columns separated by spaces; expected tabs or commas"):
        read(tmp_path / "good.tsv", barcodes=tmp_path / "r.txt")
