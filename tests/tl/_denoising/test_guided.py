"""tl.denoise with a prior: what it writes, what it guards against, and what it refuses."""

from __future__ import annotations

import copy
import logging

import anndata as ad
import numpy as np
import pandas as pd
import pytest
import torch

import scatacworks as sca
from scatacworks.models._predictor import Predictor
from scatacworks.models.guide import with_guide
from scatacworks.tl._denoising._guidance import with_room

# cut sites at random places: no prior fits them
pytestmark = pytest.mark.filterwarnings("ignore:The prior explains little")
GROUPS = ("a", "b", "c")
SIZES = {"chr1": 60_000, "chr2": 20_011, "chr3": 900}
GENOME = sca.Genome(SIZES, name="toy")


@pytest.fixture(scope="module")
def model(network):
    torch.manual_seed(1)
    model = with_guide(network)
    with torch.no_grad():
        for parameter in model.guide.parameters():
            parameter.add_(0.1 * torch.randn_like(parameter))
    return model.eval()


@pytest.fixture(scope="module")
def choosy(model):
    """The model with peaks only where there are many cut sites for the depth."""
    model = copy.deepcopy(model)
    with torch.no_grad():
        model.head.bias[2] -= 0.5
    return model


@pytest.fixture
def cells(make_pseudobulk):
    """Three groups of pseudobulk with two cells each."""
    adata = make_pseudobulk(groups=GROUPS, n=(300, 200, 100))
    cells = ad.AnnData(obs=pd.DataFrame({"group": list("aabbcc")}, index=[f"cell{i}" for i in range(6)]))
    cells.uns["pseudobulk"] = adata.uns["pseudobulk"]
    cells.uns["pseudobulk"]["params"]["groupby"] = "group"
    return cells


def some_peaks(n=3):
    rng = np.random.default_rng(0)
    parts = []
    for i in range(n):
        start = np.concatenate([rng.choice(np.arange(0, 59_000, 700), 30, replace=False), [19_900]])
        parts.append(pd.DataFrame({"chrom": "chr1", "start": start, "end": start + 300, "sample": f"s{i}"}))
    return pd.concat(parts)


def denoise(adata, model, prior, **options):
    return sca.tl.denoise(adata, model=model, prior=prior, progress=False, n_jobs=1, **options)


def window(adata, layer, group="a", chrom="chr1"):
    return sca.get.tracks(adata, key="denoised", layer=layer).window(group, chrom, 0, SIZES[chrom])


def test_the_slot_tells_what_the_prior_was(cells, model):
    prior = sca.tl.prior(some_peaks(), genome=GENOME, exclude="s2")
    denoise(cells, model, prior)
    params = cells.uns["denoised"]["params"]
    assert params["prior"] == prior.digest
    assert params["prior_rows"].tolist() == ["s0", "s1"]
    assert params["prior_excluded"] == "s2"
    assert params["prior_n_samples"].tolist() == [2, 2, 2]
    np.testing.assert_allclose(params["prior_matched"].mean(1), 1)
    assert ((params["prior_explained"] >= 0) & (params["prior_explained"] <= 1)).all()
    assert sca.Prior.from_dict(cells.uns["denoised"]["prior"]).digest == prior.digest
    assert (window(cells, "probability") != window(cells, "probability_unguided")).any()


def test_without_weight_it_is_the_unguided_run(cells, model):
    denoise(cells, model, sca.tl.prior(some_peaks()), prior_weight=0)
    guided = [window(cells, layer) for layer in ("signal", "probability", "probability_unguided")]
    denoise(cells, model, None)
    assert set(cells.uns["denoised"]) == {"signal", "probability", "params"}
    for left, right in zip(guided, [window(cells, n) for n in ("signal", "probability", "probability")], strict=True):
        np.testing.assert_allclose(left, right, rtol=0.03, atol=0.011)


def test_a_store_holds_the_same(cells, model, tmp_path):
    prior = sca.tl.prior(some_peaks())
    denoise(cells, model, prior)
    inside = [window(cells, layer) for layer in ("signal", "probability", "probability_unguided")]
    denoise(cells, model, prior, path=tmp_path / "tracks.zarr")
    cells.write_h5ad(tmp_path / "cells.h5ad")
    again = ad.read_h5ad(tmp_path / "cells.h5ad")
    for left, layer in zip(inside, ("signal", "probability", "probability_unguided"), strict=True):
        np.testing.assert_array_equal(left, window(again, layer))


def test_a_stopped_run_does_not_go_on_with_another_prior(cells, model, tmp_path, monkeypatch):
    def stop(self, unit, progress=None):
        raise KeyboardInterrupt

    prior = sca.tl.prior(some_peaks())
    with monkeypatch.context() as patch:
        patch.setattr(Predictor, "run", stop)
        with pytest.raises(KeyboardInterrupt):
            denoise(cells, model, prior, path=tmp_path / "tracks.zarr")
    for other in (prior.exclude("s0"), None):
        with pytest.raises(ValueError, match="a run that differs in .*prior"):
            denoise(cells, model, other, path=tmp_path / "tracks.zarr")
    with pytest.raises(ValueError, match="a run that differs in .*prior"):
        denoise(cells, model, prior, prior_weight=0.5, path=tmp_path / "tracks.zarr")
    denoise(cells, model, prior, path=tmp_path / "tracks.zarr")
    assert window(cells, "probability_unguided").shape == (SIZES["chr1"],)


def test_peaks_tell_what_the_prior_added(cells, model):
    denoise(cells, model, sca.tl.prior(some_peaks()))
    sca.tl.call_peaks(cells, threshold=0.4, min_length=50)
    peaks = cells.uns["peaks"]
    assert len(peaks)
    for peak in peaks.itertuples():
        both = [
            window(cells, layer, peak.group, peak.chrom)[peak.start : peak.end].mean(dtype=float)
            for layer in ("probability", "probability_unguided")
        ]
        assert peak.probability == pytest.approx(both[0])
        assert peak.prior_gain == pytest.approx(both[0] - both[1], abs=1e-9)
    denoise(cells, model, None)
    sca.tl.call_peaks(cells)
    assert "prior_gain" not in cells.uns["peaks"]


@pytest.mark.parametrize(
    "depth", [None, 1e5, dict.fromkeys(GROUPS, 1e5), [1e5, 1e5, 1e5]], ids=["measured", "number", "mapping", "list"]
)
def test_self_means_the_peaks_of_the_others(cells, choosy, depth):
    denoise(cells, choosy, "self", depth=depth)
    params = cells.uns["denoised"]["params"]
    assert params["prior_source"] == "self"
    assert params["prior_n_samples"].tolist() == [2, 2, 2]
    assert np.diag(params["prior_matched"]).tolist() == [0, 0, 0]
    denoise(cells, choosy, None, key_added="plain", depth=depth)
    sca.tl.call_peaks(cells, key="plain", key_added="plain_peaks")
    others = cells.uns["plain_peaks"].query("group != 'a'")
    own = sca.tl.prior(others[["group", "chrom", "start", "end"]], genome=GENOME)
    guided = window(cells, "probability")
    with pytest.warns(UserWarning, match="In the prior by the same name"):
        denoise(cells, choosy, own, depth=depth)
    found = cells.uns["denoised"]["params"]
    np.testing.assert_allclose(found["prior_explained"][0], params["prior_explained"][0], rtol=1e-6)
    np.testing.assert_allclose(found["prior_matched"][0], params["prior_matched"][0, 1:], rtol=1e-6)
    np.testing.assert_array_equal(window(cells, "probability"), guided)


def test_self_takes_the_depths_that_are_stated_and_measures_the_others(cells, choosy):
    def rows(**options):
        denoise(cells, choosy, "self", **options)
        return dense(sca.Prior.from_dict(cells.uns["denoised"]["prior"]))

    measured, low = rows(), rows(depth=1e5)
    assert (measured != low).any(1).all()
    np.testing.assert_array_equal(rows(groups=["a"], depth=1e5), low)
    np.testing.assert_array_equal(rows(groups=["a"], depth=[1e5])[0], low[0])
    np.testing.assert_array_equal(rows(groups=["a"], depth=[1e5])[1:], measured[1:])
    np.testing.assert_array_equal(rows(groups=["a"], depth={"a": 1e5, "c": 1e5}), [low[0], measured[1], low[2]])


def dense(prior):
    return np.array([prior.tracks.window(row, "chr1", 0, SIZES["chr1"]) for row in prior.rows])


def test_self_is_judged_by_the_cut_sites_of_the_regions(model, make_pseudobulk):
    """The others' peaks are known in and beside the regions only, so that cut sites elsewhere are no evidence."""
    adata = make_pseudobulk(groups=GROUPS, n=(300, 200, 100))
    regions = [("chr1", 19_000, 21_000), ("chr1", 15_000, 18_000), ("chr2", 5_000, 9_000)]
    depth = dict.fromkeys(GROUPS, 1e7)
    near = [("chr1", 15_000 - 2_048, 21_000 + 2_048), ("chr2", 5_000 - 2_048, 9_000 + 2_048)]
    only = make_pseudobulk(groups=GROUPS, n=(300, 200, 100))
    sites = sca.get.tracks(adata)
    runs = [(chrom, [_within(sites.runs(group, chrom), s, e) for group in GROUPS]) for chrom, s, e in near]
    only.uns["pseudobulk"]["cut_sites"] = sca.Tracks.from_chromosomes(GROUPS, GENOME, runs).to_dict()
    for one in (adata, only):
        denoise(one, model, "self", regions=regions, depth=depth)
    found, expected = (one.uns["denoised"]["params"]["prior_matched"] for one in (adata, only))
    assert (expected > 0).any()
    share, of_these = (one.uns["denoised"]["params"]["prior_explained"] for one in (adata, only))
    np.testing.assert_allclose(found, expected, rtol=1e-6)
    np.testing.assert_allclose(share, of_these, rtol=1e-6)


def _within(runs, start, end):
    at, _, counts = runs
    kept = (at >= start) & (at < end)
    return at[kept], None, counts[kept]


@pytest.mark.parametrize("own", ["self", "peaks"])
def test_the_result_for_a_group_does_not_depend_on_which_are_denoised(make_pseudobulk, model, own):
    adata = make_pseudobulk(groups=GROUPS, n=(300, 200, 20))  # of which the last alone would not tell what was measured
    prior = own if own == "self" else some_peaks()
    denoise(adata, model, prior)
    for groups in (["c"], ["c", "a"]):
        denoise(adata, model, prior, groups=groups, key_added="fewer")
        codes = [GROUPS.index(group) for group in groups]
        params, fewer = (adata.uns[key]["params"] for key in ("denoised", "fewer"))
        for key in ("prior_matched", "prior_explained"):
            np.testing.assert_array_equal(fewer[key], params[key][codes])
        for layer in ("signal", "probability"):
            found = sca.get.tracks(adata, key="fewer", layer=layer).window("c", "chr1", 0, SIZES["chr1"])
            np.testing.assert_array_equal(found, window(adata, layer, "c"))
    assert sca.Prior.from_dict(adata.uns["fewer"]["prior"]).rows.tolist() == (
        list(GROUPS) if own == "self" else ["s0", "s1", "s2"]
    )


def test_groups_that_share_cells_do_not_guide_each_other(cells, model, caplog):
    cells.obsm["neighbours"] = np.array([[1, 0, 0], [1, 1, 0], [0, 1, 0], [0, 0, 1], [0, 0, 1], [0, 0, 1]])
    cells.uns["neighbours"] = {"groups": np.array(GROUPS, dtype=object)}
    cells.uns["pseudobulk"]["params"]["groupby"] = "neighbours"
    with caplog.at_level(logging.INFO, logger="scatacworks"):
        denoise(cells, model, "self")
    assert "share cells" in caplog.text
    weights = cells.uns["denoised"]["params"]["prior_matched"] > 0
    assert weights.tolist() == [[False, False, True], [False, False, True], [True, True, False]]


def test_groups_of_a_column_that_changed_guide_each_other(cells, model):
    cells.obs["kind"] = ["a", "b", "c"] * 2
    cells.uns["pseudobulk"]["params"]["groupby"] = "kind"
    denoise(cells, model, "self")
    before = cells.uns["denoised"]["params"]["prior_matched"]
    renamed = cells[cells.obs["kind"] != "c"].copy()
    renamed.obs["kind"] = renamed.obs["kind"].replace("a", "A")
    denoise(renamed, model, "self")
    np.testing.assert_array_equal(renamed.uns["denoised"]["params"]["prior_matched"], before)


def test_repeats_of_a_group_do_not_guide_each_other(cells, model):
    cells.uns["pseudobulk"]["n_cells"] = np.array([2, 2, 2])
    sca.pp.subsample(cells, fraction=0.5, n_repeats=2)
    denoise(cells, model, "self", key="subsample")
    weights = cells.uns["denoised"]["params"]["prior_matched"]
    np.testing.assert_array_equal(weights > 0, np.kron(1 - np.eye(3), np.ones((2, 2))))


def test_self_needs_another_group(model, make_pseudobulk):
    adata = make_pseudobulk(groups=("a",), n=(300,))
    with pytest.raises(ValueError, match="none for 'a'"):
        denoise(adata, model, "self")


def test_a_group_in_its_own_prior_is_named(cells, model):
    with pytest.warns(UserWarning, match="by the same name.*: a"):
        denoise(cells, model, some_peaks(2).replace({"sample": {"s0": "a"}}), groups=["a"])


def test_a_row_that_explains_a_group_alone_is_named(cells, model):
    peaks = some_peaks(6)
    own = pd.DataFrame({"chrom": ["chr1"], "start": [19_500], "end": [20_500], "sample": "s3"})
    peaks = pd.concat([peaks[peaks["start"] != 19_900], own])
    with pytest.warns(UserWarning, match="nearly alone.*a by s3"):
        denoise(cells, model, peaks, groups=["a"])


def test_chromosomes_without_elements_are_said_once_and_plain(cells, model, caplog):
    with caplog.at_level(logging.INFO, logger="scatacworks"):
        denoise(cells, model, some_peaks())
    assert caplog.text.count("not guided: chr2, chr3") == 1
    np.testing.assert_array_equal(
        window(cells, "probability", chrom="chr2"), window(cells, "probability_unguided", chrom="chr2")
    )


def test_equal_weights_on_request(cells, model):
    denoise(cells, model, some_peaks(), prior_match=False)
    params = cells.uns["denoised"]["params"]
    np.testing.assert_allclose(params["prior_matched"], 1)
    assert params["prior_explained"].shape == (3,)
    assert np.isnan(params["prior_explained"]).all()  # nothing was measured


def test_regions_are_guided_as_the_whole_genome(cells, model):
    prior = sca.tl.prior(some_peaks())
    denoise(cells, model, prior)
    whole = window(cells, "probability")[18_000:22_000]
    denoise(cells, model, prior, regions="chr1:18,000-22,000")
    assert (window(cells, "probability")[18_000:22_000] != whole).mean() < 1e-3


def test_regions_get_room():
    spans = {0: np.array([[100, 200], [3_000, 4_000], [50_000, 59_999]])}
    assert with_room(spans, GENOME.lengths)[0].tolist() == [[0, 6_048], [47_952, 60_000]]


def test_wrong_arguments_are_refused(cells, model, network):
    with pytest.raises(ValueError, match="has no guide"):
        denoise(cells, network, some_peaks())
    for weight in (-0.1, 1.1, np.nan):
        with pytest.raises(ValueError, match="prior_weight"):
            denoise(cells, model, some_peaks(), prior_weight=weight)
    with pytest.raises(ValueError, match="no chromosome of 'toy'"):
        denoise(cells, model, some_peaks().assign(chrom="scaffold"))
    with pytest.raises(ValueError, match="another genome"):
        denoise(cells, model, sca.tl.prior(some_peaks(), genome={"chr1": 61_000}))


def test_a_figure_shows_prior_and_both_probabilities(cells, model):
    cells.uns["pseudobulk"]["n_fragments"] = np.array([150, 100, 50])
    denoise(cells, model, some_peaks())
    figure = sca.pl.tracks(cells, "chr1:18,000-22,000", groups=["a"], show=False)
    texts = [text.get_text() for ax in figure.axes for text in ax.texts]
    assert {"P(peak)", "P, no prior", "prior"} <= set(texts)
    denoise(cells, model, None)
    figure = sca.pl.tracks(cells, "chr1:18,000-22,000", groups=["a"], show=False)
    assert "prior" not in [text.get_text() for ax in figure.axes for text in ax.texts]
    with pytest.raises(KeyError, match="no prior to show"):
        sca.pl.tracks(cells, "chr1:18,000-22,000", layers=["prior"], show=False)


def test_a_prior_that_does_not_fit_is_named(cells, model):
    tiny = pd.DataFrame({"chrom": "chr1", "start": [100, 5_000], "end": [110, 5_010], "sample": ["s0", "s1"]})
    with pytest.warns(UserWarning, match=r"explains little of the cut sites, .* below 5 % not at all: a \("):
        denoise(cells, model, sca.tl.prior(tiny, genome=GENOME))
    assert (cells.uns["denoised"]["params"]["prior_explained"] < 0.15).all()
    with pytest.warns(UserWarning, match=r"explains little .* followed all the same \(prior_match=False\): a \("):
        denoise(cells, model, sca.tl.prior(tiny, genome=GENOME), prior_match=False)


@pytest.mark.parametrize("weight", [2, -0.1, "x", None, np.nan])
def test_a_weight_is_a_number_from_0_to_1(cells, model, weight):
    with pytest.raises((TypeError, ValueError), match="prior_weight is .*; expected a number"):
        denoise(cells, model, some_peaks(), prior_weight=weight)


@pytest.mark.parametrize("source", ["slef", "", "none/index.txt.gz"])
def test_a_prior_that_is_not_there_is_named(cells, model, source):
    with pytest.raises(FileNotFoundError, match="expected a file or a folder, or 'self'"):
        denoise(cells, model, source)
