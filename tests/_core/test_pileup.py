from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import sparse

from scatacworks._core.pileup import (
    CONVENTIONS,
    box_coverage,
    group_cut_sites,
    run_length_coverage,
    sorted_cut_sites,
)

LENGTH, N_CELLS, N_GROUPS = 120, 5, 4


@st.composite
def fragments(draw):
    n = draw(st.integers(0, 40))
    start = np.array(draw(st.lists(st.integers(0, LENGTH - 1), min_size=n, max_size=n)), np.int32)
    size = np.array(draw(st.lists(st.integers(1, 60), min_size=n, max_size=n)), np.int32)
    cell = np.array(draw(st.lists(st.integers(0, N_CELLS - 1), min_size=n, max_size=n)), np.int32)
    return start, np.minimum(start + size, LENGTH).astype(np.int32), cell


memberships = st.lists(st.booleans(), min_size=N_CELLS * N_GROUPS, max_size=N_CELLS * N_GROUPS).map(
    lambda bits: np.array(bits).reshape(N_CELLS, N_GROUPS)
)


def counted_one_by_one(start, end, cell, members, shifts):
    sites = np.zeros((N_GROUPS, LENGTH), int)
    for s, e, c in zip(start, end, cell, strict=True):
        for group in range(N_GROUPS):
            if members[c, group]:
                for position in (s + shifts[0], e + shifts[1]):
                    sites[group, min(position, LENGTH - 1)] += 1
    return sites


def covered_one_by_one(sites, extend):
    coverage = np.zeros(LENGTH, int)
    for position in np.flatnonzero(sites):
        for base in range(position - extend, position + extend + 1):
            if 0 <= base < LENGTH:
                coverage[base] += sites[position]
    return coverage


def dense(starts, lengths, values):
    out = np.zeros(LENGTH, int)
    for start, length, value in zip(starts, np.broadcast_to(lengths, starts.shape), values, strict=True):
        out[start : start + length] = value
    return out


def pile(start, end, cell, members, shifts=(0, -1)):
    matrix = sparse.csr_matrix(members)
    keys = sorted_cut_sites(start, end, cell, shifts=shifts, length=LENGTH)
    return group_cut_sites(keys, matrix.indptr, matrix.indices, members.shape[1])


@pytest.mark.parametrize("convention", CONVENTIONS)
@given(columns=fragments(), members=memberships)
def test_cut_sites_equal_those_counted_one_by_one(convention, columns, members):
    shifts = CONVENTIONS[convention]
    expected = counted_one_by_one(*columns, members, shifts)
    for group, (starts, _, counts) in enumerate(pile(*columns, members, shifts)):
        assert (np.diff(starts) > 0).all()
        np.testing.assert_array_equal(dense(starts, 1, counts), expected[group])


@given(columns=fragments(), members=memberships, seed=st.integers(0, 99))
def test_order_of_fragments_changes_nothing(columns, members, seed):
    order = np.random.default_rng(seed).permutation(len(columns[0]))
    for one, other in zip(pile(*columns, members), pile(*(c[order] for c in columns), members), strict=True):
        np.testing.assert_array_equal(one[0], other[0])
        np.testing.assert_array_equal(one[2], other[2])


@given(columns=fragments(), extend=st.sampled_from([0, 1, 5, 200]), low=st.integers(0, 100), size=st.integers(1, 20))
def test_coverage_equals_boxes_laid_one_by_one(columns, extend, low, size):
    everyone = np.ones((N_CELLS, 1), bool)
    starts, _, counts = pile(*columns, everyone)[0]
    expected = covered_one_by_one(dense(starts, 1, counts), extend)
    np.testing.assert_array_equal(box_coverage(starts, counts, low, low + size, extend), expected[low : low + size])
    runs = run_length_coverage(starts, counts, LENGTH, extend)
    np.testing.assert_array_equal(dense(*runs), expected)
    ends = runs[0] + runs[1]
    assert not ((runs[0][1:] == ends[:-1]) & (runs[2][1:] == runs[2][:-1])).any(), "runs of equal value are joined"


def test_counts_that_do_not_fit_16_bits_are_kept():
    n = 70_000
    columns = np.zeros(n, np.int32), np.ones(n, np.int32), np.zeros(n, np.int32)
    starts, _, counts = pile(*columns, np.ones((1, 1), bool))[0]
    assert (starts.tolist(), counts.tolist()) == ([0], [2 * n])
    assert box_coverage(starts, counts, 0, 3, 1).tolist() == [2 * n, 2 * n, 0]


def test_more_groups_than_16_bits_number():
    n = 70_000
    everywhere = sparse.csr_matrix(np.ones((1, n), bool))
    keys = sorted_cut_sites(*(np.array([x], np.int32) for x in (3, 9, 0)), shifts=(0, -1), length=LENGTH)
    found = group_cut_sites(keys, everywhere.indptr, everywhere.indices, n)
    assert len(found) == n
    assert {(tuple(starts), tuple(counts)) for starts, _, counts in found} == {((3, 8), (1, 1))}


def test_largest_positions_and_counts():
    length, count = 2**31 - 1, 3_000_000_000
    starts, counts = np.array([5, length - 3], np.int32), np.array([count, count], np.uint32)
    found = run_length_coverage(starts, counts, length, 10)
    assert [column.tolist() for column in found] == [[0, length - 13], [16, 13], [count, count]]
    columns = np.array([length - 9], np.int32), np.array([length], np.int32), np.zeros(1, np.int32)
    keys = sorted_cut_sites(*columns, shifts=(1, 1), length=length)  # beyond the last base: counted on it
    sites = group_cut_sites(keys, np.array([0, 1]), np.array([0]), 1)[0]
    assert sites[0].tolist() == [length - 8, length - 1]


@pytest.mark.parametrize("kind", [np.float32, np.float64])
def test_scaled_counts_keep_their_fractions(kind):
    for seed in range(20):
        rng = np.random.default_rng(seed)
        sites = (rng.random(LENGTH) * (rng.random(LENGTH) < 0.15)).astype(kind)
        starts = np.flatnonzero(sites).astype(np.int32)
        expected = np.convolve(sites.astype(float), np.ones(5))[2:-2]
        coverage = box_coverage(starts, sites[starts], 0, LENGTH, 2)
        np.testing.assert_allclose(coverage, expected, rtol=1e-6, atol=1e-12)
        run_starts, lengths, values = run_length_coverage(starts, sites[starts], LENGTH, 2)
        covered = np.concatenate([np.arange(s, s + n) for s, n in zip(run_starts, lengths, strict=True)])
        np.testing.assert_array_equal(covered, np.flatnonzero(expected))
        np.testing.assert_allclose(np.repeat(values, lengths), expected[covered], rtol=1e-6)
