from __future__ import annotations

import gzip

import numpy as np
import pandas as pd
import pytest

import scatacworks as sca
from scatacworks.datasets._pbmc import FILES


@pytest.fixture(scope="module")
def pbmc():
    return sca.datasets.pbmc_windows()


def test_bundled_cells_have_the_fragments_of_the_file(pbmc):
    with gzip.open(FILES["fragments.tsv.gz"], "rt") as handle:
        barcodes = pd.Series([line.split("\t")[3] for line in handle])
    counts = barcodes.value_counts().reindex(pbmc.obs_names, fill_value=0)
    np.testing.assert_array_equal(pbmc.obs["n_fragments"], counts)
    assert 0 < (~barcodes.isin(pbmc.obs_names)).mean() < 0.1


def test_bundled_marker_windows_are_open_in_their_cell_types(pbmc):
    sca.pp.pseudobulk(pbmc, "cell_type", progress=False)
    per_cell = dict(zip(pbmc.uns["pseudobulk"]["cut_sites"]["groups"], pbmc.uns["pseudobulk"]["n_cells"], strict=True))

    def sites(group, region):
        return sca.get.track(pbmc, group, region, extend=0).sum() / per_cell[group]

    ms4a1, il1b = "chr11:60445398-60466125", "chr2:112825857-112847002"
    assert sites("memory B", ms4a1) > 10 * sites("CD4 naive T", ms4a1)
    assert sites("CD14+ Monocytes", il1b) > 10 * sites("CD8 naive T", il1b)


def test_bundled_files_are_small():
    assert sum(path.stat().st_size for path in FILES.values()) < 1_300_000


def test_original_file_holds_every_bundled_fragment(shared_data):
    with gzip.open(shared_data / "pbmc10k_windows" / "fragments.tsv.gz", "rt") as handle:
        original = set(handle)
    with gzip.open(FILES["fragments.tsv.gz"], "rt") as handle:
        assert all(line in original for line in handle)


def test_toy_fragments_lie_around_the_true_peaks():
    adata = sca.datasets.toy()
    sca.pp.pseudobulk(adata, "group", progress=False)
    truth = adata.uns["true_peaks"]
    near, away = [], []
    for group in "ABC":
        is_open = truth.loc[(truth["group"] == group) & (truth["chrom"] == "chr1"), "summit"].to_numpy()
        for summit in range(5_000, 199_000, 5_000):
            found = sca.get.track(adata, group, ("chr1", summit - 300, summit + 300), extend=0).sum()
            (near if summit in is_open else away).append(found)
    assert np.min(near) > 2 * np.max(away)


def test_toy_is_reproducible_and_of_the_size_asked_for():
    one, two = (sca.datasets.toy(n_cells=28, n_groups=27, n_fragments=5, seed=seed) for seed in (3, 3))
    assert (one.obsm["fragment_paired"] != two.obsm["fragment_paired"]).nnz == 0
    assert one.obs["group"].iloc[26] == "AA"
    assert np.diff(one.obsm["fragment_paired"].indptr).tolist() == [5] * 28
    with pytest.raises(ValueError, match="n_cells is 0; expected a whole number"):
        sca.datasets.toy(n_cells=0)
