"""Numeric clusters: a number, or a single name, is always a name and never a position or a list of letters."""

from __future__ import annotations

import warnings

import anndata as ad
import numpy as np
import pandas as pd
import pytest
from scipy import sparse

import scatacworks as sca
from scatacworks import _membership
from scatacworks._groups import group_name, group_names, named
from scatacworks.io._barcode_files import cell_table
from scatacworks.tl._differential._target import target_cells


@pytest.fixture(scope="module")
def clusters():
    """Clusters 10, 2, 1, 0: no name is its own position, and "10" is made of two other names."""
    adata = sca.datasets.toy(n_cells=40)
    names = ["10", "2", "1", "0"]
    adata.obs["leiden"] = pd.Categorical([names[i % 4] for i in range(adata.n_obs)], categories=names)
    sca.pp.pseudobulk(adata, "leiden", progress=False)
    sites = sca.get.tracks(adata)
    steps = {"indptr": sites.indptr, "starts": sites.starts, "lengths": np.ones_like(sites.starts)}
    steps = sca.Tracks(sites.groups, sites.genome, values=sites.values.astype(np.float32), **steps).to_dict()
    adata.uns["denoised"] = {"signal": steps, "probability": steps, "params": {}}
    sca.tl.call_peaks(adata, threshold=0.5, min_length=1)
    return adata


@pytest.mark.parametrize(
    ("given", "names"),
    [
        ("10", ["10"]),
        (10, ["10"]),
        (10.0, ["10"]),
        (np.float32(0.5), ["0.5"]),
        ([10, "2"], ["10", "2"]),
        (pd.Index([1, 0]), ["1", "0"]),
        (np.array("B"), ["B"]),
        (np.array(10.0), ["10"]),
        (np.array(["B", "T"]), ["B", "T"]),
        (pd.Categorical(["B", "T"]), ["B", "T"]),
        (pd.Series([10.0, 2.0], index=["x", "y"]), ["10", "2"]),
        (("a b",), ["a b"]),
        ({"a b"}, ["a b"]),
        ({1: "a", 0: "b"}.keys(), ["1", "0"]),
    ],
)
def test_names_are_taken_as_they_are(given, names):
    assert group_names(given) == names


def test_an_empty_selection_is_refused(clusters, tmp_path):
    adata = clusters.copy()
    with pytest.raises(ValueError, match="groups is empty"):
        sca.pp.pseudobulk(adata, "leiden", groups=[], progress=False)
    with pytest.raises(ValueError, match="groups is empty"):
        sca.tl.denoise(adata, groups=np.array([]), progress=False)
    with pytest.raises(ValueError, match="groups is empty"):
        sca.tl.call_peaks(adata, groups=pd.Index([]))
    with pytest.raises(ValueError, match="groups is empty"):
        sca.get.peaks(adata, [])
    with pytest.raises(ValueError, match="groups is empty"):
        sca.pl.peaks(adata, groups=[])
    for write in (sca.io.write_bigwig, sca.io.write_hub, sca.io.write_peaks):
        with pytest.raises(ValueError, match="groups is empty"):
            write(adata, tmp_path / "out", groups=[])
    assert not any(tmp_path.iterdir())
    assert sca.get.tracks(adata, key="denoised").groups.tolist() == ["10", "2", "1", "0"]  # as before


def test_one_group_is_no_list(clusters):
    for call in (sca.tl.differential_regions, sca.get.track):
        with pytest.raises(TypeError, match="'10'. is no name of a group; expected a text or a number"):
            call(clusters, ["10"], **({} if call is sca.tl.differential_regions else {"region": "chr1:1-10"}))


def test_a_group_named_twice_is_refused(clusters):
    for call in (sca.tl.call_peaks, sca.pl.peaks):
        with pytest.raises(ValueError, match="groups names '10' more than once"):
            call(clusters, groups=["10", "2", 10])


@pytest.mark.parametrize("given", ["10", 10, ["10"], [10], np.array(["10"]), pd.Categorical(["10"]), pd.Index([10])])
def test_every_function_takes_a_cluster_by_its_name(clusters, tmp_path, given):
    adata = clusters.copy()
    whole = sca.get.tracks(adata)
    own = dict(zip(whole.groups, whole.sums(), strict=True))["10"]

    assert whole.select(given).groups.tolist() == ["10"]
    assert whole.select(given).sums().tolist() == [own]
    assert whole.sum_groups(given).sums().tolist() == [own]
    sca.pp.pseudobulk(adata, "leiden", groups=given, key_added="one", progress=False)
    assert sca.get.tracks(adata, key="one").sums().tolist() == [own]
    sca.tl.call_peaks(adata, groups=given, threshold=0.5, min_length=1, key_added="one_peaks")
    expected = sca.get.peaks(adata, "10").reset_index(drop=True)
    assert len(expected) > 0
    for found in (adata.uns["one_peaks"], sca.get.peaks(adata, given)):
        pd.testing.assert_frame_equal(found.astype({"group": str}), expected.astype({"group": str}))
    assert list(sca.io.write_bigwig(adata, tmp_path, key="pseudobulk", groups=given, progress=False)) == ["10"]
    files = sca.io.write_peaks(adata, tmp_path / "peaks.bed", groups=given)
    assert len(files["10"].read_text().splitlines()) == len(expected)


def test_a_number_is_a_name_in_get_track(clusters):
    region = ("chr1", 0, 100_000)
    by_name = sca.get.track(clusters, "2", region)
    assert (sca.get.track(clusters, 2, region) == by_name).all()
    assert (sca.get.track(clusters, "1", region) != by_name).any()  # the group at position 2


def test_peaks_of_numeric_groups_are_written(tmp_path):
    peaks = pd.DataFrame({"group": [0, 10, 10], "chrom": "chr1", "start": [1, 5, 9], "end": [4, 8, 12]})
    files = sca.io.write_peaks(peaks, tmp_path / "folder", format="bed")
    assert {name: len(path.read_text().splitlines()) for name, path in files.items()} == {"0": 1, "10": 2}


def test_clusters_that_missing_values_made_floats_keep_their_names(clusters):
    adata = clusters.copy()
    adata.obs["cluster"] = [np.nan, 10.0, 2.0, 2.0] * 10
    with pytest.warns(UserWarning, match="10 of 40 cells have no value"):
        sca.pp.pseudobulk(adata, "cluster", progress=False)
    assert sca.get.tracks(adata).groups.tolist() == ["2", "10"]
    for value in adata.obs["cluster"].dropna().unique():
        assert sca.get.track(adata, value, ("chr1", 0, 100_000)).sum() > 0
    adata.uns["denoised"] = {"params": {"key": "pseudobulk"}}
    cells = target_cells(adata, "denoised", "2")
    np.testing.assert_array_equal(cells, adata.obs["cluster"] == 2)


def test_measurements_are_no_groups(clusters):
    adata = clusters.copy()
    adata.obs["score"] = np.linspace(0, 1, adata.n_obs)
    with pytest.raises(ValueError, match=r"\.obs\['score'\] is a measurement, with values such as 0\.02564"):
        sca.pp.pseudobulk(adata, "score", progress=False)


N_CELLS = 300
COUNTS = 1_000 + np.random.default_rng(0).permutation(5_000)[:N_CELLS]
GROUPINGS = {
    "leiden as numbers": np.arange(N_CELLS) % 30,
    "leiden with a missing value": np.where(np.arange(N_CELLS) == 7, np.nan, np.arange(N_CELLS) % 30),
    "nullable": pd.array(np.arange(N_CELLS) % 30, "Int64"),
    "5 cells each": np.arange(N_CELLS) // 5,
    "few numbers, far apart": 10_000 * (np.arange(N_CELLS) % 8),
    "bool": np.arange(N_CELLS) % 2 == 0,
    "strings": [f"cell {i}" for i in range(N_CELLS)],
    "a cell each": pd.Categorical(np.arange(N_CELLS)),
    "categories of counts": pd.Categorical(COUNTS),
    "categories of fractions": pd.Categorical(COUNTS / 7),
}
MEASUREMENTS = {
    "counts": (COUNTS, "with 300 values in 300 rows, such as [0-9]+;"),
    "counts stored as floats": (COUNTS.astype(float), "with 300 values in 300 rows, such as [0-9]+;"),
    "counts with a missing value": (np.where(np.arange(N_CELLS) == 7, np.nan, COUNTS), "with 299 values in 299 rows"),
    "nullable": (pd.array(COUNTS, "Int64"), "with 300 values in 300 rows"),
    "some cells alike": (COUNTS // 15, r"with \d+ values in 300 rows"),
    "fractions": (COUNTS / 7, "with values such as [0-9.]+;"),
}


def cells_with(column):
    return ad.AnnData(obs=pd.DataFrame({"x": column}, index=[f"cell {i}" for i in range(N_CELLS)]))


@pytest.mark.filterwarnings("ignore:1 of 300 cells have no value")
@pytest.mark.parametrize("kind", GROUPINGS)
def test_groups_in_every_type_are_accepted(kind):
    column = pd.Series(GROUPINGS[kind])
    found = _membership.resolve_groups(cells_with(GROUPINGS[kind]), "x")
    assert found.n_cells.sum() == column.notna().sum()
    assert sorted(found.n_cells) == sorted(column.value_counts())


@pytest.mark.parametrize("kind", MEASUREMENTS)
def test_whole_numbers_that_measure_cells_are_refused_with_a_way_out(kind):
    column, told = MEASUREMENTS[kind]
    adata = cells_with(column)
    with pytest.raises(ValueError, match=rf"\.obs\['x'\] (is|looks like) a measurement, {told}.*astype\('category'\)"):
        _membership.resolve_groups(adata, "x")
    adata.obs["x"] = adata.obs["x"].astype("category")
    assert len(_membership.resolve_groups(adata, "x", tell_missing=False).groups) == pd.Series(column).nunique()


def test_stored_zeros_of_a_membership_make_no_members_and_stay_stored():
    adata = ad.AnnData(obs=pd.DataFrame(index=["a", "b"]))
    stored = np.array([1.0, 0, 2]), np.array([0, 1, 1]), np.array([0, 2, 3])
    adata.obsm["sets"] = sparse.csr_matrix(tuple(part.copy() for part in stored), shape=(2, 2))
    assert _membership.resolve_groups(adata, "sets").matrix.toarray().tolist() == [[True, False], [False, True]]
    kept = adata.obsm["sets"]
    for part, before in zip((kept.data, kept.indices, kept.indptr), stored, strict=True):
        assert part.tolist() == before.tolist()


@pytest.mark.parametrize(
    ("one", "told"),
    [
        ([True, False], None),
        (np.array([2, 0], np.int8), None),
        (pd.array([True, False], "boolean"), None),
        (pd.array([1, 0], "Int64"), None),
        (pd.array([True, None], "boolean"), "has entries that are not finite"),
        (["yes", "no"], "has columns that are no numbers"),
    ],
)
def test_columns_of_a_membership_are_numbers_of_any_types(one, told):
    adata = ad.AnnData(obs=pd.DataFrame(index=["a", "b"]))
    adata.obsm["sets"] = pd.DataFrame({"one": one, "two": [0.5, 1.0]}, index=adata.obs_names)
    if told is None:
        found = _membership.resolve_groups(adata, "sets")
        assert found.groups.tolist() == ["one", "two"]
        assert found.matrix.toarray().tolist() == [[True, True], [False, True]]
        return
    with pytest.raises(ValueError, match=rf"obsm\['sets'\] {told}; expected a membership"):
        _membership.resolve_groups(adata, "sets")


def test_where_groups_came_from_is_told_by_their_slot_or_that_it_was_made_from():
    adata = cells_with(np.arange(N_CELLS) % 2)
    adata.uns |= {
        "counted": {"params": {"groupby": "x"}},
        "denoised": {"params": {"key": "counted"}},
        "thinned": {"params": {"key": "counted", "groupby": "y"}},
        "cells": {"params": {"groupby": None}},
        "own": {"params": {"key": "own"}},
        "table": pd.DataFrame({"chrom": ["chr1"]}),
        "number": 3,
    }
    expected = {"counted": "x", "denoised": "x", "thinned": "y"}
    for key in (*adata.uns, "nothing"):
        assert _membership.groupby_of(adata, key) == expected.get(key, "")
    assert _membership.has_groups(adata, "x")
    assert not _membership.has_groups(adata, "")


def test_cells_of_an_object_are_taken_as_barcodes(clusters):
    table = cell_table(clusters)
    assert table.index.tolist() == clusters.obs_names.tolist()
    assert table["leiden"].tolist() == clusters.obs["leiden"].tolist()


def test_only_what_the_pseudobulk_told_already_is_not_told_again(clusters, monkeypatch):
    cells = clusters.copy()
    cells.obs.loc[cells.obs_names[:3], "leiden"] = np.nan
    cells.uns["denoised"]["params"] = {"key": "pseudobulk"}

    with warnings.catch_warnings():
        warnings.simplefilter("error")
        target_cells(cells, "denoised", "2")
    names = _membership.group_names
    monkeypatch.setattr(
        _membership, "group_names", lambda *args: (warnings.warn("another", stacklevel=2), names(*args))[1]
    )
    with pytest.warns(UserWarning, match="another"):
        target_cells(cells, "denoised", "2")


def test_groups_of_text_are_in_the_order_in_which_anndata_writes_them(tmp_path):
    cells = ad.AnnData(obs=pd.DataFrame({"type": ["CD14+", "10", "CD4 b", "2", "CD4 a", "B"]}, index=list("abcdef")))
    before = _membership.resolve_groups(cells, "type").groups.tolist()
    cells.write_h5ad(tmp_path / "cells.h5ad")
    assert before == _membership.resolve_groups(ad.read_h5ad(tmp_path / "cells.h5ad"), "type").groups.tolist()
    assert before == ["2", "10", "B", "CD4 a", "CD4 b", "CD14+"]


@pytest.mark.parametrize(
    "values",
    [["B", "NK", "B"], [1, 2, 1], [1.0, np.nan, 2.0], ["10", 10, 10.0, np.nan], [0.5, 0.5], []],
)
def test_a_column_is_named_as_its_values_are(values):
    for column in (pd.Series(values, dtype=object), pd.Series(values), pd.Series(values).astype("category")):
        column.index = column.index + 5
        found = named(column)
        assert found.tolist() == [group_name(value) for value in column]
        assert found.index.equals(column.index)
