"""Planted regions with a prior: the same cells with and without it, on a small genome."""

from __future__ import annotations

import argparse
import gzip

import numpy as np
import pandas as pd
import pytest

import scatacworks as sca
from benchmarks import differential
from benchmarks._priming import Setting, simulate
from scatacworks._columns import placed
from scatacworks._core import intervals

SIZE, SPACING, PEAK = 440_000, 8_000, 400
STARTS = np.arange(24_000, SIZE - 24_000, SPACING)
SETTING = Setting(n_cells=600, n_targets=4, n_null=2, depth=1e7, folds=(1 / 8, 8.0), n_each=2)
NAMES = ("default", "default, elements too", "default, prior non-blood", "default, prior non-blood, elements too")


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Files like those of the HSC sample: peaks every 8 kb, and cut sites between them."""
    path, rng = tmp_path_factory.mktemp("hsc"), np.random.default_rng(0)
    strength = rng.lognormal(0, 0.5, len(STARTS))
    peak = rng.choice(len(STARTS), 30_000, p=strength / strength.sum())
    sites = np.concatenate([STARTS[peak] + rng.integers(0, PEAK, len(peak)), rng.integers(0, SIZE, 15_000)])
    at, count = np.unique(sites, return_counts=True)
    (path / "example.sizes").write_text(f"chr3\t{SIZE}\n")
    with gzip.open(path / "HSC.80M.cut_sites.bedGraph.gz", "wt") as file:
        file.writelines(f"chr3\t{x}\t{x + 1}\t{n}\n" for x, n in zip(at, count, strict=True))
    rows = [f"chr3\t{start}\t{start + PEAK}\n" for start in STARTS]
    (path / "HSC.80M.chr123.10mb.peaks.bed").write_text("".join(rows))
    return path


@pytest.fixture(scope="module")
def samples():
    """Twenty samples that have most of the peaks, and most elements between every second pair of them."""
    rng = np.random.default_rng(1)
    between = STARTS[::2] + SPACING // 2
    rows = []
    for sample in range(20):
        start = np.concatenate([x[rng.random(len(x)) < 0.7] for x in (STARTS, between)])
        rows.append(pd.DataFrame({"chrom": "chr3", "start": start, "end": start + PEAK, "sample": f"s{sample}"}))
    return sca.tl.prior(pd.concat(rows), genome=sca.Genome({"chr3": SIZE}, name="hsc30mb"))


@pytest.fixture(scope="module")
def run(folder, samples):
    given = argparse.Namespace(
        prior=["non-blood"],
        regions=[f"chr3:20000-{SIZE - 20_000}"],
        backgrounds={"24": (24, True)},
        seed=0,
        jobs=1,
        model="accessibility-holdout",
        precision="float32",
        progress=False,
    )
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(differential, "not_blood", lambda genome: samples)
        return differential.Experiment(folder, SETTING, given)


@pytest.fixture(scope="module")
def scores(run):
    return run.run()[0]


def test_every_second_new_element_is_one_of_other_samples(folder, samples):
    elements = differential.shared_elements(samples, differential.COMMON)
    cells = simulate(folder, SETTING, elsewhere=elements)
    for table in cells.planted[:2]:
        of_others = intervals.any_overlap(placed(table, cells.genome), placed(elements, cells.genome))
        for kind in ("new", "control"):
            assert of_others[table["kind"] == kind].mean() == 0.5


def test_all_tests_see_the_same_cells(run):
    for adata in run.variants.values():
        assert (adata.obsm["background"] != run.adata.obsm["background"]).nnz == 0
        assert adata.obs.equals(run.adata.obs)
    signal = [adata.uns["background_moments"]["signal"] for adata in (run.adata, run.variants[NAMES[2]])]
    assert signal[0].shape[0] == signal[1].shape[0] == 24
    assert abs(signal[0].mean() / signal[1].mean() - 1) > 1e-4


def test_a_prior_neither_hides_planted_regions_nor_makes_any(scores):
    """Half of the closed places are open in most of the prior's samples, and so are most peaks that were lost."""
    table = scores[scores["method"].isin(NAMES)]
    null, planted = table[table["null"]], table[~table["null"]]
    assert null.groupby("method")["called"].sum().max() <= 1
    recall = planted.groupby("method")[["recall, up", "recall, down", "recall, new"]].mean()
    guided = planted[planted["method"] == NAMES[2]]
    assert (recall.loc[NAMES[2]] > 0.7).all()
    assert (recall.loc[NAMES[2]] > recall.loc["default"] - 0.15).all()
    assert guided["false"].sum() < 0.5 * guided["called"].sum()  # of few peaks, and neighbours of what is new count
    assert guided["region AUPRC"].mean() > 0.85
