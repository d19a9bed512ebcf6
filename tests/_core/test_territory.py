from __future__ import annotations

import numpy as np
import pytest

from scatacworks._core.territory import TILES_BP, count_tiles, occupied, stretches, territory

GENOME = 100_000_000


def estimate(start):
    return territory(occupied(count_tiles(np.sort(start), GENOME, 1_000)), len(start), GENOME)


@pytest.mark.parametrize("n_fragments", [3_000, 30_000, 1_000_000])
def test_fragments_all_over_the_genome_give_about_the_genome(n_fragments):
    start = np.random.default_rng(0).integers(0, GENOME, n_fragments).astype(np.int32)
    assert estimate(start) == pytest.approx(GENOME, rel=0.05)


def test_a_deep_file_of_windows_gives_the_windows():
    rng = np.random.default_rng(0)
    windows = rng.choice(GENOME // 50_000, 40, replace=False) * 50_000 + 1_234
    start = (rng.choice(windows, 80_000) + rng.integers(0, 20_000, 80_000)).astype(np.int32)
    assert estimate(start) == pytest.approx(40 * 20_000, rel=0.06)


def test_tiles_are_counted_at_every_size():
    counts = count_tiles(np.array([0, 999, 1_000, 12_500], np.int32), 13_000, 1_000)
    assert counts.tolist() == [2, 1, *[0] * 10, 1]
    assert dict(zip(TILES_BP, occupied(counts).tolist(), strict=True)) == {1_000: 3, 2_000: 2, 5_000: 2, 10_000: 2}


def test_no_fragment_means_the_whole_genome():
    assert territory(np.zeros(4, int), 0, GENOME) == GENOME


def test_more_tiles_than_the_genome_has_are_never_claimed():
    assert territory(np.array([10, 10, 10, 10]), 10, 50_000) <= 50_000


def test_stretches_are_the_windows_whatever_their_quiet_places():
    rng = np.random.default_rng(0)
    windows = np.arange(1_000_000, GENOME, 2_500_000)
    start = (rng.choice(windows, 80_000) + rng.integers(0, 20_000, 80_000)).astype(np.int32)
    start = start[(start % 2_500_000 < 1_005_000) | (start % 2_500_000 >= 1_009_000)]  # nothing in 4 kb of each
    found, nothing = stretches([count_tiles(np.sort(start), GENOME, 1_000), np.zeros(50, np.int64)], len(start))
    np.testing.assert_array_equal(found, np.column_stack([windows, windows + 20_000]))
    assert nothing.shape == (0, 2)


def test_stretches_of_few_fragments_are_of_larger_tiles():
    counts = np.zeros(100, np.int64)
    counts[[3, 8, 97]] = 1
    (found,) = stretches([counts], 3)
    assert found.tolist() == [[0, 10_000], [90_000, 100_000]]
    counts[[25, 35]] = 1  # up to five empty tiles of 10 kb between
    assert stretches([counts], 5)[0].tolist() == [[0, 100_000]]
