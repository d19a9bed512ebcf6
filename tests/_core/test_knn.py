from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from scatacworks._core import knn
from scatacworks._core.knn import (
    effective_groups,
    farthest_first,
    nearest_points,
    spread_without_shared_points,
    without_shared_points,
)


def cloud(n=200, d=4, seed=0):
    return np.random.default_rng(seed).standard_normal((n, d)).astype(np.float32)


def distances(points):
    return np.linalg.norm(points[:, None].astype(float) - points[None], axis=2)


def test_nearest_points_equal_a_full_sort():
    points = cloud()
    expected = np.argsort(distances(points), axis=1, kind="stable")[:, :10]
    np.testing.assert_array_equal(nearest_points(points, np.arange(200), 10, block=33), expected)


def test_farthest_first_takes_the_farthest_from_all_before():
    points, chosen = cloud(), farthest_first(cloud(), 12, 3)
    all_distances = distances(points)
    assert chosen[0] == 3
    for i in range(1, 12):
        nearest = all_distances[chosen[:i]].min(0)
        assert nearest[chosen[i]] == pytest.approx(nearest.max(), rel=1e-6)


def test_farthest_first_of_all_points_is_a_permutation_even_with_repeated_points():
    points = np.repeat(cloud(6), 3, axis=0)
    assert sorted(farthest_first(points, 18, 0)) == list(range(18))


@given(seed=st.integers(0, 50), k=st.integers(1, 30), most=st.integers(1, 60))
def test_separate_groups_share_nothing_and_leave_less_than_a_group(seed, k, most):
    points = cloud(100, seed=seed)
    order = np.random.default_rng(seed).permutation(100)
    for centers, groups in (
        without_shared_points(points, order, k, most, block=17),
        spread_without_shared_points(points, k, most, int(order[0])),
    ):
        assert len(np.unique(groups)) == groups.size
        assert len(groups) == min(most, 100 // k)
        np.testing.assert_array_equal(groups[:, 0], centers)


def test_separate_groups_take_the_nearest_that_are_left():
    points = np.arange(6, dtype=np.float32)[:, None]
    centers, groups = without_shared_points(points, np.array([1, 2, 0, 5]), 2, 9)
    assert centers.tolist() == [1, 2, 5]
    assert groups.tolist() == [[1, 0], [2, 3], [5, 4]]


def test_separate_groups_count_fully_and_repeated_ones_once():
    sizes = np.full(8, 5)
    assert effective_groups(np.full(40, 1 / 5), sizes) == pytest.approx(8)
    assert effective_groups(np.full(5, 8 / 5), sizes) == pytest.approx(1)


def test_effective_groups_predict_the_variance_of_the_mean():
    rng = np.random.default_rng(0)
    members = np.zeros((60, 30), bool)
    for group in range(30):
        members[rng.choice(60, 6, replace=False), group] = True
    values = rng.standard_normal((20_000, 60))
    means = (values @ members / members.sum(0)).mean(1)
    n = effective_groups((members / members.sum(0)).sum(1), members.sum(0))
    assert means.var() == pytest.approx(1 / 6 / n, rel=0.05)


@pytest.fixture
def rows(monkeypatch):
    """Numbers of centres whose distances to all points were computed, call by call."""
    counted, compute = [], knn._squared_distances

    def count(points, squares, own):
        counted.append(len(own))
        return compute(points, squares, own)

    monkeypatch.setattr(knn, "_squared_distances", count)
    return counted


def test_separate_groups_look_at_no_more_centers_than_they_need(rows):
    points, order = cloud(600), np.random.default_rng(1).permutation(600)
    without_shared_points(points, order, 10, 3, block=4)
    assert sum(rows) <= 8  # three groups, in blocks of four centres of whom few are taken
    rows.clear()
    without_shared_points(points, order, 10, 600, block=4)
    assert sum(rows) < 200  # 60 groups of 600 points


def test_distances_of_many_points_are_computed_for_few_centers_at_a_time(rows, monkeypatch):
    points, order = cloud(), np.arange(200)
    expected = nearest_points(points, order, 5), without_shared_points(points, order, 5, 40)
    rows.clear()
    monkeypatch.setattr(knn, "_AT_ONCE", 1000)
    np.testing.assert_array_equal(nearest_points(points, order, 5), expected[0])
    for found, before in zip(without_shared_points(points, order, 5, 40), expected[1], strict=True):
        np.testing.assert_array_equal(found, before)
    assert max(rows) == 5
