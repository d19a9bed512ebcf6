"""Active intervals, tapes and binned counts against brute force."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from scatacworks._core import windows

HALO, STRIDE, BIN = 64, 16, 8


def dense_bins(sites, counts, first, n_bins):
    out = np.zeros(n_bins)
    for site, count in zip(sites, counts, strict=True):
        if 0 <= site - first < n_bins * BIN:
            out[(site - first) // BIN] += count
    return out


sites_of = st.lists(st.integers(0, 1999), max_size=12, unique=True).map(lambda x: np.array(sorted(x), np.int32))


@given(sites=sites_of, size=st.integers(2000, 2100))
def test_active_intervals_hold_exactly_the_blocks_in_reach(sites, size):
    found = windows.active_intervals(sites, size, HALO, STRIDE)
    covered = {block for start, end, _, _ in found for block in range(start, end, STRIDE)}
    expected = {
        block
        for block in range(-4 * HALO, size + 4 * HALO, STRIDE)
        if any(block - HALO <= site < block + STRIDE + HALO for site in sites)
    }
    assert {block for block in expected if -HALO <= block <= size + HALO} == covered
    assert (found[:, 2] == np.maximum(found[:, 0], 0)).all()
    assert (found[:, 3] == np.minimum(found[:, 1], size)).all()


@given(sites=st.tuples(sites_of, sites_of), core=st.sampled_from([16, 128, 1024]))
def test_every_block_of_a_tape_sees_the_genome_around_it(sites, core):
    pieces = [(c, windows.active_intervals(s, 2000, HALO, STRIDE)) for c, s in enumerate(sites)]
    check_contexts(windows.make_tape(pieces), sites, core)


@st.composite
def regions_of(draw):
    ends = sorted(draw(st.lists(st.integers(0, 2000), min_size=2, max_size=16, unique=True)))
    return np.array([[low, high] for low, high in zip(ends[:-1:2], ends[1::2], strict=False)])


@given(
    sites=st.tuples(sites_of, sites_of),
    core=st.sampled_from([16, 1024]),
    skip=st.booleans(),
    regions=st.just(np.array([[3, 40], [41, 300], [900, 901], [1500, 2000]])) | regions_of(),
)
def test_every_block_of_a_tape_of_regions_sees_the_genome_around_it(sites, core, skip, regions):
    pieces = [
        (c, windows.active_intervals(s, 2000, HALO, STRIDE, regions=regions, skip=skip)) for c, s in enumerate(sites)
    ]
    tape = windows.make_tape(pieces)
    check_contexts(tape, sites, core)
    if not skip:
        assert (tape.high - tape.low).sum() == 2 * np.diff(regions).sum()


@given(sites=sites_of)
def test_naming_the_whole_chromosome_computes_no_more_than_naming_nothing(sites):
    plain = windows.active_intervals(sites, 2000, HALO, STRIDE)
    named = windows.active_intervals(sites, 2000, HALO, STRIDE, regions=np.array([[0, 2000]]))
    np.testing.assert_array_equal(named[:, 2:], plain[:, 2:])
    assert (named[:, 1] - named[:, 0]).sum() <= (plain[:, 1] - plain[:, 0]).sum() + 2 * HALO


def test_regions_near_each_other_share_their_context():
    regions = np.array([[0, 32], [80, 112], [400, 416]])
    found = windows.active_intervals(np.arange(2000), 2000, HALO, STRIDE, regions=regions)
    assert found[:, :2].tolist() == [[-64, 32], [32, 176], [336, 480]]


def check_contexts(tape, sites, core):
    assert (tape.start <= tape.low).all()
    assert (tape.high <= tape.end).all()
    pointer = np.array([0, len(sites[0]), len(sites[0]) + len(sites[1])])
    joined = np.concatenate(sites)
    counts = (np.arange(len(joined)) + 1).astype(np.float32)
    blocks = {}
    for first in windows.window_starts(tape, core).tolist():
        out = np.full((core + 2 * HALO) // BIN, np.nan, np.float32)
        windows.fill_counts(
            out, first - HALO, BIN, tape.tape, tape.start, tape.end, pointer, tape.chrom, joined, counts
        )
        for at in range(0, core, STRIDE):
            blocks[first + at] = out[at // BIN : (at + STRIDE + 2 * HALO) // BIN]
    for chrom, start, _, low, high, at in zip(*tape, strict=True):
        p, q = pointer[chrom : chrom + 2]
        for block in range(low // STRIDE * STRIDE, high, STRIDE):
            expected = dense_bins(joined[p:q], counts[p:q], block - HALO, (STRIDE + 2 * HALO) // BIN)
            np.testing.assert_array_equal(blocks[block - start + at], expected)


@given(data=st.data())
def test_listed_sites_are_those_of_the_tape_laid_out_densely(data):
    ends = np.sort(data.draw(st.lists(st.integers(1, 60), min_size=2, max_size=6, unique=True))) * 16
    rows = np.array([[low, high, low, high] for low, high in zip(ends[:-1:2], ends[1::2], strict=False)])
    tape = windows.make_tape([(0, rows)])
    sites = np.array(sorted(data.draw(st.lists(st.integers(0, 999), unique=True))), np.int32)
    counts = np.arange(1, len(sites) + 1, dtype=np.float32)
    first, bin_size, n_bins = data.draw(st.integers(-4, 60)) * 8, data.draw(st.sampled_from([1, 8])), 40
    genome = np.zeros(1000)
    genome[sites] = counts
    room = np.zeros(n_bins * bin_size)
    laid_out = np.concatenate([room, *(genome[low:high] for low, high, *_ in rows), np.zeros(480), room])
    expected = laid_out[len(room) + first :][: n_bins * bin_size].reshape(n_bins, bin_size).sum(1)
    held = (np.array([0, len(sites)]), np.zeros(len(rows), np.int64), sites, counts)
    bins, values = windows.list_sites(first, n_bins, bin_size, tape.tape, tape.start, tape.end, *held)
    np.testing.assert_array_equal(np.bincount(bins, values, minlength=n_bins), expected)


def test_no_sites_give_an_empty_tape():
    tape = windows.make_tape([(0, windows.active_intervals(np.empty(0, np.int32), 100, HALO, STRIDE))])
    assert tape.length == 0
    assert len(windows.window_starts(tape, 128)) == 0
