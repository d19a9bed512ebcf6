import subprocess
from shutil import which

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from scatacworks._core import intervals

interval = st.tuples(st.integers(0, 2), st.integers(0, 60), st.integers(1, 25))
intervals_of = st.lists(interval, max_size=25).map(
    lambda rows: tuple(np.array([[c, s, s + n] for c, s, n in rows], np.int64).reshape(-1, 3).T)
)


def bases(target):
    return {(c, b) for c, s, e in zip(*target, strict=True) for b in range(s, e)}


@given(intervals_of)
def test_merge_covers_the_same_bases_with_separate_intervals(target):
    merged = intervals.merge(*target)
    assert bases(merged) == bases(target)
    ends, starts = merged[2][:-1], merged[1][1:]
    assert ((merged[0][1:] > merged[0][:-1]) | (starts > ends)).all()


@given(intervals_of, intervals_of)
def test_overlap_pairs_equal_the_double_loop(query, target):
    expected = [
        (i, j, min(e, f) - max(s, t))
        for i, (c, s, e) in enumerate(zip(*query, strict=True))
        for j, (d, t, f) in enumerate(zip(*target, strict=True))
        if c == d and min(e, f) > max(s, t)
    ]
    found = intervals.overlap_pairs(query, target)
    assert list(zip(*(column.tolist() for column in found), strict=True)) == expected
    assert intervals.any_overlap(query, target).tolist() == [
        i in {pair[0] for pair in expected} for i in range(len(query[0]))
    ]
    points = [
        (i, j)
        for i, (c, p) in enumerate(zip(*query[:2], strict=True))
        for j, (d, t, f) in enumerate(zip(*target, strict=True))
        if c == d and t <= p < f
    ]
    assert list(zip(*(x.tolist() for x in intervals.point_in(*query[:2], target)), strict=True)) == points
    inside = bases(target)
    own = [sum((c, b) in inside for b in range(s, e)) for c, s, e in zip(*query, strict=True)]
    assert intervals.covered(query, target).tolist() == own


@given(intervals_of, intervals_of)
def test_largest_overlap_prefers_bases_then_fraction_then_order(query, target):
    best, shared = intervals.largest_overlap(query, target)
    for i, (c, s, e) in enumerate(zip(*query, strict=True)):
        candidates = [
            (-(min(e, f) - max(s, t)), f - t, j)
            for j, (d, t, f) in enumerate(zip(*target, strict=True))
            if c == d and min(e, f) > max(s, t)
        ]
        if candidates:
            assert (best[i], shared[i]) == (min(candidates)[2], -min(candidates)[0])
        else:
            assert (best[i], shared[i]) == (-1, 0)


@given(intervals_of, intervals_of)
def test_nearest_equals_the_double_loop(query, target):
    index, distance = intervals.nearest(query[0], query[1], target[0], target[1])
    for i, (c, s) in enumerate(zip(query[0], query[1], strict=True)):
        candidates = [(abs(t - s), t, j) for j, (d, t) in enumerate(zip(target[0], target[1], strict=True)) if d == c]
        if candidates:
            best = min(candidates)
            assert (index[i], distance[i]) == (best[2], best[1] - s)
        else:
            assert (index[i], distance[i]) == (-1, 0)


@pytest.mark.skipif(which("bedtools") is None, reason="bedtools is not installed")
def test_overlap_pairs_equal_bedtools_intersect(tmp_path):
    rng = np.random.default_rng(0)
    sides = []
    for name in "ab":
        start = rng.integers(0, 100_000, 2000)
        side = (rng.integers(0, 3, 2000), start, start + rng.integers(1, 500, 2000))
        rows = (f"chr{c}\t{s}\t{e}\t{i}" for i, (c, s, e) in enumerate(zip(*side, strict=True)))
        (tmp_path / f"{name}.bed").write_text("\n".join(rows) + "\n")
        sides.append(side)
    command = ["bedtools", "intersect", "-wo", "-a", tmp_path / "a.bed", "-b", tmp_path / "b.bed"]
    lines = subprocess.run(command, check=True, capture_output=True, text=True).stdout.splitlines()
    expected = sorted((int(f[3]), int(f[7]), int(f[8])) for f in (line.split("\t") for line in lines))
    found = intervals.overlap_pairs(*sides)
    assert list(zip(*(column.tolist() for column in found), strict=True)) == expected
