import numpy as np
import pytest
from scipy import sparse, stats

from scatacworks._core.deviations import _grid, _whiten, deviations, sample_background, variability


def published(counts, sets, background, minimum):
    """The formulas cell by cell and set by set."""
    n_cells, n_sets = counts.shape[0], sets.shape[1]
    per_peak, totals = counts.sum(0), counts.sum(1)
    expectation = per_peak / per_peak.sum()
    deviation, z = np.full((n_cells, n_sets), np.nan), np.full((n_cells, n_sets), np.nan)
    for s in range(n_sets):
        weight = sets[:, s]
        for cell in range(n_cells):
            expected = (weight * expectation).sum() * totals[cell]
            raw = ((weight * counts[cell]).sum() - expected) / expected
            sampled = []
            for sample in range(background.shape[1]):
                peaks = background[:, sample]
                other = (weight * expectation[peaks]).sum() * totals[cell]
                sampled.append(((weight * counts[cell, peaks]).sum() - other) / other)
            if expected >= minimum:
                deviation[cell, s] = raw - np.mean(sampled)
                z[cell, s] = deviation[cell, s] / np.std(sampled, ddof=1)
    return deviation, z


@pytest.mark.parametrize("n_jobs", [1, 3])
def test_deviations_equal_the_published_formulas(n_jobs):
    rng = np.random.default_rng(0)
    counts = rng.poisson(rng.gamma(1, 0.5, (1, 80)) * rng.gamma(2, 0.5, (25, 1)) + 0.02).astype(np.float64)
    sets = (rng.random((80, 4)) < 0.2).astype(float)
    sets[:, 3] *= rng.random(80)
    background = rng.integers(0, 80, (80, 12))
    expected = published(counts, sets, background, 1.0)
    found = deviations(sparse.csr_matrix(counts), sparse.csr_matrix(sets), background, minimum=1.0, n_jobs=n_jobs)
    assert np.isnan(expected[0]).any()
    for a, b in zip(found, expected, strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-10, atol=1e-12)


def test_background_has_the_right_distribution():
    rng = np.random.default_rng(1)
    totals, bias = rng.gamma(2, 50, 60) + 1, rng.random(60)
    drawn = sample_background(totals, bias, n_samples=4000, width=0.3, n_bins=6, rng=rng)
    member, points = _grid(_whiten(np.stack([np.log10(totals), bias], axis=1)), 6)
    density = np.bincount(member, minlength=36)
    for peak in (0, 7, 31):
        distance = np.sqrt(((points[member] - points[member[peak]]) ** 2).sum(1))
        weight = stats.norm.pdf(distance, 0, 0.3) / density[member]
        expected = weight / weight.sum() * 4000
        observed = np.bincount(drawn[peak], minlength=60)
        large = expected >= 5
        if (~large).any():
            expected = np.append(expected[large], expected[~large].sum())
            observed = np.append(observed[large], observed[~large].sum())
        keep = expected > 0
        assert (
            stats.chisquare(observed[keep], expected[keep] * observed[keep].sum() / expected[keep].sum()).pvalue > 1e-3
        )


def test_grid_points_are_the_nearest():
    rng = np.random.default_rng(2)
    features = _whiten(np.stack([rng.normal(size=200), rng.gamma(1, size=200)], axis=1))
    np.testing.assert_allclose(np.cov(features, rowvar=False), np.eye(2), atol=1e-10)
    member, points = _grid(features, 9)
    nearest = ((features[:, None] - points) ** 2).sum(2).argmin(1)
    assert (member == nearest).all()


def test_background_of_one_property():
    totals = np.repeat([1.0, 10_000.0], 50)
    drawn = sample_background(totals, None, n_samples=20, width=0.1, n_bins=50, rng=np.random.default_rng(0))
    assert (drawn[:50] < 50).all()
    assert (drawn[50:] >= 50).all()


def test_variability_and_bootstrap():
    rng = np.random.default_rng(3)
    z = rng.normal(size=(400, 3)) * [1, 2, 1] + [0, 5, 0]
    z[:50, 2] = np.nan
    sd, samples = variability(z, n_bootstrap=300, rng=rng)
    np.testing.assert_allclose(sd, np.nanstd(z, axis=0, ddof=1))
    lower, upper = np.quantile(samples, [0.025, 0.975], axis=0)
    assert (lower < sd).all()
    assert (sd < upper).all()
    np.testing.assert_allclose((upper - lower)[:2] / 3.92, sd[:2] / np.sqrt(2 * 399), rtol=0.2)


@pytest.mark.parametrize(
    ("totals", "bias"),
    [([3], None), ([3], [0.5]), ([4, 4, 4], None), ([4, 4, 4], [0.1, 0.5, 0.9]), ([1, 10], [0.2, 0.4]), ([1, 7], None)],
)
def test_few_or_equal_peaks_have_a_background(totals, bias):
    bias = None if bias is None else np.array(bias)
    options = {"n_samples": 200, "width": 0.1, "n_bins": 50, "rng": np.random.default_rng(0)}
    drawn = sample_background(np.array(totals), bias, **options)
    alike = bias is None and len(set(totals)) == 1
    for peak, row in enumerate(drawn):
        assert set(row) == (set(range(len(totals))) if alike else {peak})  # those that differ lie far apart
