import numpy as np
import pytest
from scipy import stats

from scatacworks._core.enrichment import _apply, log_binomial_sf, log_hypergeometric_sf, odds_ratio


def test_binomial_tail_equals_scipys_binomtest():
    rng = np.random.default_rng(0)
    n = rng.integers(1, 2000, 200)
    p = rng.uniform(0.001, 0.6, 200)
    k = np.minimum(rng.binomial(n, np.minimum(p * rng.uniform(0.5, 1.6, 200), 1)), n)
    expected = [
        stats.binomtest(int(a), int(b), float(c), alternative="greater").pvalue for a, b, c in zip(k, n, p, strict=True)
    ]
    np.testing.assert_allclose(np.exp(log_binomial_sf(k, n, p)), expected, rtol=1e-10)


def test_binomial_tail_of_huge_counts_and_beyond_the_smallest_double():
    found = log_binomial_sf([5_000, 1_001_000, 250_000], [1_000_000, 2_000_000, 3_600_000], [0.004, 0.5, 0.0625])
    expected = [stats.binom.logsf(4_999, 1_000_000, 0.004), stats.binom.logsf(1_000_999, 2_000_000, 0.5)]
    np.testing.assert_allclose(found[:2], expected, rtol=1e-9)
    # far in the tail P(X >= k) lies between P(X = k) and that times 1 / (1 - ratio of the next term)
    point = stats.binom.logpmf(250_000, 3_600_000, 0.0625)
    ratio = (3_350_000 / 250_001) * 0.0625 / 0.9375
    assert point - 1e-6 <= found[2] <= point - np.log1p(-ratio) + 1e-6
    assert found[2] < -1000


def test_fisher_equals_scipy_on_random_tables():
    rng = np.random.default_rng(1)
    for scale in (5, 50, 5000):
        tables = rng.integers(0, scale, (100, 2, 2))
        k, total = tables[:, 0, 0], tables.sum((1, 2))
        drawn, marked = tables[:, 0].sum(1), tables[:, :, 0].sum(1)
        expected = [stats.fisher_exact(table, alternative="greater") for table in tables]
        np.testing.assert_allclose(
            np.exp(log_hypergeometric_sf(k, drawn, marked, total)), [e.pvalue for e in expected], rtol=1e-7
        )
        np.testing.assert_allclose(odds_ratio(k, drawn, marked, total), [e.statistic for e in expected])


def test_fisher_of_a_whole_genome_table():
    k, drawn, marked, total = 60_000, 250_000, 700_000, 3_591_898
    found = log_hypergeometric_sf(k, drawn, marked, total)
    np.testing.assert_allclose(found, stats.hypergeom.logsf(k - 1, total, marked, drawn), rtol=1e-6)
    exact_near = stats.fisher_exact([[49_000, 201_000], [651_000, 3_591_898 - 901_000]], alternative="greater").pvalue
    np.testing.assert_allclose(np.exp(log_hypergeometric_sf(49_000, drawn, marked, total)), exact_near, rtol=1e-6)


@pytest.mark.parametrize(
    ("k", "n", "p", "expected"),
    [(0, 10, 0.1, 0), (11, 10, 0.5, -np.inf), (3, 10, 0.0, -np.inf), (10, 10, 1.0, 0), (0, 0, 0.3, 0)],
)
def test_edges_of_the_binomial(k, n, p, expected):
    assert log_binomial_sf(k, n, p) == expected


def test_edges_of_the_hypergeometric():
    assert log_hypergeometric_sf(0, 5, 5, 10) == 0
    assert log_hypergeometric_sf(6, 5, 8, 10) == -np.inf
    assert log_hypergeometric_sf(5, 10, 5, 10) == 0


def test_null_tables_give_p_that_is_at_least_uniform():
    rng = np.random.default_rng(2)
    k = rng.hypergeometric(40_000, 160_000, 3_000, 4_000)
    p = np.exp(log_hypergeometric_sf(k, 3_000, 40_000, 200_000))
    for level in (0.01, 0.05, 0.25, 0.5):
        share = np.mean(p <= level)
        assert level * 0.6 - 0.003 < share < level * 1.15 + 0.003


def test_kernels_get_arrays_of_their_own():
    def kernel(*arrays):  # of a view that was broadcast numba may not ask whether it can be written
        assert all(array.flags.owndata for array in arrays)
        return arrays[0]

    _apply(kernel, np.array([[1, 2]]), 3, np.array([4, 5]))
