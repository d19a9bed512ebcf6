"""A result replaces an earlier one of its kind, and nothing else."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

import scatacworks as sca

QUIET = {"progress": False}


@pytest.fixture
def adata():
    adata = sca.datasets.toy(n_cells=30)
    adata.obsm["X_pca"] = np.random.default_rng(0).random((30, 3))
    sca.pp.pseudobulk(adata, "group", **QUIET)
    adata.uns["peaks"] = pd.DataFrame({"chrom": ["chr1"], "start": [1], "end": [2], "max": [3.0]})
    return adata


CALLS = {
    "pp.pseudobulk": lambda a, key: sca.pp.pseudobulk(a, "group", key_added=key, **QUIET),
    "pp.qc_metrics": lambda a, key: sca.pp.qc_metrics(a, key_added=key, **QUIET),
    "pp.knn_groups": lambda a, key: sca.pp.knn_groups(a, use_rep="X_pca", n_neighbors=5, key_added=key),
    "pp.subsample of cells": lambda a, key: sca.pp.subsample(a, n_cells=5, key_added=key),
    "pp.subsample of fragments": lambda a, key: sca.pp.subsample(a, fraction=0.5, key_added=key),
    "tl.denoise": lambda a, key: sca.tl.denoise(a, regions="chr1:20,000-21,000", groups="A", key_added=key, **QUIET),
    "tl.call_peaks": lambda a, key: sca.tl.call_peaks(a, threshold=0, layer="cut_sites", key_added=key),
    "tl.background": lambda a, key: sca.tl.background(a, key="group", key_added=key, **QUIET),
    "tl.differential_regions": lambda a, key: sca.tl.differential_regions(a, "A", key_added=key, **QUIET),
}
TAKEN = dict.fromkeys(CALLS, "pseudobulk") | {"pp.pseudobulk": "peaks", "pp.subsample of fragments": "peaks"}


@pytest.mark.parametrize("call", CALLS)
def test_a_key_that_holds_something_else_is_refused(adata, call):
    key = TAKEN[call]
    kept = adata.uns[key]
    with pytest.raises(ValueError, match=rf"\.uns\['{key}'\] holds something else .* key_added"):
        CALLS[call](adata, key)
    assert adata.uns[key] is kept
    with pytest.raises(TypeError, match="key_added is 5"):
        CALLS[call](adata, 5)


@pytest.mark.filterwarnings("ignore:No gene table")
@pytest.mark.parametrize("call", ["pp.pseudobulk", "pp.qc_metrics", "pp.knn_groups", *list(CALLS)[3:6]])
def test_the_same_step_again_replaces_its_result(adata, call):
    for _ in range(2):
        CALLS[call](adata, "mine")
    assert "mine" in adata.uns


@pytest.mark.parametrize("call", ["pp.knn_groups", "pp.subsample of cells"])
def test_groups_do_not_replace_an_embedding(adata, call):
    with pytest.raises(ValueError, match=r"del adata\.obsm\['X_pca'\]"):
        CALLS[call](adata, "X_pca")
    assert adata.obsm["X_pca"].shape == (30, 3)
