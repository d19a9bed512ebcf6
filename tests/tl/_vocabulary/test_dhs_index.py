"""The consensus index."""

from __future__ import annotations

import logging

import anndata
import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import scatacworks as sca
from scatacworks._anndata import genome_of
from scatacworks._core.delineate import Peaks
from scatacworks._core.index import index_chromosomes

POSITIONS = ["start", "end", "summit", "core_start", "core_end"]
COLUMNS = ["chrom", *POSITIONS, "n_samples", "n_peaks"]


def values(var: pd.DataFrame) -> np.ndarray:
    """Positions and counts as floats, missing ones as NaN."""
    return var[COLUMNS[1:]].to_numpy(float, na_value=np.nan)


def assert_same_elements(one: pd.DataFrame, other: pd.DataFrame) -> None:
    assert one["chrom"].tolist() == other["chrom"].tolist()
    np.testing.assert_array_equal(values(one), values(other))


def test_every_row_equals_the_published_code(shared_data):
    folder = shared_data / "dhs_index_golden"
    peaks = pd.read_csv(folder / "peaks.tsv.gz", sep="\t")
    for overlap, name, n in (("all", "all", 403), ("core", "nonovl_core", 397), ("any", "nonovl_any", 285)):
        expected = pd.read_csv(folder / f"expected_{name}.tsv.gz", sep="\t")
        index = sca.tl.dhs_index(peaks, overlap=overlap, n_jobs=1)
        assert index.n_vars == n
        assert_same_elements(index.var, expected)
        np.testing.assert_allclose(index.var["total_signal"], expected["score"], rtol=1e-9)


def shuffled(peaks: pd.DataFrame, seed: int = 1) -> pd.DataFrame:
    return peaks.sample(frac=1, random_state=seed)


def test_order_of_peaks_and_threads_change_nothing(peaks):
    one, other = sca.tl.dhs_index(peaks, n_jobs=1), sca.tl.dhs_index(shuffled(peaks), n_jobs=2)
    assert_same_elements(one.var, other.var)
    assert one.var["mean_signal"].tolist() == other.var["mean_signal"].tolist()
    assert (one.layers["signal"] != other.layers["signal"]).nnz == 0


def test_names_of_samples_change_only_the_rows(peaks):
    names = peaks["sample"].unique()
    renamed = peaks.assign(sample=peaks["sample"].map(dict(zip(names, names[::-1], strict=True))))
    one, other = sca.tl.dhs_index(peaks), sca.tl.dhs_index(renamed)
    assert_same_elements(one.var, other.var)
    assert one.var["total_signal"].tolist() == other.var["total_signal"].tolist()


def arrays(peaks: pd.DataFrame) -> Peaks:
    return Peaks(
        *(peaks[name].to_numpy(np.int32) for name in ("start", "end", "summit")),
        pd.factorize(peaks["sample"], sort=True)[0].astype(np.uint16),
        peaks["signal"].to_numpy(float),
    )


def test_pieces_of_work_change_nothing(peaks):
    chromosome = arrays(peaks[peaks["chrom"] == "chr1"])
    whole, pieces = (next(index_chromosomes([chromosome], 12, block_peaks=size)) for size in (10**9, 1))
    np.testing.assert_array_equal(whole.label, pieces.label)
    for mode in ("all", "core", "any"):
        for one, other in zip(whole.elements[mode], pieces.elements[mode], strict=True):
            np.testing.assert_array_equal(one, other)


@st.composite
def peak_sets(draw: st.DrawFn) -> pd.DataFrame:
    """Small sets of peaks in a narrow place, so that they overlap in every way."""
    n = draw(st.integers(1, 80))
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    spread = draw(st.sampled_from([30, 120, 800]))
    summit = 5000 + rng.integers(0, spread, n)
    width = draw(st.sampled_from([20, 150]))
    return pd.DataFrame(
        {
            "chrom": "chr1",
            "start": summit - rng.integers(0, width, n),
            "end": summit + rng.integers(1, width, n),
            "summit": summit,
            "sample": rng.integers(0, draw(st.sampled_from([1, 3, 30])), n).astype(str),
            "signal": rng.random(n).round(3),
        }
    )


@settings(max_examples=60)
@given(peaks=peak_sets(), shift=st.integers(-2000, 10**8).map(lambda value: 2 * value))
def test_moving_all_peaks_moves_the_elements(peaks, shift):
    there = peaks.assign(**{name: peaks[name] + shift for name in ("start", "end", "summit")})
    one, other = sca.tl.dhs_index(peaks, n_jobs=1).var, sca.tl.dhs_index(there, n_jobs=1).var
    moved = one[POSITIONS] + shift
    # a quantile that falls exactly between two bases is rounded after adding; the core may differ by that base
    difference = (moved.to_numpy(float, na_value=-1) - other[POSITIONS].to_numpy(float, na_value=-1)).reshape(-1, 5)
    assert not difference[:, :3].any()
    assert np.abs(difference[:, 3:]).max() <= 1
    assert one["total_signal"].tolist() == other["total_signal"].tolist()


@settings(max_examples=60)
@given(peaks=peak_sets(), overlap=st.sampled_from(["all", "core", "any"]))
def test_every_peak_is_in_one_element_and_presence_follows_from_it(peaks, overlap):
    index = sca.tl.dhs_index(peaks, overlap=overlap, n_jobs=1)
    stored = index.uns["dhs_index"]["peaks"]
    np.testing.assert_array_equal(stored["start"], peaks["start"])
    groups = stored.groupby("element")
    assert sorted(groups.groups) == list(range(index.n_vars))
    assert groups.size().tolist() == index.var["n_peaks"].tolist()
    assert groups["sample"].nunique().tolist() == index.var["n_samples"].tolist()
    best = stored.groupby(["sample", "element"], observed=True)["signal"].max()
    signal = index.to_df(layer="signal").to_numpy()
    present = index.to_df().to_numpy()
    assert present.sum() == len(best)
    for (sample, element), highest in best.items():
        row = index.obs_names.get_loc(sample)
        assert present[row, element] == 1
        assert signal[row, element] == highest
    totals = best.groupby("element").sum()
    np.testing.assert_allclose(index.var["total_signal"], totals, rtol=1e-12)


@settings(max_examples=40)
@given(peaks=peak_sets())
def test_modes_do_not_overlap_as_promised(peaks):
    core = sca.tl.dhs_index(peaks, overlap="core", n_jobs=1).var.dropna(subset=["core_start"])
    low = core[["core_start", "start"]].astype(int).max(axis=1).to_numpy()
    high = core[["core_end", "end"]].astype(int).min(axis=1).to_numpy()
    order = np.argsort(low)
    assert (low[order][1:] > np.maximum.accumulate(high[order])[:-1]).all()
    extent = sca.tl.dhs_index(peaks, overlap="any", n_jobs=1).var
    assert (extent["start"].to_numpy()[1:] > np.maximum.accumulate(extent["end"].to_numpy())[:-1]).all()


def test_all_tells_where_elements_go_in_the_other_modes(peaks):
    index = sca.tl.dhs_index(peaks)
    for mode in ("core", "any"):
        other = sca.tl.dhs_index(peaks, overlap=mode)
        went = index.var[f"nonovl_{mode}"].to_numpy()[index.uns["dhs_index"]["peaks"]["element"]]
        np.testing.assert_array_equal(went, other.uns["dhs_index"]["peaks"]["element"])


def test_identifiers_sort_as_positions(peaks):
    var = sca.tl.dhs_index(peaks).var
    for chrom, of in var.groupby("chrom", observed=True):
        assert of["identifier"].tolist() == sorted(of["identifier"])
        assert of["identifier"].str.startswith(chrom.removeprefix("chr") + ".").all()
    assert var["identifier"].is_unique


def test_one_peak_is_its_own_element():
    peaks = pd.DataFrame(
        {"chrom": ["chr1"], "start": [10], "end": [30], "sample": ["a"], "signal": [2.0], "summit": [12]}
    )
    for compat in ("meuleman2020", None):
        row = sca.tl.dhs_index(peaks, compat=compat).var.iloc[0]
        assert (row["start"], row["end"], row["summit"], row["mean_signal"]) == (10, 30, 12, 2.0)


def test_touching_peaks_make_one_element_in_both_conventions():
    peaks = pd.DataFrame(
        {"chrom": "chr1", "start": [10, 20, 20], "end": [20, 30, 30], "summit": [18, 22, 22], "sample": list("abc")}
    )
    strict, published = (sca.tl.dhs_index(peaks.assign(signal=1.0), compat=c).var for c in (None, "meuleman2020"))
    assert strict[["start", "end"]].to_numpy().tolist() == [[10, 30]]
    assert published[["start", "end"]].to_numpy().tolist() == [[10, 30]]


def test_files_frames_and_empty_samples_give_the_same(peaks, tmp_path):
    by_sample = {name: of.drop(columns="sample") for name, of in peaks.groupby("sample")}
    index = sca.tl.dhs_index(by_sample | {"nothing": by_sample["s00"].iloc[:0]})
    assert "nothing" in index.obs_names
    assert index["nothing"].X.nnz == 0
    whole = sca.tl.dhs_index(peaks)
    assert_same_elements(index.var, whole.var)
    holder = anndata.AnnData(np.zeros((1, 1)))
    for stored in (peaks.rename(columns={"sample": "group", "signal": "max"}), by_sample):
        holder.uns["peaks"] = stored
        assert_same_elements(sca.tl.dhs_index(holder).var, whole.var)


def test_groups_without_peaks_keep_their_row_in_every_form_that_names_them(peaks, caplog, tmp_path):
    by_sample = {name: of.drop(columns="sample") for name, of in peaks.groupby("sample")}
    nothing = by_sample["s00"].iloc[:0]
    mapped = sca.tl.dhs_index(by_sample | {"nothing": nothing, "aaa": nothing})
    groups = [*sorted(by_sample), "nothing", "aaa"]
    holder = anndata.AnnData(np.zeros((1, 1)))
    holder.uns["peaks"] = peaks.rename(columns={"sample": "group"})
    holder.uns["peaks"]["group"] = pd.Categorical(holder.uns["peaks"]["group"], groups)
    holder.write_h5ad(tmp_path / "holder.h5ad")
    for called in (holder, anndata.read_h5ad(tmp_path / "holder.h5ad")):
        caplog.clear()
        index = sca.tl.dhs_index(called)
        assert index.obs_names.tolist() == sorted(groups) == mapped.obs_names.tolist()
        assert (index.X != mapped.X).nnz == 0
        assert index.obs.loc[["aaa", "nothing"]].to_numpy().tolist() == [[0, 0], [0, 0]]
        assert "Samples without a peak keep an empty row: aaa, nothing." in caplog.text
    assert sca.tl.presence(index, holder).obs_names.tolist() == sorted(groups)
    assert sca.tl.prior(holder).rows.tolist() == sca.tl.prior(index).rows.tolist() == sorted(groups)
    assert sca.tl.prior(index).n_samples == len(groups)


def test_categories_that_a_selection_of_rows_left_unused_are_no_samples(peaks):
    frame = peaks.assign(sample=peaks["sample"].astype("category"))
    index = sca.tl.dhs_index(frame[frame["sample"] == "s01"])
    assert index.obs_names.tolist() == ["s01"]
    extended, _ = sca.tl.extend_index(index, frame[frame["sample"] == "s02"])
    assert extended.obs_names.tolist() == ["s01", "s02"]


def test_narrow_peak_files_are_read(peaks, tmp_path):
    paths = {}
    for name, of in peaks.groupby("sample"):
        table = of[["chrom", "start", "end"]].assign(name=".", score=0, strand=".", signal=of["signal"], p=-1, q=-1)
        table["peak"] = of["summit"] - of["start"]
        paths[name] = tmp_path / f"{name}.narrowPeak"
        table.to_csv(paths[name], sep="\t", header=False, index=False)
    paths["nothing"] = tmp_path / "nothing.narrowPeak"
    paths["nothing"].touch()
    index = sca.tl.dhs_index(paths)
    assert_same_elements(index.var, sca.tl.dhs_index(peaks).var)
    assert index["nothing"].X.nnz == 0
    folder = sca.tl.dhs_index(tmp_path)
    assert folder.obs_names.tolist() == index.obs_names.tolist()
    assert_same_elements(folder.var, index.var)
    first = min(set(paths) - {"nothing"})
    one, named = sca.tl.presence(index, str(paths[first])), sca.tl.presence(index, {first: paths[first]})
    assert one.obs_names.tolist() == named.obs_names.tolist() == [first]
    assert (one.X != named.X).nnz == 0


def test_the_index_survives_writing(peaks, tmp_path):
    index = sca.tl.dhs_index(peaks)
    index.write_h5ad(tmp_path / "index.h5ad")
    again = anndata.read_h5ad(tmp_path / "index.h5ad")
    assert_same_elements(again.var, index.var)
    assert again.uns["dhs_index"]["peaks"]["element"].tolist() == index.uns["dhs_index"]["peaks"]["element"].tolist()
    extended, _ = sca.tl.extend_index(again, peaks.assign(sample=peaks["sample"] + "x"))
    assert extended.n_obs == 2 * index.n_obs


def test_a_genome_gives_the_order_and_the_spelling(peaks):
    genome = sca.Genome({"chr2": 10**6, "chr1": 10**6}, name="toy")
    index = sca.tl.dhs_index(peaks.assign(chrom=peaks["chrom"].str.removeprefix("chr")), genome=genome)
    assert index.var["chrom"].unique().tolist() == ["chr2", "chr1"]


def test_chromosomes_are_in_natural_order_without_a_genome(peaks):
    many = pd.concat([peaks.assign(chrom=name) for name in ("chr10", "chrX", "chr2")])
    assert sca.tl.dhs_index(many).var["chrom"].unique().tolist() == ["chr2", "chr10", "chrX"]


def test_centres_stand_for_missing_summits_and_this_is_said_once(peaks, caplog):
    with caplog.at_level(logging.WARNING, logger="scatacworks"):
        index = sca.tl.dhs_index(peaks.drop(columns="summit"))
    assert [record.message for record in caplog.records] == ["The peaks have no summit column; their centres are used."]
    center = (peaks["start"] + peaks["end"]) // 2
    np.testing.assert_array_equal(index.uns["dhs_index"]["peaks"]["summit"], center)


def test_without_a_signal_every_peak_counts_one(peaks, caplog):
    index = sca.tl.dhs_index(peaks.drop(columns="signal"))
    assert (index.var["mean_signal"] == 1).all()


def test_one_sample_is_enough(peaks):
    index = sca.tl.dhs_index(peaks.assign(sample="only"))
    assert index.n_obs == 1
    assert (index.var["n_samples"] == 1).all()


def test_duplicated_peaks_change_no_presence(peaks):
    one, twice = (
        sca.tl.dhs_index(peaks.assign(sample="a")),
        sca.tl.dhs_index(pd.concat([peaks, peaks]).assign(sample="a")),
    )
    assert_columns = ["start", "end", "summit", "total_signal", "n_samples"]
    assert one.var[assert_columns].to_numpy().tolist() == twice.var[assert_columns].to_numpy().tolist()
    assert twice.var["n_peaks"].tolist() == (2 * one.var["n_peaks"]).tolist()


def test_summits_that_are_no_positions_on_the_chromosome_are_told(peaks, caplog):
    offsets = peaks.assign(summit=peaks["summit"] - peaks["start"])
    outside = int((offsets["summit"] < peaks["start"]).sum())
    with caplog.at_level(logging.WARNING, logger="scatacworks"):
        sca.tl.dhs_index(peaks)
        assert "outside" not in caplog.text
        sca.tl.dhs_index(offsets)
    assert f"{outside} of {len(peaks)} peaks have their summit (column 'summit') outside of them" in caplog.text


@pytest.mark.parametrize("options", [{}, {"compat": None}, {"method": "union"}])
def test_zero_width_is_one_base(options, caplog):
    peaks = pd.DataFrame({"chrom": "chr1", "start": [10, 50], "end": [10, 60], "sample": list("ab"), "signal": 1.0})
    with caplog.at_level(logging.WARNING, logger="scatacworks"):
        index = sca.tl.dhs_index(peaks, **options)
    assert "1 of 2 peaks have zero width" in caplog.text
    assert index.var["end"].tolist() == [11, 60]
    assert sca.tl.presence(index, peaks).X.toarray().tolist() == [[1, 0], [0, 1]]
    assert sca.tl.prior(peaks).fraction("chr1", 9, 12).tolist() == [0, 0.5, 0]
    assert peaks["end"].tolist() == [10, 60]


@pytest.mark.parametrize(
    ("change", "error", "match"),
    [
        (lambda p: p.drop(columns="sample"), KeyError, "sample"),
        (lambda p: p.iloc[:0], ValueError, "no rows"),
        (lambda p: p.assign(start=p["end"] + 1), ValueError, "Row 0"),
        (lambda p: p.assign(start=-1), ValueError, "0 <= start"),
        (lambda p: p.assign(start=p["start"] + 0.5), ValueError, "start is .*; expected a whole number"),
        (lambda p: p.assign(end=2**31), ValueError, r"end is 2147483648; .* below 2\^31"),
        (lambda p: p.assign(signal=-1.0), ValueError, "signal -1.0"),
        (lambda p: p.assign(signal=np.nan), ValueError, "signal nan"),
        (lambda p: p.assign(sample=None), ValueError, "no sample"),
        (lambda p: p.assign(chrom=np.where(p.index % 2, "chr1", "1")), ValueError, "spelled in two ways"),
        (lambda p: p.assign(chrom=np.where(p.index % 2, "ChrC", "Pt")), ValueError, r"two ways \(Pt and ChrC\)"),
        (lambda p: [1, 2], TypeError, "list"),
        (lambda p: {}, ValueError, "empty"),
        (lambda p: anndata.AnnData(np.zeros((1, 1))), KeyError, "call_peaks"),
    ],
)
def test_impossible_peaks_are_refused(peaks, change, error, match):
    with pytest.raises(error, match=match):
        sca.tl.dhs_index(change(peaks))


def test_another_genome_is_noticed(peaks):
    with pytest.raises(ValueError, match="another genome"):
        sca.tl.dhs_index(peaks, genome={"chr1": 2000, "chr2": 2000})
    with pytest.raises(ValueError, match="no chromosome chr2"):
        sca.tl.dhs_index(peaks, genome={"chr1": 10**8})


@pytest.mark.parametrize("option", [{"overlap": "none"}, {"method": "best"}, {"compat": "2021"}])
def test_unknown_choices_are_refused(peaks, option):
    with pytest.raises(ValueError, match="is unknown; expected '"):
        sca.tl.dhs_index(peaks, **option)


def test_union_merges_touching_and_overlapping_peaks():
    peaks = pd.DataFrame(
        {"chrom": "chr1", "start": [0, 10, 21, 15], "end": [10, 20, 30, 18], "sample": list("abca"), "signal": 1.0}
    )
    var = sca.tl.dhs_index(peaks, method="union").var
    assert var[["start", "end", "n_samples", "n_peaks"]].to_numpy().tolist() == [[0, 20, 2, 3], [21, 30, 1, 1]]


def greedy(summits: np.ndarray, signals: np.ndarray, half: int) -> list[int]:
    """Summits kept by the plain rule: best first, drop what overlaps a kept window."""
    kept: list[int] = []
    for at in np.argsort(-signals, kind="stable"):
        if all(abs(summits[at] - other) > 2 * half for other in kept):
            kept.append(int(summits[at]))
    return sorted(kept)


def test_iterative_keeps_the_best_of_overlapping_windows(peaks):
    peaks = peaks.assign(signal=np.random.default_rng(0).permutation(len(peaks)).astype(float))
    var = sca.tl.dhs_index(peaks, method="iterative").var
    for chrom, of in peaks.groupby("chrom"):
        expected = greedy(of["summit"].to_numpy(), of["signal"].to_numpy(), 250)
        mine = var[var["chrom"] == chrom]
        assert mine["summit"].tolist() == expected
        assert mine["start"].tolist() == [max(summit - 250, 0) for summit in expected]
        assert mine["end"].tolist() == [summit + 251 for summit in expected]


def test_iterative_windows_that_share_one_base_overlap():
    summit = np.array([1000, 1500, 3000, 3501])
    peaks = pd.DataFrame({"chrom": "chr1", "start": summit - 50, "end": summit + 50, "summit": summit, "sample": "a"})
    var = sca.tl.dhs_index(peaks.assign(signal=[1.0, 2, 1, 2]), method="iterative").var
    assert var[["start", "end"]].to_numpy().tolist() == [[1250, 1751], [2750, 3251], [3251, 3752]]


def test_iterative_windows_end_with_their_chromosome():
    genome = sca.Genome({"chr1": 1000, "chr2": 500})
    rows = [("chr1", 0, 90, 40), ("chr1", 900, 1000, 990), ("chr2", 200, 300, 250)]
    peaks = pd.DataFrame(rows, columns=["chrom", "start", "end", "summit"]).assign(sample="a", signal=1.0)
    index = sca.tl.dhs_index(peaks, method="iterative", genome=genome)
    windows = [["chr1", 0, 291], ["chr1", 740, 1000], ["chr2", 0, 500]]
    assert index.var[["chrom", "start", "end"]].to_numpy().tolist() == windows


def of_genome(peaks, genome):
    """An object with peaks that states its genome."""
    uns = {"peaks": peaks, "reference_sequences": genome.to_frame(), "scatacworks": {"genome": genome.name}}
    return anndata.AnnData(obs=pd.DataFrame(index=["cell"]), uns=uns)


def test_the_index_knows_the_genome_of_the_object(peaks, tmp_path):
    genes = pd.DataFrame([["chr1", 10, 90, "G", "+"]], columns=["chrom", "start", "end", "name", "strand"])
    genome = sca.Genome({"chr2": 1_000_000, "chr1": 900_000}, name="fish")
    adata = of_genome(peaks, genome)
    adata.uns["reference_genes"] = genes
    index = sca.tl.dhs_index(adata)
    index.write_h5ad(tmp_path / "index.h5ad")
    for kept in (index, anndata.read_h5ad(tmp_path / "index.h5ad")):
        assert genome_of(kept) == genome
        assert genome_of(kept).name == "fish"
        assert genome_of(kept).gene("G").end == 90
        assert list(kept.var["chrom"].unique()) == ["chr2", "chr1"]
    extended, _ = sca.tl.extend_index(index, of_genome(peaks.assign(sample="new"), genome))
    assert genome_of(extended).name == "fish"
    assert "reference_sequences" not in sca.tl.dhs_index(peaks).uns


def test_an_index_is_no_prior_for_another_assembly(peaks):
    hg19, hg38 = sca.Genome("hg19"), sca.Genome("hg38")
    index = sca.tl.dhs_index(of_genome(peaks, hg19))
    assert genome_of(index).name == "hg19"
    assert sca.tl.prior(index, genome="hg19").genome == hg19
    with pytest.raises(ValueError, match="which has 248,956,422 bp in 'hg38'; it is of another genome"):
        sca.tl.prior(index, genome=hg38)
    with pytest.raises(ValueError, match="peaks are of 'hg38'.* not of 'hg19'"):
        sca.tl.extend_index(index, of_genome(peaks.assign(sample="new"), hg38))
    with pytest.raises(ValueError, match="peaks are of 'hg19'.* not of 'hg38'"):
        sca.tl.dhs_index(of_genome(peaks, hg19), genome="hg38")


@pytest.mark.parametrize(
    "names", [("Chromosome", "Start", "End"), ("seqnames", "start", "end"), ("chrom", "chromStart", "chromEnd")]
)
def test_positions_may_have_the_names_of_other_packages(peaks, names):
    renamed = peaks.rename(columns=dict(zip(("chrom", "start", "end"), names, strict=True)))
    expected = sca.tl.dhs_index(peaks)
    for table in (renamed, dict(list(renamed.groupby("sample")))):
        index = sca.tl.dhs_index(table)
        pd.testing.assert_frame_equal(index.var, expected.var)
        assert (index.X != expected.X).nnz == 0


def test_a_table_without_positions_is_told(peaks):
    with pytest.raises(KeyError, match="the table of peaks lacks the column"):
        sca.tl.dhs_index({"a": peaks.drop(columns="start")})


@pytest.mark.parametrize("function", [sca.tl.dhs_index, sca.tl.prior])
def test_of_a_mudata_the_modality_is_asked_for(function, mudata):
    data = mudata.MuData({"atac": anndata.AnnData(np.ones((2, 2)))})
    with pytest.raises(TypeError, match=r"Peaks of a MuData are those of one of its modalities; .*mdata\['atac'\]"):
        function(data)
