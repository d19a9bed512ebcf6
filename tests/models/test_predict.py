"""Streaming inference against the network run on a whole chromosome at once, and against numpy."""

from __future__ import annotations

import dataclasses
import itertools
import weakref

import numpy as np
import pytest
import torch

import scatacworks as sca
from scatacworks.models import BinnedUNet, BinnedUNetConfig, ResNet, ResNetConfig
from scatacworks.models._plan import make_units
from scatacworks.models._predictor import Predictor
from scatacworks.models._rounding import Rounding
from scatacworks.models.guide import with_guide
from scatacworks.models.predict import predict, run_all, to_tracks
from scatacworks.prior import Guidance

SIZES = {"chr1": 70_000, "chrEmpty": 3_000, "chr2": 41_003, "chrTiny": 77}
FINE = Rounding(signal=1e-3, logit=5e-4, lowest=1e-7)


def small_unet(seed=0, **options):
    torch.manual_seed(seed)
    model = BinnedUNet(BinnedUNetConfig(channels=(8, 8, 8), dilations=(1, 2), **options))
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(0.05 * torch.randn_like(parameter))
    return model.eval()


def small_resnet(seed=0, **options):
    torch.manual_seed(seed)
    shape = {
        "n_blocks": 2,
        "n_blocks_class": 1,
        "n_filters": 5,
        "width": 11,
        "n_filters_class": 5,
        "width_class": 10,
    } | options
    return ResNet(ResNetConfig(**shape), card={"input_depth": 5e6, "data": "none", "target_depth": 5e6}).eval()


def some_sites(genome, groups=("a", "b"), n=(60, 25), seed=1):
    rng = np.random.default_rng(seed)
    chromosomes = []
    for chrom, size in genome.sizes.items():
        runs = []
        for count in n:
            wanted = 0 if chrom == "chrEmpty" else min(count, 3 if size < 100 else count)
            at = np.unique(np.concatenate([rng.integers(0, size, wanted), [0, size - 1][: wanted and 2]]))
            runs.append((at.astype(np.int32), None, rng.integers(1, 4, len(at)).astype(np.uint16)))
        chromosomes.append((chrom, runs))
    return sca.Tracks.from_chromosomes(groups, genome, chromosomes)


@pytest.fixture(scope="module")
def genome():
    return sca.Genome(SIZES)


def whole_chromosome(model, sites, depth, group, chrom, *, extra=()):
    """Signal and probability of all bases from one window over the whole chromosome, in float64."""
    size = sites.genome.sizes[chrom]
    padded = -(-size // model.stride) * model.stride
    counts = sites.window(group, chrom, -model.halo, padded + model.halo).astype(np.float64)
    channels = [counts.reshape(-1, model.bin_size).sum(1)]
    for tracks in extra:
        values = tracks.window(group if len(tracks.groups) > 1 else 0, chrom, -model.halo, padded + model.halo)
        channels.append(np.nan_to_num(values.astype(np.float64)).reshape(-1, model.bin_size).mean(1))
    model = model.double()
    with torch.no_grad():
        out = model(torch.from_numpy(np.stack(channels))[None], torch.tensor([depth], dtype=torch.float64))
    model.float()
    signal, logit = (values[0].numpy() for values in out)
    if model.bin_size > 1:
        centers = (np.arange(len(signal)) - 1 + 0.5) * model.bin_size - 0.5
        signal, logit = (np.interp(np.arange(size), centers, values) for values in (signal, logit))
    return signal[:size], 1 / (1 + np.exp(-logit[:size]))


def assert_close(tracks, expected, group, chrom):
    got = [t.window(group, chrom, 0, t.genome.sizes[chrom]) for t in tracks]
    np.testing.assert_allclose(np.sqrt(got[0]), np.sqrt(expected[0]), atol=6e-4, rtol=1e-4)
    np.testing.assert_allclose(got[1], expected[1], atol=6e-4)


@pytest.mark.parametrize("make", [small_unet, small_resnet])
@pytest.mark.parametrize("skip", [True, False])
def test_every_base_equals_one_window_over_the_chromosome(genome, make, skip):
    model, sites = make(), some_sites(genome)
    options = {"rounding": FINE, "skip": skip, "progress": False, "n_jobs": 2}
    tracks = predict(model, sites, depth=[2e6, 5e5], core=128 * 9, **options)
    for group, depth in (("a", 2e6), ("b", 5e5)):
        for chrom in genome.chroms:
            assert_close(tracks, whole_chromosome(model, sites, depth, group, chrom), group, chrom)


def some_extra(genome, seed=2):
    """A channel for all groups, dense and with gaps that are not known, and one of intervals for each group."""
    rng = np.random.default_rng(seed)
    dense, sparse = [], []
    for chrom, size in genome.sizes.items():
        at = np.arange(0, size, 37, dtype=np.int32)
        values = rng.normal(size=len(at)).astype(np.float32)
        values[rng.random(len(at)) < 0.1] = np.nan
        dense.append((chrom, [(at, np.minimum(37, size - at).astype(np.int32), values)]))
        motifs = [np.unique(rng.integers(0, max(size - 19, 1), size // 2_000)).astype(np.int32) for _ in range(2)]
        motifs = [m[np.diff(m, prepend=-99) >= 19] for m in motifs]
        sparse.append((chrom, [(m, np.full(len(m), 19, np.int32), np.ones(len(m), np.float32)) for m in motifs]))
    groups = (["all"], dense), (["a", "b"], sparse)
    return [sca.Tracks.from_chromosomes(names, genome, rows) for names, rows in groups]


@pytest.mark.parametrize("make", [small_unet, small_resnet])
@pytest.mark.parametrize("core", [3 * 128, 40_960])
def test_extra_channels_are_read_everywhere(genome, make, core):
    extra, sites = some_extra(genome), some_sites(genome)
    model = make(extra_channels=("x", "y"))
    options = {"rounding": FINE, "progress": False, "n_jobs": 2, "batch_size": 3}
    tracks = predict(model, sites, depth=[2e6, 5e5], core=core, extra=extra, **options)
    for group, depth in (("a", 2e6), ("b", 5e5)):
        for chrom in genome.chroms:
            assert_close(tracks, whole_chromosome(model, sites, depth, group, chrom, extra=extra), group, chrom)
    regions = {0: np.array([[0, 130], [30_000, 30_001], [30_300, 69_999]])}
    part = predict(model, sites, depth=[2e6, 5e5], extra=extra, regions=regions, **options)
    for whole, cut in zip(tracks, part, strict=True):
        for start, end in regions[0]:
            one, other = (t.window("b", "chr1", start, end) for t in (whole, cut))
            np.testing.assert_allclose(np.sqrt(one), np.sqrt(other), atol=2e-3)


def test_extra_channels_are_found_by_the_names_of_chromosomes(genome):
    """A bigWig file may have the chromosomes in another order."""
    model, sites = small_unet(extra_channels=("x", "y")), some_sites(genome)
    expected, other = some_extra(genome), sca.Genome(dict(reversed(genome.sizes.items())))
    moved = [
        sca.Tracks.from_chromosomes(t.groups, other, [(c, runs) for c, runs in reversed(list(t.chromosomes()))])
        for t in expected
    ]
    options = {"depth": [2e6, 5e5], "progress": False}
    results = [predict(model, sites, extra=extra, **options) for extra in (expected, moved)]
    for one, same in zip(*results, strict=True):
        for group, chrom in itertools.product(("a", "b"), genome.chroms):
            for ours, theirs in zip(one.runs(group, chrom), same.runs(group, chrom), strict=True):
                np.testing.assert_array_equal(ours, theirs)


def test_a_model_without_its_extra_channels_is_refused(genome):
    model, sites = small_unet(extra_channels=("x", "y")), some_sites(genome)
    for extra in ((), some_extra(genome)[:1]):
        with pytest.raises(ValueError, match=r"reads 2 extra channels \(x, y\) and got"):
            predict(model, sites, depth=[2e6, 5e5], extra=extra, progress=False)


def same(a, b, tolerance):
    """Fraction of bases where two sets of tracks differ."""
    different = total = 0
    for x, y in zip(a, b, strict=True):
        for group in x.groups:
            for chrom, size in x.genome.sizes.items():
                left, right = x.window(group, chrom, 0, size), y.window(group, chrom, 0, size)
                different += ((left != right) & ~(np.isnan(left) & np.isnan(right))).sum()
                total += size
                np.testing.assert_allclose(np.sqrt(left), np.sqrt(right), atol=tolerance)
    return different / total


@pytest.mark.parametrize("make", [small_unet, small_resnet])
def test_tiling_batches_threads_and_skipping_change_nothing(genome, make):
    model, sites = make(), some_sites(genome)
    reference = predict(model, sites, depth=[2e6, 5e5], progress=False, n_jobs=1)
    for core, batch_size, n_jobs, skip in [(13, 1, 2, True), (7, 7, 1, False), (50, 2, 2, True), (1000, 2, 1, True)]:
        options = {"core": core * 128, "batch_size": batch_size, "n_jobs": n_jobs, "skip": skip}
        other = predict(model, sites, depth=[2e6, 5e5], progress=False, **options)
        assert same(reference, other, tolerance=0.11) < 1e-4


def test_groups_do_not_see_each_other(genome):
    model, sites = small_unet(), some_sites(genome)
    both = predict(model, sites, depth=[2e6, 5e5], progress=False)
    alone = predict(model, sites.select(["b"]), depth=[5e5], progress=False)
    assert same([t.select(["b"]) for t in both], alone, tolerance=0.11) < 1e-4


def test_regions_are_the_whole_genome_cut_out(genome):
    model, sites = small_unet(), some_sites(genome)
    regions = {0: np.array([[0, 130], [5_000, 5_001], [30_000, 69_999]]), 1: np.array([[0, 3_000]])}
    whole = predict(model, sites, depth=[2e6, 5e5], progress=False)
    part = predict(model, sites, depth=[2e6, 5e5], regions=regions, progress=False)
    for a, b in zip(whole, part, strict=True):
        for group in a.groups:
            for code, intervals in regions.items():
                chrom, size = genome.chroms[code], int(genome.lengths[code])
                inside = np.zeros(size, bool)
                for start, end in intervals:
                    inside[start:end] = True
                left, right = a.window(group, chrom, 0, size), b.window(group, chrom, 0, size)
                assert (left[inside] != right[inside]).mean() < 1e-4
                assert np.isnan(right[~inside]).all()
            assert np.isnan(b.window(group, "chr2", 0, 100)).all()


def test_without_cut_sites_the_tracks_are_the_networks_constant(genome):
    model, sites = small_unet(), some_sites(genome, groups=("full", "empty"), n=(20, 0))
    signal, probability = predict(model, sites, depth=[1e6, 0], rounding=FINE, progress=False)
    expected = model.constant(model.card["depth_range"][0])
    assert [len(signal.runs("empty", chrom)[0]) for chrom in genome.chroms] == [0] * 4
    np.testing.assert_allclose(signal.window("empty", "chr1", 0, 10), expected[0], rtol=1e-3)
    np.testing.assert_allclose(probability.window("empty", "chr1", 0, 10), 1 / (1 + np.exp(-expected[1])), rtol=1e-3)


def test_runs_are_joined_over_window_borders(genome):
    sites = some_sites(genome)
    for tracks in predict(small_unet(), sites, depth=[2e6, 5e5], core=1024, progress=False):
        for group in tracks.groups:
            for chrom in genome.chroms:
                starts, lengths, values = tracks.runs(group, chrom)
                touching = starts[1:] == (starts + lengths)[:-1]
                assert (starts[1:] >= (starts + lengths)[:-1]).all()
                assert (values[1:][touching] != values[:-1][touching]).all()


def test_target_depth_scales_the_signal_only(genome):
    model, sites = small_unet(), some_sites(genome)
    signal, probability = predict(model, sites, depth=[2e6, 5e5], progress=False)
    options = {"target_depth": np.array([model.target_depth / 2, model.target_depth]), "progress": False}
    scaled, unchanged = predict(model, sites, depth=[2e6, 5e5], **options)
    np.testing.assert_allclose(scaled.window("a", "chr1", 0, 999), signal.window("a", "chr1", 0, 999) / 2, rtol=1e-6)
    np.testing.assert_array_equal(scaled.window("b", "chr1", 0, 999), signal.window("b", "chr1", 0, 999))
    np.testing.assert_array_equal(unchanged.values, probability.values)


def test_encoded_runs_are_let_go_of_when_they_are_decoded(genome):
    predictor = Predictor(small_unet(), some_sites(genome), depth=[2e6, 5e5], device="cpu")
    results = run_all(predictor, progress=False)
    held = [weakref.ref(runs[0]) for outputs in results.values() for runs in outputs]
    to_tracks(predictor, results, np.ones(2))
    assert held
    assert all(runs() is None for runs in held)


def test_the_network_is_left_as_it_was(genome):
    model = small_unet().train()
    threads = torch.get_num_threads()
    predict(model, some_sites(genome), depth=[2e6, 5e5], progress=False)
    assert model.training
    assert torch.get_num_threads() == threads


def test_the_network_is_left_as_it_was_where_getting_ready_fails(genome, monkeypatch):
    model, n_threads = small_unet().train(), torch.get_num_threads()
    monkeypatch.setattr(torch, "set_num_threads", set_num_threads := Calls(torch.set_num_threads))
    monkeypatch.setattr(Predictor, "_constants", lambda _: 1 / 0)
    with pytest.raises(ZeroDivisionError), Predictor(model, some_sites(genome), depth=[1e6, 1e6], device="cpu"):
        pass
    assert model.training
    assert set_num_threads.given == [1, n_threads]


class Calls:
    """A function, and what it was called with."""

    def __init__(self, function):
        self.function, self.given = function, []

    def __call__(self, value):
        self.given.append(value)
        return self.function(value)


def test_units_hold_every_slot_once_and_are_bounded():
    genome = sca.Genome("hg38")
    units = make_units(genome, 11, unit_bp=10**8)
    slots = [(chrom, group) for unit in units for chrom in unit.chroms for group in unit.groups]
    assert sorted(slots) == [(c, g) for c, chrom in enumerate(genome.chroms) if chrom != "chrM" for g in range(11)]
    sizes = [genome.lengths[list(unit.chroms)].sum() * len(unit.groups) for unit in units]
    assert max(sizes) <= max(10**8, genome.lengths.max())


@pytest.mark.parametrize(("depth", "match"), [([1e6], "2 finite numbers"), ([1e6, -1], "negative")])
def test_wrong_depths_are_refused(genome, depth, match):
    with pytest.raises(ValueError, match=match):
        Predictor(small_unet(), some_sites(genome), depth=depth)


def test_a_core_off_the_grid_is_refused(genome):
    with pytest.raises(ValueError, match="multiple of the model's stride"):
        Predictor(small_unet(), some_sites(genome), depth=[1, 1], core=100)


def test_an_absent_device_is_refused(genome):
    with pytest.raises(ValueError, match="cannot be used"):
        Predictor(small_unet(), some_sites(genome), depth=[1, 1], device="cuda:77")


@pytest.mark.parametrize("way", ["host", "device"])
@pytest.mark.parametrize(("batch_size", "way_out"), [(6, "batch_size=3 (--batch-size 3 "), (1, "device='cpu'")])
def test_a_device_whose_memory_is_too_small_is_explained(genome, monkeypatch, way, batch_size, way_out):
    model, forward = small_unet(), BinnedUNet.forward

    def small_memory(self, counts, depth):
        if counts.shape[-1] * self.bin_size > 2 * self.halo + self.stride:  # what finds the constants still fits
            message = "CUDA out of memory. Tried to allocate 20.00 GiB.\nGPU 0 has a total of …"
            raise torch.OutOfMemoryError(message)
        return forward(self, counts, depth)

    monkeypatch.setattr(BinnedUNet, "forward", small_memory)
    monkeypatch.setattr("scatacworks.models._predictor.stays_there", lambda _: way == "device")
    options = {"depth": [2e6, 5e5], "device": "cpu", "progress": False, "core": 128 * 300, "batch_size": batch_size}
    with pytest.raises(torch.OutOfMemoryError, match=f"'cpu' does not hold a batch of {batch_size} windows") as caught:
        predict(model, some_sites(genome), **options)
    assert way_out in str(caught.value)
    assert str(caught.value).endswith("(CUDA out of memory. Tried to allocate 20.00 GiB.)")


def small_guided(seed=0):
    model = with_guide(small_unet(seed))
    with torch.no_grad():
        for parameter in model.guide.parameters():
            parameter.add_(0.1 * torch.randn_like(parameter))
    return model


def some_guidance(sites, strength=1.0):
    """Three samples with elements of 200 bp; none on the last chromosome."""
    rng = np.random.default_rng(3)
    chromosomes = []
    for chrom in ("chr1", "chr2"):
        size = sites.genome.sizes[chrom]
        starts = [np.flatnonzero(rng.random(size // 600) < 0.3).astype(np.int32) * 600 + 77 for _ in range(3)]
        chromosomes.append((chrom, [(s, np.full(len(s), 200, np.int32), np.ones(len(s), np.float32)) for s in starts]))
    prior = sca.Prior(sca.Tracks.from_chromosomes(["x", "y", "z"], sites.genome, chromosomes))
    # these cut sites are anywhere, so that the prior explains too little of them to be used
    return dataclasses.replace(Guidance.make(prior, sites, strength=strength), explained=np.array([0.5, 0.3]))


def test_a_prior_changes_nothing_by_tiling_batches_threads_and_skipping(genome):
    model, sites = small_guided(), some_sites(genome)
    guidance = some_guidance(sites)
    options = {"depth": [2e6, 5e5], "guidance": guidance, "progress": False}
    reference = predict(model, sites, n_jobs=1, **options)
    assert len(reference) == 3
    for core, batch_size, n_jobs, skip in [(13, 1, 2, True), (7, 7, 1, False), (1000, 2, 1, True)]:
        how = {"core": core * 128, "batch_size": batch_size, "n_jobs": n_jobs, "skip": skip}
        assert same(reference, predict(model, sites, **how, **options), tolerance=0.11) < 1e-4
    regions = {0: np.array([[5_000, 9_001], [30_000, 69_999]])}
    part = predict(model, sites, regions=regions, **options)
    for whole, cut in zip(reference, part, strict=True):
        left, right = (t.window("a", "chr1", 30_000, 69_999) for t in (whole, cut))
        assert (left != right).mean() < 1e-3


def test_a_guided_run_holds_the_unguided_one(genome):
    model, sites = small_guided(), some_sites(genome)
    plain = predict(model, sites, depth=[2e6, 5e5], progress=False)
    signal, probability, unguided = predict(
        model, sites, depth=[2e6, 5e5], guidance=some_guidance(sites), progress=False
    )
    assert same([plain[1]], [unguided], tolerance=0.01) < 1e-3
    at = slice(0, genome.sizes["chr1"])
    changed = probability.window("a", "chr1", at.start, at.stop) != unguided.window("a", "chr1", at.start, at.stop)
    assert changed.mean() > 0.1
    for chrom in ("chrEmpty", "chrTiny"):  # without an element of the prior
        size = genome.sizes[chrom]
        for one, other in ((probability, unguided), (signal, plain[0])):
            np.testing.assert_allclose(one.window("a", chrom, 0, size), other.window("a", chrom, 0, size), rtol=1e-6)
    without = predict(model, sites, depth=[2e6, 5e5], guidance=some_guidance(sites, strength=0.0), progress=False)
    assert same(plain, without[:2], tolerance=0.11) < 1e-3


@pytest.fixture(params=["cpu", pytest.param("cuda", marks=pytest.mark.gpu)])
def device_way(request, monkeypatch):
    """Options that make `predict` work as on a GPU, and how many stored values may differ from the CPU's own way."""
    if request.param == "cuda":
        if not torch.cuda.is_available():
            pytest.skip("needs a CUDA device")
        monkeypatch.setattr(torch.backends.cudnn, "allow_tf32", False)
        return {"device": "cuda", "progress": False}, 1e-3
    monkeypatch.setattr("scatacworks.models._predictor.stays_there", lambda _: True)
    return {"device": "cpu", "progress": False}, 1e-4


def on_the_cpu(model, sites, **options):
    """Tracks by the CPU's own way."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("scatacworks.models._predictor.stays_there", lambda _: False)
        return predict(model, sites, device="cpu", progress=False, **options)


@pytest.mark.parametrize("make", [small_unet, small_resnet])
@pytest.mark.parametrize("skip", [True, False])
def test_the_way_of_a_gpu_gives_the_same_tracks(genome, make, skip, device_way):
    how, allowed = device_way
    model, sites = make(), some_sites(genome)
    for options in ({}, {"core": 128 * 9, "batch_size": 4}, {"regions": {0: np.array([[5, 9_001], [9_001, 9_002]])}}):
        options |= {"depth": [2e6, 5e9], "skip": skip}  # the second is scaled down
        ours, truth = predict(model, sites, **options, **how), on_the_cpu(model, sites, **options)
        assert same(truth, ours, tolerance=0.11) < allowed
        for one, other in zip(ours, truth, strict=True):
            np.testing.assert_allclose(one.fill, other.fill, rtol=0.02)
            assert one.n_runs == pytest.approx(other.n_runs, rel=0.02, abs=4)


def test_the_way_of_a_gpu_reads_extra_channels(genome, device_way):
    how, allowed = device_way
    sites, model = some_sites(genome), small_unet(extra_channels=("x", "y"))
    options = {"depth": [2e6, 5e9], "extra": some_extra(genome), "core": 128 * 9, "batch_size": 4}
    ours, truth = predict(model, sites, **options, **how), on_the_cpu(model, sites, **options)
    assert same(truth, ours, tolerance=0.11) < allowed


def test_the_way_of_a_gpu_gives_the_same_guided_tracks(genome, device_way):
    how, allowed = device_way
    model, sites = small_guided(), some_sites(genome)
    options = {"depth": [2e6, 5e5], "guidance": some_guidance(sites), "core": 128 * 9, "batch_size": 4}
    ours, truth = predict(model, sites, **options, **how), on_the_cpu(model, sites, **options)
    assert len(ours) == 3
    assert same(truth, ours, tolerance=0.11) < allowed


@pytest.mark.parametrize(("name", "value"), [("signal", 0), ("signal", -1), ("logit", 0), ("lowest", 2)])
def test_steps_that_nothing_can_be_stored_in_are_refused(name, value):
    with pytest.raises(ValueError, match=f"{name} is {value}; expected a number above 0"):
        Rounding(**{name: value})
