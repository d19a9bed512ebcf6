"""The parallel reader against a plain one, over chunk sizes, compressions and threads."""

from __future__ import annotations

import gzip
import re
import signal
import threading
import time
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from scatacworks import Genome
from scatacworks._core import bgzf
from scatacworks.io import _chunks, _reader
from scatacworks.io._reader import FileReader, Settings
from scatacworks.io._source import open_fragments

GENOME = Genome(
    {"chr1": 200_000_000, "chr2": 90_000_000, "chrMT": 16_000, "scaffold_with_a_long_name": 10_000}, name="toy"
)
NUMBER = re.compile(rb"\d{1,18}$")


def plain_reader(data: bytes):
    """Read lines one by one: kept (chrom code, start, end, barcode, count), malformed line numbers, skipped contigs."""
    kept, bad, skipped, comments = [], [], {}, 0
    lines = data.split(b"\n")
    for number, line in enumerate(lines[:-1] if lines[-1] == b"" else lines, 1):
        if not line or line[:1] in b"#\r":
            comments += 1
            continue
        fields = line.split(b"\r")[0].split(b"\t")
        code = int(GENOME.resolve([fields[0].decode()])[0])
        stop = GENOME.lengths[code] if code >= 0 else 2**31 - 1
        ok = len(fields) >= 4 and all(NUMBER.match(field) for field in fields[1:3]) and fields[0] and fields[3]
        ok = ok and int(fields[1]) < int(fields[2]) <= stop
        count = fields[4] if len(fields) > 4 else b"."
        ok = ok and (count == b"." or (NUMBER.match(count) and int(count) > 0))
        if not ok:
            bad.append(number)
        elif code < 0:
            skipped[fields[0].decode()] = skipped.get(fields[0].decode(), 0) + 1
        else:
            count = 0 if count == b"." else min(int(count), 65_535)
            kept.append((code, int(fields[1]), int(fields[2]), fields[3].decode(), count))
    return kept, bad, skipped, comments


def read(path, n_jobs, **options):
    reader = FileReader(path, Settings(GENOME, skip_malformed=True, **options))
    rows = []
    for chrom, piece in reader.pieces(n_jobs=n_jobs):
        rows.extend((chrom, *row) for row in zip(*(column.tolist() for column in piece), strict=True))
    return rows, reader


def check(path, data: bytes, n_jobs: int):
    """Compare with the plain reader: the order within a chromosome is the file's, codes are in order of arrival."""
    kept, bad, skipped, comments = plain_reader(data)
    rows, reader = read(path, n_jobs)
    names = reader.names.decode()
    assert names == list(dict.fromkeys(row[3] for row in kept))
    for chrom in range(len(GENOME)):
        ours = [(row[1], row[2], names[row[3]], row[4]) for row in rows if row[0] == chrom]
        assert ours == [row[1:] for row in kept if row[0] == chrom]
    report = reader.report
    assert report.n_fragments == len(kept)
    assert report.n_malformed == len(bad)
    assert [line.number for line in report.malformed] == bad[:20]
    assert report.skipped_contigs == skipped
    assert report.n_comments == comments
    assert report.n_lines == len(data.split(b"\n")) - data.endswith(b"\n") - (data == b"")
    chroms = [row[0] for row in kept]
    runs = 1 + sum(a != b for a, b in pairwise(chroms)) if chroms else 0
    assert report.sorted == (runs == len(set(chroms)))


BARCODES = st.sampled_from(
    [
        "A",
        "ACGTACG",
        "ACGTACGT",
        "ACGTACGTA",
        "ACGTACGTACGTACGT",
        "ACGTACGTACGTACGT-1",
        "é#1",
        "x" * 70,
        "sample 1:ACGT",
    ]
)
CHROMS = st.sampled_from(
    ["chr1", "1", "chr2", "MT", "chrM", "scaffold_with_a_long_name", "GL000194.1", "chrUn_KI270742v1", "2"]
)
POSITIONS = st.one_of(
    st.integers(0, 9_990),
    st.integers(0, 2**33),
    st.sampled_from([0, 9, 10, 99_999_999, 100_000_000, 199_999_999, 200_000_000, 2**31 - 1, 10**17, 10**18]),
)
TAILS = st.sampled_from(
    ["", "\t1", "\t9", "\t10", "\t65535", "\t65536", "\t.", "\t2\t+", "\t3\textra\tcolumns", "\t12345678901"]
)
BAD_TAILS = st.sampled_from(["\t", "\tx", "\t0", "\t-1", "\t1.5", "\t1x", "\t.5"])


@st.composite
def good_line(draw):
    start = draw(POSITIONS)
    return f"{draw(CHROMS)}\t{start}\t{start + draw(st.integers(1, 900))}\t{draw(BARCODES)}{draw(TAILS)}"


@st.composite
def odd_line(draw):
    start = draw(st.sampled_from(["5", "-5", "", "1e3", "x", "1.0", " 7", "12345678x", "123456789012345678901"]))
    end = draw(st.sampled_from(["4", "5", "6", "9", "", "9x", "+9", "99999999999999999999"]))
    return f"{draw(CHROMS)}\t{start}\t{end}\t{draw(BARCODES)}{draw(BAD_TAILS)}"


LINES = st.one_of(
    good_line(),
    good_line(),
    odd_line(),
    st.sampled_from(
        ["", "# comment\twith tab", "#", "chr1", "chr1\t", "chr1\t5", "chr1\t5\t9", "chr1\t5\t9\t", "\t5\t9\tA"]
    ),
    st.sampled_from(["no tabs at all", "chr1 5 9 A", "\t\t\t\t", "chr1\t1\t2\tA\t1" + "\tx" * 500, "y" * 1000]),
)


@st.composite
def files(draw):
    end = draw(st.sampled_from(["\n", "\r\n"]))
    text = end.join(draw(st.lists(LINES, min_size=1, max_size=40)))
    return (text + draw(st.sampled_from(["", end]))).encode()


def as_bgzf(data: bytes, size: int) -> bytes:
    return b"".join(bgzf.make_block(data[i : i + size]) for i in range(0, len(data), size)) + bgzf.EOF_BLOCK


def as_members(data: bytes, size: int) -> bytes:
    return b"".join(gzip.compress(data[i : i + size], 1) for i in range(0, len(data), size))


WRITERS = {
    "text": lambda data, size: data,
    "gzip": lambda data, size: gzip.compress(data),
    "members": as_members,
    "bgzf": as_bgzf,
    "bgzf then gzip": lambda data, size: as_bgzf(data[: size * 3], size) + gzip.compress(data[size * 3 :]),
}


@given(files(), st.sampled_from(list(WRITERS)), st.data())
@settings(max_examples=80, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_reader_agrees_with_a_plain_one(tmp_path, monkeypatch, data, kind, choice):
    if not data:
        return
    size = choice.draw(st.integers(1, 200), "bytes of a chunk, block or member")
    monkeypatch.setattr(_chunks, "TEXT_CHUNK", size)
    monkeypatch.setattr(_chunks, "RAW_CHUNK", 2_000)
    monkeypatch.setattr(_chunks, "_BATCH", choice.draw(st.integers(1, 3), "blocks at a time"))
    path = tmp_path / "fragments"
    path.write_bytes(WRITERS[kind](data, size))
    check(path, data, choice.draw(st.sampled_from([1, 2, 8]), "threads"))


@pytest.fixture(scope="module")
def large() -> bytes:
    rng = np.random.default_rng(0)
    start = np.sort(rng.integers(0, 180_000_000, 15_000))
    cell = rng.integers(0, 9_000, 15_000)
    return b"".join(b"chr1\t%d\t%d\tACGTAC%dGT-1\t1\n" % (s, s + 100, c) for s, c in zip(start, cell, strict=True))


@pytest.mark.parametrize("n_jobs", [1, 2, 8])
@pytest.mark.parametrize("kind", ["text", "gzip", "bgzf"])
def test_many_chunks_lose_no_line(tmp_path, monkeypatch, large, kind, n_jobs):
    monkeypatch.setattr(_chunks, "TEXT_CHUNK", 20_001)
    monkeypatch.setattr(_chunks, "RAW_CHUNK", 66_000)
    path = tmp_path / "fragments"
    path.write_bytes(WRITERS[kind](large, 20_000))
    check(path, large, n_jobs)


def test_lines_longer_than_any_buffer(tmp_path, monkeypatch):
    monkeypatch.setattr(_chunks, "TEXT_CHUNK", 4096)
    long = "B" * 10_000
    data = f"chr1\t1\t2\tA\t1\nchr1\t3\t4\t{long}\t2\nchr1\t5\t6\tA\t1\t{'x' * 700_000}\nchr2\t7\t8\tA".encode()
    for kind in ("text", "bgzf"):
        path = tmp_path / kind
        path.write_bytes(WRITERS[kind](data, 60_000))
        check(path, data, 2)


def test_more_than_65535_barcodes(tmp_path):
    data = "".join(f"chr1\t{i}\t{i + 5}\tCELL{i}\n" for i in range(70_000)).encode()
    path = tmp_path / "fragments.tsv"
    path.write_bytes(data)
    reader = FileReader(path, Settings(GENOME))
    codes = np.concatenate([piece.cell for _, piece in reader.pieces(n_jobs=2)])
    np.testing.assert_array_equal(codes, np.arange(70_000))
    assert reader.names.decode(69_999) == ["CELL69999"]


def test_more_sequences_than_there_is_room_for(tmp_path):
    """Names of sequences outside the genome are told apart up to a number, and all lines counted."""
    path = tmp_path / "fragments.tsv"
    path.write_text("".join(f"contig{i}\t{i}\t{i + 5}\tA\n" for i in range(70_000)) + "chr2\t5\t9\tA\n")
    rows, reader = read(path, 2)
    assert rows == [(1, 5, 9, 0, 0)]
    skipped = reader.report.skipped_contigs
    assert sum(skipped.values()) == 70_000
    assert skipped["contig0"] == 1
    assert skipped["others"] > 0


def test_known_cells_keep_their_codes_and_others_are_counted(tmp_path):
    path = tmp_path / "fragments.tsv"
    path.write_text("".join(f"chr1\t{i}\t{i + 5}\t{name}\n" for i, name in enumerate(["c", "x", "a", "y", "x", "a"])))
    rows, reader = read(path, 1, cells=["a", "b", "c"], count_unmatched=True)
    assert [row[3] for row in rows] == [2, 0, 0]
    assert reader.report.n_unmatched == 3
    assert reader.report.n_unmatched_barcodes == 2
    assert reader.report.unmatched_barcodes == ["x", "y"]


def test_mitochondria_are_told_apart_when_the_genome_lacks_them(tmp_path):
    path = tmp_path / "fragments.tsv"
    path.write_text("chrM\t1\t2\tA\nchr1\t1\t2\tA\nMT\t5\t9\tA\nPt\t5\t9\tA\nChrC\t5\t9\tA\n")
    reader = FileReader(path, Settings(Genome({"chr1": 100})))
    assert {chrom: len(piece.start) for chrom, piece in reader.pieces()} == {0: 1, 1: 4}


def test_column_names_without_hash_are_a_header(tmp_path):
    path = tmp_path / "fragments.tsv"
    path.write_text("# made by x\nchrom\tstart\tend\tbarcode\tcount\nchr1\t1\t2\tA\t1\n")
    reader = FileReader(path, Settings(GENOME))
    assert sum(len(piece.start) for _, piece in reader.pieces()) == 1
    assert reader.report.n_comments == 2


@pytest.mark.skipif(not hasattr(signal, "pthread_kill"), reason="signals cannot be sent to a thread")
@pytest.mark.usefixtures("interruptible")
def test_ctrl_c_leaves_a_chromosome_in_the_middle(tmp_path, monkeypatch):
    (tmp_path / "x.tsv").write_bytes(b"chr1\t5\t9\tA\t1\n")
    whole = []

    def chromosome_without_end(path, _kind, _note):
        time.sleep(0.5)  # a signal on the way into a wait would be seen only at its end
        late = time.monotonic() + 10
        signal.pthread_kill(threading.main_thread().ident, signal.SIGINT)
        while time.monotonic() < late:
            yield _chunks.Text(np.frombuffer(path.read_bytes(), np.uint8))
        whole.append(path)

    monkeypatch.setattr(_reader, "read_chunks", chromosome_without_end)
    with pytest.raises(KeyboardInterrupt):
        next(open_fragments(tmp_path / "x.tsv", genome=GENOME).chromosomes(n_jobs=1))
    assert not whole
    assert not any(thread.name.startswith(("ahead", "fragments")) for thread in threading.enumerate())
