from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from scipy import stats

from scatacworks._core.fdr import adjust_families, benjamini_hochberg, null_share, qvalue, smoothing_spline


def test_benjamini_hochberg_equals_scipy_and_skips_nan():
    p = np.random.default_rng(0).random((30, 4)) ** 2
    np.testing.assert_allclose(benjamini_hochberg(p).ravel(), stats.false_discovery_control(p.ravel()))
    with_nan = np.concatenate([p.ravel(), [np.nan]])
    np.testing.assert_allclose(benjamini_hochberg(with_nan)[:-1], stats.false_discovery_control(p.ravel()))
    assert np.isnan(benjamini_hochberg(with_nan)[-1])


def test_families_are_adjusted_together_with_equal_shares():
    rng = np.random.default_rng(5)
    families = np.repeat(["few", "many"], [40, 1960])
    p = rng.random(2000) ** 3
    weight = np.where(families == "few", 2000 / (2 * 40), 2000 / (2 * 1960))
    assert weight.mean() == pytest.approx(1)  # what makes the false discovery rate that of all together
    expected = stats.false_discovery_control(np.minimum(p / weight, 1))
    np.testing.assert_allclose(adjust_families(p, families), expected)
    np.testing.assert_allclose(adjust_families(p, np.zeros(2000)), benjamini_hochberg(p))
    assert len(adjust_families(np.empty(0), np.empty(0))) == 0


def test_the_false_discovery_rate_of_families_together_is_kept():
    rng = np.random.default_rng(6)
    families, shares = np.repeat([0, 1], [300, 6000]), []
    true = np.arange(6300) % 100 == 0
    for _ in range(200):
        p = np.where(true, stats.norm.sf(rng.normal(3.5, 1, 6300)), rng.random(6300))
        called = adjust_families(p, families) < 0.1
        shares.append((called & ~true).sum() / max(called.sum(), 1))
    assert 0.07 < np.mean(shares) < 0.11


@pytest.mark.parametrize("pi0", [0.9, 0.6, 0.3])
def test_null_share_of_a_mixture(pi0):
    rng = np.random.default_rng(int(pi0 * 10))
    p = np.concatenate([rng.random(int(40_000 * pi0)), stats.norm.sf(rng.normal(4, 1, int(40_000 * (1 - pi0))))])
    assert abs(null_share(p) - pi0) < 0.04


def test_q_is_benjamini_hochberg_scaled_by_the_null_share():
    rng = np.random.default_rng(3)
    p = np.concatenate([rng.random(3000), rng.random(1000) ** 8])
    np.testing.assert_allclose(qvalue(p), null_share(p) * benjamini_hochberg(p))


def test_few_p_values_fall_back_to_benjamini_hochberg():
    p = np.array([0.01, 0.02, 0.5])
    np.testing.assert_allclose(qvalue(p), benjamini_hochberg(p))
    assert null_share(np.linspace(0, 0.4, 500)) == 1


def test_discoveries_keep_their_rate():
    rng = np.random.default_rng(4)
    p = np.concatenate([rng.random(20_000), stats.norm.sf(rng.normal(3.5, 1, 5_000))])
    found = qvalue(p) < 0.1
    assert 0.07 < found[:20_000].sum() / found.sum() < 0.13


def test_spline_of_a_line_is_the_line_and_full_freedom_interpolates():
    x = np.linspace(0, 1, 12)
    np.testing.assert_allclose(smoothing_spline(x, 3 * x + 1, df=4.0), 3 * x + 1)
    y = np.random.default_rng(5).random(12)
    np.testing.assert_allclose(smoothing_spline(x, y, df=11.99999), y, atol=1e-4)


@pytest.mark.parametrize("vector", ["a", "b", "c", "d"])
def test_numbers_of_the_r_package(vector):
    """Four vectors (mixtures, uniform, rounded to two digits) through the R package qvalue 2.30.0 under R 4.2.2."""
    table = pd.read_csv(Path(__file__).parent / "data" / "qvalue_2.30.0.tsv.gz", sep="\t", dtype=str)
    # Python's float rounds correctly, which not every version of pandas does
    table = table[table["vector"] == vector].drop(columns="vector").astype(float)
    p = table["p"].to_numpy()
    # R searches its spline's penalty to a tolerance of 1e-4, which leaves 1e-5 of the null share
    np.testing.assert_allclose(null_share(p), table["pi0"].iloc[0], rtol=1e-5)
    np.testing.assert_allclose(qvalue(p), table["q"], rtol=1e-5)
    np.testing.assert_allclose(qvalue(p, pi0=table["pi0"].iloc[0]), table["q"], rtol=1e-12)
