from __future__ import annotations

import gzip
import logging
import warnings

import anndata as ad
import mudata
import numpy as np
import pandas as pd
import pysam
import pytest

import scatacworks as sca
from scatacworks.io._fragments import paired_matrix
from scatacworks.io._reader import FileReader
from scatacworks.io._source import open_fragments

GENOME = sca.Genome({"chr1": 10_000, "chr2": 5_000, "chrM": 1_000}, name="toy")
ROWS = [
    ("chr1", 100, 300, "AAAC-1", 2),
    ("chr1", 100, 250, "TTTG-1", 1),
    ("chr1", 400, 500, "AAAC-1", 1),
    ("chr2", 10, 90, "AAAC-1", 1),
    ("chr2", 10, 95, "CCCC-1", 4),
    ("chrM", 0, 1_000, "TTTG-1", 1),
]


def write(path, rows=ROWS, end="\n"):
    path.write_text("".join("\t".join(map(str, row)) + end for row in rows))
    return path


def read(path, **options):
    return sca.io.read_fragments(path, **({"genome": GENOME, "min_fragments": 1, "progress": False} | options))


def rows_of(data, **options):
    source = open_fragments(data, **options)
    rows = []
    for block in source.chromosomes():
        chrom = source.genome.chroms[block.chrom]
        columns = (block.start, block.end, block.cell, block.count)
        rows += [(chrom, s, e, source.cells[c], n) for s, e, c, n in zip(*(x.tolist() for x in columns), strict=True)]
    return rows


def expected_rows(rows=ROWS):
    return sorted(rows, key=lambda row: (GENOME.code(row[0]), row[1], row[2]))


@pytest.fixture
def path(tmp_path):
    return write(tmp_path / "fragments.tsv")


def test_quality_of_each_cell_by_hand(path):
    obs = read(path).obs
    assert obs["n_fragments"].to_dict() == {"AAAC-1": 3, "TTTG-1": 1, "CCCC-1": 1}
    assert obs["frac_dup"].to_dict() == pytest.approx({"AAAC-1": 1 / 4, "TTTG-1": 0, "CCCC-1": 3 / 4})
    assert obs["frac_mito"].to_dict() == {"AAAC-1": 0, "TTTG-1": 0.5, "CCCC-1": 0}


def test_slots(path):
    adata = read(path)
    assert adata.shape == (3, 0)
    assert adata.uns["files"]["fragments"] == str(path.absolute())
    assert sca.Genome.from_frame(adata.uns["reference_sequences"]) == GENOME
    assert adata.uns["scatacworks"]["genome"] == "toy"
    assert adata.uns["scatacworks"]["fragments"]["n_lines"] == 6


@pytest.mark.parametrize("several", [False, True])
def test_a_file_that_was_replaced_is_told(path, tmp_path, caplog, several):
    def warned():
        return [record.getMessage() for record in caplog.records if "bytes" in record.getMessage()]

    other = write(tmp_path / "other.tsv")
    adata = read({"a": path, "b": other} if several else path)
    adata.write_h5ad(tmp_path / "cells.h5ad")
    back = ad.read_h5ad(tmp_path / "cells.h5ad")
    size = path.stat().st_size
    moved = path.rename(tmp_path / "moved.tsv")
    if several:
        back.uns["files"]["fragments"]["a"] = str(moved)
    else:
        back.uns["files"]["fragments"] = str(moved)
    rows_of(back)
    assert warned() == []
    write(moved, [*ROWS, ("chrM", 5, 900, "TTTG-1", 1)])
    rows_of(back)
    (told,) = warned()
    assert f"moved.tsv has {moved.stat().st_size} bytes; it had {size} when its cells were read" in told


@pytest.mark.parametrize("kind", ["h5ad", "zarr"])
@pytest.mark.parametrize("in_memory", [False, True])
def test_survives_writing_and_reading_back(path, tmp_path, kind, in_memory):
    adata = read(path, in_memory=in_memory)
    getattr(adata, f"write_{kind}")(tmp_path / "cells")
    back = getattr(ad, f"read_{kind}")(tmp_path / "cells")
    pd.testing.assert_frame_equal(back.obs, adata.obs, check_index_type=False)
    count = (lambda row: (*row[:4], 0)) if in_memory else (lambda row: row)
    assert rows_of(back) == [count(row) for row in expected_rows()]
    assert rows_of(back[1:]) == [count(row) for row in expected_rows() if row[3] != "AAAC-1"]


def test_survives_in_mudata(path, tmp_path):
    rna = ad.AnnData(np.ones((3, 2), np.float32), obs=pd.DataFrame(index=["AAAC-1", "TTTG-1", "CCCC-1"]))
    mdata = mudata.MuData({"rna": rna, "atac": read(path)})
    mdata.write_h5mu(tmp_path / "cells.h5mu")
    assert rows_of(mudata.read_h5mu(tmp_path / "cells.h5mu")) == expected_rows()
    with pytest.raises(KeyError, match="no modality 'peaks'; it has 'rna', 'atac'"):
        open_fragments(mdata, mod="peaks")


@pytest.mark.parametrize("order", ["position", "barcode", "none", "chromosomes backwards"])
def test_order_of_the_file_changes_nothing(tmp_path, order):
    keys = {
        "position": lambda row: (row[0], row[1]),
        "barcode": lambda row: row[3],
        "none": lambda row: hash(row) % 7,
        "chromosomes backwards": lambda row: (-GENOME.code(row[0]), row[1]),
    }
    path = write(tmp_path / "fragments.tsv", sorted(ROWS, key=keys[order]))
    assert rows_of(path, genome=GENOME, cells=["AAAC-1", "CCCC-1", "TTTG-1"]) == expected_rows()


def test_spelling_of_chromosomes_and_line_ends_change_nothing(tmp_path):
    bare = [(row[0].removeprefix("chr").replace("M", "MT"), *row[1:]) for row in ROWS]
    assert rows_of(write(tmp_path / "bare.tsv", bare, end="\r\n"), genome=GENOME) == expected_rows()


def test_other_sequences_are_skipped_and_counted(tmp_path, caplog):
    path = write(tmp_path / "fragments.tsv", [*ROWS, ("KI270728.1", 5, 9, "AAAC-1", 1), ("KI270728.1", 5, 9, "ZZ", 1)])
    with caplog.at_level(logging.INFO, logger="scatacworks"):
        adata = read(path)
    assert adata.obs_names.tolist() == ["AAAC-1", "TTTG-1", "CCCC-1"]
    assert "KI270728.1 2" in caplog.text
    assert adata.uns["scatacworks"]["fragments"]["n_on_skipped_contigs"] == 2


def test_a_file_mostly_of_other_sequences_is_warned_of(tmp_path, caplog):
    """Of a fly read as human only chr4 and chrX would be left."""
    path = write(tmp_path / "fragments.tsv", [*ROWS, *[("chr2L", 5, 9, "AAAC-1", 1)] * len(ROWS)])
    with caplog.at_level(logging.WARNING, logger="scatacworks"):
        read(path)
    assert "50 % of its lines lie on sequences that" in caplog.text
    assert "such as chr2L" in caplog.text


@pytest.mark.parametrize("with_organelles", [True, False])
def test_plastids_are_no_nuclear_fragments(tmp_path, with_organelles):
    rows = [("Chr1", 5, 90, "A", 1), ("Chr2", 5, 90, "A", 1), ("Mt", 5, 90, "A", 1), ("ChrC", 5, 90, "A", 1)]
    path = write(tmp_path / "fragments.tsv", [*rows, ("Pt", 7, 90, "A", 1)])
    genome = {"1": 500, "2": 500} | ({"Mt": 200, "Pt": 100} if with_organelles else {})
    adata = sca.io.read_fragments(path, genome=genome, min_fragments=1, progress=False)
    for step in range(2):
        assert adata.obs["n_fragments"].tolist() == [2]
        assert adata.obs["frac_mito"].tolist() == [3 / 5]
        if step == 0:
            with warnings.catch_warnings(action="ignore"):  # no genes
                sca.pp.qc_metrics(
                    adata, peaks=[("1", 0, 50), *([("Pt", 0, 50)] if with_organelles else [])], progress=False
                )
    assert adata.obs["frip"].tolist() == [1 / 2]


def test_an_organelle_of_another_name_is_pointed_out(tmp_path, caplog):
    """Of an assembly in RefSeq's names nobody knows which sequence is the mitochondrion but by its fragments."""
    rng = np.random.default_rng(0)
    sizes = {"NC_1.1": 3_000_000, "NC_2.1": 2_500_000, "NC_3.1": 15_000, "NC_4.1": 15_000}
    counts = {"NC_1.1": 3_000, "NC_2.1": 2_500, "NC_3.1": 700, "NC_4.1": 15}
    rows = [(c, s := int(rng.integers(0, sizes[c] - 90)), s + 80, "A", 1) for c, n in counts.items() for _ in range(n)]
    path = write(tmp_path / "fragments.tsv", rows)
    sca.io.read_fragments(path, genome=sizes, progress=False)
    assert "11 % of the fragments lie on NC_3.1. If" in caplog.text
    assert "organelles=['NC_3.1']" in caplog.text
    caplog.clear()
    genome = sca.Genome(sizes, organelles=["NC_3.1"])
    adata = sca.io.read_fragments(path, genome=genome, progress=False)
    assert "organelles" not in caplog.text
    assert adata.obs["frac_mito"].tolist() == [pytest.approx(700 / 6_215)]
    adata.obs["type"] = "x"
    sca.pp.pseudobulk(adata, "type", progress=False)
    assert adata.uns["pseudobulk"]["params"]["territory_bp"] == pytest.approx(5_515_000)


@pytest.mark.parametrize("barcodes", [None, ["AAAC-1"]])
def test_mitochondria_alone_do_not_hide_another_genome(tmp_path, barcodes):
    path = write(tmp_path / "fragments.tsv", [("chrI", 5, 90, "AAAC-1", 1), ("MT", 5, 90, "AAAC-1", 1)])
    with pytest.raises(ValueError, match=r"No fragment of .* lies on a chromosome of custom; the file has 'chrI'"):
        sca.io.read_fragments(path, genome={"chr1": 500}, barcodes=barcodes, progress=False)


def test_columns_beyond_the_fifth_and_missing_counts(tmp_path):
    path = tmp_path / "fragments.tsv"
    path.write_text("chr1\t1\t5\tA\t3\t+\nchr1\t2\t5\tA\nchr1\t3\t5\tA\t.\t-\n")
    assert [row[4] for row in rows_of(path, genome=GENOME)] == [3, 0, 0]
    assert read(path).obs["frac_dup"].tolist() == pytest.approx([1 - 1 / 3])
    written = sca.io.write_fragments(path, tmp_path / "written.tsv", genome=GENOME, progress=False).read_text()
    assert [line.split("\t")[4] for line in written.splitlines()] == ["3", "1", "1"]


def test_duplicates_are_unknown_without_their_column(path, tmp_path):
    (tmp_path / "four.tsv").write_text("chr1\t1\t5\tA\nchr1\t2\t5\tA\nchr1\t3\t5\tB\n")
    cells = [read(tmp_path / "four.tsv"), read(path, bulk=True), read(path, in_memory=True)]
    assert all(np.isnan(adata.obs["frac_dup"]).all() for adata in cells[:2])
    del cells[2].obs["frac_dup"]  # the matrix kept in memory has no numbers of reads
    for adata in cells:
        with warnings.catch_warnings(action="ignore"):  # no genes
            sca.pp.qc_metrics(adata, progress=False)
    assert np.isnan(np.concatenate([adata.obs["frac_dup"] for adata in cells])).all()
    alone = read(path, barcodes=["AAAC-1", "GGGG-1"], min_fragments=0).obs
    assert alone["frac_dup"].tolist() == pytest.approx([1 / 4, np.nan], nan_ok=True)
    assert alone["frac_mito"].tolist() == pytest.approx([0, np.nan], nan_ok=True)


def test_barcodes_as_list_file_and_table(path, tmp_path):
    names = ["CCCC-1", "AAAC-1", "GGGG-1"]
    table = pd.DataFrame({"celltype": ["b", "a", "c"]}, index=names)
    (tmp_path / "names.txt").write_text("\n".join(names))
    with gzip.open(tmp_path / "names.txt.gz", "wt") as file:
        file.write("\n".join(names))
    table.to_csv(tmp_path / "table.csv")
    table.rename_axis("barcode").to_csv(tmp_path / "table.tsv", sep="\t")
    for barcodes in (
        names,
        table,
        *(tmp_path / name for name in ("names.txt", "names.txt.gz", "table.csv", "table.tsv")),
    ):
        adata = read(path, barcodes=barcodes, min_fragments=None)
        assert adata.obs["n_fragments"].to_dict() == {"CCCC-1": 1, "AAAC-1": 3, "GGGG-1": 0}
    assert adata.obs["celltype"].tolist() == ["b", "a", "c"]
    assert adata.uns["scatacworks"]["fragments"]["n_unmatched"] == 2
    assert read(path, barcodes=names, min_fragments=2).obs_names.tolist() == ["AAAC-1"]
    with pytest.raises(ValueError, match=r"No barcode of barcodes= has 9 .* leave it out to keep all of them\.$"):
        read(path, barcodes=names, min_fragments=9)


@pytest.mark.parametrize("called", ["is__cell_barcode", "is_cell"])
def test_called_cells_of_10x_are_taken(path, tmp_path, called):
    table = pd.DataFrame({"barcode": ["NO_BARCODE", "AAAC-1", "TTTG-1"], "total": [9, 8, 7], called: [0, 1, 0]})
    table.to_csv(tmp_path / "singlecell.csv", index=False)
    assert read(path, barcodes=tmp_path / "singlecell.csv").obs_names.tolist() == ["AAAC-1"]


def test_few_matching_barcodes_are_warned_of(path, caplog):
    read(path, barcodes=["AAAC-1", "X1", "X2"])
    assert "only 1 of the 3 barcodes" in caplog.text


def test_small_barcodes_are_dropped_and_counted(path, caplog):
    with caplog.at_level(logging.INFO, logger="scatacworks"):
        assert read(path, min_fragments=2).obs_names.tolist() == ["AAAC-1"]
    assert "2 barcodes with fewer than 2 fragments left out" in caplog.text
    with pytest.raises(ValueError, match=r"No barcode has 200 fragments or more \(the largest has 3\)"):
        read(path, min_fragments=None)


class TestSamples:
    @pytest.fixture
    def paths(self, tmp_path):
        return {
            "a": write(tmp_path / "a.tsv"),
            "b_1": write(tmp_path / "b.tsv", [row for row in ROWS if row[0] == "chr1"]),
        }

    def test_names_and_counts(self, paths):
        adata = read(paths)
        assert adata.obs_names.tolist() == ["a:AAAC-1", "a:TTTG-1", "a:CCCC-1", "b_1:AAAC-1", "b_1:TTTG-1"]
        assert adata.obs["sample"].tolist() == ["a", "a", "a", "b_1", "b_1"]
        assert adata.obs["n_fragments"].tolist() == [3, 1, 1, 2, 1]
        assert adata.uns["files"]["fragments"] == {name: str(path) for name, path in paths.items()}

    def test_fragments_of_all_samples_come_together(self, paths, tmp_path):
        adata = read(paths)
        adata.write_h5ad(tmp_path / "cells.h5ad")
        rows = rows_of(ad.read_h5ad(tmp_path / "cells.h5ad"))
        expected = [(r[0], r[1], r[2], f"a:{r[3]}", r[4]) for r in ROWS]
        expected += [(r[0], r[1], r[2], f"b_1:{r[3]}", r[4]) for r in ROWS if r[0] == "chr1"]
        assert sorted(rows) == sorted(expected)
        assert [row[:3] for row in rows] == sorted((r[:3] for r in expected), key=lambda r: (GENOME.code(r[0]), *r[1:]))

    @pytest.mark.parametrize(("n_jobs", "each"), [(1, 1), (2, 1), (5, 2)])
    def test_samples_share_threads_and_memory(self, paths, monkeypatch, n_jobs, each):
        adata, asked, pieces = read(paths), [], FileReader.pieces

        def noted(reader, *, n_jobs, progress):
            asked.append(n_jobs)
            return pieces(reader, n_jobs=n_jobs, progress=progress)

        monkeypatch.setattr(FileReader, "pieces", noted)
        source = open_fragments(adata)
        blocks = list(source.chromosomes(n_jobs=n_jobs))
        assert sum(map(len, blocks)) == 9
        assert asked == [each, each]
        for block, one_thread in zip(blocks, source.chromosomes(n_jobs=1), strict=True):
            assert block.chrom == one_thread.chrom
            for column in ("start", "end", "cell", "count"):
                np.testing.assert_array_equal(getattr(block, column), getattr(one_thread, column))
        assert sum(one.memory for one in source.sources.values()) <= 2 << 30

    @pytest.mark.parametrize("form", ["{s}:{b}", "{s}#{b}", "{b}-{s}", "{b}_{s}", "{s}_{b}", "{b}___{s}"])
    def test_other_ways_to_name_cells(self, paths, form):
        adata = read(paths)
        split = [name.split(":") for name in adata.obs_names]
        adata.obs_names = [form.format(s=s, b=b) for s, b in split]
        rows = rows_of(adata[["CCCC" in name or "b_1" in name for name in adata.obs_names]])
        assert [row[:3] for row in rows] == [
            ("chr1", 100, 250),
            ("chr1", 100, 300),
            ("chr1", 400, 500),
            ("chr2", 10, 95),
        ]

    def test_barcodes_per_sample_or_in_one_list(self, paths):
        per_sample = read(paths, barcodes={"a": ["AAAC-1"], "b_1": ["TTTG-1"]})
        together = read(paths, barcodes=["a:AAAC-1", "b_1:TTTG-1"])
        assert per_sample.obs_names.tolist() == together.obs_names.tolist() == ["a:AAAC-1", "b_1:TTTG-1"]
        with pytest.raises(KeyError, match="no entry for the sample"):
            read(paths, barcodes={"a": ["AAAC-1"]})
        with pytest.raises(ValueError, match="Cannot tell the sample of the cell 'AAAC-1'"):
            read(paths, barcodes=["AAAC-1"])

    def test_bulk_samples_without_barcodes(self, tmp_path):
        paths = {name: write(tmp_path / name, [row[:n] for row in ROWS]) for name, n in (("x", 3), ("y", 4))}
        adata = read(paths, bulk=True)
        assert adata.obs["n_fragments"].to_dict() == {"x": 5, "y": 5}
        assert adata.obs["sample"].tolist() == ["x", "y"]
        assert sorted(rows_of(adata)) == sorted((*row[:3], name, 0) for row in ROWS for name in "xy")

    def test_a_name_that_cannot_be_stored(self, path):
        with pytest.raises(ValueError, match="sample name 'a/b' cannot be stored"):
            read({"a/b": path})


def test_bulk_file_is_one_cell(tmp_path):
    path = write(tmp_path / "heart.bed", [row[:3] for row in ROWS])
    adata = read(path, bulk=True)
    assert adata.obs["n_fragments"].to_dict() == {"heart": 5}
    assert rows_of(adata) == [(*row[:3], "heart", 0) for row in expected_rows()]


class TestInMemory:
    def test_matrix_is_starts_and_lengths(self, path):
        adata = read(path, in_memory=True)
        matrix = adata.obsm["fragment_paired"]
        assert matrix.shape == (3, 16_000)
        assert matrix.dtype == np.uint32
        first = matrix[0].tocoo()
        assert dict(zip(first.col.tolist(), first.data.tolist(), strict=True)) == {100: 200, 400: 100, 10_010: 80}

    def test_no_file_is_read(self, path):
        adata = read(path, in_memory=True)
        path.unlink()
        assert [row[:4] for row in rows_of(adata)] == [row[:4] for row in expected_rows()]

    def test_fragments_with_one_start_stay_two(self, tmp_path):
        path = write(tmp_path / "f.tsv", [("chr1", 5, 9, "A", 1), ("chr1", 5, 19, "A", 1), ("chr1", 5, 9, "A", 1)])
        assert [row[1:3] for row in rows_of(read(path, in_memory=True))] == [(5, 9), (5, 9), (5, 19)]

    def test_another_genome_reorders_and_skips(self, path):
        adata = read(path, in_memory=True)
        source = open_fragments(adata, genome={"2": 5_000, "1": 10_000})
        assert [(block.chrom, len(block)) for block in source.chromosomes()] == [(0, 2), (1, 3)]
        assert source.report.skipped_contigs == {"chrM": 1}

    def test_matrix_and_sizes_must_fit(self, path):
        adata = read(path, in_memory=True)
        adata.uns["reference_sequences"] = sca.Genome({"chr1": 10_001}).to_frame()
        with pytest.raises(ValueError, match="have 10,001 bases; they must be equal"):
            open_fragments(adata)

    def test_paired_matrix_of_a_selection(self, path):
        matrix = paired_matrix(open_fragments(read(path), cells=["CCCC-1"]))
        assert matrix.nnz == 1


class TestWriting:
    @pytest.mark.parametrize("name", ["out.tsv", "out.tsv.gz"])
    def test_what_is_written_reads_the_same(self, path, tmp_path, name):
        adata = read(path)
        written = sca.io.write_fragments(adata, tmp_path / name, progress=False)
        assert rows_of(written, genome=GENOME) == expected_rows()
        assert not list(tmp_path.glob(".*"))

    def test_tabix_finds_regions(self, path, tmp_path):
        written = sca.io.write_fragments(read(path), tmp_path / "out.tsv.gz", progress=False)
        with pysam.TabixFile(str(written)) as file:
            assert list(file.fetch("chr2", 0, 11)) == ["chr2\t10\t90\tAAAC-1\t1", "chr2\t10\t95\tCCCC-1\t4"]

    def test_only_some_cells(self, path, tmp_path):
        sca.io.write_fragments(read(path), tmp_path / "out.tsv", cells=["CCCC-1"], progress=False)
        assert (tmp_path / "out.tsv").read_text() == "chr2\t10\t95\tCCCC-1\t4\n"

    def test_nothing_is_left_of_a_failure(self, path, tmp_path):
        adata = read(path)
        path.write_text("chr1\t1\t2\n")
        with pytest.raises(ValueError, match="three columns and no barcode"):
            sca.io.write_fragments(adata, tmp_path / "out.tsv.gz", progress=False)
        assert [file.name for file in tmp_path.iterdir()] == ["fragments.tsv"]

    def test_into_a_folder(self, path, tmp_path):
        with pytest.raises(IsADirectoryError, match="is a folder; give the name of a file"):
            sca.io.write_fragments(read(path), tmp_path)


def test_real_cells(shared_data):
    folder = shared_data / "pbmc10k_windows"
    adata = sca.io.read_fragments(
        folder / "fragments.tsv.gz", genome="hg38", barcodes=folder / "cells.tsv", progress=False, n_jobs=2
    )
    with gzip.open(folder / "fragments.tsv.gz", "rt") as file:
        lines = [line.split("\t") for line in file.read().splitlines()]
    table = pd.DataFrame(lines, columns=["chrom", "start", "end", "barcode", "count"]).astype({"count": int})
    n = table.groupby("barcode").size().reindex(adata.obs_names, fill_value=0)
    reads = table.groupby("barcode")["count"].sum().reindex(adata.obs_names, fill_value=0)
    np.testing.assert_array_equal(adata.obs["n_fragments"], n)
    np.testing.assert_allclose(adata.obs["frac_dup"], 1 - n / reads.where(reads > 0))
    assert adata.obs["n_fragments"].sum() == 89_025
    assert "celltype" in adata.obs


@pytest.mark.parametrize("name", ["pbmc150_hg19_chr5_chr11", "mini_hg19_allchrom"])
def test_real_files_agree_with_pysam(shared_data, name):
    path = shared_data / "scatac_small" / f"{name}.fragments.tsv.gz"
    with pysam.TabixFile(str(path)) as file:
        rows = [row.split("\t") for row in file.fetch()]
    genome = sca.Genome("hg19")
    expected = sorted((genome.code(r[0]), int(r[1]), int(r[2]), r[3]) for r in rows)
    ours = sorted((genome.code(r[0]), r[1], r[2], r[3]) for r in rows_of(path, genome=genome))
    assert ours == expected


@pytest.mark.parametrize("several", [False, True])
def test_fragments_are_not_written_over_themselves(path, several):
    before = path.read_bytes()
    adata = read({"a": path} if several else path)
    with pytest.raises(ValueError, match="is read for these fragments, and would lose those of other cells"):
        sca.io.write_fragments(adata[:1], path.parent / "." / path.name, progress=False)
    assert path.read_bytes() == before


def test_chromosomes_beyond_the_reach_of_tabix_have_another_index(tmp_path):
    """Of wheat, and of the axolotl, whose chromosomes exceed 512 Mb."""
    pysam = pytest.importorskip("pysam")
    sizes = {"1A": 594_000_000, "2q": 2_147_483_647}
    rows = [
        ("1A", 593_999_000, 593_999_100, "A", 1),
        ("2q", 5, 90, "A", 1),
        ("2q", 2_147_483_547, 2_147_483_647, "A", 2),
    ]
    path = write(tmp_path / "fragments.tsv", rows)
    out = sca.io.write_fragments(path, tmp_path / "out.tsv.gz", genome=sizes, progress=False)
    with pysam.TabixFile(str(out), index=f"{out}.csi") as file:
        assert [line.split("\t")[1] for line in file.fetch("2q", 2_000_000_000)] == ["2147483547"]
    adata = sca.io.read_fragments(out, genome=sizes, min_fragments=1, progress=False)
    assert adata.obs["n_fragments"].tolist() == [3]
    adata.obs["type"] = "x"
    sca.pp.pseudobulk(adata, "type", progress=False)
    assert sca.get.track(adata, "x", ("2q", 2_147_483_500, 2_147_483_647), extend=0).nonzero()[0].tolist() == [47, 146]
    assert sca.get.track(adata, "x", ("2q", 2_147_483_500, 2_147_483_647), extend=100).max() == 2


@pytest.mark.parametrize("name", ["a\tb", "a\nchr1\t1\t2\tb", "a\r"])
def test_names_that_would_be_several_columns_or_lines_are_not_written(tmp_path, name):
    (tmp_path / "f.tsv").write_text("chr1\t10\t90\tA\t1\nchr1\t20\t80\tB\t1\n")
    adata = sca.io.read_fragments(
        tmp_path / "f.tsv", genome={"chr1": 100}, min_fragments=1, in_memory=True, progress=False
    )
    adata.obs_names = ["A", name]
    with pytest.raises(ValueError, match=r"The cell 'a.*' has a tab or a line end in its name"):
        sca.io.write_fragments(adata, tmp_path / "out.tsv", progress=False)
    assert not (tmp_path / "out.tsv").exists()


def test_a_sample_of_which_no_cell_is_wanted_is_read_without_complaint(tmp_path):
    rows = [*ROWS, ("chrUn_1", 5, 60, "AAAC-1", 1)]  # on no chromosome of the genome
    paths = {name: write(tmp_path / f"{name}.tsv", rows) for name in ("a", "b")}
    adata = read(paths, barcodes=["b:TTTG-1", "b:AAAC-1"])
    assert adata.obs["n_fragments"].to_dict() == {"b:TTTG-1": 1, "b:AAAC-1": 3}
