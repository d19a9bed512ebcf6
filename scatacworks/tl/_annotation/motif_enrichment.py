"""Motifs over-represented among the elements of each component."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
from scipy import sparse

from scatacworks import _keys, _step
from scatacworks._anndata import numbered
from scatacworks._arguments import whole
from scatacworks._core.enrichment import log_hypergeometric_sf, odds_ratio
from scatacworks._core.fdr import benjamini_hochberg
from scatacworks.tl._annotation._elements import labels_of
from scatacworks.tl._annotation._motif_matches import load_motifs, match, sequences_of

if TYPE_CHECKING:
    import os
    from collections.abc import Sequence

    from anndata import AnnData

    from scatacworks.io._motifs import Motif

__all__ = ["motif_enrichment"]

_SIMILAR = 0.4  # of motifs of one cluster, on average


def motif_enrichment(
    index: AnnData,
    *,
    motifs: str | os.PathLike[str] | Sequence[Motif] | None = None,
    sequences: str | os.PathLike[str] = "sequence",
    component_key: str = _keys.COMPONENT,
    p_value: float = 1e-4,
    width: int | None = None,
    background: Sequence[float] | None = None,
    key_added: str = _keys.MOTIF_ENRICHMENT,
    n_jobs: int | None = None,
    progress: bool = True,
    copy: bool = False,
) -> AnnData | None:
    """Find motifs in the elements' sequences and test them per component with Fisher's exact test.

    An element has a motif if either strand reaches the score that a random sequence of the background reaches with
    probability `p_value` at one position; the threshold is exact. The 2 × 2 table counts elements by motif and by
    component among all labelled elements; p is one-sided (over-represented), computed in log space. After Meuleman et
    al. 2020 (motifs of components), who scan at 1e-5; at 1e-4 motifs of eight and fewer informative bases can match.

    Longer sequences match more often by chance, and components differ in the width of their elements: in random
    sequences of the widths of a blood index, half the motifs had p < 0.05 in its two widest components. Sequences of
    one length (`width`) have no such error.

    Parameters
    ----------
    index
        Elements in `.var`, with labels.
    motifs
        A motif file or the result of :func:`scatacworks.io.read_motifs`. `None` reuses the matches stored by an
        earlier call, for another `component_key`.
    sequences
        Column of `.var` with sequences, or a FASTA file of the genome (read lazily through its index).
    component_key
        Column of `.var` with the groups of elements.
    p_value
        Probability of a match at one position of a random sequence.
    width
        With a FASTA file, bases around the summit instead of the whole element, such as 200.
    background
        Frequencies of A, C, G and T; by default those of the sequences over both strands.
    key_added
        Name in `.uns`.
    n_jobs
        Threads.
    progress
        Show a progress bar.
    copy
        Return a changed copy instead of writing to `index`.

    Returns
    -------
    `None`, or the changed copy. Sets:

    `.varm["motif_matches"]` : sparse bool, n_elements × n_motifs
    `.uns[key_added]["table"]` : DataFrame, one row per motif and group
        `motif`, `factor` (joined by `::`), `cluster` (motifs that match the same elements share a number),
        `component`, `n_both`, `n_motif`, `n_component`, `odds_ratio`, `log10_p`, `p_value`, `q_value`
        (Benjamini-Hochberg over the table); sorted by group and p.
    `.uns[key_added]["motifs"]`, `["factors"]` : str, n_motifs

    Raises
    ------
    KeyError
        If labels, sequences or stored matches are missing.
    ValueError
        If sequences are empty, the motif file is of another form, or `width` comes without a FASTA file; if
        `.uns[key_added]` holds another kind of result; if `key_added` is another name and the motifs are others than
        those of `.uns["motif_enrichment"]`, whose matches they would replace.

    Examples
    --------
    >>> import anndata, numpy as np, pandas as pd, scatacworks as sca
    >>> rng = np.random.default_rng(0)
    >>> text = ["".join(rng.choice(list("ACGT"), 60)) for _ in range(200)]
    >>> text[:100] = [sequence[:20] + "AGATAAGA" + sequence[20:] for sequence in text[:100]]
    >>> var = pd.DataFrame({"sequence": text, "component": ["Myeloid"] * 100 + ["Neural"] * 100})
    >>> index = anndata.AnnData(np.ones((1, 200), np.float32), var=var.set_index(var.index.astype(str)))
    >>> gata = sca.io.Motif("GATA", np.eye(4)[[0, 2, 0, 3, 0, 0, 2, 0]], factors=("GATA1",))
    >>> sca.tl.motif_enrichment(index, motifs=[gata], progress=False)
    >>> table = index.uns["motif_enrichment"]["table"]
    >>> table.loc[table["q_value"] < 0.01, ["factor", "component"]].values.tolist()
    [['GATA1', 'Myeloid']]
    """
    width = None if width is None else whole(width, "width")
    index = _step.own(index, copy=copy)
    _step.claim(index, key_added, "motifs")
    labels, components = labels_of(index, component_key)
    if motifs is not None:
        loaded = load_motifs(motifs)
        names, factors = [motif.name for motif in loaded], ["::".join(motif.factors) for motif in loaded]
        _keep_names(index, names, key_added)
        index.varm[_keys.MOTIF_MATCHES] = match(
            sequences_of(index.var, sequences, width=width), loaded, p_value=p_value,
            background=None if background is None else np.asarray(background, np.float64),
            n_jobs=n_jobs, progress=progress,
        )  # fmt: skip
    elif _keys.MOTIF_MATCHES in index.varm and _keys.MOTIF_ENRICHMENT in index.uns:
        stored = index.uns[_keys.MOTIF_ENRICHMENT]
        names, factors = list(stored["motifs"]), list(stored["factors"])
    else:
        msg = "No motif matches are stored; give motifs= (a motif file) and sequences=."
        raise KeyError(msg)
    matches = sparse.csc_matrix(index.varm[_keys.MOTIF_MATCHES])
    names, factors = np.array(names, dtype=object), np.array(factors, dtype=object)
    about = {"motif": names, "factor": factors, "cluster": motif_clusters(matches)}
    index.uns[key_added] = {
        "table": _test(matches, about, labels, components),
        "motifs": names,
        "factors": factors,
        _keys.PARAMS: _step.params(p_value=p_value, component_key=component_key, sequences=str(sequences), width=width),
    }
    return index if copy else None


def _keep_names(index: AnnData, names: list[str], key_added: str) -> None:
    """Refuse matches of other motifs than those that the default slot names, which later steps take them for."""
    kept = index.uns.get(_keys.MOTIF_ENRICHMENT)
    if key_added != _keys.MOTIF_ENRICHMENT and kept is not None and list(kept["motifs"]) != names:
        msg = (
            f".varm[{_keys.MOTIF_MATCHES!r}] has the matches of the motifs in .uns[{_keys.MOTIF_ENRICHMENT!r}], and "
            "other motifs would take their place: leave key_added out, or delete it first: "
            f"del index.uns[{_keys.MOTIF_ENRICHMENT!r}]."
        )
        raise ValueError(msg)


def _test(
    matches: sparse.csc_matrix, about: dict[str, np.ndarray], labels: np.ndarray, components: np.ndarray
) -> pd.DataFrame:
    """Test every motif, described by `about`, in every group among the labelled elements."""
    labelled = np.flatnonzero(labels >= 0)
    own = sparse.csr_matrix(
        (np.ones(len(labelled), np.int64), (labels[labelled], labelled)), (len(components), len(labels))
    )
    both = np.asarray((own @ matches.astype(np.int64)).todense()).T
    n_motif = both.sum(1, keepdims=True)
    n_component = np.bincount(labels[labelled], minlength=len(components))[None, :]
    log_p = log_hypergeometric_sf(both, n_component, n_motif, len(labelled))
    row, column = np.indices(both.shape)
    table = pd.DataFrame(
        {
            **{name: values[row.ravel()] for name, values in about.items()},
            "component": components[column.ravel()],
            "n_both": both.ravel(),
            "n_motif": np.broadcast_to(n_motif, both.shape).ravel(),
            "n_component": np.broadcast_to(n_component, both.shape).ravel(),
            "odds_ratio": odds_ratio(both, n_component, n_motif, len(labelled)).ravel(),
            "log10_p": log_p.ravel() / np.log(10),
            "p_value": np.exp(log_p).ravel(),
        }
    )
    table["q_value"] = benjamini_hochberg(table["p_value"].to_numpy())
    order = np.lexsort((table["log10_p"], column.ravel()))
    table = table.iloc[order].reset_index(drop=True)
    return numbered(table)


def motif_clusters(matches: sparse.csc_matrix) -> np.ndarray:
    """Group motifs that match the same elements; cluster number from 1 per motif, by average linkage.

    Similarity of two motifs is the cosine of their match vectors: shared elements over the geometric mean of both.
    """
    from scipy.cluster.hierarchy import fcluster, linkage
    from scipy.spatial.distance import squareform

    if matches.shape[1] == 1:
        return np.ones(1, np.int32)
    counts = matches.astype(np.float64)
    shared = np.asarray((counts.T @ counts).todense())
    norm = np.sqrt(np.maximum(np.diag(shared), 1))
    distance = 1 - shared / norm[:, None] / norm[None, :]
    np.fill_diagonal(distance, 0)
    tree = linkage(squareform(np.maximum(distance, 0), checks=False), "average")
    return fcluster(tree, 1 - _SIMILAR, "distance").astype(np.int32)
