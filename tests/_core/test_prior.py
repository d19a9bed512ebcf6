"""Segments, matching and filling against loops over bases."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from scatacworks._core import prior, windows

SIZE = 200


@st.composite
def intervals(draw):
    """Intervals of some rows; those of a row do not overlap, but may touch."""
    found = []
    for row in range(draw(st.integers(1, 4))):
        edges = sorted(draw(st.lists(st.integers(0, SIZE), max_size=8, unique=True)))
        found += [
            (s, e, row, draw(st.sampled_from([0.25, 0.5, 1.0]))) for s, e in zip(edges[::2], edges[1::2], strict=False)
        ]
    return found


def columns(found):
    starts, ends, rows, values = zip(*found, strict=True) if found else ([], [], [], [])
    return np.array(starts, int), np.array(ends, int), np.array(rows, int), np.array(values, float)


def dense(found, n_rows=4):
    out = np.zeros((n_rows, SIZE))
    for start, end, row, value in found:
        out[row, start:end] = value
    return out


@given(intervals())
def test_segments_hold_the_rows_of_each_base(found):
    segments = prior.make_segments(*columns(found), SIZE)
    assert segments.bounds[0] == 0
    assert segments.bounds[-1] == SIZE
    assert (np.diff(segments.bounds) > 0).all()
    got = np.zeros((4, SIZE))
    for i in range(len(segments.bounds) - 1):
        own = slice(segments.indptr[i], segments.indptr[i + 1])
        assert len(set(segments.rows[own])) == len(segments.rows[own])
        got[segments.rows[own], segments.bounds[i] : segments.bounds[i + 1]] = segments.values[own][:, None]
    np.testing.assert_array_equal(got, dense(found))


@given(intervals(), st.lists(st.integers(0, SIZE - 1), max_size=20))
def test_sums_over_segments_equal_sums_over_bases(found, positions):
    segments = prior.make_segments(*columns(found), SIZE)
    sites, counts = np.unique(positions, return_counts=True)
    per_base = np.zeros(SIZE)
    np.add.at(per_base, np.array(positions, int), 1)
    bounds = segments.bounds
    expected = [per_base[a:b].sum() for a, b in itertools.pairwise(bounds)]
    assert prior.site_counts(bounds, sites, counts).tolist() == expected
    weights = np.array([0.5, 2.0, 1.0, 3.0])
    np.testing.assert_allclose(
        np.repeat(prior.weighted_sums(*segments[1:], weights), np.diff(bounds)), weights @ dense(found), atol=1e-6
    )
    np.testing.assert_allclose(
        prior.row_exposure(segments, np.diff(bounds).astype(float), 4), dense(found).sum(1), atol=1e-5
    )


def plain_match(present, counts, lengths, *, background, strength, n_iterations):
    """The same model on whole matrices: every segment, with and without cut sites."""
    exposure = present @ lengths
    inside = present.any(0)
    start = max((counts - lengths * background)[inside].sum() / exposure.sum(), 1e-12)
    weights = np.full(len(present), start)
    for _ in range(n_iterations):
        mean = background + weights @ present
        weights = (weights * (present @ (counts / mean)) + strength) / (exposure + strength / start)
    return weights, start


@given(intervals(), st.integers(0, 2**31))
def test_matching_equals_the_model_on_whole_matrices(found, seed):
    segments = prior.make_segments(*columns(found), SIZE)
    lengths = np.diff(segments.bounds).astype(float)
    present = np.array([dense(found)[:, a] for a in segments.bounds[:-1]]).T
    counts = np.random.default_rng(seed).poisson(0.3 * lengths).astype(float)
    if not found:
        return
    expected, start = plain_match(present, counts, lengths, background=0.05, strength=0.5, n_iterations=10)
    kept = np.flatnonzero(counts > 0)
    got = prior.match_rows(
        *prior.keep_segments(segments, kept),
        counts[kept],
        prior.row_exposure(segments, lengths, 4),
        0.05,
        start,
        0.5,
        10,
    )
    np.testing.assert_allclose(got, expected, rtol=1e-5)


def test_matching_finds_the_row_that_was_cut():
    rng = np.random.default_rng(0)
    starts = np.arange(0, 400_000, 1000)
    rows = rng.integers(0, 6, len(starts))
    segments = prior.make_segments(starts, starts + 300, rows, np.ones(len(starts)), 400_000)
    cut = np.sort(np.concatenate([s + rng.integers(0, 300, 3) for s in starts[rows == 2]]))
    sites, counts = np.unique(cut, return_counts=True)
    per_segment = prior.site_counts(segments.bounds, sites, counts)
    kept = np.flatnonzero(per_segment)
    exposure = prior.row_exposure(segments, np.diff(segments.bounds).astype(float), 6)
    weights = prior.match_rows(*prior.keep_segments(segments, kept), per_segment[kept], exposure, 1e-6, 1e-3)
    assert weights.argmax() == 2
    assert weights[2] / weights.sum() > 0.9


def test_without_cut_sites_all_rows_weigh_the_same():
    exposure = np.array([100.0, 100.0, 100.0])
    nothing = (np.zeros(1, np.int64), np.empty(0, np.int32), np.empty(0, np.float32), np.empty(0))
    weights = prior.match_rows(*nothing, exposure, 1e-6, 1e-12)
    assert len(set(weights)) == 1


def test_long_empty_stretches_were_not_measured():
    occupied = np.zeros(10_000, bool)
    occupied[100:200] = occupied[5_000:5_100] = True
    bounds = np.array([0, 128 * 150, 128 * 1_000, 128 * 5_050, 128 * 10_000])
    assert prior.measured_lengths(bounds, occupied).tolist() == [128 * 50, 128 * 49, 128 * 50, 128 * 49]
    assert prior.measured_lengths(bounds, np.zeros(10_000, bool)).tolist() == [0, 0, 0, 0]


def test_sparse_sites_measure_the_whole_between_them():
    occupied = np.zeros(10_000, bool)
    occupied[::50] = True
    lengths = prior.measured_lengths(np.array([0, 64_000, 1_280_000]), occupied)
    assert lengths.sum() == 128 * 9_950


@given(intervals(), st.integers(0, 40), st.sampled_from([1, 4, 8]))
def test_bins_of_a_tape_have_the_values_of_the_genome(found, first_bin, bin_size):
    segments = prior.make_segments(*columns(found), SIZE)
    flat = prior.weighted_sums(*segments[1:], np.array([1.0, 10.0, 100.0, 1000.0]))
    steps = np.concatenate([segments.bounds, segments.bounds])  # two chromosomes alike
    values = np.append(flat, 0.0)[:, None].repeat(2, 1).astype(np.float32)
    pieces = [(0, np.array([[-16, 48, 0, 48], [96, 232, 96, 200]])), (1, np.array([[32, 104, 32, 104]]))]
    tape = windows.make_tape(pieces)
    out = np.full((2, 20), np.nan, np.float32)
    first = first_bin * bin_size
    pointer = np.array([0, len(segments.bounds), 2 * len(segments.bounds)])
    prior.fill_steps(
        out, first, bin_size, tape.tape, tape.start, tape.end, pointer, tape.chrom, steps, np.concatenate([values] * 2)
    )
    per_base = np.array([1.0, 10.0, 100.0, 1000.0]) @ dense(found)
    on_tape = np.concatenate([np.arange(s, e) for s, e in zip(tape.start, tape.end, strict=True)])
    for b in range(20):
        at = first + b * bin_size + (bin_size - 1) // 2
        base = on_tape[at] if at < len(on_tape) else -1
        expected = per_base[base] if 0 <= base < SIZE else 0.0
        assert out[:, b].tolist() == pytest.approx([expected] * 2)
