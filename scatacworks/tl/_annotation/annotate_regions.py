"""What regions overlap: gene parts, nearest genes, other classes, elements of an index, traits."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
from anndata import AnnData

from scatacworks import _keys, _step
from scatacworks._anndata import atac, genome_of, require_assembly, require_genes, require_index
from scatacworks._arguments import whole
from scatacworks._core.intervals import covered, largest_overlap, nearest
from scatacworks._strands import start_sites
from scatacworks.io._genes import read_genes
from scatacworks.tl._annotation._elements import Elements, elements_of, on_chromosomes, read_bed
from scatacworks.tl._annotation._joins import (
    component_columns,
    motif_column,
    places_of,
    region_components,
    trait_column,
)

if TYPE_CHECKING:
    import os
    from collections.abc import Mapping

    from scatacworks.genome import Genome

__all__ = ["annotate_regions"]

_CLASSES = ("promoter", "exon", "intron", "intergenic")  # the order decides ties


def annotate_regions(
    data: AnnData | pd.DataFrame,
    *,
    genes: str | os.PathLike[str] | pd.DataFrame | Genome | None = None,
    classes: Mapping[str, str | os.PathLike[str] | pd.DataFrame] | None = None,
    index: AnnData | None = None,
    traits: Mapping[str, str | os.PathLike[str] | pd.DataFrame] | None = None,
    key: str | None = None,
    promoter: int = 1000,
    component_key: str = _keys.COMPONENT,
    genome: Genome | str | None = None,
    copy: bool = False,
) -> AnnData | pd.DataFrame | None:
    """Annotate regions with gene parts, the nearest gene, other classes, components, motifs and traits in one call.

    Gene parts are those of Meuleman et al. 2020: promoter (transcription start ± 1 kb, of every transcript), exon,
    intron (the rest of gene bodies) and intergenic; a region takes the class that covers most of its bases, and ties
    go to the first in this order. Within exons it is coding (CDS), untranslated (UTR) or non-coding, again by most
    bases; within promoters and introns, of a coding or non-coding transcript.

    Given an index with labelled components, each region also gets the component, the identifier and the motifs (if
    :func:`~scatacworks.tl.motif_enrichment` has run) of the element it shares most bases with, and the components
    among all elements touched are tested against the index (hypergeometric), for each direction of change on its own.

    Parameters
    ----------
    data
        AnnData whose `.var` are regions (an index, a peak matrix); AnnData with a table of regions in `.uns`, named by
        `key`; or a DataFrame with `chrom`, `start`, `end`.
    genes
        Anything :func:`scatacworks.io.read_genes` takes, including its table of parts. Sources without exons (BED6,
        the built-in genes) know promoters, gene bodies (as `intron`) and intergenic regions only.
    classes
        Name -> BED file or table of intervals (repeats, for example). A column of that name gets the name (fourth
        column; `"yes"` where there is none) of the interval that shares most bases, the larger covered fraction
        deciding ties; empty without overlap. With a column `family` in the table, or text in the fifth column of the
        file, a column `<name>_family` gets that of the same interval.
    index
        Index with labelled components.
    traits
        Trait -> fine-mapped variants as a BED file (chrom, start, end, region, posterior) or a table with a column
        `posterior`.
    key
        Table in `.uns` to annotate instead of `.var`; `"differential_regions"` for those of
        :func:`~scatacworks.tl.differential_regions`.
    promoter
        Half-width of promoters in bp.
    component_key
        Column of `index.var` with the components.
    genome
        Genome whose chromosome names are used; by default those of the regions.
    copy
        Return a changed copy of an AnnData instead of writing to it. A DataFrame is never changed.

    Returns
    -------
    `None`, or the changed copy; the annotated table for a DataFrame. Columns, as far as asked for:

    `annotation`, `exon_class`, `gene_class` : categorical
    `nearest_gene` : str, `tss_distance` : nullable Int64
        Gene with the nearest transcription start, and the distance of the summit (or middle) to it in bp, positive
        downstream; empty and missing on a chromosome without genes.
    one per entry of `classes`, and `<name>_family` where it has families : str
    `component`, `element` : str, `motifs` : str (factors joined by `;`)
        For an index annotated with itself only `motifs` is added.
    `traits` : str
        `trait (sum of posteriors)`, joined by `;`, largest first.

    With `index`, `.uns["region_components"]` (or `.attrs["region_components"]` of the returned table) is a DataFrame:
    `direction`, `component`, `n_regions` (elements touched with the label), `n_elements` (elements touched), `share`,
    `background` (share in the index), `enrichment`, `odds_ratio`, `p_value`, `q_value` (Benjamini-Hochberg).

    Raises
    ------
    TypeError
        If `classes` or `traits` is no dict, or `index` no AnnData.
    KeyError
        If `key` is no table in `.uns`, or positions or labels are missing.
    ValueError
        If there is nothing to annotate with, a row of a table is no region, regions and an annotation share no
        chromosome, a table of gene parts has no transcript, or `genes`, as a built-in genome's, or `index` are of
        another assembly.

    Examples
    --------
    >>> import pandas as pd, scatacworks as sca
    >>> regions = pd.DataFrame({"chrom": ["chrX", "chrX"], "start": [48_786_400, 48_900_000]})
    >>> regions["end"] = regions["start"] + 300
    >>> table = sca.tl.annotate_regions(regions, genes="hg38")
    >>> table[["annotation", "nearest_gene", "tss_distance"]].values.tolist()[0]
    ['promoter', 'GATA1', 11]
    """
    promoter = whole(promoter, "promoter", least=0)
    if index is not None:
        require_index(index)
    table, what = _table(data, key)
    elements = elements_of(table, genome=genome, what=what)
    columns: dict[str, Any] = {}
    if isinstance(data, AnnData):
        require_genes(data, genes, "The regions are")
        require_assembly(genome_of(data), None if index is None else genome_of(index), "The regions are")
    if genes is not None:
        columns |= _gene_columns(elements, genes, promoter)
    if classes is not None and not hasattr(classes, "items"):
        msg = f"classes is {classes!r}; expected a dict of a column's name -> its regions."
        raise TypeError(msg)
    for name, source in (classes or {}).items():
        columns |= _class_columns(elements, source, name)
    are_elements = isinstance(data, AnnData) and key is None and (index is None or index is data)
    enriched = None
    if are_elements:
        columns |= motif_column(data, np.arange(data.n_vars))
    elif index is not None:
        places = places_of(index, elements.chroms)
        hit, _ = largest_overlap(elements.intervals, places)
        columns |= motif_column(index, hit) | component_columns(index, hit, component_key)
        enriched = region_components(elements, table, index, places, component_key)
    if traits is not None:
        columns["traits"] = trait_column(elements, traits)
    if not columns:
        msg = "There is nothing to annotate the regions with; give genes=, classes=, index= or traits=."
        if index is not None:
            msg += " An index itself has only its motifs to give, once sca.tl.motif_enrichment has matched them."
        raise ValueError(msg)
    return _write(data, table, columns, enriched, key=key, copy=copy)


def _table(data: AnnData | pd.DataFrame, key: str | None) -> tuple[pd.DataFrame, str]:
    """Return the table of regions and how to name it."""
    if isinstance(data, pd.DataFrame):
        return data, "the table of regions"
    if key is None:
        return atac(data).var, ".var"
    if not isinstance(data.uns.get(key), pd.DataFrame):
        found = "is no table" if key in data.uns else f"is missing; it has {sorted(data.uns)}"
        msg = f".uns[{key!r}] {found}; expected a table of regions."
        raise KeyError(msg)
    return data.uns[key], f".uns[{key!r}]"


def _write(
    data: AnnData | pd.DataFrame,
    table: pd.DataFrame,
    columns: dict[str, Any],
    enriched: pd.DataFrame | None,
    *,
    key: str | None,
    copy: bool,
) -> AnnData | pd.DataFrame | None:
    """Put the new columns where the regions are."""
    if isinstance(data, pd.DataFrame):
        annotated = table.assign(**columns)
        if enriched is not None:
            annotated.attrs[_keys.REGION_COMPONENTS] = enriched
        return annotated
    target = _step.own(data, copy=copy)
    if key is None:
        target.var = target.var.assign(**columns)
    else:
        target.uns[key] = table.assign(**columns)
    if enriched is not None:
        target.uns[_keys.REGION_COMPONENTS] = enriched
    return target if copy else None


def _gene_columns(elements: Elements, genes: Any, promoter: int) -> dict[str, Any]:
    """Return annotation, its subclasses, nearest gene and distance."""
    parts = genes if isinstance(genes, pd.DataFrame) and "part" in genes else read_genes(genes, parts=True)
    parts, codes = on_chromosomes(parts, elements.chroms, what="The gene table")
    body = parts["part"].to_numpy() == "transcript"
    if not body.any():
        msg = "The gene table has no row whose part is 'transcript'; io.read_genes(..., parts=True) makes such a table."
        raise ValueError(msg)
    start, end = parts["start"].to_numpy(np.int64), parts["end"].to_numpy(np.int64)
    minus = parts["strand"].to_numpy() == "-"
    tss = start_sites(parts)
    near = np.maximum(tss - promoter, 0), tss + promoter + 1
    promoters = (codes[body], near[0][body], near[1][body])
    exons = (codes[~body], start[~body], end[~body])
    bodies = (codes[body], start[body], end[body])
    annotation = _classify(elements, promoters, exons, bodies)
    gene, distance = nearest(elements.chrom, elements.summit, codes[body], tss[body])
    names = parts["name"].to_numpy(dtype=object)[body]
    return {
        "annotation": pd.Categorical.from_codes(annotation, list(_CLASSES)),
        **_subclasses(elements, parts, codes, annotation, promoters),
        "nearest_gene": np.where(gene >= 0, names[gene], ""),
        "tss_distance": pd.arrays.IntegerArray(np.where(minus[body][gene], distance, -distance), gene < 0),
    }


def _classify(elements: Elements, promoters: tuple, exons: tuple, bodies: tuple) -> np.ndarray:
    """Return the position in `_CLASSES` of the class that covers most of each region."""
    outer = tuple(np.concatenate(side) for side in zip(promoters, exons, strict=True))
    everything = tuple(np.concatenate(side) for side in zip(outer, bodies, strict=True))
    regions = elements.intervals
    of_promoter, of_exon = covered(regions, promoters), covered(regions, exons)
    of_any = covered(regions, everything)
    of_intron = of_any - covered(regions, outer)
    between = elements.end - elements.start - of_any
    return np.stack([of_promoter, of_exon, of_intron, between]).argmax(0)


def _subclasses(
    elements: Elements, parts: pd.DataFrame, codes: np.ndarray, annotation: np.ndarray, promoters: tuple
) -> dict[str, pd.Categorical]:
    """Return the class within exons, and whether a promoter or intron is of a coding transcript."""
    start, end = parts["start"].to_numpy(np.int64), parts["end"].to_numpy(np.int64)

    def best(chosen: np.ndarray, intervals: tuple | None = None) -> np.ndarray:
        """Return for every region the row of `parts` among the chosen that shares most bases with it, -1 without."""
        rows = np.flatnonzero(chosen)
        hit, _ = largest_overlap(elements.intervals, intervals or (codes[rows], start[rows], end[rows]))
        return np.append(rows, -1)[hit]

    part = pd.Index(["CDS", "UTR", "exon"]).get_indexer(parts["part"])
    # coding and untranslated parts come before exons of non-coding transcripts
    coding_part, other_part = best((part == 0) | (part == 1)), best(part == 2)
    row = np.where(coding_part >= 0, coding_part, other_part)
    exon = np.where((annotation == 1) & (row >= 0), part[row], -1)
    coding = np.full(len(annotation), -1)
    # biotype, not structure: sources without exons have no coding parts to look for
    if (parts["biotype"] != "unknown").any():
        body = parts["part"].to_numpy() == "transcript"
        row = np.where(annotation == 0, best(body, promoters), np.where(annotation == 2, best(body), -1))
        coding = np.where(row >= 0, (parts["biotype"].to_numpy() == "protein_coding")[row], -1)
    return {
        "exon_class": pd.Categorical.from_codes(exon, ["CDS", "UTR", "non-coding"]),
        "gene_class": pd.Categorical.from_codes(coding, ["non-coding", "coding"]),
    }


def _class_columns(elements: Elements, source: Any, name: str) -> dict[str, np.ndarray]:
    """Return name and, where known, family of the interval that shares most bases with each region."""
    bed = read_bed(source, names=("name", "family"))
    table, codes = on_chromosomes(bed, elements.chroms, what=f"The class {name!r}")
    hit, _ = largest_overlap(elements.intervals, (codes, table["start"].to_numpy(), table["end"].to_numpy()))
    names = table["name"].astype(str).to_numpy(dtype=object) if "name" in table else np.full(len(table), "yes", object)
    columns = {name: np.where(hit >= 0, names[hit], "")}
    # numbers in a BED file's fifth column are scores
    if "family" in table and not _is_score(table["family"]):
        family = table["family"].fillna("").astype(str).to_numpy(dtype=object)
        columns[f"{name}_family"] = np.where(hit >= 0, family[hit], "")
    return columns


def _is_score(values: pd.Series) -> bool:
    """Whether a column holds numbers, strands or placeholders only."""
    values = values.drop_duplicates()
    placeholder = values.isna() | values.isin(["", ".", "+", "-"])
    return bool((pd.to_numeric(values, errors="coerce").notna() | placeholder).all())
