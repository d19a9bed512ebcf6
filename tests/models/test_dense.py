"""Signal reduced as it comes from the network, against the same signal as tracks."""

from __future__ import annotations

import numpy as np
import pytest

import scatacworks as sca
from scatacworks.models import BinnedUNet, Gaussian
from scatacworks.models._dense import DensePredictor, flat_starts
from scatacworks.models.predict import predict

SIZES = {"chrA": 90_000, "chrB": 30_001}
REGIONS = {0: np.array([[1_003, 20_500], [20_600, 21_000], [52_011, 90_000]]), 1: np.array([[0, 30_001]])}


@pytest.fixture(scope="module")
def cut_sites() -> sca.Tracks:
    rng = np.random.default_rng(0)
    chromosomes = []
    for chrom, size in SIZES.items():
        groups = []
        for n in (300, 20, 0):
            together = 60_000 % (size - 300) + rng.integers(0, 300, n // 5)
            sites = np.unique(np.concatenate([rng.integers(0, size, n), together]))
            groups.append((sites.astype(np.int32), None, rng.integers(1, 3, len(sites)).astype(np.uint16)))
        chromosomes.append((chrom, groups))
    return sca.Tracks.from_chromosomes(["many", "few", "none"], sca.Genome(SIZES), chromosomes)


@pytest.fixture(scope="module", params=["binned", "bases"])
def model(request):
    if request.param == "binned":
        return sca.models.load("default")
    gaussian = Gaussian()
    gaussian.card |= {"depth_range": [1e4, 1e9]}
    return gaussian


@pytest.fixture(scope="module")
def expected(model, cut_sites):
    """Values of every base of the regions one after the other; `(n_groups, n_bases)`."""
    tracks, _ = predict(model, cut_sites, depth=[8e6, 5e5, 1e5], regions=REGIONS, progress=False)
    spans = [(code, *span) for code, intervals in REGIONS.items() for span in intervals.tolist()]
    return np.stack([np.concatenate([tracks.window(g, *span) for span in spans]) for g in range(3)])


@pytest.mark.parametrize("core", [None, 4_096])
def test_totals_segments_and_moments_are_those_of_the_tracks(model, cut_sites, expected, core):
    core = core and -(-core // model.stride) * model.stride
    rng = np.random.default_rng(1)
    n_bases = expected.shape[1]
    starts = np.sort(rng.integers(0, n_bases - 1, 60))
    ends = np.minimum(starts + rng.integers(1, 9_000, 60), n_bases)
    scale = np.array([0.5, 2.0, 1.0])
    mean, squares = np.zeros((2, n_bases), np.float32)
    with DensePredictor(model, cut_sites.genome, REGIONS, core=core, n_jobs=2) as network:
        signal = network.signal(cut_sites, [8e6, 5e5, 1e5])
        total, sums = network.segment_sums(signal, starts, ends)
        network.add_moments(signal[:2], scale[:2], mean, squares, 0)
        network.add_moments(signal[2:], scale[2:], mean, squares, 2)
    values = expected.astype(np.float64)
    np.testing.assert_allclose(total, values.sum(1), rtol=1e-6)
    slow = np.stack([values[:, low:high].sum(1) for low, high in zip(starts, ends, strict=True)], axis=1)
    np.testing.assert_allclose(sums, slow, rtol=1e-6)
    scaled = values * scale[:, None]
    np.testing.assert_allclose(mean, scaled.mean(0), rtol=1e-5)
    np.testing.assert_allclose(squares, scaled.var(0) * 3, rtol=1e-4, atol=1e-5)


def test_windows_are_counted_along_the_regions():
    with DensePredictor(BinnedUNet(), sca.Genome(SIZES), REGIONS, core=4_096) as network:
        tape, firsts = network.tape, network.firsts
        flat = flat_starts(tape, firsts)
    columns = (tape.low, tape.high, tape.tape - tape.start)
    wanted = np.concatenate([np.arange(low, high) + shift for low, high, shift in zip(*columns, strict=True)])
    slow = [int((wanted < first).sum()) for first in firsts] + [len(wanted)]
    np.testing.assert_array_equal(flat, slow)
    assert len(wanted) == sum(int(np.diff(spans).sum()) for spans in REGIONS.values())
