"""Training from tracks and cells, and evaluation beside the baselines."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

import scatacworks as sca
from scatacworks import metrics
from scatacworks.tl._denoising import _baselines, _samples, evaluate

LENGTH = 120_000


def thin(tracks, fraction, seed):
    rng = np.random.default_rng(seed)
    chromosomes = []
    for chrom in tracks.genome.chroms:
        runs = []
        for group in range(len(tracks.groups)):
            positions, _, counts = tracks.runs(group, chrom)
            kept = rng.binomial(counts.astype(np.int64), fraction)
            runs.append((positions[kept > 0], None, kept[kept > 0].astype(np.uint16)))
        chromosomes.append((chrom, runs))
    return sca.Tracks.from_chromosomes(tracks.groups, tracks.genome, chromosomes)


@pytest.fixture(scope="module")
def deep():
    rng = np.random.default_rng(0)
    genome = sca.Genome({"chr1": LENGTH, "chr10": LENGTH, "chr20": LENGTH})
    chromosomes = []
    for chrom in genome.chroms:
        rate = np.full(LENGTH, 0.01)
        for center in rng.integers(1000, LENGTH - 1000, 15):
            rate[center - 150 : center + 150] += 0.6
        counts = rng.poisson(rate)
        positions = np.flatnonzero(counts).astype(np.int32)
        chromosomes.append((chrom, [(positions, None, counts[positions].astype(np.uint16))]))
    return sca.Tracks.from_chromosomes(["A"], genome, chromosomes)


def settings(**changes):
    return {
        "steps": 2,
        "epochs": 1,
        "core_bp": 8192,
        "batch_size": 2,
        "warmup": 0,
        "validation_depths": (2e7,),
    } | changes


def test_training_uses_the_paper_chromosomes_and_fills_the_card(deep, tmp_path):
    result = sca.tl.train(
        deep, model="Linear", settings=settings(), card={"genome": "made up"}, out=tmp_path, progress=False
    )
    card = sca.models.load(tmp_path / "model.safetensors").card
    assert card["genome"] == "made up"
    assert card["split"] == "train chr1:0-120000; validation chr20:0-120000; hold-out chr10:0-120000"
    scores = result.history.iloc[-1]
    for name in ("auprc_20M", "pearson_20M"):
        assert card["metrics"]["validation"][name] == pytest.approx(scores[name], rel=1e-3)
    again = sca.tl.train(deep, model=result.model, settings=settings(), progress=False)
    assert again.model is result.model


def test_what_is_said_of_the_bundled_weights_is_not_said_of_what_was_made_of_them(deep):
    before = sca.models.load("default").card
    made = sca.tl.train(deep, model="default", settings=settings(), validation=[], progress=False).model
    assert not made.has_guide
    assert before["metrics"]
    assert made.card["metrics"] == {}
    assert made.card["limits"] == ""
    assert made.card["licence"] == before["licence"]
    assert made.card["data"].endswith(f"from the weights of accessibility (version {before['version']})")


@pytest.mark.parametrize(
    ("wrong", "match"),
    [
        ({"optimizer": "sgd"}, "optimizer='sgd' is unknown; expected 'adamw' or 'adam'"),
        ({"schedule": "step"}, "schedule='step' is unknown"),
        ({"loss": "mse"}, "loss='mse' is unknown; expected 'poisson' or 'paper'"),
        ({"select": "first"}, "select='first' is unknown"),
        ({"monitor": "pearson"}, "monitor='pearson' is unknown"),
        ({"depth_range": 1e6}, "depth_range is 1000000.0; expected the smallest and the largest"),
        ({"depth_range": (1e6, 1e5)}, "depth_range is"),
        ({"core_bp": 0}, "core_bp is 0"),
    ],
)
def test_settings_that_do_not_exist_are_refused(deep, wrong, match):
    with pytest.raises(ValueError, match=match):
        sca.tl.train(deep, model="Linear", settings=settings(**wrong), progress=False)


def test_split_leaves_the_holdout_alone():
    genome = sca.Genome({"chr1": 100, "chr10": 50, "chr20": 50})
    train, validate, _ = _samples.split(genome, None, None, None)
    assert set(train) == {"chr1"}
    assert set(validate) == {"chr20"}
    chr1 = _samples.intervals(["chr1"], genome)
    train, validate, _ = _samples.split(genome, chr1, ["chr1:40-60"], ["chr1:50-70"])
    np.testing.assert_array_equal(train["chr1"], [[0, 40], [70, 100]])
    np.testing.assert_array_equal(validate["chr1"], [[40, 50]])


def test_what_is_held_back_may_be_named_in_any_form(tmp_path):
    genome = sca.Genome({"chr1": 100, "chr2": 100, "chr3": 100})
    table = pd.DataFrame({"chrom": ["chr1", "chr3"], "start": [10, 0], "end": [40, 100]})
    table.to_csv(tmp_path / "back.bed", sep="\t", header=False, index=False)
    forms = [table, tmp_path / "back.bed", str(tmp_path / "back.bed"), ["chr1:10-40", "chr3"]]
    for form in forms:
        train, validate, _ = _samples.split(genome, None, form, [])
        train_2, _, out = _samples.split(genome, None, [], form)
        for kept in (validate, out):
            assert {chrom: rows.tolist() for chrom, rows in kept.items()} == {"chr1": [[10, 40]], "chr3": [[0, 100]]}
        for rest in (train, train_2):
            found = {chrom: rows.tolist() for chrom, rows in rest.items()}
            assert found == {"chr1": [[0, 10], [40, 100]], "chr2": [[0, 100]]}


def on_one_chromosome(deep, chrom):
    genome = sca.Genome(deep.genome.sizes | {"chr1": 2 * LENGTH})
    return sca.Tracks.from_chromosomes(["A"], genome, [(chrom, [deep.runs(0, chrom)])])


def test_nothing_left_to_train_on_is_said(deep):
    with pytest.raises(ValueError, match=r"No region is left .* validation=\['chr20'\] or holdout=\['chr10'\]"):
        sca.tl.train(deep, regions=["chr10"], progress=False)
    with (
        pytest.warns(UserWarning, match="The cut sites lie in 1 windows"),
        pytest.raises(ValueError, match=r"No region is left .* validation=\['chr20'\]"),
    ):
        sca.tl.train(on_one_chromosome(deep, "chr20"), progress=False)


@pytest.mark.parametrize("validation", [None, "chr20", ("chr20", 0, 5_000)])
def test_a_validation_without_cut_sites_is_refused(deep, validation):
    genome = sca.Genome({"chr1": LENGTH, "chr20": 10_000})
    sites = sca.Tracks.from_chromosomes(["A"], genome, [("chr1", [deep.runs(0, "chr1")])])
    with pytest.raises(ValueError, match="'A' has no cut site in chr20, which .* by validation="):
        sca.tl.train(sites, model="Linear", validation=validation, settings=settings(), progress=False)


@pytest.mark.parametrize("name", ["depth", "noisy_depth"])
@pytest.mark.parametrize("value", [0, np.nan, [-1], {"A": 0}])
def test_a_depth_that_is_none_is_refused(deep, name, value):
    with pytest.raises(ValueError, match=rf"^{name} of the group 'A' is .*; expected a positive number"):
        sca.tl.train(deep, noisy=thin(deep, 0.1, 1), model="Linear", progress=False, **{name: value})


def test_the_depth_of_the_scored_tracks_may_be_stated_by_group(deep):
    options = {"regions": "chr10", "baselines": ["raw"], "progress": False, "n_jobs": 1}
    stated = [sca.tl.evaluate(thin(deep, 0.1, 1), deep, depth=d, **options) for d in (1e6, [1e6], {"A": 1e6, "B": 0})]
    pd.testing.assert_frame_equal(stated[0], stated[1])
    pd.testing.assert_frame_equal(stated[0], stated[2])
    with pytest.raises(TypeError, match="depth is '1e6'"):
        sca.tl.evaluate(thin(deep, 0.1, 1), deep, depth="1e6", **options)


def test_a_validation_that_lies_in_the_holdout_is_refused(deep):
    with pytest.raises(ValueError, match="Nothing of validation=.* is left"):
        sca.tl.train(deep, model="Linear", validation=["chr20"], holdout=["chr20"], progress=False)


def test_swapped_tracks_are_noticed(deep):
    shallow = thin(deep, 0.1, 1)
    with pytest.raises(ValueError, match="Have they been swapped"):
        sca.tl.train(shallow, noisy=deep, model="Linear", settings=settings(), progress=False)


def test_worse_tracks_of_the_same_depth_are_learnt_from(deep):
    rng = np.random.default_rng(4)
    chromosomes = []
    for chrom in deep.genome.chroms:
        positions, _, counts = deep.runs("A", chrom)
        every = np.repeat(positions, counts)
        every[::2] = rng.integers(0, LENGTH, len(every[::2]))  # half of the cut sites lie anywhere
        at, number = np.unique(every, return_counts=True)
        chromosomes.append((chrom, [(at.astype(np.int32), None, number.astype(np.uint16))]))
    worse = sca.Tracks.from_chromosomes(["A"], deep.genome, chromosomes)
    options = {"model": "Linear", "progress": False}
    changes = settings(steps=60, real_fraction=1.0, depth_jitter=0.0, learning_rate=0.02)
    result = sca.tl.train(deep, noisy=worse, settings=changes, **options)
    thinned = sca.tl.train(deep, settings=changes, **options)
    scored = {"regions": ["chr10"], "baselines": [], "models": {"worse": result.model, "thinned": thinned.model}}
    scores = sca.tl.evaluate(worse, deep, progress=False, n_jobs=1, **scored).set_index("method")
    assert scores.loc["worse", "mse"] < scores.loc["thinned", "mse"]


def test_evaluation_has_the_baselines_beside_the_model(deep):
    shallow = thin(deep, 0.1, 2)
    table = sca.tl.evaluate(
        shallow, deep, regions=["chr10"], models={"linear": sca.models.Linear()}, progress=False, n_jobs=1
    ).set_index("method")
    assert list(table.index) == ["raw", "linear", "gaussian"]
    assert table.loc["gaussian", "auprc"] > table.loc["raw", "auprc"]
    assert np.isnan(table.loc["raw", "f1"])
    truth = np.convolve(deep.window("A", "chr10", -100, LENGTH + 100), np.ones(201), "valid")
    raw = np.convolve(shallow.window("A", "chr10", -100, LENGTH + 100), np.ones(201), "valid")
    assert table.loc["raw", "pearson"] == pytest.approx(metrics.pearson(truth, raw), rel=1e-6)
    assert table.loc["raw", "mse_scaled"] == pytest.approx(metrics.mse(truth, raw, scale="best"), rel=1e-5)


def test_mitochondria_are_scored_only_where_named(deep):
    chromosomes = [("chr1", [deep.runs(0, "chr1")]), ("chrM", [deep.runs(0, "chr10")])]
    nuclear = sca.Tracks.from_chromosomes(["A"], sca.Genome({"chr1": LENGTH}), chromosomes[:1])
    both = sca.Tracks.from_chromosomes(["A"], sca.Genome({"chr1": LENGTH, "chrM": LENGTH}), chromosomes)

    def scores(tracks, regions=None):
        options = {"depth": 1e6, "regions": regions, "progress": False, "n_jobs": 1}
        return sca.tl.evaluate(thin(tracks, 0.1, 2), tracks, **options).set_index("method")

    found = scores(both)
    pd.testing.assert_frame_equal(found, scores(nuclear))
    assert found["n_bases"].tolist() == [LENGTH] * 2
    named = scores(both, ["chrM"])
    assert named["n_bases"].tolist() == [LENGTH] * 2
    assert not np.isnan(named["pearson"]).any()


def test_gaussian_width_is_chosen_apart_from_what_is_scored(deep):
    shallow = thin(deep, 0.02, 3)
    tuned = sca.tl.evaluate(
        shallow, deep, regions=["chr10"], tune_regions=["chr20"], baselines=["gaussian"], progress=False, n_jobs=1
    )
    assert tuned.loc[0, "auprc"] > 0.5


def test_tuning_on_what_is_scored_is_said(deep):
    options = {"regions": ["chr10"], "baselines": ["gaussian"], "progress": False, "n_jobs": 1}
    with pytest.warns(UserWarning, match="1 of 2 tune_regions overlap what is scored, on chr10, where"):
        sca.tl.evaluate(thin(deep, 0.02, 3), deep, tune_regions=["chr20", "chr10:1-9"], **options)


def test_linear_filter_is_fitted_where_it_is_not_scored(deep):
    shallow = thin(deep, 0.05, 6)
    options = {"regions": ["chr10"], "baselines": ["raw", "linear"], "progress": False, "n_jobs": 1}
    table = sca.tl.evaluate(shallow, deep, tune_regions=["chr1", "chr20"], **options).set_index("method")
    assert list(table.index) == ["raw", "linear"]
    assert table.loc["linear", "auprc"] > table.loc["raw", "auprc"]
    assert table.loc["linear", "mse"] < table.loc["raw", "mse_scaled"]
    assert np.isnan(table.loc["linear", "f1"])
    assert list(sca.tl.evaluate(shallow, deep, **options)["method"]) == ["raw"]
    with pytest.raises(ValueError, match="no baseline 'mean'"):
        sca.tl.evaluate(shallow, deep, **options | {"baselines": ["mean"]})


def test_linear_filter_is_that_of_least_squares():
    rng = np.random.default_rng(0)
    reach, x = 3, rng.normal(2, 1, 40_000)
    true = np.array([0.1, 0.3, 0.5, 1.0, 0.5, 0.3, 0.1])
    y = np.convolve(x, true, "same")[2 * reach : -2 * reach] + 4
    sums = _baselines._Sums(reach)
    sums.add(x[: 20_000 + 2 * reach], y[: 20_000 - 2 * reach], (1.0, 1.0))
    sums.add(x[20_000 - 2 * reach :], y[20_000 - 2 * reach :], (1.0, 1.0))
    weight, offset = sums.solve()
    np.testing.assert_allclose(weight, true, atol=0.01)
    assert offset == pytest.approx(4, abs=0.1)


def test_differential_peaks_show_a_track_that_is_an_average(deep):
    own, other = {}, {}
    for chrom in deep.genome.chroms:
        starts, _, counts = deep.runs("A", chrom)
        own[chrom] = starts, None, counts
        order = np.argsort((starts + 1000) % LENGTH)
        other[chrom] = ((starts + 1000) % LENGTH)[order].astype(np.int32), None, counts[order]
    mean = {chrom: merged(own[chrom], other[chrom]) for chrom in own}
    both = sca.Tracks.from_chromosomes(["A", "B"], deep.genome, [(c, [own[c], other[c]]) for c in own])
    average = sca.Tracks.from_chromosomes(["A", "B"], deep.genome, [(c, [mean[c], mean[c]]) for c in own])
    options = {"differential": ("A", "B"), "regions": ["chr10"], "baselines": ["raw"], "progress": False}
    with pytest.warns(UserWarning, match="the very cut sites of the input.*: A, B\\."):
        own = sca.tl.evaluate(both, both, **options).set_index("group")
    mixed = sca.tl.evaluate(average, both, **options | {"differential": ["A", "B"]}).set_index("group")
    assert own.loc["A", "n_differential_bases"] > 1000
    assert own.loc["A", "pearson_differential"] == pytest.approx(1)
    assert (own["auprc_differential"] > 0.95).all()
    assert (mixed["pearson_differential"] < 0.5).all()
    assert (mixed["auprc_differential"] < own["auprc_differential"] - 0.2).all()
    assert (mixed["mse_inside"] > 0).all()


def test_a_truth_that_is_the_input_is_noticed(deep):
    shallow = thin(deep, 0.5, 7)
    runs = {
        name: {c: tracks.runs("A", c) for c in deep.genome.chroms} for name, tracks in [("A", deep), ("B", shallow)]
    }

    def pair(a, b):
        chromosomes = [(c, [runs[a][c], runs[b][c]]) for c in deep.genome.chroms]
        return sca.Tracks.from_chromosomes(["x", "y"], deep.genome, chromosomes)

    options = {"baselines": ["raw"], "progress": False, "n_jobs": 1}
    with pytest.warns(UserWarning, match=r"the very cut sites of the input.*: y\. Score shallow") as told:
        sca.tl.evaluate(pair("B", "A"), pair("A", "A"), regions=["chr10"], **options)
    assert told[0].filename == __file__
    sca.tl.evaluate(pair("B", "A"), pair("A", "A"), regions=["chr10"], groups=["x"], **options)
    mixed = [(c, [runs["A" if c == "chr10" else "B"][c]]) for c in deep.genome.chroms]
    mixed = sca.Tracks.from_chromosomes(["A"], deep.genome, mixed)
    with pytest.warns(UserWarning, match=r"the very cut sites of the input.*: A\."):
        sca.tl.evaluate(mixed, deep, regions=["chr10"], **options)
    sca.tl.evaluate(mixed, deep, regions=["chr20"], **options)
    other = sca.Genome({"chr1": LENGTH + 1})
    other = sca.Tracks.from_chromosomes(["A"], other, [("chr1", [runs["A"]["chr1"]])])
    with pytest.raises(ValueError, match="genome"):
        sca.tl.evaluate(other, deep, **options)


def merged(a, b):
    positions, inverse = np.unique(np.concatenate([a[0], b[0]]), return_inverse=True)
    return positions, None, np.bincount(inverse, np.concatenate([a[2], b[2]])).astype(np.uint16)


def test_peaks_of_one_group_overlap_none_of_the_other():
    peaks = pd.DataFrame(
        {"chrom": ["chr1"] * 4 + ["chr2"], "start": [0, 500, 90, 900, 0], "end": [100, 600, 200, 950, 9]}
    )
    peaks["group"] = ["A", "A", "B", "B", "C"]
    found = evaluate.peaks_of_one(peaks, ("A", "B"))
    assert found["start"].tolist() == [500, 900]
    with pytest.raises(KeyError, match="'D' of differential"):
        evaluate.peaks_of_one(peaks, ("A", "D"))
    with pytest.raises(KeyError, match="needs a column 'group'"):
        evaluate.peaks_of_one(peaks.drop(columns="group"), ("A", "B"))


def test_evaluation_scores_what_denoise_wrote(deep):
    import anndata as ad

    cells = ad.AnnData(np.zeros((1, 0), np.float32))
    cells.uns["pseudobulk"] = {"cut_sites": thin(deep, 0.2, 4).to_dict(), "params": {"digest": "first"}}
    sca.tl.denoise(cells, progress=False, n_jobs=1, depth=5e6, regions=["chr10:0-20,000"])
    table = sca.tl.evaluate(cells, deep, regions=["chr10:0-20,000"], baselines=["raw"], progress=False)
    assert list(table["method"]) == ["raw", "denoised"]
    assert np.isfinite(table["pearson"]).all()
    cells.uns["pseudobulk"] = {"cut_sites": thin(deep, 0.1, 5).to_dict(), "params": {"digest": "second"}}
    with pytest.warns(UserWarning, match="was denoised from other cut sites"):
        table = sca.tl.evaluate(cells, deep, regions=["chr10:0-20,000"], baselines=["raw"], progress=False)
    assert list(table["method"]) == ["raw"]
    del cells.uns["denoised"]
    with pytest.raises(ValueError, match="nothing to score"):
        sca.tl.evaluate(cells, deep, regions=["chr10:0-20,000"], baselines=[], progress=False)


def test_peaks_per_group_are_told_apart(deep):
    peaks = pd.DataFrame({"chrom": ["chr10", "chr10"], "start": [0, 100], "end": [50, 120], "group": ["A", "B"]})
    found = _samples.peak_intervals(peaks, "A", deep.genome)
    np.testing.assert_array_equal(found["chr10"], [[0, 50]])


@pytest.mark.parametrize(
    ("options", "error", "message"),
    [
        ({"models": "default"}, TypeError, "models is 'default'; expected a dict"),
        ({"models": {"own": "nowhere"}}, FileNotFoundError, "no model 'nowhere'"),
        ({"differential": "A"}, TypeError, "differential is 'A'; expected a pair"),
        ({"differential": 5}, TypeError, "differential is 5; expected a pair"),
        ({"differential": ["A"]}, TypeError, r"differential is \['A'\]; expected a pair"),
        ({"baselines": "mean"}, ValueError, "no baseline 'mean'"),
    ],
)
def test_what_evaluation_cannot_do_is_told(deep, options, error, message):
    with pytest.raises(error, match=message):
        sca.tl.evaluate(thin(deep, 0.2, 0), deep, regions=["chr10"], progress=False, n_jobs=1, **options)
