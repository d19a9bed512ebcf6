"""Transcripts and exons of GTF and GFF3 files."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING
from urllib.parse import unquote

import numpy as np
import pandas as pd

from scatacworks._columns import whole_numbers
from scatacworks._files import open_text
from scatacworks._logging import logger

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path
    from typing import TextIO

_CODING = {"CDS", "stop_codon"}
_BIOTYPE = ("gene_type", "gene_biotype", "biotype")


def read(path: Path, *, gff3: bool) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Return transcripts (with the span of the coding sequence) and exons (transcript row, start, end)."""
    table = _lines(path)
    table = _gff3_attributes(table) if gff3 else _gtf_attributes(table)
    inner = table[table["feature"].isin(_CODING | {"exon"}) & (table["transcript_id"] != "")]
    if inner.empty:
        msg = (
            f"{path} has no exon with a transcript_id; expected a GTF or GFF3 file with transcripts and exons. "
            "Genes alone may be given as a BED file with strands."
        )
        raise ValueError(msg)
    # files such as SGD's, and NCBI's of organelles, have no exons but coding parts
    with_exon = inner.loc[inner["feature"] == "exon", "transcript_id"].unique()
    is_exon = (inner["feature"] == "exon") | (~inner["transcript_id"].isin(with_exon) & (inner["feature"] == "CDS"))
    transcripts = _spans(inner[is_exon])
    coding = _spans(inner[inner["feature"].isin(_CODING)])
    rows = pd.Series(np.arange(len(transcripts)), index=transcripts.index)
    transcripts["coding_start"] = coding["start"].reindex(transcripts.index).fillna(0).astype(np.int64)
    transcripts["coding_end"] = coding["end"].reindex(transcripts.index).fillna(0).astype(np.int64)
    exons = inner.loc[is_exon, ["transcript_id", "chrom", "start", "end"]]
    exons["transcript"] = rows.loc[pd.MultiIndex.from_frame(exons[["transcript_id", "chrom"]])].to_numpy()
    return _named(transcripts.reset_index(), path), exons[["transcript", "start", "end"]].reset_index(drop=True)


class _Records:
    """The lines of a file without comments, which begin with `#`, and without sequences at its end."""

    def __init__(self, handle: TextIO) -> None:
        self.handle, self.at_end = handle, False

    def __iter__(self) -> Iterator[str]:
        return self

    def __next__(self) -> str:
        for line in self.handle:
            if line.startswith(("##FASTA", ">")):
                break
            if not line.startswith("#"):
                return line
        self.at_end = True
        raise StopIteration

    def read(self, size: int = -1) -> str:
        """Return about so many characters, in whole lines; none at the end."""
        lines, held = [], 0
        while not self.at_end and (size < 0 or held < size):
            line = next(self, "")
            lines.append(line)
            held += len(line)
        return "".join(lines)


def _lines(path: Path) -> pd.DataFrame:
    """Read the columns needed, without comments."""
    columns = {0: "chrom", 2: "feature", 3: "start", 4: "end", 6: "strand", 8: "attributes"}
    how = {"sep": "\t", "header": None, "dtype": str, "keep_default_na": False, "quoting": 3}
    with open_text(path, "gene annotation") as handle:
        try:
            table = pd.read_csv(_Records(handle), usecols=list(columns), **how)
        except UnicodeDecodeError:
            raise  # told by open_text
        except ValueError as error:
            where = f" ({str(error).strip()})" if isinstance(error, pd.errors.ParserError) else ""
            msg = f"{path} is not GTF or GFF3: expected nine columns separated by tabs{where}."
            raise ValueError(msg) from error
    table = table.rename(columns=columns)
    table = table[~table["feature"].isin({"chromosome", "region"})]

    def entry(row: int) -> str:
        return f"entry {row + 1} ({table['feature'][row]} on {table['chrom'][row]})"

    start, end = (whole_numbers(table[name], path, entry) for name in ("start", "end"))
    return table.assign(start=start - 1, end=end)  # the file counts from 1 and includes the end


def _value(attributes: pd.Series, *keys: str, form: str = r' "?([^";]*)"?') -> pd.Series:
    """Return the value of the first key that an attribute string has, empty where it has none.

    `form` is what follows the key, by default that of GTF.
    """
    found = pd.Series("", index=attributes.index, dtype=object)
    for key in keys:
        missing = found == ""
        if not missing.any():
            break
        values = attributes[missing].str.extract(rf"(?:^|;)\s*{key}{form}", expand=False)
        found[missing] = values.fillna("")
    return found


def _gtf_attributes(table: pd.DataFrame) -> pd.DataFrame:
    table = table[table["feature"].isin(_CODING | {"exon"})].copy()
    attributes = table.pop("attributes")
    table["transcript_id"] = _value(attributes, "transcript_id")
    table["gene_id"] = _value(attributes, "gene_id")
    table["name"] = _value(attributes, "gene_name", "gene_symbol", "gene")
    table["biotype"] = _value(attributes, *_BIOTYPE)
    return table


def _gff3_attributes(table: pd.DataFrame) -> pd.DataFrame:
    """Follow exon -> transcript -> gene by `Parent`, where the exon does not say it itself."""
    attributes = table.pop("attributes")

    value = partial(_value, attributes, form="=([^;]*)")
    named = value("gene_name", "gene_symbol", "symbol", "gene")
    table = table.assign(id=value("ID"), parent=value("Parent"), own_name=named, biotype=value(*_BIOTYPE))
    table["name"] = named.where(named != "", value("Name"))  # of a gene; an exon's own is that of the exon
    table["gene_id"] = value("gene_id")
    # an exon shared by several transcripts lists them all as parents
    table["parent"] = table["parent"].str.split(",")
    table = table.explode("parent")
    by_id = table[table["id"] != ""].drop_duplicates("id").set_index("id")
    table["transcript_id"] = table["parent"]
    gene = table["parent"].map(by_id["parent"]).fillna("")
    gene = gene.where(gene != "", table["parent"])  # as of a pseudogene, whose exons are its own
    for column, own in (("name", table["own_name"]), ("biotype", table["biotype"]), ("gene_id", gene)):
        of_gene = gene.map(by_id[column]).fillna("")
        table[column] = of_gene.where(of_gene != "", own).map(unquote)
    return table


def _spans(parts: pd.DataFrame) -> pd.DataFrame:
    """Return the outermost start and end per transcript and chromosome, with the first of every other column."""
    how = {"start": "min", "end": "max"} | dict.fromkeys(("strand", "gene_id", "name", "biotype"), "first")
    return parts.groupby(["transcript_id", "chrom"], sort=False).agg(how)


def _named(transcripts: pd.DataFrame, path: Path) -> pd.DataFrame:
    """Fall back on identifiers where a gene has no name or identifier."""
    without_id = transcripts["gene_id"] == ""
    transcripts.loc[without_id, "gene_id"] = transcripts.loc[without_id, "transcript_id"]
    nameless = transcripts["name"] == ""
    if nameless.any():
        logger.warning("%d of %d transcripts of %s have no gene name; the gene identifier is used.",
                       nameless.sum(), len(transcripts), path)  # fmt: skip
        transcripts.loc[nameless, "name"] = transcripts.loc[nameless, "gene_id"]
    transcripts.loc[transcripts["biotype"] == "", "biotype"] = "unknown"
    return transcripts
