from __future__ import annotations

import tracemalloc

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from scatacworks._core.differential import farthest_from_zero, join_z, segment_means, two_sided_p, z_scores


def plain_regions(z, threshold, gap):
    """Walk over the bases of each sign; the definition, slowly."""
    found = []
    for sign in (1, -1):
        bases = [i for i, value in enumerate(z) if sign * value > threshold]
        region: list[int] = []
        for base in [*bases, None]:
            if region and (base is None or base - region[-1] - 1 > gap):
                top = max(region, key=lambda i: (sign * z[i], -i))
                found.append((region[0], region[-1] + 1, sign, z[top], top))
                region = []
            if base is not None:
                region.append(base)
    return sorted(found, key=lambda r: (r[0], -r[2]))


@given(
    st.lists(st.sampled_from([-5.0, -2.5, -2.0, 0.0, 1.0, 2.0, 2.25, 3.0, 4.0]), max_size=60),
    st.integers(0, 6),
)
def test_regions_equal_the_definition(values, gap):
    z = np.array(values)
    columns = join_z(z, 2.0, gap)
    assert list(zip(*(column.tolist() for column in columns), strict=True)) == plain_regions(values, 2.0, gap)


def test_many_regions_grow_the_result():
    z = np.tile([3.0, 0.0, -3.0, 0.0, 0.0], 1000)
    start, end, direction, top, at = join_z(z, 2.0, 1)
    assert len(start) == 2000
    assert (end - start == 1).all()
    assert (np.sign(top) == direction).all()
    assert (z[at] == top).all()


def test_a_base_exactly_at_the_threshold_is_not_beyond_it():
    assert len(join_z(np.array([2.0, -2.0]), 2.0, 10)[0]) == 0


def test_a_background_that_does_not_vary_gives_infinity_with_the_sign_of_the_difference():
    z = z_scores(np.array([1.0, 2.0, 3.0, 4.0]), np.array([2.0, 2.0, 2.0, 2.0]), np.array([0.0, 0.0, 0.0, 0.5]))
    np.testing.assert_array_equal(z, [-np.inf, 0.0, np.inf, 4.0])


def test_p_is_the_two_sided_normal_probability():
    z = np.array([0.0, 1.959963984540054, -8.0, np.inf])
    np.testing.assert_allclose(two_sided_p(z), 2 * stats.norm.sf(np.abs(z)), rtol=1e-12)
    assert two_sided_p(z)[1] == pytest.approx(0.05)


def test_segment_means_are_means():
    values = np.random.default_rng(0).random((3, 50), np.float32)
    means = segment_means(values, np.array([0, 10, 10]), np.array([50, 11, 30]))
    np.testing.assert_allclose(means, np.stack([values.mean(1), values[:, 10], values[:, 10:30].mean(1)], 1), rtol=1e-6)


def test_the_base_farthest_from_zero_is_the_first_of_equals():
    z = np.array([1.0, -2.0, 2.0, np.inf, -np.inf, 0.5])
    starts, ends = np.array([0, 1, 2, 3, 5]), np.array([3, 3, 6, 5, 6])
    expected = [low + int(np.abs(z[low:high]).argmax()) for low, high in zip(starts, ends, strict=True)]
    assert farthest_from_zero(z, starts, ends).tolist() == expected == [1, 1, 3, 3, 5]


def test_scores_of_a_whole_chromosome_need_little_more_memory_than_they_take():
    n = 1_000_000
    rng = np.random.default_rng(0)
    signal, mean, sd = rng.random(n), rng.random(n, np.float32), rng.random(n, np.float32)
    tracemalloc.start()
    z = z_scores(signal, mean, sd)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    np.testing.assert_array_equal(z, (signal - mean) / sd)
    assert peak < 1.5 * z.nbytes
