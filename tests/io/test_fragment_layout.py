from __future__ import annotations

import gzip

import pytest

import scatacworks as sca
from scatacworks._core import bgzf
from scatacworks.io import _layout, _source
from scatacworks.io._source import open_fragments

GENOME = sca.Genome({f"chr{i}": 100_000 for i in range(1, 31)}, name="toy")


def lines(chroms, n):
    return "".join(f"{c}\t{i}\t{i + 9}\tA\t1\n" for c, k in zip(chroms, n, strict=True) for i in range(k)).encode()


@pytest.fixture(autouse=True)
def look_into_small_files(monkeypatch):
    monkeypatch.setattr(_layout, "SMALL", 1)


@pytest.fixture(params=["text", "bgzf"])
def write(request, tmp_path):
    def write(text: bytes):
        path = tmp_path / "f.tsv"
        blocks = [bgzf.make_block(text[i : i + 3_001]) for i in range(0, len(text), 3_001)]
        path.write_bytes(text if request.param == "text" else b"".join(blocks) + bgzf.EOF_BLOCK)
        return path, request.param

    return write


@pytest.mark.parametrize("step", [1, 7, 11])
def test_every_chromosome_of_a_grouped_file_is_found(write, step):
    """One-line chromosomes among large ones, in any order."""
    order = [(i * step) % 30 for i in range(30)]
    sizes = [1 if code % 3 else 20_000 for code in order]
    path, kind = write(b"# header\n" + lines([f"chr{code + 1}" for code in order], sizes))
    assert _layout.chromosome_order(path, kind, GENOME) == order


def test_samples_one_after_the_other_are_not_grouped(write):
    path, kind = write(lines(["chr1", "chr2"], [20_000, 20_000]) * 2)
    assert _layout.chromosome_order(path, kind, GENOME) is None


def test_ordinary_gzip_is_not_looked_into(tmp_path):
    path = tmp_path / "f.gz"
    path.write_bytes(gzip.compress(lines(["chr1"], [1000])))
    assert _layout.chromosome_order(path, "gzip", GENOME) is None


@pytest.mark.parametrize("step", [1, 7])
def test_sorted_files_stream(write, step, monkeypatch):
    """Few chromosomes are in memory at a time when the file has the genome's order; the result is the same in any."""
    kept = []
    add = _source.Spool.add

    def watched(self, chrom, piece):
        add(self, chrom, piece)
        kept.append(len(self.chroms))

    monkeypatch.setattr(_source.Spool, "add", watched)
    monkeypatch.setattr("scatacworks.io._chunks.TEXT_CHUNK", 20_000)
    monkeypatch.setattr("scatacworks.io._chunks.RAW_CHUNK", 10_000)
    path, _ = write(lines([f"chr{(i * step) % 30 + 1}" for i in range(30)], [5_000] * 30))
    source = open_fragments(path, genome=GENOME, cells=["A"])
    assert [(block.chrom, len(block)) for block in source.chromosomes(n_jobs=2)] == [(i, 5_000) for i in range(30)]
    assert max(kept) <= 2 if step == 1 else max(kept) > 2


def test_real_file_in_alphabetical_order(shared_data):
    path = shared_data / "scatac_small" / "mini_hg19_allchrom.fragments.tsv.gz"
    genome = sca.Genome("hg19")
    with gzip.open(path, "rt") as file:
        names = list(dict.fromkeys(line.split("\t")[0] for line in file))
    assert _layout.chromosome_order(path, "bgzf", genome) == genome.resolve(names).tolist()
    blocks = list(open_fragments(path, genome=genome).chromosomes())
    assert [block.chrom for block in blocks] == sorted(block.chrom for block in blocks)
    assert sum(map(len, blocks)) == 14_678
