"""Batches through an engine."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from scatacworks.models._engine import Engine, explain_memory, pick_device, ready
from scatacworks.models.guide import with_guide
from scatacworks.prior import CHANNELS


def batch(model, n, seed=0):
    rng = np.random.default_rng(seed)
    n_bins = (2 * model.halo + 4 * model.stride) // model.bin_size
    return rng.poisson(0.1, (n, 1, n_bins)).astype(np.float32), np.full(n, 1e6, np.float32)


def expected(model, counts, depth):
    with torch.no_grad():
        return [values.numpy() for values in model(torch.from_numpy(counts), torch.from_numpy(depth))]


def test_an_engine_gives_what_the_network_gives(new_unet):
    counts, depth = batch(new_unet, 3)
    for ours, truth in zip(Engine(new_unet)(counts, depth), expected(new_unet, counts, depth), strict=True):
        np.testing.assert_array_equal(ours, truth)


def test_half_precision_stays_close(new_unet):
    counts, depth = batch(new_unet, 2)
    for half, full in zip(Engine(new_unet, amp=True)(counts, depth), Engine(new_unet)(counts, depth), strict=True):
        assert half.dtype == np.float32
        assert np.abs(half - full).max() < 0.05 * np.abs(full).max()
        assert not np.array_equal(half, full)


def test_half_precision_stays_close_with_a_prior(new_unet):
    model = with_guide(new_unet).eval()
    counts, depth = batch(model, 2)
    prior = np.random.default_rng(1).random((2, len(CHANNELS), counts.shape[-1]), np.float32)
    halves, unguided = Engine(model, amp=True)(counts, depth, prior), Engine(model, amp=True)(counts, depth)[1]
    for half, full in zip(halves, Engine(model)(counts, depth, prior), strict=True):
        assert np.abs(half - full).max() < 0.05 * np.abs(full).max()
    np.testing.assert_allclose(halves[2], unguided, rtol=0.02)


def test_a_network_returns_home(new_unet):
    model = new_unet.train()
    with ready(model, torch.device("cpu")) as prepared:
        assert not prepared.training
    assert model.training


def test_the_device_is_picked():
    assert pick_device("cpu").type == "cpu"
    assert pick_device(None).type == ("cuda" if torch.cuda.is_available() else "cpu")


@pytest.mark.parametrize(("cuda", "expected"), [(False, "cpu"), (True, "cuda")])
def test_an_apple_gpu_is_used_only_where_it_is_asked_for(monkeypatch, cuda, expected):
    monkeypatch.setattr("torch.cuda.is_available", lambda: cuda)
    monkeypatch.setattr("torch.backends.mps.is_available", lambda: True)
    assert pick_device(None).type == expected


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
