"""Differential regions of tracks with a prior: it neither hides true differences nor makes any."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
import torch

import scatacworks as sca
from scatacworks.models.guide import with_guide, without_guide

SPACING = 4_000
GAINED, LOST = (10, 20, 50), (15, 25, 45)  # numbers of peaks, as the cells were made
REGIONS = [("chrA", 4_000, 130_000), ("chrA", 140_000, 230_000)]


@pytest.fixture(scope="module")
def guided():
    """The bundled network with a guide of random weights: what it does with a prior, it does to all groups."""
    trunk = sca.models.load("default")
    torch.manual_seed(0)
    model = with_guide(without_guide(trunk) if trunk.has_guide else trunk)
    with torch.no_grad():
        model.guide.head.weight.mul_(3)
    return model.eval()


@pytest.fixture(scope="module")
def prior(genome):
    """Samples with most peaks, those lost in the target among them, but not those gained; and some of their own."""
    rng = np.random.default_rng(0)
    rows = []
    for sample in range(8):
        peaks = [i for i in range(58) if i not in GAINED and rng.random() < 0.7]
        start = np.concatenate([2_000 + SPACING * np.array(peaks), rng.integers(0, 239_000, 5)])
        rows.append(pd.DataFrame({"chrom": "chrA", "start": start, "end": start + 400, "sample": f"s{sample}"}))
    return sca.tl.prior(pd.concat(rows), genome=genome)


@pytest.fixture(scope="module")
def adata(prepared, guided, prior):
    adata = prepared.copy()
    sca.tl.denoise(adata, model=guided, prior=prior, prior_match=False, progress=False)
    sca.tl.background(
        adata, key="background", regions=regions(), universe=universe(), model=guided, prior=prior, progress=False
    )
    return adata


def regions():
    return pd.DataFrame(REGIONS, columns=["chrom", "start", "end"])


def universe():
    """The peaks, and as many places between them: what a random guide calls is no matter here."""
    start = np.arange(5_900, 229_000, SPACING // 2)
    table = pd.DataFrame({"chrom": "chrA", "start": start, "end": start + 600})
    return table[(table["end"] <= 130_000) | (table["start"] >= 140_000)]


def hit(table, peak, direction):
    at = 2_200 + SPACING * peak
    near = (table["start"] < at + 300) & (table["end"] > at - 300) & (table["direction"] == direction)
    return bool(table[near]["significant"].any())


def test_the_prior_changes_the_tracks(adata):
    found = [sca.get.tracks(adata, key="denoised", layer=n) for n in ("probability", "probability_unguided")]
    with_prior, without = (tracks.window("primed", "chrA", 0, 240_000) for tracks in found)
    assert np.abs(with_prior - without).max() > 0.02


def test_planted_differences_are_found(adata):
    sca.tl.differential_regions(adata, "primed", progress=False)
    table = adata.uns["differential_regions"]
    assert all(hit(table, peak, 1) for peak in GAINED)
    assert sum(hit(table, peak, -1) for peak in LOST) >= 2
    at = [2_200 + SPACING * peak for peak in (*GAINED, *LOST)] + [108_000, 164_000]
    false = [row for row in table[table["significant"]].itertuples() if min(abs(row.summit - x) for x in at) > 2_000]
    assert len(false) <= 1


def test_groups_of_the_same_kind_do_not_differ(adata, guided, prior):
    null = adata.copy()
    own = np.random.default_rng(7).choice(300, (3, 30), replace=False)  # cells of three groups
    members = adata.obsm["background"].toarray()
    members[own] = False
    null.obsm["background"] = members
    group = np.full(null.n_obs, "others", object)
    for name, cells in zip("abc", own, strict=True):
        group[cells] = name
    null.obs["group"] = pd.Categorical(group)
    sca.pp.pseudobulk(null, "group", groups=list("abc"), key_added="null", progress=False)
    options = {"model": guided, "prior": prior, "progress": False}
    sca.tl.denoise(null, key="null", key_added="tracks", prior_match=False, **options)
    sca.tl.background(null, regions=regions(), universe=universe(), **options)
    significant = tested = 0
    for name in "abc":
        sca.tl.differential_regions(null, name, key="tracks", progress=False)
        significant += int(null.uns["differential_regions"]["significant"].sum())
        tested += len(null.uns["differential_regions"])
    assert tested > 100
    assert significant <= 2


def test_another_prior_on_one_side_is_refused(adata, guided, prior):
    options = {"model": guided, "groups": ["primed"], "progress": False}
    for other in (None, prior.exclude("s0")):
        sca.tl.denoise(adata, prior=other, prior_match=False, key_added="other", **options)
        with pytest.raises(ValueError, match="differences between priors"):
            sca.tl.differential_regions(adata, "primed", key="other", progress=False)
    sca.tl.denoise(adata, prior=prior, prior_match=False, prior_weight=0.5, key_added="other", **options)
    with pytest.raises(ValueError, match="weight 0.5"):
        sca.tl.differential_regions(adata, "primed", key="other", progress=False)


def test_weights_by_group_are_refused(adata, guided, prior):
    sca.tl.denoise(adata, model=guided, prior=prior, groups=["primed"], key_added="other", progress=False)
    with pytest.raises(ValueError, match="prior_match=False"):
        sca.tl.differential_regions(adata, "primed", key="other", progress=False)


def test_a_prior_of_the_object_itself_is_refused(adata, guided):
    with pytest.raises(ValueError, match=r"tl\.prior"):
        sca.tl.background(adata, key="background", regions=regions(), model=guided, prior="self", progress=False)
