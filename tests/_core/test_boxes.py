"""Cut sites recovered from coverage: the way there and back is exact."""

from __future__ import annotations

from itertools import pairwise

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


def solve_base_by_base(coverage, extend):
    """Sites of one stretch, from its left, or `None`; `coverage` lies between bases without any."""
    sites = [0] * len(coverage)
    for i, now in enumerate([*coverage, 0]):
        opened = now - (coverage[i - 1] if i else 0) + (sites[i - extend - 1] if i > extend else 0)
        if opened < 0 or opened != int(opened) or (opened > 0 and i + extend >= len(coverage)):
            return None
        if opened:
            sites[i + extend] = int(opened)
    return None if any(sites[max(len(sites) - extend, 0) :]) else sites


@settings(max_examples=200)
@given(
    st.lists(st.integers(EXTEND + 1, 90 - EXTEND), max_size=8),
    st.lists(st.tuples(st.integers(1, 95), st.sampled_from([0.0, 0.5, 1.0, 2.0])), max_size=2),
)
def test_stretches_are_solved_as_base_by_base(sites, changes):
    dense = np.zeros(LENGTH)
    for site in sites:
        dense[site - EXTEND : site + EXTEND + 1] += 1
    for position, value in changes:
        dense[position] = value
    edges = np.flatnonzero(np.diff(dense)) + 1  # dense[0] is 0
    runs = np.append(edges, LENGTH)
    starts, lengths, values = edges, np.diff(runs), dense[edges]
    kept = values > 0
    found = sites_of_boxes(starts[kept], lengths[kept], values[kept], extend=EXTEND, length=LENGTH)
    zeros = np.flatnonzero(dense == 0)
    expected, unsolved = {}, []
    for before, after in pairwise(zeros):
        if after > before + 1:
            solution = solve_base_by_base(dense[before + 1 : after].tolist(), EXTEND)
            if solution is None:
                unsolved.append([before + 1, after])
            else:
                expected |= {before + 1 + i: n for i, n in enumerate(solution) if n}
    assert dict(zip(found[0].tolist(), found[1].tolist(), strict=True)) == expected
    assert found[2].tolist() == unsolved
