from __future__ import annotations

import itertools

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from scatacworks._core.runs import encode, fill_window, highest_in_bins, join_equal, sum_runs

LENGTH = 60


@st.composite
def step_functions(draw):
    """Runs that do not overlap, some of them with NaN."""
    edges = np.array(sorted(draw(st.sets(st.integers(0, LENGTH), max_size=16))), np.int32)
    edges = edges[: len(edges) // 2 * 2].reshape(-1, 2)
    value = st.sampled_from([0.0, 0.25, 1.0, 7.5, float("nan")])
    values = np.array(draw(st.lists(value, min_size=len(edges), max_size=len(edges))), np.float32)
    starts, lengths = edges[:, 0].copy(), np.append(edges[:, 1] - edges[:, 0], [0, 0])[: max(len(edges), 2)]
    return starts, lengths.astype(np.int32), values


@given(step_functions(), st.integers(0, 30), st.integers(1, 30), st.integers(1, 40), st.sampled_from([0, 2, np.nan]))
def test_highest_in_bins_is_the_maximum_over_the_bases(runs, start, size, width, fill):
    dense = np.empty(size, np.float32)
    fill_window(*runs, start, float(fill), dense)
    expected = [np.fmax.reduce(dense[i : i + width]) for i in range(0, size, width)]
    np.testing.assert_array_equal(highest_in_bins(*runs, start, start + size, float(fill), width), expected)


def test_one_length_for_all_runs_and_counts_will_do():
    starts, one, counts = np.array([3, 9], np.int32), np.ones(1, np.int32), np.array([2, 5], np.uint16)
    assert highest_in_bins(starts, one, counts, 0, 10, 0.0, 4).tolist() == [2, 0, 5]


@given(st.lists(st.tuples(st.integers(0, LENGTH - 9), st.integers(1, 9), st.integers(-2, 3)), max_size=16))
def test_runs_of_a_sum_are_those_of_its_bases(rows):
    dense, expected = np.zeros(LENGTH, np.float32), []
    for start, length, value in rows:
        dense[start : start + length] += value
    for value, own in itertools.groupby(range(LENGTH), dense.__getitem__):
        first, *rest = own
        expected += [(first, 1 + len(rest), value)] if value else []
    starts, lengths = np.array([row[:2] for row in rows], np.int32).reshape(-1, 2).T.copy()
    values = np.array([row[2] for row in rows], np.float32)
    bases = np.flatnonzero(dense)
    by_base = bases, np.ones(len(bases), np.int32), dense[bases]
    for found in (sum_runs(starts, lengths, values), join_equal(*by_base), encode(dense, 0, 0.0)):
        assert list(zip(*(column.tolist() for column in found), strict=True)) == expected
