"""Peaks against a per-base loop, a stored case and macs3 where it is importable."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from scatacworks._core.calling import call_dense, call_runs, expected_f1, summarize_runs, weigh_runs
from scatacworks._core.runs import encode


def brute_force(track, cutoff, min_length, max_gap):
    stretches = []
    for base, value in enumerate(track):
        if not value >= cutoff:
            continue
        if stretches and base - stretches[-1][1] <= max_gap:
            stretches[-1][1] = base + 1
        else:
            stretches.append([base, base + 1])
    return [(a, b) for a, b in stretches if b - a >= min_length]


def middle_of_the_highest(track, start, end):
    """Middle of the middle one of the stretches that reach the maximum, as MACS reports it."""
    best, runs = max(track[start:end]), []
    for base in range(start, end):
        if track[base] == best:
            if runs and runs[-1][1] == base:
                runs[-1][1] = base + 1
            else:
                runs.append([base, base + 1])
    a, b = runs[(len(runs) + 1) // 2 - 1]
    return (a + b) // 2


def call(track, cutoff, min_length, max_gap, fill=0.0):
    """Peaks of a track, which must be the same from its bases and its runs, and their summits, means and maxima."""
    runs = encode(track, 0, fill)
    called = call_runs(*runs, fill, len(track), cutoff, min_length, max_gap)
    for own, dense in zip(called, call_dense(track, cutoff, min_length, max_gap), strict=True):
        np.testing.assert_array_equal(own, dense)
    return *called, *summarize_runs(*runs, fill, *called)[:3]


@given(
    steps=st.lists(st.tuples(st.integers(0, 4), st.integers(1, 6)), min_size=1, max_size=60),
    cutoff=st.integers(0, 4).map(float),
    min_length=st.integers(1, 12),
    max_gap=st.integers(0, 8),
    fill=st.integers(0, 4),
)
def test_dense_and_run_kernels_equal_a_loop_over_bases(steps, cutoff, min_length, max_gap, fill):
    check(np.repeat(*np.array(steps).T).astype(np.float32), cutoff, min_length, max_gap, float(fill))


@pytest.mark.parametrize(("cutoff", "min_length", "max_gap"), [(2.0, 1, 0), (9.0, 1, 0), (4.0, 20, 100)])
def test_many_peaks_far_apart_equal_a_loop_over_bases(cutoff, min_length, max_gap):
    rng = np.random.default_rng(0)
    track = np.repeat(rng.geometric(0.5, 6_000) - 1, rng.integers(1, 30, 6_000)).astype(np.float32)
    check(track, cutoff, min_length, max_gap)


def check(track, cutoff, min_length, max_gap, fill=0.0):
    starts, ends, summits, means, highest = call(track, cutoff, min_length, max_gap, fill)
    expected = brute_force(track, cutoff, min_length, max_gap)
    assert list(zip(starts.tolist(), ends.tolist(), strict=True)) == expected
    assert summits.tolist() == [middle_of_the_highest(track, a, b) for a, b in expected]
    np.testing.assert_allclose(means, [track[a:b].mean(dtype=float) for a, b in expected])
    np.testing.assert_array_equal(highest, [track[a:b].max() for a, b in expected])


# Called with macs3 3.0.4 bdgpeakcall, cutoff 0.5, min length 5, max gap 3: start, end, summit.
STORED_STEPS = [(0.0, 4), (0.5, 3), (0.9, 2), (0.2, 3), (0.8, 1), (0.1, 4), (0.7, 4), (0.0, 2), (0.7, 1), (0.3, 9)]
STORED_STEPS += [(0.6, 5), (0.49, 4), (0.6, 4)]
STORED_PEAKS = [(4, 13, 8), (17, 24, 19), (33, 38, 35)]


def test_a_stored_case_of_macs3():
    values, lengths = zip(*STORED_STEPS, strict=True)
    track = np.repeat(np.array(values, np.float32), lengths)
    assert list(zip(*(column.tolist() for column in call(track, 0.5, 5, 3)[:3]), strict=True)) == STORED_PEAKS


@pytest.mark.parametrize(("cutoff", "min_length", "max_gap"), [(0.5, 200, 30), (0.5, 1, 0), (0.9, 20, 100)])
def test_intervals_and_summits_equal_macs3(cutoff, min_length, max_gap):
    macs3 = pytest.importorskip("MACS3.Signal.BedGraph", reason="macs3 is not installed")
    rng = np.random.default_rng(0)
    track = np.repeat(rng.random(20_000).astype(np.float32), rng.integers(1, 90, 20_000))
    starts, lengths, values = encode(track, 0, 0.0)
    bedgraph = macs3.bedGraphTrackI(baseline_value=0)
    for start, length, value in zip(starts.tolist(), lengths.tolist(), values.tolist(), strict=True):
        bedgraph.add_loc(b"chr1", start, start + length, value)
    called = bedgraph.call_peaks(cutoff=cutoff, min_length=min_length, max_gap=max_gap, call_summits=False)
    expected = [(p["start"], p["end"], p["summit"]) for p in called.get_data_from_chrom(b"chr1")]
    assert len(expected) > 10
    ours = call(track, cutoff, min_length, max_gap)
    assert list(zip(*(column.tolist() for column in ours[:3]), strict=True)) == expected


def test_nothing_above_the_cutoff_gives_no_peak():
    assert [len(column) for column in call(np.zeros(100, np.float32), 0.5, 1, 0)] == [0] * 5


def test_values_that_are_not_numbers_are_below_every_cutoff():
    track = np.array([np.nan, 1, 1, np.nan, np.nan, 1], np.float32)
    starts, ends = call_dense(track, 0.5, 1, 0)
    assert list(zip(starts, ends, strict=True)) == [(1, 3), (5, 6)]


@given(
    values=st.lists(st.sampled_from([0.0, 0.05, 0.1, 0.2, 0.25, 0.5, 0.9, np.nan]), min_size=1, max_size=80),
    fill=st.sampled_from([0.0, 0.1, np.nan]),
)
def test_the_f1_to_be_expected_is_that_of_sums_over_bases(values, fill):
    track, edges = np.array(values, np.float32), np.array([0.1, 0.25, 0.9], np.float32)
    _, lengths, levels = encode(track, 0, fill)
    found = expected_f1(*weigh_runs(lengths, levels, fill, len(track), edges))
    known = track[~np.isnan(track)].astype(float)
    for edge, score in zip(edges, found, strict=True):
        called = known[known >= edge]
        both = len(called) + known.sum()
        assert score == pytest.approx(2 * called.sum() / both if both else 0, rel=1e-6)


def test_a_gap_of_what_is_not_known_counts_in_no_mean():
    track = np.array([0, 1, 3, np.nan, np.nan, 5, 0], np.float32)
    runs = encode(track, 0, 0.0)
    called = call_runs(*runs, 0.0, len(track), 1.0, 1, 2)
    assert [part.tolist() for part in (*called, *summarize_runs(*runs, 0.0, *called))] == [[1], [6], [5], [3], [5], [3]]
    unknown = summarize_runs(*encode(np.full(7, np.nan, np.float32), 0, 0.0), 0.0, *called)
    assert np.isnan(unknown[1]).all()
    assert unknown[3].tolist() == [0]
