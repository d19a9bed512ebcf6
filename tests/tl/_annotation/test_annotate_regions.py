import subprocess
from shutil import which

import anndata
import numpy as np
import pandas as pd
import pytest
from scipy import stats

import scatacworks as sca


def parts(*rows):
    columns = ["chrom", "start", "end", "part", "name", "strand", "biotype"]
    return pd.DataFrame(rows, columns=columns)


GENE = parts(
    ("chr1", 10_000, 20_000, "transcript", "AAA", "+", "protein_coding"),
    ("chr1", 10_000, 10_500, "UTR", "AAA", "+", "protein_coding"),
    ("chr1", 10_500, 12_000, "CDS", "AAA", "+", "protein_coding"),
    ("chr1", 15_000, 15_300, "CDS", "AAA", "+", "protein_coding"),
    ("chr1", 15_300, 20_000, "UTR", "AAA", "+", "protein_coding"),
    ("chr1", 40_000, 45_000, "transcript", "BBB", "-", "lncRNA"),
    ("chr1", 40_000, 41_000, "exon", "BBB", "-", "lncRNA"),
)


def regions(*pairs, chrom="chr1"):
    return pd.DataFrame({"chrom": chrom, "start": [p[0] for p in pairs], "end": [p[1] for p in pairs]})


@pytest.mark.parametrize(
    ("region", "annotation", "exon", "gene"),
    [
        ((9_200, 9_400), "promoter", None, "coding"),
        ((11_100, 11_300), "exon", "CDS", None),
        ((13_000, 13_300), "intron", None, "coding"),
        ((30_000, 30_100), "intergenic", None, None),
        ((14_900, 15_100), "exon", "CDS", None),  # 100 exon, 100 intron: a tie goes to the exon
        ((14_890, 15_080), "intron", None, "coding"),
        ((8_900, 9_100), "promoter", None, "coding"),  # tie of promoter and intergenic
        ((15_250, 15_360), "exon", "UTR", None),
        ((40_100, 40_300), "exon", "non-coding", None),
        ((42_000, 42_100), "intron", None, "non-coding"),
        ((45_100, 45_500), "promoter", None, "non-coding"),
    ],
)
def test_largest_overlap_and_ties(region, annotation, exon, gene):
    row = sca.tl.annotate_regions(regions(region), genes=GENE).iloc[0]
    assert row["annotation"] == annotation
    assert row["exon_class"] == exon or (exon is None and pd.isna(row["exon_class"]))
    assert row["gene_class"] == gene or (gene is None and pd.isna(row["gene_class"]))


def test_nearest_gene_and_signed_distance():
    table = sca.tl.annotate_regions(
        regions((9_000, 9_001), (10_100, 10_101), (46_000, 46_001), (44_900, 44_901)), genes=GENE
    )
    assert table["nearest_gene"].tolist() == ["AAA", "AAA", "BBB", "BBB"]
    assert table["tss_distance"].tolist() == [-1000, 100, -1001, 99]


def test_gene_parts_need_transcripts():
    with pytest.raises(ValueError, match="no row whose part is 'transcript'"):
        sca.tl.annotate_regions(regions((9_000, 9_001)), genes=GENE[GENE["part"] != "transcript"])


def test_no_distance_on_a_chromosome_without_genes(tmp_path):
    table = pd.concat([regions((10_100, 10_101)), regions((10_100, 10_101), chrom="chr2")], ignore_index=True)
    annotated = sca.tl.annotate_regions(table, genes=GENE)
    assert annotated["nearest_gene"].tolist() == ["AAA", ""]
    assert annotated["tss_distance"].tolist() == [100, pd.NA]
    annotated.index = annotated.index.astype(str)
    anndata.AnnData(np.ones((1, 2), np.float32), var=annotated).write_h5ad(tmp_path / "a.h5ad")
    assert anndata.read_h5ad(tmp_path / "a.h5ad").var["tss_distance"].tolist() == [100, pd.NA]


def test_classes_equal_a_count_per_base():
    rng = np.random.default_rng(0)
    start = rng.integers(7_000, 47_000, 300)
    table = regions(*zip(start, start + rng.integers(1, 900, 300), strict=True))
    label = np.full(60_000, 3)
    for row in GENE.itertuples():
        label[row.start : row.end] = np.minimum(label[row.start : row.end], 2 if row.part == "transcript" else 1)
    promoter = np.zeros(60_000, bool)
    promoter[9_000:11_001] = promoter[43_999:46_000] = True
    exon = label == 1
    outer = promoter | exon
    counts = [
        [promoter[s:e].sum(), exon[s:e].sum(), ((label < 3) & ~outer)[s:e].sum(), ((label == 3) & ~outer)[s:e].sum()]
        for s, e in zip(table["start"], table["end"], strict=True)
    ]
    found = sca.tl.annotate_regions(table, genes=GENE)["annotation"].cat.codes
    assert found.tolist() == np.argmax(counts, axis=1).tolist()


def test_other_classes_from_bed(tmp_path):
    (tmp_path / "repeats.bed").write_text("chr1\t100\t200\tSINE\nchr1\t150\t900\tLINE\n")
    table = sca.tl.annotate_regions(
        regions((100, 220), (180, 400), (2_000, 2_100)), classes={"repeat": tmp_path / "repeats.bed"}
    )
    assert table["repeat"].tolist() == ["SINE", "LINE", ""]


def test_families_are_those_of_the_chosen_interval(tmp_path):
    (tmp_path / "repeats.bed").write_text("chr1\t100\t200\tSINE\tAlu\nchr1\t150\t900\tLINE\tL1\n")
    where = regions((100, 220), (180, 400), (2_000, 2_100))
    table = sca.tl.annotate_regions(where, classes={"repeat": tmp_path / "repeats.bed"})
    assert table["repeat_family"].tolist() == ["Alu", "L1", ""]
    repeats = regions((100, 200), (150, 900)).assign(name=["SINE", "LINE"], family=["Alu", None])
    table = sca.tl.annotate_regions(where, classes={"repeat": repeats})
    assert table[["repeat", "repeat_family"]].to_numpy().tolist() == [["SINE", "Alu"], ["LINE", ""], ["", ""]]


@pytest.mark.parametrize("fifth", ["0", "960.5", ".", "+"])
def test_scores_are_no_families(tmp_path, fifth):
    (tmp_path / "peaks.bed").write_text(f"chr1\t100\t200\ta\t{fifth}\nchr1\t150\t900\tb\t7\n")
    table = sca.tl.annotate_regions(regions((100, 220)), classes={"peak": tmp_path / "peaks.bed"})
    assert table["peak"].tolist() == ["a"]
    assert "peak_family" not in table


def test_differential_regions_get_component_gene_motif_trait_in_one_call(make_index):
    index = make_index()
    chosen = np.flatnonzero((index.var["component"] == "B").to_numpy())[:60]
    others = np.flatnonzero((index.var["component"] != "B").to_numpy())[:40]
    table = index.var.iloc[np.concatenate([chosen, others])][["chrom", "start", "end"]].reset_index(drop=True)
    table["direction"] = ["up"] * 60 + ["down"] * 40
    adata = anndata.AnnData(np.ones((1, 1), np.float32))
    adata.uns["differential_regions"] = table
    variants = pd.DataFrame({"chrom": "chr1", "start": table["start"][:3], "end": table["start"][:3] + 1})
    variants["posterior"] = [0.5, 0.25, 1.0]
    result = sca.tl.annotate_regions(
        adata, key="differential_regions", index=index, genes=GENE, traits={"MONO": variants}, copy=True
    )
    assert "component" not in adata.uns["differential_regions"]
    found = result.uns["differential_regions"]
    assert (found["component"][:60] == "B").all()
    assert found["element"].iloc[0] == index.var["identifier"].iloc[chosen[0]]
    assert found["traits"].tolist()[:4] == ["MONO (0.5)", "MONO (0.25)", "MONO (1)", ""]
    enriched = result.uns["region_components"].set_index(["direction", "component"])
    total, own = index.n_vars, int((index.var["component"] == "B").sum())
    np.testing.assert_allclose(enriched.loc[("up", "B"), "p_value"], stats.hypergeom.sf(59, total, own, 60), rtol=1e-6)
    assert enriched.loc[("down", "B"), "p_value"] == 1
    assert enriched.loc[("all", "B"), "n_elements"] == 100


def test_bed_files_are_read_as_peaks_are(tmp_path):
    """Lines of a browser, a first line that names columns in its own way, quotes; and the bad line is named."""
    path = tmp_path / "repeats.bed"
    path.write_text('track name="a"\nchr\tstart\tstop\tid\nchr1\t100\t200\tthe "one"\nchr1\t1.5e2\t900\tLINE\n')
    table = sca.tl.annotate_regions(regions((100, 140), (800, 820)), classes={"repeat": path})
    assert table["repeat"].tolist() == ['the "one"', "LINE"]
    path.write_text("#made up\nchr1\t100\t200\tSINE\nchr1\t900\t150\tLINE\n")
    with pytest.raises(ValueError, match=r"repeats\.bed, line 3: found chr1, 900 to 150; expected"):
        sca.tl.annotate_regions(regions((100, 140)), classes={"repeat": path})
    path.write_text("chr1 100 200 SINE\n")
    with pytest.raises(ValueError, match="line 1: expected at least 3 columns separated by tabs"):
        sca.tl.annotate_regions(regions((100, 140)), classes={"repeat": path})


@pytest.mark.skipif(which("bedtools") is None, reason="bedtools is not installed")
def test_traits_of_peaks_equal_bedtools(shared_data, tmp_path):
    peaks = pd.read_csv(shared_data / "traits_pp" / "hemePeaks.bed.gz", sep="\t", header=None).iloc[:50_000]
    peaks.columns = ["chrom", "start", "end"]
    peaks.to_csv(tmp_path / "peaks.bed", sep="\t", header=False, index=False)
    variants = shared_data / "traits_pp" / "MONO_COUNT_PP001.bed.gz"
    command = ["bedtools", "intersect", "-wo", "-a", tmp_path / "peaks.bed", "-b", variants]
    lines = subprocess.run(command, check=True, capture_output=True, text=True).stdout.splitlines()
    expected = (
        pd.DataFrame([line.split("\t") for line in lines]).groupby([0, 1])[7].agg(lambda x: x.astype(float).sum())
    )
    found = sca.tl.annotate_regions(peaks, traits={"MONO": variants})
    hit = found[found["traits"] != ""]
    assert len(hit) == len(expected)
    shown = hit["traits"].str.extract(r"\((.*)\)", expand=False).astype(float).to_numpy()
    own = [expected.loc[(row.chrom, str(row.start))] for row in hit.itertuples()]
    np.testing.assert_allclose(shown, own, rtol=0.06)


def test_columns_may_have_the_names_of_other_packages():
    own = regions((10, 20), (40, 60))
    expected = sca.tl.annotate_regions(own, genes=GENE).drop(columns=own.columns)
    for names in (["Chromosome", "Start", "End"], ["seqnames", "start", "end"], ["chrom", "chromStart", "chromEnd"]):
        other = own.rename(columns=dict(zip(["chrom", "start", "end"], names, strict=True)))
        pd.testing.assert_frame_equal(sca.tl.annotate_regions(other, genes=GENE)[expected.columns], expected)


def test_errors(make_index):
    with pytest.raises(KeyError, match="differential_regions"):
        sca.tl.annotate_regions(make_index(), key="differential_regions", genes=GENE)
    with pytest.raises(ValueError, match="no chromosome in common"):
        sca.tl.annotate_regions(regions((1, 5), chrom="chr9"), genes=GENE)
    with pytest.raises(KeyError, match="chrom"):
        sca.tl.annotate_regions(pd.DataFrame({"x": [1]}), genes=GENE)
    bad = pd.DataFrame({"chrom": ["chr1"], "start": [1], "end": [2], "posterior": [1.5]})
    with pytest.raises(ValueError, match="between 0 and 1"):
        sca.tl.annotate_regions(make_index(), traits={"x": bad})


def test_genes_of_another_assembly_are_refused():
    index = anndata.AnnData(np.ones((1, 1)), var=regions((10_000, 10_200)).set_index(pd.Index(["element"])))
    index.uns["reference_sequences"] = sca.Genome("hg19").to_frame()
    with pytest.raises(
        ValueError, match="regions are of .*, whose chr1 has 249,250,621 bp, not of 'hg38' .248,956,422 bp"
    ):
        sca.tl.annotate_regions(index, genes="hg38")
    with pytest.raises(ValueError, match="regions are of .* not of 'hg38'"):
        sca.tl.gene_components(index, genes=sca.Genome("hg38"))
    assert "nearest_gene" not in index.var
    sca.tl.annotate_regions(index, genes="hg19")
    assert index.var["nearest_gene"].tolist() == ["DDX11L1"]


def test_classes_are_a_dict():
    regions = pd.DataFrame({"chrom": ["chr1"], "start": [10], "end": [20]})
    with pytest.raises(TypeError, match="classes is 'x'; expected a dict"):
        sca.tl.annotate_regions(regions, classes="x")


def test_an_index_of_another_assembly_is_refused(make_index):
    index, other = make_index(), make_index()
    index.uns["reference_sequences"] = sca.Genome("hg19").to_frame()
    other.uns["reference_sequences"] = sca.Genome("hg38").to_frame()
    with pytest.raises(ValueError, match="whose chr1 has 248,956,422 bp"):
        sca.tl.annotate_regions(other, index=index)


def test_more_components_than_16_bits_tell_apart_keep_their_names():
    start = np.arange(70_000) * 10
    var = pd.DataFrame({"chrom": "chr1", "start": start, "end": start + 5}, index=start.astype(str))
    index = anndata.AnnData(var=var)
    index.var["component"] = pd.Categorical(index.var_names)
    found = sca.tl.annotate_regions(index.var[["chrom", "start", "end"]], index=index)
    assert found["component"].tolist() == list(index.var_names)


def test_traits_are_a_dict():
    with pytest.raises(TypeError, match="traits is a str; expected a dict"):
        sca.tl.annotate_regions(regions((5, 100)), traits="MONO.bed")


@pytest.mark.parametrize(
    ("column", "value"),
    [("chrom", None), ("start", np.nan), ("start", -1), ("start", 300), ("start", 100.5), ("end", "x")],
)
def test_rows_that_are_no_regions_are_refused_wherever_a_table_is_given(column, value):
    good = regions((100, 200), (1_000, 1_300)).astype(object)
    bad = good.copy()
    bad.loc[0, column] = value
    variants = good.assign(posterior=0.5)
    for call in (
        lambda: sca.tl.annotate_regions(bad, genes=GENE),
        lambda: sca.tl.annotate_regions(good, classes={"repeat": bad}),
        lambda: sca.tl.annotate_regions(good, traits={"count": variants.assign(**{column: bad[column]})}),
    ):
        with pytest.raises(ValueError, match="row 0: .*; expected a (chromosome and 0 <= start < end|whole number)"):
            call()


def test_where_a_summit_is_not_known_the_middle_is_taken():
    for unknown in (np.nan, "."):
        table = regions((9_000, 9_201), (9_000, 9_201)).assign(summit=[9_150, unknown])
        assert sca.tl.annotate_regions(table, genes=GENE)["tss_distance"].tolist() == [-850, -900]


def test_a_slot_that_is_no_table_is_said():
    adata = anndata.AnnData(np.ones((1, 1), np.float32), uns={"peaks": {"start": 1}})
    with pytest.raises(KeyError, match=r"\.uns\['peaks'\] is no table; expected a table of regions"):
        sca.tl.annotate_regions(adata, key="peaks", genes=GENE)


def test_nothing_to_annotate_with_is_said():
    with pytest.raises(ValueError, match="nothing to annotate the regions with; give genes="):
        sca.tl.annotate_regions(regions((100, 200)))
    index = anndata.AnnData(np.ones((1, 1), np.float32), var=regions((100, 200)).set_axis(["1"]))
    with pytest.raises(ValueError, match="An index itself has only its motifs to give, once sca.tl.motif_enrichment"):
        sca.tl.annotate_regions(index, index=index)


def test_chromosomes_that_a_genome_lacks_are_not_one():
    var = pd.DataFrame({"chrom": ["chr1", "scaffold_A"], "start": 100, "end": 300, "component": ["a", "b"]})
    index = anndata.AnnData(np.ones((1, 2), np.float32), var=var.set_index(pd.Index(["e1", "e2"])))
    table = pd.DataFrame({"chrom": ["chr1", "scaffold_B"], "start": 150, "end": 250})
    found = sca.tl.annotate_regions(table, index=index, genome={"chr1": 1_000})
    assert found["element"].tolist() == ["e1", ""]
    assert found.attrs["region_components"]["n_elements"].tolist() == [1, 1]
