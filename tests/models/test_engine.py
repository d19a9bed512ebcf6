"""Batches through an engine; what needs a GPU is marked so."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
import torch

from scatacworks.models import BinnedUNet, BinnedUNetConfig
from scatacworks.models._engine import Engine, pick_device, ready


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


@pytest.mark.parametrize("pad_to", [0, 2, 5])
def test_a_padded_batch_gives_the_same(pad_to):
    model = small_model()
    counts, depth = batch(model, 3)
    for ours, truth in zip(Engine(model, pad_to=pad_to)(counts, depth), expected(model, counts, depth), strict=True):
        assert ours.shape == truth.shape
        np.testing.assert_allclose(ours, truth, rtol=1e-5, atol=1e-6)


def test_half_precision_stays_close():
    model = small_model()
    counts, depth = batch(model, 2)
    for half, full in zip(Engine(model, amp=True)(counts, depth), Engine(model)(counts, depth), strict=True):
        assert half.dtype == np.float32
        assert np.abs(half - full).max() < 0.05 * np.abs(full).max()
        assert not np.array_equal(half, full)


def test_a_network_returns_home():
    model = small_model().train()
    with ready(model, torch.device("cpu")) as prepared:
        assert not prepared.training
    assert model.training


def test_the_device_is_picked():
    assert pick_device("cpu").type == "cpu"
    assert pick_device(None).type in ("cpu", "cuda", "mps")


@pytest.mark.gpu
@pytest.mark.parametrize("graphs", [True, False])
def test_a_gpu_gives_the_same_from_many_threads(graphs):
    if not torch.cuda.is_available():
        pytest.skip("needs a CUDA device")
    model = small_model()
    batches = [batch(model, n, seed) for seed, n in enumerate([4, 4, 2, 4, 1, 4])]
    truth = [expected(model, *one) for one in batches]
    with ready(model, torch.device("cuda")), ThreadPoolExecutor(3) as pool:
        engine = Engine(model, pad_to=4, graphs=graphs)
        results = list(pool.map(lambda one: engine(*one), batches))
    for ours, wanted in zip(results, truth, strict=True):
        for a, b in zip(ours, wanted, strict=True):
            np.testing.assert_allclose(a, b, rtol=1e-2, atol=1e-3)
