"""Components of genes: which regulatory component is over-represented around each gene."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import pandas as pd

from scatacworks import _keys, _step
from scatacworks._anndata import genome_of, numbered, require_genes
from scatacworks._arguments import one_of, share, whole
from scatacworks._core.intervals import overlap_pairs
from scatacworks._core.landscapes import count_labels, landscapes
from scatacworks._strands import start_sites
from scatacworks.io._genes import read_genes
from scatacworks.tl._annotation._elements import Intervals, elements_of, labels_of, on_chromosomes
from scatacworks.tl._annotation._enrichment import enrichment_table, label_columns

if TYPE_CHECKING:
    import os
    from collections.abc import Sequence

    from anndata import AnnData

    from scatacworks.genome import Genome

__all__ = ["gene_components"]


def gene_components(
    index: AnnData,
    *,
    genes: str | os.PathLike[str] | pd.DataFrame | Genome,
    upstream: int = 5000,
    downstream: int = 1000,
    tss: int | None = None,
    at: Literal["summit", "overlap"] = "summit",
    fdr: float = 0.05,
    genome: Genome | str | None = None,
    biotypes: Sequence[str] | str | None = None,
    component_key: str = "component",
    key_added: str = _keys.GENE_COMPONENTS,
    copy: bool = False,
) -> AnnData | None:
    """Label genes by the component that is over-represented among the elements of their regulatory landscape.

    The landscape of a gene is its longest transcript, extended upstream and downstream, but no further than half-way
    to the next gene that does not overlap it. For gene g with n elements, k of them of component c, the test is
    P(Bin(n, p) >= k), where p is the share of c among the labelled elements outside the landscape (among all, if none
    of c lies outside). The gene's label is the significant component of highest enrichment k / (n p); q-values (Storey)
    are over all genes and components.
    Method of Meuleman et al. 2020 (gene labels); where their supplement is silent, overlapping genes do not shorten
    each other's landscape, and an element belongs to a landscape by its summit.

    Parameters
    ----------
    index
        Samples × elements, with `chrom`, `start`, `end` (and `summit`) in `.var` and a component label per element
        (:func:`~scatacworks.tl.vocabulary`). Any AnnData of regions with a label will do.
    genes
        Anything :func:`scatacworks.io.read_genes` takes.
    upstream, downstream
        Largest extension of the landscape before and behind the gene, in bp.
    tss
        Use the transcription start ± this many bp as landscape instead (5000 in the paper's variant).
    at
        Count elements whose summit lies in the landscape, or all that overlap it.
    fdr
        Genes are labelled at q-values up to this.
    genome
        Chromosome lengths at which landscapes end; by default those of the index's own genome. Where that is not known
        either, landscapes end only at 0.
    biotypes
        Only genes of these biotypes.
    component_key
        Column of `.var` with the labels.
    key_added
        Name in `.uns`.
    copy
        Return a changed copy instead of writing to `index`.

    Returns
    -------
    `None`, or the changed copy. Sets:

    `.uns[key_added]["genes"]` : DataFrame, one row per gene
        `chrom`, `start`, `end`, `name`, `strand`, `biotype`, `gene_id`, `transcript_id`, `landscape_start`,
        `landscape_end` (bp from 0, half-open), `n_elements`, `component` (label, empty where none is significant),
        `enrichment`, `p_value`, `q_value` (of the label, or of the most significant component), `concordant` (share of
        the gene's elements with its label, NaN without one).
    `.uns[key_added]["counts"]`, `["enrichment"]`, `["log10_p"]`, `["q_value"]` : arrays, n_genes × n_components
        In the order of `.uns[key_added]["components"]`. NaN for genes without elements.
    `.uns[key_added]["summary"]` : dict
        `n_tested`, `n_labelled`, `captured` (share of elements in any landscape), `concordant_median`.
    `.var["gene_concordance"]` : categorical
        `concordant` (in a landscape of a gene with the element's own label), `discordant` (only in those of genes
        with other labels), `unlabelled` (genes without label), `outside`.

    Raises
    ------
    KeyError
        If `.var` lacks positions or labels.
    ValueError
        If genes and elements share no chromosome, or `genes` are a built-in genome's of another assembly; if
        `.uns[key_added]` holds another kind of result.

    Examples
    --------
    >>> import anndata, numpy as np, pandas as pd, scatacworks as sca
    >>> var = pd.DataFrame({"chrom": "chr1", "start": np.arange(0, 100_000, 1000)})
    >>> var["end"] = var["start"] + 200
    >>> var["component"] = np.where(var["start"].between(20_000, 30_000), "Lymphoid", "Neural")
    >>> index = anndata.AnnData(np.ones((1, 100), np.float32), var=var.set_index(var.index.astype(str)))
    >>> genes = pd.DataFrame([["chr1", 22_000, 29_000, "MS4A1", "+"]])
    >>> genes.columns = ["chrom", "start", "end", "name", "strand"]
    >>> sca.tl.gene_components(index, genes=genes)
    >>> index.uns["gene_components"]["genes"]["component"].tolist()
    ['Lymphoid']
    """
    upstream, downstream = whole(upstream, "upstream", least=0), whole(downstream, "downstream", least=0)
    tss = None if tss is None else whole(tss, "tss", least=0)
    share(fdr, "fdr")
    one_of(at, "at", ("summit", "overlap"))
    index = _step.own(index, copy=copy)
    _step.claim(index, key_added, "downstream")
    require_genes(index, genes, "The regions are")
    genome = genome_of(index) if genome is None else genome
    elements = elements_of(index.var, genome=genome)
    labels, components = labels_of(index, component_key)
    table, codes = on_chromosomes(read_genes(genes, biotypes=biotypes), elements.chroms, what="The gene table")
    windows = gene_windows(
        table, codes, upstream=upstream, downstream=downstream, tss=tss,
        lengths=elements.chroms.lengths if genome is not None else None,
    )  # fmt: skip
    places = elements.counted(at)
    counts = count_labels(windows, places, labels, len(components))
    result = enrichment_table(counts, labels)
    table["landscape_start"], table["landscape_end"] = windows[1], windows[2]
    table["n_elements"] = counts.sum(1)
    best, columns = label_columns(result, counts, components, fdr=fdr)
    table = pd.concat([table, columns], axis=1)
    state = concordance(windows, places, labels, best)
    index.var["gene_concordance"] = state
    params = {"upstream": upstream, "downstream": downstream, "tss": tss, "at": at, "fdr": fdr}
    index.uns[key_added] = {
        "genes": numbered(table),
        "components": components,
        "counts": counts,
        **result,
        "summary": _summary(table, state),
        _keys.PARAMS: _step.params(**params, component_key=component_key),
    }
    return index if copy else None


def gene_windows(
    table: pd.DataFrame,
    codes: np.ndarray,
    *,
    upstream: int,
    downstream: int,
    tss: int | None,
    lengths: np.ndarray | None,
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return the landscapes of genes as intervals; around the first base transcribed when `tss` is given."""
    start, end = table["start"].to_numpy(np.int64), table["end"].to_numpy(np.int64)
    if tss is None:
        minus = table["strand"].to_numpy() == "-"
        left, right = landscapes(codes, start, end, minus, upstream=upstream, downstream=downstream, lengths=lengths)
        return codes, left, right
    first = start_sites(table)
    right = first + tss + 1
    return codes, np.maximum(first - tss, 0), right if lengths is None else np.minimum(right, lengths[codes])


def concordance(windows: Intervals, elements: Intervals, labels: np.ndarray, gene_labels: np.ndarray) -> pd.Categorical:
    """Say for every element whether a gene that captures it carries the element's own label."""
    state = np.zeros(len(labels), np.int8)  # outside, unlabelled, discordant, concordant
    which, gene, _ = overlap_pairs(elements, windows)
    rank = np.where(gene_labels[gene] < 0, 1, np.where(gene_labels[gene] == labels[which], 3, 2)).astype(np.int8)
    np.maximum.at(state, which, rank)
    return pd.Categorical.from_codes(state, ["outside", "unlabelled", "discordant", "concordant"])


def _summary(table: pd.DataFrame, state: pd.Categorical) -> dict[str, Any]:
    """Count genes and shares of elements."""
    concordant = table["concordant"].dropna()
    return {
        "n_tested": int((table["n_elements"] > 0).sum()),
        "n_labelled": int((table["component"] != "").sum()),
        "captured": float((state.codes > 0).mean()),
        "concordant_median": float(concordant.median()) if len(concordant) else float("nan"),
    }
