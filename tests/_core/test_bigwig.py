"""Zoom records against the bases that they stand for."""

from __future__ import annotations

import itertools

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from scatacworks._core.bigwig import summarize_records, summarize_runs

RUNS = st.lists(st.tuples(st.integers(0, 3), st.integers(1, 300), st.sampled_from([None, 0, 0, 1, 2, 7])), min_size=1)


@settings(deadline=None, max_examples=200)
@given(RUNS, st.integers(2, 40))
def test_records_say_what_their_bases_hold_at_every_level(pieces, bin_size):
    runs, dense, position = [], [], 0
    for gap, length, value in pieces:
        dense += [np.nan] * gap + [np.nan if value is None else value] * length
        position += gap + length
        if value is not None:
            runs.append((position - length, position, value))
    if not runs:
        return
    dense = np.array(dense)
    starts, ends, values = (np.array(column) for column in zip(*runs, strict=True))
    positions, stats = summarize_runs(
        starts.astype(np.uint32), ends.astype(np.uint32), values.astype(np.float32), bin_size
    )
    for _ in range(4):
        assert (positions[1:, 0] >= positions[:-1, 1]).all()
        assert positions[:, 2].sum() == np.isfinite(dense).sum()
        for (start, end, n), statistics in zip(positions, stats, strict=True):
            inside = dense[start:end][np.isfinite(dense[start:end])]
            assert n == len(inside)
            assert statistics.tolist() == [inside.min(), inside.max(), inside.sum(), (inside**2).sum()]
            if start // bin_size < (end - 1) // bin_size:
                assert n == end - start
                assert inside.min() == inside.max()
        bin_size *= 4
        positions, stats = summarize_records(positions, stats, bin_size)


def test_a_long_run_costs_at_most_three_records():
    starts, ends = np.array([0, 5_000, 5_001], np.uint32), np.array([5_000, 5_001, 100_000_000], np.uint32)
    positions, stats = summarize_runs(starts, ends, np.array([0, 2, 0], np.float32), 10)
    edges = [0, 4_990, 5_000, 5_010, 99_999_990, 100_000_000]
    assert positions[:, :2].tolist() == [list(pair) for pair in itertools.pairwise(edges)]
    assert stats[:, 2].tolist() == [0, 0, 2, 0, 0]
