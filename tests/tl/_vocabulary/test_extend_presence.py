"""New samples: extension and presence."""

from __future__ import annotations

import anndata
import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import scatacworks as sca
from scatacworks._core.identifiers import number, renumber

COLUMNS = ["start", "end", "summit", "n_samples", "n_peaks", "mean_signal"]


def test_extending_is_building_at_once(peaks):
    first = peaks["sample"] < "s07"
    old = sca.tl.dhs_index(peaks[first])
    extended, mapping = sca.tl.extend_index(old, peaks[~first])
    whole = sca.tl.dhs_index(peaks)
    assert extended.var[COLUMNS].to_numpy().tolist() == whole.var[COLUMNS].to_numpy().tolist()
    assert extended.obs_names.tolist() == whole.obs_names.tolist()
    assert (extended.X != whole.X).nnz == 0
    assert (extended.layers["signal"] != whole.layers["signal"]).nnz == 0
    assert set(mapping["old"]) == set(old.var_names)
    assert mapping["n_peaks"].sum() == first.sum()


def test_identifiers_stay_sort_and_are_never_given_twice(peaks):
    parts = [of for _, of in peaks.groupby("sample")]
    index = sca.tl.dhs_index(pd.concat(parts[:4]))
    ever: dict[str, tuple] = {}
    for part in (parts[4], pd.concat(parts[5:8]), pd.concat(parts[8:])):
        before = {(r.chrom, r.start, r.end): r.identifier for r in index.var.itertuples()}
        ever |= {name: place for place, name in before.items()}
        index, _ = sca.tl.extend_index(index, part)
        for row in index.var.itertuples():
            place = (row.chrom, row.start, row.end)
            assert before.get(place, row.identifier) == row.identifier
            assert ever.get(row.identifier, place) == place
        for _, of in index.var.groupby("chrom", observed=True):
            assert of["identifier"].tolist() == sorted(of["identifier"])
        retired = set(index.uns["dhs_index"]["retired"])
        assert retired == set(ever) - set(index.var["identifier"])


@pytest.fixture
def on_scaffolds():
    """Peaks of six samples on 300 scaffolds, some of whose names hold a point."""
    rng = np.random.default_rng(0)
    start = rng.integers(0, 40, 3_000) * 100 + rng.integers(0, 20, 3_000)
    names = np.array([f"s{i}" if i % 3 else f"s{i}.1" for i in range(300)], dtype=object)
    samples = np.sort(rng.choice(list("abcdef"), 3_000))
    frame = pd.DataFrame({"chrom": rng.choice(names, 3_000), "start": start, "end": start + 60, "sample": samples})
    return frame.assign(signal=1.0)


def test_many_scaffolds_are_gone_through_once(on_scaffolds, monkeypatch):
    """The tables are grouped once, not for every scaffold, and every scaffold keeps its own names."""
    old = sca.tl.dhs_index(on_scaffolds[on_scaffolds["sample"] < "e"])
    groupings = []
    groupby = pd.DataFrame.groupby
    monkeypatch.setattr(pd.DataFrame, "groupby", lambda *args, **kw: groupings.append(args) or groupby(*args, **kw))
    extended, mapping = sca.tl.extend_index(old, on_scaffolds[on_scaffolds["sample"] >= "e"])
    assert len(groupings) < 10
    monkeypatch.undo()
    whole = sca.tl.dhs_index(on_scaffolds)
    assert extended.var[COLUMNS].to_numpy().tolist() == whole.var[COLUMNS].to_numpy().tolist()
    before = {(r.chrom, r.start, r.end): r.identifier for r in old.var.itertuples()}
    after = {(r.chrom, r.start, r.end): r.identifier for r in extended.var.itertuples()}
    shared = before.keys() & after.keys()
    assert len(shared) > 500
    assert all(before[place] == after[place] for place in shared)
    assert all(name.rpartition(".")[0] == place[0] for place, name in after.items())
    assert extended.var_names.is_unique
    for _, of in extended.var.groupby("chrom", observed=True):
        assert of["identifier"].tolist() == sorted(of["identifier"])
    edges = extended.uns["dhs_index"]["edges"].set_index("chrom")
    assert list(edges.index) == list(extended.var["chrom"].unique())
    pd.testing.assert_frame_equal(
        edges.loc[old.uns["dhs_index"]["edges"]["chrom"]].reset_index(), old.uns["dhs_index"]["edges"]
    )
    assert set(mapping["old"]) == set(old.var_names)


def test_scaffolds_without_an_element_are_named_together(on_scaffolds, caplog):
    few = on_scaffolds[on_scaffolds["chrom"].isin(["s1", "s2", "s3.1"])]
    index = sca.tl.dhs_index(few)
    found = sca.tl.presence(index, on_scaffolds)
    told = [record.getMessage() for record in caplog.records if "no element" in record.getMessage()]
    assert len(told) == 1
    assert f"(297 in all); {len(on_scaffolds) - len(few)} peaks there are not used" in told[0]
    expected = sca.tl.presence(index, few)
    assert (found.X != expected.X).nnz == 0
    assert found.X.nnz > 0


def test_extension_of_nothing_shared_keeps_all_names(peaks):
    old = sca.tl.dhs_index(peaks)
    extended, mapping = sca.tl.extend_index(old, peaks.assign(chrom="chr9", sample=peaks["sample"] + "new"))
    assert mapping["kept"].all()
    assert set(old.var_names) <= set(extended.var_names)


def test_samples_without_a_peak_keep_their_row(peaks):
    nothing = peaks.iloc[:0].drop(columns="sample")
    one = peaks[peaks["sample"] == "s01"].drop(columns="sample")
    old = sca.tl.dhs_index({"s01": one, "old": nothing})
    extended, _ = sca.tl.extend_index(old, {"s02": one, "new": nothing})
    whole = sca.tl.dhs_index({"s01": one, "s02": one, "old": nothing, "new": nothing})
    assert extended.obs_names.tolist() == whole.obs_names.tolist() == ["new", "old", "s01", "s02"]
    assert (extended.X != whole.X).nnz == 0
    assert extended.obs.to_numpy().tolist() == whole.obs.to_numpy().tolist()


def test_extending_some_samples_of_an_index_is_building_from_their_peaks(peaks):
    few, new = peaks["sample"] < "s04", peaks["sample"] > "s08"
    extended, mapping = sca.tl.extend_index(sca.tl.dhs_index(peaks[~new])[:4], peaks[new])
    whole = sca.tl.dhs_index(peaks[few | new])
    assert extended.obs_names.tolist() == whole.obs_names.tolist()
    assert extended.var[COLUMNS].to_numpy().tolist() == whole.var[COLUMNS].to_numpy().tolist()
    assert mapping["n_peaks"].sum() == few.sum()


@pytest.mark.parametrize("chosen", [slice(None, 20), slice(None, None, -1)])
def test_an_index_that_lost_elements_cannot_be_extended(peaks, chosen):
    index = sca.tl.dhs_index(peaks)
    with pytest.raises(ValueError, match="Extend the whole index first"):
        sca.tl.extend_index(index[:, chosen], peaks.assign(sample="new"))


def test_renamed_samples_are_not_taken_for_others(peaks):
    index = sca.tl.dhs_index(peaks)
    index.obs_names = ["liver", *index.obs_names[1:]]
    with pytest.raises(ValueError, match="no peaks of liver; have samples been renamed"):
        sca.tl.extend_index(index, peaks.assign(sample="new"))


def test_names_of_samples_must_be_new(peaks):
    index = sca.tl.dhs_index(peaks)
    with pytest.raises(ValueError, match="already has the sample"):
        sca.tl.extend_index(index, peaks)


def test_identifiers_as_numbers_are_refused(peaks):
    index = sca.tl.dhs_index(peaks)
    index.var["identifier"] = index.var["identifier"].astype(float)
    with pytest.raises(TypeError, match=r"1.1 and 1.10"):
        sca.tl.extend_index(index, peaks.assign(sample="new"))


def test_an_index_without_its_peaks_cannot_be_extended(peaks):
    index = sca.tl.dhs_index(peaks)
    del index.uns["dhs_index"]
    with pytest.raises(KeyError, match="dhs_index"):
        sca.tl.extend_index(index, peaks.assign(sample="new"))


def test_numbers_by_hand():
    # 5 elements and 2 ends in 9 groups, floor(0.5 + left / groups left) each: 1 1 1 1 1 1 0 1 0
    names, ends = number(5)
    assert names.tolist() == ["2", "3", "4", "5", "6"]
    assert ends == ("1", "8")
    # 14 sites in 9 groups: the first gets floor(0.5 + 14 / 9) = 2; of its ten groups the sixth and the ninth get one
    assert number(12)[1] == ("16", "9")


@pytest.mark.parametrize("n", [0, 1, 2, 9, 1000, 300_000])
def test_numbering_sorts_and_is_short(n):
    names, ends = number(n)
    every = [ends[0], *names, ends[1]]
    assert every == sorted(every)
    assert len(set(every)) == n + 2
    assert not any(name.endswith("0") for name in every)
    assert max(map(len, every)) <= 6  # with "1." in front at most 8 characters on chr1


def test_rank_of_the_published_example():
    names, _ = number(300_000)
    ranks = np.flatnonzero([name.startswith("10643") for name in names])
    assert set(ranks) <= set(range(2139, 2146))
    assert len(ranks) > 0


@settings(max_examples=80)
@given(n=st.integers(0, 40), seed=st.integers(0, 10**6), rounds=st.integers(1, 4))
def test_renumbering_keeps_order_for_ever(n, seed, rounds):
    rng = np.random.default_rng(seed)
    names, ends = number(n)
    names, used = list(names), set(names)
    for _ in range(rounds):
        kept: list[str | None] = [name for name in names if rng.random() < 0.7]
        for _ in range(rng.integers(0, 25)):
            kept.insert(rng.integers(0, len(kept) + 1), None)
        names = renumber(kept, ends, used)
        fresh = {name for name, old in zip(names, kept, strict=True) if old is None}
        assert not fresh & used
        assert [name for name, old in zip(names, kept, strict=True) if old] == [old for old in kept if old]
        assert [ends[0], *names, ends[1]] == sorted([ends[0], *names, ends[1]])
        used |= fresh


def test_presence_of_a_peak_needs_four_fifths_of_it(peaks):
    index = sca.tl.dhs_index(peaks)
    new = peaks.sample(300, random_state=2).assign(sample="new")
    new["start"] -= np.random.default_rng(0).integers(0, 60, 300)
    found = sca.tl.presence(index, new)
    expected = np.zeros(index.n_vars)
    for at, element in enumerate(index.var.itertuples()):
        same = new[new["chrom"] == element.chrom]
        shared = np.minimum(same["end"], element.end) - np.maximum(same["start"], element.start)
        expected[at] = ((shared > 0) & (shared >= 0.8 * (same["end"] - same["start"]))).any()
    np.testing.assert_array_equal(found.X.toarray()[0], expected)
    assert 0 < expected.sum() < index.n_vars
    assert found.obs["n_peaks"].tolist() == [300]


def test_presence_keeps_the_highest_signal(peaks):
    index = sca.tl.dhs_index(peaks)
    row = index.var.iloc[0]
    new = pd.DataFrame({"chrom": row["chrom"], "start": row["start"], "end": row["start"] + [5, 6, 7], "sample": "x"})
    found = sca.tl.presence(index, new.assign(signal=[1.0, 3.0, 2.0]))
    assert found.layers["signal"].toarray()[0, 0] == 3


def test_presence_from_tracks(peaks):
    index = sca.tl.dhs_index(peaks, genome={"chr1": 10**5, "chr2": 10**5})
    genome = sca.Genome({"chr1": 10**5, "chr2": 10**5}, name="toy")
    summit = index.var.loc[index.var["chrom"] == "chr1", "summit"].to_numpy()
    starts = np.unique(summit)[::3].astype(np.int32)
    run = (starts, np.ones(len(starts), np.int32), np.arange(1, len(starts) + 1, dtype=np.float32))
    tracks = sca.Tracks.from_chromosomes(["a"], genome, [("chr1", [run])])
    found = sca.tl.presence(index, signal=tracks, threshold=2.5)
    signal = found.layers["signal"].toarray()[0]
    for at, row in enumerate(index.var.itertuples()):
        assert signal[at] == tracks.window("a", row.chrom, row.summit, row.summit + 1)[0]
    np.testing.assert_array_equal(found.X.toarray()[0], signal >= 2.5)
    assert sca.tl.presence(index, signal=tracks).X.nnz <= (signal > 0).sum()


@pytest.mark.parametrize(("options", "extend"), [({}, 100), ({"extend": 0}, 0), ({"extend": 7}, 7)])
def test_cut_sites_are_read_as_get_track_extends_them(options, extend):
    adata = sca.datasets.pbmc_windows()
    sca.pp.pseudobulk(adata, "cell_type", progress=False)
    tracks = sca.get.tracks(adata)
    rng, var = np.random.default_rng(0), adata.uns["windows"][["chrom", "start", "end"]]
    var = var.loc[var.index.repeat(4)].assign(summit=lambda table: rng.integers(table["start"], table["end"]))
    first = tracks.runs(0, "chr1")[0][0]  # and a place with a cut site, whose box reaches over the window read
    var = pd.concat([var, pd.DataFrame({"chrom": "chr1", "summit": [0, first, first + 100, first - 101]})])
    index = anndata.AnnData(np.ones((1, len(var)), np.float32), var=var.set_axis(map(str, range(len(var)))))
    found = sca.tl.presence(index, signal=tracks, threshold=1, **options)
    places = [(row.chrom, row.summit, row.summit + 1) for row in var.itertuples()]
    expected = [[sca.get.track(adata, group, at, extend=extend)[0] for at in places] for group in tracks.groups]
    np.testing.assert_array_equal(found.layers["signal"].toarray(), expected)
    assert np.any(expected)


def test_other_tracks_than_cut_sites_are_not_extended(peaks):
    genome = sca.Genome({"chr1": 10**5, "chr2": 10**5}, name="toy")
    index = sca.tl.dhs_index(peaks, genome=genome)
    starts = np.arange(0, 10**5, 3, dtype=np.int32)
    runs = starts, np.ones(len(starts), np.int32), np.arange(len(starts), dtype=np.float32)
    tracks = sca.Tracks.from_chromosomes(["a"], genome, [("chr1", [runs])])
    found = [sca.tl.presence(index, signal=tracks, extend=extend).layers["signal"].toarray()[0] for extend in (100, 0)]
    on = (index.var["chrom"] == "chr1") & (index.var["summit"] % 3 == 0)
    np.testing.assert_array_equal(found, [np.where(on, index.var["summit"] // 3, 0)] * 2)
    with pytest.raises(ValueError, match="extend is -1"):
        sca.tl.presence(index, signal=tracks, extend=-1)


@pytest.mark.parametrize("threshold", [None, 0.2, 0.0])
def test_presence_from_tracks_of_several_groups_that_do_not_know_mitochondria(threshold):
    """The organelle is NaN as `tl.denoise` leaves it, and each group has its own value far from any cut site."""
    genome = sca.Genome({"chr1": 1_000, "chrM": 500}, name="toy")
    unknown = (np.array([0], np.int32), np.array([500], np.int32), np.array([np.nan], np.float32))
    runs = [(np.array([at], np.int32), np.array([100], np.int32), np.array([3], np.float32)) for at in (100, 600)]
    tracks = sca.Tracks.from_chromosomes(["a", "b"], genome, [("chr1", runs), ("chrM", [unknown] * 2)], fill=[0.1, 0.3])
    var = pd.DataFrame({"chrom": ["chr1", "chr1", "chrM", "chrM"], "summit": [150, 650, 20, 90]}, index=list("wxyz"))
    index = anndata.AnnData(np.array([[1, 0, 0, 0]], np.float32), var=var)
    found = sca.tl.presence(index, signal=tracks, threshold=threshold)
    np.testing.assert_allclose(found.layers["signal"].toarray(), [[3, 0.1, 0, 0], [0.3, 3, 0, 0]])
    expected = {None: [[1, 0, 0, 0], [0, 1, 0, 0]], 0.2: [[1, 0, 0, 0], [1, 1, 0, 0]], 0.0: [[1, 1, 0, 0]] * 2}
    assert found.X.toarray().tolist() == expected[threshold]


@pytest.mark.parametrize("threshold", [None, 0.5])
def test_presence_from_tracks_of_many_groups_holds_few_of_them_dense(threshold, monkeypatch):
    rng = np.random.default_rng(0)
    genome = sca.Genome({"chr1": 1_000}, name="toy")
    starts = np.arange(0, 1_000, 10, dtype=np.int32)
    runs = [(starts, np.full(100, 10, np.int32), rng.random(100, np.float32)) for _ in range(7)]
    tracks = sca.Tracks.from_chromosomes(list("abcdefg"), genome, [("chr1", runs)])
    var = pd.DataFrame({"chrom": "chr1", "summit": rng.permutation(1_000)[:50]}, index=[str(i) for i in range(50)])
    index = anndata.AnnData(np.eye(2, 50, dtype=np.float32), var=var)
    expected = sca.tl.presence(index, signal=tracks, threshold=threshold)
    sizes, clean = [], np.nan_to_num
    monkeypatch.setattr("scatacworks.tl._vocabulary._presence._AT_ONCE", 3 * 50)
    monkeypatch.setattr(np, "nan_to_num", lambda values: sizes.append(values.shape) or clean(values))
    found = sca.tl.presence(index, signal=tracks, threshold=threshold)
    assert sizes == [(3, 50), (3, 50), (1, 50)]
    np.testing.assert_array_equal(found.X.toarray(), expected.X.toarray())
    np.testing.assert_array_equal(found.layers["signal"].toarray(), expected.layers["signal"].toarray())


def test_a_peak_with_exactly_the_share_inside_is_present():
    index = sca.tl.dhs_index(pd.DataFrame({"chrom": "chr1", "start": [100], "end": [200], "sample": "a"}))
    for percent in range(1, 101):
        new = pd.DataFrame({"chrom": "chr1", "start": [200 - percent, 201 - percent], "sample": ["b", "c"]})
        found = sca.tl.presence(index, new.assign(end=new["start"] + 100), min_fraction=percent / 100)
        assert found.X.toarray().ravel().tolist() == [1, 0], percent


def test_presence_wants_one_source(peaks):
    index = sca.tl.dhs_index(peaks)
    with pytest.raises(ValueError, match="either peaks or signal"):
        sca.tl.presence(index)
    with pytest.raises(TypeError, match="index is a DataFrame; expected the AnnData of tl.dhs_index"):
        sca.tl.presence(peaks, index)
    with pytest.raises(TypeError, match="peaks become one by tl.presence"):
        sca.tl.project_vocabulary(peaks, index)
    with pytest.raises(ValueError, match="min_fraction"):
        sca.tl.presence(index, peaks, min_fraction=0)
    with pytest.raises(TypeError, match=r"signal is no Tracks but AnnData; get\.tracks"):
        sca.tl.presence(index, signal=index)
    tracks = sca.Tracks.from_chromosomes([], sca.Genome({"chr1": 9}), [])
    for new in ({"peaks": peaks}, {"signal": tracks}):
        with pytest.raises(ValueError, match="The index has no elements"):
            sca.tl.presence(index[:, :0], **new)


def test_peaks_in_another_spelling_are_found(peaks):
    index, other = sca.tl.dhs_index(peaks), peaks.assign(chrom=peaks["chrom"].str.removeprefix("chr"))
    expected = sca.tl.presence(index, peaks)
    assert expected.X.nnz > 0
    assert (sca.tl.presence(index, other).X != expected.X).nnz == 0


def test_peaks_on_other_chromosomes_only_are_refused(peaks):
    with pytest.raises(ValueError, match=r"no element \(scaffold_9, not chr1, chr2\)"):
        sca.tl.presence(sca.tl.dhs_index(peaks), peaks.assign(chrom="scaffold_9"))


def test_an_index_without_positions_is_named(peaks):
    with pytest.raises(KeyError, match=r"\.var of the index lacks the column\(s\) chrom, start, end;"):
        sca.tl.presence(anndata.AnnData(np.ones((1, 2))), peaks)
