"""Training a guide on a network that stays as it is."""

from __future__ import annotations

import copy
import dataclasses

import numpy as np
import pytest
import torch

import scatacworks as sca
from scatacworks import models
from scatacworks.models.data import DrawRules, Sample
from scatacworks.models.guide_training import GuideConfig, GuideTarget, fit_guide

SIZE = 200_000
GENOME = sca.Genome({"chr1": SIZE})
PLACES = np.arange(3_000, SIZE - 2_000, 4_000)
SMALL = GuideConfig(
    steps=40,
    batch_size=2,
    learning_rate=1e-2,
    warmup=2,
    average=0.9,
    kept=20,
    calibration=5,
    draw=DrawRules(16_384, (2e5, 1e6)),
)


def row(places):
    return places.astype(np.int32), np.full(len(places), 400, np.int32), np.ones(len(places), np.float32)


def target(seed=0, rows=None, **options):
    """Half of the places are open in the sample; the row `like` knows which, `any` has all."""
    rng = np.random.default_rng(seed)
    is_open = rng.random(len(PLACES)) < 0.5
    at = [place + rng.integers(0, 400, 300) for place in PLACES[is_open]]
    sites, counts = np.unique(np.concatenate([*at, rng.integers(0, SIZE, 2_000)]).astype(np.int32), return_counts=True)
    clean = sca.Tracks.from_chromosomes(["a"], GENOME, [("chr1", [(sites, None, counts.astype(np.uint16))])])
    peaks = {"chr1": np.column_stack([PLACES[is_open], PLACES[is_open] + 400])}
    sample = Sample(clean, "a", 80e6, {"chr1": np.array([[0, SIZE]])}, peaks=peaks)
    rows = {"like": row(PLACES[is_open]), "any": row(PLACES)} if rows is None else rows
    prior = sca.Prior(sca.Tracks.from_chromosomes(list(rows), GENOME, [("chr1", list(rows.values()))]))
    return GuideTarget(sample, prior, **options)


@pytest.fixture(scope="module")
def plain():
    torch.manual_seed(0)
    return models.BinnedUNet(models.BinnedUNetConfig(channels=(8, 8, 8), dilations=(1, 2))).eval()


@pytest.fixture(scope="module")
def trained(plain):
    return fit_guide(plain, [target(0), target(1)], config=SMALL, seed=3, progress=False)


def test_the_network_itself_is_not_changed(plain, trained):
    assert not plain.has_guide
    own = trained.state_dict()
    for name, value in plain.state_dict().items():
        assert torch.equal(own[name], value), name


def test_the_guide_learns_to_use_a_prior_that_knows(plain, trained):
    """On a sample that was not trained on, open places rank higher with the prior than without."""
    from scatacworks.metrics import auprc
    from scatacworks.models.predict import predict
    from scatacworks.prior import Guidance

    unseen = target(7)
    positions, counts = unseen.sample.sites("chr1")
    kept = np.random.default_rng(1).binomial(counts, 5e5 / 80e6)
    runs = (positions[kept > 0], None, kept[kept > 0].astype(np.uint16))
    sites = sca.Tracks.from_chromosomes(["a"], GENOME, [("chr1", [runs])])
    label = np.zeros(SIZE, bool)
    for start, end in unseen.sample.peaks["chr1"]:
        label[start:end] = True
    guidance = Guidance.make(unseen.prior, sites)
    found = predict(trained, sites, depth=[5e5], guidance=guidance, progress=False)
    scores = [auprc(label, tracks.window("a", "chr1", 0, SIZE)) for tracks in found[1:]]
    with_prior, without = scores
    assert with_prior > without + 0.1


def test_a_seed_gives_the_same_weights(plain, trained):
    again = fit_guide(plain, [target(0), target(1)], config=SMALL, seed=3, progress=False)
    for name, value in trained.state_dict().items():
        assert torch.equal(again.state_dict()[name], value), name


def test_training_goes_on_from_a_guide(trained):
    nothing = dataclasses.replace(SMALL, steps=0, calibration=0)
    same = fit_guide(trained, [target(0)], config=nothing, progress=False)
    assert all(torch.equal(a, b) for a, b in zip(same.parameters(), trained.parameters(), strict=True))
    further = fit_guide(trained, [target(0)], config=dataclasses.replace(SMALL, steps=1), progress=False)
    moved = [not torch.equal(a, b) for a, b in zip(further.parameters(), trained.parameters(), strict=True)]
    assert any(moved)


@pytest.mark.parametrize("wrong_by", [-1.5, 1.5])
def test_calibration_puts_the_log_odds_right_and_changes_nothing_else(trained, wrong_by):
    wrong = copy.deepcopy(trained)
    with torch.no_grad():
        wrong.guide.offset.bias += wrong_by
    config = dataclasses.replace(SMALL, steps=0, calibration=60)
    right = dict(fit_guide(wrong, [target(0), target(1)], config=config, progress=False).named_parameters())
    for name, value in trained.named_parameters():
        if not name.startswith("guide.offset."):
            assert torch.equal(right[name], value), name
    moved = (right["guide.offset.bias"] - wrong.guide.offset.bias).item()
    assert moved * -np.sign(wrong_by) > 0.3


@pytest.mark.parametrize(
    ("options", "error", "what"),
    [
        ({"exclude": ("liver",)}, KeyError, "no row 'liver'"),
        ({"exclude": ("like",), "relatives": ("any",)}, ValueError, "Nothing is left"),
    ],
)
def test_rows_to_leave_out_are_checked(options, error, what):
    with pytest.raises(error, match=what):
        target(**options)


def test_another_genome_is_refused():
    one = target()
    other = sca.Genome({"chr1": SIZE + 1})
    prior = sca.Prior(sca.Tracks.from_chromosomes(["x"], other, [("chr1", [row(PLACES)])]))
    with pytest.raises(ValueError, match="another genome"):
        GuideTarget(one.sample, prior)


def test_without_targets_there_is_nothing_to_train(plain):
    with pytest.raises(ValueError, match="no target"):
        fit_guide(plain, [])


def test_rows_left_out_are_never_drawn():
    rng = np.random.default_rng(0)
    one = target(exclude=("like",))
    drawn = np.array([one.draw_rows(rng, 0.5) for _ in range(50)])
    assert not drawn[:, 0].any()
    assert drawn[:, 1].all()
    both = target(relatives=("like",))
    drawn = np.array([both.draw_rows(rng, 0.0) for _ in range(200)])
    assert 60 < drawn[:, 0].sum() < 140
