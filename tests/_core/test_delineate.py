"""The cut points of clumps against the published rules, stated position by position."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest

from scatacworks._core.delineate import cut_points

WINDOW = 20


def track_of(summit):
    """Summits in the window around each position (the first position is 1), whose edges repeat their neighbour."""
    n = int(summit.max() - summit.min() + 1)
    inside = [(summit - summit.min() + 1 > p - 10) & (summit - summit.min() + 1 <= p + 10) for p in range(n + 1)]
    sums = np.sum(inside, axis=1)
    sums[:10], sums[n - 9 :] = sums[10], sums[n - 10]
    return sums, n


def plain_cuts(summit):
    """Cuts, and whether the first and the last inner one were dropped."""
    if summit.max() - summit.min() + 1 < WINDOW:
        return [0, summit.max() - summit.min() + 1], (0, 0)
    sums, n = track_of(summit)
    below = sums < np.median(sums[1:])
    changes = [0, *(p for p in range(1, n) if below[p] != below[p + 1]), n]
    if len(changes) == 2 or sums[1:].max() < WINDOW:
        return [0, n], (0, 0)
    inner = set()
    for a, b in pairwise(changes):
        stretch = sums[max(a, 1) : b + 1]
        lowest = np.flatnonzero(stretch == stretch.min())
        middle = lowest[-(-len(lowest) // 2) - 1]
        inner |= {a + middle} if middle > 0 else set()
    inner = sorted(inner - {0, n})
    total = sums[1:].sum()
    first = int(len(inner) > 0 and sums[1 : inner[0] + 1].sum() < 0.01 * total)
    inner = inner[first:]
    last = int(len(inner) > 0 and sums[inner[-1] :].sum() < 0.01 * total)
    return [0, *inner[: len(inner) - last], n], (first, last)


@pytest.mark.parametrize("n_deep", [10, 60, 600])
def test_cuts_are_those_of_the_plain_rules(n_deep):
    dropped = np.zeros(2, int)
    for seed in range(60):
        rng = np.random.default_rng(seed)
        size = int(rng.integers(1, 200))
        deep = rng.normal(rng.uniform(0, size), rng.uniform(1, 15), (3, n_deep)).ravel()
        summit = np.concatenate([deep, rng.uniform(-20, size + 20, int(rng.integers(0, 60)))])
        summit = np.sort(np.rint(summit).astype(np.int32) + 1000)
        expected, ends = plain_cuts(summit)
        assert cut_points(summit, WINDOW).tolist() == expected, seed
        dropped += ends
    if n_deep == 600:
        assert (dropped > 0).all(), "both kinds of faint ends were met"
