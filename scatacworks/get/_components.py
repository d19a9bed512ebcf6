"""Everything known about the elements of an index, in one table."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
from scipy import sparse

from scatacworks import _keys
from scatacworks._anndata import component_names, require_index
from scatacworks._columns import placed, whole_numbers
from scatacworks._core.intervals import overlap_pairs
from scatacworks._files import atomic_path
from scatacworks._palette import NO_COMPONENT, component_colors, rgb
from scatacworks.genome import named_chromosomes

if TYPE_CHECKING:
    import os
    from collections.abc import Mapping

    from anndata import AnnData

    from scatacworks.genome import Genome

__all__ = ["components"]

_FIRST = ("chrom", "start", "end", "identifier", "summit", "core_start", "core_end")
_AUTOSQL = """table elements
"Regulatory elements coloured by their component"
    (
    string chrom;         "Chromosome"
    uint   chromStart;    "First base, from 0"
    uint   chromEnd;      "Base behind the last"
    string name;          "Identifier"
    uint   score;         "500 log10 of the total signal + 1, at most 1000"
    char[1] strand;       "Always ."
    uint   thickStart;    "Start of the core, or the summit"
    uint   thickEnd;      "Base behind the core, or behind the summit"
    uint   itemRgb;       "Colour of the component"
    int    blockCount;    "Always 1"
    int[blockCount] blockSizes;  "Length of the element"
    int[blockCount] chromStarts; "Always 0"
    string component;     "Dominant component"
    float  meanSignal;    "Mean signal over the samples with the element"
    uint   nSamples;      "Samples with the element"
    )
"""


def components(
    index: AnnData,
    *,
    loadings: bool = False,
    component_key: str = _keys.COMPONENT,
    bed: str | os.PathLike[str] | None = None,
    colors: Mapping[str, str] | None = None,
) -> pd.DataFrame:
    """Join all annotations of every element into one table, one row per element.

    Parameters
    ----------
    index
        Samples × elements; whatever annotations have been computed are used.
    loadings
        Add a column per component with the element's loading.
    component_key
        Column of `.var` with the labels.
    bed
        Also write the elements as BED, sorted by chromosome (in byte order) and start: twelve columns with the core
        as thick part and the component's colour, then component, mean signal and number of samples. A file of the
        same name ending in `.as` describes the columns, so that `bedToBigBed -type=bed12+3 -as=…` makes a bigBed.
    colors
        Component -> colour, any that matplotlib knows; by default `.uns["component_colors"]`, or the package's palette.

    Returns
    -------
    DataFrame indexed like `.var`: all columns of `.var` (positions first), and as far as computed

    `genes`, `gene_labels` : str, joined by `;`
        Genes whose landscape captures the element, and their labels (:func:`scatacworks.tl.gene_components`).
    `motifs` : str
        Factors with a motif (:func:`scatacworks.tl.motif_enrichment`).
    `driven_by` : str
        Factors that drive the element (:func:`scatacworks.tl.tf_elements`).
    `traits` : str
        Traits whose best variant of a block lies in the element (:func:`scatacworks.tl.trait_enrichment`).

    Raises
    ------
    KeyError
        If positions or, with `loadings`, these or, with `bed`, labels are missing.

    Examples
    --------
    >>> import anndata, numpy as np, pandas as pd, scatacworks as sca
    >>> var = pd.DataFrame({"component": ["Lymphoid"], "chrom": ["chr1"], "start": [100], "end": [300]})
    >>> index = anndata.AnnData(np.ones((1, 1), np.float32), var=var.set_index(var.index.astype(str)))
    >>> sca.get.components(index).values.tolist()
    [['chr1', 100, 300, 'Lymphoid']]
    """
    require_index(index)
    missing = [column for column in ("chrom", "start", "end") if column not in index.var]
    if missing:
        msg = f".var lacks the column(s) {missing}; it has {list(index.var.columns)}."
        raise KeyError(msg)
    first = [column for column in _FIRST if column in index.var]
    table = index.var[[*first, *(column for column in index.var if column not in first)]].copy()
    if _keys.GENE_COMPONENTS in index.uns:
        table["genes"], table["gene_labels"] = _genes(index)
    if _keys.MOTIF_MATCHES in index.varm and _keys.MOTIF_ENRICHMENT in index.uns:
        table["motifs"] = motif_words(index, np.arange(index.n_vars))
    for column, key, source, name in (
        ("driven_by", _keys.TF_ELEMENTS, "table", "factor"),
        ("traits", _keys.TRAIT_ENRICHMENT, "variants", "trait"),
    ):
        if key in index.uns:
            pairs = index.uns[key][source]
            table[column] = _joined(pairs["element"], pairs[name], table.index)
    if loadings:
        if _keys.X_VOCABULARY not in index.varm:
            msg = f"There are no loadings in .varm[{_keys.X_VOCABULARY!r}]; run sca.tl.vocabulary(index) first."
            raise KeyError(msg)
        values = np.asarray(index.varm[_keys.X_VOCABULARY])
        names = component_names(index, values.shape[1])
        table = pd.concat([table, pd.DataFrame(values, table.index, [f"loading {name}" for name in names])], axis=1)
    if bed is not None:
        _write_bed(index, table, bed, component_key, colors)
    return table


def _joined(names: Any, words: Any, order: pd.Index) -> np.ndarray:
    """Return for every element its words, joined in order of appearance."""
    pairs = pd.DataFrame({"name": np.asarray(names, dtype=object), "word": np.asarray(words, dtype=object)})
    text = pairs.drop_duplicates().groupby("name", sort=False)["word"].agg(";".join)
    return text.reindex(order).fillna("").to_numpy(dtype=object)


def _genes(index: AnnData) -> tuple[np.ndarray, np.ndarray]:
    """Return the genes whose landscape captures each element, and their labels."""
    stored = index.uns[_keys.GENE_COMPONENTS]
    genes, var = stored["genes"], index.var
    chroms = named_chromosomes(var["chrom"].unique())
    codes, start, end = placed(var, chroms, ".var")
    if stored[_keys.PARAMS]["at"] == "summit":
        start = np.clip(whole_numbers(var["summit"], ".var") if "summit" in var else (start + end) // 2, start, end - 1)
        end = start + 1
    element, gene, _ = overlap_pairs((codes, start, end), landscapes_of(genes, chroms))
    names = index.var_names.to_numpy(dtype=object)[element]
    of_gene, of_label = (genes[column].to_numpy(dtype=object)[gene] for column in ("name", "component"))
    labelled = of_label != ""
    return (
        _joined(names, of_gene, index.var_names),
        _joined(names[labelled], of_label[labelled], index.var_names),
    )


def landscapes_of(genes: pd.DataFrame, chroms: Genome) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return the landscapes of genes, as stored with them, as chromosome codes, starts and ends."""
    start, end = (genes[f"landscape_{side}"].to_numpy(np.int64) for side in ("start", "end"))
    return chroms.resolve(genes["chrom"]), start, end


def motif_words(index: AnnData, elements: np.ndarray) -> np.ndarray:
    """Return the factors with a motif in each of some elements, joined by `;`."""
    matches = sparse.csr_matrix(index.varm[_keys.MOTIF_MATCHES])[elements].tocoo()
    factors = np.asarray(index.uns[_keys.MOTIF_ENRICHMENT]["factors"], dtype=object)[matches.col]
    known = factors != ""
    return _joined(matches.row[known], factors[known], pd.RangeIndex(len(elements)))


def _write_bed(index: AnnData, table: pd.DataFrame, path: Any, key: str, colors: Mapping[str, str] | None) -> None:
    """Write BED12+3 and the description of its columns."""
    if key not in table:
        msg = f"No labels in .var[{key!r}]; it has {list(index.var.columns)}."
        raise KeyError(msg)
    labels = table[key].astype("category")
    names = [str(name) for name in labels.cat.categories]
    chosen = component_colors(index.uns, names, key=key) | dict(colors or {})
    start, end = (pd.Series(whole_numbers(table[name], ".var"), table.index) for name in ("start", "end"))
    summit = table["summit"] if "summit" in table else (start + end) // 2
    first, last = (
        table[name].where(table[name].notna(), summit) if name in table else summit
        for name in ("core_start", "core_end")
    )
    n_samples = table.get("n_samples", pd.Series(0, table.index)).fillna(0).astype(np.int64)
    signal = table.get("mean_signal", pd.Series(0.0, table.index)).fillna(0)
    score = np.minimum(1000, np.rint(500 * np.log10(signal * n_samples + 1))).astype(np.int64)
    text = labels.astype(object).where(labels.notna(), "").astype(str)
    bed = pd.DataFrame(
        {
            "chrom": table["chrom"].astype(str),
            "start": start,
            "end": end,
            "name": (table["identifier"] if "identifier" in table else table.index.to_series()).astype(str),
            "score": score,
            "strand": ".",
            "thick_start": first.astype(np.int64).clip(start, end),
            "thick_end": (last + 1).astype(np.int64).clip(start, end),
            "rgb": text.map({name: rgb(color) for name, color in chosen.items()}).fillna(rgb(NO_COMPONENT)),
            "block_count": 1,  # browsers take columns 10 to 12 for blocks, whatever is in them
            "block_sizes": end - start,
            "block_starts": 0,
            "component": text.where(text != "", "none"),
            "mean_signal": signal,
            "n_samples": n_samples,
        }
    ).sort_values(["chrom", "start", "end"], kind="stable")
    with atomic_path(path) as aside:
        compression = "gzip" if str(path).endswith(".gz") else None
        bed.to_csv(aside, sep="\t", header=False, index=False, lineterminator="\n", compression=compression)
    with atomic_path(f"{str(path).removesuffix('.gz').removesuffix('.bed')}.as") as aside:
        aside.write_text(_AUTOSQL, encoding="utf-8")
