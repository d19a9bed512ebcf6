"""Written bigWig files are read by two other libraries; what they say must be what the tracks say."""

from __future__ import annotations

import struct
import zlib

import numpy as np
import pyBigWig
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from isal import isal_zlib

import scatacworks as sca
from scatacworks._core import bigwig_format as fmt
from scatacworks.io._bigwig import with_gaps
from scatacworks.io._names import file_stems

GENOME = sca.Genome({"chr1": 60_000, "chr2": 5_000, "chr10": 20_000, "chrEmpty": 10}, name="toy")
NO_RUNS = (np.empty(0, np.int32), np.empty(0, np.int32), np.empty(0, np.float32))


def random_runs(rng, length, n):
    edges = np.sort(rng.choice(length, 2 * n, replace=False)).astype(np.int32)
    values = rng.normal(2, 1, n).round(2).astype(np.float32)
    return edges[::2], edges[1::2] - edges[::2], values


@pytest.fixture
def tracks():
    rng = np.random.default_rng(0)
    sizes = {"chr1": 9_000, "chr10": 700, "chr2": 1}
    chromosomes = [
        (chrom, [random_runs(rng, size, sizes[chrom]) if chrom in sizes else NO_RUNS for _ in range(2)])
        for chrom, size in GENOME.sizes.items()
    ]
    return sca.Tracks.from_chromosomes(["NK/T", "B cells α"], GENOME, chromosomes)


def test_values_sum_and_covered_bases_are_those_of_the_track(tracks, tmp_path):
    files = sca.io.write_bigwig(tracks, tmp_path, fill_gaps=False, progress=False)
    for group, file in files.items():
        handle = pyBigWig.open(str(file))
        assert handle.chroms() == GENOME.sizes
        for chrom, size in GENOME.sizes.items():
            expected = tracks.window(group, chrom, 0, size)
            np.testing.assert_array_equal(np.nan_to_num(handle.values(chrom, 0, size, numpy=True)), expected)
        lengths = np.concatenate([tracks.runs(group, chrom)[1] for chrom in GENOME.chroms])
        assert handle.header()["nBasesCovered"] == lengths.sum()
        assert handle.header()["sumData"] == pytest.approx(tracks.sums()[tracks.group_code(group)], abs=1)


def test_intervals_are_the_runs(tracks, tmp_path):
    path = tmp_path / "one.bigWig"
    file = sca.io.write_bigwig(tracks, path, groups=["NK/T"], fill_gaps=False, progress=False)["NK/T"]
    starts, lengths, values = tracks.runs("NK/T", "chr1")
    expected = list(zip(starts.tolist(), (starts + lengths).tolist(), values.tolist(), strict=True))
    assert list(pyBigWig.open(str(file)).intervals("chr1")) == expected


def test_a_file_has_the_same_bytes_whatever_isal_makes_of_few(tracks, tmp_path, monkeypatch):
    compress, options = isal_zlib.compress, {"groups": ["NK/T"], "progress": False}
    one = sca.io.write_bigwig(tracks, tmp_path / "one.bw", **options)["NK/T"]
    monkeypatch.setattr(isal_zlib, "compress", lambda data, level: compress(data, 0 if len(data) < 3000 else level))
    assert one.read_bytes() == sca.io.write_bigwig(tracks, tmp_path / "two.bw", **options)["NK/T"].read_bytes()


@pytest.mark.parametrize("statistic", ["mean", "coverage", "max", "min"])
def test_zoom_levels_give_the_statistics_of_whole_chromosomes(tracks, tmp_path, statistic):
    file = sca.io.write_bigwig(tracks, tmp_path / "one.bw", groups=["NK/T"], fill_gaps=False, progress=False)["NK/T"]
    handle = pyBigWig.open(str(file))
    assert handle.header()["nLevels"] > 2
    zoomed, exact = (handle.stats("chr1", 0, 60_000, type=statistic, exact=exact)[0] for exact in (False, True))
    assert zoomed == pytest.approx(exact, rel=1e-5)


def test_another_library_reads_values_and_every_zoom_level(tracks, tmp_path):
    pybigtools = pytest.importorskip("pybigtools")
    file = sca.io.write_bigwig(tracks, tmp_path / "one.bw", groups=["NK/T"], fill_gaps=False, progress=False)["NK/T"]
    handle = pybigtools.open(str(file))
    window = tracks.window("NK/T", "chr10", 0, 20_000)
    np.testing.assert_array_equal(handle.values("chr10", 0, 20_000, fillna=0), window)
    for reduction in handle.zooms():
        records = [record for _, _, record in handle.zoom_records(reduction, "chr10")]
        assert sum(record["sum"] for record in records) == pytest.approx(window.sum(), rel=1e-4)
        covered = tracks.runs("NK/T", "chr10")[1].sum()
        assert sum(record["bases_covered"] for record in records) == covered


@settings(max_examples=30)
@given(st.lists(st.tuples(st.integers(0, 300), st.integers(1, 400), st.integers(1, 9)), max_size=60), st.booleans())
def test_reading_back_gives_the_same_step_function(tmp_path_factory, pieces, several):
    starts, lengths, values, position = [], [], [], 0
    for gap, length, value in pieces:
        starts.append(position + gap)
        lengths.append(length)
        values.append(value)
        position += gap + length
    runs = (np.array(starts, np.int32), np.array(lengths, np.int32), np.array(values, np.float32))
    groups = ["a", "b"] if several else ["a"]
    tracks = sca.Tracks.from_chromosomes(groups, GENOME, [("chr1", [runs] + [NO_RUNS] * several)])
    folder = tmp_path_factory.mktemp("bw")
    sca.io.write_bigwig(tracks, folder, progress=False, n_jobs=1)
    back = sca.io.read_bigwig(folder, genome=GENOME)
    assert list(back.groups) == groups
    for group in groups:
        np.testing.assert_array_equal(back.window(group, "chr1", 0, 60_000), tracks.window(group, "chr1", 0, 60_000))


def test_more_sections_than_one_index_node_holds(tmp_path):
    n = 400_000
    genome = sca.Genome({"chr1": 10 * n})
    starts = np.arange(n, dtype=np.int32) * 10
    runs = (starts, np.full(n, 3, np.int32), (starts % 97).astype(np.float32))
    tracks = sca.Tracks.from_chromosomes(["a"], genome, [("chr1", [runs])])
    file = sca.io.write_bigwig(tracks, tmp_path / "a.bw", fill_gaps=False, progress=False)["a"]
    handle = pyBigWig.open(str(file))
    for start in (0, 1_024 * 10, 262_144 * 10 - 50, 10 * n - 500):
        found = np.nan_to_num(handle.values("chr1", start, start + 500, numpy=True))
        np.testing.assert_array_equal(found, tracks.window("a", "chr1", start, start + 500))
    assert handle.stats("chr1", type="coverage")[0] == pytest.approx(0.3)


def test_cut_sites_are_written_as_coverage_or_as_counts(tmp_path):
    genome = sca.Genome({"chr1": 1_000})
    sites = (np.array([50, 500], np.int32), None, np.array([1, 2], np.uint16))
    tracks = sca.Tracks.from_chromosomes(["a"], genome, [("chr1", [sites])])
    coverage = sca.io.write_bigwig(tracks, tmp_path / "cov.bw", progress=False)["a"]
    counts = sca.io.write_bigwig(tracks, tmp_path / "n.bw", extend=None, progress=False)["a"]
    expected = ((0, 151, 1.0), (151, 400, 0.0), (400, 601, 2.0), (601, 1_000, 0.0))
    assert pyBigWig.open(str(coverage)).intervals("chr1") == expected
    expected = ((0, 50, 0.0), (50, 51, 1.0), (51, 500, 0.0), (500, 501, 2.0), (501, 1_000, 0.0))
    assert pyBigWig.open(str(counts)).intervals("chr1") == expected


def test_zoomed_out_means_count_the_bases_without_cut_sites(tmp_path):
    genome = sca.Genome({"chr1": 1_000_000})
    rng = np.random.default_rng(0)
    sites = [(np.sort(rng.choice(1_000_000, n, replace=False)).astype(np.int32), None, np.ones(n)) for n in (50, 5_000)]
    tracks = sca.Tracks.from_chromosomes(["few", "many"], genome, [("chr1", sites)])
    for extend in (100, None):
        files = sca.io.write_bigwig(tracks, tmp_path, extend=extend, progress=False)
        few, many = (pyBigWig.open(str(files[name])).stats("chr1", nBins=4, exact=False) for name in files)
        assert np.mean(many) / np.mean(few) == pytest.approx(100, rel=0.01)
        assert np.mean(few) == pytest.approx(50 * (2 * (extend or 0) + 1) / 1_000_000, rel=0.01)


def test_a_constant_between_runs_is_written_unless_declined(tmp_path):
    genome = sca.Genome({"chr1": 100, "chr2": 10})
    runs = (np.array([0, 20], np.int32), np.array([5, 10], np.int32), np.array([1, 2], np.float32))
    tracks = sca.Tracks.from_chromosomes(["a"], genome, [("chr1", [runs])], fill=0.25)
    handle = pyBigWig.open(str(sca.io.write_bigwig(tracks, tmp_path / "a.bw", progress=False)["a"]))
    assert handle.intervals("chr1") == ((0, 5, 1.0), (5, 20, 0.25), (20, 30, 2.0), (30, 100, 0.25))
    assert handle.intervals("chr2") == ((0, 10, 0.25),)
    sparse = sca.io.write_bigwig(tracks, tmp_path / "b.bw", fill_gaps=False, progress=False)["a"]
    assert pyBigWig.open(str(sparse)).intervals("chr1") == ((0, 5, 1.0), (20, 30, 2.0))
    assert [len(part) for part in with_gaps(NO_RUNS, 7, 0.5)] == [1, 1, 1]


def test_a_track_without_runs_is_a_valid_file(tmp_path):
    tracks = sca.Tracks.from_chromosomes(["a"], GENOME, [])
    file = sca.io.write_bigwig(tracks, tmp_path / "a.bw", progress=False)["a"]
    assert sca.io.read_bigwig(file).n_runs == 0


def test_file_names_are_safe_unique_and_readable():
    names = ["NK/T", "NK T", "CD4+ naïve", "..", "a" * 300, "γδ", "nk_t"]
    stems = file_stems(names)
    assert stems[:4] == ["NK_T", "NK_T_2", "CD4+_naïve", "group"]
    assert len({stem.casefold() for stem in stems}) == len(names)
    assert all(len(stem.encode()) <= 210 and "/" not in stem for stem in stems)
    assert file_stems(["CON", "aux.1", "Contr"]) == ["_CON", "_aux.1", "Contr"]  # Windows keeps the first two


def test_original_files_of_both_suffixes_are_read(shared_data, tmp_path):
    source = shared_data / "atacworks_hsc" / "HSC.5M.chr123.10mb.coverage.bw"
    other = tmp_path / "copy.bigWig"
    other.write_bytes(source.read_bytes())
    tracks = sca.io.read_bigwig({"a": source, "b": other})
    handle = pyBigWig.open(str(source))
    chrom = next(iter(handle.chroms()))
    expected = np.nan_to_num(handle.values(chrom, 8_380_000, 8_400_000, numpy=True))
    np.testing.assert_array_equal(tracks.window("a", chrom, 8_380_000, 8_400_000), expected)
    assert tracks.sums()[0] == tracks.sums()[1] == pytest.approx(handle.header()["sumData"], rel=1e-6)


def test_what_macos_leaves_beside_a_file_is_none_of_them(tracks, tmp_path):
    sca.io.write_bigwig(tracks, tmp_path, progress=False)
    (tmp_path / "._NK_T.bw").write_bytes(b"\0\5\x16\7")
    assert set(sca.io.read_bigwig(tmp_path).groups) == {"NK_T", "B_cells_α"}


def test_bad_input_is_explained(tracks, tmp_path):
    with pytest.raises(ValueError, match="one bigWig file but there are 2 groups"):
        sca.io.write_bigwig(tracks, tmp_path / "a.bw", progress=False)
    with pytest.raises(KeyError, match="no group 'T'"):
        sca.io.write_bigwig(tracks, tmp_path, groups=["T"], progress=False)
    with pytest.raises(FileNotFoundError, match="does not exist"):
        sca.io.read_bigwig(tmp_path / "none.bw")
    with pytest.raises(FileNotFoundError, match="no bigWig file"):
        sca.io.read_bigwig(tmp_path)
    (tmp_path / "text.bw").write_text("chr1\t0\t10\n")
    with pytest.raises(ValueError, match="not a bigWig file"):
        sca.io.read_bigwig(tmp_path / "text.bw")
    whole = sca.io.write_bigwig(tracks, tmp_path / "whole.bw", groups=["NK/T"], progress=False)["NK/T"].read_bytes()
    for kept in (10, 60, 400, 5_000, len(whole) // 2):
        (tmp_path / "cut.bw").write_bytes(whole[:kept])
        with pytest.raises(ValueError, match="cut.bw: it is cut off or damaged"):
            sca.io.read_bigwig(tmp_path / "cut.bw")
    (tmp_path / "bad.bw").write_bytes(whole[:700] + bytes(2_000) + whole[2_700:])
    with pytest.raises(ValueError, match="section at byte .* is cut off or damaged"):
        sca.io.read_bigwig(tmp_path / "bad.bw")
    (tmp_path / "file").write_text("x")
    with pytest.raises(NotADirectoryError, match="is a file"):
        sca.io.write_bigwig(tracks, tmp_path / "file" / "out", progress=False)


def test_sections_of_every_kind_by_another_writer_are_read(tmp_path):
    path = tmp_path / "kinds.bw"
    handle = pyBigWig.open(str(path), "w")
    handle.addHeader([("chr1", 1_000), ("chr2", 500)], maxZooms=0)
    handle.addEntries(["chr1", "chr1"], [0, 10], ends=[4, 30], values=[1.0, 2.0])
    handle.addEntries("chr1", [100, 140], values=[3.0, 4.0], span=20)
    handle.addEntries("chr2", 50, values=[5.0, 5.0, 6.0], span=10, step=10)
    handle.close()
    tracks = sca.io.read_bigwig(path)
    starts, lengths, values = tracks.runs("kinds", "chr1")
    assert (starts.tolist(), lengths.tolist()) == ([0, 10, 100, 140], [4, 20, 20, 20])
    assert values.tolist() == [1, 2, 3, 4]
    assert [part.tolist() for part in tracks.runs("kinds", "chr2")] == [[50, 70], [20, 10], [5, 6]]


def test_another_assembly_is_refused_and_unknown_chromosomes_are_named(tracks, tmp_path):
    file = sca.io.write_bigwig(tracks, tmp_path / "a.bw", groups=["NK/T"], progress=False)["NK/T"]
    with pytest.raises(ValueError, match="another assembly"):
        sca.io.read_bigwig(file, genome=sca.Genome({"chr1": 100}))
    with pytest.raises(ValueError, match="shares no chromosome"):
        sca.io.read_bigwig(file, genome=sca.Genome({"chrX": 100}))
    with pytest.warns(UserWarning, match="left out"):
        assert sca.io.read_bigwig(file, genome=sca.Genome({"1": 60_000, "2": 5_000})).n_runs > 0


def test_nothing_is_left_when_writing_fails(tracks, tmp_path, monkeypatch):
    from scatacworks._core import bigwig

    def fail(self):
        raise KeyboardInterrupt

    monkeypatch.setattr(bigwig.Writer, "close", fail)
    with pytest.raises(KeyboardInterrupt):
        sca.io.write_bigwig(tracks, tmp_path / "out", progress=False)
    assert list((tmp_path / "out").iterdir()) == []


def test_one_chromosome_is_no_list_of_letters_and_a_list_no_file(tracks, tmp_path):
    files = sca.io.write_bigwig(tracks, tmp_path, progress=False)
    one = sca.io.read_bigwig(tmp_path, genome=GENOME, chroms="chr10")
    group = files["NK/T"].stem
    np.testing.assert_array_equal(one.window(group, "chr10", 0, 700), tracks.window("NK/T", "chr10", 0, 700))
    assert len(one.runs(group, "chr1")[0]) == 0
    with pytest.raises(TypeError, match="path is a list; expected a bigWig file, a folder of them, or a dict"):
        sca.io.read_bigwig(list(files.values()))


def test_more_files_than_a_process_may_open(tracks, tmp_path):
    resource = pytest.importorskip("resource")  # not on Windows
    file = sca.io.write_bigwig(tracks, tmp_path / "one.bw", groups=["NK/T"], progress=False)["NK/T"]
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (256, hard))  # what macOS allows by default
    try:
        read = sca.io.read_bigwig({str(i): file for i in range(300)})
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
    np.testing.assert_array_equal(read.sums(), np.full(300, sca.io.read_bigwig(file).sums()[0]))


def with_section(path, change):
    """Give the first section of a bigWig file other bytes."""
    data = bytearray(path.read_bytes())
    root = struct.unpack_from("<Q", data, 24)[0] + 48
    leaf = np.frombuffer(data, fmt.LEAF, 1, root + 4)[0].copy()
    section = zlib.compress(change(zlib.decompress(data[leaf["offset"] : leaf["offset"] + leaf["size"]])))
    leaf["offset"], leaf["size"] = len(data), len(section)
    data[root + 4 : root + 4 + fmt.LEAF.itemsize] = leaf.tobytes()
    path.write_bytes(data + section)


@pytest.mark.parametrize(("item", "start", "end"), [(1, 4, 26), (1, 0, 5), (2, 30, 30), (2, 30, 29), (2, 30, 101)])
def test_values_that_are_no_step_function_are_refused(tmp_path, item, start, end):
    runs = np.array([5, 20, 40], np.int32), np.array([5, 5, 5], np.int32), np.array([1, 2, 3], np.float32)
    tracks = sca.Tracks.from_chromosomes(["a"], sca.Genome({"chr1": 100}), [("chr1", [runs])])
    path = sca.io.write_bigwig(tracks, tmp_path / "a.bw", fill_gaps=False, progress=False)["a"]

    def change(section):
        items = np.frombuffer(section, fmt.ITEM, offset=fmt.SECTION.itemsize).copy()
        items["start"][item], items["end"][item] = start, end
        return section[: fmt.SECTION.itemsize] + items.tobytes()

    with_section(path, change)
    with pytest.raises(ValueError, match=r"a.bw: its values on chr1 overlap, are not in order, or lie beyond its end"):
        sca.io.read_bigwig(path)


def test_an_index_without_end_and_a_section_without_measure_are_refused(tracks, tmp_path):
    path = sca.io.write_bigwig(tracks, tmp_path / "a.bw", groups=["NK/T"], progress=False)["NK/T"]
    circular, nameless = (bytearray(path.read_bytes()) for _ in range(2))
    struct.pack_into("<I", nameless, struct.unpack_from("<Q", nameless, 8)[0] + 8, 2**31 - 1)
    root = struct.unpack_from("<Q", circular, 24)[0] + 48
    struct.pack_into("<BBH", circular, root, 0, 0, 2)
    circular[root + 4 : root + 4 + 2 * fmt.BRANCH.itemsize] = np.array([(0, 0, 9, 9, root)] * 2, fmt.BRANCH).tobytes()
    with_section(path, lambda section: section + bytes(1 << 20))
    with pytest.raises(ValueError, match=r"a.bw: the section at byte [\d,]+ is cut off or damaged"):
        sca.io.read_bigwig(path)
    path.write_bytes(circular)
    with pytest.raises(ValueError, match=r"a.bw: it is damaged: a node of its index is met twice"):
        sca.io.read_bigwig(path)
    far = circular.copy()
    struct.pack_into("<Q", far, 8, 2**63 - 1)
    path.write_bytes(far)
    with pytest.raises(ValueError, match=r"a.bw: it is cut off or damaged"):
        sca.io.read_bigwig(path)
    path.write_bytes(nameless)
    with pytest.raises(ValueError, match=r"a.bw: it is damaged: the names of its chromosomes have no measure"):
        sca.io.read_bigwig(path)


def test_coverage_per_million_fragments_of_the_nucleus(tmp_path):
    genome = sca.Genome({"chr1": 1_000, "chrM": 100})

    def sites(at, counts):
        return np.array(at, np.int32), None, np.array(counts, np.uint16)

    on_chr1 = [sites([100, 300], [3, 1]), sites([], [])]  # 2 fragments
    on_chrm = [sites([50], [40]), sites([], [])]
    tracks = sca.Tracks.from_chromosomes(["a", "none"], genome, [("chr1", on_chr1), ("chrM", on_chrm)])
    files = sca.io.write_bigwig(tracks, tmp_path, extend=2, per_million=True, progress=False)
    handle = pyBigWig.open(str(files["a"]))
    assert handle.values("chr1", 97, 104) == [0, 1.5e6, 1.5e6, 1.5e6, 1.5e6, 1.5e6, 0]
    assert handle.values("chr1", 300, 301) == [0.5e6]
    assert handle.values("chrM", 50, 51) == [20e6]
    assert pyBigWig.open(str(files["none"])).header()["maxVal"] == 0


def test_only_cut_sites_are_given_per_million(tracks, tmp_path):
    with pytest.raises(ValueError, match="per_million is for cut sites, such as key='pseudobulk'"):
        sca.io.write_bigwig(tracks, tmp_path, per_million=True, progress=False)
