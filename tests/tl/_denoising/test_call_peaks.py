"""tl.call_peaks: the table it writes."""

from __future__ import annotations

import warnings

import anndata as ad
import numpy as np
import pandas as pd
import pytest

import scatacworks as sca
from scatacworks._core.runs import encode


def with_tracks(probability, signal=None, groups=("a", "b"), fill=0.0):
    genome = sca.Genome({"chr1": len(probability[0][0]), "chr2": len(probability[1][0])})
    adata, layers = ad.AnnData(obs=pd.DataFrame(index=["x"])), {"probability": probability, "signal": signal}
    adata.uns["denoised"] = {
        name: sca.Tracks.from_chromosomes(
            groups,
            genome,
            [(c, [encode(np.asarray(t, np.float32), 0, fill) for t in tracks]) for c, tracks in enumerate(dense)],
            fill=fill,
        ).to_dict()
        for name, dense in layers.items()
        if dense is not None
    }
    return adata


@pytest.fixture
def adata():
    rng = np.random.default_rng(0)
    dense = [
        [np.repeat(rng.random(300), rng.integers(1, 60, 300))[:4000] for _ in range(2)],
        [np.repeat([0.9, 0.1], 250), np.repeat([0.1, 0.9], 250)],
    ]
    return with_tracks(dense, [[10 * track for track in tracks] for tracks in dense])


def test_the_table_has_every_group_and_chromosome(adata):
    assert sca.tl.call_peaks(adata, min_length=20) is None
    peaks = adata.uns["peaks"]
    assert peaks.columns.tolist() == ["group", "chrom", "start", "end", "summit", "mean", "max", "probability"]
    assert list(peaks["group"].cat.categories) == ["a", "b"]
    assert list(peaks["chrom"].cat.categories) == ["chr1", "chr2"]
    assert [str(peaks[c].dtype) for c in ("start", "end", "summit", "mean")] == ["int64", "int64", "int64", "float64"]
    assert peaks.equals(peaks.sort_values(["group", "chrom", "start"]))
    last = peaks.iloc[-1]
    assert tuple(last[["group", "chrom", "start", "end", "summit"]]) == ("b", "chr2", 250, 500, 375)
    assert last["max"] == pytest.approx(9)
    for row in peaks.itertuples():
        signal = sca.get.track(adata, row.group, (row.chrom, row.start, row.end), key="denoised", layer="signal")
        assert row.max == signal.max() == signal[row.summit - row.start]
        assert row.mean == pytest.approx(signal.mean(dtype=float))
        assert row.probability == pytest.approx(signal.mean(dtype=float) / 10)
        assert row.end - row.start >= 20
    assert adata.uns["scatacworks"]["peaks"]["threshold"] == 0.5


def test_limits_are_those_of_bdgpeakcall():
    track = np.zeros(1000)
    track[100:250] = track[280:340] = track[371:400] = 0.5
    adata = with_tracks([[track], [np.zeros(10)]], groups=["a"])
    sca.tl.call_peaks(adata, layer="probability")
    assert adata.uns["peaks"][["start", "end"]].to_numpy().tolist() == [[100, 340]]
    sca.tl.call_peaks(adata, layer="probability", max_gap=31)
    assert adata.uns["peaks"][["start", "end"]].to_numpy().tolist() == [[100, 400]]
    sca.tl.call_peaks(adata, layer="probability", min_length=241)
    assert len(adata.uns["peaks"]) == 0


@pytest.mark.parametrize("threshold", [0.1, 0.7, 0.9])  # the last two are more than their float32
def test_values_that_equal_the_threshold_are_in_a_peak(threshold):
    track = np.zeros(500)
    track[100:300] = threshold
    adata = with_tracks([[track], [np.zeros(10)]], groups=["a"])
    sca.tl.call_peaks(adata, threshold=threshold)
    assert adata.uns["peaks"][["start", "end"]].to_numpy().tolist() == [[100, 300]]


def test_groups_can_be_chosen(adata):
    sca.tl.call_peaks(adata, groups=["b"], key_added="some")
    assert set(adata.uns["some"]["group"]) == {"b"}
    with pytest.raises(KeyError, match="no group 'c'"):
        sca.tl.call_peaks(adata, groups=["c"])


def test_no_peak_gives_an_empty_table_that_can_be_written(tmp_path, adata):
    sca.tl.call_peaks(adata, min_length=1_000_000)
    assert len(adata.uns["peaks"]) == 0
    adata.write_h5ad(tmp_path / "x.h5ad")
    assert len(ad.read_h5ad(tmp_path / "x.h5ad").uns["peaks"]) == 0


def test_a_threshold_that_is_no_probability_is_refused(adata):
    with pytest.raises(ValueError, match="threshold is 2; expected a probability"):
        sca.tl.call_peaks(adata, threshold=2)


def test_bases_without_a_run_count_with_their_value():
    adata = with_tracks([[np.full(300, 0.7)], [np.zeros(300)]], groups=["a"], fill=0.7)
    sca.tl.call_peaks(adata, layer="probability", min_length=100)
    assert adata.uns["peaks"][["chrom", "start", "end"]].to_numpy().tolist() == [["chr1", 0, 300]]
    assert adata.uns["peaks"]["max"].iloc[0] == pytest.approx(0.7)


@pytest.mark.parametrize(
    ("options", "error", "match"),
    [
        ({"key": "smooth"}, KeyError, "run sca.tl.denoise.* first"),
        ({"layer": "cut_sites"}, KeyError, "cut_sites"),
        ({"threshold": np.nan}, ValueError, "finite"),
        ({"threshold": 7}, ValueError, "threshold is 7; expected a probability"),
        ({"threshold": -0.1, "layer": "probability"}, ValueError, "expected a probability"),
        ({"min_length": 0}, ValueError, "min_length is 0; expected a whole number of 1 or more"),
        ({"chroms": []}, ValueError, "no chromosome to call peaks on: name some by chroms="),
        ({"max_gap": -1}, ValueError, "max_gap is -1; expected a whole number of 0 or more"),
    ],
)
def test_wrong_arguments_are_refused(adata, options, error, match):
    with pytest.raises(error, match=match):
        sca.tl.call_peaks(adata, **options)


def test_cut_sites_are_refused():
    adata = with_tracks([[np.zeros(300)], [np.zeros(300)]], groups=["a"])
    genome = sca.Genome({"chr1": 10})
    sites = (np.array([1], np.int32), None, np.ones(1, np.uint16))
    adata.uns["pseudobulk"] = {"cut_sites": sca.Tracks.from_chromosomes(["a"], genome, [(0, [sites])]).to_dict()}
    with pytest.raises(ValueError, match="holds cut sites"):
        sca.tl.call_peaks(adata, key="pseudobulk")


@pytest.mark.parametrize(("regions", "chroms", "missing"), [(None, "chrM", "MT"), (["chr1"], ["chr1", "chr2"], "chr2")])
def test_chromosomes_that_were_not_denoised_are_not_said_to_have_no_peak(regions, chroms, missing):
    genome = sca.Genome({"chr1": 1_000, "chr2": 1_000, "MT": 1_000})
    low = (np.array([100], np.int32), np.array([300], np.int32), np.array([0.1], np.float32))
    tracks = sca.Tracks.from_chromosomes(["a"], genome, [("chr1", [low])], fill=[np.nan]).to_dict()
    slot = {"signal": tracks, "probability": tracks, "params": {"model": "accessibility"}}
    if regions:
        slot["regions"] = pd.DataFrame({"chrom": regions, "start": 0, "end": 500})
    adata = ad.AnnData(obs=pd.DataFrame(index=["x"]), uns={"denoised": slot})
    with pytest.raises(ValueError, match=f"{missing} was not denoised in .uns.'denoised'.; name it in the regions="):
        sca.tl.call_peaks(adata, chroms=chroms)
    sca.tl.call_peaks(adata, chroms="chr1")
    assert len(adata.uns["peaks"]) == 0


def test_peaks_of_raw_coverage_are_nuclear_unless_chromosomes_are_named():
    genome = sca.Genome({"chr1": 1_000, "MT": 1_000, "chrPt": 1_000})
    high = (np.array([100], np.int32), np.array([300], np.int32), np.array([50], np.float32))
    tracks = sca.Tracks.from_chromosomes(["a"], genome, [(chrom, [high]) for chrom in genome.chroms])
    adata = ad.AnnData(obs=pd.DataFrame(index=["x"]), uns={"raw": {"signal": tracks.to_dict()}})
    for chroms, expected in [(None, ["chr1"]), ("chrM", ["MT"]), (["chrPt", "1"], ["chr1", "chrPt"])]:
        sca.tl.call_peaks(adata, key="raw", threshold=20, chroms=chroms)
        assert adata.uns["peaks"]["chrom"].tolist() == expected
    with pytest.raises(KeyError, match="'chr7' is not in the genome"):
        sca.tl.call_peaks(adata, key="raw", threshold=20, chroms=["chr7"])


def test_a_store_of_many_groups_is_read_by_chunks(tmp_path, monkeypatch):
    import zarr

    monkeypatch.setattr("scatacworks.tracks._CHUNK", 100)
    rng = np.random.default_rng(0)
    dense = [[np.repeat(rng.random(8) > 0.5, 30) for _ in range(60)] for _ in range(2)]
    adata = with_tracks(dense, groups=[f"g{i}" for i in range(60)])
    sca.tl.call_peaks(adata, min_length=20, n_jobs=1)
    tracks = sca.get.tracks(adata, key="denoised")
    tracks.to_zarr(tmp_path / "denoised" / "probability")
    stored = ad.AnnData(obs=adata.obs, uns={"denoised": {"path": str(tmp_path / "denoised")}})
    reads, read = [], zarr.Array.__getitem__
    monkeypatch.setattr(zarr.Array, "__getitem__", lambda array, wanted: reads.append(wanted) or read(array, wanted))
    sca.tl.call_peaks(stored, min_length=20, n_jobs=1)
    pd.testing.assert_frame_equal(stored.uns["peaks"], adata.uns["peaks"])
    layers, arrays, n_chunks = 2, 3, tracks.n_runs // 100 + 1
    assert len(reads) <= layers * (1 + arrays * 2 * n_chunks)


def test_the_bar_counts_groups_and_chromosomes(adata, capsys):
    sca.tl.call_peaks(adata, progress=False)
    assert capsys.readouterr().err == ""
    sca.tl.call_peaks(adata)
    jobs = 2 * len(sca.get.tracks(adata, key="denoised", layer="probability").groups)
    assert f"{jobs}/{jobs}" in capsys.readouterr().err


def drawn(rng, shape, size):
    """Stretches of a probability from a beta distribution, and whether each of their bases is right, as it says."""
    probability = np.repeat(rng.beta(*shape, size // 10), 10)
    return probability, np.repeat(rng.random(size // 10) < probability[::10], 10)


def test_f1_chooses_for_each_group_what_would_be_best_for_the_truth():
    rng = np.random.default_rng(0)
    shallow, deep = (drawn(rng, shape, 100_000) for shape in ((0.3, 3), (0.05, 0.5)))
    adata = with_tracks([[shallow[0], deep[0]], [np.zeros(10), np.zeros(10)]])
    sca.tl.call_peaks(adata, threshold="f1", min_length=1, max_gap=0, progress=False)
    by_group = adata.uns["scatacworks"]["peaks"]["by_group"]
    assert by_group["threshold"].round(2).is_monotonic_increasing
    for group, (probability, truth) in zip("ab", (shallow, deep), strict=True):
        scores = [sca.metrics.f1(truth, probability, threshold=t) for t in np.arange(0.05, 0.95, 0.01)]
        row = by_group.loc[group]
        called = np.zeros(len(truth), bool)
        for start, end in sca.get.peaks(adata, group=group)[["start", "end"]].to_numpy():
            called[start:end] = True
        np.testing.assert_array_equal(called, probability.astype(np.float32) >= np.float32(row["threshold"]))
        assert sca.metrics.f1(truth, called) > max(scores) - 0.01
        assert row["expected_precision"] == pytest.approx(truth[called].mean(), abs=0.02)
        assert row["expected_recall"] == pytest.approx(called[truth].mean(), abs=0.02)


def test_what_is_expected_is_of_the_peaks_as_they_are_joined(adata):
    sca.tl.call_peaks(adata, threshold=0.6, min_length=40, max_gap=20)
    by_group = adata.uns["scatacworks"]["peaks"]["by_group"]
    for group in ("a", "b"):
        peaks = sca.get.peaks(adata, group=group)
        in_peaks = n_bases = total = 0.0
        for chrom, size in adata_sizes(adata).items():
            track = sca.get.track(adata, group, (chrom, 0, size), key="denoised", layer="probability").astype(float)
            total += track.sum()
            for row in peaks[peaks["chrom"] == chrom].itertuples():
                in_peaks, n_bases = in_peaks + track[row.start : row.end].sum(), n_bases + row.end - row.start
        assert by_group.loc[group, "n_peaks"] == len(peaks)
        assert by_group.loc[group, "threshold"] == 0.6
        assert by_group.loc[group, "expected_precision"] == pytest.approx(in_peaks / n_bases)
        assert by_group.loc[group, "expected_recall"] == pytest.approx(in_peaks / total)


def adata_sizes(adata):
    return dict(zip(("chr1", "chr2"), sca.get.tracks(adata, key="denoised").genome.lengths.tolist(), strict=True))


def test_a_group_without_a_peak_has_no_precision_and_what_is_not_denoised_counts_nowhere(tmp_path):
    track = np.full(1000, np.nan)
    track[:400] = 0.2
    track[300:400] = 0.8
    adata = with_tracks([[track, np.full(1000, 0.05)], [np.full(10, np.nan)] * 2])
    sca.tl.call_peaks(adata, threshold="f1", min_length=50, progress=False)
    adata.write_h5ad(tmp_path / "x.h5ad")
    by_group = ad.read_h5ad(tmp_path / "x.h5ad").uns["scatacworks"]["peaks"]["by_group"]
    assert by_group.index.tolist() == ["a", "b"]
    assert by_group["n_peaks"].tolist() == [1, 0]
    assert by_group.loc["a", "expected_precision"] == pytest.approx(0.8)
    assert by_group.loc["a", "expected_recall"] == pytest.approx(80 / 140)
    assert np.isnan(by_group.loc["b", "expected_precision"])
    assert by_group.loc["b", "expected_recall"] == 0


def test_outside_the_windows_of_a_cut_file_nothing_is_expected():
    size, start, end, closed = 2_000_000, 500_000, 520_000, 2**-10
    track = np.full(size, closed)
    track[505_000:506_000], track[506_000:507_000] = 0.2, 0.8
    adata = with_tracks([[track], [np.full(size, closed)]], groups=["a"], fill=closed)
    sites = np.arange(start, end, 10, dtype=np.int32)
    tracks = sca.Tracks.from_chromosomes(
        ["a"], sca.get.tracks(adata, key="denoised").genome, [(0, [(sites, None, np.ones(len(sites), np.uint32))])]
    )
    adata.uns["denoised"]["params"] = {"key": "pseudobulk"}
    expected = {}
    for territory_bp in (20_000.0, 4_000_000.0):
        adata.uns["pseudobulk"] = {"cut_sites": tracks.to_dict(), "params": {"territory_bp": territory_bp}}
        for threshold in (0.5, "f1"):
            sca.tl.call_peaks(adata, threshold=threshold, progress=False)
            expected[territory_bp, threshold] = adata.uns["scatacworks"]["peaks"]["by_group"].loc["a"]
    in_window, everywhere = (1000 + closed * (n - 2000) for n in (sites[-1] + 1 - start, 2 * size))
    assert expected[20_000, 0.5]["expected_recall"] == pytest.approx(800 / in_window)
    assert expected[4_000_000, 0.5]["expected_recall"] == pytest.approx(800 / everywhere)
    assert expected[20_000, "f1"]["expected_precision"] == pytest.approx(0.8)  # F1 0.79, with the weaker place 0.66
    assert expected[4_000_000, "f1"]["expected_precision"] == pytest.approx(0.5)  # 0.27 and 0.29


@pytest.mark.parametrize("chroms", [None, ["chr2"]])
def test_of_a_cut_file_no_more_is_called_than_is_to_be_expected(chroms):
    track = np.full(4000, 0.25)
    track[1100:1110] = 0.3
    adata = with_tracks([[track], [np.full(500, 0.25)]], groups=["a"], fill=0.25)
    sites = np.arange(1000, 1200, 10, dtype=np.int32)
    tracks = sca.Tracks.from_chromosomes(
        ["a"], sca.get.tracks(adata, key="denoised").genome, [(0, [(sites, None, np.ones(len(sites), np.uint32))])]
    )
    adata.uns["denoised"]["params"] = {"key": "pseudobulk"}
    adata.uns["pseudobulk"] = {"cut_sites": tracks.to_dict(), "params": {"territory_bp": 200.0}}
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        sca.tl.call_peaks(adata, threshold=0.2, chroms=chroms, progress=False)
    by_group = adata.uns["scatacworks"]["peaks"]["by_group"].loc["a"]
    assert by_group[["expected_precision", "expected_recall"]].tolist() == pytest.approx([0.25, 1], rel=1e-3)


@pytest.mark.parametrize(("territory_bp", "fill"), [(4500.0, 0.0), (100.0, np.nan)])
def test_cut_sites_that_are_gone_are_not_missed(territory_bp, fill):
    adata = with_tracks([[np.repeat([0.1, 0.9], 2000)], [np.zeros(500)]], groups=["a"], fill=fill)
    adata.uns["denoised"]["params"] = {"key": "pseudobulk"}
    adata.uns["pseudobulk"] = {"path": "gone.zarr", "params": {"territory_bp": territory_bp}}
    sca.tl.call_peaks(adata, progress=False)
    assert adata.uns["scatacworks"]["peaks"]["by_group"].loc["a", "expected_recall"] == pytest.approx(1800 / 2000)


def test_a_peak_across_a_gap_between_denoised_regions_is_the_mean_of_what_is_known():
    track = np.full(1000, 0.2)
    track[100:400], track[400:420] = 0.8, np.nan
    track[420:500] = 0.6
    adata = with_tracks([[track], [np.zeros(10)]], signal=[[10 * track], [np.zeros(10)]], groups=["a"])
    sca.tl.call_peaks(adata, progress=False)
    row = adata.uns["peaks"].iloc[0]
    by_group = adata.uns["scatacworks"]["peaks"]["by_group"].loc["a"]
    right = 300 * 0.8 + 80 * 0.6
    assert (row["start"], row["end"]) == (100, 500)
    assert row["probability"] == pytest.approx(right / 380)
    assert row["mean"] == pytest.approx(10 * right / 380)
    assert by_group["expected_precision"] == pytest.approx(right / 380)
    assert by_group["expected_recall"] == pytest.approx(right / (right + 600 * 0.2))


def test_f1_is_for_probabilities(adata):
    with pytest.raises(ValueError, match="threshold='f1' is for probabilities; give a number in the unit of the track"):
        sca.tl.call_peaks(adata, layer="signal", threshold="f1")
    with pytest.raises(ValueError, match="threshold is 'auto'; expected a number or 'f1'"):
        sca.tl.call_peaks(adata, threshold="auto")
    sca.tl.call_peaks(adata, layer="signal", threshold=5)
    assert adata.uns["scatacworks"]["peaks"]["by_group"].columns.tolist() == ["n_peaks", "threshold"]
    assert "probability" not in adata.uns["peaks"]
