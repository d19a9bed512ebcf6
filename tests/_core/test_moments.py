from __future__ import annotations

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from scatacworks._core.moments import batch_moments, join, running_sum


def streamed(
    values: np.ndarray, cuts: list[int], scale: np.ndarray | None = None, dtype: type = np.float64
) -> tuple[np.ndarray, np.ndarray]:
    """Mean and variance, batch by batch."""
    scale = np.ones(len(values)) if scale is None else scale
    mean, squares, count = np.zeros(values.shape[1], dtype), np.zeros(values.shape[1], dtype), 0
    for rows in np.split(np.arange(len(values)), cuts):
        if len(rows):
            join(mean, squares, count, *batch_moments(values[rows], scale[rows]), len(rows))
            count += len(rows)
    return mean, squares / count


@settings(max_examples=60)
@given(
    st.integers(1, 40),
    st.integers(1, 30),
    st.lists(st.integers(0, 40), max_size=6),
    st.floats(0, 1e4),
    st.integers(0, 2**32 - 1),
)
def test_any_chunking_and_order_equals_the_naive_moments(n_tracks, n_bases, cuts, level, seed):
    rng = np.random.default_rng(seed)
    values = (level + rng.gamma(0.5, 2.0, (n_tracks, n_bases))).astype(np.float32)
    cuts = sorted(min(cut, n_tracks) for cut in cuts)
    mean, variance = streamed(values[rng.permutation(n_tracks)], cuts)
    naive = values.astype(np.float64)
    np.testing.assert_allclose(mean, naive.mean(0), rtol=1e-10)
    np.testing.assert_allclose(variance, naive.var(0), rtol=1e-5, atol=1e-12 * (1 + level))


def test_small_variance_on_high_coverage_survives():
    values = np.float32(1e5) + np.random.default_rng(0).integers(0, 2, (500, 3)).astype(np.float32) / 64
    values[0] = 0  # an outlier first, on which a running shift would be anchored
    _, variance = streamed(values, [1, 2, 250])
    np.testing.assert_allclose(variance, values.astype(np.float64).var(0), rtol=1e-9)


def test_tracks_are_scaled_before_the_moments():
    rng = np.random.default_rng(1)
    values, scale = rng.random((20, 3000), np.float32), rng.uniform(0.5, 2, 20)
    mean, variance = streamed(values, [7], scale)
    np.testing.assert_allclose(mean, (values * scale[:, None]).mean(0), rtol=1e-12)
    np.testing.assert_allclose(variance, (values * scale[:, None]).var(0), rtol=1e-9)


def test_a_thousand_batches_kept_in_single_precision_lose_nothing_that_matters():
    values = np.random.default_rng(2).gamma(0.3, 3.0, (1000, 200)).astype(np.float32)
    mean, variance = streamed(values, list(range(1, 1000)), dtype=np.float32)
    np.testing.assert_allclose(mean, values.astype(np.float64).mean(0), rtol=1e-5)
    np.testing.assert_allclose(np.sqrt(variance), values.astype(np.float64).std(0), rtol=1e-5)


def test_compiled_and_interpreted_kernel_agree():
    values, scale = np.random.default_rng(3).random((5, 40), np.float32), np.linspace(1, 2, 5)
    for compiled, plain in zip(batch_moments(values, scale), batch_moments.py_func(values, scale), strict=True):
        np.testing.assert_allclose(compiled, plain, rtol=1e-13)


@given(st.lists(st.integers(0, 9), max_size=6), st.lists(st.integers(0, 40), min_size=1, max_size=12))
def test_a_running_sum_is_written_at_every_bound(cuts, bounds):
    values = np.random.default_rng(len(cuts)).random(40).astype(np.float32)
    bounds = np.unique([0, 40, *bounds])
    out, at, total, first = np.full(len(bounds), np.nan), 0, 0.0, 0
    for part in np.split(values, np.sort(np.array(cuts, int)) * 4):
        at, total = running_sum(part, first, bounds, at, total, out)
        first += len(part)
    np.testing.assert_allclose(out, [values[:bound].sum(dtype=np.float64) for bound in bounds])
    assert at == len(bounds)
