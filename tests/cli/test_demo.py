from __future__ import annotations

import anndata
import numpy as np
import pytest

from scatacworks.cli import _demo


@pytest.mark.slow
def test_the_demo_writes_what_it_says(call, tmp_path):
    code, out, err = call("demo", "--out", tmp_path / "demo")
    assert code == 0, err
    for name in ("report.html", "peaks.bed", "scatacworks.h5ad", "bigwig", "figures"):
        assert name in out
        assert (tmp_path / "demo" / name).exists()
    adata = anndata.read_h5ad(tmp_path / "demo" / "scatacworks.h5ad")
    scores = _demo.agreement(adata)
    assert (scores["denoised"] > scores["raw"]).mean() > 0.8
    assert scores["denoised"].mean() > scores["raw"].mean() + 0.01
    assert scores["guided"].mean() > scores["denoised"].mean()


def test_the_draw_shares_no_cell_with_the_others_and_windows_are_held_out():
    adata = _demo.prepare(progress=False)
    drawn, others = (adata.obsm[key].to_numpy(bool) for key in (_demo.DRAW, _demo.OTHERS))
    assert not (drawn & others).any()
    assert drawn.sum(axis=0).max() == 50
    types = adata.obs["cell_type"].cat.categories
    np.testing.assert_array_equal((drawn | others).sum(axis=0), (adata.obs["cell_type"].value_counts()[types]))
    assert {chrom for chrom, _, _ in _demo.held_out(adata)} == set(_demo.HELD_OUT)


def test_the_demos_model_has_not_seen_the_windows_it_is_judged_on():
    from scatacworks.models import load

    split = load(_demo.MODEL).card["split"]
    assert all(chrom in split for chrom in _demo.HELD_OUT)
    assert "The weights are those of the judged model" in split
