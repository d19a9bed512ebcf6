from __future__ import annotations

import anndata as ad
import numpy as np
import pandas as pd
import pytest
from numba.core.config import NUMBA_NUM_THREADS
from scipy import sparse

import scatacworks as sca


@pytest.fixture
def cells():
    rng = np.random.default_rng(0)
    names = [f"cell{i}" for i in range(300)]
    return ad.AnnData(obs=pd.DataFrame(index=names), obsm={"X_lsi": rng.standard_normal((300, 5))})


def brute_force(points, center, k):
    return set(np.argsort(np.linalg.norm(points - points[center], axis=1))[:k])


def members(adata, key="knn_groups"):
    matrix = sparse.csc_matrix(adata.obsm[key])
    return [set(matrix.indices[low:high]) for low, high in zip(matrix.indptr[:-1], matrix.indptr[1:], strict=True)]


@pytest.mark.parametrize("metric", ["euclidean", "cosine"])
def test_every_cell_gets_its_nearest(cells, metric):
    sca.pp.knn_groups(cells, n_neighbors=20, metric=metric)
    points = cells.obsm["X_lsi"]
    points = points / np.linalg.norm(points, axis=1, keepdims=True) if metric == "cosine" else points
    assert members(cells) == [brute_force(points, i, 20) for i in range(300)]
    assert cells.uns["knn_groups"]["groups"].tolist() == cells.obs_names.tolist()


def test_random_centres_are_seeded(cells):
    for key, seed in (("a", 1), ("b", 1), ("c", 2)):
        sca.pp.knn_groups(cells, n_neighbors=10, centers="random", n_groups=15, seed=seed, key_added=key)
    assert members(cells, "a") == members(cells, "b") != members(cells, "c")
    centers = cells.uns["a"]["centers"]
    assert members(cells, "a") == [brute_force(cells.obsm["X_lsi"], i, 10) for i in centers]


def test_given_centres_by_name_position_or_mask(cells):
    mask = np.zeros(300, bool)
    mask[[4, 9]] = True
    for key, centers in (("names", ["cell4", "cell9"]), ("positions", [4, 9]), ("mask", mask)):
        sca.pp.knn_groups(cells, n_neighbors=10, centers=centers, key_added=key)
        assert cells.uns[key]["groups"].tolist() == ["cell4", "cell9"]
        assert members(cells, key) == [brute_force(cells.obsm["X_lsi"], i, 10) for i in (4, 9)]


def test_farthest_centres_lie_farther_apart_than_random_ones(cells):
    spread = {}
    for centers in ("farthest", "random"):
        sca.pp.knn_groups(cells, n_neighbors=10, centers=centers, n_groups=20, key_added=centers)
        points = cells.obsm["X_lsi"][cells.uns[centers]["centers"]]
        apart = np.linalg.norm(points[:, None] - points[None], axis=2)
        spread[centers] = apart[~np.eye(20, dtype=bool)].min()
    assert spread["farthest"] > 2 * spread["random"]
    effective = {key: cells.uns[key]["overlap"]["effective_groups"] for key in spread}
    assert effective["farthest"] > effective["random"]


@pytest.mark.parametrize("centers", ["all", "random", "farthest"])
def test_groups_without_shared_cells(cells, centers):
    sca.pp.knn_groups(cells, n_neighbors=25, centers=centers, n_groups=8, shared_cells=False)
    groups = members(cells)
    assert [len(group) for group in groups] == [25] * 8
    assert len(set().union(*groups)) == 200
    overlap = cells.uns["knn_groups"]["overlap"]
    assert overlap["effective_groups"] == pytest.approx(8)
    assert overlap["mean_shared"] == 0


def test_given_centres_take_the_nearest_cells_left_in_turn(cells):
    centers = ["cell9", "cell2", "cell77"]
    sca.pp.knn_groups(cells, n_neighbors=40, centers=centers, shared_cells=False, exclude=["cell0"])
    assert cells.uns["knn_groups"]["groups"].tolist() == centers
    points, left, expected = cells.obsm["X_lsi"], set(range(1, 300)), []
    for center in (9, 2, 77):
        nearest = sorted(left, key=lambda cell: np.linalg.norm(points[cell] - points[center]))
        expected.append(set(nearest[:40]))
        left -= expected[-1]
    assert members(cells) == expected


def test_fewer_separate_groups_than_wanted_are_said(cells):
    with pytest.warns(UserWarning, match="300 cells give 6 groups of 50"):
        sca.pp.knn_groups(cells, n_neighbors=50, centers="farthest", n_groups=10, shared_cells=False)


def test_excluded_cells_are_in_no_group(cells):
    sca.pp.knn_groups(cells, n_neighbors=30, centers=["cell0"], key_added="target")
    out = members(cells, "target")[0]
    names = cells.obs_names[sorted(out)].tolist()
    cells.obs["is_target"] = cells.obs_names.isin(names)
    cells.obs["nullable"] = cells.obs["is_target"].astype("boolean")
    for exclude in ("target", names, "is_target", cells.obs["is_target"], "nullable", cells.obs["nullable"]):
        sca.pp.knn_groups(cells, n_neighbors=30, centers="random", n_groups=50, exclude=exclude)
        assert not set().union(*members(cells)) & out
        assert cells.uns["knn_groups"]["params"]["n_excluded"] == 30


def test_cells_that_may_be_excluded_or_not_are_refused(cells):
    cells.obs["is_target"] = pd.array([None, True] * 150, dtype="boolean")
    with pytest.raises(ValueError, match="neither True nor False for 150 cells"):
        sca.pp.knn_groups(cells, n_neighbors=30, centers="random", n_groups=50, exclude="is_target")


def test_overlap_is_reported_as_counted_by_hand(cells):
    sca.pp.knn_groups(cells, n_neighbors=10, centers="random", n_groups=25)
    groups, overlap = members(cells), cells.uns["knn_groups"]["overlap"]
    shared = [len(a & b) / 10 for a in groups for b in groups if a is not b]
    assert overlap["mean_shared"] == pytest.approx(np.mean(shared))
    per_cell = np.array([sum(i in group for group in groups) for i in range(300)])
    assert overlap["groups_per_cell"] == pytest.approx(per_cell[per_cell > 0].mean())
    assert overlap["max_groups_per_cell"] == per_cell.max()
    assert overlap["cells_used"] == (per_cell > 0).sum()
    assert overlap["effective_groups"] == pytest.approx(25**2 * 10 / (per_cell**2).sum())


@pytest.mark.slow  # the search is compiled first
def test_approximate_neighbours_are_nearly_the_exact_ones():
    rng = np.random.default_rng(0)
    adata = ad.AnnData(obsm={"X_lsi": rng.standard_normal((2_000, 6))})
    for method in ("exact", "approximate"):
        sca.pp.knn_groups(adata, n_neighbors=30, method=method, key_added=method, n_jobs=1)
    exact, approximate = members(adata, "exact"), members(adata, "approximate")
    found = np.mean([len(a & b) / 30 for a, b in zip(exact, approximate, strict=True)])
    assert found > 0.95
    assert all(i in group for i, group in enumerate(approximate))


def test_groups_survive_h5ad_and_serve_as_groupby(cells, tmp_path):
    path = tmp_path / "fragments.tsv"
    path.write_text("".join(f"chr1\t{i}\t{i + 50}\tcell{i}\t1\n" for i in range(300)))
    cells.uns["files"] = {"fragments": str(path)}
    cells.uns["reference_sequences"] = sca.Genome({"chr1": 1_000}).to_frame()
    sca.pp.knn_groups(cells, n_neighbors=10, centers="random", n_groups=5)
    cells.write_h5ad(tmp_path / "cells.h5ad")
    back = ad.read_h5ad(tmp_path / "cells.h5ad")
    sca.pp.pseudobulk(back, "knn_groups", progress=False)
    assert sca.get.tracks(back).groups.tolist() == cells.uns["knn_groups"]["groups"].tolist()
    for name, group in zip(back.uns["knn_groups"]["groups"], members(cells), strict=True):
        starts = sca.get.tracks(back).runs(name, "chr1")[0]
        assert set(starts) == set(group) | {i + 49 for i in group}


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        ({"n_neighbors": 301}, ValueError, "n_neighbors is 301; expected a whole number from 1 to 300"),
        ({"use_rep": "X_pca"}, KeyError, "no embedding .obsm\\['X_pca'\\]; there are \\['X_lsi'\\]"),
        ({"centers": "random"}, ValueError, "needs n_groups"),
        ({"centers": "best"}, ValueError, "expected 'all', 'random', 'farthest'"),
        ({"centers": ["cell1", "nobody"]}, KeyError, "1 of 2 cells are not in the AnnData, such as 'nobody'"),
        ({"centers": ["cell1", "cell1"]}, ValueError, "repeated"),
        ({"centers": np.zeros(300, bool)}, ValueError, "centers names no cell"),
        ({"centers": [], "shared_cells": False}, ValueError, "centers names no cell"),
        ({"centers": ["cell1"], "exclude": ["cell1"]}, ValueError, "excluded"),
        ({"exclude": "NK"}, KeyError, "exclude='NK' is neither"),
        ({"exclude": np.arange(250) < 5}, ValueError, "mask of 250 cells was given for 300"),
        ({"centers": np.arange(400) < 5}, ValueError, "mask of 400 cells was given for 300"),
        ({"metric": "hamming"}, ValueError, "'euclidean' or 'cosine'"),
    ],
)
def test_wrong_arguments_are_named(cells, arguments, error, message):
    with pytest.raises(error, match=message):
        sca.pp.knn_groups(cells, **arguments)


def test_an_embedding_with_missing_values_is_refused(cells):
    cells.obsm["X_lsi"][7, 2] = np.nan
    with pytest.raises(ValueError, match="not finite in 1 cells"):
        sca.pp.knn_groups(cells, n_neighbors=5)


def test_no_more_threads_are_asked_for_than_numba_has(cells, monkeypatch):
    class Search:  # instead of pynndescent's, which takes a minute to compile
        def __init__(self, points, *, n_neighbors, n_jobs, **_):
            asked.append(n_jobs)
            self.neighbor_graph = (np.argsort(((points[:, None] - points) ** 2).sum(2), axis=1)[:, :n_neighbors],)

    asked = []
    monkeypatch.setattr("pynndescent.NNDescent", Search)
    for n_jobs in (1, 64):
        sca.pp.knn_groups(cells, n_neighbors=10, method="approximate", n_jobs=n_jobs, key_added=f"with {n_jobs}")
    assert asked == [1, min(64, NUMBA_NUM_THREADS)]
    assert members(cells, "with 64") == members(cells, "with 1")


def test_cells_may_be_a_set(cells):
    sca.pp.knn_groups(cells, n_neighbors=10, exclude=set(cells.obs_names[:50]))
    assert cells.obsm["knn_groups"][:50].nnz == 0


@pytest.mark.parametrize("centers", ["all", ["cell3", "cell5"]])
def test_a_number_of_groups_that_the_centres_contradict_is_refused(cells, centers):
    with pytest.raises(ValueError, match="n_groups=20, but .*; give n_groups with centers='random' or 'farthest'"):
        sca.pp.knn_groups(cells, n_neighbors=10, centers=centers, n_groups=20)
    sca.pp.knn_groups(cells, n_neighbors=10, centers="all", n_groups=20, shared_cells=False)
    assert cells.obsm["knn_groups"].shape == (300, 20)


@pytest.mark.parametrize("number", [None, 5, 0.5])
def test_centers_are_no_number_of_groups(cells, number):
    with pytest.raises(TypeError, match=r"centers is .*; expected .*how many: n_groups="):
        sca.pp.knn_groups(cells, n_neighbors=10, centers=number)
