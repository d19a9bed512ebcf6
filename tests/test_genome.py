from __future__ import annotations

import anndata as ad
import numpy as np
import pandas as pd
import pytest

from scatacworks import Genome, Region, Tracks
from scatacworks._fasta import open_fasta
from scatacworks._regions import as_regions, flanked
from scatacworks.tl import regions_around_genes


@pytest.mark.parametrize("name", ["hg19", "hg38", "mm10", "mm39"])
def test_built_in_genome_round_trips_through_reference_sequences(name):
    genome = Genome(name)
    assert Genome.from_frame(genome.to_frame()) == genome
    assert Genome.from_frame(genome.to_frame()).name == name


@pytest.mark.parametrize("name", ["hg19", "hg38"])
def test_sizes_equal_the_published_tables(name, shared_data):
    lines = (shared_data / "genome" / f"{name}.chrom.sizes").read_text().splitlines()
    published = {chrom: int(size) for chrom, size in (line.split() for line in lines)}
    sizes = Genome(name).sizes
    shared = sizes.keys() & published.keys()
    assert len(shared) >= 24
    assert {chrom: sizes[chrom] for chrom in shared} == {chrom: published[chrom] for chrom in shared}


@pytest.mark.parametrize("alias", ["1", "chr1"])
def test_numeric_alias_is_understood(alias):
    assert Genome("hg38").code(alias) == 0
    assert Genome({"1": 10}).code(alias) == 0


def test_mitochondrial_aliases_agree():
    for genome in (Genome("mm10"), Genome({"1": 10, "MT": 5})):
        assert set(genome.resolve(["chrM", "MT", "M", "chrMT"])) == {genome.code("chrM")}


def test_organelles_of_yeast_fly_and_plants_are_known():
    yeast = Genome({"I": 230_218, "Mito": 85_779})
    assert yeast.code("chrM") == 1
    assert yeast.nuclear.tolist() == [True, False]
    assert Genome({"2L": 9, "mitochondrion_genome": 5}).code("MT") == 1
    assert Genome({"1": 9, "Mt": 5, "Pt": 4, "C1": 7}).nuclear.tolist() == [True, False, False, True]
    assert Genome("hg38").nuclear.sum() == 24


MITO = [
    "chrM",
    "ChrM",
    "MT",
    "Mt",
    "MtDNA",
    "CHROMOSOME_MtDNA",
    "chrmt",
    "chrMito",
    "mitochondrion_genome",
    "mitochondria",
    "mitochondrial",
]
PLASTID = ["ChrC", "Pt", "Pltd", "chloroplast"]
OF_SPECIES = ["mm10_chrM", "GRCh38_MT", "mm10___chrM", "dmel_mitochondrion_genome"]
NUCLEAR = ["C", "C1", "chrC01", "scaffold_M", "contig-M", "chrUn_c", "chrUn_mt1", "mm10_chr1", "Ptr_2", "Mt1", "Pt1"]
NUCLEAR += ["tig_CM", "ptg000001l", "MT_random", "ctg_ptg", "scaffold_mt_2"]


@pytest.mark.parametrize("name", [*MITO, *PLASTID, *OF_SPECIES])
def test_organelles_under_their_many_names(name):
    assert Genome({"1": 9, name: 5, "NC_1.1": 5}).nuclear.tolist() == [True, False, True]


@pytest.mark.parametrize("name", NUCLEAR)
def test_other_names_are_of_the_nucleus(name):
    assert Genome({name: 5}).nuclear.all()


def test_plant_chromosomes_are_the_same_in_every_spelling():
    ensembl, tair = Genome({"1": 9, "Mt": 5, "Pt": 4}), Genome({"Chr1": 9, "ChrM": 5, "ChrC": 4})
    for genome in (ensembl, tair):
        assert genome.resolve(["1", "chr1", "Chr1"]).tolist() == [0, 0, 0]
        assert genome.resolve(["Mt", "ChrM", "mitochondria"]).tolist() == [1, 1, 1]
        assert genome.resolve(["Pt", "ChrC", "chloroplast"]).tolist() == [2, 2, 2]
    assert ensembl.resolve(tair.chroms).tolist() == [0, 1, 2]


@pytest.mark.parametrize("names", [["NC_3.1", "NC_2.1"], []])
def test_organelles_can_be_named_and_stay(tmp_path, names):
    """A yeast has the chromosomes A to M, of which M is no mitochondrion."""
    genome = Genome({"ChrM": 90, "NC_2.1": 9, "NC_3.1": 5}, organelles=names)
    sites = Tracks.from_chromosomes(["a"], genome, [])
    sites.to_zarr(tmp_path / "sites.zarr")
    adata = ad.AnnData(uns={"reference_sequences": genome.to_frame(), "sites": sites.to_dict()})
    adata.write_h5ad(tmp_path / "x.h5ad")
    adata = ad.read_h5ad(tmp_path / "x.h5ad")
    again = [
        Genome(genome),
        Genome(genome, genes=pd.DataFrame()),
        Genome.from_frame(adata.uns["reference_sequences"]),
        Tracks.from_dict(adata.uns["sites"]).genome,
        Tracks.from_zarr(tmp_path / "sites.zarr").genome,
    ]
    for one in (genome, *again):
        assert one.nuclear.tolist() == [True, not names, not names]
        assert one.organelles == tuple(sorted(names))
    assert Genome("hg38").organelles == ("chrM",)
    assert Genome(genome, organelles="chrM").organelles == ("ChrM",)
    assert "reference_seq_nuclear" not in Genome("hg38").to_frame(), "SnapATAC2's two columns, as far as they will do"
    with pytest.raises(KeyError, match=r"'NC_4' is not in the genome"):
        Genome({"NC_1.1": 90}, organelles="NC_4")


HLA = "HLA-A*01:01:01:01"


@pytest.mark.parametrize(
    ("region", "expected"),
    [
        (f"{HLA}:1-100", Region(HLA, 1, 100)),
        (HLA, Region(HLA, 0, 3_503)),
        ("NC_060925.1:5-10", Region("NC_060925.1", 5, 10)),
        ("chr1:10-60", Region("chr1:10-60", 0, 50)),
        ("chr1:10-60:5-7", Region("chr1:10-60", 5, 7)),
        ("mm10_chr1:1,000-2,000", Region("mm10_chr1", 1_000, 2_000)),
    ],
)
def test_regions_of_contigs_with_colons_and_hyphens(region, expected):
    genome = Genome({HLA: 3_503, "NC_060925.1": 99, "chr1:10-60": 50, "mm10_chr1": 5_000})
    assert genome.region(region) == expected
    assert as_regions([region], genome).index.tolist() == [str(expected)]
    named = pd.DataFrame(index=[str(expected)])
    assert as_regions(named, genome)[["chrom", "start", "end"]].iloc[0].tolist() == list(expected)


def test_genes_that_differ_by_the_case_of_letters():
    """The fly's dorsal and Delta are dl and Dl."""
    rows = [["2L", 10, 20, "dl", "+"], ["3R", 30, 50, "Dl", "-"], ["3R", 60, 70, "lncRNA:CR1", "-"]]
    genes = pd.DataFrame(rows, columns=["chrom", "start", "end", "name", "strand"])
    genome = Genome({"2L": 100, "3R": 10_000}, genes=genes)
    assert genome.region("Dl") == Region("3R", 30, 50)
    assert genome.region("dl") == Region("2L", 10, 20)
    assert genome.region("lncrna:cr1") == Region("3R", 60, 70)
    assert flanked(genome, "lncRNA:CR1") == Region("3R", 0, 2_070), "a gene has flanks, whatever its name"
    with pytest.raises(ValueError, match=r"'DL' may be the gene 'dl' or 'Dl' of custom; write it as there"):
        genome.region("DL")
    assert regions_around_genes(["Dl"], genome, flank=5)["genes"].tolist() == ["Dl"]
    assert regions_around_genes(["LNCRNA:cr1"], genome, flank=5)["genes"].tolist() == ["lncRNA:CR1"]


def test_genomes_are_equal_where_their_codes_mean_the_same():
    genome = Genome({"chr1": 100, "chrA": 50}, name="one")
    same = Genome({"chr1": 100, "chrA": 50}, name="two", organelles=["chrA"])
    assert genome == same
    assert len({genome, same}) == 1
    for other in ({"chrA": 50, "chr1": 100}, {"chr1": 100, "chrA": 51}, {"chr1": 100}, {"chr1": 100, "chrB": 50}):
        assert genome != Genome(other)
    assert genome != "one"


def test_sizes_can_be_changed_without_changing_the_genome():
    genome = Genome("hg38")
    sizes = genome.sizes
    del sizes["chrM"]
    assert len(Genome(sizes)) == 24
    assert genome.sizes["chrM"] == genome.length("MT") == 16_569


def test_resolve_marks_unknown_chromosomes():
    assert Genome("hg38").resolve(["chr2", "KI270728.1"]).tolist() == [1, -1]
    assert Genome("hg38").resolve("MT").tolist() == [24], "one name, not its letters"


def test_sizes_file_and_fai(tmp_path):
    (tmp_path / "dm6.chrom.sizes").write_text("# fly\nchr2L\t23513712\nchr4\t1348131\n")
    (tmp_path / "x.fa.fai").write_text("chr2L\t23513712\t7\t60\t61\nchr4\t1348131\t9\t60\t61\n")
    assert Genome(tmp_path / "dm6.chrom.sizes") == Genome(tmp_path / "x.fa.fai")
    assert Genome(tmp_path / "dm6.chrom.sizes").name == "dm6"


def test_an_assembly_is_known_by_its_lengths(tmp_path):
    """As of SnapATAC2's `chrom_sizes`, and of the `genome.fa` in a reference of Cell Ranger."""
    sizes = {"chr11": 135_086_622, "KI270728.1": 1_872_759}
    (tmp_path / "genome.fa.fai").write_text("".join(f"{chrom}\t{size}\t7\t60\t61\n" for chrom, size in sizes.items()))
    for genome in (Genome(sizes), Genome(tmp_path / "genome.fa.fai")):
        assert genome.name == "hg38"
        assert genome.gene("MS4A1").chrom == "chr11"
    assert Genome(sizes, name="other").name == "other"
    assert Genome({"chr11": 135_086_621}).name == "custom"


def test_a_fasta_file_is_known_by_its_index(tmp_path):
    (tmp_path / "x.fa").write_text(">chr4\nACGT\n")
    with pytest.raises(FileNotFoundError, match=r"x\.fa is a FASTA file .* Make it with `samtools faidx .*x\.fa`"):
        Genome(tmp_path / "x.fa")
    (tmp_path / "x.fa.fai").write_text("chr4\t4\t6\t4\t5\n")
    assert Genome(str(tmp_path / "x.fa")).sizes == {"chr4": 4}
    assert Genome(tmp_path / "x.fa").name == "x"


@pytest.mark.parametrize(
    ("region", "expected"),
    [
        ("chr1:1,000-2,000", Region("chr1", 1000, 2000)),
        ("1:5-6", Region("chr1", 5, 6)),
        (("chr2", 0, 10), Region("chr2", 0, 10)),
        ("chrM", Region("chrM", 0, 16569)),
    ],
)
def test_region_forms(region, expected):
    assert Genome("hg38").region(region) == expected


def test_region_by_gene_name_ignores_case():
    genome = Genome("hg38")
    assert genome.region("ms4a1") == genome.region("MS4A1")
    assert genome.region("MS4A1").chrom == "chr11"


@pytest.mark.parametrize("region", ["chr1:5-5", "chr1:9-3", "chr1:0-999999999", ("chr99", 0, 5), "chr99:0-5"])
def test_region_outside_the_genome_is_refused(region):
    with pytest.raises(ValueError, match="chr1|chr99"):
        Genome("hg38").region(region)


def test_unknown_gene_names_close_ones():
    with pytest.raises(ValueError, match="MS4A1"):
        Genome("hg38").region("MS4A1X")


def test_unknown_genome_lists_the_built_in_ones():
    with pytest.raises(ValueError, match="hg38.*mm39"):
        Genome("hg20")


@pytest.mark.parametrize(("name", "meant"), [("GRCh38", "hg38"), ("grcm39", "mm39"), ("HG19", "hg19")])
def test_other_names_of_built_in_genomes_are_pointed_out(name, meant):
    with pytest.raises(ValueError, match=rf"Unknown genome '{name}' \(did you mean '{meant}'\?\)"):
        Genome(name)


@pytest.mark.parametrize("source", [None, 38])
def test_what_is_no_genome_is_refused(source):
    with pytest.raises(TypeError, match=rf"genome is {source}; expected one of hg19, hg38"):
        Genome(source)


def test_missing_sizes_file():
    with pytest.raises(FileNotFoundError, match="nowhere"):
        Genome("nowhere/x.sizes")


@pytest.mark.parametrize("content", ["chr1\n", "chr1\tmany\n"])
def test_malformed_sizes_file_names_the_line(tmp_path, content):
    (tmp_path / "bad.sizes").write_text(content)
    with pytest.raises(ValueError, match="line 1"):
        Genome(tmp_path / "bad.sizes")


@pytest.mark.parametrize("size", [0, -5, 2**31])
def test_impossible_lengths_are_refused(size):
    with pytest.raises(ValueError, match="chr1"):
        Genome({"chr1": size})


def test_a_gene_that_the_built_in_table_lacks_says_how_to_give_it(tmp_path):
    with pytest.raises(
        ValueError,
        match=r"of hg38\. Did you mean CD3E.* set \.uns\['reference_genes'\] to sca\.io\.read_genes.*--genes\)",
    ):
        Genome("hg38").gene("CD3EE")
    (tmp_path / "g.bed").write_text("chr1\t5\t9\tGENE1\t0\t+\n")
    with pytest.raises(ValueError, match=r"of custom\. Did you mean GENE1\?$"):
        Genome({"chr1": 100}, genes=tmp_path / "g.bed").gene("GENE2")


def test_genome_without_genes_says_how_to_give_them():
    with pytest.raises(ValueError, match="genes="):
        _ = Genome({"chr1": 100}).genes


@pytest.mark.parametrize("name", ["hg19", "hg38", "mm10", "mm39"])
def test_built_in_genes_lie_on_their_chromosomes(name):
    genome = Genome(name)
    genes = genome.genes
    lengths = genome.lengths[genome.resolve(genes["chrom"])]
    assert len(genes) > 20_000
    assert ((genes["start"] >= 0) & (genes["start"] < genes["end"]) & (genes["end"] <= lengths)).all()
    assert set(genes["strand"]) == {"+", "-"}


def test_genes_that_lie_on_alternative_sequences_too_are_built_in():
    names = ["PTPRC", "PTEN", "B2M", "TNF", "LTA", "HLA-A", "HLA-DRA", "CCL4", "MAPT", "KIR3DL1"]
    old, new = (Genome(name).genes.set_index("name").loc[names] for name in ("hg19", "hg38"))
    assert old["chrom"].tolist() == new["chrom"].tolist()
    assert old["strand"].tolist() == new["strand"].tolist()
    assert np.log2((new["end"] - new["start"]) / (old["end"] - old["start"])).abs().max() < 1.5
    assert new.loc["TNF", ["start", "end"]].tolist() == [31_575_564, 31_578_336]


@pytest.mark.parametrize(("name", "chroms"), [("hg19", (14, 2, 14)), ("hg38", (14, 2, 14)), ("mm39", (12, 6, 14))])
def test_receptors_of_b_and_t_cells_are_built_in(name, chroms):
    genome = Genome(name)
    for gene, chrom in zip(("IGHM", "IGKC", "TRAC"), chroms, strict=True):
        assert genome.gene(gene).chrom == f"chr{chrom}"


@pytest.mark.parametrize(
    ("genes", "message"),
    [
        ('1\tens\tgene\t11\t20\t.\t+\t.\tgene_id "G1";\n', r"is no BED file.*1 ens gene.*io\.read_genes"),
        ("7\t5\t9\tAbc\t0\t+\n", "No gene of the table lies on.*it has 7"),
        ("chr1\t5\t9\tAbc\n", "expected BED6"),
    ],
)
def test_gene_tables_that_would_yield_nonsense_are_refused(tmp_path, genes, message):
    (tmp_path / "genes").write_text(genes)
    with pytest.raises(ValueError, match=message):
        _ = Genome({"chr1": 100}, genes=tmp_path / "genes").genes


def test_genes_from_a_bed_file(tmp_path):
    (tmp_path / "g.bed").write_text("1\t5\t9\tAbc\t0\t+\nchrUn\t5\t9\tLost\t0\t-\n")
    genome = Genome({"chr1": 100}, genes=tmp_path / "g.bed")
    assert genome.genes.to_dict("records") == [{"chrom": "chr1", "start": 5, "end": 9, "name": "Abc", "strand": "+"}]


@pytest.mark.parametrize(
    ("region", "message"),
    [
        ("CHR11:5-10", "Did you mean 'chr11'"),
        ("chr99", "The chromosomes are chr1, chr2.*has a start and an end"),
        ("chr11:60,000,000", "a region has a start and an end"),
        (("chr1", 10.5, 20), "10.5; expected a whole number"),
        (("chr1", 10, np.float32(20.5)), "20.5; expected a whole number"),
    ],
)
def test_a_region_that_is_misspelled_says_how_it_is_written(region, message):
    with pytest.raises(ValueError, match=message):
        Genome("hg38").region(region)


def test_whole_numbers_of_any_type_are_positions():
    assert Genome("hg38").region(("chr1", np.float64(10), "20")) == ("chr1", 10, 20)


@pytest.mark.parametrize("region", [None, 5, ("chr1", 1_000), ("chr1", 1, 2, 3)], ids=repr)
def test_what_is_no_region_is_refused(region):
    with pytest.raises(ValueError, match="is no region; expected 'chr1:1000-2000'"):
        Genome("hg38").region(region)


def test_sequences_that_are_no_table_are_refused():
    with pytest.raises(TypeError, match=r"uns\['reference_sequences'\] is a dict; expected a table"):
        Genome.from_frame({"chr1": 1_000})


def test_sequences_are_found_under_every_spelling(tmp_path):
    pytest.importorskip("pyfaidx")
    (tmp_path / "tair.fa").write_text(">Chr1 CHROMOSOME dumped\nACGT\n>ChrM\nAC\n>chloroplast\nACG\n")
    with open_fasta(tmp_path / "tair.fa") as sequences:
        assert [sequences.length(chrom) for chrom in ("1", "chr1", "Chr1", "Mt", "mitochondria", "Pt")] == [
            4,
            4,
            4,
            2,
            2,
            3,
        ]
        assert "2" not in sequences


def test_a_column_is_resolved_row_by_row():
    genome = Genome({"chr1": 10, "chr2": 20})
    for kind in ("object", "string", "category"):
        column = pd.Series(["2", "chr1", None, "chrX", "2"], dtype=kind)
        assert genome.resolve(column).tolist() == [1, 0, -1, -1, 1]
        assert genome.resolve(column[:0]).dtype == np.int32


@pytest.mark.parametrize("start", [10.5, "ten", None])
def test_genes_begin_and_end_at_whole_numbers(start):
    row = {"chrom": ["chr1"], "start": [start], "end": [90], "name": ["A"], "strand": ["+"]}
    with pytest.raises(ValueError, match="the gene table of .*, row 0: start is .*; expected a whole number"):
        _ = Genome({"chr1": 100}, genes=pd.DataFrame(row)).genes


@pytest.mark.parametrize("size", [1000.5, "x", None, float("nan"), float("inf")])
def test_a_length_that_is_no_whole_number_is_named(size):
    with pytest.raises(ValueError, match=f"Chromosome 'chr2' has length {size}; expected a whole number"):
        Genome({"chr1": 1000.0, "chr2": size})
