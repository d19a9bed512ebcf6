"""A genome of one's own, in Ensembl's spelling, whose genes go with the object through every step."""

from __future__ import annotations

import anndata as ad
import numpy as np
import pandas as pd
import pytest

import scatacworks as sca

GTF = "\n".join(
    f'{chrom}\tens\texon\t{start + 1}\t{start + 2_000}\t.\t+\t.\tgene_id "{name}"; transcript_id "{name}t"; '
    f'gene_name "{name}"; gene_biotype "protein_coding";'
    for name, chrom, start in (("Alpha", "1", 20_000), ("Beta", "1", 40_000), ("Gamma", "scaffold_1|size9", 1_000))
)


@pytest.fixture
def adata(tmp_path):
    rng = np.random.default_rng(0)
    (tmp_path / "odd.gtf").write_text(GTF + "\n")
    (tmp_path / "odd.chrom.sizes").write_text("1\t60000\nscaffold_1|size9\t9000\nMT\t900\n")
    starts = np.concatenate([rng.integers(0, 59_000, 600), rng.normal(20_000, 60, 400).astype(int)])
    lines = [f"chr1\t{start}\t{start + 80}\tcell{i % 4}" for i, start in enumerate(starts)]
    (tmp_path / "fragments.tsv").write_text("\n".join(lines) + "\n")
    genes = sca.io.read_genes(tmp_path / "odd.gtf")
    genome = sca.Genome(tmp_path / "odd.chrom.sizes", genes=genes)
    adata = sca.io.read_fragments(tmp_path / "fragments.tsv", genome=genome, progress=False)
    adata.obs["type"] = pd.Categorical(["x", "x", "y", "y"])
    return adata


def test_genes_given_once_serve_every_step(adata, tmp_path):
    adata.write_h5ad(tmp_path / "cells.h5ad")
    for cells in (adata, ad.read_h5ad(tmp_path / "cells.h5ad")):
        sca.pp.qc_metrics(cells, progress=False)
        assert (cells.obs["tsse"] > 5).all()
        sca.tl.gene_scores(cells, progress=False)
        assert cells.uns["gene_scores"]["genes"]["name"].tolist() == ["Alpha", "Beta", "Gamma"]
        sca.pp.pseudobulk(cells, "type", progress=False)
        assert sca.get.track(cells, "x", "alpha").sum() > sca.get.track(cells, "x", "beta").sum() > 0
        sca.tl.denoise(cells, regions="Alpha", progress=False)
        assert cells.uns["denoised"]["regions"].iloc[0].tolist() == ["1", 18_000, 24_000]
        figure = sca.pl.tracks(cells, "Alpha", show=False)
        assert "Alpha" in [text.get_text() for text in figure.axes[-1].texts]
    counts = sca.pp.count_regions(adata, ["Alpha", "Gamma"], progress=False)
    assert counts.X.sum(axis=0).tolist()[0][0] > 100
    assert "reference_genes" in counts.uns


def test_a_gene_table_given_to_a_figure_finds_and_draws_its_genes(adata):
    genes = adata.uns.pop("reference_genes").assign(chrom=lambda table: "chr" + table["chrom"])
    sca.pp.pseudobulk(adata, "type", progress=False)
    with pytest.raises(ValueError, match=r"No gene table for the genome 'odd'.*\.uns\['reference_genes'\]"):
        sca.pl.tracks(adata, "Beta", show=False)
    figure = sca.pl.tracks(adata, "Beta", genes=genes, show=False)
    assert "Beta" in [text.get_text() for text in figure.axes[-1].texts]
    parts = pd.concat([genes.assign(part="exon", end=genes["end"] - 500), genes.assign(part="transcript")])
    figure = sca.pl.tracks(adata, "Beta", genes=parts, flank=0, show=False)
    assert figure.axes[-1].get_xlim() == pytest.approx((40_000, 42_000))


YEAST = {"I": 230_218, "IV": 1_531_933, "X": 745_751, "XII": 1_078_177, "Mito": 85_779}


@pytest.mark.parametrize(("genome", "spelling"), [("mm39", "chr19"), ("mm39", "19"), (YEAST, "X"), (YEAST, "chrX")])
def test_from_fragments_to_peaks_in_other_genomes(genome, spelling, tmp_path):
    rng = np.random.default_rng(0)
    genome = sca.Genome(genome)
    chrom = genome.chroms[genome.code(spelling)]
    summits = rng.choice(genome.sizes[chrom] // 5_000 - 2, 20, replace=False) * 5_000 + 5_000
    starts = np.concatenate([rng.normal(np.repeat(summits, 100), 80), rng.integers(0, genome.sizes[chrom] - 99, 2_000)])
    lines = [f"{spelling}\t{int(start)}\t{int(start) + 80}\tcell{i % 2}\t1" for i, start in enumerate(starts)]
    others = [name for name in genome.chroms if name != chrom and genome.nuclear[genome.code(name)]]
    for i, name in enumerate(np.repeat(others, 3_000)):
        start = rng.integers(0, genome.sizes[name] - 99)
        lines.append(f"{name}\t{start}\t{start + 80}\tcell{i % 2}\t1")
    (tmp_path / "fragments.tsv").write_text("\n".join(lines) + "\n")
    adata = sca.io.read_fragments(tmp_path / "fragments.tsv", genome=genome, progress=False)
    adata.obs["type"] = pd.Categorical(["x", "y"])
    sca.pp.pseudobulk(adata, "type", progress=False)
    nuclear = genome.lengths[genome.nuclear].sum()
    assert adata.uns["pseudobulk"]["params"]["territory_bp"] == pytest.approx(nuclear, rel=0.03)
    regions = pd.DataFrame({"chrom": chrom, "start": summits - 2_000, "end": summits + 2_000})
    sca.tl.denoise(adata, regions=regions, progress=False)
    sca.tl.call_peaks(adata)
    peaks = adata.uns["peaks"]
    assert set(peaks["chrom"]) == {chrom}
    for _, own in peaks.groupby("group", observed=True):
        met = [((own["start"] <= summit + 200) & (own["end"] > summit - 200)).any() for summit in summits]
        assert np.mean(met) > 0.8
