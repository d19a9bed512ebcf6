from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

import scatacworks as sca
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


def in_peaks(rng, n_fragments, share, length):
    """Fragments as cells have them: this share in peaks of very different strength, the others anywhere."""
    summits = rng.integers(0, length, length // 30_000)
    strengths = rng.lognormal(0, 1.5, len(summits))
    n = int(share * n_fragments)
    inside = rng.choice(summits, n, p=strengths / strengths.sum()) + rng.integers(-200, 200, n)
    start = np.concatenate([inside, rng.integers(0, length, n_fragments - n)])
    return np.clip(start, 0, length - 1).astype(np.int32)


@pytest.mark.parametrize("share", [0.3, 0.6, 0.85])
@pytest.mark.parametrize("n_fragments", [700, 3_000, 10_000, 100_000])  # of 3.1 Gb: 20,000 to 3 million
def test_few_fragments_in_peaks_of_a_whole_genome_give_about_the_genome(n_fragments, share):
    start = in_peaks(np.random.default_rng(0), n_fragments, share, GENOME)
    assert estimate(start) == pytest.approx(GENOME, rel=0.1)


def test_a_sparse_file_of_windows_gives_about_the_windows():
    rng = np.random.default_rng(0)
    windows = np.arange(1_000_000, GENOME, 2_500_000)
    for n in (300, 3_000):
        start = (rng.choice(windows, n) + rng.integers(0, 20_000, n)).astype(np.int32)
        assert 0.7 < estimate(start) / (40 * 20_000) < 1.7


def test_a_file_of_one_chromosome_gives_the_chromosome():
    start = in_peaks(np.random.default_rng(0), 5_000, 0.7, GENOME)
    counts = [count_tiles(np.sort(start), GENOME, 1_000), np.zeros(300_000, np.int64)]
    assert territory(sum(map(occupied, counts)), len(start), 4 * GENOME) == pytest.approx(GENOME, rel=0.05)
    found, nothing = stretches(counts, len(start))
    assert found.tolist() == [[0, GENOME]]
    assert nothing.shape == (0, 2)


@pytest.mark.parametrize("of", ["mini_hg19_allchrom", "pbmc150_hg19_chr5_chr11"])
def test_real_files_thinned_are_what_they_are(of, shared_data):
    genome = sca.Genome("hg19")
    path = shared_data / "scatac_small" / f"{of}.fragments.tsv.gz"
    lines = pd.read_csv(path, sep="\t", header=None, usecols=[0, 1], names=["chrom", "start"])
    lines = lines[genome.nuclear[genome.resolve(lines["chrom"])]]
    for n in (5_000, len(lines)):
        part = lines.sample(n, random_state=0)
        tiles = sum(
            occupied(count_tiles(rows.to_numpy(np.int32), int(genome.lengths[genome.code(chrom)]), 1_000))
            for chrom, rows in part.groupby("chrom")["start"]
        )
        found = territory(tiles, n, int(genome.lengths.sum()))
        if of.startswith("mini"):  # all of the genome
            assert found > 0.75 * genome.lengths.sum()
        else:  # places around some genes
            assert 10e6 < found < 30e6


def test_tiles_are_counted_at_every_size():
    counts = count_tiles(np.array([0, 999, 1_000, 12_500], np.int32), 13_000, 1_000)
    assert counts.tolist() == [2, 1, *[0] * 10, 1]
    full, every = (dict(zip(TILES_BP, row, strict=True)) for row in occupied(counts).tolist())
    assert [full[bp] for bp in (1_000, 2_000, 5_000, 10_000, 20_000)] == [3, 2, 2, 2, 1]
    assert [every[bp] for bp in (1_000, 2_000, 5_000, 10_000, 20_000)] == [13, 7, 3, 2, 1]
    assert not occupied(np.zeros(13, np.int64)).any()


def test_no_fragment_means_the_whole_genome():
    assert territory(occupied(np.zeros(100_000, np.int64)), 0, GENOME) == GENOME


def test_more_than_the_genome_is_never_claimed():
    counts = count_tiles(np.arange(0, 50_500, 1_000, dtype=np.int32), 50_500, 1_000)
    assert territory(occupied(counts), 51, 50_500) == 50_500


def test_stretches_are_the_windows_whatever_their_quiet_places():
    rng = np.random.default_rng(0)
    windows = np.arange(1_000_000, GENOME, 2_500_000)
    start = (rng.choice(windows, 80_000) + rng.integers(0, 20_000, 80_000)).astype(np.int32)
    start = start[(start % 2_500_000 < 1_005_000) | (start % 2_500_000 >= 1_009_000)]  # nothing in 4 kb of each
    found, nothing = stretches([count_tiles(np.sort(start), GENOME, 1_000), np.zeros(50, np.int64)], len(start))
    np.testing.assert_array_equal(found, np.column_stack([windows, windows + 20_000]))
    assert nothing.shape == (0, 2)


def test_stretches_of_few_fragments_are_of_larger_tiles():
    counts = np.zeros(10_000, np.int64)
    counts[[3, 8, 97]] = [3, 3, 6]
    (found,) = stretches([counts], 12)
    assert found.tolist() == [[0, 10_000], [90_000, 100_000]]
    counts[[25, 35]] = 2  # up to five empty tiles of 10 kb between
    assert stretches([counts], 16)[0].tolist() == [[0, 100_000]]
