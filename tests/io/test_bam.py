from __future__ import annotations

import gzip
import logging
import re
import struct
from array import array

import numpy as np
import pysam
import pytest

import scatacworks as sca
from scatacworks._core import bgzf

CHROMS = [("chr1", 100_000), ("chr2", 50_000)]


def write_bam(path, reads, order="coordinate", chroms=CHROMS):
    """Write reads given as dicts of pysam's attributes; `tags` is a list."""
    header = {"HD": {"VN": "1.6", "SO": order}, "SQ": [{"SN": name, "LN": size} for name, size in chroms]}
    with pysam.AlignmentFile(path, "wb", header=header) as out:
        if order == "coordinate":
            reads = sorted(reads, key=lambda read: (read["reference_id"], read["reference_start"]))
        for read in reads:
            segment = pysam.AlignedSegment(out.header)
            for name, value in read.items():
                if name == "tags":
                    segment.set_tags(value)
                else:
                    setattr(segment, name, value)
            out.write(segment)
    return path


def pair(name, start, end, *, ref=0, barcode="ACGT-1", mapq=(60, 60), flag=0, cigars=("20M", "20M"), tag="CB"):
    """Two mates: forward at `start`, reverse ending at `end`."""
    spans = [sum(int(n) for n, op in re.findall(r"(\d+)([MDN])", cigar)) for cigar in cigars]
    tags = [("NM", 3), ("XF", 1.5), ("XB", array("i", [1, 2, 3])), (tag, barcode), ("RG", "x")]
    rest = {"query_sequence": "A" * 20, "query_qualities": pysam.qualitystring_to_array("I" * 20), "reference_id": ref}
    rest |= {"next_reference_id": ref, "query_name": name, "tags": tags if barcode else tags[:2]}
    first = {
        "flag": 0x1 | 0x2 | 0x20 | 0x40 | flag,
        "reference_start": start,
        "mapping_quality": mapq[0],
        "cigarstring": cigars[0],
    }
    second = {
        "flag": 0x1 | 0x2 | 0x10 | 0x80 | flag,
        "reference_start": end - spans[1],
        "mapping_quality": mapq[1],
        "cigarstring": cigars[1],
    }
    return [rest | first, rest | second]


def convert(tmp_path, reads, *, order="coordinate", **options):
    bam = write_bam(tmp_path / "a.bam", reads, order)
    path = sca.io.bam_to_fragments(bam, tmp_path / "f.tsv.gz", progress=False, **options)
    with gzip.open(path, "rt") as file:
        return [tuple(line.rstrip("\n").split("\t")) for line in file]


def test_ends_are_shifted_and_duplicates_counted_per_barcode(tmp_path):
    reads = (
        pair("a", 1000, 1200) + pair("b", 1000, 1200) + pair("c", 1000, 1200, barcode="TTTT-1") + pair("d", 1000, 1201)
    )
    assert convert(tmp_path, reads) == [
        ("chr1", "1004", "1195", "ACGT-1", "2"),
        ("chr1", "1004", "1195", "TTTT-1", "1"),
        ("chr1", "1004", "1196", "ACGT-1", "1"),
    ]
    assert convert(tmp_path, reads, shift=(0, 0))[0][1:3] == ("1000", "1200")


def test_cigar_decides_the_end(tmp_path):
    reads = pair("a", 1000, 1200, cigars=("20M", "5S5M3D10M")) + pair("b", 1000, 1300, cigars=("20M", "5M2I13M"))
    assert [row[2] for row in convert(tmp_path, reads)] == ["1195", "1295"]


@pytest.mark.parametrize(
    "bad", [{"mapq": (60, 10)}, {"mapq": (10, 60)}, {"flag": 0x100}, {"flag": 0x800}, {"barcode": ""}]
)
def test_both_mates_must_pass(tmp_path, bad):
    assert len(convert(tmp_path, pair("a", 1000, 1200, **bad) + pair("b", 2000, 2200))) == 1


def test_duplicate_flag_is_no_reason_to_drop(tmp_path):
    assert convert(tmp_path, pair("a", 1000, 1200) + pair("b", 1000, 1200, flag=0x400))[0][4] == "2"


@pytest.mark.parametrize("order", ["coordinate", "queryname"])
def test_against_a_plain_loop_over_pysam(tmp_path, order, monkeypatch):
    monkeypatch.setattr("scatacworks.io._chunks._BATCH", 1)
    rng = np.random.default_rng(0)
    reads = []
    for i in range(800):
        start = int(rng.integers(0, 400)) * 100
        kwargs = {
            "ref": int(rng.integers(0, 2)),
            "barcode": f"B{rng.integers(0, 20)}",
            "mapq": rng.integers(0, 61, 2).tolist(),
        }
        reads += pair(f"read:{i}", start, start + int(rng.integers(10, 13)) * 20, **kwargs)
    rows = convert(tmp_path, reads, order=order)
    mates, counts = {}, {}
    with pysam.AlignmentFile(tmp_path / "a.bam", check_sq=False) as file:
        for read in file.fetch(until_eof=True):
            if read.mapping_quality < 30 or not read.is_proper_pair:
                continue
            other = mates.pop(read.query_name, None)
            if other is None:
                mates[read.query_name] = read
                continue
            forward, reverse = (other, read) if read.is_reverse else (read, other)
            key = (read.reference_name, forward.reference_start + 4, reverse.reference_end - 5, read.get_tag("CB"))
            counts[key] = counts.get(key, 0) + 1
    assert sorted(rows) == sorted((c, str(s), str(e), b, str(n)) for (c, s, e, b), n in counts.items())
    assert [(row[0], int(row[1]), int(row[2])) for row in rows] == sorted(
        (row[0], int(row[1]), int(row[2])) for row in rows
    )


def test_alignments_may_reach_over_the_ends_of_blocks(tmp_path, monkeypatch):
    """As those of HTSJDK do; htslib begins a block with an alignment."""
    expected = convert(tmp_path, [read for i in range(40) for read in pair(f"read:{i}", 100 * i, 100 * i + 90)])
    assert len(expected) == 40
    text = gzip.decompress((tmp_path / "a.bam").read_bytes())
    blocks = [bgzf.make_block(text[at : at + 101]) for at in range(0, len(text), 101)]
    (tmp_path / "b.bam").write_bytes(b"".join([*blocks, bgzf.EOF_BLOCK]))
    monkeypatch.setattr("scatacworks.io._chunks._BATCH", 1)
    sca.io.bam_to_fragments(tmp_path / "b.bam", tmp_path / "g.tsv", progress=False)
    assert [tuple(line.split("\t")) for line in (tmp_path / "g.tsv").read_text().splitlines()] == expected


def test_barcode_in_the_name_of_the_read(tmp_path):
    reads = pair("ACGT:1", 1000, 1200, barcode="") + pair("TTTT:2", 2000, 2200, barcode="") + pair("nothing", 9, 99)
    rows = convert(tmp_path, reads, barcode_regex=r"^([ACGT]+):")
    assert [row[3] for row in rows] == ["ACGT", "TTTT"]


def test_bulk_needs_no_barcodes(tmp_path, caplog):
    caplog.set_level(logging.INFO, logger="scatacworks")
    reads = pair("a", 1000, 1200, barcode="") + pair("b", 1000, 1200) + pair("c", 3000, 3200, ref=1, barcode="")
    assert convert(tmp_path, reads, bulk=True) == [
        ("chr1", "1004", "1195", "a", "2"),
        ("chr2", "3004", "3195", "a", "1"),
    ]
    assert "2 fragments of one sample, from 6 alignments (6 pass the filters)" in caplog.text
    adata = sca.io.read_fragments({"wt": tmp_path / "f.tsv.gz"}, genome=dict(CHROMS), bulk=True, progress=False)
    assert adata.obs["n_fragments"].to_dict() == {"wt": 2}


@pytest.mark.parametrize("mito", [16_569, 16_571])
def test_organelles_may_differ_in_length(tmp_path, mito):
    bam = write_bam(tmp_path / "a.bam", pair("a", 1000, 1200), chroms=[*CHROMS, ("MT", 16_569)])
    assert sca.io.bam_to_fragments(bam, tmp_path / "f.tsv", genome=dict([*CHROMS, ("chrM", mito)]), progress=False)


def test_pairs_that_are_not_marked_as_proper(tmp_path):
    reads = [read | {"flag": read["flag"] & ~0x2} for read in pair("a", 1000, 1200)]
    with pytest.raises(ValueError, match="not marked as proper, as some programs write them, need require_flags=1"):
        convert(tmp_path, reads)
    assert convert(tmp_path, reads, require_flags=1) == [("chr1", "1004", "1195", "ACGT-1", "1")]


def test_genome_chooses_orders_and_spells(tmp_path):
    reads = pair("a", 1000, 1200) + pair("b", 3000, 3200, ref=1)
    rows = convert(tmp_path, reads, genome={"2": 50_000, "1": 100_000})
    assert [row[:2] for row in rows] == [("2", "3004"), ("1", "1004")]
    assert len(convert(tmp_path, reads, genome={"chr2": 50_000})) == 1


def test_it_is_indexed_and_read_back(tmp_path):
    convert(tmp_path, pair("a", 1000, 1200) + pair("b", 3000, 3200, ref=1))
    with pysam.TabixFile(str(tmp_path / "f.tsv.gz")) as file:
        assert len(list(file.fetch("chr2"))) == 1
    adata = sca.io.read_fragments(tmp_path / "f.tsv.gz", genome=dict(CHROMS), min_fragments=1, progress=False)
    assert adata.obs["n_fragments"].to_dict() == {"ACGT-1": 2}


@pytest.mark.parametrize(
    ("reads", "options", "message"),
    [
        ([], {}, "holds no alignment"),
        (pair("a", 1000, 1200, mapq=(1, 1)), {}, r"None of the 2 alignments .* passes the filters \(min_mapq=30"),
        (pair("a", 1000, 1200), {"barcode_tag": "XX"}, "No alignment .* has the tag 'XX'"),
        (pair("a", 1000, 1200), {"barcode_tag": "long"}, "expected two letters"),
        (pair("a", 1000, 1200), {"barcode_regex": "^x"}, "matches no name of a read"),
        (pair("a", 1000, 1200), {"barcode_regex": "("}, "is not a regular expression"),
        (pair("a", 1000, 1200)[:1], {}, "No two of the 1 alignments .* are mates"),
        ([pair("a", 1000, 1200)[0] | {"flag": 0}], {}, "Of single-end reads no fragments can be made"),
        ([pair("a", 1000, 1200)[0] | {"flag": 0}], {"require_flags": 0}, "Of single-end reads no fragments can be"),
        (pair("a", 1000, 1200, barcode=""), {}, "has the tag 'CB'.* a file of one sample has bulk=True"),
        (pair("a", 1000, 1200), {"bulk": True, "barcode_regex": "^x"}, "give one of them"),
        (pair("a", 1000, 1200), {"genome": {"1": 90_000}}, "chr1 has 100,000 bp in .* and 90,000 in custom"),
        (pair("a", 1000, 1200), {"genome": {"chrX": 10}}, "No sequence of .* is a chromosome of custom"),
    ],
)
def test_bad_input(tmp_path, reads, options, message):
    with pytest.raises(ValueError, match=message):
        convert(tmp_path, reads, **options)
    assert [file.name for file in tmp_path.iterdir()] == ["a.bam"]


def test_not_a_bam_and_truncated(tmp_path):
    (tmp_path / "x.bam").write_text("@HD\tVN:1.6\n")
    with pytest.raises(ValueError, match=r"is not a BAM file. Turn SAM or CRAM into BAM"):
        sca.io.bam_to_fragments(tmp_path / "x.bam", tmp_path / "f.tsv.gz")
    bam = write_bam(tmp_path / "a.bam", [read for i in range(500) for read in pair(f"r{i}", 1000 + i, 1200 + i)])
    bam.write_bytes(bam.read_bytes()[:-200])
    with pytest.raises(ValueError, match="is truncated"):
        sca.io.bam_to_fragments(bam, tmp_path / "f.tsv.gz", progress=False)
    with pytest.raises(FileNotFoundError, match="BAM file .* does not exist"):
        sca.io.bam_to_fragments(tmp_path / "none.bam", tmp_path / "f.tsv.gz")


def patched(tmp_path, at, kind, value):
    """Write a BAM file of three pairs in which a number at a byte of the first record, or of the header, is another."""
    path = write_bam(tmp_path / "a.bam", pair("a", 1000, 1200) + pair("b", 1010, 1300) + pair("c", 1020, 1400))
    data = bytearray(gzip.decompress(path.read_bytes()))
    n_text = struct.unpack_from("<i", data, 4)[0]
    header = 8 + n_text
    record = header + 4 + sum(8 + len(name) + 1 for name, _ in CHROMS)
    struct.pack_into(f"<{kind}", data, {"n_text": 4, "header": header, "record": record}[at[0]] + at[1], value)
    with path.open("wb") as out:
        bgzf.compress_blocks(out, bytes(data), last=True)
        out.write(bgzf.EOF_BLOCK)
    return path


@pytest.mark.parametrize(
    ("at", "kind", "value", "told"),
    [
        (("n_text", 0), "i", -20, "states a negative length"),
        (("header", 0), "i", 0, "names no sequence"),
        (("header", 4), "i", -8, "states a negative length"),  # of the first sequence's name: once read for ever
        (("header", 4), "i", 0, "names a sequence without a name"),
        (("header", 0), "i", 2**31 - 1, "names a sequence without a name"),
        (("record", 0), "i", 36 - 4, "holds what is not an alignment"),
        (("record", 4), "i", 2, "has an alignment to a sequence that its header lacks"),
        (("record", 12), "B", 0, "holds what is not an alignment"),  # bytes of the read's name
        (("record", 16), "H", 65_535, "holds what is not an alignment"),  # CIGAR operations
        (("record", 20), "I", 2**32 - 1, "holds what is not an alignment"),  # bases of the read
    ],
)
def test_numbers_that_lead_out_of_the_file_are_told(tmp_path, at, kind, value, told):
    path = patched(tmp_path, at, kind, value)
    for options in ({}, {"bulk": True}, {"barcode_regex": r"(\w)"}):
        with pytest.raises(ValueError, match=f"a.bam (is damaged: it )?{told}"):
            sca.io.bam_to_fragments(path, tmp_path / "f.tsv.gz", progress=False, **options)
