import numpy as np
import pandas as pd
import pytest

import scatacworks as sca


@pytest.fixture
def made(tmp_path):
    rng = np.random.default_rng(0)
    rows = []
    for chrom in ("chr1", "chr2"):
        starts = np.sort(rng.integers(0, 90_000, 300))
        rows.extend((chrom, start, start + rng.integers(30, 600), f"c{rng.integers(0, 6)}", 1) for start in starts)
    path = tmp_path / "f.tsv"
    path.write_text("".join("\t".join(map(str, row)) + "\n" for row in rows))
    genes = pd.DataFrame(
        {
            "chrom": rng.choice(["chr1", "chr2"], 25),
            "start": rng.integers(0, 80_000, 25),
            "name": [f"g{i}" for i in range(25)],
            "strand": rng.choice(["+", "-"], 25),
        }
    )
    first, last = rows[0][1], rows[299][1]  # two genes as far from a cut site as one may be
    genes.loc[:1, ["chrom", "strand"]], genes.loc[:1, "start"] = ["chr1", "+"], [first + 10_000, last - 10_000]
    genes["end"] = genes["start"] + 5_000
    return (
        sca.io.read_fragments(path, genome={"chr1": 100_000, "chr2": 100_000}, min_fragments=1, progress=False),
        rows,
        genes,
    )


def test_scores_equal_a_loop(made):
    adata, rows, genes = made
    sca.tl.gene_scores(adata, genes=genes, progress=False)
    order = adata.uns["gene_scores"]["genes"]
    expected = np.zeros((adata.n_obs, len(order)))
    for chrom, start, end, cell, _ in rows:
        for site in (start, end - 1):
            for column, gene in enumerate(order.itertuples()):
                tss = gene.end - 1 if gene.strand == "-" else gene.start
                if gene.chrom == chrom and abs(site - tss) <= 10_000:
                    expected[adata.obs_names.get_loc(cell), column] += np.exp(-abs(site - tss) / 5_000)
    np.testing.assert_allclose(adata.obsm["gene_scores"].toarray(), expected, rtol=1e-5)
    sca.tl.gene_scores(adata, genes=genes, progress=False, target_sum=100, key_added="scaled")
    np.testing.assert_allclose(adata.obsm["scaled"].sum(1), 100, rtol=1e-5)


def test_errors(made):
    adata, _, genes = made
    with pytest.raises(ValueError, match="decay"):
        sca.tl.gene_scores(adata, genes=genes, decay=0)
    with pytest.raises(ValueError, match="another genome"):
        sca.tl.gene_scores(adata, genes=genes.assign(chrom="chrQ"))


def test_genes_of_another_assembly_are_refused():
    adata = sca.datasets.pbmc_windows()
    with pytest.raises(ValueError, match=r"of 'hg38', whose chr1 .* not of 'hg19'"):
        sca.tl.gene_scores(adata, genes="hg19", progress=False)
    assert "gene_scores" not in adata.obsm


def test_a_sum_that_is_not_positive_is_refused(made):
    adata, _, genes = made
    with pytest.raises(ValueError, match="target_sum is -1; expected a number above 0"):
        sca.tl.gene_scores(adata, genes=genes, target_sum=-1, progress=False)
