"""Priors from every source, and the weights that cut sites give their rows."""

from __future__ import annotations

import gzip
import pickle

import numpy as np
import pandas as pd
import pytest

import scatacworks as sca
from scatacworks._regions import as_regions
from scatacworks.prior import Guidance

GENOME = sca.Genome({"chr1": 20_000, "chr2": 5_000}, name="small")
PEAKS = pd.DataFrame(
    {
        "chrom": ["chr1", "chr1", "chr1", "chr2", "chr1"],
        "start": [100, 120, 4_000, 50, 150],
        "end": [300, 310, 4_200, 90, 330],
        "sample": ["liver", "lung", "lung", "heart", "liver"],
    }
)
TABLE = "seqname\tstart\tend\tidentifier\tmean_signal\tnumsamples\tsummit\tcore_start\tcore_end\tcomponent\n"
ROWS = "chr1\t100\t300\t1.1\t0.5\t400\t200\t190\t210\tLymphoid\nchr1\t250\t350\t1.2\t0.5\t733\t300\t290\t310\tCardiac\n"


def dense(prior, chrom="chr1", end=5_000):
    return np.array([prior.tracks.window(row, chrom, 0, end) for row in prior.rows])


def expected(peaks=PEAKS, end=5_000):
    rows = sorted(set(peaks["sample"]))
    out = np.zeros((len(rows), end))
    for peak in peaks[peaks["chrom"] == "chr1"].itertuples():
        out[rows.index(peak.sample), peak.start : peak.end] = 1
    return out


def test_peaks_become_rows_of_ones():
    prior = sca.tl.prior(PEAKS, genome=GENOME)
    assert prior.rows.tolist() == ["heart", "liver", "lung"]
    assert prior.n_samples == 3
    np.testing.assert_array_equal(dense(prior), expected())
    np.testing.assert_allclose(prior.fraction("chr1", 0, 5_000), expected().mean(0), rtol=1e-6)
    binned = expected().mean(0).reshape(-1, 50).max(1)
    np.testing.assert_allclose(prior.highest("chr1", 0, 5_000, 50), binned, rtol=1e-6)


def test_an_index_gives_its_samples():
    index = sca.tl.dhs_index(PEAKS.assign(signal=1.0, summit=(PEAKS["start"] + PEAKS["end"]) // 2), genome=GENOME)
    np.testing.assert_array_equal(dense(sca.tl.prior(index)), expected())
    fewer = sca.tl.prior(index[["liver", "lung"]].copy(), genome=GENOME)
    np.testing.assert_array_equal(dense(fewer), expected()[1:])
    elements = sca.tl.prior(index[:, index.var["chrom"] == "chr1"].copy(), genome=GENOME)
    assert elements.rows.tolist() == ["heart", "liver", "lung"]  # a sample of the index, whose elements are elsewhere
    with pytest.raises(ValueError, match="no samples"):
        sca.tl.prior(index[[]][:, :1].copy())


def test_files_of_peaks_make_a_prior(tmp_path):
    for name, rows in PEAKS.groupby("sample"):
        rows[["chrom", "start", "end"]].to_csv(tmp_path / f"{name}.bed", sep="\t", header=False, index=False)
    np.testing.assert_array_equal(dense(sca.tl.prior(tmp_path, genome=GENOME)), expected())
    with pytest.warns(UserWarning, match="single sample"):
        one = sca.tl.prior(tmp_path / "lung.bed", genome=GENOME)
    np.testing.assert_array_equal(dense(one), expected()[2:])
    sca.tl.prior(one, genome=GENOME)  # which was told about, as tl.denoise does it


@pytest.mark.parametrize("column", ["sample", "group"])
def test_a_first_line_says_which_column_has_the_samples(tmp_path, column, caplog):
    table = PEAKS.assign(signal=1.0).rename(columns={"sample": column, "chrom": "#chrom"})
    table.to_csv(tmp_path / "peaks.bed.gz", sep="\t", index=False)
    prior = sca.tl.prior(tmp_path / "peaks.bed.gz", genome=GENOME)
    assert prior.rows.tolist() == ["heart", "liver", "lung"]
    np.testing.assert_array_equal(dense(prior), expected())
    assert caplog.text == ""


def test_peaks_of_one_file_without_such_a_line_are_one_sample_and_told_so(tmp_path, caplog):
    PEAKS.to_csv(tmp_path / "peaks.bed", sep="\t", index=False, header=False)
    with pytest.warns(UserWarning, match=r"single sample \(peaks\)"):
        prior = sca.tl.prior(tmp_path / "peaks.bed", genome=GENOME)
    np.testing.assert_array_equal(dense(prior), expected().max(0, keepdims=True))
    assert "All 5 peaks of" in caplog.text
    assert "are taken as one sample, 'peaks', but its fourth column repeats liver, lung, heart." in caplog.text
    assert "'#chrom start end sample'" in caplog.text


@pytest.mark.parametrize("zipped", [False, True])
def test_the_published_table_has_components_of_fractions(tmp_path, zipped):
    path = tmp_path / ("index.txt.gz" if zipped else "index.txt")
    (gzip.open if zipped else open)(path, "wt").write(TABLE + ROWS)
    table = sca.io.read_dhs_index(path)
    assert table.columns[:3].tolist() == ["chrom", "start", "end"]
    assert table["n_samples"].tolist() == [400, 733]
    for source in (path, table):
        prior = sca.tl.prior(source, genome=GENOME)
        assert prior.rows.tolist() == ["Cardiac", "Lymphoid"]
        assert prior.n_samples == 733
        assert prior.fraction("chr1", 99, 101).tolist() == pytest.approx([0, 400 / 733])
        assert prior.fraction("chr1", 299, 301).tolist() == [1, 1]
        assert prior.highest("chr1", 98, 102, 2).tolist() == pytest.approx([0, 400 / 733])
        assert prior.highest("chr1", 299, 301, 2).tolist() == [1]
    with pytest.raises(ValueError, match="give n_samples"):
        sca.tl.prior(table, n_samples=500)


def test_tables_without_places_or_counts_are_refused(tmp_path):
    table = pd.DataFrame({"identifier": ["1.1", "1.2"], "numsamples": [1, 2]})
    with pytest.raises(ValueError, match="identifiers alone"):
        sca.tl.prior(table)
    with pytest.raises(ValueError, match=r"n_samples \(so how common"):
        sca.tl.prior(PEAKS.drop(columns="sample"))
    with pytest.raises(TypeError, match="Identifiers alone"):
        sca.tl.prior(["1.1", "1.2"])
    with pytest.raises(ValueError, match="0 <= start < end"):
        sca.tl.prior(pd_table().assign(end=0))
    with pytest.raises(FileNotFoundError):
        sca.tl.prior(tmp_path / "absent.tsv")


def test_excluding_is_like_never_having_had_them():
    prior = sca.tl.prior(PEAKS, genome=GENOME, exclude=["lung"])
    plain = sca.tl.prior(PEAKS[PEAKS["sample"] != "lung"], genome=GENOME)
    assert prior.digest == plain.digest
    assert prior.n_samples == 2
    assert prior.provenance["excluded"] == ["lung"]
    with pytest.raises(KeyError, match="'kidney'"):
        prior.exclude("kidney")
    with pytest.raises(ValueError, match="Nothing is left"):
        prior.exclude(["heart", "liver"])


def test_another_genome_is_refused():
    prior = sca.tl.prior(PEAKS)
    with pytest.raises(ValueError, match="no chromosome of"):
        sca.tl.prior(prior, genome={"scaffold_1": 10_000})
    with pytest.raises(ValueError, match="another genome"):
        sca.tl.prior(prior, genome={"chr1": 4_100, "chr2": 500})
    with pytest.raises(ValueError, match="another genome"):
        sca.tl.prior(sca.tl.prior(PEAKS, genome=GENOME), genome={"chr1": 20_001})
    fewer = sca.tl.prior(prior, genome={"1": 20_000, "3": 100})
    assert [fewer.covers(code) for code in range(2)] == [True, False]


def test_chromosomes_that_a_genome_lacks_are_told(caplog):
    peaks = pd.DataFrame({"chrom": ["chr1", "chr21", "chr1_random"], "start": 10, "end": 90, "sample": ["a", "b", "b"]})
    prior = sca.tl.prior(peaks, genome={"chr1": 1_000})
    assert prior.genome.chroms == ("chr1",)
    assert [record.levelname for record in caplog.records] == ["WARNING"]
    assert caplog.messages[0].endswith("are left out: chr21.")
    caplog.clear()
    sca.tl.prior(peaks[peaks["chrom"] != "chr21"], genome={"chr1": 1_000})
    assert "WARNING" not in [record.levelname for record in caplog.records]


@pytest.mark.parametrize("ending", [".bed", ".bed.gz", ".bed.bgz", ".narrowPeak.bgz"])
def test_a_file_of_peaks_is_known_by_its_name(tmp_path, ending):
    text = b"chr1\t100\t300\tp\t0\t.\t1\t-1\t-1\t50\n"
    (tmp_path / f"a{ending}").write_bytes(gzip.compress(text) if ending.endswith("gz") else text)
    for source in (tmp_path, tmp_path / f"a{ending}"):
        with pytest.warns(UserWarning, match="a single sample"):
            prior = sca.tl.prior(source, genome=GENOME)
        assert prior.fraction("chr1", 0, 1_000).sum() == 200
    with pytest.raises(FileNotFoundError, match="does not exist"):
        as_regions(f"missing{ending}", GENOME)


def test_storage_changes_nothing(tmp_path):
    for prior in (sca.tl.prior(PEAKS, genome=GENOME, exclude="heart"), sca.tl.prior(pd_table(), genome=GENOME)):
        prior.to_zarr(tmp_path / "prior.zarr")
        for again in (sca.Prior.from_zarr(tmp_path / "prior.zarr"), sca.Prior.from_dict(prior.to_dict())):
            assert again.digest == prior.digest
            assert again.n_samples == prior.n_samples
            assert again.provenance == prior.provenance
        assert sca.tl.prior(tmp_path / "prior.zarr").digest == prior.digest
        assert sca.tl.prior(tmp_path / "prior.zarr").exclude(prior.rows[0]).digest != prior.digest


def pd_table():
    return pd.DataFrame(
        {"chrom": ["chr1"] * 2, "start": [10, 90], "end": [50, 120], "n_samples": [3, 9], "component": [1, 2]}
    )


def many_rows(n_rows=6, seed=0):
    rng = np.random.default_rng(seed)
    start = np.arange(0, 19_500, 500)
    samples = [f"s{i}" for i in range(n_rows)]
    frames = [
        pd.DataFrame({"chrom": "chr1", "start": start[rng.random(len(start)) < 0.4], "sample": s}) for s in samples
    ]
    peaks = pd.concat(frames).assign(end=lambda x: x["start"] + 200)
    return sca.tl.prior(peaks, genome=GENOME), peaks


def sites_in(peaks, sample, n=400, seed=1):
    rng = np.random.default_rng(seed)
    own = peaks.loc[peaks["sample"] == sample, "start"].to_numpy()
    at = np.concatenate([rng.choice(own, n) + rng.integers(0, 200, n), rng.integers(0, 20_000, n // 4)])
    at, counts = np.unique(at, return_counts=True)
    return at.astype(np.int32), None, counts.astype(np.uint16)


def test_cut_sites_find_their_own_sample():
    prior, peaks = many_rows()
    none = (np.empty(0, np.int32), None, np.empty(0, np.uint16))
    tracks = sca.Tracks.from_chromosomes(
        ["a", "b", "none"], GENOME, [(0, [sites_in(peaks, s) for s in ("s2", "s4")] + [none])]
    )
    guidance = Guidance.make(prior, tracks)
    assert guidance.weights.argmax(1)[:2].tolist() == [2, 4]
    np.testing.assert_allclose(guidance.weights.mean(1), 1)
    np.testing.assert_allclose(guidance.weights[2], 1)
    assert (guidance.explained[:2] > 0.5).all()
    assert guidance.explained[2] == 0
    use = np.ones((3, 6), bool)
    use[0, 2] = False
    without = Guidance.make(prior, tracks, use=use)
    assert without.weights[0, 2] == 0
    assert without.size(0) == 5
    np.testing.assert_allclose(without.weights[1], guidance.weights[1])


def test_mitochondria_do_not_tell_which_samples_explain_a_group():
    """Every sample is open all over the mitochondria, and half of the group's cut sites lie there."""
    _, peaks = many_rows()
    genome = sca.Genome({**GENOME.sizes, "chrM": 1_000}, name="small")
    mito = pd.DataFrame({"chrom": "chrM", "start": 0, "end": 1_000, "sample": sorted(set(peaks["sample"]))})
    prior = sca.tl.prior(pd.concat([peaks, mito]), genome=genome)
    on_mito = (np.arange(500, dtype=np.int32), None, np.ones(500, np.uint16))
    found = [
        Guidance.make(prior, sca.Tracks.from_chromosomes(["a"], genome, [("chr1", [sites_in(peaks, "s2")]), *more]))
        for more in ([], [("chrM", [on_mito])])
    ]
    np.testing.assert_array_equal(found[1].weights, found[0].weights)
    np.testing.assert_array_equal(found[1].explained, found[0].explained)


def test_equal_weights_give_the_fraction():
    prior, _ = many_rows()
    none = (np.empty(0, np.int32), None, np.empty(0, np.uint16))
    tracks = sca.Tracks.from_chromosomes(["none"], GENOME, [(0, [none])])
    steps, values = Guidance.make(prior, tracks, strength=0.5).channels(0, 0)
    fraction = np.repeat(values[:-1, 0] ** 2, np.diff(steps))
    np.testing.assert_allclose(fraction, prior.fraction("chr1", 0, 20_000), atol=1e-6)
    np.testing.assert_allclose(values[:, 1], values[:, 0], atol=1e-6)
    np.testing.assert_array_equal(values[:, 2], values[:, 0] > 0)
    np.testing.assert_allclose(values[:, 3], np.log10(6) / 2)
    assert not values[:, 4:].any()  # a group without cut sites is not guided


def test_the_correction_fades_where_a_prior_explains_little():
    prior, peaks = many_rows()
    own = sca.Tracks.from_chromosomes(["a"], GENOME, [(0, [sites_in(peaks, "s2")])])
    related = Guidance.make(prior, own, strength=0.5)
    assert set(related.channels(0, 0)[1][:, 5]) == {0.5}
    explained = np.array([0.0, 0.05, 0.1, 0.15, 1.0])
    some = Guidance(prior, np.ones((5, 6)), explained, 0.5)
    assert [some.channels(g, 0)[1][0, 5] for g in range(5)] == pytest.approx([0, 0, 0.25, 0.5, 0.5])


def test_a_chromosome_without_elements_has_no_weight():
    prior, _ = many_rows()
    none = (np.empty(0, np.int32), None, np.empty(0, np.uint16))
    tracks = sca.Tracks.from_chromosomes(["none"], GENOME, [(0, [none])])
    steps, values = Guidance.make(prior, tracks).channels(0, 1)
    assert steps.tolist() == [0]
    assert not values.any()


@pytest.mark.parametrize("alone", ["chr1", "chr2"], ids=["between the others'", "on a chromosome of its own"])
def test_a_row_left_out_is_as_if_it_were_not_there(alone):
    _, peaks = many_rows()
    start = np.arange(300, 4_800, 500)  # where no other sample has an element
    peaks = pd.concat([peaks, pd.DataFrame({"chrom": alone, "start": start, "end": start + 150, "sample": "own"})])
    prior = sca.tl.prior(peaks, genome=GENOME)
    at, _, counts = sites_in(peaks, "own")
    on = {"chr1": [sites_in(peaks, "s2")]} | {alone: [(at[at < 5_000], None, counts[at < 5_000])]}
    tracks = sca.Tracks.from_chromosomes(["a"], GENOME, list(on.items()))
    gone = Guidance.make(prior.exclude("own"), tracks)
    without = Guidance.make(prior, tracks, use=(prior.rows != "own")[None])
    np.testing.assert_allclose(without.weights[0, prior.rows != "own"], gone.weights[0])
    np.testing.assert_allclose(without.explained, gone.explained)
    for chrom, size in enumerate(GENOME.lengths):
        found, expected = (
            values[np.searchsorted(steps, np.arange(size), "right") - 1]
            for steps, values in (guidance.channels(0, chrom) for guidance in (without, gone))
        )
        np.testing.assert_allclose(found, expected, rtol=1e-6)


def test_a_prior_can_be_sent_to_another_process():
    prior, _ = many_rows()
    prior.segments(0)
    again = pickle.loads(pickle.dumps(prior))
    assert again.digest == prior.digest
    for own, sent in zip(prior.segments(1), again.segments(1), strict=True):
        np.testing.assert_array_equal(own, sent)


@pytest.mark.parametrize("fill", [0.1, np.nan])
def test_tracks_that_have_a_value_everywhere_are_no_prior(fill):
    run = (np.array([100]), np.array([50]), np.ones(1, np.float32))
    tracks = sca.Tracks.from_chromosomes(["denoised"], GENOME, [("chr1", [run])], fill=fill)
    with pytest.raises(ValueError, match="A prior is 0 where a row has no run"):
        sca.Prior(tracks)


@pytest.mark.parametrize("value", [0, -0.5, 1.5, np.nan])
def test_values_that_are_no_fractions_are_no_prior(value):
    run = (np.array([100, 300]), np.array([50, 50]), np.array([0.5, value], np.float32))
    tracks = sca.Tracks.from_chromosomes(["a"], GENOME, [("chr1", [run])])
    with pytest.raises(ValueError, match=r"Values of a prior lie in \(0, 1\]; got"):
        sca.Prior(tracks)


def test_fractions_of_classes_that_overlap_add_up_to_one_at_most():
    runs = [(np.array([at]), np.array([100]), np.full(1, 0.7, np.float32)) for at in (100, 150)]
    prior = sca.Prior(sca.Tracks.from_chromosomes(["a", "b"], GENOME, [("chr1", runs)]), n_samples=10)
    expected = np.repeat(np.array([0, 0.7, 1, 0.7, 0], np.float32), 50)
    none = (np.empty(0, np.int32), None, np.empty(0, np.uint16))
    guidance = Guidance.make(prior, sca.Tracks.from_chromosomes(["none"], GENOME, [("chr1", [none])]))
    steps, values = guidance.channels(0, 0)
    assert steps[1:5].tolist() == [100, 150, 200, 250]
    for channel in (0, 1):  # weighted alike
        np.testing.assert_allclose(values[:5, channel] ** 2, expected[::50], rtol=1e-6)
    assert prior.fraction("chr1", 50, 300).tolist() == expected.tolist()
    assert prior.highest("chr1", 50, 300, 50).tolist() == expected[::50].tolist()
