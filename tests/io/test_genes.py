import gzip
import logging

import numpy as np
import pandas as pd
import pytest

import scatacworks as sca
from scatacworks.io import read_genes

GTF = """\
#!genome-build toy
chr1\tx\tgene\t101\t900\t.\t+\t.\tgene_id "G1"; gene_name "AAA"; gene_type "protein_coding";
chr1\tx\ttranscript\t101\t500\t.\t+\t.\tgene_id "G1"; transcript_id "T1"; gene_name "AAA"; gene_type "protein_coding";
chr1\tx\texon\t101\t500\t.\t+\t.\tgene_id "G1"; transcript_id "T1"; gene_name "AAA"; gene_type "protein_coding";
chr1\tx\texon\t151\t300\t.\t+\t.\tgene_id "G1"; transcript_id "T2"; gene_name "AAA"; gene_type "protein_coding";
chr1\tx\texon\t701\t900\t.\t+\t.\tgene_id "G1"; transcript_id "T2"; gene_name "AAA"; gene_type "protein_coding";
chr1\tx\tCDS\t201\t300\t.\t+\t.\tgene_id "G1"; transcript_id "T2"; gene_name "AAA"; gene_type "protein_coding";
chr1\tx\tCDS\t701\t750\t.\t+\t.\tgene_id "G1"; transcript_id "T2"; gene_name "AAA"; gene_type "protein_coding";
chr2\tx\texon\t11\t20\t.\t-\t.\tgene_id "G2"; transcript_id "T3"; gene_biotype "lncRNA";
scaffold_7\tx\texon\t11\t20\t.\t-\t.\tgene_id "G3"; transcript_id "T4"; gene_name "CCC"; gene_biotype "lncRNA";
"""


@pytest.fixture
def gtf(tmp_path):
    path = tmp_path / "toy.gtf.gz"
    path.write_bytes(gzip.compress(GTF.encode()))
    return path


def test_gtf_gives_the_longest_transcript_and_the_biotype(gtf, caplog):
    genes = read_genes(gtf)
    assert genes[["chrom", "start", "end", "name", "strand", "biotype", "transcript_id"]].values.tolist() == [
        ["chr1", 150, 900, "AAA", "+", "protein_coding", "T2"],
        ["chr2", 10, 20, "G2", "-", "lncRNA", "T3"],
        ["scaffold_7", 10, 20, "CCC", "-", "lncRNA", "T4"],
    ]
    assert "1 of 4 transcripts" in caplog.text


def test_parts_split_coding_from_untranslated_bases(gtf):
    parts = read_genes(gtf, parts=True)
    coding = parts[parts["name"].eq("AAA")]
    found = {part: sorted(zip(rows["start"], rows["end"], strict=True)) for part, rows in coding.groupby("part")}
    assert found == {
        "transcript": [(100, 500), (150, 900)],
        "exon": [(100, 500)],
        "CDS": [(200, 300), (700, 750)],
        "UTR": [(150, 200), (750, 900)],
    }


def test_unknown_contigs_are_dropped_and_counted(gtf, caplog):
    with caplog.at_level(logging.WARNING, "scatacworks"):
        genes = read_genes(gtf, genome={"1": 1000, "2": 1000})
    assert genes["chrom"].tolist() == ["1", "2"]
    assert "1 of 4 transcripts" in caplog.text
    assert "scaffold_7" in caplog.text
    with pytest.raises(ValueError, match="another genome"):
        read_genes(gtf, genome={"chrX": 1000})


def test_gff3_follows_parents(tmp_path):
    path = tmp_path / "toy.gff3"
    path.write_text(
        "##gff-version 3\n"
        "1\te\tgene\t101\t900\t.\t-\t.\tID=gene:G1;Name=AAA;biotype=protein_coding\n"
        "1\te\tmRNA\t101\t900\t.\t-\t.\tID=transcript:T1;Parent=gene:G1;Name=AAA-201;biotype=protein_coding\n"
        "1\te\texon\t101\t200\t.\t-\t.\tParent=transcript:T1\n"
        "1\te\texon\t801\t900\t.\t-\t.\tParent=transcript:T1\n"
        "1\te\tCDS\t151\t200\t.\t-\t.\tParent=transcript:T1\n"
    )
    genes = read_genes(path)
    assert genes[["chrom", "start", "end", "name", "strand", "biotype"]].values.tolist() == [
        ["1", 100, 900, "AAA", "-", "protein_coding"]
    ]
    assert sorted(read_genes(path, parts=True)["part"]) == ["CDS", "UTR", "UTR", "transcript"]


def test_refgene_tables_with_and_without_bin_agree(tmp_path):
    row = "NM_1\tchr1\t-\t100\t900\t150\t850\t2\t100,800,\t200,900,\t0\tAAA\tcmpl\tcmpl\t0,1,\n"
    (tmp_path / "refGene.txt").write_text("585\t" + row)
    (tmp_path / "plain.txt").write_text(row)
    first, second = (read_genes(tmp_path / name, parts=True) for name in ("refGene.txt", "plain.txt"))
    pd.testing.assert_frame_equal(first, second)
    assert first[first["part"] == "CDS"][["start", "end", "name"]].values.tolist() == [
        [150, 200, "AAA"],
        [800, 850, "AAA"],
    ]


def test_bed_of_five_six_and_twelve_columns(tmp_path):
    (tmp_path / "five.bed").write_text("chr1\t10\t90\tAAA\t+\n")
    (tmp_path / "six.bed").write_text("chr1\t10\t90\tAAA\t0\t+\n")
    (tmp_path / "twelve.bed").write_text("chr1\t10\t90\tAAA\t0\t+\t20\t80\t0\t2\t20,30,\t0,50,\n")
    tables = [read_genes(tmp_path / f"{name}.bed") for name in ("five", "six", "twelve")]
    for table in tables:
        assert table[["chrom", "start", "end", "name", "strand"]].values.tolist() == [["chr1", 10, 90, "AAA", "+"]]
    parts = read_genes(tmp_path / "twelve.bed", parts=True)
    assert parts[parts["part"] == "CDS"][["start", "end"]].values.tolist() == [[20, 30], [60, 80]]


def test_lines_for_browsers_and_signs_in_names_are_no_obstacle(tmp_path):
    path = tmp_path / "custom.bed"
    lines = [
        "browser position chr1:1-100",
        'track name="my genes"',
        "chr1\t10\t90\tA#1\t0\t+",
        'chr1\t95\t99\t"B\t0\t-',
    ]
    path.write_text("\n".join([*lines, "track name=more", "chr2\t10\t90\tC\t0\t-", ""]))
    expected = [["chr1", 10, 90, "A#1", "+"], ["chr1", 95, 99, '"B', "-"], ["chr2", 10, 90, "C", "-"]]
    assert read_genes(path)[["chrom", "start", "end", "name", "strand"]].values.tolist() == expected


def test_a_table_that_r_wrote_with_quotes_is_read_without(tmp_path):
    path = tmp_path / "genes.tsv"
    path.write_text('"chrom"\t"start"\t"end"\t"name"\t"strand"\n"chr1"\t10\t90\t"A"\t"+"\n')
    assert read_genes(path)[["chrom", "start", "end", "name", "strand"]].values.tolist() == [["chr1", 10, 90, "A", "+"]]


def test_parts_are_those_counted_base_by_base(tmp_path):
    rng, lines, expected = np.random.default_rng(0), [], {}
    for i in range(50):
        bounds = np.sort(rng.choice(np.arange(1000, 2000), 8, replace=False)).reshape(4, 2)  # of its exons
        low, high = np.sort(rng.choice(bounds.ravel(), 2, replace=False)) if i % 5 else (bounds[0, 0],) * 2
        low, high = low + (high - low) // 3, high - (high - low) // 3
        sizes, offsets = (",".join(map(str, column)) for column in (np.diff(bounds)[:, 0], bounds[:, 0] - bounds[0, 0]))
        lines.append(f"chr1\t{bounds[0, 0]}\t{bounds[3, 1]}\tG{i}\t0\t+\t{low}\t{high}\t0\t4\t{sizes}\t{offsets}\n")
        bases = {base for start, end in bounds for base in range(start, end)}
        coding = {base for base in bases if low <= base < high}
        own = {"CDS": coding, "UTR": bases - coding} if high > low else {"exon": bases}
        expected[f"G{i}"] = {"transcript": set(range(bounds[0, 0], bounds[3, 1])), **own}
    (tmp_path / "g.bed").write_text("".join(lines))
    found = {name: {} for name in expected}
    for row in read_genes(tmp_path / "g.bed", parts=True).itertuples():
        found[row.name].setdefault(row.part, set()).update(range(row.start, row.end))
    assert found == {name: {part: bases for part, bases in own.items() if bases} for name, own in expected.items()}


def test_built_in_and_shared_gene_tables(shared_data):
    assert len(read_genes("hg38", genome=sca.Genome("hg38"))) > 20_000
    genes = read_genes(shared_data / "genes" / "hg19_genes.bed")
    assert genes.loc[genes["name"] == "GATA1", ["chrom", "strand"]].values.tolist() == [["chrX", "+"]]


@pytest.mark.parametrize(
    ("name", "text", "message"),
    [
        ("a.gtf", 'chr1\tx\tgene\t1\t5\t.\t+\t.\tgene_id "G";\n', "no exon.*as a BED file with strands"),
        ("a.gtf", 'chr1\tx\texon\tone\t5\t.\t+\t.\tgene_id "G"; transcript_id "T";\n', "exon on chr1.: start is 'one'"),
        ("a.gtf", "just text\n", "nine columns"),
        ("a.bed", "chr1\t5\n", "neither GTF"),
        ("a.bed", "chrom\tstart\tend\tname\tscore\tstrand\n", "neither GTF.* found 6 column"),
    ],
)
def test_unreadable_files_are_named(tmp_path, name, text, message):
    (tmp_path / name).write_text(text)
    with pytest.raises(ValueError, match=message):
        read_genes(tmp_path / name)


def test_a_gtf_that_is_no_text_is_told_in_one_sentence(tmp_path):
    (tmp_path / "a.gtf").write_bytes(b"\x89PNG\xff\xfe\x00" * 40)
    with pytest.raises(ValueError, match=r"a\.gtf is not a text file; expected a gene annotation, plain or gzipped\.$"):
        read_genes(tmp_path / "a.gtf")
    (tmp_path / "a.gtf").write_text("just text\n")
    with pytest.raises(ValueError, match=r"expected nine columns separated by tabs\.$"):
        read_genes(tmp_path / "a.gtf")


def test_unknown_biotypes_list_the_known(gtf):
    with pytest.raises(ValueError, match="lncRNA"):
        read_genes(gtf, biotypes=["tRNA"])


def test_one_biotype_may_be_a_text():
    genes = pd.DataFrame({"chrom": "chr1", "start": [0, 9], "end": [5, 20], "name": ["A", "B"], "strand": "+"})
    genes["biotype"] = ["protein_coding", "lncRNA"]
    assert sca.io.read_genes(genes, biotypes="lncRNA")["name"].tolist() == ["B"]


def test_a_first_line_may_name_the_columns(tmp_path):
    (tmp_path / "g.bed").write_text("chrom\tstart\tend\tname\tstrand\nchr1\t5\t90\tA\t-\n")
    assert read_genes(tmp_path / "g.bed")[["start", "name", "strand"]].values.tolist() == [[5, "A", "-"]]


ENSEMBL = """\
1|x|chromosome|1|30427671|.|.|.|ID=chromosome:1;Alias=Chr1
1|x|gene|3631|5899|.|+|.|ID=gene:AT1G01010;Name=NAC001;biotype=protein_coding;gene_id=AT1G01010
1|x|mRNA|3631|5899|.|+|.|ID=transcript:AT1G01010.1;Parent=gene:AT1G01010;biotype=protein_coding
1|x|exon|3631|5899|.|+|.|Parent=transcript:AT1G01010.1;Name=AT1G01010.1.exon1
1|x|ncRNA_gene|28500|28706|.|-|.|ID=gene:AT1G01046;biotype=miRNA;description=a%3Bb;gene_id=AT1G01046
1|x|miRNA|28500|28706|.|-|.|ID=transcript:AT1G01046.1;Parent=gene:AT1G01046;biotype=miRNA
1|x|exon|28500|28706|.|-|.|Parent=transcript:AT1G01046.1;Name=AT1G01046.1.exon1;rank=1
"""
NCBI = """\
NC_1.1|x|pseudogene|7000|7900|.|-|.|ID=gene-AT1G01017;Name=AT1G01017;gene_biotype=pseudogene
NC_1.1|x|exon|7000|7900|.|-|.|ID=id-AT1G01017;Note=#1 hit;Parent=gene-AT1G01017;gbkey=exon
NC_2.1|x|gene|383|1444|.|-|.|ID=gene-psbA;Name=psbA;gene=psbA;gene_biotype=protein_coding
NC_2.1|x|CDS|383|1444|.|-|0|ID=cds-NP_051039.1;Parent=gene-psbA;Name=NP_051039.1;gene=psbA
"""
SGD = """\
chrI|x|gene|101|900|.|-|.|ID=YAL001C;Name=YAL001C;gene=TFC3;Note=Subunit%20of%20RNA
chrI|x|CDS|801|900|.|-|0|Parent=YAL001C_mRNA;Name=YAL001C_CDS
chrI|x|CDS|101|700|.|-|1|Parent=YAL001C_mRNA;Name=YAL001C_CDS
chrI|x|mRNA|101|900|.|-|.|ID=YAL001C_mRNA;Name=YAL001C_mRNA;Parent=YAL001C
###
##FASTA
>chrI
CCACACCACACCCACACACC
"""
OTHERS = """\
Chr1|x|gene|11|90|.|+|.|ID=AT1G01010;Name=AT1G01010;symbol=NAC001;locus=2200935
Chr1|x|mRNA|11|90|.|+|.|ID=AT1G01010.1;Parent=AT1G01010;Name=AT1G01010.1
Chr1|x|exon|11|90|.|+|.|Parent=AT1G01010.1;Name=NAC001:exon:1
GCA_1#1#CP1.1|x|gene|11|90|.|+|.|ID=g1;Name=tRNA%2C Ala
GCA_1#1#CP1.1|x|mRNA|11|90|.|+|.|ID=t1;Parent=g1
GCA_1#1#CP1.1|x|exon|11|90|.|+|.|Parent=t1
"""
FLY = """\
X|FlyBase|gene|11|90|.|+|.|gene_id "FBgn0031081"; gene_symbol "Nep3";
X|FlyBase|5UTR|11|50|.|+|.|gene_id "FBgn0031081"; gene_symbol "Nep3"; transcript_id "FBtr0070000";
X|FlyBase|exon|11|90|.|+|.|gene_id "FBgn0031081"; gene_symbol "Nep3"; transcript_id "FBtr0070000";
"""


@pytest.mark.parametrize(
    ("name", "text", "genes"),
    [
        (
            "ensembl.gff3",
            ENSEMBL,
            [
                ["1", 3630, 5899, "NAC001", "+", "protein_coding", "AT1G01010"],
                ["1", 28499, 28706, "AT1G01046", "-", "miRNA", "AT1G01046"],
            ],
        ),
        (
            "ncbi.gff",
            NCBI,
            [
                ["NC_1.1", 6999, 7900, "AT1G01017", "-", "pseudogene", "gene-AT1G01017"],
                ["NC_2.1", 382, 1444, "psbA", "-", "protein_coding", "gene-psbA"],
            ],
        ),
        ("sgd.gff", SGD, [["chrI", 100, 900, "TFC3", "-", "unknown", "YAL001C"]]),
        (
            "others.gff3",
            OTHERS,
            [
                ["Chr1", 10, 90, "NAC001", "+", "unknown", "AT1G01010"],
                ["GCA_1#1#CP1.1", 10, 90, "tRNA, Ala", "+", "unknown", "g1"],
            ],
        ),
        ("fly.gtf", FLY, [["X", 10, 90, "Nep3", "+", "unknown", "FBgn0031081"]]),
    ],
)
def test_annotations_of_other_species_and_sources(tmp_path, name, text, genes):
    (tmp_path / name).write_text("##gff-version 3\n#!genome-build x\n" + text.replace("|", "\t"))
    found = read_genes(tmp_path / name).sort_values(["chrom", "start"])
    columns = ["chrom", "start", "end", "name", "strand", "biotype", "gene_id"]
    assert found[columns].values.tolist() == sorted(genes)


def test_coding_parts_stand_for_missing_exons(tmp_path):
    (tmp_path / "sgd.gff").write_text(SGD.replace("|", "\t"))
    parts = read_genes(tmp_path / "sgd.gff", parts=True)
    assert parts[["start", "end", "part"]].values.tolist() == [
        [100, 700, "CDS"],
        [100, 900, "transcript"],
        [800, 900, "CDS"],
    ]


def test_gene_tables_of_ucsc_with_any_chromosome_names(tmp_path):
    row = "NM_1\tNC_060925.1\t+\t100\t900\t200\t800\t1\t100,\t900,\t0\tABC\tcmpl\tcmpl\t0,\n"
    (tmp_path / "genePred.txt").write_text(row)
    (tmp_path / "refGene.txt").write_text("585\t" + row)
    for name in ("genePred.txt", "refGene.txt"):
        genes = read_genes(tmp_path / name)
        assert genes[["chrom", "start", "end", "name", "strand"]].values.tolist() == [
            ["NC_060925.1", 100, 900, "ABC", "+"]
        ]


TABLE = pd.DataFrame(
    {"chrom": "chr1", "start": [100, 500], "end": [300, 900], "name": ["A", "B"], "strand": ["-", "+"]}
)


@pytest.mark.parametrize("strand", [[-1, 1], ["-1", "1"], [-1.0, 1.0]])
def test_strands_as_ensembl_writes_them_are_strands(strand, tmp_path):
    table = TABLE.assign(strand=strand)
    assert read_genes(table)["strand"].tolist() == ["-", "+"]
    assert sca.Genome({"chr1": 1000}, genes=table).genes["strand"].tolist() == ["-", "+"]
    path = tmp_path / "g.bed"
    table = table.assign(strand=[-1, 1])
    table.insert(4, "score", 0)
    table.to_csv(path, sep="\t", header=False, index=False)
    assert read_genes(path)["strand"].tolist() == ["-", "+"]
    path = tmp_path / "g.gtf"
    path.write_text(GTF.replace("\t-\t", "\t-1\t").replace("\t+\t", "\t1\t"))
    assert read_genes(path).set_index("name")["strand"].to_dict() == {"AAA": "+", "G2": "-", "CCC": "-"}


def test_what_is_no_strand_is_not_taken_for_the_forward_one(tmp_path):
    words = TABLE.assign(strand=["minus", "plus"])
    for call in (read_genes, lambda table: sca.Genome({"chr1": 1000}, genes=table).genes):
        with pytest.raises(ValueError, match="A strand in the gene table.* is 'minus'; expected '\\+', '-' or '\\.'"):
            call(words)
    (tmp_path / "five.bed").write_text("chr1\t10\t90\tAAA\t960\n")  # the fifth is a score
    with pytest.raises(ValueError, match="nor a UCSC gene table"):
        read_genes(tmp_path / "five.bed")


@pytest.mark.parametrize(("start", "end"), [(300, 100), (100, 100), (-1, 100), (float("nan"), 100), (100.5, 300)])
def test_a_gene_that_is_nowhere_is_named(start, end, tmp_path):
    with pytest.raises(ValueError, match="gene table, (A: found chr1, |row 0: .* expected a whole number)"):
        read_genes(TABLE.assign(start=[start, 500], end=[end, 900]))
    (tmp_path / "g.bed").write_text(f"chr1\t5\t90\tB\t0\t-\nchr1\t{start}\t{end}\tA\t0\t-\n")
    with pytest.raises(ValueError, match="g.bed, (A: found chr1, |entry 2: .* expected a whole number)"):
        read_genes(tmp_path / "g.bed")


def test_genes_without_name_or_biotype():
    table = TABLE.assign(name=[None, "B"], biotype=["lncRNA", None])
    with pytest.raises(ValueError, match="1 of 2 genes of the gene table have neither a name nor an identifier"):
        read_genes(table)
    genes = read_genes(table.assign(gene_id=["ENSG1", "ENSG2"]))
    assert genes[["name", "biotype"]].values.tolist() == [["ENSG1", "lncRNA"], ["B", "unknown"]]


@pytest.mark.parametrize(
    ("lists", "message"),
    [
        ("100,800,\t200,", "expected two lists of as many numbers for its exons"),
        ("100,x,\t200,900,", "a number of its exons is 'x'; expected a whole number"),
        ("\t200,900,", "expected two lists of as many numbers for its exons"),
    ],
)
def test_exons_that_cannot_be_read_are_told_with_their_line(lists, message, tmp_path):
    row = "NM_1\tchr1\t-\t100\t900\t150\t850\t2\t100,800,\t200,900,\t0\tAAA\tcmpl\tcmpl\t0,1,\n"
    (tmp_path / "genePred.txt").write_text(row + row.replace("100,800,\t200,900,", lists))
    with pytest.raises(ValueError, match=rf"genePred\.txt, entry 2: {message}"):
        read_genes(tmp_path / "genePred.txt")


@pytest.mark.parametrize(
    ("columns", "expected"),
    [
        (["+\t1", "-\t2"], ["+", "-"]),  # a score comes sixth
        (["+\t1", "-\t-1"], ["+", "-"]),
        (["1\t+", "-1\t-"], ["+", "-"]),
        (["960\t1", "960\t-1"], ["+", "-"]),
        (["1\t*", "1\t*"], [".", "."]),
        (["1\t*", "1\t-"], [".", "-"]),
    ],
)
def test_the_column_of_strands_is_the_one_with_signs(columns, expected, tmp_path):
    rows = [
        f"chr1\t{start}\t{start + 90}\t{start}\t{column}\n" for start, column in zip((1, 200), columns, strict=True)
    ]
    (tmp_path / "g.bed").write_text("".join(rows))
    assert read_genes(tmp_path / "g.bed")["strand"].tolist() == expected


def test_biotypes_may_be_categories():
    table = TABLE.assign(biotype=pd.Categorical(["lncRNA", None]))
    assert read_genes(table)["biotype"].tolist() == ["lncRNA", "unknown"]


def test_a_gene_that_is_nowhere_does_not_matter_beyond_the_genome():
    table = pd.concat([TABLE, TABLE.iloc[:1].assign(chrom="chrUn", start=0, end=0)])
    assert len(read_genes(table, genome={"chr1": 1_000})) == len(TABLE)
