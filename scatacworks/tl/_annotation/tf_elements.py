"""Elements driven by a transcription factor: its gene's component, its motif, its footprint."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
from scipy import sparse

from scatacworks import _keys, _step
from scatacworks._anndata import numbered, slot_of
from scatacworks._arguments import flag
from scatacworks._core.intervals import any_overlap
from scatacworks._logging import logger
from scatacworks.tl._annotation._elements import elements_of, labels_of, read_bed

if TYPE_CHECKING:
    import os
    from collections.abc import Mapping

    from anndata import AnnData

__all__ = ["tf_elements"]


def tf_elements(
    index: AnnData,
    *,
    footprints: str | os.PathLike[str] | pd.DataFrame | Mapping[str, Any] | None = None,
    exclusive: bool = True,
    component_key: str = _keys.COMPONENT,
    genes_key: str = _keys.GENE_COMPONENTS,
    key_added: str = _keys.TF_ELEMENTS,
    copy: bool = False,
) -> AnnData | None:
    """List the elements each transcription factor is likely to drive.

    An element is assigned to a factor when (1) the factor's gene is labelled with a component
    (:func:`~scatacworks.tl.gene_components`), (2) the element belongs to that component, exclusively (one loading
    above zero) unless said otherwise, (3) it has a motif of the factor (:func:`~scatacworks.tl.motif_enrichment`), and
    (4), where footprints are given, overlaps one. Method of Meuleman et al. 2020 (transcription factors).

    Parameters
    ----------
    index
        Object in which gene labels and motif matches are stored.
    footprints
        BED file or table of footprints; or a mapping component -> such, for footprints of samples that match each
        component (components without an entry get no element).
    exclusive
        Only elements with a single component: `.var["n_components"] == 1`, or one loading above zero in
        `.varm["X_vocabulary"]`.
    component_key
        Column of `.var` with the labels.
    genes_key
        Where :func:`~scatacworks.tl.gene_components` wrote.
    key_added
        Name in `.uns`.
    copy
        Return a changed copy instead of writing to `index`.

    Returns
    -------
    `None`, or the changed copy. Sets:

    `.uns[key_added]["table"]` : DataFrame, one row per factor and element
        `factor`, `component`, `element` (the element's name).
    `.uns[key_added]["factors"]` : DataFrame, one row per factor with a labelled gene
        `factor`, `component`, `n_motif` (elements with its motif), `n_elements` (assigned).

    Raises
    ------
    KeyError
        If gene labels, motif matches or (with `exclusive`) loadings are missing.
    ValueError
        If `.uns[key_added]` holds another kind of result.

    Examples
    --------
    >>> import anndata, numpy as np, pandas as pd, scatacworks as sca
    >>> var = pd.DataFrame({"chrom": "chr1", "start": np.arange(0, 100_000, 1000)})
    >>> var["end"] = var["start"] + 200
    >>> var["component"] = np.where(var["start"].between(20_000, 30_000), "Myeloid", "Neural")
    >>> var["sequence"] = np.where(var["start"] < 40_000, "CCCCAGATAAGACCCC", "CCCCCCCCCCCCCCCC")
    >>> index = anndata.AnnData(np.ones((1, 100), np.float32), var=var.set_index(var.index.astype(str)))
    >>> genes = pd.DataFrame([["chr1", 22_000, 29_000, "GATA1", "+"]])
    >>> genes.columns = ["chrom", "start", "end", "name", "strand"]
    >>> sca.tl.gene_components(index, genes=genes)
    >>> gata = sca.io.Motif("GATA", np.eye(4)[[0, 2, 0, 3, 0, 0, 2, 0]], factors=("GATA1",))
    >>> sca.tl.motif_enrichment(index, motifs=[gata], progress=False)
    >>> sca.tl.tf_elements(index, exclusive=False)
    >>> index.uns["tf_elements"]["factors"].values.tolist()
    [['GATA1', 'Myeloid', 40, 11]]
    """
    exclusive = flag(exclusive, "exclusive")
    genes = slot_of(index, genes_key, "sca.tl.gene_components(index, genes=...)", "genes")["genes"]
    factors = slot_of(index, _keys.MOTIF_ENRICHMENT, "sca.tl.motif_enrichment(index, motifs=...)", "factors")["factors"]
    index = _step.own(index, copy=copy)
    _step.claim(index, key_added, "footprints")
    labels, components = labels_of(index, component_key)
    allowed = labels >= 0
    if exclusive:
        allowed &= _exclusive(index)
    if footprints is not None:
        allowed &= _with_footprint(index, footprints, labels, components)
    motifs = _motifs_of_factors(factors)
    genes = genes[(genes["component"] != "") & genes["name"].str.upper().isin(set(motifs))].drop_duplicates("name")
    if genes.empty:
        logger.warning("No factor with a motif has a gene with a label of .uns[%r]; none drives an element.", genes_key)
    matches = sparse.csc_matrix(index.varm[_keys.MOTIF_MATCHES])
    code = {name: i for i, name in enumerate(components)}
    names = np.asarray(index.var_names, dtype=object)
    pairs, summary = [], []
    for name, component in zip(genes["name"], genes["component"], strict=True):
        has = np.asarray(matches[:, motifs[name.upper()]].sum(1)).ravel() > 0
        driven = names[has & allowed & (labels == code.get(component, -2))]
        summary.append((name, component, int(has.sum()), len(driven)))
        pairs.append(pd.DataFrame({"factor": name, "component": component, "element": driven}))
    table = pd.concat(pairs, ignore_index=True) if pairs else pd.DataFrame(columns=["factor", "component", "element"])
    factors = pd.DataFrame(summary, columns=["factor", "component", "n_motif", "n_elements"])
    factors = factors.sort_values("n_elements", ascending=False, kind="stable").reset_index(drop=True)
    index.uns[key_added] = {
        "table": numbered(table),
        "factors": numbered(factors),
        _keys.PARAMS: _step.params(exclusive=exclusive, footprints=footprints is not None, genes_key=genes_key),
    }
    return index if copy else None


def _exclusive(index: AnnData) -> np.ndarray:
    """Return which elements have exactly one component."""
    if _keys.N_COMPONENTS in index.var:
        return index.var[_keys.N_COMPONENTS].to_numpy() == 1
    if _keys.X_VOCABULARY in index.varm:
        return (np.asarray(index.varm[_keys.X_VOCABULARY]) > 0).sum(1) == 1
    msg = (
        f"Neither .var[{_keys.N_COMPONENTS!r}] nor .varm[{_keys.X_VOCABULARY!r}] is there to tell elements with one "
        "component; run sca.tl.vocabulary(index), or set exclusive=False."
    )
    raise KeyError(msg)


def _with_footprint(index: AnnData, footprints: Any, labels: np.ndarray, components: np.ndarray) -> np.ndarray:
    """Return which elements overlap a footprint (of their own component, if given per component)."""
    elements = elements_of(index.var)

    def hits(source: Any) -> np.ndarray:
        table = read_bed(source)
        codes = elements.chroms.resolve(table["chrom"])
        known = codes >= 0
        return any_overlap(elements.intervals, (codes[known], table["start"][known], table["end"][known]))

    if isinstance(footprints, pd.DataFrame) or not hasattr(footprints, "items"):
        return hits(footprints)
    unknown = set(footprints) - set(components)
    if unknown:
        msg = f"footprints names {sorted(unknown)}, which are no components; there are {list(components)}."
        raise KeyError(msg)
    allowed = np.zeros(len(labels), bool)
    for code, name in enumerate(components):
        if name in footprints:
            allowed |= hits(footprints[name]) & (labels == code)
    return allowed


def _motifs_of_factors(factors: np.ndarray) -> dict[str, list[int]]:
    """Return factor (upper case) -> positions of its motifs."""
    table: dict[str, list[int]] = {}
    for position, joined in enumerate(factors):
        for factor in str(joined).split("::"):
            if factor:
                table.setdefault(factor.upper(), []).append(position)
    return table
