"""Bins to rounded runs against numpy's interpolation, base by base."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from scatacworks._core import interpolate, windows
from scatacworks._core.runs import fill_window


def one_interval(n_bases, low, high):
    return windows.make_tape([(0, np.array([[0, n_bases, low, high]]))])


def encode(bins, bin_size, kind, step, fill, *, low=0, high=None):
    n_core = len(bins) - (2 if bin_size > 1 else 0)
    n_bases = n_core * bin_size
    t = one_interval(n_bases, low, n_bases if high is None else high)
    out = [np.empty(n_bases, dtype) for dtype in (np.int32, np.int32, np.int32, np.int16)]
    geometry = (t.tape, t.start, t.low, t.high)
    n = interpolate.encode_window(bins, bin_size, 0, *geometry, kind, step, 1000, fill, *out)
    return [array[:n] for array in out[1:]]


def expected_levels(bins, bin_size, kind, step):
    n_core = len(bins) - (2 if bin_size > 1 else 0)
    bases = np.arange(n_core * bin_size)
    margin = 1 if bin_size > 1 else 0
    centers = (np.arange(len(bins)) - margin + 0.5) * bin_size - 0.5
    values = np.interp(bases, centers, bins.astype(float))
    return np.round(np.sqrt(values) / step) if kind == interpolate.SIGNAL else np.floor(bent(values) / step)


def bent(odds):
    """Steps below log odds of -3.5 are ten times wider."""
    return np.where(odds < -3.5, -3.5 + (odds + 3.5) / 10, odds)


@pytest.mark.parametrize("bin_size", [1, 2, 3, 8])
@pytest.mark.parametrize("kind", [interpolate.SIGNAL, interpolate.LOGIT])
def test_levels_equal_linear_interpolation_between_bin_centres(bin_size, kind):
    rng = np.random.default_rng(bin_size)
    bins = np.cumsum(rng.normal(0, 0.3, 300)).astype(np.float32)
    bins = bins**2 if kind == interpolate.SIGNAL else bins - 3
    starts, lengths, levels = encode(bins, bin_size, kind, 0.1, 3)
    dense = np.empty((len(bins) - 2 * (bin_size > 1)) * bin_size, np.float32)
    fill_window(starts, np.append(lengths, np.int32(0)), levels.astype(np.float32), 0, 3.0, dense)
    expected = expected_levels(bins, bin_size, kind, 0.1)
    assert (dense != expected).mean() < 0.002  # float32 at the edge of a step
    assert np.abs(dense - expected).max() <= 1


@given(data=st.data())
def test_runs_are_sorted_maximal_and_inside_the_wanted_bases(data):
    bins = np.array(data.draw(st.lists(st.sampled_from([-0.5, 0.05, 0.3, 2.0]), min_size=3, max_size=12)), np.float32)
    n_bases = (len(bins) - 2) * 8
    low = data.draw(st.integers(0, n_bases - 1))
    high = data.draw(st.integers(low, n_bases))
    starts, lengths, levels = encode(bins, 8, interpolate.LOGIT, 0.1, 0, low=low, high=high)
    ends = starts + lengths
    assert (starts >= low).all()
    assert (ends <= high).all()
    assert (levels != 0).all()
    touching = starts[1:] == ends[:-1]
    assert (starts[1:] >= ends[:-1]).all()
    assert (levels[1:][touching] != levels[:-1][touching]).all()
    expected = expected_levels(bins, 8, interpolate.LOGIT, 0.1)[low:high]
    assert abs(lengths.sum() - (expected != 0).sum()) <= 2


def test_no_rounding_moves_a_probability_over_one_half():
    logits = np.linspace(-0.3, 0.3, 601).astype(np.float32)
    levels = [interpolate.level(value, interpolate.LOGIT, 10.0, 70) for value in logits]
    stored = interpolate.decode(np.array(levels), interpolate.LOGIT, 0.1)
    assert ((stored >= 0.5) == (logits >= 0)).all()


def test_decoded_values_are_within_half_a_step():
    values = np.geomspace(0.01, 1e4, 500)
    levels = np.array([interpolate.level(value, interpolate.SIGNAL, 10.0, 32_000) for value in values])
    decoded = interpolate.decode(levels, interpolate.SIGNAL, 0.1)
    assert np.abs(np.sqrt(decoded) - np.sqrt(values)).max() < 0.0501
    np.testing.assert_allclose(interpolate.decode(levels, interpolate.SIGNAL, 0.1, 2.0), 2 * decoded, rtol=1e-6)


def test_join_runs_merges_only_what_touches_with_equal_level():
    starts = np.array([0, 5, 9, 10, 12], np.int32)
    lengths = np.array([5, 3, 1, 2, 2], np.int32)
    levels = np.array([7, 7, 7, 7, 8], np.int16)
    n = interpolate.join_runs(starts, lengths, levels)
    found = (n, starts[:n].tolist(), lengths[:n].tolist(), levels[:n].tolist())
    assert found == (3, [0, 9, 12], [8, 3, 2], [7, 7, 8])


def test_fill_gaps_covers_the_regions_exactly():
    starts, lengths = np.array([12, 20, 60], np.int32), np.array([3, 5, 10], np.int32)
    regions = np.array([[10, 25], [30, 40], [60, 75]])
    runs = interpolate.fill_gaps(starts, lengths, np.array([1, 2, 3], np.int16), regions, 9)
    rows = [(10, 2, 9), (12, 3, 1), (15, 5, 9), (20, 5, 2), (30, 10, 9), (60, 10, 3), (70, 5, 9)]
    assert list(zip(*(column.tolist() for column in runs), strict=True)) == rows
