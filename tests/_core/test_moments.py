from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from scatacworks._core.moments import Moments, batch_moments


def streamed(values: np.ndarray, cuts: list[int], scale: np.ndarray | None = None) -> Moments:
    moments = Moments(values.shape[1])
    for rows in np.split(np.arange(len(values)), cuts):
        moments.update(values[rows], None if scale is None else scale[rows])
    return moments


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
    moments = streamed(values[rng.permutation(n_tracks)], cuts)
    naive = values.astype(np.float64)
    np.testing.assert_allclose(moments.mean, naive.mean(0), rtol=1e-10)
    np.testing.assert_allclose(moments.variance(), naive.var(0), rtol=1e-5, atol=1e-12 * (1 + level))
    assert moments.count == n_tracks


def test_small_variance_on_high_coverage_survives():
    values = np.float32(1e5) + np.random.default_rng(0).integers(0, 2, (500, 3)).astype(np.float32) / 64
    values[0] = 0  # an outlier first, on which a running shift would be anchored
    moments = streamed(values, [1, 2, 250])
    np.testing.assert_allclose(moments.sd(ddof=1), values.astype(np.float64).std(0, ddof=1), rtol=1e-9)


def test_tracks_are_scaled_before_the_moments():
    rng = np.random.default_rng(1)
    values, scale = rng.random((20, 3000), np.float32), rng.uniform(0.5, 2, 20)
    moments = streamed(values, [7], scale)
    np.testing.assert_allclose(moments.mean, (values * scale[:, None]).mean(0), rtol=1e-12)
    np.testing.assert_allclose(moments.sd(), (values * scale[:, None]).std(0), rtol=1e-9)


def test_merging_two_halves_equals_one_pass_and_the_state_survives_storage():
    values = np.random.default_rng(2).random((11, 50), np.float32)
    left, right = streamed(values[:4], []), streamed(values[4:], [])
    left = Moments.from_dict(left.to_dict())
    left.merge(right)
    left.merge(Moments(50))
    np.testing.assert_allclose(left.sd(), values.astype(np.float64).std(0), rtol=1e-9)


def test_compiled_and_interpreted_kernel_agree():
    values, scale = np.random.default_rng(3).random((5, 40), np.float32), np.linspace(1, 2, 5)
    for compiled, plain in zip(batch_moments(values, scale), batch_moments.py_func(values, scale), strict=True):
        np.testing.assert_allclose(compiled, plain, rtol=1e-13)


def test_a_track_of_another_length_is_refused():
    with pytest.raises(ValueError, match=r"shape \(2, 3\); expected \(n_tracks, 4\)"):
        Moments(4).update(np.zeros((2, 3), np.float32))
