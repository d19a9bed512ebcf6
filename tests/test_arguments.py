"""Whole numbers: every integer type and whole floats are taken, anything else is refused by name."""

from __future__ import annotations

import anndata as ad
import numpy as np
import pandas as pd
import pytest

import scatacworks as sca
from scatacworks import _threads
from scatacworks._arguments import flag, one_of, real, share, whole

NOT_WHOLE = [4.5, np.nan, np.inf, "4", True, np.True_, np.float32(4.5), None, [4], np.array([4, 5])]


@pytest.mark.parametrize("value", [4, np.int8(4), np.uint64(4), np.array(4), 4.0, np.float32(4)], ids=repr)
def test_whole_numbers_of_every_type_are_taken_as_an_int(value):
    assert type(whole(value, "n", least=4, most=4)) is int


@pytest.mark.parametrize("value", NOT_WHOLE, ids=repr)
def test_what_is_no_whole_number_is_refused(value):
    with pytest.raises(TypeError, match=r"^n is .* \(\w+\); expected a whole number of 1 or more\.$"):
        whole(value, "n")


@pytest.mark.parametrize(
    ("value", "bounds", "expected"),
    [
        (0, {}, "n is 0; expected a whole number of 1 or more."),
        (-1, {"least": 0}, "n is -1; expected a whole number of 0 or more."),
        (
            7,
            {"most": 6, "of": "the number of cells"},
            "n is 7; expected a whole number from 1 to 6, the number of cells.",
        ),
    ],
)
def test_numbers_out_of_range_are_refused(value, bounds, expected):
    with pytest.raises(ValueError, match="whole number") as caught:
        whole(value, "n", **bounds)
    assert str(caught.value) == expected


@pytest.mark.parametrize("value", ["d", None, 1, ["a"], np.array(["a", "b"])], ids=repr)
def test_what_is_no_choice_is_refused(value):
    with pytest.raises(ValueError, match=r"^kind=.* is unknown; expected 'a', 'b' or 'c'\.$"):
        one_of(value, "kind", ("a", "b", "c"))
    assert one_of("b", "kind", {"a": 1, "b": 2}) == "b"
    assert one_of(None, "kind", ("a", None)) is None


def make_index():
    index = ad.AnnData(np.kron(np.eye(3, dtype=np.float32), np.ones((2, 4), np.float32)))
    index.obsm["X_lsi"] = np.random.default_rng(0).random((6, 3)).astype(np.float32)
    index.obs["kind"] = list("aabbcc")
    index.var["component"] = list("aaabbbaaabbb")
    index.var[["chrom", "start", "end"]] = [["chr1", 1000 * i, 1000 * i + 200] for i in range(12)]
    index.obsm["X_vocabulary"] = np.random.default_rng(1).random((6, 2))
    index.obsm["motif_deviations_z"] = pd.DataFrame({"GATA1": np.arange(6.0)}, index=index.obs_names)
    index.varm["motif_matches"] = pd.DataFrame({"GATA1": np.arange(12) < 6}, index=index.var_names)
    index.uns["gene_components"] = {"params": {"downstream": 0}, "genes": pd.DataFrame()}
    return index


CALLS = {
    "tl.vocabulary n_components": lambda x, n: sca.tl.vocabulary(x, n_components=n, progress=False),
    "tl.vocabulary max_iter": lambda x, n: sca.tl.vocabulary(x, n_components=2, max_iter=n, progress=False),
    "tl.vocabulary_scan n_components": lambda x, n: sca.tl.vocabulary_scan(x, n_components=[2, n], progress=False),
    "tl.top_samples n": lambda x, n: sca.tl.top_samples(x, n=n),
    "tl.saturation n_subsets": lambda x, n: sca.tl.saturation(x, n_subsets=n),
    "tl.label_components max_categories": lambda x, n: sca.tl.label_components(x, keys="kind", max_categories=n),
    "tl.smooth n_neighbors": lambda x, n: sca.tl.smooth(x, keys="X", n_neighbors=n),
    "tl.component_clustering n_permutations": lambda x, n: sca.tl.component_clustering(x, n_permutations=n),
    "tl.motif_variability n_bootstrap": lambda x, n: sca.tl.motif_variability(x, n_bootstrap=n),
    "tl.motif_deviations n_background": lambda x, n: sca.tl.motif_deviations(
        x, bias=None, n_background=n, progress=False
    ),
    "tl.motif_deviations n_bins": lambda x, n: sca.tl.motif_deviations(x, bias=None, n_bins=n, progress=False),
    "pp.knn_groups n_neighbors": lambda x, n: sca.pp.knn_groups(x, n_neighbors=n),
    "pp.knn_groups n_groups": lambda x, n: sca.pp.knn_groups(x, n_neighbors=2, centers="random", n_groups=n),
    "pp.subsample n_cells": lambda x, n: sca.pp.subsample(x, n_cells=n),
    "pp.subsample n_repeats": lambda x, n: sca.pp.subsample(x, n_cells=2, n_repeats=n),
    "pl.barcodes n": lambda x, n: sca.pl.barcodes(x, axis="obs", n=n, show=False),
    "pp.lsi n_components": lambda x, n: sca.pp.lsi(x, n_components=n, max_depth_correlation=None),
}


@pytest.mark.parametrize("call", CALLS)
def test_every_function_names_the_argument_that_is_no_whole_number(call):
    name, run = call.split()[1], CALLS[call]
    for wrong in (4.5, "4", True):
        with pytest.raises(TypeError, match=rf"^{name} is .*expected a whole number"):
            run(make_index(), wrong)
    with pytest.raises(ValueError, match=rf"^{name} is -1; expected a whole number"):
        run(make_index(), -1)
    run(make_index(), np.int16(4))


def test_components_are_at_most_the_samples():
    with pytest.raises(ValueError, match="n_components is 7; expected a whole number from 1 to 6, for 6 samples x 12"):
        sca.tl.vocabulary(make_index(), n_components=7, progress=False)
    with pytest.raises(ValueError, match="n_components is 7; expected a whole number from 1 to 6"):
        sca.tl.vocabulary_scan(make_index(), n_components=[2, 7], progress=False)


def test_parameters_of_an_index_are_not_cut_to_whole_numbers():
    peaks = pd.DataFrame({"chrom": "chr1", "start": [100], "end": [200], "sample": "a", "signal": 1.0})
    for name in ("clump_gap", "window", "min_multi_samples", "half_width"):
        with pytest.raises(TypeError, match=rf"^{name} is 20\.7"):
            sca.tl.dhs_index(peaks, **{name: 20.7})


GENES = pd.DataFrame([["chr1", 2_000, 4_000, "G", "+"]], columns=["chrom", "start", "end", "name", "strand"])
TRACKS = sca.Tracks.from_chromosomes(
    ["A"], sca.Genome({"chr1": 1000}), [("chr1", [(np.array([10], np.int32), None, np.array([2], np.int32))])]
)
DISTANCES = {
    "tl.gene_components upstream": lambda x, n, _: sca.tl.gene_components(x, genes=GENES, upstream=n),
    "tl.gene_components downstream": lambda x, n, _: sca.tl.gene_components(x, genes=GENES, downstream=n),
    "tl.gene_components tss": lambda x, n, _: sca.tl.gene_components(x, genes=GENES, tss=n),
    "tl.annotate_regions promoter": lambda x, n, _: sca.tl.annotate_regions(x, genes=GENES, promoter=n),
    "tl.regions_around_genes flank": lambda _, n, __: sca.tl.regions_around_genes(["MS4A1"], "hg38", flank=n),
    "tl.gene_scores reach": lambda _, n, __: sca.tl.gene_scores(
        sca.datasets.toy(n_cells=9), genes=GENES, reach=n, progress=False
    ),
    "io.write_bigwig extend": lambda _, n, path: sca.io.write_bigwig(TRACKS, path / "a.bw", extend=n, progress=False),
}


@pytest.mark.parametrize("call", DISTANCES)
def test_distances_are_whole_numbers_of_0_or_more(call, tmp_path):
    name, run = call.split()[1], DISTANCES[call]
    for wrong in (1000.5, "4", True):
        with pytest.raises(TypeError, match=rf"^{name} is .*expected a whole number of 0 or more"):
            run(make_index(), wrong, tmp_path)
    with pytest.raises(ValueError, match=rf"^{name} is -1; expected a whole number of 0 or more"):
        run(make_index(), -1, tmp_path)
    assert not list(tmp_path.iterdir())
    run(make_index(), np.uint16(100), tmp_path)


def test_text_is_no_number():
    cells = sca.datasets.toy(n_cells=9)
    sca.pp.pseudobulk(cells, "group", progress=False)
    for wrong in ("0.5", True):
        with pytest.raises(TypeError, match=rf"^fraction is {wrong!r}.*expected a number"):
            sca.pp.subsample(cells, fraction=wrong)
        with pytest.raises(TypeError, match=rf"^decay is {wrong!r}.*expected a number"):
            sca.tl.gene_scores(cells, genes=GENES, decay=wrong, progress=False)


def test_threads_are_whole_numbers():
    with pytest.raises(TypeError, match=r"n_jobs is 2\.5"):
        _threads.resolve(2.5)
    assert _threads.resolve(np.int64(2)) == 2


@pytest.mark.parametrize("value", [0.5, 1, np.float32(0.5), np.int64(1)], ids=repr)
def test_numbers_of_every_type_are_taken_as_a_float(value):
    assert type(real(value, "n")) is float


@pytest.mark.parametrize("value", ["0.5", True, None, [0.5]], ids=repr)
def test_what_is_no_number_is_refused(value):
    with pytest.raises(TypeError, match=r"^n is .* \(\w+\); expected a number\.$"):
        real(value, "n")


@pytest.mark.parametrize("value", [True, False, np.True_, np.False_], ids=repr)
def test_yes_and_no_are_taken_as_a_bool(value):
    assert flag(value, "copy") is bool(value)


WRONG_TYPES = {
    "a table": (lambda x: sca.tl.vocabulary(x.to_df(), n_components=2), "DataFrame"),
    "sumstats": (lambda x: sca.tl.trait_enrichment(x, sumstats="gwas.tsv"), "sumstats is 'gwas.tsv'; expected a dict"),
    "motifs": (lambda x: sca.tl.motif_enrichment(x, motifs=5, progress=False), "motifs must be a motif file"),
    "genes": (lambda x: sca.tl.gene_components(x, genes=5), r"5 \(int\) is no path"),
    "classes": (lambda x: sca.tl.annotate_regions(x, classes={"repeat": 5}), r"5 \(int\) is no path"),
    "regions": (lambda _: sca.tl.annotate_regions(5), "Expected an AnnData or a MuData, got int"),
    "reference": (lambda x: sca.tl.project_bulk(x, 5), "reference is a int"),
    "tracks": (lambda x: sca.tl.meta_tracks(x, x), "tracks is no Tracks but AnnData"),
    "history": (lambda _: sca.pl.training(5), "Expected a DataFrame, got int"),
    "metrics": (lambda _: sca.pl.metrics(5), "Expected a DataFrame, got int"),
}


@pytest.mark.parametrize("name", WRONG_TYPES)
def test_what_is_given_as_something_else_is_told(name):
    call, match = WRONG_TYPES[name]
    with pytest.raises(TypeError, match=match):
        call(make_index())


PLOTS = ("component_labels", "saturation", "vocabulary_scan", "motif_enrichment")


@pytest.mark.parametrize("plot", [*PLOTS, "component_clustering"])
def test_a_figure_of_another_result_is_refused(plot):
    index = make_index()
    index.uns["other"] = {"params": {}}
    name = "labels_key" if plot == "component_labels" else "key"
    with pytest.raises(KeyError, match=r"\.uns\['other'\] is no result of sca\.tl\..*: it lacks"):
        getattr(sca.pl, plot)(index, **{name: "other"})


def test_a_view_becomes_an_object_of_its_own_and_leaves_its_parent_alone():
    index = make_index()
    index.obs["half"] = ["a", "b"] * 3
    view = index[:4]
    sca.tl.label_components(view, keys="half")  # anndata's warning of a changed view would be an error here
    assert not view.is_view
    assert "component_labels" in view.uns
    assert "component_labels" not in index.uns


FLAGS = {
    "copy": lambda x, yes: sca.pp.lsi(x, n_components=2, copy=yes),
    "shared_cells": lambda x, yes: sca.pp.knn_groups(x, n_neighbors=2, use_rep="X_lsi", shared_cells=yes),
    "exclusive": lambda x, yes: sca.tl.tf_elements(x, exclusive=yes),
    "overwrite": lambda x, yes: sca.tl.train(x, out="kept", overwrite=yes),
    "resume": lambda x, yes: sca.tl.train(x, out="kept", resume=yes),
}


@pytest.mark.parametrize("name", FLAGS)
@pytest.mark.parametrize("value", ["no", "False", None, 0], ids=repr)
def test_text_is_neither_yes_nor_no(name, value, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(TypeError, match=rf"^{name} is {value!r} \(\w+\); expected True or False\.$"):
        FLAGS[name](make_index(), value)
    assert not any(tmp_path.iterdir())


@pytest.mark.parametrize("value", [-0.1, 1.1, np.nan])
def test_shares_are_from_0_to_1(value):
    assert share(0, "n") == share(0.0, "n") == 0
    assert share(1, "n") == 1
    assert share(np.float32(0.5), "n", inside=True) == 0.5
    with pytest.raises(ValueError, match=f"n is {value}; expected a number from 0 to 1"):
        share(value, "n")
    for end in (0, 1):
        with pytest.raises(ValueError, match=f"n is {end}; expected a number between 0 and 1"):
            share(end, "n", inside=True)


PEAKS = pd.DataFrame({"chrom": "chr1", "start": [1, 50], "end": [20, 90], "sample": ["a", "b"]})
GENES = pd.DataFrame({"chrom": ["chr1"], "start": [0], "end": [5000], "name": ["A"], "strand": ["+"]})
GWAS = pd.DataFrame({"CHR": ["chr1"], "BP": [100], "P": [0.5]})
OUT_OF_RANGE = {
    "core_quantiles": lambda x: sca.tl.dhs_index(PEAKS, core_quantiles=(0.9, 0.1)),
    "A quantile of core_quantiles": lambda x: sca.tl.dhs_index(PEAKS, core_quantiles=(-1, 2)),
    "alpha_W": lambda x: sca.tl.vocabulary(x, n_components=2, alpha_W=-1, progress=False),
    "l1_ratio": lambda x: sca.tl.vocabulary(x, n_components=2, l1_ratio=3, progress=False),
    "tol": lambda x: sca.tl.vocabulary(x, n_components=2, tol=-1, progress=False),
    "dtype": lambda x: sca.tl.vocabulary(x, n_components=2, dtype="float16", progress=False),
    "fdr": lambda x: sca.tl.gene_components(x, genes=GENES, fdr=5),
    "at": lambda x: sca.tl.gene_components(x, genes=GENES, at="middle"),
    "thresholds": lambda x: sca.tl.trait_enrichment(x, sumstats={"t": GWAS}, thresholds=[]),
    "A threshold": lambda x: sca.tl.trait_enrichment(x, sumstats={"t": GWAS}, thresholds=[-1]),
    "width": lambda x: sca.tl.motif_deviations(x, annotations="motif_matches", bias=None, width=0, progress=False),
    "confidence": lambda x: sca.tl.motif_variability(x, confidence=95),
    "restart": lambda x: sca.tl.trait_scores(x, variants={}, restart=2),
    "background": lambda x: sca.tl.motif_enrichment(
        x, motifs=[sca.io.Motif("m", np.eye(4))], background=[30, 20, 20, 30], progress=False
    ),
}


@pytest.mark.parametrize("name", OUT_OF_RANGE)
def test_values_that_mean_nothing_are_refused(name):
    index = make_index()
    index.var["sequence"] = "ACGTACGT"
    with pytest.raises(ValueError, match=rf"^{name}( is|=.* is unknown).*; expected "):
        OUT_OF_RANGE[name](index)
