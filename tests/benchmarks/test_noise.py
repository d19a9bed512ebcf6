"""Libraries with cut sites at random places: for judging, and in the guide's training."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

import scatacworks as sca
from scatacworks._core.territory import REFERENCE_BP

if not (Path(__file__).parents[2] / "benchmarks").is_dir():
    pytest.skip("the source distribution has no benchmarks", allow_module_level=True)

from benchmarks.accuracy import thinned
from benchmarks.bundled.data import BIN, Background, coverage, in_bins
from benchmarks.noise import noisy

DEPTH = 1e8


@pytest.fixture
def deep():
    """Cut sites every 10 bp in the first half of a chromosome."""
    positions = np.arange(0, 500_000, 10, dtype=np.int32)
    runs = (positions, None, np.full(len(positions), 3, np.uint16))
    return sca.Tracks.from_chromosomes(["a"], sca.Genome({"chr1": 1_000_000}), [("chr1", [runs])])


def test_without_noise_it_is_the_thinned_sample(deep):
    found, expected = noisy(deep, 1e6, 0.0), thinned(deep, 1e6 / 80e6, seed=3)
    for mine, other in zip(found.runs(0, "chr1"), expected.runs(0, "chr1"), strict=True):
        np.testing.assert_array_equal(mine, other)


def test_noise_has_its_share_of_the_depth_and_lies_where_the_sample_can_be_read(deep):
    positions, _, counts = noisy(deep, DEPTH, 1.0).runs(0, "chr1")
    expected = DEPTH / REFERENCE_BP * 500_000
    assert abs(int(counts.sum()) - expected) < 5 * expected**0.5
    assert positions.max() < 500_000
    assert (positions % 10 > 0).mean() > 0.8


def test_the_background_of_a_training_has_the_coverage_that_is_expected_of_it():
    torch.manual_seed(0)
    inside = torch.ones(250_000)
    inside[:1000] = 0
    background = Background(inside, 0.5)
    sites = background.sites(DEPTH)
    assert (sites // BIN).min() >= 1000
    expected = float(background.rate.sum()) * BIN * DEPTH
    assert abs(len(sites) - expected) < 5 * expected**0.5
    assert expected == pytest.approx(0.5 * DEPTH / REFERENCE_BP * BIN * 249_000, rel=0.3)
    covered = in_bins(coverage(torch.bincount(sites, minlength=len(inside) * BIN)))
    inner = slice(2000, -1000)
    assert float(covered[inner].mean()) == pytest.approx(float(background.coverage(DEPTH)[inner].mean()), rel=0.05)
