from __future__ import annotations

import gzip

import anndata
import numpy as np
import pandas as pd
import pytest

import scatacworks as sca

PEAKS = pd.DataFrame(
    {
        "group": pd.Categorical(["NK/T", "NK/T", "naïve B"], categories=["NK/T", "naïve B", "empty"]),
        "chrom": ["chr1", "chr2", "chr1"],
        "start": [100, 5, 90],
        "end": [300, 45, 210],
        "summit": [180, 20, 209],
        "mean": [2.0, 1.0, 3.0],
        "max": [4.0, 1.0, 8.0],
    }
)


@pytest.fixture
def adata():
    return anndata.AnnData(np.zeros((1, 0), np.float32), uns={"peaks": PEAKS})


def test_narrowpeak_has_the_ten_columns_of_the_format(adata, tmp_path):
    files = sca.io.write_peaks(adata, tmp_path)
    assert {group: file.name for group, file in files.items()} == {
        "NK/T": "NK_T.narrowPeak",
        "naïve B": "naïve_B.narrowPeak",
        "empty": "empty.narrowPeak",
    }
    first = files["NK/T"].read_text().splitlines()[0].split("\t")
    assert [*first[:4], *first[5:]] == ["chr1", "100", "300", "NK/T_1", ".", "4", "-1", "-1", "80"]
    assert 0 < int(first[4]) <= 1000
    assert files["empty"].read_text() == ""


@pytest.mark.parametrize("ending", [".narrowPeak", ".narrowPeak.gz", ".bed", ".bed.gz", ".BED.bgz"])
def test_one_file_of_all_groups_comes_back(adata, tmp_path, ending):
    path = sca.io.write_peaks(adata, tmp_path / f"all{ending}")["NK/T"]
    back = sca.io.read_peaks(path)
    shared = ["chrom", "start", "end"] + ["summit"] * ("narrow" in ending)
    expected = PEAKS[shared].sort_values(["chrom", "start"], ignore_index=True)
    pd.testing.assert_frame_equal(back[shared], expected, check_dtype=False)
    assert back["name"].tolist() == ["naïve_B_1", "NK/T_1", "NK/T_2"]


def test_tabix_indexes_a_file_of_several_groups(tmp_path):
    pysam = pytest.importorskip("pysam")
    chroms = ["chr2", "chr10"]
    rows = [(g, c, s, s + 50) for g in ("A", "B") for c in chroms for s in (100, 9_000)]
    table = pd.DataFrame(rows, columns=["group", "chrom", "start", "end"])
    for kind in (str, pd.CategoricalDtype(chroms)):
        path = sca.io.write_peaks(table.astype({"chrom": kind}), tmp_path / "all.bed.gz")["A"]
        pysam.tabix_index(str(path), preset="bed", force=True)
        with pysam.TabixFile(str(path)) as index:
            assert index.contigs == chroms
            assert [line.split("\t")[3] for line in index.fetch("chr2", 0, 1_000)] == ["A_1", "B_1"]


def test_tables_of_other_packages_are_written_as_they_name_their_columns(tmp_path):
    expected = sca.io.write_peaks(PEAKS, tmp_path / "ours.bed")["NK/T"].read_text()
    named = {"chrom": "Chromosome", "start": "Start", "end": "End"}  # pyranges
    assert sca.io.write_peaks(PEAKS.rename(columns=named), tmp_path / "theirs.bed")["NK/T"].read_text() == expected
    index = [f"{row.chrom}:{row.start}-{row.end}" for row in PEAKS.itertuples()]
    by_name = PEAKS.drop(columns=["chrom", "start", "end"]).set_axis(index)
    assert sca.io.write_peaks(by_name, tmp_path / "names.bed")["NK/T"].read_text() == expected


@pytest.mark.parametrize("compress", [True, False])
def test_groups_come_back_from_a_folder_or_a_dict(adata, tmp_path, compress):
    files = sca.io.write_peaks(adata, tmp_path / "peaks", compress=compress)
    by_dict = sca.io.read_peaks(files)
    assert by_dict["group"].tolist() == ["NK/T", "NK/T", "naïve B"]
    assert by_dict["signal"].tolist() == [4, 1, 8]
    (tmp_path / "peaks" / "._empty.narrowPeak").write_bytes(b"\0\5\x16\7")  # which macOS leaves on other disks
    assert set(sca.io.read_peaks(tmp_path / "peaks")["group"].cat.categories) == {"NK_T", "naïve_B", "empty"}


def test_compressed_files_can_be_indexed(adata, tmp_path):
    pysam = pytest.importorskip("pysam")
    path = sca.io.write_peaks(PEAKS.sort_values(["chrom", "start"]), tmp_path / "a.bed.gz")["NK/T"]
    pysam.tabix_index(str(path), preset="bed")
    assert [row.split("\t")[1] for row in pysam.TabixFile(str(path), encoding="utf8").fetch("chr1", 0, 1000)] == [
        "90",
        "100",
    ]


def test_lines_end_alike_on_every_system(adata, tmp_path, monkeypatch):
    expected = [file.read_bytes() for file in sca.io.write_peaks(adata, tmp_path / "here").values()]
    monkeypatch.setattr("os.linesep", "\r\n")
    there = sca.io.write_peaks(adata, tmp_path / "there").values()
    zipped = sca.io.write_peaks(adata, tmp_path / "zipped", compress=True).values()
    assert [file.read_bytes() for file in there] == expected
    assert [gzip.decompress(file.read_bytes()) for file in zipped] == expected


def test_a_table_without_groups_is_written(tmp_path):
    path = sca.io.write_peaks(PEAKS[["chrom", "start", "end"]], tmp_path / "a.bed")["peaks"]
    assert path.read_text().splitlines()[1] == "chr2\t5\t45\tpeak_2\t0\t."
    folder = sca.io.write_peaks(PEAKS[["chrom", "start", "end"]], tmp_path / "folder", format="bed")
    assert folder["peaks"].read_text() == path.read_text()


def test_positions_are_written_as_whole_numbers(tmp_path):
    peaks = pd.DataFrame({"chrom": "chr1", "start": [5, None, 90], "end": [45, 60, 210], "summit": [7, 50, None]})
    path = sca.io.write_peaks(peaks.dropna(subset="start"), tmp_path / "a.narrowPeak")["peaks"]
    lines = [line.split("\t") for line in path.read_text().splitlines()]
    assert [[line[i] for i in (1, 2, 9)] for line in lines] == [["5", "45", "2"], ["90", "210", "-1"]]
    for name in ("start", "summit"):
        with pytest.raises(ValueError, match=f"The table of peaks, row 0: {name} is 7.5; expected a whole number"):
            sca.io.write_peaks(PEAKS.assign(**{name: [7.5, 8, 99]}), tmp_path / "b.narrowPeak")
    assert not (tmp_path / "b.narrowPeak").exists()


def test_peaks_of_other_programs_keep_signal_and_score(tmp_path):
    lines = ["chr1\t100\t300\tpeak_7\t500\t+\t7.25\t12.5\t10.1\t80", "chr1\t500\t900\tpeak_9\t1000\t.\t3.5\t4\t2\t9"]
    narrow, bed = tmp_path / "macs.narrowPeak", tmp_path / "macs.bed"
    narrow.write_text("\n".join(lines) + "\n")
    bed.write_text("\n".join(line.rsplit("\t", 4)[0] for line in lines) + "\n")
    for path in (narrow, bed):
        written = sca.io.write_peaks(sca.io.read_peaks(path), tmp_path / f"again{path.suffix}")["peaks"]
        assert written.read_text() == path.read_text()


def test_peaks_whose_signal_or_score_is_no_number_are_written(tmp_path):
    table = PEAKS[["chrom", "start", "end"]].iloc[:2].assign(signal=["7.5", "."], score=["12", "."])
    lines = sca.io.write_peaks(table, tmp_path / "a.narrowPeak")["peaks"].read_text().splitlines()
    assert [line.split("\t")[4:7] for line in lines] == [["12", ".", "7.5"], ["0", ".", "0"]]


def test_files_of_other_programs_are_read(tmp_path):
    bed = tmp_path / "a.bed"
    bed.write_bytes(
        b"# chromosomes as of Ensembl\ntrack name=x\nbrowser position chr1\n#c\n1\t5\t10\r\nchr2\t0\t3\textra\n"
    )
    assert sca.io.read_peaks(bed)[["start", "end"]].to_numpy().tolist() == [[5, 10], [0, 3]]
    macs = tmp_path / "b.txt.gz"
    with gzip.open(macs, "wt") as handle:
        handle.write("chr1\t10\t30\tp1\t55\t.\t2.5\t3\t4\t7\nchr1\t50\t60\tp2\t5\t.\t1\t1\t1\t-1\n")
    table = sca.io.read_peaks(macs)
    assert table["summit"].tolist() == [17, 55]
    broad = tmp_path / "c.broadPeak"
    broad.write_text("chr1\t10\t30\tp1\t55\t.\t2.5\t3\t4\n")
    known = ["chrom", "start", "end", "name", "score", "strand", "signal"]
    assert sca.io.read_peaks(broad).columns.tolist() == [*known, "p_value", "q_value"]
    assert sca.io.read_peaks(broad)[["p_value", "q_value"]].to_numpy().tolist() == [[1e-3, 1e-4]]
    broad.write_text("chr1\t10\t30\tp1\t55\t.\t2.5\t-1\t-1\n")
    assert sca.io.read_peaks(broad).columns.tolist() == known


def test_a_genome_sorts_renames_and_reports(tmp_path):
    path = tmp_path / "a.bed"
    path.write_text("chr10\t5\t10\n2\t7\t9\nchr2\t1\t3\nchrUn\t0\t5\n")
    with pytest.warns(UserWarning, match="1 regions on chromosomes that 'hg38' lacks are left out"):
        table = sca.io.read_peaks(path, genome="hg38")
    assert table.to_numpy().tolist() == [["chr2", 1, 3], ["chr2", 7, 9], ["chr10", 5, 10]]
    with pytest.raises(ValueError, match="chr10:5-10 ends beyond"):
        sca.io.read_peaks(path, genome=sca.Genome({"chr2": 9, "chr10": 9, "chrUn": 9}))
    with pytest.raises(ValueError, match="No region"):
        sca.io.read_peaks(path, genome=sca.Genome({"chrA": 9}))


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("chr1\t5\t10\nchr1\t9\t9\n", "line 2: found chr1, 9 to 9; expected a chromosome and 0 <= start < end"),
        ("chr1\t-5\t10\n", "line 1: found chr1, -5 to 10; expected"),
        ("chr1 5 10\n", "line 1: expected at least 3 columns separated by tabs"),
        ("chr1\t5\t10\ta\nchr1\t5\t10\n", "line 2: expected at least 3 columns separated by tabs, as many as"),
        ("chr1\tx\t10\n", "line 1: start is 'x'; expected a whole number"),
        ("chr1\t5\t10\nchr1\t5\t1e10\n", r"line 2: end is 10000000000; expected a whole number below 2\^31"),
        ("chr1\t5\t99999999999999999999\n", r"line 1: end is .*; expected a whole number below 2\^31"),
    ],
)
def test_a_line_that_is_no_region_is_named(tmp_path, text, message):
    path = tmp_path / "bad.bed"
    path.write_text(text)
    with pytest.raises(ValueError, match=message):
        sca.io.read_peaks(path)


def test_numbers_are_taken_however_they_are_written(tmp_path):
    path = tmp_path / "x.bed"
    path.write_text("chr1\t1e3\t2000.0\nchr1\t05\t 10\n")
    assert sca.io.read_peaks(path).values.tolist() == [["chr1", 1000, 2000], ["chr1", 5, 10]]


def test_names_are_taken_as_they_are_and_longer_lines_cut(tmp_path):
    path = tmp_path / "x.bed"
    path.write_text('chr1\t5\t10\t"a\nchr1\t6\t11\tNA\t3\t+\tmore\nchr1\t7\t12\t\n')
    assert sca.io.read_peaks(path).values.tolist() == [
        ["chr1", 5, 10, '"a'],
        ["chr1", 6, 11, "NA"],
        ["chr1", 7, 12, ""],
    ]


@pytest.mark.parametrize("names", [[1, 2], [1.0, 2.0]])
def test_numbers_are_names_of_groups(tmp_path, names):
    table = pd.DataFrame({"chrom": "chr1", "start": [5, 7], "end": [6, 9], "group": names})
    files = sca.io.write_peaks(table, tmp_path, format="bed")
    assert {name: sca.io.read_peaks(file)["start"].tolist() for name, file in files.items()} == {"1": [5], "2": [7]}
    files = sca.io.write_peaks(table, tmp_path / "one.bed", groups=2)
    assert sca.io.read_peaks(files["2"])["start"].tolist() == [7]


def test_bad_input_is_explained(adata, tmp_path):
    with pytest.raises(KeyError, match="run sca.tl.call_peaks.* first"):
        sca.io.write_peaks(adata, tmp_path, key="no")
    with pytest.raises(KeyError, match="no group 'T' among the peaks"):
        sca.io.write_peaks(adata, tmp_path, groups=["T"])
    with pytest.raises(KeyError, match="The table of peaks lacks the column"):
        sca.io.write_peaks(PEAKS[["chrom", "start"]], tmp_path)
    for name in ("chrom", "group"):
        lacking = PEAKS.assign(**{name: PEAKS[name].astype(object).where(np.arange(len(PEAKS)) != 1)})
        with pytest.raises(ValueError, match=f"1 of .* peaks have no {name}, the first in row 1; .*dropna"):
            sca.io.write_peaks(lacking, tmp_path)
    assert not any(tmp_path.iterdir())
    with pytest.raises(ValueError, match="format='gff' is unknown"):
        sca.io.write_peaks(adata, tmp_path, format="gff")
    with pytest.raises(FileNotFoundError, match="no file of peaks"):
        sca.io.read_peaks(tmp_path)
    (tmp_path / "a.bed").write_bytes(gzip.compress(b"chr1\t5\t10\n" * 1000)[:-20])
    with pytest.raises(ValueError, match="is cut off"):
        sca.io.read_peaks(tmp_path / "a.bed")
    (tmp_path / "b.bed").write_bytes(bytes([0xFF, 0xFE, 0x81]) * 20)
    with pytest.raises(ValueError, match="not a text file"):
        sca.io.read_peaks(tmp_path / "b.bed")


@pytest.fixture(scope="module")
def tested():
    """Differential regions, with genes as where the genome has them."""
    adata = sca.datasets.toy()
    where = "chr1:20,000-60,000"
    sca.tl.differential_regions(adata, "A", reference="B", key="group", regions=where, progress=False)
    table = adata.uns["differential_regions"]
    gene = np.where(np.arange(len(table)) % 2, "", 'GENE "1"')
    return table.assign(gene=gene, gene_distance=np.where(gene == "", np.nan, 1500.0))


@pytest.mark.parametrize("ending", [".bed", ".bed.gz"])
def test_differential_regions_come_back_from_bed_with_all_columns(tested, tmp_path, ending):
    path = sca.io.write_peaks(tested, tmp_path / f"regions{ending}")["peaks"]
    back = sca.io.read_peaks(path)
    assert back.columns[3:6].tolist() == ["name", "score", "strand"]
    assert back.columns[6:9].tolist() == ["thickStart", "thickEnd", "itemRgb"]
    assert set(back) == {*tested, *back.columns[3:12]}
    assert 0 < tested["significant"].sum() < len(tested)
    rgb = np.where(tested["direction"] > 0, "192,57,43", "47,111,173")
    assert back["itemRgb"].tolist() == np.where(tested["significant"], rgb, "140,143,148").tolist()
    assert back["name"].tolist() == [f"region_{i + 1}" for i in range(len(tested))]
    wanted = tested.reset_index(drop=True)
    pd.testing.assert_frame_equal(
        back[list(tested)].astype({"chrom": str}), wanted.astype({"chrom": str, "family": str}), check_dtype=False,
        check_exact=True, check_categorical=False,
    )  # fmt: skip
    assert back["significant"].dtype == bool
    assert back["summit"].dtype == np.int64
    height = np.abs(wanted["top_z"])
    expected = np.minimum(np.rint(1000 * height / np.quantile(height, 0.99)), 1000)
    assert back["score"].tolist() == expected.tolist()


def test_the_names_of_columns_are_a_comment_to_other_readers(tested, tmp_path):
    pysam = pytest.importorskip("pysam")
    path = sca.io.write_peaks(tested, tmp_path / "regions.bed.gz")["peaks"]
    other = pd.read_csv(path, sep="\t", comment="#", header=None)
    assert other[[1, 2]].to_numpy().tolist() == tested[["start", "end"]].to_numpy().tolist()
    pysam.tabix_index(str(path), preset="bed")
    lines = [line.split("\t") for line in pysam.TabixFile(str(path), encoding="utf8").fetch("chr1")]
    assert [[int(start), int(end)] for _, start, end, *_ in lines] == tested[["start", "end"]].to_numpy().tolist()
    for line in lines:  # of which a browser reads twelve; IGV refuses a file that has something else there
        size = int(line[2]) - int(line[1])
        assert line[6:8] + line[9:12] == [line[1], line[2], "1", str(size), "0"]


def test_narrowpeak_of_tests_has_minus_log10_p_and_q(tested, tmp_path):
    table = tested.assign(p_value=np.where(np.arange(len(tested)) == 0, 0, tested["p_value"]))
    table.loc[table.index[1], "q_value"] = np.nan
    path = sca.io.write_peaks(table, tmp_path / "regions.narrowPeak")["peaks"]
    raw = pd.read_csv(path, sep="\t", header=None)
    assert raw.shape[1] == 10
    np.testing.assert_allclose(raw[6], np.abs(table["top_z"]), rtol=1e-5)
    np.testing.assert_allclose(raw[7][1:], -np.log10(table["p_value"][1:]), rtol=1e-5, atol=1e-12)
    assert raw[7][0] == pytest.approx(-np.log10(np.finfo(float).tiny), rel=1e-5)
    assert raw[8][1] == -1
    back = sca.io.read_peaks(path)
    written, given = (-np.log10(one["q_value"].to_numpy(float)) for one in (back, table))
    np.testing.assert_allclose(written, given, rtol=1e-5, atol=1e-12)  # the logarithm has six digits
    assert back["summit"].tolist() == table["summit"].tolist()


def test_tests_of_groups_come_back_from_a_folder(tested, tmp_path):
    table = pd.concat([tested.assign(group="A"), tested.assign(group="B/C")], ignore_index=True)
    files = sca.io.write_peaks(table, tmp_path, format="bed")
    back = sca.io.read_peaks(files)
    assert back["group"].astype(str).tolist() == table["group"].tolist()
    assert back["z"].tolist() == table["z"].tolist()
    one = sca.io.read_peaks(sca.io.write_peaks(table, tmp_path / "all.bed")["A"])
    assert one.sort_values(["group", "start"])["group"].tolist() == table["group"].tolist()
    with pytest.raises(ValueError, match=r"all\.bed has regions of several groups \('A', 'B/C'\)"):
        sca.io.read_peaks({"x": tmp_path / "all.bed"})


@pytest.mark.parametrize("first", ["#chrom\tstart\tend\tsample\tsignal", "chrom start end sample signal",
                                   "# a note\n#chrom\tchromStart\tchromEnd\tsample\tsignal"])  # fmt: skip
def test_a_first_line_names_the_columns(tmp_path, first):
    path = tmp_path / "a.bed"
    path.write_text(f"{first}\nchr1\t5\t10\t7\t1.5\nchr1\t8\t12\t07\t2\n")
    table = sca.io.read_peaks(path)
    assert table.columns.tolist() == ["chrom", "start", "end", "sample", "signal"]
    assert table["sample"].tolist() == ["7", "07"]
    assert table["signal"].tolist() == [1.5, 2.0]
    index = sca.tl.dhs_index(table)
    assert index.obs_names.tolist() == ["07", "7"]


def test_text_in_quotes_is_read_as_r_writes_it(tmp_path):
    path = tmp_path / "a.bed"
    lines = '"chr1"\t5\t10\t"B cells"\n"chr2"\t8\t12\t"T ""4"""\n'
    path.write_text(lines)
    assert sca.io.read_peaks(path)[["chrom", "name"]].values.tolist() == [["chr1", "B cells"], ["chr2", 'T "4"']]
    path.write_text(f'"chrom"\t"start"\t"end"\t"sample"\n{lines}')
    assert sca.io.read_peaks(path)["sample"].tolist() == ["B cells", 'T "4"']


@pytest.mark.parametrize("first", ["#chrom\tstart\tend", "#chrom\tstart\tend\tx\ty", "#chrom\tstart\tend\tend"])
def test_a_first_line_that_does_not_fit_is_named(tmp_path, first):
    path = tmp_path / "a.bed"
    path.write_text(f"{first}\nchr1\t5\t10\ta\n")
    with pytest.raises(ValueError, match=r"a\.bed, line 1: expected the names of 4 columns, each once"):
        sca.io.read_peaks(path)


@pytest.mark.parametrize("name", ["peaks.txt", "peaks.broadPeak", "peaks.tsv.gz", "peaks.gz"])
def test_a_file_of_another_kind_does_not_become_a_folder(adata, tmp_path, name):
    with pytest.raises(ValueError, match=r"is neither \.bed nor \.narrowPeak"):
        sca.io.write_peaks(adata, tmp_path / name)
    assert not (tmp_path / name).exists()


@pytest.mark.parametrize("ending", [".bed", ".bed.gz"])
@pytest.mark.parametrize("text", ["B\tcells", "B\ncells"])
def test_a_text_that_would_be_several_columns_or_lines_is_refused(tested, tmp_path, ending, text):
    with pytest.raises(ValueError, match="has a tab or a line end in it"):
        sca.io.write_peaks(tested.assign(group=text), tmp_path / f"a{ending}")
    assert list(tmp_path.iterdir()) == []


def test_many_groups_are_parted_in_one_pass(tmp_path, monkeypatch):
    group = np.random.default_rng(0).integers(0, 30, 300)
    table = pd.DataFrame({"group": group, "chrom": "chr1", "start": np.arange(300), "end": np.arange(300) + 10})
    compared, equal = [], pd.Series.__eq__

    def compare(column, other):
        compared.append(len(column))
        return equal(column, other)

    monkeypatch.setattr(pd.Series, "__eq__", compare)
    files = sca.io.write_peaks(table, tmp_path, format="bed")
    assert compared.count(300) < 5
    for name, file in files.items():
        starts = [int(line.split("\t")[1]) for line in file.read_text().splitlines()]
        assert starts == np.flatnonzero(group == int(name)).tolist()


@pytest.mark.parametrize(("start", "end"), [(-5, 45), (45, 45), (50, 45)])
def test_peaks_that_are_no_regions_are_not_written(start, end, tmp_path):
    peaks = PEAKS.assign(start=[100, start, 90], end=[300, end, 210])
    with pytest.raises(
        ValueError, match=rf"The table of peaks, row 1: found .*, {start} to {end}; expected a .* 0 <= start < end"
    ):
        sca.io.write_peaks(peaks, tmp_path / "peaks.bed")
    assert not (tmp_path / "peaks.bed").exists()
