"""Scores against scikit-learn, scipy and hand arithmetic."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats
from sklearn import metrics as sk

import scatacworks as sca
from scatacworks import metrics
from scatacworks._core.scoring import PairMoments, Ranking, average_precision, roc_area


@pytest.fixture
def pair():
    rng = np.random.default_rng(0)
    truth = rng.poisson(3, 5000)
    return truth, (truth + rng.poisson(2, 5000)).astype(np.float32)


def test_correlations_equal_scipy(pair):
    assert metrics.pearson(*pair) == pytest.approx(stats.pearsonr(*pair).statistic, abs=1e-12)
    assert metrics.spearman(*pair) == pytest.approx(stats.spearmanr(*pair).statistic, abs=1e-12)


def test_mse_equals_its_definition(pair):
    truth, prediction = pair
    assert metrics.mse(*pair) == pytest.approx(np.mean((truth - prediction.astype(float)) ** 2))
    scales = np.linspace(0.1, 2, 4001)
    errors = [np.mean((truth - k * prediction.astype(float)) ** 2) for k in scales]
    assert metrics.mse(*pair, scale="best") == pytest.approx(min(errors), abs=1e-5)


@settings(max_examples=30, deadline=None)
@given(st.lists(st.tuples(st.booleans(), st.integers(0, 6)), min_size=2, max_size=60))
def test_ranking_scores_equal_scikit_learn(pairs):
    label, score = np.array([p[0] for p in pairs]), np.array([p[1] for p in pairs], float)
    if label.all() or not label.any():
        with pytest.warns(UserWarning, match="AUPRC is undefined"):
            assert np.isnan(metrics.auprc(label, score))
        return
    assert metrics.auprc(label, score) == pytest.approx(sk.average_precision_score(label, score))
    assert metrics.auroc(label, score) == pytest.approx(sk.roc_auc_score(label, score))
    precision, recall, _ = sk.precision_recall_curve(label, score)
    best = max(2 * p * r / (p + r) for p, r in zip(precision, recall, strict=True) if p + r)
    assert metrics.f1(label, score, threshold=None) == pytest.approx(best)
    assert metrics.f1(label, score, threshold=2) == pytest.approx(sk.f1_score(label, score > 2, zero_division=0.0))
    assert metrics.f1(label, score / 6) == pytest.approx(sk.f1_score(label, score / 6 > 0.5, zero_division=0.0))


@settings(max_examples=15, deadline=None)
@given(st.integers(1, 7), st.integers(0, 2**32 - 1))
def test_streaming_in_any_pieces_equals_the_whole(n_pieces, seed):
    rng = np.random.default_rng(seed)
    label, score = rng.random(500) < 0.3, rng.normal(size=500).astype(np.float32).round(1)
    ranking, moments = Ranking(), PairMoments()
    for part in np.array_split(np.arange(500), n_pieces):
        ranking.update(label[part], score[part])
        moments.update(label[part], score[part])
    tp, fp = ranking.cumulative()
    assert average_precision(tp, fp) == pytest.approx(sk.average_precision_score(label, score))
    assert roc_area(tp, fp) == pytest.approx(sk.roc_auc_score(label, score))
    assert moments.pearson() == pytest.approx(np.corrcoef(label, score.astype(float))[0, 1], abs=1e-12)
    np.testing.assert_allclose(ranking.ranks(score), stats.rankdata(score))


def test_too_many_distinct_scores_are_merged_and_stay_close(monkeypatch):
    monkeypatch.setattr("scatacworks._core.scoring._MAX_DISTINCT", 3000)
    rng = np.random.default_rng(1)
    score = rng.normal(size=20_000).astype(np.float32)
    label = rng.random(20_000) < 1 / (1 + np.exp(-2 * score))
    ranking = Ranking()
    ranking.update(label, score)
    assert average_precision(*ranking.cumulative()) == pytest.approx(sk.average_precision_score(label, score), abs=1e-3)


def test_large_values_do_not_lose_precision():
    x = 1e8 + np.arange(1000.0)
    assert metrics.pearson(x, np.arange(1000.0)) == pytest.approx(1.0, abs=1e-9)


def test_undefined_scores_are_nan_with_a_warning():
    with pytest.warns(UserWarning, match="Pearson's correlation is undefined"):
        assert np.isnan(metrics.pearson([1, 1, 1], [1, 2, 3]))
    for pair in (([1, 1, 1], [1, 2, 3]), ([], [])):
        with pytest.warns(UserWarning, match="Spearman's correlation is undefined"):
            assert np.isnan(metrics.spearman(*pair))
    with pytest.warns(UserWarning, match="F1 is undefined"):
        assert np.isnan(metrics.f1([False, False], [0.1, 0.9]))


@pytest.mark.parametrize("value", [0.1, 1 / 3, 7.7])  # the mean of a thousand of these is not the value itself
def test_correlation_with_a_constant_track_is_undefined(value):
    other = np.random.default_rng(0).normal(size=1000)
    for first, second in ((np.full(1000, value), other), (other, np.full(1000, value))):
        with pytest.warns(UserWarning, match="all of them equal"):
            assert np.isnan(metrics.pearson(first, second))
    nearly = np.full(1000, value)
    nearly[7] *= 1 + 1e-9
    assert metrics.pearson(nearly, np.arange(1000) == 7) == pytest.approx(1)


@pytest.mark.parametrize("infinite", [np.inf, -np.inf])
def test_infinite_scores_are_ranked_as_equal(infinite):
    rng = np.random.default_rng(0)
    label, score = rng.random(40) < 0.4, rng.integers(-2, 3, 40).astype(float)
    score[:20] = infinite
    finite = np.where(np.isinf(score), np.sign(infinite) * 100, score)  # scikit-learn takes no infinite ones
    assert metrics.auprc(label, score) == pytest.approx(sk.average_precision_score(label, finite))
    assert metrics.auroc(label, score) == pytest.approx(sk.roc_auc_score(label, finite))
    assert metrics.f1(label, score, threshold=None) == metrics.f1(label, finite, threshold=None)


def test_unusable_input_is_refused():
    with pytest.raises(ValueError, match="NaN"):
        metrics.pearson([0.0, np.nan], [0.0, 1.0])
    with pytest.raises(ValueError, match="equal length"):
        metrics.auprc([True], [0.1, 0.2])
    with pytest.raises(ValueError, match="'none' or 'best'"):
        metrics.mse([1.0], [1.0], scale="other")


@pytest.mark.parametrize("name", ["auprc", "auroc", "f1", "pearson", "spearman", "mse"])
def test_values_that_are_not_known_do_not_count_as_known(name):
    score, known = getattr(metrics, name), [0.0, 1.0, 1.0, 0.0]
    for unknown, what in (([0, np.nan, 1, 0], "NaN"), (np.ma.masked_array([0, 1, 1, 0], [0, 1, 0, 0]), "masked")):
        with pytest.raises(ValueError, match=f"the first array holds {what}.*; leave those bases out"):
            score(unknown, known)
        with pytest.raises(ValueError, match=f"the second array holds {what}.*; leave those bases out"):
            score(known, unknown)
    assert score(np.ma.masked_array([0, 1, 0, 1], False), known) == score([0, 1, 0, 1], known)


PEAK = st.tuples(st.sampled_from(["chr1", "chr2"]), st.integers(0, 60), st.integers(1, 20))


def intervals(rows):
    return pd.DataFrame(rows, columns=["chrom", "start", "end"])


@settings(max_examples=30, deadline=None)
@given(*[st.lists(PEAK, min_size=1, max_size=8)] * 2, st.integers(1, 5))
def test_peak_overlap_equals_a_double_loop(a, b, least):
    a, b = ([(chrom, start, start + size) for chrom, start, size in peaks] for peaks in (a, b))
    result = metrics.peak_overlap(intervals(a), intervals(b), min_overlap=least)

    def met(x, ys):
        return any(x[0] == y[0] and min(x[2], y[2]) - max(x[1], y[1]) >= least for y in ys)

    found, right = [met(x, b) for x in a], [met(x, a) for x in b]
    assert (result["n_truth"], result["n_called"]) == (len(a), len(b))
    assert result["recall"] == pytest.approx(np.mean(found))
    assert result["precision"] == pytest.approx(np.mean(right))
    assert result["f1"] == pytest.approx(stats.hmean([np.mean(found), np.mean(right)]))
    bases = [{(chrom, p) for chrom, s, e in peaks for p in range(s, e)} for peaks in (a, b)]
    assert result["jaccard"] == pytest.approx(len(bases[0] & bases[1]) / len(bases[0] | bases[1]))


def tracks(values, genome):
    positions = np.flatnonzero(values).astype(np.int32)
    return sca.Tracks.from_chromosomes(["B"], genome, [("chr1", [(positions, None, values[positions])])])


def test_evaluate_tracks_equals_the_array_functions():
    rng = np.random.default_rng(2)
    genome = sca.Genome({"chr1": 3000})
    sites = rng.poisson(0.3, 3000).astype(np.float32)
    prediction = rng.poisson(40, 3000).astype(np.float32)
    coverage = np.convolve(sites, np.ones(21), "same")
    peaks, excluded = intervals([("1", 100, 700), ("chr1", 600, 900)]), intervals([("chr1", 2000, 2500)])
    label = np.zeros(3000, bool)
    label[100:900] = True
    keep = np.ones(3000, bool)
    keep[2000:2500] = False
    row = metrics.evaluate_tracks(
        tracks(prediction, genome), tracks(sites, genome), peaks=peaks, exclude=excluded, extend=10, block_bp=777
    ).loc[0]
    t, p, y = coverage[keep], prediction[keep], label[keep]
    assert row["n_bases"] == 2500
    assert row["n_peak_bases"] == 800
    assert row["pearson"] == pytest.approx(metrics.pearson(t, p))
    assert row["pearson_outside"] == pytest.approx(metrics.pearson(t[~y], p[~y]))
    assert row["mse_outside"] == pytest.approx(metrics.mse(t[~y], p[~y]))
    assert row["mse_scaled_inside"] == pytest.approx(metrics.mse(t[y], p[y], scale="best"))
    assert row["spearman"] == pytest.approx(metrics.spearman(t, p))
    assert row["mse_scaled"] == pytest.approx(metrics.mse(t, p, scale="best"))
    assert row["auprc"] == pytest.approx(metrics.auprc(y, p))
    assert row["f1_max"] == pytest.approx(metrics.f1(y, p, threshold=None))
    called = rng.integers(0, 5, 3000).astype(np.float32)
    row = metrics.evaluate_tracks(
        tracks(prediction, genome), tracks(sites, genome), peaks=peaks, score=tracks(called, genome), threshold=3,
        exclude=intervals([("scaffold", 0, 3000)]),
    ).loc[0]  # fmt: skip
    assert row["n_bases"] == 3000
    assert row["pearson"] == pytest.approx(metrics.pearson(sites, prediction))
    assert row["auprc"] == pytest.approx(metrics.auprc(label, called))
    assert row["auroc"] == pytest.approx(metrics.auroc(label, called))
    for name, score in (("f1", sk.f1_score), ("precision", sk.precision_score), ("recall", sk.recall_score)):
        assert row[name] == pytest.approx(score(label, called > 3))
    apart = metrics.evaluate_tracks(
        tracks(prediction, genome), tracks(sites, genome), peaks=peaks, extend=10,
        differential=intervals([("chr1", 800, 1000), ("chr1", 100, 150)]),
    ).loc[0]  # fmt: skip
    d = np.r_[100:150, 800:1000]
    assert apart["n_differential_bases"] == 250
    assert apart["pearson_differential"] == pytest.approx(metrics.pearson(coverage[d], prediction[d]))
    assert apart["auprc_differential"] == pytest.approx(metrics.auprc(label[d], prediction[d]))
    blocks = metrics.evaluate_tracks(
        tracks(prediction, genome), tracks(sites, genome), peaks=peaks, extend=10, block_bp=1000, by="block"
    )
    assert list(blocks["start"]) == [0, 1000, 2000]
    assert np.isnan(blocks["auprc"][2])


def test_undefined_scores_of_groups_are_told_once_and_named():
    genome, values = sca.Genome({"chr1": 300}), np.arange(300)
    nothing, some = (np.empty(0, np.int32), None, np.empty(0)), (values[50:].astype(np.int32), None, values[50:] * 1.0)
    flat, deep = (
        sca.Tracks.from_chromosomes(["B", "NK"], genome, [("chr1", [first, some])]) for first in (nothing, some)
    )
    with pytest.warns(UserWarning, match=r"^Scores are undefined, .*: B \(pearson, scale, spearman\)\.$") as told:
        table = metrics.evaluate_tracks(flat, deep, block_bp=30)
    assert len(told) == 1
    assert table["pearson"].isna().tolist() == [True, False]
    peaks = intervals([("chr1", 0, 300)])
    half = sca.Tracks.from_chromosomes(["B", "NK"], genome, [("chr1", [nothing, (some[0], None, some[2] / 2)])])
    with pytest.warns(UserWarning, match=r": B \(.*\), NK \(pearson_outside, .* auroc\)\.$") as told:
        sca.tl.evaluate(half, deep, peaks=peaks, regions="chr1", progress=False, n_jobs=1)
    assert len(told) == 1
    metrics.evaluate_tracks(flat, deep, block_bp=30, by="block")


def test_evaluate_tracks_takes_regions_in_any_form():
    genome, values = sca.Genome({"chr1": 300}), np.arange(300, dtype=np.float32)
    pair = tracks(values, genome), tracks(values**2, genome)
    expected = metrics.pearson(values[100:200] ** 2, values[100:200])
    for form in ("chr1:100-200", ["chr1:100-150", ("1", 150, 200)], intervals([("chr1", 100, 200)] * 2)):
        row = metrics.evaluate_tracks(*pair, regions=form, block_bp=30).loc[0]
        assert row["n_bases"] == 100
        assert row["pearson"] == pytest.approx(expected)


def test_evaluate_tracks_refuses_another_genome():
    a, b = sca.Genome({"chr1": 10}), sca.Genome({"chr1": 11})
    with pytest.raises(ValueError, match="same genome"):
        metrics.evaluate_tracks(tracks(np.ones(10), a), tracks(np.ones(10), b))


def test_paired_bootstrap_covers_the_difference_and_is_reproducible():
    rng = np.random.default_rng(3)
    base = rng.normal(0.7, 0.1, 30)
    better = base + 0.02 + rng.normal(0, 0.005, 30)
    result = metrics.paired_bootstrap(better, base)
    assert result == metrics.paired_bootstrap(better, base)
    assert result["low"] < 0.02 < result["high"]
    assert result["low"] > 0
    first, second = np.append(better, [np.nan, 0.5, 0.1]), np.append(base, [0.5, np.nan, 0.9])
    differences = np.append(better - base, -0.8)
    result = metrics.paired_bootstrap(first, second, level=0.9)
    assert (result["n_blocks"], result["n_better"]) == (31, (differences > 0).sum())
    assert result["difference"] == pytest.approx(differences.mean())
    draws = rng.choice(differences, (20_000, 31)).mean(axis=1)
    assert (result["low"], result["high"]) == pytest.approx(tuple(np.quantile(draws, [0.05, 0.95])), abs=0.003)
    with pytest.warns(UserWarning, match="interval is undefined"):
        assert np.isnan(metrics.paired_bootstrap([0.1], [0.2])["low"])


def test_equivalent_reads_reads_the_raw_curve():
    depths, raw = [1e6, 5e6, 1e7, 2e7], [0.36, 0.69, 0.82, 0.92]
    assert metrics.equivalent_reads(0.82, depths, raw) == pytest.approx(1e7)
    assert 1e7 < metrics.equivalent_reads(0.85, depths, raw) < 2e7
    assert metrics.equivalent_reads(0.99, depths, raw) == pytest.approx(2e7)
    # in any order; where a deeper one scores less, the curve stays level
    assert metrics.equivalent_reads(0.5, [1e8, 1e6, 1e7], [0.6, 0.4, 0.3]) == pytest.approx(10**7.5)


def test_peaks_meet_whichever_way_their_chromosomes_are_spelled():
    truth = pd.DataFrame({"chrom": ["chr1", "chrM", "chrX", "chr2"], "start": 0, "end": 100})
    called = pd.DataFrame({"chrom": ["1", "MT", "CHRX", "3"], "start": 50, "end": 150})
    found = metrics.peak_overlap(truth, called)
    assert (found["recall"], found["precision"]) == (pytest.approx(3 / 4), pytest.approx(3 / 4))
    assert found["jaccard"] == pytest.approx(150 / 650)


@pytest.mark.parametrize(("name", "value"), [("level", 95), ("n_draws", 0)])
def test_arguments_of_the_bootstrap_are_explained(name, value):
    with pytest.raises(ValueError, match=f"{name} is {value}; expected"):
        metrics.paired_bootstrap([0.8, 0.9], [0.7, 0.8], **{name: value})


@pytest.mark.parametrize(("name", "value"), [("extend", -1), ("block_bp", 0)])
def test_arguments_of_the_scores_are_explained(name, value):
    runs = (np.array([1, 3], np.int32), None, np.array([2, 1], np.uint16))
    tracks = sca.Tracks.from_chromosomes(["B"], sca.Genome({"chr1": 6}), [("chr1", [runs])])
    with pytest.raises(ValueError, match=f"{name} is {value}; expected a whole number"):
        metrics.evaluate_tracks(tracks, tracks, **{name: value})
