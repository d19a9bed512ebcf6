from __future__ import annotations

import numpy as np
import pytest

from scatacworks import Genome, Region


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


def test_resolve_marks_unknown_chromosomes():
    assert Genome("hg38").resolve(["chr2", "KI270728.1"]).tolist() == [1, -1]
    assert Genome("hg38").resolve("MT").tolist() == [24], "one name, not its letters"


def test_sizes_file_and_fai(tmp_path):
    (tmp_path / "dm6.chrom.sizes").write_text("# fly\nchr2L\t23513712\nchr4\t1348131\n")
    (tmp_path / "x.fa.fai").write_text("chr2L\t23513712\t7\t60\t61\nchr4\t1348131\t9\t60\t61\n")
    assert Genome(tmp_path / "dm6.chrom.sizes") == Genome(tmp_path / "x.fa.fai")
    assert Genome(tmp_path / "dm6.chrom.sizes").name == "dm6"


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
        ("Chr11:5-10", "Did you mean 'chr11'"),
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
