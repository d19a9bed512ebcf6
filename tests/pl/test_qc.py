from __future__ import annotations

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import pytest

import scatacworks as sca


@pytest.fixture
def cells():
    adata = sca.datasets.toy(n_cells=30)
    genes = pd.DataFrame({"chrom": ["chr1"], "start": [50_000], "end": [60_000], "strand": ["+"]})
    sca.pp.qc_metrics(adata, genes=genes, progress=False)
    return adata


def test_panels_show_what_was_measured(cells):
    fig = sca.pl.qc(cells, show=False)
    lengths, starts, ranks = fig.axes
    assert lengths.get_ylabel() == "fragments (%)"
    np.testing.assert_array_equal(starts.lines[0].get_ydata(), cells.uns["qc"]["tss_profile"])
    np.testing.assert_array_equal(ranks.lines[0].get_ydata(), np.sort(cells.obs["n_fragments"])[::-1])
    assert (ranks.get_xscale(), ranks.get_yscale()) == ("log", "log")


def test_the_threshold_tells_how_many_pass(cells):
    ranks = sca.pl.qc(cells, min_fragments=150, show=False).axes[-1]
    passing = (cells.obs["n_fragments"] >= 150).sum()
    assert ranks.texts[0].get_text() == f"{passing} barcodes with at least 150"


def test_a_single_sample_is_seen(cells):
    def drawn(adata):
        fig = sca.pl.qc(adata, show=False)
        fig.canvas.draw()
        line, box = fig.axes[-1].lines[0], fig.axes[-1].get_window_extent()
        before = np.asarray(fig.canvas.buffer_rgba()).copy()
        line.set_visible(False)
        fig.canvas.draw()
        rows = slice(int(before.shape[0] - box.y1), int(before.shape[0] - box.y0))
        return (before != np.asarray(fig.canvas.buffer_rgba()))[rows, int(box.x0) : int(box.x1)].any()

    assert drawn(cells)
    assert drawn(cells[:1].copy())


def test_without_genes_there_are_two_panels(cells):
    del cells.uns["qc"]["tss_profile"]
    assert len(sca.pl.qc(cells, show=False).axes) == 2


def test_what_is_missing_is_named(cells):
    with pytest.raises(KeyError, match="run sca.pp.qc_metrics.* first"):
        sca.pl.qc(sca.datasets.toy(n_cells=3))
    del cells.obs["n_fragments"]
    with pytest.raises(KeyError, match="no column 'n_fragments' in .obs; run sca.pp.qc_metrics"):
        sca.pl.qc(cells)


def test_global_settings_stay(cells):
    before = dict(plt.rcParams)
    sca.pl.qc(cells, show=False)
    assert dict(plt.rcParams) == before
