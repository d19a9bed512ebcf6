"""Regions in every form that users have them, and what they become."""

from __future__ import annotations

import inspect

import anndata as ad
import numpy as np
import pandas as pd
import pytest

import scatacworks as sca
from scatacworks._regions import as_regions, as_spans, nuclear_spans, spans_frame, with_positions

GENES = pd.DataFrame({"chrom": ["chr1"], "start": [4_000], "end": [5_000], "name": ["ABC1"], "strand": ["+"]})
EXPECTED = [("chr1", 50, 90), ("chr1", 10, 20), ("chr2", 0, 5)]


@pytest.fixture
def genome():
    return sca.Genome({"chr1": 10_000, "chr2": 500, "chrM": 100}, genes=GENES)


def forms(folder):
    """The same three regions in every form."""
    bed = folder / "x.bed"
    bed.write_text("track name=x\n#chrom\tstart\tend\nchr1\t50\t90\n1\t10\t20\tname\nchr2\t0\t5\n")
    plain = folder / "plain"
    plain.write_text(bed.read_text())
    table = pd.DataFrame(EXPECTED, columns=["chrom", "start", "end"])
    named = [f"{chrom}:{start}-{end}" for chrom, start, end in EXPECTED]
    return {
        "file": bed,
        "path": str(bed),
        "file without suffix": str(plain),
        "key": "mine",
        "table": table,
        "floats": table.astype({"start": float, "end": float}),
        "text": table.astype(str),
        "categories": table.astype({"chrom": "category"}),
        "missing values": table.astype({"start": "Int64", "end": "Int64"}),
        "PyRanges": table.set_axis(["Chromosome", "Start", "End"], axis=1),
        "UCSC": table.set_axis(["chrom", "chromStart", "chromEnd"], axis=1),
        "GRanges": table.set_axis(["seqnames", "start", "end"], axis=1),
        "0-based, with widths": table.assign(width=table["end"] - table["start"]),
        "chr": table.set_axis(["chr", "start", "stop"], axis=1),
        "names": pd.DataFrame({"score": [1, 2, 3]}, index=named),
        "AnnData": ad.AnnData(np.zeros((1, 3), np.float32), var=table.set_axis(["a", "b", "c"])),
        "AnnData by name": ad.AnnData(np.zeros((1, 3), np.float32), var=pd.DataFrame(index=named)),
        "names of Signac": pd.DataFrame({"score": [1, 2, 3]}, index=[name.replace(":", "-") for name in named]),
        "names of epiScanpy": pd.DataFrame(index=[name.replace(":", "_").replace("-", "_") for name in named]),
        "strings": named,
        "tuple of strings": tuple(named),
        "index": pd.Index(named),
        "triples": EXPECTED,
        "mixed": ["chr1:50-90", ("1", 10, 20.0), "chr2:0-5"],
    }


def table(**row):
    return pd.DataFrame([row])


def test_every_form_is_the_same_table_and_the_same_intervals(genome, tmp_path):
    kept = {"mine": pd.DataFrame(EXPECTED, columns=["chrom", "start", "end"])}
    for name, form in forms(tmp_path).items():
        table = as_regions(form, genome, uns=kept)
        assert list(table[["chrom", "start", "end"]].itertuples(index=False, name=None)) == EXPECTED, name
        assert table["code"].tolist() == [0, 0, 1], name
        assert table.index.tolist() == ["chr1:50-90", "chr1:10-20", "chr2:0-5"], name
        spans = as_spans(form, genome, uns=kept)
        assert {code: rows.tolist() for code, rows in spans.items()} == {0: [[10, 20], [50, 90]], 1: [[0, 5]]}, name


def test_one_region_needs_no_list(genome):
    for form in ("chr2:0-500", "chr2", ("chr2", 0, 500), ("chr2", "0", "500"), genome.region("chr2")):
        assert as_spans(form, genome)[1].tolist() == [[0, 500]]


def test_three_chromosomes_are_no_region():
    genome = sca.Genome({"1": 50, "2": 50, "3": 50})
    assert as_regions(("1", "2", "3"), genome).index.tolist() == ["1:0-50", "2:0-50", "3:0-50"]
    assert as_regions(("1", "20", "30"), genome).index.tolist() == ["1:20-30"]


def test_intervals_that_overlap_or_touch_become_one(genome):
    spans = as_spans(["chr1:10-20", "chr1:50-90", "chr1:15-30", "chr1:90-95"], genome)
    assert spans[0].tolist() == [[10, 30], [50, 95]]
    assert spans_frame(spans, genome).values.tolist() == [["chr1", 10, 30], ["chr1", 50, 95]]


def test_a_gene_has_its_flanks_where_intervals_are_worked_on():
    """A quarter of its length, at least 2 kb, to either side, so that its promoter's peak is whole."""
    genome = sca.Genome("hg38")
    for name, flank in {"MS4A1": 3_736, "FOXE1": 2_000}.items():
        gene = genome.region(name)
        for form in (name, [name]):
            assert as_spans(form, genome)[genome.code(gene.chrom)].tolist() == [[gene.start - flank, gene.end + flank]]
            assert as_regions(form, genome).index.tolist() == [f"{gene.chrom}:{gene.start}-{gene.end}"]
    assert as_spans(str(gene), genome)[genome.code(gene.chrom)].tolist() == [[gene.start, gene.end]]


def test_columns_of_a_table_are_kept_and_its_own_names_come_first(genome):
    table = pd.DataFrame({"Start": ["?"], "chr": ["chr2"], "start": [3], "end": [9], "family": ["promoter"]})
    found = as_regions(table, genome).iloc[0]
    assert (found["start"], found["Start"], found["family"]) == (3, "?", "promoter")


def test_nuclear_intervals_are_the_genome_but_mitochondria(genome):
    assert {code: rows.tolist() for code, rows in nuclear_spans(genome).items()} == {0: [[0, 10_000]], 1: [[0, 500]]}


@pytest.mark.parametrize(
    ("form", "error", "match"),
    [
        ([], ValueError, "regions is empty"),
        ("XYZ", ValueError, r"neither a region like .* nor a gene .* Nor is there such a file\."),
        ("nowhere.bed.gz", FileNotFoundError, "nowhere.bed.gz does not exist"),
        ("folder/nowhere", FileNotFoundError, "folder/nowhere does not exist"),
        (3, TypeError, "regions is 3; expected a region, gene, BED file or table"),
        ("chr1:5-100000", ValueError, r"not within chr1 of custom \(length 10,000 bp\); expected 0 <= start"),
        (table(chrom="chr1", end=5), KeyError, r"lacks the column\(s\) start, and its names are not"),
        (pd.DataFrame({"score": [1]}, index=["chr1:-5-20"]), KeyError, "its names are not chrom:start-end"),
        (("chr1", None, 9), ValueError, "the position None; expected a whole number of bp"),
        ([("chr1", "a", 9)], ValueError, "the position 'a'; expected a whole number of bp"),
        (table(chrom="chr1", start=1.5, end=9), ValueError, "row 0: start is 1.5; expected a whole"),
        (table(chrom="chr1", start=1, end=None), ValueError, "row 0: end is None; expected a whole"),
        (table(chrom="chr1", start=1, end=1), ValueError, "1 of 1 regions are empty"),
        (table(chrom="chr1", start=-1, end=5), ValueError, "1 of 1 regions .* the first: chr1:-1-5"),
        (table(chrom="chr9", start=1, end=2), ValueError, "lie on chromosomes that"),
        (table(seqnames="chr1", start=1, end=5, width=5), ValueError, r"counts positions from one.*\.assign\(start="),
    ],
)
def test_what_is_no_region_is_refused(genome, form, error, match):
    with pytest.raises(error, match=match):
        as_spans(form, genome)


@pytest.mark.parametrize("missing", [None, np.nan, pd.NA])
@pytest.mark.parametrize("dtype", [object, "string", "category"])
def test_regions_without_a_chromosome_are_left_out(genome, missing, dtype):
    table = pd.DataFrame({"chrom": pd.Series([missing, "chr1"], dtype=dtype), "start": [1, 2], "end": [3, 4]})
    with pytest.warns(UserWarning, match=r"1 of 2 regions lie on chromosomes that custom lacks \((None|nan|<NA>)\)"):
        found = as_spans(table, genome)
    assert found[0].tolist() == [[2, 4]]


def test_warnings_of_unknown_chromosomes_point_to_the_caller(genome):
    table = pd.DataFrame({"chrom": ["chr1", "alt"], "start": [1, 2], "end": [3, 4]})

    def public():  # as a function of tl does
        return as_spans(table, genome)

    with pytest.warns(UserWarning, match=r"1 of 2 regions lie on chromosomes that custom lacks \(alt\)") as told:
        found, here = public(), inspect.currentframe().f_lineno
    assert found[0].tolist() == [[1, 3]]
    assert (told[0].filename, told[0].lineno) == (__file__, here)


@pytest.mark.parametrize("wrong", ["chr1:5-9", ["chr1:5-9"], {"chrom": ["chr1"], "start": [5], "end": [9]}])
def test_where_only_a_table_will_do_anything_else_is_told(wrong):
    with pytest.raises(TypeError, match=r"The peaks is a \w+; expected a DataFrame with chrom, start and end"):
        with_positions(wrong, "The peaks")
