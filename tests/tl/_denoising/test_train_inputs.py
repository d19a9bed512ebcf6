"""What tl.train takes: cells and fragments of an AnnData, and bigWig files."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

import scatacworks as sca
from scatacworks._core.pileup import run_length_coverage
from scatacworks.tl._denoising import _bigwigs, _cells, _samples

SETTINGS = {"steps": 1, "epochs": 1, "core_bp": 8192, "batch_size": 1, "warmup": 0}
QUICK = {"model": "Linear", "progress": False}
KIND = "CD14+ Monocytes"


@pytest.fixture(scope="module")
def blood():
    adata = sca.datasets.pbmc_windows()
    sca.pp.pseudobulk(adata, "cell_type", groups=[KIND, "naive B"], progress=False, n_jobs=1)
    return adata


@pytest.fixture(scope="module")
def windows(blood):
    found = blood.uns["windows"]
    return found[found["chrom"].isin(["chr1", "chr11"])]


def test_cells_and_fragments_are_those_of_the_pseudobulk(blood):
    tracks = sca.get.tracks(blood, layer="cut_sites")
    found = _cells.read_cells(blood, "pseudobulk", [KIND], ["chr11", "chrM"], n_jobs=1, progress=False)[KIND]
    positions, _, counts = tracks.runs(KIND, "chr11")
    np.testing.assert_array_equal(found.positions["chr11"], np.repeat(positions, counts))
    assert found.n_cells == int((blood.obs["cell_type"] == KIND).sum())
    assert (np.bincount(found.fragments["chr11"]) == 2).all()
    assert len(found.positions["chrM"]) == 0
    ends = {}
    columns = [column["chr11"].tolist() for column in (found.positions, found.cells, found.fragments)]
    for position, cell, fragment in zip(*columns, strict=True):
        ends.setdefault(fragment, []).append((position, cell))
    assert all(a[1] == b[1] and 0 <= b[0] - a[0] < 5000 for a, b in ends.values())
    assert found.shares.sum() == pytest.approx(1)


@pytest.mark.parametrize("name", ["unit", "n_cells"])
def test_settings_do_not_say_what_is_drawn(blood, name):
    with pytest.raises(ValueError, match=f"settings has '{name}'; give draw= and n_cells="):
        sca.tl.train(blood, settings={name: "cells"}, progress=False)


def test_a_file_of_windows_is_used_only_there(blood):
    real = blood.uns["windows"]
    found = _samples.windows(blood, "pseudobulk")
    assert sum(map(len, found.values())) == len(real) == 44
    for chrom, start, end in real[["chrom", "start", "end"]].itertuples(index=False):
        inside = [(s, e) for s, e in found[chrom] if s < end and e > start]
        assert len(inside) == 1
        assert start <= inside[0][0] < inside[0][1] <= end  # nothing that was not measured
    frame = pd.DataFrame([(c, s, e) for c, rows in found.items() for s, e in rows], columns=["chrom", "start", "end"])
    options = {"groups": [KIND], "draw": "sites", "validation": ["chr11"], "settings": SETTINGS} | QUICK
    said = r"in 44 windows of 0\.8\d Mb in all; only these are used.*regions= names"
    with pytest.warns(UserWarning, match=said) as told:
        result = sca.tl.train(blood, **options)
    assert told[0].filename == __file__
    asked = sca.tl.train(blood, regions=frame, **options)
    assert result.history.equals(asked.history)
    assert result.model.card["split"] == asked.model.card["split"]
    assert result.model.card["genome"] == "hg38"
    tracks = sca.get.tracks(blood, layer="cut_sites")
    thinned = every_second(tracks)
    with pytest.warns(UserWarning, match="in 44 windows"):
        table = sca.tl.evaluate(thinned, tracks, groups=[KIND], baselines=["raw"], progress=False, n_jobs=1)
    assert table["n_bases"].tolist() == [(frame["end"] - frame["start"]).sum()]


def every_second(tracks):
    """Every second place with cut sites."""
    chromosomes = []
    for chrom in tracks.genome.chroms:
        runs = [tracks.runs(group, chrom) for group in range(len(tracks.groups))]
        chromosomes.append((chrom, [(starts[::2], None, counts[::2]) for starts, _, counts in runs]))
    return sca.Tracks.from_chromosomes(tracks.groups, tracks.genome, chromosomes)


def test_regions_that_were_hardly_measured_are_said(blood):
    tracks = sca.get.tracks(blood, layer="cut_sites")
    options = {"groups": [KIND], "regions": "chr11:60,000,000-61,000,000", "baselines": ["raw"], "progress": False}
    said = r"Only 0\.0\d of the 1\.00 Mb of regions= are windows that hold cut sites"
    with pytest.warns(UserWarning, match=said) as told:
        sca.tl.evaluate(every_second(tracks), tracks, **options)
    assert told[0].filename == __file__


def test_a_file_of_the_whole_genome_has_no_windows(deep):
    assert _samples.windows(deep, "") is None
    adata = sca.datasets.toy()
    sca.pp.pseudobulk(adata, "group", progress=False)
    assert _samples.windows(adata, "pseudobulk") is None


@pytest.mark.parametrize("options", [{"n_cells": [10, 50]}, {}, {"draw": "cells"}])
def test_cells_are_drawn_from_an_anndata(blood, windows, options):
    result = sca.tl.train(
        blood, groups=[KIND], regions=windows, validation=["chr11"], holdout=[], settings=SETTINGS, **options, **QUICK
    )
    expected = "auprc_50 cells" if "n_cells" in options else "auprc_1M"
    assert expected in result.history
    assert np.isfinite(result.history["loss"]).all()
    assert (result.model.card["depth_range"][1] < 2.5e7) == ("n_cells" in options)


def test_the_way_to_draw_follows_what_is_at_hand(blood, tmp_path):
    assert _cells.choose_unit(blood, "pseudobulk", None, []) == "fragments"
    assert _cells.choose_unit(blood, "pseudobulk", None, [5]) == "cells"
    assert _cells.choose_unit(blood, "pseudobulk", "sites", []) == "sites"
    tracks = sca.get.tracks(blood, layer="cut_sites")
    assert _cells.choose_unit(tracks, "pseudobulk", None, []) == "sites"
    moved = blood.copy()
    moved.uns["files"] = {"fragments": str(tmp_path / "gone.tsv.gz")}
    assert _cells.choose_unit(moved, "pseudobulk", None, []) == "sites"
    with pytest.raises(ValueError, match=r"no fragment file .*gone\.tsv\.gz"):
        _cells.choose_unit(moved, "pseudobulk", "cells", [])
    with pytest.raises(ValueError, match="tracks without cells"):
        _cells.choose_unit(tracks, "pseudobulk", None, [5])
    with pytest.raises(ValueError, match="draw='reads' is unknown"):
        _cells.choose_unit(blood, "pseudobulk", "reads", [])
    with pytest.raises(ValueError, match="leave out draw='sites'"):
        _cells.choose_unit(blood, "pseudobulk", "sites", [5])


def test_thinned_cut_sites_have_no_cells(blood):
    thinned = sca.pp.subsample(blood, fraction=0.3, copy=True)
    assert _cells.choose_unit(thinned, "subsample", None, []) == "sites"
    with pytest.raises(ValueError, match=r"\.uns\['subsample'\] holds cut sites that pp\.subsample thinned"):
        _cells.choose_unit(thinned, "subsample", "fragments", [])


def test_groups_that_have_changed_since_are_noticed(blood, windows):
    changed = blood.copy()
    names = changed.obs["cell_type"].astype(str).to_numpy()
    names[np.flatnonzero(names == KIND)[:20]] = "naive B"
    changed.obs["cell_type"] = names
    with pytest.raises(ValueError, match=r"changed since\. Run pp\.pseudobulk again"):
        sca.tl.train(changed, groups=[KIND], regions=windows, validation=["chr11"], settings=SETTINGS, **QUICK)


# -- bigWig files -----------------------------------------------------------------------------------------------------
SIZES = {"chr1": 60_000, "chr2": 30_000}


def cut_sites(rate, seed=0, sizes=SIZES):
    rng = np.random.default_rng(seed)
    chromosomes = []
    for chrom, size in sizes.items():
        expected = np.full(size, rate / 20)
        for center in range(3000, size - 1000, 4000):
            expected[center - 150 : center + 150] = rate
        expected[:300] = expected[-300:] = 0
        counts = rng.poisson(expected)
        at = np.flatnonzero(counts).astype(np.int32)
        chromosomes.append((chrom, [(at, None, counts[at].astype(np.uint32))]))
    return sca.Tracks.from_chromosomes(["x"], sca.Genome(sizes), chromosomes)


def written(tracks, path, extend=100):
    sca.io.write_bigwig(tracks, path, extend=extend, progress=False)
    return path


@pytest.fixture(scope="module")
def deep():
    return cut_sites(0.5)


@pytest.fixture(scope="module")
def shallow():
    return cut_sites(0.05, seed=1)


def read(path, kind, **options):
    return _bigwigs.read_sites(path, kind=kind, extend=100, n_jobs=1, progress=False, **options)


@pytest.mark.parametrize(("kind", "extend"), [("coverage", 100), ("cut_sites", None)])
def test_cut_sites_come_back_from_either_kind(deep, tmp_path, kind, extend):
    found = read(written(deep, tmp_path / "x.bw", extend), kind)
    for chrom in SIZES:
        for a, b in zip(found.sites.runs(0, chrom)[::2], deep.runs(0, chrom)[::2], strict=True):
            np.testing.assert_array_equal(a, b)
    assert found.unsolved == {}
    assert found.absent == {}


def test_a_pair_of_bigwigs_trains_as_the_tracks_do(deep, shallow, tmp_path):
    pair = written(deep, tmp_path / "clean.bw"), written(shallow, tmp_path / "noisy.bw")
    options = {"validation": ["chr2"], "holdout": [], "settings": SETTINGS} | QUICK
    files = sca.tl.train(pair[0], noisy=pair[1], **options)
    tracks = sca.tl.train(deep, noisy=shallow, **options)
    assert files.history.equals(tracks.history)
    with pytest.raises(ValueError, match="Have they been swapped"):
        sca.tl.train(pair[1], noisy=pair[0], **options)
    with pytest.raises(ValueError, match="bigwig='cut_sites'"):
        read(written(deep, tmp_path / "x.bw", None), "coverage")
    with pytest.raises(ValueError, match="expected 'coverage' or 'cut_sites'"):
        read(pair[0], "signal")


def test_coverage_is_not_taken_for_cut_sites(shallow, tmp_path):
    with pytest.raises(ValueError, match=r"'sample' keeps its values on chr1 for \d+ bases.*bigwig='coverage'"):
        read(written(shallow, tmp_path / "x.bw"), "cut_sites")


def test_a_pair_of_bigwigs_is_evaluated_as_the_tracks_are(deep, shallow, tmp_path):
    options = {"baselines": ["raw"], "progress": False, "n_jobs": 1}
    files = sca.tl.evaluate(written(shallow, tmp_path / "noisy.bw"), written(deep, tmp_path / "clean.bw"), **options)
    tracks = sca.tl.evaluate(shallow, deep, **options)
    pd.testing.assert_frame_equal(files.drop(columns="group"), tracks.drop(columns="group"))


def test_values_that_are_no_counts_are_refused(deep, tmp_path):
    pyBigWig = pytest.importorskip("pyBigWig")
    for name, value in (("scaled", 0.7), ("nan", float("nan"))):
        with pyBigWig.open(str(tmp_path / f"{name}.bw"), "w") as file:
            file.addHeader(list(SIZES.items()))
            file.addEntries(["chr1", "chr1"], [500, 900], ends=[501, 901], values=[1.0, value])
    with pytest.raises(ValueError, match="no counts of cut sites"):
        read(tmp_path / "scaled.bw", "cut_sites")
    for kind in ("coverage", "cut_sites"):
        with pytest.raises(ValueError, match=r"nan\.bw has NaN at chr1:900"):
            read(tmp_path / "nan.bw", kind)


def test_coverage_lost_in_a_gap_is_left_out(deep, tmp_path):
    chromosomes = []
    for chrom, size in SIZES.items():
        starts, lengths, values = run_length_coverage(*deep.runs(0, chrom)[::2], size, 100)
        beside = (starts + lengths <= 20_000) | (starts >= 20_100) if chrom == "chr1" else np.ones(len(starts), bool)
        chromosomes.append((chrom, [(starts[beside], lengths[beside], values[beside].astype(np.float32))]))
    gapped = sca.Tracks.from_chromosomes(["x"], deep.genome, chromosomes)
    with pytest.warns(UserWarning, match="they are left out"):
        found = read(written(gapped, tmp_path / "x.bw"), "coverage")
    (rows,) = found.unsolved.values()
    assert rows[0, 0] < 20_000 < rows[-1, 1]
    positions = found.sites.runs(0, "chr1")[0]
    assert np.isin(positions, deep.runs(0, "chr1")[0]).all()


def test_a_missing_chromosome_is_left_out_or_refused(deep, shallow, tmp_path):
    part = cut_sites(0.05, sizes={"chr1": SIZES["chr1"]})
    pair = {"noisy": written(part, tmp_path / "noisy.bw"), "holdout": [], "settings": SETTINGS} | QUICK
    clean = written(deep, tmp_path / "clean.bw")
    with pytest.warns(UserWarning, match=r"left out: .*noisy\.bw lacks chr2"):
        sca.tl.train(clean, validation=["chr1:40,000-60,000"], **pair)
    with pytest.raises(ValueError, match=r"noisy\.bw lacks chr2, which regions= asks for"):
        sca.tl.train(clean, regions=["chr1", "chr2"], validation=["chr2"], **pair)


def test_bigwigs_of_different_genomes_are_refused(deep, tmp_path):
    other = cut_sites(0.05, sizes={"chr1": 50_000, "chr2": 30_000})
    clean, noisy = written(deep, tmp_path / "clean.bw"), written(other, tmp_path / "noisy.bw")
    with pytest.raises(ValueError, match=r"noisy\.bw: chr1 has 50,000 bp, .* different genomes"):
        sca.tl.train(clean, noisy=noisy, settings=SETTINGS, **QUICK)


def test_too_few_windows_and_validation_without_peaks_are_said(deep):
    options = {"holdout": [], "settings": SETTINGS | {"batch_size": 4}} | QUICK
    with pytest.warns(UserWarning, match="only 1 crops of 8,192 bp, fewer than one batch"):
        sca.tl.train(deep, regions=["chr1:0-8,000", "chr2"], validation=["chr2"], **options)
    peaks = pd.DataFrame({"chrom": ["chr1"], "start": [2850], "end": [3150]})
    with pytest.raises(ValueError, match="no peak in chr2"):
        sca.tl.train(deep, validation=["chr2"], peaks=peaks, **options)


def test_lost_coverage_is_that_of_the_group_that_is_named(tmp_path):
    pyBigWig = pytest.importorskip("pyBigWig")
    box = 201
    lost = {"long": 150, "short": 100}  # bases of half a box beside whole ones: 1 and 5 % of what is covered
    for name, n_boxes in (("long", 74), ("short", 9)):
        with pyBigWig.open(str(tmp_path / f"{name}.bw"), "w") as file:
            file.addHeader([("chr1", 60_000)])
            starts = [500 + 300 * i for i in range(n_boxes + 1)]
            ends = [start + box for start in starts[:-1]] + [starts[-1] + lost[name]]
            file.addEntries(["chr1"] * len(starts), starts, ends=ends, values=[1.0] * len(starts))
    with pytest.warns(UserWarning, match=r"100 covered bases of 'short' \(5\.24%\)"):
        found = read({name: tmp_path / f"{name}.bw" for name in lost}, "coverage")
    assert [len(found.sites.runs(group, "chr1")[0]) for group in ("long", "short")] == [74, 9]


def test_mitochondria_stay_out_where_a_file_lacks_a_chromosome():
    sizes = {"chr1": 1_000, "chr2": 500, "chrM": 100}
    every = np.arange(0, 100, 5, dtype=np.int32), None, np.ones(20, np.uint32)
    tracks = sca.Tracks.from_chromosomes(["x"], sca.Genome(sizes), [(chrom, [every]) for chrom in sizes])
    with pytest.warns(UserWarning, match=r"x\.bw lacks chr2"):
        assert list(_bigwigs.present(None, tracks, "", {"chr2": Path("x.bw")})) == ["chr1"]
    assert list(_bigwigs.present(["chrM"], tracks, "", {"chr2": Path("x.bw")})) == ["chrM"]


def test_mitochondria_are_trained_on_only_where_named():
    genome = sca.Genome({"chr1": 1_000, "chr20": 500, "chrM": 100})
    for regions, expected in [(None, ["chr1"]), (["chr1:5-90", "chrM"], ["chr1", "chrM"])]:
        found = None if regions is None else _samples.intervals(regions, genome)
        train, validation, _ = _samples.split(genome, found, None, None)
        assert sorted(train) == expected
        assert sorted(validation) == (["chr20"] if regions is None else [])


def test_one_chromosome_may_be_named_without_a_list(blood):
    found = _samples.split(sca.Genome("hg38"), None, "chr11", "chr12")
    for part, listed in zip(found, _samples.split(sca.Genome("hg38"), None, ["chr11"], ["chr12"]), strict=True):
        assert list(part) == list(listed)
    assert list(found[1]) == ["chr11"]


@pytest.mark.parametrize(
    ("options", "error", "message"),
    [
        ({"settings": [5]}, TypeError, r"settings is \[5\]; expected a dict"),
        ({"card": "mine"}, TypeError, "card is 'mine'; expected a dict"),
        ({"settings": {"steps": "5"}}, TypeError, "steps is '5'"),
        ({"settings": {"steps": 5, "epochs": 10}}, ValueError, "steps is 5 and epochs 10; .* at most 5 epochs"),
        ({"resume": True}, ValueError, "resume=True needs the folder"),
    ],
)
def test_what_training_cannot_do_is_told(blood, windows, options, error, message):
    with pytest.raises(error, match=message):
        sca.tl.train(blood, regions=windows, validation="chr11", **QUICK, **options)


def test_tracks_of_coverage_are_refused_with_the_way_out(blood):
    sites = sca.get.tracks(blood)
    coverage = sca.Tracks.from_dict(sites.to_dict() | {"lengths": np.ones(sites.n_runs, np.int32)})
    with pytest.raises(ValueError, match=r"Expected cut sites .* Of bigWig files of coverage give the paths"):
        sca.tl.train(coverage, **QUICK)


def test_a_group_that_the_other_half_lacks_is_named_with_whose_it_is(deep, shallow):
    other = sca.Tracks.from_dict(shallow.to_dict() | {"groups": ["y"]})
    lacks = rf"has no group '{deep.groups[0]}'; it has y\. Name groups of both by groups="
    with pytest.raises(KeyError, match=f"noisy= {lacks}"):
        sca.tl.train(deep, noisy=other, validation=["chr2"], holdout=[], settings=SETTINGS, **QUICK)
    with pytest.raises(KeyError, match=rf"The truth has no group 'y'; it has {deep.groups[0]}\."):
        sca.tl.evaluate(other, deep, progress=False)


@pytest.mark.parametrize(
    ("names", "why"),
    [
        (("chr1", "chr20"), "as chr20 is not in regions= or has no cut sites"),
        (("chr1", "chr2"), "as 'toy' has neither chr20 nor chr11"),
    ],
)
def test_it_is_told_why_there_is_no_validation(names, why, caplog):
    genome = sca.Genome(dict.fromkeys(names, 20_000), name="toy")
    sites = np.arange(0, 20_000, 20, dtype=np.int32), None, np.ones(1_000, np.uint16)
    tracks = sca.Tracks.from_chromosomes(["B"], genome, [("chr1", [sites])])
    peaks = pd.DataFrame({"chrom": ["chr1"], "start": [9_000], "end": [10_000]})
    options = {"peaks": peaks, "regions": ["chr1"], "settings": SETTINGS, "depth": 1e8}
    sca.tl.train(tracks, **options, **QUICK)
    assert f"There is no validation region, {why}: the network" in caplog.text
