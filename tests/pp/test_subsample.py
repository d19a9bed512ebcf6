from __future__ import annotations

import anndata as ad
import numpy as np
import pandas as pd
import pytest

import scatacworks as sca
from scatacworks.get._track import is_made_of

GENOME = sca.Genome({"chr1": 2_000, "chr2": 1_000}, name="toy")


@pytest.fixture
def cells(tmp_path):
    """60 cells in three groups, 4,000 fragments."""
    rng = np.random.default_rng(0)
    start = np.sort(rng.integers(0, 900, 4_000))
    lines = [f"chr{1 + i % 2}\t{s}\t{s + 60}\tc{rng.integers(60)}\t1\n" for i, s in enumerate(start)]
    (tmp_path / "fragments.tsv").write_text("".join(lines))
    obs = pd.DataFrame({"type": ["a", "b/c", "d"] * 20}, index=[f"c{i}" for i in range(60)])
    uns = {"files": {"fragments": str(tmp_path / "fragments.tsv")}, "reference_sequences": GENOME.to_frame()}
    return ad.AnnData(obs=obs, uns=uns)


def test_cells_are_drawn_from_their_group_without_repeats(cells):
    sca.pp.subsample(cells, n_cells=5, groupby="type", n_repeats=4)
    stored, drawn = cells.uns["subsample"], cells.obsm["subsample"]
    assert stored["groups"][:5].tolist() == ["a #1", "a #2", "a #3", "a #4", "b/c #1"]
    assert stored["repeat"].tolist() == [1, 2, 3, 4] * 3
    for column, source in enumerate(stored["source_group"]):
        own = drawn[:, [column]].nonzero()[0]
        assert len(own) == 5
        assert set(cells.obs["type"].iloc[own]) == {source}
    assert (drawn[:, [0]] != drawn[:, [1]]).nnz > 0, "repeats differ"


def test_drawn_cells_serve_as_groups(cells):
    sca.pp.subsample(cells, n_cells=10, key_added="ten")
    sca.pp.pseudobulk(cells, "ten", progress=False)
    assert cells.uns["pseudobulk"]["n_cells"].tolist() == [10]
    assert sca.get.tracks(cells).groups.tolist() == ["all"]


def test_seeds_of_numpy_are_noted(cells):
    sca.pp.subsample(cells, n_cells=5, seed=np.int64(3))
    assert cells.uns["subsample"]["params"]["seed"] == 3
    cells.obsm["X_lsi"] = np.random.default_rng(0).random((60, 3))
    sca.pp.knn_groups(cells, n_neighbors=5, seed=np.int64(4))
    assert cells.uns["knn_groups"]["params"]["seed"] == 4


def test_seeds_repeat_draws(cells):
    sca.pp.pseudobulk(cells, "type", progress=False)
    for size in ({"n_cells": 7}, {"fraction": 0.3}):
        for key, seed in (("one", 3), ("same", 3), ("other", 4)):
            sca.pp.subsample(cells, **size, seed=seed, key_added=key)
        if "n_cells" in size:
            drawn = {key: cells.obsm[key].toarray() for key in ("one", "same", "other")}
        else:
            drawn = {key: sca.get.tracks(cells, key=key).starts for key in ("one", "same", "other")}
        assert np.array_equal(drawn["one"], drawn["same"])
        assert not np.array_equal(drawn["one"], drawn["other"])


def test_what_is_made_of_thinned_cut_sites_is_told_apart(cells):
    sca.pp.pseudobulk(cells, "type", progress=False)
    for key, seed in (("one", 3), ("same", 3), ("other", 4)):
        sca.pp.subsample(cells, fraction=0.3, seed=seed, key_added=key)
    cells.uns["denoised"] = {"params": {"cut_sites_digest": cells.uns["one"]["params"]["digest"]}}
    keys = ("pseudobulk", "one", "same", "other")
    assert [is_made_of(cells, "denoised", key) for key in keys] == [False, True, True, False]


def test_thinning_keeps_the_share_and_adds_nothing(cells):
    sca.pp.pseudobulk(cells, "type", progress=False)
    whole = sca.get.tracks(cells)
    sca.pp.subsample(cells, fraction=0.25, n_repeats=30)
    thin = sca.get.tracks(cells, key="subsample")
    for group, name in enumerate(whole.groups):
        base = whole.window(name, "chr1", 0, 2_000)
        repeats = np.array([thin.window(f"{name} #{i}", "chr1", 0, 2_000) for i in range(1, 31)])
        assert (repeats <= base).all()
        total = whole.sums("chr1")[group]
        spread = np.sqrt(total * 0.25 * 0.75 / 30)
        assert abs(repeats.sum(1).mean() - 0.25 * total) < 4 * spread
    assert cells.uns["subsample"]["n_cells"].tolist() == [20] * 90
    np.testing.assert_allclose(cells.uns["subsample"]["n_fragments"], thin.sums() / 2, atol=0.5)


def test_fragments_to_keep_are_met_in_expectation(cells):
    sca.pp.pseudobulk(cells, "type", progress=False)
    sca.pp.subsample(cells, n_fragments=400, n_repeats=20)
    kept = cells.uns["subsample"]["n_fragments"].reshape(3, 20).mean(1)
    np.testing.assert_allclose(kept, 400, rtol=0.05)


def test_groups_end_equally_deep_whatever_they_have_of_mitochondria(cells):
    genome = sca.Genome({"chr1": 5_000, "MT": 1_000})
    rng = np.random.default_rng(0)
    counts = {"chr1": [3_000, 3_000, 100], "MT": [0, 2_000, 2_000]}  # fragments

    def sites(n, size):
        at, number = np.unique(rng.integers(0, size, 2 * n).astype(np.int32), return_counts=True)
        return at, None, number.astype(np.uint32)

    chromosomes = [(c, [sites(n, genome.sizes[c]) for n in numbers]) for c, numbers in counts.items()]
    tracks = sca.Tracks.from_chromosomes(["none", "many", "small"], genome, chromosomes)
    cells.uns["pseudobulk"] = {"cut_sites": tracks.to_dict(), "n_cells": np.array([20, 20, 20]), "params": {}}
    with pytest.warns(UserWarning, match=r"1 group\(s\) .* fewer than n_fragments=1000 nuclear .* 'small'"):
        sca.pp.subsample(cells, n_fragments=1_000, n_repeats=20)
    thin = sca.get.tracks(cells, key="subsample")
    nuclear, mito = (thin.sums(chrom).reshape(3, 20).mean(1) / 2 for chrom in ("chr1", "MT"))
    np.testing.assert_allclose(nuclear, [1_000, 1_000, 100], rtol=0.02)
    np.testing.assert_allclose(mito, [0, 2_000 / 3, 2_000], rtol=0.03)
    np.testing.assert_allclose(cells.uns["subsample"]["n_fragments"], thin.sums() / 2, atol=0.5)


def test_the_whole_is_the_whole(cells):
    sca.pp.pseudobulk(cells, "type", progress=False)
    sca.pp.subsample(cells, fraction=1.0)
    one, other = sca.get.tracks(cells), sca.get.tracks(cells, key="subsample")
    assert one.groups.tolist() == other.groups.tolist()
    np.testing.assert_array_equal(one.starts, other.starts)
    np.testing.assert_array_equal(one.values, other.values)


def test_a_group_that_is_too_small_is_taken_whole_and_said(cells):
    sca.pp.pseudobulk(cells, "type", progress=False)
    with pytest.warns(UserWarning, match="3 group.* fewer than n_cells=30 cells"):
        sca.pp.subsample(cells, n_cells=30, groupby="type")
    assert cells.obsm["subsample"].sum(0).tolist() == [[20, 20, 20]]
    with pytest.warns(UserWarning, match="fewer than n_fragments=100000"):
        sca.pp.subsample(cells, n_fragments=100_000)


def test_results_survive_h5ad(cells, tmp_path):
    sca.pp.pseudobulk(cells, "type", progress=False)
    sca.pp.subsample(cells, n_cells=5, groupby="type", n_repeats=2, key_added="drawn")
    names = cells.uns["drawn"]["groups"].tolist()
    assert names == [f"{group} #{i}" for group in cells.uns["pseudobulk"]["groups"] for i in (1, 2)]
    sca.pp.subsample(cells, fraction=0.5)
    cells.write_h5ad(tmp_path / "cells.h5ad")
    back = ad.read_h5ad(tmp_path / "cells.h5ad")
    np.testing.assert_array_equal(
        sca.get.tracks(back, key="subsample").starts, sca.get.tracks(cells, key="subsample").starts
    )
    assert (back.obsm["drawn"] != cells.obsm["drawn"]).nnz == 0


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        ({}, "Give one of n_cells, n_fragments"),
        ({"n_cells": 3, "fraction": 0.5}, "Give one of n_cells, n_fragments"),
        ({"fraction": 1.5}, "fraction is 1.5; expected a number above 0, at most 1"),
        ({"n_fragments": -1}, "n_fragments is -1; expected a whole number"),
        ({"n_cells": 3, "n_repeats": 0}, "n_repeats is 0; expected a whole number"),
    ],
)
def test_exactly_one_possible_size_is_asked_for(cells, arguments, told):
    with pytest.raises(ValueError, match=told):
        sca.pp.subsample(cells, **arguments)


def test_groupby_and_missing_pseudobulk_are_named(cells):
    with pytest.raises(ValueError, match="groupby='type' goes with n_cells"):
        sca.pp.subsample(cells, fraction=0.5, groupby="type")
    with pytest.raises(KeyError, match="run sca.pp.pseudobulk.* first"):
        sca.pp.subsample(cells, fraction=0.5)
