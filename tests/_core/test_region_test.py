from __future__ import annotations

import numpy as np
import pytest
from scipy import sparse, special

from scatacworks._core import region_test
from scatacworks._core.fdr import adjust_families, benjamini_hochberg
from scatacworks._core.region_test import many_against_many, normalize, one_against_many
from scatacworks._core.replication import group_overlap, independent, inverse_trigamma, variance_prior


def overlapping_groups(rng, n_cells, n_groups, size, n_target):
    members = np.zeros((n_cells + n_target, n_groups), bool)
    for group in range(n_groups):
        members[rng.choice(n_cells, size, replace=False), group] = True
    return members, np.arange(n_cells + n_target) >= n_cells


@pytest.mark.parametrize(("n_cells", "n_groups"), [(150, 300), (1000, 40)])
def test_the_noise_of_groups_is_that_of_simulated_fragments(n_cells, n_groups):
    rng = np.random.default_rng(0)
    members, target = overlapping_groups(rng, n_cells, n_groups, 50, 30)
    fragments = rng.integers(5, 50, len(target))
    overlap = group_overlap(sparse.csr_array(members), target, fragments)
    total = rng.normal(size=(len(target), 20_000)) * np.sqrt(fragments)[:, None]  # of the fragments of each cell
    groups = members.T @ total / (members.T @ fragments)[:, None]
    spread = groups.var(0, ddof=1)
    own = total[target].sum(0) / fragments[target].sum()
    difference = groups - overlap.peers @ groups
    assert overlap.target_noise == pytest.approx((own - groups.mean(0)).var() / spread.mean(), rel=0.04)
    np.testing.assert_allclose(overlap.noise, difference.var(1) / spread.mean(), rtol=0.06)
    assert overlap.effective_number - 1 == pytest.approx(2 * spread.mean() ** 2 / spread.var(), rel=0.1)


def test_groups_without_shared_cells_count_fully():
    members = sparse.csr_array(np.kron(np.eye(12, dtype=bool), np.ones((5, 1), bool)))
    members = sparse.vstack([members, sparse.csr_array((5, 12), dtype=bool)]).tocsr()
    overlap = group_overlap(members, np.arange(65) >= 60)
    for found, expected in zip(overlap, independent(12), strict=True):
        np.testing.assert_allclose(found, expected)
    assert overlap.effective_number == pytest.approx(12)
    assert overlap.target_noise == pytest.approx(1 + 1 / 12)
    np.testing.assert_allclose(overlap.peers, (1 - np.eye(12)) / 11)


def test_regions_in_which_groups_differ_by_rounding_alone_are_no_evidence():
    rng = np.random.default_rng(0)
    groups = np.full((60, 2_000), 0.96) * (1 + 1e-14 * rng.normal(size=(60, 2_000)))  # out of reach of any cut site
    groups[:, :200] = rng.gamma(2.0, size=(60, 200))
    target = np.full(2_000, 0.96 * (1 + 1e-12))
    target[:200] = rng.gamma(2.0, size=200)
    result = one_against_many(target, groups, independent(60))
    assert (result.z[200:] == 0).all()
    assert (result.p[200:] == 1).all()
    assert (benjamini_hochberg(result.p) > 0.05).all()
    target[1_000] = 30.0  # what only the target has is found there all the same
    result = one_against_many(target, groups, independent(60))
    assert result.p[1_000] < 1e-3
    assert 10 < result.z[1_000] < 1_000  # by the spread of the least signal that varies, not of the last digits


def test_groups_are_compared_with_those_that_share_no_cell():
    members = np.zeros((80, 40), bool)
    for group in range(40):
        members[2 * group : 2 * group + 4, group] = True  # each shares cells with its neighbours
    overlap = group_overlap(sparse.csr_array(members), np.zeros(80, bool))
    shared = members.T.astype(int) @ members > 0
    np.testing.assert_array_equal(overlap.peers > 0, ~shared)


def test_groups_that_all_share_cells_are_compared_with_those_that_share_least():
    members = np.ones((40, 14), bool)
    members[20:] = np.random.default_rng(0).random((20, 14)) < 0.5
    overlap = group_overlap(sparse.csr_array(members), np.zeros(40, bool))
    n = members.sum(0)
    share = (members.T.astype(float) @ members) / np.outer(n, n)
    for group in range(14):
        others = sorted(set(range(14)) - {group}, key=lambda other: share[group, other])
        assert {*np.flatnonzero(overlap.peers[group])} >= {*others[:10]}
        assert overlap.peers[group, group] == 0


def test_copies_of_groups_count_once():
    members = np.kron(np.eye(8, dtype=bool), np.ones((5, 1), bool))
    overlap = group_overlap(sparse.csr_array(np.tile(members, 3)), np.zeros(40, bool))
    assert overlap.independent_among(np.arange(24)) == pytest.approx(8)
    assert overlap.independent_among(np.array([0, 1, 8])) == pytest.approx(9 / 5)
    assert independent(7).independent_among(np.arange(7)) == pytest.approx(7)


def test_identical_groups_are_worth_one():
    members = sparse.csr_array(np.ones((4, 3), bool))
    assert group_overlap(members, np.array([True, False, False, False])).effective_number == 1


@pytest.mark.parametrize("value", [1e-3, 0.1, 1.0, 50.0])
def test_trigamma_is_inverted(value):
    assert float(special.polygamma(1, inverse_trigamma(value))) == pytest.approx(value, rel=1e-8)


def test_the_weight_of_the_variance_trend_is_found_and_zero_variances_are_lifted():
    rng = np.random.default_rng(1)
    level = rng.random(5000)
    truth = (1 + level) * 10 / rng.chisquare(10, 5000)
    variance = truth * rng.chisquare(6, 5000) / 6
    variance[:20] = 0
    prior = variance_prior(variance, level, 6.0)
    moderated = prior.moderate(variance, 6.0)
    assert prior.weight == pytest.approx(10, rel=0.25)
    assert (moderated > 0).all()
    assert np.abs(np.log(moderated[20:] / truth[20:])).mean() < np.abs(np.log(variance[20:] / truth[20:])).mean()


def counts(rng, rate, n_groups):
    return rng.poisson(rate, (n_groups, len(rate))).astype(float)


def slow_p(target, groups, overlap, families):
    """The three steps, one value at a time; few enough regions for one level, few enough values for no tail."""
    n = len(groups)
    mean, variance = groups.mean(0), groups.var(0, ddof=1)
    freedom = overlap.effective_number - 1
    usual = variance.mean()  # one bin, as there are fewer than 50 regions
    level_of_bin = mean.mean()
    p = np.ones(len(target))

    def score(value, others, noise):
        own, level = others.var(ddof=1), others.mean()
        moderated = (freedom * own + 40 * usual * max(level / level_of_bin, 1)) / (freedom + 40)
        return (value - level) / np.sqrt(moderated * noise)

    for family in set(families):
        at = [r for r in range(len(target)) if families[r] == family]
        null = [
            np.float32(score(groups[g, r], groups[overlap.peers[g] > 0, r], overlap.noise[g]))
            for g in range(n)
            for r in at
        ]

        def local(z, null=null):
            tail = [x >= z for x in null] if z > 0 else [x <= z for x in null]
            return min(1.0, 2 * (1 + sum(tail)) / (1 + len(null)))

        spread = [np.mean([min(abs(z), 3) ** 2 for z in null[g * len(at) : (g + 1) * len(at)]]) for g in range(n)]
        noise = max(overlap.target_noise, np.median(overlap.noise))
        mine = [score(target[r], groups[:, r], noise) * (1 - 1 / n) for r in at]
        similar = np.argsort(np.abs(np.array(spread) - np.mean([min(abs(z), 3) ** 2 for z in mine])))[: n // 4]
        expected = [local(z) for g in similar for z in null[g * len(at) : (g + 1) * len(at)]]
        copies = np.mean([sum(overlap.likeness[g, h] for h in similar) for g in similar])
        for r, z in zip(at, mine, strict=True):
            own = local(z)
            p[r] = (copies + sum(e <= own for e in expected)) / (copies + len(expected))
    return p


def test_p_values_equal_a_slow_obvious_reference(monkeypatch):
    monkeypatch.setattr(region_test, "_FEWEST_SIMILAR", 10)
    rng = np.random.default_rng(6)
    members, target_cells = overlapping_groups(rng, 600, 40, 40, 50)
    overlap = group_overlap(sparse.csr_array(members), target_cells, rng.integers(5, 50, 650))
    groups, target = rng.gamma(3.0, size=(40, 45)), rng.gamma(3.0, size=45)
    families = np.where(np.arange(45) < 30, "peak", "tile")
    result = one_against_many(target, groups, overlap, families)
    np.testing.assert_allclose(result.p, slow_p(target, groups, overlap, families), rtol=1e-9)
    assert len(np.unique(result.p)) > 20


def test_p_values_are_uniform_without_a_difference_even_where_there_are_hardly_any_counts():
    rng = np.random.default_rng(2)
    rate = np.exp(rng.normal(-1, 2.5, 6000))
    shares = []
    for _ in range(20):
        groups = counts(rng, rate, 41)
        result = one_against_many(groups[0], groups[1:], independent(40))
        assert (benjamini_hochberg(result.p) < 0.05).mean() < 1e-3
        shares.append([(result.p <= level).mean() for level in (0.05, 1e-2, 1e-3)])
    assert (np.mean(shares, axis=0) <= 1.15 * np.array([0.05, 1e-2, 1e-3])).all()


def neighborhoods(rng, n_cells, n_groups, size):
    """Cells on a line; groups of neighbours that overlap; more accessible regions at one end than at the other."""
    place = rng.random(n_cells)
    order = np.argsort(np.abs(place[rng.choice(n_cells, n_groups, replace=False)][:, None] - place), axis=1)[:, :size]
    members = np.zeros((n_cells, n_groups), bool)
    members[order.ravel(), np.repeat(np.arange(n_groups), size)] = True
    return place, members


@pytest.mark.parametrize("slope", [0.0, 1.0])
def test_little_is_called_where_nothing_differs_whatever_varies_among_the_cells(slope):
    rng = np.random.default_rng(7)
    rate = np.exp(rng.normal(-3.5, 1.5, 1500))
    steep = slope * rng.choice([-1, 0, 0, 1], 1500)
    called = []
    for repeat in range(30):
        place, members = neighborhoods(rng, 600, 200, 30)
        cells = rng.poisson(rate * np.exp(np.outer(place - 0.5, steep)))
        end = 0.05 + 0.9 * (repeat % 2)  # the target lies at an end, every second time at the other one
        own = rng.poisson(30 * rate * np.exp((end - 0.5) * steep))
        members = sparse.csr_array(np.vstack([members, np.zeros((30, 200), bool)]))
        target = np.arange(630) >= 600
        family = np.where(rate > np.exp(-3), "peak", "tile")
        groups = (members[:600].T @ cells).astype(float)
        own, groups = normalize(own[None].astype(float), groups, family)[0], normalize(groups, groups, family)
        result = one_against_many(own, groups, group_overlap(members, target), family)
        called.append((adjust_families(result.p, family) < 0.05).sum())
    assert (np.array(called) > 0).mean() <= 0.1  # 5 % and the noise of 30 repeats


@pytest.mark.parametrize("times", [2, 8])
def test_a_group_of_many_more_fragments_is_not_news_for_that(times):
    rng = np.random.default_rng(9)
    rate = np.exp(rng.normal(-1, 1.5, 3000))  # most groups have no count in half of the regions
    shares = []
    for _ in range(10):
        members = sparse.csr_array(np.kron(np.eye(60 + times, 60, dtype=bool), np.ones((10, 1), bool)))
        overlap = group_overlap(members, np.arange(members.shape[0]) >= 600)
        groups, own = counts(rng, rate, 60), counts(rng, times * rate, 1)[0] / times
        own, groups = normalize(own[None], groups, np.zeros(3000))[0], normalize(groups, groups, np.zeros(3000))
        shares.append([(one_against_many(own, groups, overlap).p <= level).mean() for level in (0.05, 1e-2, 1e-3)])
    assert (np.mean(shares, axis=0) <= 1.15 * np.array([0.05, 1e-2, 1e-3])).all()


def test_families_and_levels_are_normalised_apart_and_strong_differences_do_not_count():
    rng = np.random.default_rng(8)
    rate = np.concatenate([np.full(300, 40.0), np.full(3000, 0.5)])
    family = np.repeat(["peak", "tile"], [300, 3000])
    groups = counts(rng, rate, 30)
    target = counts(rng, rate * np.where(family == "peak", 2.0, 3.0), 1)
    target[:, :40] *= 8
    found = normalize(target, groups, family)[0]
    assert found[40:300].mean() == pytest.approx(40, rel=0.05)
    assert found[300:].mean() == pytest.approx(0.5, rel=0.15)
    assert found[:40].mean() == pytest.approx(320, rel=0.1)


def test_what_is_empty_stays_so():
    found = normalize(np.zeros((1, 60)), np.zeros((5, 60)), np.full(60, "tile"))
    np.testing.assert_array_equal(found, 0)


def test_planted_differences_are_found_in_both_directions():
    rng = np.random.default_rng(3)
    rate = np.full(2000, 20.0)
    groups = counts(rng, rate, 60)
    fold = np.ones(2000)
    fold[:40], fold[40:80] = 3, 1 / 5
    target = rng.poisson(rate * fold)
    result = one_against_many(target.astype(float), groups, independent(60))
    called = benjamini_hochberg(result.p) < 0.05
    assert called[:80].mean() > 0.75
    assert called[80:].sum() <= 8
    assert (result.z[:40] > 0).all()
    assert (result.z[40:80] < 0).all()


def test_a_new_region_where_the_background_is_empty_is_found_and_a_single_count_is_not():
    others = 0
    for seed in range(10):
        rng = np.random.default_rng(seed)
        rate = np.full(4000, 0.02)
        groups, target = counts(rng, rate, 80), counts(rng, rate, 1)[0]
        target[0] = 30
        called = benjamini_hochberg(one_against_many(target, groups, independent(80)).p) < 0.05
        assert called[0]
        assert (target[called] > 1).all()
        others += called.sum() - 1
    assert others <= 2


def test_replicates_are_compared_by_a_moderated_t_test():
    rng = np.random.default_rng(5)
    first, second = rng.normal(size=(4, 3000)), rng.normal(size=(4, 3000))
    first[:, :50] += 6
    result = many_against_many(first, second, np.zeros(3000))
    called = benjamini_hochberg(result.p) < 0.05
    assert called[:50].all()
    assert called[50:].sum() <= 8
    assert (result.p[50:] < 0.05).mean() == pytest.approx(0.05, abs=0.015)


def test_groups_without_fragments_are_worth_little_and_spoil_nothing():
    members = sparse.csr_array(np.kron(np.eye(30, dtype=bool), np.ones((10, 1), bool)))
    weights = np.full(310, 100.0)
    weights[:10] = 0
    overlap = group_overlap(sparse.vstack([members, np.zeros((10, 30), bool)]), np.arange(310) >= 300, weights)
    assert all(np.isfinite(part).all() for part in overlap)
    assert overlap.noise[0] > 100 * np.median(overlap.noise[1:])
