from __future__ import annotations

import pandas as pd
import pytest

import scatacworks as sca


@pytest.fixture
def genome() -> sca.Genome:
    genes = pd.DataFrame(
        {
            "chrom": ["chr1", "chr1", "chr1", "chr2"],
            "start": [1_000, 5_000, 90_000, 500],
            "end": [2_000, 9_000, 95_000, 800],
            "name": ["Plus", "Minus", "Far", "Other"],
            "strand": ["+", "-", "+", "+"],
        }
    )
    return sca.Genome({"chr1": 100_000, "chr2": 10_000}, name="toy", genes=genes)


def test_the_start_site_depends_on_the_strand_and_ends_are_cut(genome):
    regions = sca.tl.regions_around_genes(["Minus", "Far"], genome, flank=9_000)
    assert regions[["chrom", "start", "end"]].to_numpy().tolist() == [["chr1", 0, 18_000], ["chr1", 81_000, 99_001]]
    assert regions["genes"].tolist() == ["Minus", "Far"]


def test_overlapping_regions_become_one_with_all_genes(genome):
    regions = sca.tl.regions_around_genes(["minus", "PLUS", "Other"], genome, flank=4_000)
    assert regions["genes"].tolist() == ["Plus,Minus", "Other"]
    assert regions["start"].tolist() == [0, 0]
    assert regions["end"].tolist() == [13_000, 4_501]


def test_genes_beyond_the_end_of_a_cut_chromosome_are_left_out(genome):
    short = sca.Genome({"chr1": 10_000, "chr2": 10_000}, genes=genome.genes)
    regions = sca.tl.regions_around_genes(None, short, flank=1_000)
    assert regions["genes"].tolist() == ["Plus", "Minus", "Other"]
    assert regions["end"].max() <= 10_000


def test_all_genes_by_default(genome):
    assert sca.tl.regions_around_genes(None, genome, flank=0)["genes"].tolist() == ["Plus", "Minus", "Far", "Other"]


def test_unknown_names_are_listed(genome):
    with pytest.raises(ValueError, match="2 of 3 genes are not in the gene table of toy: Absent, Nowhere"):
        sca.tl.regions_around_genes(["Plus", "Nowhere", "Absent"], genome)
    with pytest.raises(ValueError, match="genes is empty"):
        sca.tl.regions_around_genes([], genome)
    with pytest.raises(ValueError, match="flank is -1"):
        sca.tl.regions_around_genes(["Plus"], genome, flank=-1)


def test_the_built_in_table_is_used_by_name():
    regions = sca.tl.regions_around_genes(["GATA1", "SPI1"], "hg38")
    assert sorted(regions["chrom"]) == ["chr11", "chrX"]
    assert (regions["end"] - regions["start"] == 200_001).all()
