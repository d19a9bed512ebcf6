"""Batches through an engine."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from scatacworks.models import BinnedUNet, BinnedUNetConfig
from scatacworks.models._engine import Engine, explain_memory, pick_device, ready
from scatacworks.models.guide import with_guide
from scatacworks.prior import CHANNELS


def small_model():
    torch.manual_seed(0)
    return BinnedUNet(BinnedUNetConfig(channels=(8, 8, 8), dilations=(1, 2))).eval()


def batch(model, n, seed=0):
    rng = np.random.default_rng(seed)
    n_bins = (2 * model.halo + 4 * model.stride) // model.bin_size
    return rng.poisson(0.1, (n, 1, n_bins)).astype(np.float32), np.full(n, 1e6, np.float32)


def expected(model, counts, depth):
    with torch.no_grad():
        return [values.numpy() for values in model(torch.from_numpy(counts), torch.from_numpy(depth))]


def test_an_engine_gives_what_the_network_gives():
    model = small_model()
    counts, depth = batch(model, 3)
    for ours, truth in zip(Engine(model)(counts, depth), expected(model, counts, depth), strict=True):
        np.testing.assert_array_equal(ours, truth)


def test_half_precision_stays_close():
    model = small_model()
    counts, depth = batch(model, 2)
    for half, full in zip(Engine(model, amp=True)(counts, depth), Engine(model)(counts, depth), strict=True):
        assert half.dtype == np.float32
        assert np.abs(half - full).max() < 0.05 * np.abs(full).max()
        assert not np.array_equal(half, full)


def test_half_precision_stays_close_with_a_prior():
    model = with_guide(small_model()).eval()
    counts, depth = batch(model, 2)
    prior = np.random.default_rng(1).random((2, len(CHANNELS), counts.shape[-1]), np.float32)
    halves, unguided = Engine(model, amp=True)(counts, depth, prior), Engine(model, amp=True)(counts, depth)[1]
    for half, full in zip(halves, Engine(model)(counts, depth, prior), strict=True):
        assert np.abs(half - full).max() < 0.05 * np.abs(full).max()
    np.testing.assert_allclose(halves[2], unguided, rtol=0.02)


def test_a_network_returns_home():
    model = small_model().train()
    with ready(model, torch.device("cpu")) as prepared:
        assert not prepared.training
    assert model.training


def test_the_device_is_picked():
    assert pick_device("cpu").type == "cpu"
    assert pick_device(None).type in ("cpu", "cuda", "mps")


@pytest.mark.parametrize(
    ("message", "kind", "shown"),
    [
        (
            "MPS backend out of memory",
            torch.OutOfMemoryError,
            "does not hold it. Take less. (MPS backend out of memory)",
        ),
        ("shapes differ", RuntimeError, "shapes differ"),
    ],
)
def test_only_a_lack_of_memory_is_explained(message, kind, shown):
    with pytest.raises(RuntimeError) as caught, explain_memory(torch.device("cpu"), "it", "Take less."):
        raise RuntimeError(message)
    assert caught.type is kind
    assert str(caught.value).endswith(shown)
