from __future__ import annotations

import anndata as ad
import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

import scatacworks as sca
from scatacworks._core.counting import FRAGMENT, INSERTION, PAIRED_INSERTION, cells_in_regions
from scatacworks._core.pileup import CONVENTIONS

MODES = {"insertion": INSERTION, "fragment": FRAGMENT, "paired-insertion": PAIRED_INSERTION}


def count(fragment, region, counting, convention):
    (start, end), (low, high) = fragment, region
    inside = [low <= site < high for site in np.add(fragment, CONVENTIONS[convention])]
    return {
        "insertion": sum(inside),
        "fragment": int(start < high and end > low),
        "paired-insertion": int(any(inside)),
    }[counting]


intervals = st.lists(st.tuples(st.integers(0, 90), st.integers(1, 40)).map(lambda p: (p[0], p[0] + p[1])), max_size=12)


@pytest.mark.parametrize("counting", MODES)
@given(fragments=intervals, regions=intervals, convention=st.sampled_from(list(CONVENTIONS)))
def test_counts_equal_a_double_loop(counting, fragments, regions, convention):
    fragments, regions = sorted(fragments), sorted(regions)
    start, end = (np.array([f[i] for f in fragments], np.int32) for i in (0, 1))
    low, high = (np.array([r[i] for r in regions], np.int64) for i in (0, 1))
    own = {"mode": MODES[counting], "shifts": CONVENTIONS[convention]}
    cells, columns = cells_in_regions(start, end, np.arange(len(start), dtype=np.int32), low, high, **own)
    found = np.zeros((len(fragments), len(regions)), int)
    np.add.at(found, (cells, columns), 1)
    expected = [[count(fragment, region, counting, convention) for region in regions] for fragment in fragments]
    np.testing.assert_array_equal(found, np.array(expected).reshape(found.shape))


@pytest.mark.parametrize("counting", MODES)
def test_real_windows_equal_pandas(pbmc, pbmc_fragments, shared_data, counting):
    windows = pd.read_csv(shared_data / "pbmc10k_windows" / "windows.bed", sep="\t", header=None).iloc[::-1, :3]
    windows.columns = ["chrom", "start", "end"]
    windows["end"] = windows["start"] + 9_000
    counts = sca.pp.count_regions(pbmc, windows, counting=counting, progress=False)
    assert counts.shape == (pbmc.n_obs, len(windows))
    assert counts.obs_names.equals(pbmc.obs_names)
    assert counts.var["start"].tolist() == windows["start"].tolist(), "the order given is kept"
    for column, (chrom, low, high) in enumerate(windows.itertuples(index=False)):
        own = pbmc_fragments[pbmc_fragments["chrom"] == chrom]
        left, right = own["start"].between(low, high - 1), (own["end"] - 1).between(low, high - 1)
        n = {
            "insertion": left.astype(int) + right,
            "fragment": ((own["start"] < high) & (own["end"] > low)).astype(int),
            "paired-insertion": (left | right).astype(int),
        }[counting]
        expected = n.groupby(own["barcode"]).sum().reindex(pbmc.obs_names, fill_value=0)
        np.testing.assert_array_equal(counts.X[:, [column]].toarray().ravel(), expected)


@pytest.mark.parametrize("convention", CONVENTIONS)
def test_insertions_of_disjoint_regions_equal_the_pseudobulk(pbmc, shared_data, convention):
    bed = shared_data / "pbmc10k_windows" / "windows.bed"
    counts = sca.pp.count_regions(pbmc, bed, convention=convention, progress=False)
    sca.pp.pseudobulk(pbmc, "celltype", convention=convention, progress=False)
    by_group = sca.get.regions_matrix(pbmc, bed)
    assert by_group.var_names.equals(counts.var_names)
    params = counts.uns["count_regions"]["params"]
    assert (params["counting"], params["convention"]) == ("insertion", convention)
    for celltype, own in pbmc.obs.groupby("celltype", observed=True).indices.items():
        expected = np.asarray(counts.X[own].sum(0)).ravel()
        np.testing.assert_array_equal(np.asarray(by_group[celltype].X).ravel(), expected)


def test_the_result_knows_its_fragments_and_goes_on_to_lsi(pbmc, shared_data, tmp_path):
    counts = sca.pp.count_regions(pbmc, shared_data / "pbmc10k_windows" / "windows.bed", progress=False)
    counts = counts[np.asarray(counts.X.sum(1)).ravel() > 0].copy()
    sca.pp.lsi(counts, n_components=10)
    sca.pp.pseudobulk(counts, "celltype", groups=["NK"], progress=False)
    counts.write_h5ad(tmp_path / "counts.h5ad")
    back = ad.read_h5ad(tmp_path / "counts.h5ad")
    assert back.var["chrom"].iloc[0] == counts.var["chrom"].iloc[0]
    assert sca.get.tracks(back).groups.tolist() == ["NK"]


def test_the_result_keeps_fragments_that_are_held_in_the_object():
    adata = sca.datasets.toy()
    assert "files" not in adata.uns
    counts = sca.pp.count_regions(adata, [f"{adata.uns['reference_sequences'].iloc[0, 0]}:0-1000"], progress=False)
    for cells in (adata, counts):
        sca.pp.pseudobulk(cells, "group", progress=False)
    np.testing.assert_array_equal(sca.get.tracks(counts).sums(), sca.get.tracks(adata).sums())


def test_regions_that_do_not_fit_are_named(pbmc):
    with pytest.raises(ValueError, match="1 of 2 regions are empty or reach over the end"):
        sca.pp.count_regions(pbmc, pd.DataFrame({"chr": ["chr1"] * 2, "start": [5, 9], "end": [10, 9]}))
    with pytest.raises(KeyError, match=r"lacks the column\(s\) end"):
        sca.pp.count_regions(pbmc, pd.DataFrame({"chrom": ["chr1"], "start": [5]}))
    with pytest.raises(ValueError, match="2 of 2 regions lie on chromosomes that hg38 lacks"):
        sca.pp.count_regions(pbmc, pd.DataFrame({"chrom": ["scaffold"] * 2, "start": [5, 6], "end": [9, 9]}))
    with pytest.raises(ValueError, match="counting='reads' is unknown"):
        sca.pp.count_regions(pbmc, ["chr1:1-2"], counting="reads")
    with pytest.raises(ValueError, match="convention='tn5' is unknown"):
        sca.pp.count_regions(pbmc, ["chr1:1-2"], convention="tn5")
    with pytest.raises(ValueError, match="regions is empty; give at least one"):
        sca.pp.count_regions(pbmc, pd.DataFrame({"chrom": [], "start": [], "end": []}))
    with pytest.raises(FileNotFoundError, match="nowhere.bed"):
        sca.pp.count_regions(pbmc, "nowhere.bed")


def test_unknown_chromosomes_are_left_out_and_repeats_counted_once(pbmc):
    regions = pd.DataFrame({"chrom": ["1", "alt", "chr1"], "start": [100, 5, 100], "end": [200, 9, 200]})
    with pytest.warns(UserWarning, match="1 of 3 regions lie on chromosomes that hg38 lacks \\(alt\\)"):
        counts = sca.pp.count_regions(pbmc, regions, progress=False)
    assert counts.var_names.tolist() == ["chr1:100-200"]
