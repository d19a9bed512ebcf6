"""Gene annotations from GTF, GFF3, BED and UCSC gene tables, or of a built-in genome."""

from __future__ import annotations

from csv import QUOTE_MINIMAL, QUOTE_NONE
from io import StringIO
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from scatacworks._columns import intervals, whole_numbers
from scatacworks._files import kind_of, open_text, require_file
from scatacworks._logging import logger
from scatacworks._strands import strands_of
from scatacworks.genome import Genome
from scatacworks.io import _gtf
from scatacworks.io._peaks_read import SKIPPED

if TYPE_CHECKING:
    import os
    from collections.abc import Mapping, Sequence

__all__ = ["read_genes"]

_COLUMNS = ["chrom", "start", "end", "name", "strand", "biotype", "gene_id", "transcript_id"]
_PARTS = ["chrom", "start", "end", "part", "name", "strand", "biotype"]
_NO_EXONS = pd.DataFrame({"transcript": np.empty(0, np.int64), "start": [], "end": []})
_GENEPRED_BIN = 16  # columns of UCSC's refGene.txt: `bin` first, `name2` (the symbol) thirteenth


def read_genes(
    source: str | os.PathLike[str] | pd.DataFrame | Genome,
    *,
    genome: Genome | str | Mapping[str, int] | None = None,
    biotypes: Sequence[str] | str | None = None,
    parts: bool = False,
) -> pd.DataFrame:
    """Read genes: one row per gene with its longest transcript, or the parts of all transcripts.

    The longest transcript (by the span on the genome; the first by position on ties) stands for the gene, as in
    Meuleman et al. 2020. Genes are told apart by their identifier and chromosome, so that two genes of one symbol
    stay two.

    Parameters
    ----------
    source
        A GTF or GFF3 file, a BED file (BED12 with blocks, BED6, or chrom, start, end, name, strand), a UCSC gene
        table (`refGene.txt`, genePred with or without `bin`), each plain or gzipped; a built-in genome's name or a
        :class:`~scatacworks.Genome` (its own gene table, without biotypes and exons); or a DataFrame with at least
        the columns `chrom`, `start`, `end`, `name` and `strand`.
    genome
        Keep the genes of this genome's chromosomes, under its spelling of their names; the number of others is
        logged.
    biotypes
        Keep these biotypes only, such as `["protein_coding"]`.
    parts
        Return the parts of every transcript, which :func:`scatacworks.tl.annotate_regions` needs for exons and
        introns, instead of one row per gene.

    Returns
    -------
    DataFrame sorted by chromosome and start; `start` and `end` are int64, 0-based, half-open. Genes: `chrom`,
    `start`, `end`, `name` (the symbol, or the identifier where there is none), `strand` (`+`, `-` or `.`), `biotype`
    (`"unknown"` where the source has none), `gene_id`, `transcript_id`. Parts: `chrom`, `start`, `end`, `part`
    (`transcript`, `CDS`, `UTR`, or `exon` for exons of transcripts without a coding sequence), `name`, `strand`,
    `biotype`.

    Raises
    ------
    ValueError
        If the file is of no known form, a line cannot be read or is no gene, or no gene is left.
    FileNotFoundError
        If the file is missing.

    Examples
    --------
    >>> import scatacworks as sca
    >>> genes = sca.io.read_genes("hg38")
    >>> genes.loc[genes["name"] == "GATA1", ["chrom", "start", "end", "strand"]].values.tolist()
    [['chrX', 48786539, 48794311, '+']]
    """
    transcripts, exons, what = _transcripts(source)
    if genome is not None:
        transcripts = _on_genome(transcripts, Genome(genome), what)
    transcripts = _checked(transcripts, what)
    if isinstance(biotypes, str):
        biotypes = [biotypes]
    if biotypes is not None:
        known = sorted(transcripts["biotype"].unique())
        transcripts = transcripts[transcripts["biotype"].isin(biotypes)]
        if transcripts.empty:
            msg = f"No gene of {what} is of the biotypes {biotypes}; it has {known[:20]}."
            raise ValueError(msg)
    if transcripts.empty:
        msg = f"{what} holds no gene."
        raise ValueError(msg)
    if parts:
        return _parts_of(transcripts, exons)
    span = (transcripts["end"] - transcripts["start"]).to_numpy()
    order = np.lexsort((transcripts["start"], -span))
    genes = transcripts.iloc[order].drop_duplicates(["gene_id", "chrom"])
    return genes.sort_values(["chrom", "start", "end"], kind="stable")[_COLUMNS].reset_index(drop=True)


def _transcripts(source: object) -> tuple[pd.DataFrame, pd.DataFrame, str]:
    """Return transcripts, exons (row of the transcript, start, end) and how to name the source in messages."""
    if isinstance(source, Genome):
        return _complete(source.genes), _NO_EXONS, f"the gene table of {source.name}"
    if isinstance(source, pd.DataFrame):
        return _complete(source), _NO_EXONS, "the gene table"
    if isinstance(source, str) and not Path(source).exists() and not any(mark in str(source) for mark in "./\\"):
        return _complete(Genome(source).genes), _NO_EXONS, f"the gene table of {source}"
    path = require_file(source, "gene annotation")  # type: ignore[arg-type]
    kind = kind_of(path)
    if kind in (".gtf", ".gff", ".gff3", ".gff2"):
        return *_gtf.read(path, gff3=kind in (".gff", ".gff3")), str(path)
    return *_read_table(path), str(path)


def _complete(table: pd.DataFrame) -> pd.DataFrame:
    """Fill the optional columns of a gene table."""
    missing = [column for column in ("chrom", "start", "end", "name", "strand") if column not in table]
    if missing:
        msg = f"The gene table lacks the column(s) {missing}; it has {list(table.columns)}."
        raise ValueError(msg)
    start, end = (whole_numbers(table[name], "The gene table") for name in ("start", "end"))
    table = table.assign(chrom=table["chrom"].astype(str), start=start, end=end, name=_names_of(table))
    if "gene_id" not in table:  # tables of symbols list a gene once; rows of one symbol are separate loci
        repeat = table.groupby(["name", "chrom"]).cumcount()
        table["gene_id"] = table["name"].where(repeat == 0, table["name"] + "." + repeat.astype(str))
    table["biotype"] = table["biotype"].astype(object).fillna("unknown") if "biotype" in table else "unknown"
    for column in ("coding_start", "coding_end"):
        table[column] = table[column].fillna(0) if column in table else 0
    if "transcript_id" not in table:
        table["transcript_id"] = table["gene_id"]
    return table.reset_index(drop=True)


def _names_of(table: pd.DataFrame) -> pd.Series:
    """Return the names of a table's genes as text: their identifiers where they have none."""
    names = table["name"].astype(object)
    if "gene_id" in table:
        names = names.where(names.notna(), table["gene_id"])
    if names.isna().any():
        msg = (
            f"{names.isna().sum():,} of {len(names):,} genes of the gene table have neither a name nor an identifier "
            "in a column gene_id; leave them out."
        )
        raise ValueError(msg)
    return names.astype(str)


def _checked(transcripts: pd.DataFrame, what: str) -> pd.DataFrame:
    """Return transcripts with strands in one spelling, each of them somewhere."""
    intervals(transcripts, what, lambda row: transcripts["name"][row])
    return transcripts.assign(strand=strands_of(transcripts["strand"], what))


def _read_table(path: Path) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Read BED or a UCSC gene table, told apart by their columns."""
    with open_text(path, "gene annotation (GTF, GFF3, BED or a UCSC gene table)") as handle:
        text = "".join(line for line in handle if not line.startswith(SKIPPED))
        quoting = QUOTE_MINIMAL if text.startswith('"') else QUOTE_NONE  # all text, as R writes it, or signs in names
        raw = pd.read_csv(StringIO(text), sep="\t", header=None, dtype=str, keep_default_na=False, quoting=quoting)
    if len(raw) > 1 and raw.iloc[0, 0].lower() in {"chrom", "chr", "chromosome", "seqnames"}:
        raw = raw.iloc[1:].reset_index(drop=True)  # it names the columns
    if raw.shape[1] >= 11 and raw.iloc[0, 3] in {"+", "-"} and not raw.iloc[0, 1].isdigit():
        return _from_genepred(raw.iloc[:, 1:], path)
    if raw.shape[1] >= 10 and raw.iloc[0, 2] in {"+", "-"}:
        return _from_genepred(raw, path)
    strand = _strand_column(raw)
    if strand is None or not (raw.iloc[0, 1].isdigit() and raw.iloc[0, 2].isdigit()):
        msg = (
            f"{path} is neither GTF, GFF3 (by its ending), BED with strands nor a UCSC gene table: found "
            f"{raw.shape[1]} column(s), first line {' '.join(raw.iloc[0].astype(str))[:80]!r}."
        )
        raise ValueError(msg)
    table = raw.iloc[:, [0, 1, 2, 3, strand]].set_axis(["chrom", "start", "end", "name", "strand"], axis=1)
    table["start"], table["end"] = (whole_numbers(table[name], path, _entry) for name in ("start", "end"))
    if raw.shape[1] >= 12:
        return _from_bed12(raw, table, path)
    return _complete(table), _NO_EXONS


def _strand_column(raw: pd.DataFrame) -> int | None:
    """Return the sixth or fifth column, whichever has signs; else whichever holds other spellings of strands alone."""
    there = [column for column in (5, 4) if column < raw.shape[1]]
    signs = (column for column in there if raw.iloc[:, column].isin(["+", "-"]).any())
    others = (column for column in there if raw.iloc[:, column].isin(["1", "-1", ".", "*"]).all())
    return next(signs, next(others, None))


def _entry(row: int) -> str:
    return f"entry {row + 1}"


def _from_bed12(raw: pd.DataFrame, table: pd.DataFrame, path: Path) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Return the transcripts and exons of BED12 (thick part = coding)."""
    for name, column in (("coding_start", 6), ("coding_end", 7)):
        table[name] = whole_numbers(raw.iloc[:, column].rename(name), path, _entry)
    exons = _exons(raw.iloc[:, [11, 10]], path)  # offsets and sizes
    exons["start"] += table["start"].to_numpy()[exons["transcript"]]
    exons["end"] += exons["start"]
    return _complete(table), exons


def _exons(lists: pd.DataFrame, path: Path) -> pd.DataFrame:
    """Return the numbers of two columns of lists, one row per exon, with the row of its transcript."""
    first, second = (lists.iloc[:, column].str.rstrip(",").str.split(",") for column in (0, 1))
    uneven = np.flatnonzero(first.str.len() != second.str.len())
    if len(uneven):
        found = lists.iloc[uneven[0]].tolist()
        msg = f"{path}, {_entry(uneven[0])}: expected two lists of as many numbers for its exons, found {found}."
        raise ValueError(msg)
    owner = np.repeat(np.arange(len(lists)), first.str.len())
    start, end = (whole_numbers(one.explode().rename("a number of its exons"), path, _entry) for one in (first, second))
    return pd.DataFrame({"transcript": owner, "start": start, "end": end})


def _from_genepred(raw: pd.DataFrame, path: Path) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Return the transcripts and exons of genePred columns (name, chrom, strand, tx, cds, exons, …, name2)."""
    symbol = raw.iloc[:, 11] if raw.shape[1] >= _GENEPRED_BIN - 4 else raw.iloc[:, 0]
    table = pd.DataFrame({"chrom": raw.iloc[:, 1], "name": symbol, "strand": raw.iloc[:, 2]})
    table["transcript_id"], table["gene_id"] = raw.iloc[:, 0], symbol
    for column, name in enumerate(("start", "end", "coding_start", "coding_end"), 3):
        table[name] = whole_numbers(raw.iloc[:, column].rename(name), path, _entry)
    table["biotype"] = np.where(table["coding_end"] > table["coding_start"], "protein_coding", "non_coding")
    return _complete(table), _exons(raw.iloc[:, [8, 9]], path)


def _on_genome(transcripts: pd.DataFrame, genome: Genome, what: str) -> pd.DataFrame:
    """Keep the transcripts of known chromosomes, under the genome's names; the row labels stay."""
    codes = genome.resolve(transcripts["chrom"])
    unknown = transcripts.loc[codes < 0, "chrom"].value_counts()
    if len(unknown) == transcripts["chrom"].nunique():
        msg = f"No chromosome of {what} is in {genome!r}: it has {list(unknown.index[:5])}. Is it of another genome?"
        raise ValueError(msg)
    if len(unknown):
        shown = ", ".join(f"{chrom} ({count})" for chrom, count in unknown.iloc[:5].items())
        logger.warning(
            "%d of %d transcripts of %s lie on chromosomes that %s lacks and are left out: %s%s",
            unknown.sum(), len(transcripts), what, genome.name, shown, ", …" if len(unknown) > 5 else "",
        )  # fmt: skip
    kept = transcripts[codes >= 0]
    return kept.assign(chrom=np.asarray(genome.chroms, dtype=object)[codes[codes >= 0]])


def _parts_of(transcripts: pd.DataFrame, exons: pd.DataFrame) -> pd.DataFrame:
    """Return transcripts, coding sequences, untranslated parts and exons of non-coding transcripts, one row each."""
    exons = exons[exons["transcript"].isin(transcripts.index)].astype(np.int64)
    owner = transcripts.loc[exons["transcript"]]
    start, end = exons["start"].to_numpy(), exons["end"].to_numpy()
    coding_start, coding_end = owner["coding_start"].to_numpy(), owner["coding_end"].to_numpy()
    coding = coding_end > coding_start
    pieces = [
        ("CDS", np.maximum(start, coding_start), np.minimum(end, coding_end), coding),
        ("UTR", start, np.minimum(end, coding_start), coding),
        ("UTR", np.maximum(start, coding_end), end, coding),
        ("exon", start, end, ~coding),
    ]
    tables = [transcripts.assign(part="transcript")[_PARTS]]
    for part, left, right, allowed in pieces:
        keep = allowed & (right > left)
        tables.append(owner[keep].assign(part=part, start=left[keep], end=right[keep])[_PARTS])
    return pd.concat(tables).sort_values(["chrom", "start", "end"], kind="stable").reset_index(drop=True)
