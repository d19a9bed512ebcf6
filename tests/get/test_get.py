from __future__ import annotations

import anndata as ad
import numpy as np
import pandas as pd
import pytest

import scatacworks as sca
from scatacworks import Genome, Tracks
from scatacworks._core.runs import encode

GENOME = Genome({"chr1": 400, "chr2": 200}, name="toy")


@pytest.fixture
def denoised():
    """Two groups with random steps on a background of 0.5 and 0, and the dense arrays they stand for."""
    rng = np.random.default_rng(0)
    dense = {
        chrom: np.stack([np.repeat(rng.choice([f, 1.0, 2.5], n // 20), 20) for f in (0.5, 0.0)]).astype(np.float32)
        for chrom, n in GENOME.sizes.items()
    }
    fill = np.array([0.5, 0.0])
    chromosomes = [(c, [encode(row, 0, f) for row, f in zip(rows, fill, strict=True)]) for c, rows in dense.items()]
    tracks = Tracks.from_chromosomes(["NK/T", "µ B"], GENOME, chromosomes, fill=fill)
    uns = {"denoised": {"signal": tracks.to_dict(), "probability": tracks.to_dict(), "params": {}}}
    return ad.AnnData(uns=uns), dense


@pytest.fixture
def toy():
    adata = sca.datasets.toy(n_cells=30)
    sca.pp.pseudobulk(adata, "group", progress=False)
    return adata


def test_denoised_layers_come_as_they_are(denoised):
    adata, dense = denoised
    for group, row in (("NK/T", 0), ("µ B", 1)):
        for extend in (0, 100):
            shown = sca.get.track(adata, group, ("chr1", 30, 390), key="denoised", extend=extend)
            np.testing.assert_array_equal(shown, dense["chr1"][row, 30:390])
    assert sca.get.tracks(adata, key="denoised", layer="probability").groups.tolist() == ["NK/T", "µ B"]


def test_coverage_is_the_boxes_around_cut_sites(toy):
    sites = sca.get.track(toy, "A", "chr1", extend=0)
    assert sites.sum() == sca.get.tracks(toy).sums("chr1")[0]
    for extend in (5, 100):
        expected = np.convolve(sites, np.ones(2 * extend + 1), mode="same")
        np.testing.assert_array_equal(sca.get.track(toy, "A", "chr1", extend=extend), expected)
        part = sca.get.track(toy, "A", ("chr1", 60_000, 60_500), extend=extend)
        np.testing.assert_array_equal(part, expected[60_000:60_500])


def test_regions_over_the_ends_of_what_is_stored_are_zero(toy):
    assert sca.get.track(toy, "B", ("chr2", 0, 1)).shape == (1,)
    assert sca.get.track(toy, "B", ("chr2", 99_999, 100_000)).shape == (1,)


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (lambda a: sca.get.track(a, "Z", "chr1"), KeyError, "no group 'Z'; the groups are 'A', 'B', 'C'"),
        (lambda a: sca.get.track(a, "A", "chr1:1-900,000"), ValueError, "not within chr1"),
        (lambda a: sca.get.track(a, "A", "chr9:1-9"), ValueError, "outside the genome"),
        (lambda a: sca.get.track(a, "A", "chr1", extend=-1), ValueError, "extend is -1; expected a whole number"),
        (lambda a: sca.get.track(a, "A", "chr1", layer="signal"), KeyError, "no layer 'signal'; it has cut_sites"),
        (lambda a: sca.get.tracks(a, key="denoised"), KeyError, "run sca.tl.denoise.* first"),
        (sca.get.peaks, KeyError, "run sca.tl.call_peaks.* first"),
        (lambda a: sca.get.regions_matrix(a, ["chr1:1-9"], statistic="median"), ValueError, "'sum', 'mean' or 'max'"),
    ],
)
def test_what_is_missing_or_wrong_is_named(toy, call, error, message):
    with pytest.raises(error, match=message):
        call(toy)


@pytest.mark.parametrize("slot", [pd.DataFrame({"probability": [0.5]}), {"signal": np.ones(3)}])
@pytest.mark.parametrize("layer", [None, "probability", "signal"])
def test_other_results_that_have_columns_of_a_tracks_name_are_no_tracks(toy, slot, layer):
    toy.uns["mine"] = slot
    with pytest.raises(KeyError, match=r"\.uns\['mine'\] holds no tracks"):
        sca.get.tracks(toy, key="mine", layer=layer)


@pytest.mark.parametrize("key", [["denoised"], None, 3])
def test_a_key_is_a_name(toy, key):
    with pytest.raises(KeyError, match=r"There is no \.uns\[.*\] \(there are: .*'pseudobulk'"):
        sca.get.tracks(toy, key=key)


@pytest.mark.parametrize("statistic", ["sum", "mean", "max"])
def test_regions_equal_the_dense_arrays(denoised, statistic):
    adata, dense = denoised
    rng = np.random.default_rng(1)
    regions = []
    for chrom, n in GENOME.sizes.items():
        start = rng.integers(0, n - 1, 30)
        regions += [(chrom, int(s), int(rng.integers(s + 1, n + 1))) for s in start]
    rng.shuffle(regions)
    regions = [("chr1", 0, 400), *regions]
    table = pd.DataFrame(regions, columns=["chrom", "start", "end"]).drop_duplicates()
    matrix = sca.get.regions_matrix(adata, table, key="denoised", statistic=statistic)
    assert matrix.shape == (2, len(table))
    expected = [
        [
            getattr(dense[c][g, s:e], statistic)(dtype=float) if statistic != "max" else dense[c][g, s:e].max()
            for c, s, e in table.itertuples(index=False)
        ]
        for g in range(2)
    ]
    np.testing.assert_allclose(matrix.X, expected, rtol=1e-6)
    assert matrix.obs_names.tolist() == ["NK/T", "µ B"]
    assert matrix.var["start"].tolist() == table["start"].tolist()


@pytest.mark.parametrize("statistic", ["sum", "mean", "max"])
@pytest.mark.parametrize("fill", [0.1, np.nan])
def test_regions_with_a_base_that_is_not_known_are_not_known(statistic, fill):
    genome = sca.Genome({"chr1": 40, "chrM": 10})
    known = (np.array([5, 20], np.int32), np.array([10, 10], np.int32), np.array([3, np.nan], np.float32))
    unknown = (np.array([0], np.int32), np.array([10], np.int32), np.array([np.nan], np.float32))
    tracks = sca.Tracks.from_chromosomes(["B"], genome, [("chr1", [known]), ("chrM", [unknown])], fill=fill)
    adata = ad.AnnData(uns={"denoised": {"signal": tracks.to_dict()}})
    regions = [("chr1", 6, 9), ("chr1", 0, 8), ("chr1", 8, 22), ("chr1", 25, 28), ("chr1", 32, 39), ("chrM", 2, 5)]
    table = pd.DataFrame(regions, columns=["chrom", "start", "end"])
    found = sca.get.regions_matrix(adata, table, key="denoised", statistic=statistic)
    expected = [getattr(tracks.window("B", *region), statistic)() for region in regions]
    np.testing.assert_allclose(found.X[0], expected, rtol=1e-6)


def test_cut_sites_in_regions_are_numbers_of_cut_sites(toy):
    halves = sca.get.regions_matrix(toy, ["chr1:0-100,000", "chr1:100,000-200,000", "chr2"])
    np.testing.assert_array_equal(np.asarray(halves.X).sum(1), sca.get.tracks(toy).sums())
    assert halves.obs["n_fragments"].tolist() == toy.uns["pseudobulk"]["n_fragments"].tolist()


def test_numbers_are_names_of_groups_of_peaks_too():
    table = pd.DataFrame({"group": [10, 3], "chrom": ["chr1"] * 2, "start": [1, 5], "end": [2, 6]})
    adata = ad.AnnData(uns={"peaks": table})
    for group in (3, "3", 3.0):
        assert sca.get.peaks(adata, group)["start"].tolist() == [5]


def test_peaks_of_one_several_and_all_groups():
    groups = pd.Categorical(["a", "a", "b"], ["a", "b", "c"])
    table = pd.DataFrame({"group": groups, "chrom": ["chr1"] * 3, "start": [1, 5, 3], "end": [2, 6, 9]})
    adata = ad.AnnData(uns={"peaks": table})
    assert sca.get.peaks(adata)["start"].tolist() == [1, 5, 3]
    assert sca.get.peaks(adata, "b")["start"].tolist() == [3]
    assert sca.get.peaks(adata, ["b", "a"])["start"].tolist() == [3, 1, 5]
    assert sca.get.peaks(adata, "c").empty
    with pytest.raises(KeyError, match="no group 'd' among the peaks .* 'a', 'b', 'c'"):
        sca.get.peaks(adata, "d")
    given = sca.get.peaks(adata)
    given["start"] = 0
    assert table["start"].tolist() == [1, 5, 3], "the table given out is not the stored one"


def test_what_concat_leaves_of_several_pseudobulks_is_told(toy):
    other = sca.datasets.toy(n_cells=30, seed=1)
    sca.pp.pseudobulk(other, "group", progress=False)
    del toy.obsm["fragment_paired"], other.obsm["fragment_paired"]  # too wide for concat
    joined = ad.concat([toy, other], index_unique="-", uns_merge="unique")
    with pytest.raises(KeyError, match=r"lacks 'indptr', as where anndata.concat .* del adata.uns\['pseudobulk'\]"):
        sca.get.tracks(joined)
