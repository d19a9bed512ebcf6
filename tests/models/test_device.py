"""What a GPU does to outputs, run on the CPU: the runs must be those of the CPU's own encoder."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
import torch

from scatacworks._core import interpolate, windows
from scatacworks.models._device import Batch, Pipeline, between_centers, find_runs, to_levels
from scatacworks.models._engine import ready
from scatacworks.models._rounding import Rounding

SIGNAL, LOGIT = interpolate.SIGNAL, interpolate.LOGIT
STEP, LIMIT = 0.1, 60
CORE = 96


def some_values(n_windows, n_bins, seed):
    """Smooth random walks with flat stretches, as float32."""
    rng = np.random.default_rng(seed)
    walk = np.cumsum(rng.normal(0, 0.4, (n_windows, n_bins)) * (rng.random((n_windows, n_bins)) < 0.5), axis=1)
    return walk.astype(np.float32)


def encoded_on_cpu(values, bin_size, kind, tape, fill):
    """Starts, lengths and levels of all windows by the CPU's encoder."""
    found = []
    for window, row in enumerate(values):
        out = [np.empty(CORE, dtype) for dtype in (np.int32, np.int32, np.int32, np.int16)]
        geometry = (tape.tape, tape.start, tape.low, tape.high)
        n = interpolate.encode_window(row, bin_size, window * CORE, *geometry, kind, STEP, LIMIT, fill, *out)
        found.append([column[:n] for column in out[1:]])
    return [np.concatenate(column) for column in zip(*found, strict=True)]


@pytest.mark.parametrize("bin_size", [1, 2, 3, 8])
@pytest.mark.parametrize("seed", range(3))
def test_runs_equal_those_of_the_cpu_encoder(bin_size, seed, device):
    n_windows, n_bins = 3, CORE // bin_size + 2 * (bin_size > 1)
    rng = np.random.default_rng(seed)
    outputs = [some_values(n_windows, n_bins, 10 + seed), some_values(n_windows, n_bins, 20 + seed) - 2]
    intervals = np.array([[-8, 90, 0, 83], [120, 200, 123, 200], [400, 520, 401, 431]])
    tape = windows.make_tape([(0, intervals[:2]), (1, intervals[2:])])
    assert tape.length == n_windows * CORE + 10
    fills = np.array([[1, 1, 1], [-20, -20, -20]], np.int16) + rng.integers(0, 3)
    stretches = [windows.list_stretches(w * CORE, CORE, tape.tape, tape.start, tape.low, tape.high) for w in range(3)]
    rows = np.concatenate([found + np.array([w * CORE, w * CORE, 0, 0]) for w, found in enumerate(stretches)])
    levels = [
        to_levels(between_centers(torch.from_numpy(values).to(device), bin_size), kind, 1 / STEP, LIMIT)
        for kind, values in enumerate(outputs)
    ]
    fill = torch.from_numpy(np.repeat(fills[:, :1], len(rows), axis=1)).to(device)
    low, high, base = (torch.from_numpy(column.copy()).to(device) for column in rows.T[:3])
    *columns, pointer = (values.cpu().numpy() for values in find_runs(torch.stack(levels), low, high, base, fill))
    for kind, values in enumerate(outputs):
        own = slice(pointer[kind, 0], pointer[kind, -1])
        expected = encoded_on_cpu(values, bin_size, kind, tape, int(fills[kind, 0]))
        for ours, truth in zip(columns, expected, strict=True):
            assert ours.dtype == truth.dtype
            np.testing.assert_array_equal(ours[own], truth)
        for stretch, (_, _, first, interval) in enumerate(rows):
            starts = columns[0][pointer[kind, stretch] : pointer[kind, stretch + 1]]
            assert (starts >= first).all()
            assert (starts < tape.high[interval]).all()


@pytest.mark.parametrize("kind", [SIGNAL, LOGIT])
def test_levels_at_borders_of_steps_and_beyond_the_limits(kind, device):
    exact = np.arange(-70, 71) * 0.1
    values = np.concatenate([exact, exact**2, [1e9, -1e9, 0.0, -3.5], np.nextafter(exact, 9), np.nextafter(exact, -9)])
    expected = [interpolate.level(value, kind, 1 / STEP, LIMIT) for value in values]
    found = to_levels(torch.from_numpy(values).to(device), kind, 1 / STEP, LIMIT).cpu().numpy()
    if device == "cpu":
        assert found.tolist() == expected
    else:  # it multiplies by the reciprocal where a CPU divides
        assert np.abs(found - np.array(expected)).max() <= 1


def some_batch(model, n_windows, core, seed):
    rng = np.random.default_rng(seed)
    n_bins = (2 * model.halo + core) // model.bin_size
    bins = rng.integers(0, n_windows * n_bins, 50 * n_windows)
    low = np.arange(n_windows) * core
    return n_bins, Batch(
        bins,
        np.ones(len(bins), np.float32),
        None,
        np.ones(n_windows, np.float32),
        np.full(n_windows, 1e6, np.float32),
        None,
        low,
        low + core,
        low,
        np.full((2, n_windows), -99, np.int16),
    )


@pytest.mark.gpu
@pytest.mark.parametrize("graphs", [True, False])
def test_a_gpu_gives_the_same_from_many_threads(new_unet, graphs):
    if not torch.cuda.is_available():
        pytest.skip("needs a CUDA device")
    model, core = new_unet, 1024
    batches = [some_batch(model, n, core, seed)[1] for seed, n in enumerate([4, 4, 2, 4, 1, 4])]
    n_bins, _ = some_batch(model, 1, core, 0)
    options = {"kinds": (SIGNAL, LOGIT), "rounding": Rounding(), "batch_size": 4}
    truth = [Pipeline(model, n_bins, **options)(one) for one in batches]
    with ready(model, torch.device("cuda")), ThreadPoolExecutor(3) as pool:
        found = list(pool.map(Pipeline(model, n_bins, **options, graphs=graphs), batches))
    for ours, wanted in zip(found, truth, strict=True):
        for output in range(2):
            dense = [
                np.repeat(
                    f.levels[slice(*f.pointer[output, [0, -1]])].astype(int),
                    f.lengths[slice(*f.pointer[output, [0, -1]])],
                )
                for f in (ours, wanted)
            ]
            assert (np.abs(dense[0] - dense[1]) > 1).mean() < 1e-3
