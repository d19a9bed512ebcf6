"""Depths that a user states."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

import scatacworks as sca
from scatacworks._depth import depths, given_depths, nuclear_sums

SITES = sca.Tracks.from_chromosomes(
    ["a", "2", "empty"],
    sca.Genome({"chr1": 100, "chrM": 50}),
    [
        (chrom, [(np.array(starts, np.int32), None, np.full(len(starts), 3, np.uint16)) for starts in positions])
        for chrom, positions in {"chr1": [[1, 2], [5], []], "chrM": [[7], [7, 8], []]}.items()
    ],
)


@pytest.mark.parametrize(
    "given",
    [
        [1e6, 2e6, 0],
        (1_000_000, np.float32(2e6), 0.0),
        np.array([1e6, 2e6, 0]),
        {"empty": 0, 2: 2e6, "a": 1e6, "another": -1},
        pd.Series([2e6, 1e6, 0], index=["2", "a", "empty"]),
    ],
)
def test_depths_are_stated_by_name_or_in_order(given):
    assert given_depths(given, SITES).tolist() == [1e6, 2e6, 0]


def test_one_depth_is_that_of_all_groups():
    assert given_depths(5, SITES).tolist() == [5.0, 5.0, 5.0]


@pytest.mark.parametrize(
    ("given", "error", "told"),
    [
        ([1e6, 2e6], ValueError, "depth has 2 entries; expected one number, or one for each of the 3 groups"),
        ({"a": 1, "empty": 1}, KeyError, r"depth has no entry for the group\(s\) '2'"),
        ([1, 0, 0], ValueError, "depth of the group '2' is 0; expected a positive number"),
        ([1, 1, -1], ValueError, "depth of the group 'empty' is -1; expected"),
        ([1, np.nan, 0], ValueError, "depth of the group '2' is nan; expected"),
        ([np.inf, 1, 1], ValueError, "depth of the group 'a' is inf; expected"),
        ([1, "many", 1], TypeError, "depth of the group '2' is 'many'"),
    ],
)
def test_what_is_no_depth_is_told_with_its_group(given, error, told):
    with pytest.raises(error, match=told):
        given_depths(given, SITES)


def test_mitochondria_do_not_count():
    assert nuclear_sums(SITES).tolist() == [6, 3, 0]


def test_a_genome_of_organelles_alone_has_no_depth():
    cells = sca.datasets.toy(n_cells=12)
    cells.uns["reference_sequences"]["reference_seq_nuclear"] = False
    sca.pp.pseudobulk(cells, "group", progress=False)
    told = r"All chromosomes of '.*' are mitochondria or plastids, by which depth is not measured \(chr1, .*organelles="
    with pytest.raises(ValueError, match=told):
        depths(cells)
    with pytest.raises(ValueError, match=told):
        sca.tl.background(cells, key="group", progress=False)
