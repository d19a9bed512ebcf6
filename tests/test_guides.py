"""Code of the guide that runs on what is in the package."""

from __future__ import annotations

import gzip
import importlib.util
import re
from pathlib import Path

import numpy as np
import pandas as pd
import pysam
import pytest

import scatacworks as sca

DOCS = Path(__file__).parents[1] / "docs"
GUIDE = DOCS / "guide"


def blocks(page: str, section: str) -> str:
    """The Python of one section of a page."""
    text = re.search(rf"^## {section}\n(.*?)(?=^## |\Z)", (GUIDE / page).read_text(), re.MULTILINE | re.DOTALL)[1]
    return "\n".join(re.findall(r"^```python\n(.*?)^```", text, re.MULTILINE | re.DOTALL))


def outputs(page: str, section: str) -> str:
    """What a section of a page says is printed."""
    text = re.search(rf"^## {section}\n(.*?)(?=^## |\Z)", (GUIDE / page).read_text(), re.MULTILINE | re.DOTALL)[1]
    return re.search(r"^```text\n(.*?)^```", text, re.MULTILINE | re.DOTALL)[1]


def test_gene_scores():
    names = {"sca": sca, "pd": pd}
    *before, last = blocks("groups.md", "What clusters are").strip().split("\n")
    exec("\n".join(before), names)
    shown = [line.rstrip() for line in str(eval(last, names)).splitlines()]
    assert shown == outputs("groups.md", "What clusters are").splitlines()


def test_a_hub(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    exec(blocks("tracks.md", "In a genome browser"), {"sca": sca})
    files = {path.as_posix() for path in Path("hub").rglob("*") if path.is_file()}
    assert files == set(outputs("tracks.md", "In a genome browser").split())


def test_a_bam_file_of_real_fragments(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    adata = sca.datasets.pbmc_windows()
    with gzip.open(adata.uns["files"]["fragments"], "rt") as handle:
        rows = [line.split()[:4] for line in handle if not line.startswith("#")][:2_000]
    rows = [(chrom, int(start) - 4, int(end) + 5, barcode) for chrom, start, end, barcode in rows]  # as aligned
    sizes = sca.Genome("hg38").sizes
    header = pysam.AlignmentHeader.from_dict(
        {"HD": {"SO": "unsorted"}, "SQ": [{"SN": name, "LN": size} for name, size in sizes.items()]}
    )
    with pysam.AlignmentFile("possorted_bam.bam", "wb", header=header) as bam:
        for number, (chrom, start, end, barcode) in enumerate(rows):
            for flag, position in ((99, start), (147, end - 20)):
                text = f"r{number}\t{flag}\t{chrom}\t{position + 1}\t60\t20M\t=\t1\t0\t{'A' * 20}\t{'I' * 20}"
                bam.write(pysam.AlignedSegment.fromstring(f"{text}\tCB:Z:{barcode}", header))
    cells = adata.obs_names[adata.obs_names.isin({row[3] for row in rows})]
    Path("cells.tsv").write_text("\n".join(cells))
    names = {"sca": sca}
    exec(blocks("fragments.md", "From alignments"), names)
    expected = pd.Series([row[3] for row in rows]).value_counts().reindex(cells)
    assert names["adata"].obs["n_fragments"].to_dict() == expected.to_dict()
    with gzip.open("fragments.tsv.gz", "rt") as handle:
        found = {tuple(line.split()[:4]) for line in handle}
    assert found == {(chrom, str(start + 4), str(end - 5), barcode) for chrom, start, end, barcode in rows}


def test_a_bulk_sample(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    header = pysam.AlignmentHeader.from_dict({"SQ": [{"SN": "chrI", "LN": 10_000}]})
    with pysam.AlignmentFile("wild_type.bam", "wb", header=header) as bam:
        for flag, position in ((99, 1000), (147, 1180)):
            text = f"r\t{flag}\tchrI\t{position + 1}\t60\t20M\t=\t1\t0\t{'A' * 20}\t{'I' * 20}"
            bam.write(pysam.AlignedSegment.fromstring(text, header))
    Path("yeast.chrom.sizes").write_text("chrI\t10000\n")
    names = {"sca": sca}
    exec(blocks("fragments.md", "Bulk samples"), names)
    cut_sites = sca.get.track(names["adata"], "wild type", "chrI", key="pseudobulk", extend=0)
    assert np.flatnonzero(cut_sites).tolist() == [1004, 1194]


def test_a_network_by_hand_and_a_loop_of_ones_own(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    adata = sca.datasets.pbmc_windows()
    sca.pp.pseudobulk(adata, "cell_type")
    names = {"sca": sca, "adata": adata}
    exec(blocks("training.md", "A network by hand"), names)
    group, region = names["group"], tuple(names[part] for part in ("chrom", "start", "end"))
    denoised = {key: sca.get.track(adata, group, region, key=key) for key in ("denoised", "mine")}
    half = sca.models.Rounding().signal / 2  # a step
    np.testing.assert_allclose(np.sqrt(denoised["denoised"]), np.sqrt(names["signal"]), atol=half * 1.01)
    np.testing.assert_allclose(denoised["mine"], names["signal"], atol=0.051)
    probability = sca.get.track(adata, group, region, key="denoised", layer="probability")
    np.testing.assert_allclose(probability, names["probability"], atol=0.005)
    assert probability.max() > 0.9
    sca.tl.call_peaks(adata)
    both = [adata.uns[key][["start", "end"]].to_numpy() for key in ("peaks", "my_peaks")]
    assert len(both[0]) == len(both[1]) > 0
    assert np.abs(both[0] - both[1]).max() < 50

    exec(blocks("training.md", "A loop of your own"), names)
    assert np.isfinite(names["loss"].item())
    sca.tl.denoise(adata, model="mine", groups=["NK"], regions="MS4A1", key_added="own")
    assert adata.uns["own"]["params"]["depth"] == pytest.approx(names["depth"])
    drawer, begin = names["drawer"], names["drawer"].tiles()[0][2]
    crop = drawer.at(drawer.samples[0], drawer.tiles()[0][1], begin, depth=1e6, rng=names["rng"])
    assert crop["counts"].shape[-1] * drawer.bin_size == drawer.core + 2 * names["model"].halo


def test_profiles_around_starts_of_transcription():
    adata = sca.datasets.pbmc_windows()
    windows = adata.uns["windows"]
    sca.pp.pseudobulk(adata, "cell_type", groups=["CD14+ Monocytes"], progress=False)
    sca.tl.denoise(adata, regions=windows, progress=False)
    first, *rest, _ = blocks("footprints.md", "Profiles around starts of transcription or centroids").split("\n\n")
    names = {"sca": sca, "np": np, "adata": adata}
    exec(first, names)
    both = names["sites"].merge(windows[["chrom", "start", "end"]], on="chrom", suffixes=("", "_window"))
    inside = (both["start"] >= both["start_window"] + 2_100) & (both["end"] <= both["end_window"] - 2_100)
    names["sites"] = both.loc[inside, ["chrom", "start", "end", "strand"]]
    exec("\n\n".join(rest), names)
    assert adata.uns["tss"]["table"]["n_sites"].tolist() == adata.uns["tss_raw"]["table"]["n_sites"].tolist()
    denoised = adata.uns["tss"]["profile"][0, 0]
    assert np.abs(names["raw"][0] - denoised).mean() < 0.1 * denoised.mean()  # thousands of cells: the same curve
    assert denoised.max() > 5 * denoised[0]


def test_tiles_of_a_genome():
    adata = sca.datasets.pbmc_windows()
    names = {"sca": sca, "pd": pd, "np": np, "adata": adata}
    exec(blocks("groups.md", "Tiles of a genome"), names)
    tiles, counts = names["tiles"], names["counts"]
    assert len(tiles) == sum(size // 5_000 for size in sca.Genome("hg38").sizes.values())
    assert counts.obsm["knn_groups"].shape == (counts.n_obs, 100)
    assert (counts.var["start"] % 5_000 == 0).all()
    # every tile left overlaps a window that the packaged fragments were cut to, but for the length of a fragment
    windows = adata.uns["windows"]
    for row in counts.var.itertuples():
        own = windows[windows["chrom"] == row.chrom]
        assert ((own["start"] - 1_000 < row.end) & (own["end"] + 1_000 > row.start)).any()


@pytest.mark.filterwarnings("ignore:1 of 400 cells have no value")
def test_donors_and_cell_types():
    adata = sca.datasets.toy(n_cells=400, n_groups=2)
    adata.obs["cell_type"] = adata.obs["group"].map({"A": "NK", "B": "T cell"})
    adata.obs["donor"] = [f"D{i // 2 % 4 + 1}" for i in range(400)]  # 50 of a type each
    adata.obs["condition"] = np.where(adata.obs["donor"] < "D3", "case", "control")
    adata.obs.loc[adata.obs_names[:1], "cell_type"] = np.nan
    names = {"sca": sca, "adata": adata}
    exec(blocks("groups.md", "Donors and cell types"), names)
    counts = names["counts"]
    assert counts.obs.loc["D3 T cell", ["donor", "cell_type", "condition"]].tolist() == ["D3", "T cell", "control"]
    assert counts.obs["n_cells"].tolist() == [49, *[50] * 7]
    cells = sca.pp.count_regions(adata, names["index"])
    for name, row in zip(counts.obs_names, np.asarray(counts.X), strict=True):
        of_group = adata.obs["group"].eq(name).to_numpy(bool, na_value=False)
        np.testing.assert_array_equal(row, np.asarray(cells.X[of_group].sum(0)).ravel())
    assert len(adata.uns["differential_regions"]) > 0
    exec(blocks("priors.md", "What it can be made of"), names)
    for donor in ("D1", "D4"):
        own = {f"{donor} NK", f"{donor} T cell"}
        params = adata.uns[f"denoised_{donor}"]["params"]
        assert set(params["groups"]) == own == set(params["prior_excluded"].split(", "))
        assert set(params["prior_rows"]) == set(counts.obs_names) - own


@pytest.mark.slow
def test_pictures_are_drawn(tmp_path, monkeypatch):
    spec = importlib.util.spec_from_file_location("make_figures", DOCS / "make_figures.py")
    figures = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(figures)
    monkeypatch.setattr(figures, "STATIC", tmp_path)
    figures.main()
    assert {path.name for path in tmp_path.iterdir()} == {"readme.png", "tracks.png"}
