import numpy as np
import pandas as pd
import pytest
from scipy import sparse

import scatacworks as sca
from scatacworks._core.deviations import deviations
from scatacworks._core.random_walk import random_walk
from scatacworks.tl._cells.trait_scores import _matched_seeds


@pytest.fixture
def variants(cells):
    rng = np.random.default_rng(1)
    start = cells.var["start"].to_numpy()[rng.integers(0, 100, 80)] + rng.integers(0, 500, 80)
    return pd.DataFrame({"chrom": "1", "start": start, "end": start + 1, "posterior": rng.uniform(0.1, 1, 80)})


def test_weights_are_sums_of_posteriors_and_z_is_the_weighted_deviation(cells, variants):
    background = np.random.default_rng(5).integers(0, 1000, (1000, 20))
    sca.tl.trait_scores(cells, variants={"t": variants}, background=background, progress=False)
    weight = np.zeros(1000)
    for row in variants.itertuples():
        for i, peak in enumerate(cells.var.itertuples()):
            weight[i] += row.posterior if peak.start <= row.start < peak.end else 0
    expected = deviations(sparse.csr_matrix(cells.X), sparse.csr_matrix(weight[:, None]), background, minimum=0)[1]
    np.testing.assert_allclose(cells.obsm["trait_scores"], expected, rtol=1e-4, atol=1e-5)
    assert cells.uns["trait_scores"]["traits"]["n_peaks"].tolist() == [(weight > 0).sum()]


def test_sets_and_weights_of_one_agree_with_motif_deviations(cells):
    chosen = cells.var.iloc[:100]
    ones = pd.DataFrame({"chrom": "chr1", "start": chosen["start"] + 3, "end": chosen["start"] + 4, "posterior": 1.0})
    background = np.random.default_rng(5).integers(0, 1000, (1000, 20))
    sca.tl.trait_scores(cells, variants={"t": ones}, background=background, progress=False)
    sca.tl.motif_deviations(cells, annotations={"t": chosen}, background=background, progress=False, minimum=0)
    np.testing.assert_allclose(cells.obsm["trait_scores"], cells.obsm["motif_deviations_z"], rtol=1e-5)


def test_groups_and_propagation_find_the_type(cells, variants):
    cells.obsm["X_lsi"] = np.asarray(cells.X[:, :200] @ np.r_[np.ones(100), -np.ones(100)])[:, None] / 10
    sca.tl.trait_scores(
        cells, variants={"t": variants}, groupby="type", propagate=True, n_permutations=199, progress=False
    )
    groups = cells.uns["trait_scores"]["groups"].set_index("group")
    assert groups.loc["A", "p_value"] == 1 / 200
    assert groups.loc["B", "p_value"] == 1
    visits, p = cells.obsm["trait_scores_propagated"]["t"], cells.obsm["trait_scores_p"]["t"]
    assert visits[:100].mean() > 3 * visits[100:].mean()
    assert visits.between(0, 1).all()
    assert p[:100].median() < p[100:].median()


def test_null_traits_are_not_significant(cells):
    rng = np.random.default_rng(2)
    null = {}
    for i in range(30):
        start = rng.choice(cells.var["start"].to_numpy()[200:], 60)
        null[f"t{i}"] = pd.DataFrame({"chrom": "chr1", "start": start, "end": start + 1, "posterior": rng.random(60)})
    sca.tl.trait_scores(cells, variants=null, groupby="type", n_permutations=199, progress=False)
    p = cells.uns["trait_scores"]["groups"]["p_value"]
    assert 0.3 < np.mean(p) < 0.7
    assert cells.obsm["trait_scores"].to_numpy().std() == pytest.approx(1, abs=0.25)


def test_a_trait_of_few_peaks_takes_no_cells_from_the_others(cells):
    cells.X[:, 300] = 0
    cells.X[3, 300] = 1
    few = pd.DataFrame({"chrom": ["chr1"], "start": [600_000], "end": [600_001], "posterior": [1.0]})
    many = cells.var.iloc[:200][["chrom", "start"]].assign(end=lambda x: x["start"] + 1, posterior=1.0)
    background = np.full((1000, 2), 300)
    background[:300] = np.random.default_rng(0).integers(0, 1000, (300, 2))
    given = {"groupby": "type", "progress": False, "n_permutations": 99, "background": background}
    sca.tl.trait_scores(cells, variants={"many": many, "few": few}, **given)
    z = cells.obsm["trait_scores"]
    assert z["few"].isna().all()  # its background has the same counts in every cell
    assert not np.isinf(z.to_numpy()).any()
    groups = cells.uns["trait_scores"]["groups"].set_index(["trait", "group"])
    assert groups["n_cells"].loc["many"].tolist() == [100, 100]
    assert groups["n_cells"].loc["few"].tolist() == [0, 0]
    assert groups["p_value"].loc["few"].isna().all()
    assert groups["mean_z"].loc["many", "A"] == pytest.approx(z["many"][:100].mean(), rel=1e-5)


def test_a_group_of_all_cells_is_no_different(cells, variants):
    cells.obs["all"] = "one"
    sca.tl.trait_scores(cells, variants={"t": variants}, groupby="all", n_permutations=99, progress=False)
    assert cells.uns["trait_scores"]["groups"]["p_value"].tolist() == [1.0]


def test_permuted_seeds_keep_size_and_degree():
    degree = np.repeat([1, 5, 30], 40)
    cells = np.array([0, 1, 100, 101, 119])
    seeds = _matched_seeds(degree, cells, 50, np.random.default_rng(0))
    assert (seeds.sum(0) == 5).all()
    assert (seeds[:40].sum(0) == 2).all()
    assert (seeds[80:].sum(0) == 3).all()


def test_walks_of_many_cells_are_few_at_a_time(cells, variants, monkeypatch):
    from scatacworks.tl._cells import trait_scores as module

    shapes = []

    def walk(graph, seeds, **options):
        shapes.append(seeds.shape)
        return random_walk(graph, seeds, **options)

    monkeypatch.setattr(module, "random_walk", walk)
    monkeypatch.setattr(module, "_VISITS_AT_ONCE", 5 * cells.n_obs)
    cells.obsm["X_lsi"] = np.random.default_rng(0).normal(size=(cells.n_obs, 3))
    sca.tl.trait_scores(cells, variants={"t": variants}, propagate=True, n_permutations=12, progress=False)
    assert shapes == [(cells.n_obs, n) for n in (1, 5, 5, 2)]


def test_errors(cells, variants):
    with pytest.raises(ValueError, match="same genome"):
        sca.tl.trait_scores(cells, variants={"t": variants.assign(start=10**8, end=10**8 + 1)})
    with pytest.raises(KeyError, match="nothing"):
        sca.tl.trait_scores(cells, variants={"t": variants}, groupby="nothing", progress=False)
    with pytest.raises(KeyError, match=r"sca\.pp\.lsi"):
        sca.tl.trait_scores(cells, variants={"t": variants}, propagate=True, progress=False)
    with pytest.raises(ValueError, match="posterior"):
        sca.tl.trait_scores(cells, variants={"t": variants.drop(columns="posterior")})


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        ({"groupby": "nothing"}, KeyError, "No column 'nothing'"),
        ({"propagate": True}, KeyError, "X_lsi"),
        ({"variants": "traits/"}, TypeError, "variants is a str; expected a dict"),
    ],
)
def test_nothing_is_written_on_an_error(cells, variants, arguments, error, message):
    with pytest.raises(error, match=message):
        sca.tl.trait_scores(cells, **{"variants": {"t": variants}, "progress": False} | arguments)
    assert not set(cells.obsm) | set(cells.uns)


def test_no_trait_at_all_is_refused(cells):
    with pytest.raises(ValueError, match="variants is empty; expected a dict"):
        sca.tl.trait_scores(cells, variants={}, progress=False)
