"""Fragments that are cut in excluded regions are as if they were not in the file, for whoever reads it."""

from __future__ import annotations

import anndata as ad
import mudata
import numpy as np
import pandas as pd
import pytest

import scatacworks as sca
from scatacworks.tl._denoising import _cells

GENE = pd.DataFrame({"chrom": ["chr1"], "start": [20_000], "end": [25_000], "name": ["GENE"], "strand": ["+"]})
GENOME = sca.Genome({"chr1": 60_000, "chr2": 30_000, "chrM": 1_000}, name="toy", genes=GENE)
BLACKLIST = pd.DataFrame({"chrom": ["chr1", "chr1", "2"], "start": [5_000, 40_000, 0], "end": [9_000, 41_000, 30_000]})


SPANS = {"chr1": [(5_000, 9_000), (40_000, 41_000)], "chr2": [(0, 30_000)], "chrM": []}  # the same


def is_excluded(row):
    chrom, start, end = row[:3]
    return any(low <= site < high for site in (start, end - 1) for low, high in SPANS[chrom])


def random_rows(n=4_000, seed=0):
    rng = np.random.default_rng(seed)
    rows = []
    for _ in range(n):
        chrom = rng.choice(["chr1", "chr2", "chrM"], p=[0.6, 0.3, 0.1])
        length = int(rng.integers(30, 600))
        start = int(rng.integers(0, GENOME.length(chrom) - length))
        rows.append((chrom, start, start + length, f"CELL{rng.integers(12):02d}", int(rng.integers(1, 4))))
    rows.append(("chr2", 100, 300, "ONLYTHERE", 1))
    return sorted(rows, key=lambda row: (GENOME.code(row[0]), row[1]))


def write(path, rows):
    path.write_text("".join("\t".join(map(str, row)) + "\n" for row in rows))
    return path


def read(path, **options):
    return sca.io.read_fragments(path, **({"genome": GENOME, "min_fragments": 0, "progress": False} | options))


@pytest.fixture
def files(tmp_path):
    """A file, and the same one without the lines that are to be left out."""
    rows = random_rows()
    kept = [row for row in rows if not is_excluded(row)]
    assert 100 < len(kept) < len(rows) - 100
    return write(tmp_path / "all.tsv", rows), write(tmp_path / "kept.tsv", kept)


def halves(adata):
    adata.obs["half"] = ["even" if name.endswith(tuple("02468")) else "odd" for name in adata.obs_names]
    return adata


def steps(adata):
    """What the steps that read fragments find."""
    halves(adata)
    sca.pp.pseudobulk(adata, "half", progress=False)
    counts = sca.pp.count_regions(adata, "chr1:1-50,000", progress=False)
    sca.pp.qc_metrics(adata, progress=False)
    quality = adata.obs[["n_fragments", "frac_mito", "tsse", "nucleosome_signal"]]
    return {
        "quality": quality.fillna(-1).to_dict(),
        "pseudobulk": adata.uns["pseudobulk"]["params"]["digest"],
        "territory": adata.uns["pseudobulk"]["params"]["territory_bp"],
        "counts": counts.X.toarray().tolist(),
    }


@pytest.mark.parametrize("in_memory", [False, True])
def test_every_step_is_as_without_these_lines(files, in_memory):
    everything, kept = files
    adata = read(everything, exclude=BLACKLIST, in_memory=in_memory)
    alone = adata[adata.obs_names != "ONLYTHERE"].copy()
    assert adata.obs.loc["ONLYTHERE", "n_fragments"] == 0, "a cell of the file, all of whose fragments are left out"
    expected = read(kept, barcodes=alone.obs_names.tolist(), in_memory=in_memory)
    pd.testing.assert_frame_equal(alone.obs, expected.obs)
    assert steps(alone) == steps(expected)
    assert alone.uns["scatacworks"]["fragments"]["n_excluded"] == sum(map(is_excluded, random_rows()))
    written = alone.uns["excluded_regions"]
    assert list(written.itertuples(index=False, name=None)) == [
        ("chr1", 5_000, 9_000), ("chr1", 40_000, 41_000), ("chr2", 0, 30_000)
    ]  # fmt: skip


@pytest.mark.parametrize("kind", ["file", "memory", "samples", "mudata"])
def test_a_table_in_an_object_made_elsewhere_is_obeyed(files, tmp_path, kind):
    barcodes = [f"CELL{i:02d}" for i in range(12)]
    if kind == "samples":
        paths = [{"a": path, "b": path} for path in files]
        barcodes = {"a": barcodes[:6], "b": barcodes[6:]}
    else:
        paths = files
    adata, expected = (read(path, barcodes=barcodes, in_memory=kind == "memory") for path in paths)
    adata.uns["excluded_regions"] = BLACKLIST
    for one in (halves(adata), halves(expected)):
        sca.pp.pseudobulk(one, "half", progress=False)
    found, wanted = (one.uns["pseudobulk"]["params"]["digest"] for one in (adata, expected))
    assert found == wanted
    if kind == "mudata":
        mudata.MuData({"atac": adata}).write_h5mu(tmp_path / "cells.h5mu")
        back = mudata.read_h5mu(tmp_path / "cells.h5mu")
    else:
        adata.write_h5ad(tmp_path / "cells.h5ad")
        back = ad.read_h5ad(tmp_path / "cells.h5ad")
    sca.pp.pseudobulk(back, "atac:half" if kind == "mudata" else "half", key_added="again", progress=False)
    again = back.mod["atac"] if kind == "mudata" else back
    assert again.uns["again"]["params"]["digest"] == wanted


def test_regions_elsewhere_are_warned_of_once(files):
    adata = halves(read(files[0]))
    adata.uns["excluded_regions"] = pd.concat([BLACKLIST, pd.DataFrame({"chrom": ["chrZ"], "start": [0], "end": [9]})])
    with pytest.warns(UserWarning, match="chromosomes that toy lacks") as told:
        sca.pp.pseudobulk(adata, "half", progress=False)
    assert sum("lacks" in str(one.message) for one in told) == 1


def test_an_object_of_counts_knows_them(files):
    adata = read(files[0], exclude=BLACKLIST)
    counts = sca.pp.count_regions(adata, "chr1:1-50,000", progress=False)
    assert counts.uns["excluded_regions"].equals(adata.uns["excluded_regions"])


def test_a_bed_file_and_a_region(files, tmp_path):
    BLACKLIST.to_csv(tmp_path / "blacklist.bed", sep="\t", header=False, index=False)
    expected = read(files[0], exclude=BLACKLIST).obs
    pd.testing.assert_frame_equal(read(files[0], exclude=tmp_path / "blacklist.bed").obs, expected)
    pd.testing.assert_frame_equal(
        read(files[0], exclude=["chr1:5,000-9,000", "chr1:40,000-41,000", "chr2"]).obs, expected
    )


@pytest.mark.parametrize("nothing", [BLACKLIST.iloc[:0], []], ids=["table", "list"])
def test_no_region_leaves_everything_in(files, nothing):
    adata = read(files[0], exclude=nothing)
    pd.testing.assert_frame_equal(adata.obs, read(files[0]).obs)
    assert "excluded_regions" not in adata.uns


def test_regions_may_be_names_alone(files):
    names = pd.DataFrame(index=["chr1:5000-9000", "chr1:40000-41000", "chr2:0-30000"])
    pd.testing.assert_frame_equal(read(files[0], exclude=names).obs, read(files[0], exclude=BLACKLIST).obs)


def test_nothing_left_is_told(files):
    with pytest.raises(ValueError, match=r"All 4,001 fragments in .*all.tsv are cut in the regions that are left out"):
        read(files[0], exclude=["chr1", "chr2", "chrM"])
    with pytest.raises(ValueError, match=r"All 1 fragments of the cells in .*all.tsv are cut"):
        read(files[0], barcodes=["ONLYTHERE"], exclude=BLACKLIST)


def test_regions_by_chromosome_are_refused_rather_than_read_as_whole_chromosomes(files):
    with pytest.raises(TypeError, match="expected a region, gene, BED file or table"):
        read(files[0], exclude={"chr1": [(5_000, 9_000)]})


def test_wrong_regions_are_named(files):
    with pytest.raises(ValueError, match="not within chr1 of toy") as caught:
        read(files[0], exclude=("chr1", 5_000, 70_000))
    assert "regions whose fragments are to be left out" in caught.value.__notes__[0]


def test_training_draws_the_cells_that_were_counted(files):
    adata = halves(read(files[0], exclude=BLACKLIST))
    sca.pp.pseudobulk(adata, "half", progress=False)
    cells = _cells.read_cells(adata, "pseudobulk", ["even"], ["chr1"], n_jobs=1, progress=False)["even"]
    _cells.check_same(cells, sca.get.tracks(adata), "even", "pseudobulk")
    starts, counts = sca.get.tracks(adata).sites("even", "chr1", 0, 60_000)
    np.testing.assert_array_equal(np.sort(cells.positions["chr1"]), np.repeat(starts, counts))
