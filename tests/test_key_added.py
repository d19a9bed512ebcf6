"""A result replaces an earlier one of its kind, and nothing else."""

from __future__ import annotations

import anndata as ad
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


GENES = pd.DataFrame({"chrom": "chr1", "start": [20_000, 50_000], "end": [29_000, 59_000], "name": ["G1", "G2"]})
GENES["strand"] = "+"


@pytest.fixture
def matrix():
    """Cells (or samples) x peaks, with what each of the functions below needs."""
    rng = np.random.default_rng(0)
    var = pd.DataFrame({"chrom": "chr1", "start": np.arange(100) * 1_000})
    var["end"], var["summit"] = var["start"] + 200, var["start"] + 100
    var["sequence"] = ["".join(rng.choice(list("ACGT"), 40)) for _ in range(100)]
    var.index = [f"chr1:{start}-{start + 200}" for start in var["start"]]
    obs = pd.DataFrame({"kind": ["a", "b"] * 15}, index=[f"s{i}" for i in range(30)])
    data = ad.AnnData(rng.poisson(0.5, (30, 100)).astype(np.float32), obs=obs, var=var)
    data.varm["sets"] = pd.DataFrame(rng.random((100, 2)) < 0.2, index=data.var_names, columns=["x", "y"])
    sca.tl.vocabulary(data, n_components=2, **QUIET)
    sca.tl.gene_components(data, genes=GENES)
    sca.tl.motif_deviations(data, annotations="sets", bias=None, **QUIET)
    sca.tl.motif_enrichment(data, motifs=[sca.io.Motif("m", np.eye(4), factors=("G1",))], p_value=0.01, **QUIET)
    data.uns["peaks"] = pd.DataFrame({"chrom": ["chr1"], "start": [1], "end": [2], "max": [3.0]})
    return data


BULK = pd.DataFrame(
    np.random.default_rng(1).random((100, 4)), index=[f"chr1:{at}-{at + 200}" for at in range(0, 100_000, 1_000)]
)
BLOCKS = pd.DataFrame({"CHR": 1, "BP": np.arange(101, 90_000, 1_000), "P": 1e-9})
VARIANTS = {"t": pd.DataFrame({"chrom": "chr1", "start": [50, 1_050], "end": [51, 1_051], "posterior": 0.5})}
ON_MATRIX = {
    "pp.lsi": lambda a, **to: sca.pp.lsi(a, n_components=3, max_depth_correlation=None, **to),
    "tl.project_bulk": lambda a, **to: sca.tl.project_bulk(a, BULK, **to),
    "tl.motif_deviations": lambda a, **to: sca.tl.motif_deviations(a, annotations="sets", bias=None, **QUIET, **to),
    "tl.motif_variability": lambda a, **to: sca.tl.motif_variability(a, n_bootstrap=5, **to),
    "tl.trait_scores": lambda a, **to: sca.tl.trait_scores(a, variants=VARIANTS, bias=None, **QUIET, **to),
    "tl.saturation": sca.tl.saturation,
    "tl.vocabulary_scan": lambda a, **to: sca.tl.vocabulary_scan(a, n_components=[1, 2], **QUIET, **to),
    "tl.top_samples": sca.tl.top_samples,
    "tl.label_components": lambda a, **to: sca.tl.label_components(a, keys="kind", **to),
    "tl.gene_components": lambda a, **to: sca.tl.gene_components(a, genes=GENES, **to),
    "tl.gene_set_components": lambda a, **to: sca.tl.gene_set_components(
        a, gene_sets={"set": ["G1", "G2"]}, min_genes=1, **to
    ),
    "tl.motif_enrichment": lambda a, **to: sca.tl.motif_enrichment(a, **QUIET, **to),
    "tl.tf_elements": lambda a, **to: sca.tl.tf_elements(a, exclusive=False, **to),
    "tl.component_clustering": lambda a, **to: sca.tl.component_clustering(a, n_permutations=5, **to),
    "tl.trait_enrichment": lambda a, **to: sca.tl.trait_enrichment(a, sumstats={"t": BLOCKS}, ld_blocks=1_000, **to),
}


@pytest.mark.parametrize("call", ON_MATRIX)
def test_functions_on_peaks_refuse_another_ones_result_and_replace_their_own(matrix, call):
    run, before = ON_MATRIX[call], set(matrix.uns)
    run(matrix)  # under the default name, which is another result for all other functions
    (mine,) = (set(matrix.uns) - before) or {call.removeprefix("tl.")}
    for key in {"peaks", "gene_components", "motif_enrichment", "motif_deviations"} - {mine}:
        kept = matrix.uns[key]
        with pytest.raises(ValueError, match=rf"\.uns\['{key}'\] holds something else .* key_added"):
            run(matrix, key_added=key)
        assert matrix.uns[key] is kept
    for _ in range(2):
        run(matrix)
        run(matrix, key_added="mine")
    made = matrix.uns["mine"]
    if "params" in made:
        assert made["params"]["version"] == sca.__version__


def test_gene_scores_do_not_replace_groups_or_an_embedding(adata):
    for key in ("pseudobulk", "X_pca"):
        with pytest.raises(ValueError, match="holds something else .* key_added"):
            sca.tl.gene_scores(adata, genes=GENES, key_added=key, **QUIET)
    for _ in range(2):
        sca.tl.gene_scores(adata, genes=GENES, **QUIET)
    assert set(adata.obsm) >= {"X_pca", "gene_scores"}
