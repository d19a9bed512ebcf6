"""Cut sites recovered from coverage: the way there and back is exact."""

from __future__ import annotations

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from scatacworks._core.boxes import sites_of_boxes
from scatacworks._core.pileup import run_length_coverage

LENGTH, EXTEND = 400, 7


@settings(max_examples=40)
@given(st.lists(st.tuples(st.integers(EXTEND + 1, LENGTH - 1), st.integers(1, 5)), max_size=40))
def test_any_cut_sites_come_back(sites):
    dense = np.zeros(LENGTH, np.int64)
    for position, count in sites:
        dense[position] += count
    positions = np.flatnonzero(dense).astype(np.int32)
    runs = run_length_coverage(positions, dense[positions].astype(np.uint16), LENGTH, EXTEND)
    kept = runs[2] != 0
    found, counts, unsolved = sites_of_boxes(*(column[kept] for column in runs), extend=EXTEND, length=LENGTH)
    np.testing.assert_array_equal(found, positions)
    np.testing.assert_array_equal(counts, dense[positions])
    assert len(unsolved) == 0


def test_what_is_no_sum_of_boxes_is_named_and_the_rest_solved():
    # a box, a box cut short by a gap, half a box, a scaled one, and one cut off by the chromosome's start
    starts = np.array([0, 50, 100, 150, 200], np.int32)
    lengths = np.array([9, 15, 9, 15, 15], np.int32)
    values = np.array([1, 2, 1, 0.5, 1], np.float32)
    positions, counts, unsolved = sites_of_boxes(starts, lengths, values, extend=EXTEND, length=LENGTH)
    assert positions.tolist() == [57, 207]
    assert counts.tolist() == [2, 1]
    assert unsolved.tolist() == [[0, 9], [100, 109], [150, 165]]
