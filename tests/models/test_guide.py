"""The guide: exact zeros, no dependence on tiling, and the network's own answer left alone."""

from __future__ import annotations

import copy

import numpy as np
import pytest
import torch
from torch.nn import functional as F

from scatacworks import Genome, Tracks, models
from scatacworks.models._predictor import Predictor
from scatacworks.models.checkpoint import fingerprint
from scatacworks.models.guide import EVIDENCE_BP, with_guide, without_guide
from scatacworks.models.predict import predict
from scatacworks.models.train import start
from scatacworks.prior import CHANNELS


def plain_unet(**config):
    torch.manual_seed(0)
    model = models.BinnedUNet(models.BinnedUNetConfig(**config))
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(0.05 * torch.randn_like(parameter))
    return model.eval()


def guided_unet(**config):
    model = with_guide(plain_unet(**config))
    with torch.no_grad():
        for parameter in model.guide.parameters():
            parameter.add_(0.1 * torch.randn_like(parameter))
    return model


@pytest.fixture(scope="module", params=[{}, {"channels": (8, 8, 8), "dilations": (1, 2)}], ids=["default", "small"])
def model(request):
    return guided_unet(**request.param)


def window(model, core, rate=0.002, seed=0):
    generator = torch.Generator().manual_seed(seed)
    n_bins = (core + 2 * model.halo) // model.bin_size
    return torch.poisson(torch.full((1, 1, n_bins), rate * model.bin_size), generator=generator)


def some_prior(n_bins, weight=1.0, seed=1):
    generator = torch.Generator().manual_seed(seed)
    steps = torch.rand((1, 3, n_bins // 20 + 1), generator=generator)
    prior = torch.repeat_interleave(steps * (steps > 0.6), 20, dim=-1)[..., :n_bins]
    constants = torch.tensor([0.8, 0.5, weight])[None, :, None].expand(1, 3, n_bins)  # size, explained, weight
    return torch.cat([prior, constants], dim=1)


def run(model, counts, prior, depth=1e6):
    with torch.no_grad():
        return torch.stack(model.guided(counts, torch.tensor([depth]), prior))[:, 0]


def test_unguided_output_is_that_of_the_network_without_a_guide(model):
    plain, counts = without_guide(model), window(model, 4096)
    edge = (model.halo - plain.halo) // 8
    depth = torch.tensor([1e6])
    with torch.no_grad():
        expected = plain(counts[..., edge : counts.shape[-1] - edge], depth)
        for got, wanted in zip(model(counts, depth), expected, strict=True):
            torch.testing.assert_close(got, wanted, rtol=1e-5, atol=1e-5)
    unguided = run(model, counts, some_prior(counts.shape[-1]))[2]
    torch.testing.assert_close(unguided, expected[1][0], rtol=1e-5, atol=1e-5)


def test_the_prior_changes_signal_and_logit(model):
    counts = window(model, 4096)
    signal, logit, unguided = run(model, counts, some_prior(counts.shape[-1]))
    assert (logit - unguided).abs().max() > 0.05
    assert (signal - run(model, counts, some_prior(counts.shape[-1], weight=0.0))[0]).abs().max() > 0


def test_without_weight_nothing_changes(model):
    counts = window(model, 4096)
    signal, logit, unguided = run(model, counts, some_prior(counts.shape[-1], weight=0.0))
    assert torch.equal(logit, unguided)
    with torch.no_grad():
        torch.testing.assert_close(signal, model(counts, torch.tensor([1e6]))[0][0], rtol=1e-5, atol=1e-5)


def test_the_weight_tempers_the_logit_in_proportion(model):
    counts = window(model, 4096)
    _, full, unguided = run(model, counts, some_prior(counts.shape[-1]))
    half = run(model, counts, some_prior(counts.shape[-1], weight=0.5))[1]
    torch.testing.assert_close(half - unguided, (full - unguided) / 2, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("factor", [1.0, 0.37])  # groups deeper than any in training are scaled down to fractions
def test_no_cut_site_within_8_kb_no_correction(model, factor):
    core = 262_144
    counts = window(model, core, rate=0.0)
    site = counts.shape[-1] // 2
    counts[..., site] = counts[..., 10] = factor
    _, logit, unguided = run(model, counts, some_prior(counts.shape[-1]))
    bins = torch.arange(len(logit)) + model.halo // 8 - 1
    distance = torch.minimum((bins - site).abs(), (bins - 10).abs()) * 8
    assert torch.equal(logit[distance > EVIDENCE_BP], unguided[distance > EVIDENCE_BP])
    assert (logit[distance <= 8000] != unguided[distance <= 8000]).float().mean() > 0.9


def test_the_offset_is_of_the_logit_and_only_where_there_is_evidence(model):
    core = 65_536
    counts = window(model, core, rate=0.0)
    site = counts.shape[-1] // 2
    counts[..., site] = 1.0
    prior = some_prior(counts.shape[-1])
    signal, logit, _ = run(model, counts, prior)
    moved = copy.deepcopy(model)
    with torch.no_grad():
        moved.guide.offset.bias += 1
    signal_moved, logit_moved, _ = run(moved, counts, prior)
    assert torch.equal(signal, signal_moved)
    distance = (torch.arange(len(logit)) + model.halo // 8 - 1 - site).abs() * 8
    risen = logit_moved - logit
    assert torch.equal(logit[distance > EVIDENCE_BP], logit_moved[distance > EVIDENCE_BP])
    assert (risen[distance < 50] > 0).all()
    assert (risen <= 1 + 1e-5).all()


def test_tiles_equal_the_whole(model):
    core = 16_384
    counts = window(model, core)
    prior = some_prior(counts.shape[-1])
    whole = run(model, counts, prior)
    for start_bp in (0, 4096, core // 2):
        first = start_bp // 8
        own = slice(first, first + (core // 2 + 2 * model.halo) // 8)
        tile = run(model, counts[..., own], prior[..., own])
        torch.testing.assert_close(tile, whole[:, first : first + tile.shape[1]], rtol=1e-4, atol=3e-4)


def test_nothing_beyond_the_halo_matters(model):
    edge = 4 * model.stride // model.bin_size
    counts = window(model, 4096)
    prior = some_prior(counts.shape[-1])
    wider = F.pad(counts, (edge, edge), value=3.0)
    far = run(model, wider, F.pad(prior, (edge, edge), value=1.0))[:, edge:-edge]
    torch.testing.assert_close(far, run(model, counts, prior), rtol=1e-5, atol=1e-5)


def test_windows_of_a_batch_do_not_see_each_other(model):
    counts = torch.cat([window(model, 2048, seed=i) for i in range(2)])
    prior = torch.cat([some_prior(counts.shape[-1], seed=i) for i in range(2)])
    with torch.no_grad():
        both = torch.stack(model.guided(counts, torch.tensor([1e6, 1e5]), prior))
    for i, depth in enumerate((1e6, 1e5)):
        alone = run(model, counts[i : i + 1], prior[i : i + 1], depth)
        torch.testing.assert_close(both[:, i], alone, rtol=1e-4, atol=3e-4)


def test_other_networks_can_have_no_guide():
    with pytest.raises(TypeError, match="A Linear cannot have a guide"):
        with_guide(models.Linear())


def test_a_saved_guide_comes_back(tmp_path):
    model = guided_unet(channels=(8, 8, 8), dilations=(1, 2))
    loaded = models.load(models.save(model, tmp_path / "guided"))
    assert loaded.has_guide
    assert fingerprint(loaded) == fingerprint(model)
    counts = window(model, 1024)
    assert torch.equal(
        run(loaded, counts, some_prior(counts.shape[-1])), run(model, counts, some_prior(counts.shape[-1]))
    )


def test_training_starts_without_the_guide():
    model = guided_unet(channels=(8, 8, 8), dilations=(1, 2))
    assert not start(model).has_guide
    plain = without_guide(model)
    assert start(plain) is plain


def test_wrong_priors_are_refused():
    plain = plain_unet(channels=(8, 8, 8), dilations=(1, 2))
    counts = window(plain, 1024)
    with pytest.raises(ValueError, match="has no guide"):
        plain.guided(counts, torch.tensor([1e6]), some_prior(counts.shape[-1]))
    model = guided_unet(channels=(8, 8, 8), dilations=(1, 2))
    counts = window(model, 1024)
    with pytest.raises(ValueError, match="prior must have shape"):
        model.guided(counts, torch.tensor([1e6]), some_prior(counts.shape[-1])[:, : len(CHANNELS) - 1])
    with pytest.raises(ValueError, match="lacks the tensor guide"):
        with_guide(plain, {})


def test_unguided_prediction_needs_no_more_context_than_the_network(model):
    genome, rng = Genome({"chr1": 200_000}), np.random.default_rng(0)
    sites = np.unique(rng.integers(0, 200_000, 40).astype(np.int32))
    cut_sites = Tracks.from_chromosomes(["a"], genome, [("chr1", [(sites, None, np.ones(len(sites), np.uint16))])])
    run = {"depth": [1e6], "device": "cpu", "progress": False}
    found = [predict(network, cut_sites, **run) for network in (model, without_guide(model))]
    assert Predictor(model, cut_sites, depth=[1e6]).model.halo < model.halo
    for own, plain in zip(*found, strict=True):
        np.testing.assert_array_equal(own.window("a", "chr1", 0, 200_000), plain.window("a", "chr1", 0, 200_000))
