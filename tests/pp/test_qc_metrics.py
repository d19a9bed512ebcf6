from __future__ import annotations

import anndata as ad
import numpy as np
import pandas as pd
import pytest

import scatacworks as sca

GENES = pd.DataFrame(
    {
        "chrom": ["chr1", "chr1", "chr1", "chr2"],
        "start": [5_000, 6_000, 5_000, 100],
        "end": [5_500, 7_500, 5_900, 900],
        "name": list("abcd"),
        "strand": ["+", "-", "+", "+"],
    }
)
GENOME = sca.Genome({"chr1": 20_000, "chr2": 8_000, "chrM": 600}, name="toy")
TSS = [("chr1", 5_000, 1), ("chr1", 7_499, -1), ("chr2", 100, 1)]  # a and c share theirs
PEAKS = [("chr1", 4_900, 5_200), ("chr1", 5_100, 5_400), ("chr2", 0, 150)]


@pytest.fixture
def fragments():
    rng = np.random.default_rng(0)
    n = 3_000
    chrom = rng.choice(["chr1", "chr2", "chrM"], n, p=[0.6, 0.3, 0.1])
    size = np.array([GENOME.sizes[name] for name in chrom])
    start = rng.integers(0, size - 500)
    length = rng.choice([40, 146, 147, 200, 293, 294, 480], n)
    cell = rng.integers(0, 6, n)
    return pd.DataFrame(
        {"chrom": chrom, "start": start, "end": start + length, "cell": cell, "count": rng.integers(1, 5, n)}
    )


@pytest.fixture
def cells(fragments, tmp_path):
    table = fragments.assign(cell="c" + fragments["cell"].astype(str)).sort_values(["chrom", "start", "end"])
    table.to_csv(tmp_path / "fragments.tsv", sep="\t", header=False, index=False)
    uns = {"files": {"fragments": str(tmp_path / "fragments.tsv")}, "reference_sequences": GENOME.to_frame()}
    return ad.AnnData(obs=pd.DataFrame(index=[f"c{i}" for i in range(7)]), uns=uns)  # c6 has none


def one_by_one(fragments):
    """Every metric, fragment by fragment."""
    out = []
    profile = np.zeros(4_001)
    for cell in range(7):
        own = fragments[fragments["cell"] == cell]
        nuclear = own[own["chrom"] != "chrM"]
        length = nuclear["end"] - nuclear["start"]
        center = flank = in_peaks = 0
        for chrom, start, end in nuclear[["chrom", "start", "end"]].itertuples(index=False):
            for site in (start, end - 1):
                for tss_chrom, tss, strand in TSS:
                    away = (site - tss) * strand
                    if tss_chrom == chrom and abs(away) <= 2_000:
                        profile[away + 2_000] += 1
                        center += abs(away) <= 50
                        flank += abs(away) >= 1_901
            in_peaks += any(chrom == c and start < e and end > s for c, s, e in PEAKS)
        n, total = len(nuclear), len(own)
        out.append(
            {
                "n_fragments": n,
                "frac_dup": 1 - total / own["count"].sum() if total else np.nan,
                "frac_mito": 1 - n / total if total else np.nan,
                "nucleosome_signal": length.between(147, 293).sum() / (length < 147).sum() if n else np.nan,
                "tsse": (center / 101) / ((flank + 20) / 200),
                "frip": in_peaks / n if n else np.nan,
            }
        )
    return pd.DataFrame(out, index=[f"c{i}" for i in range(7)]), profile


def test_metrics_equal_those_counted_one_by_one(cells, fragments):
    peaks = pd.DataFrame(PEAKS, columns=["chrom", "start", "end"])
    sca.pp.qc_metrics(cells, peaks=peaks, genes=GENES, progress=False)
    expected, profile = one_by_one(fragments)
    for name in expected:
        np.testing.assert_allclose(cells.obs[name], expected[name], err_msg=name)
    flank = np.concatenate([profile[:100], profile[-100:]]).mean()
    np.testing.assert_allclose(cells.uns["qc"]["tss_profile"], profile / flank)


def test_lengths_of_nuclear_fragments_are_counted(cells, fragments):
    sca.pp.qc_metrics(cells, genes=GENES, progress=False)
    nuclear = fragments[fragments["chrom"] != "chrM"]
    expected = np.bincount(nuclear["end"] - nuclear["start"], minlength=1_001)
    np.testing.assert_array_equal(cells.uns["qc"]["fragment_lengths"], expected)


def test_genes_that_are_no_table_are_refused(cells):
    with pytest.raises(TypeError, match="genes is 5; expected a table .* or a file"):
        sca.pp.qc_metrics(cells, genes=5, progress=False)
    with pytest.raises(ValueError, match=r"genes lacks the column\(s\) end, strand"):
        sca.pp.qc_metrics(cells, genes=pd.DataFrame({"chrom": ["chr1"], "start": [5]}), progress=False)


def test_genes_of_other_chromosomes_are_refused(cells):
    genes = GENES.assign(chrom="NC_000001.11")
    with pytest.raises(ValueError, match=r"genes have no chromosome of .* \(they have NC_000001\.11\)"):
        sca.pp.qc_metrics(cells, genes=genes, progress=False)
    assert "tsse" not in cells.obs
    sca.pp.qc_metrics(cells, genes=GENES[GENES["chrom"] == "chr1"], progress=False)  # some suffice
    assert cells.obs["tsse"].gt(0).any()


def test_genes_of_a_file_are_those_of_the_table(cells, tmp_path):
    bed = GENES.assign(name="g", score=0)[["chrom", "start", "end", "name", "score", "strand"]]
    bed.to_csv(tmp_path / "genes.bed", sep="\t", header=False, index=False)
    sca.pp.qc_metrics(cells, genes=GENES, progress=False)
    expected = cells.obs["tsse"].copy()
    for genes in (tmp_path / "genes.bed", GENOME.with_genes(GENES.assign(name="g"))):
        sca.pp.qc_metrics(cells, genes=genes, progress=False)
        pd.testing.assert_series_equal(cells.obs["tsse"], expected)


def test_genes_of_another_assembly_are_refused():
    adata = sca.datasets.pbmc_windows()
    with pytest.raises(ValueError, match=r"The cells are of 'hg38', whose chr1 .* not of 'hg19'"):
        sca.pp.qc_metrics(adata, genes="hg19", progress=False)
    assert "tsse" not in adata.obs


def test_a_genome_without_genes_warns_and_leaves_tsse_out(cells):
    with pytest.warns(UserWarning, match="No gene table .* left out"):
        sca.pp.qc_metrics(cells, progress=False)
    assert "tsse" not in cells.obs
    assert "tss_profile" not in cells.uns["qc"]


def test_peaks_by_key_and_by_path(cells, tmp_path):
    table = pd.DataFrame(PEAKS, columns=["chrom", "start", "end"])
    table.to_csv(tmp_path / "peaks.bed", sep="\t", header=False, index=False)
    cells.uns["peaks"] = table
    frip = []
    for peaks in ("peaks", tmp_path / "peaks.bed", [f"{c}:{s}-{e}" for c, s, e in PEAKS]):
        sca.pp.qc_metrics(cells, peaks=peaks, genes=GENES, progress=False)
        frip.append(cells.obs["frip"].to_numpy())
    np.testing.assert_array_equal(frip[0], frip[1])
    np.testing.assert_array_equal(frip[0], frip[2])


def test_b_cells_are_enriched_at_the_real_starts_of_transcription(pbmc):
    sca.pp.qc_metrics(pbmc, progress=False)
    profile = pbmc.uns["qc"]["tss_profile"]
    assert profile[1_950:2_051].mean() > 4
    assert pbmc.obs["n_fragments"].sum() == 89_025
    lengths = pbmc.uns["qc"]["fragment_lengths"]
    assert lengths[30:120].sum() > lengths[120:150].sum(), "nucleosome-free fragments are the most"


def test_results_survive_h5ad(cells, tmp_path):
    changed = sca.pp.qc_metrics(cells, genes=GENES, progress=False, copy=True)
    assert "tsse" not in cells.obs
    changed.write_h5ad(tmp_path / "cells.h5ad")
    back = ad.read_h5ad(tmp_path / "cells.h5ad")
    np.testing.assert_allclose(back.obs["tsse"], changed.obs["tsse"])
    np.testing.assert_array_equal(back.uns["qc"]["fragment_lengths"], changed.uns["qc"]["fragment_lengths"])


def test_duplicates_known_from_the_file_outlive_fragments_kept_in_memory(cells, tmp_path):
    adata = sca.io.read_fragments(
        tmp_path / "fragments.tsv", genome=GENOME, min_fragments=1, in_memory=True, progress=False
    )
    before = adata.obs[["frac_dup", "frac_mito"]].copy()
    sca.pp.qc_metrics(adata, genes=GENES, progress=False)
    pd.testing.assert_frame_equal(adata.obs[["frac_dup", "frac_mito"]], before)
    sca.pp.qc_metrics(cells, genes=GENES, progress=False)
    shared = cells.obs.loc[adata.obs_names]
    np.testing.assert_array_equal(adata.obs["n_fragments"], shared["n_fragments"])
    np.testing.assert_allclose(before, shared[["frac_dup", "frac_mito"]])
