from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from scatacworks._core.tails import NullTail, fit_pareto


def test_the_tail_of_a_normal_sample_is_found_far_beyond_the_sample():
    tail = NullTail(np.random.default_rng(0).normal(size=200_000))
    z = np.array([1.0, 3.0, 4.0, 5.0, 6.0])
    ratio = tail.p(z) / stats.norm.sf(z)
    assert (ratio[:2] > 0.9).all()
    assert (ratio > 0.5).all()  # never far below the truth
    assert (ratio < 30).all()


def test_a_heavy_tail_is_not_taken_for_a_normal_one():
    sample = stats.t.rvs(4, size=100_000, random_state=1)
    x = np.array([5.0, 10.0, 20.0])
    ratio = NullTail(sample).p(x) / stats.t.sf(x, 4)
    assert (ratio > 0.3).all()
    assert (ratio < 3).all()


def test_p_values_of_the_null_are_uniform():
    rng = np.random.default_rng(2)
    for draw in (rng.normal, rng.standard_exponential, lambda size: rng.poisson(0.3, size) - 0.3):
        tail = NullTail(draw(size=50_000))
        p = tail.p(draw(size=200_000))
        for level in (0.1, 0.01, 1e-3, 1e-4):
            assert (p <= level).mean() <= 1.25 * level + 3 * np.sqrt(level / 200_000)


@given(st.lists(st.floats(-50, 50), min_size=1, max_size=300), st.lists(st.floats(-100, 100), min_size=2, max_size=20))
def test_p_is_positive_and_falls_with_the_value(sample, values):
    values = np.sort(values)
    p = NullTail(np.array(sample)).p(values)
    assert (p > 0).all()
    assert (p <= 1).all()
    assert (np.diff(p) <= 1e-12).all()


def test_a_small_sample_is_counted_not_fitted():
    tail = NullTail(np.arange(9.0))
    np.testing.assert_allclose(tail.p(np.array([-1.0, 4.0, 100.0])), [1.0, 0.6, 0.1])
    assert np.isnan(tail.p(np.array([np.nan]))).all()


@pytest.mark.parametrize("shape", [0.1, 0.3])
def test_shape_and_scale_of_a_pareto_sample_are_found(shape):
    excess = np.sort(stats.genpareto.rvs(shape, scale=2, size=100_000, random_state=3))
    found = fit_pareto(excess)
    assert found[0] == pytest.approx(shape, abs=0.03)
    assert found[1] == pytest.approx(2, rel=0.05)


def test_a_value_just_beyond_a_much_repeated_one_is_not_thought_impossible():
    sample = np.repeat([-0.15, 6.4], [9850, 150])
    p = NullTail(sample).p(np.array([6.4, 6.41, 9.0]))
    assert p[0] == pytest.approx(0.015, rel=0.1)
    assert p[1] == pytest.approx(0.015, rel=0.1)
    assert p[2] < 1e-6
