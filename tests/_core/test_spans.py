"""Spans against sets of bases."""

from __future__ import annotations

import tracemalloc

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from scatacworks._core.spans import between, intersect, painted, subtract, union

SPANS = st.lists(st.tuples(st.integers(0, 60), st.integers(1, 12)), max_size=8).map(
    lambda rows: np.array([(start, start + size) for start, size in rows], np.int64).reshape(-1, 2)
)


def bases(spans):
    return {base for start, end in spans.tolist() for base in range(start, end)}


def is_tidy(spans, *, may_touch=False):
    """Sorted, disjoint, none empty, int64."""
    gaps = spans[1:, 0] - spans[:-1, 1]
    return spans.dtype == np.int64 and (spans[:, 1] > spans[:, 0]).all() and (gaps > (-1 if may_touch else 0)).all()


@given(spans=SPANS)
def test_union_holds_the_same_bases_in_the_fewest_spans(spans):
    found = union(spans)
    assert bases(found) == bases(spans)
    assert is_tidy(found)


@given(a=SPANS, b=SPANS)
def test_intersection_and_difference_are_those_of_the_bases(a, b):
    a, b = union(a), union(b)
    for found, expected in ((intersect(a, b), bases(a) & bases(b)), (subtract(a, b), bases(a) - bases(b))):
        assert bases(found) == expected
        assert is_tidy(found, may_touch=True)


@given(spans=SPANS, start=st.integers(-5, 60), size=st.integers(1, 30))
def test_bases_are_painted_where_a_span_lies(spans, start, size):
    inside = bases(spans)
    assert painted(spans, start, start + size).tolist() == [base in inside for base in range(start, start + size)]


def test_nothing_is_painted_without_spans():
    assert painted(None, 3, 6).tolist() == [False] * 3


@given(
    positions=st.lists(st.integers(0, 60)).map(sorted),
    start=st.integers(-10, 70),
    end=st.integers(-10, 70),
)
def test_positions_between_two_are_found(positions, start, end):
    array = np.array(positions, np.int32)
    assert array[between(array, start, end)].tolist() == [p for p in positions if start <= p < end]


def test_positions_between_two_beyond_all_are_found():
    array = np.array([3, 2**31 - 2], np.int32)
    assert array[between(array, -(2**40), 2**31 + 5_000)].tolist() == array.tolist()
    assert array[between(array, 2**31, 2**32)].tolist() == []


def test_positions_are_not_copied_to_be_searched():
    array = np.arange(1_000_000, dtype=np.int32)
    tracemalloc.start()
    between(array, 10, np.int64(20))
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < array.nbytes / 100
