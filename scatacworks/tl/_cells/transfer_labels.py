"""Labels of cells from the most similar reference sample."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from scatacworks import _keys
from scatacworks._anndata import atac

if TYPE_CHECKING:
    from anndata import AnnData
    from mudata import MuData

__all__ = ["transfer_labels"]


def transfer_labels(
    adata: AnnData | MuData,
    *,
    use_rep: str = _keys.X_BULK,
    reference: pd.DataFrame | str | None = None,
    key_added: str = "label",
    mod: str = "atac",
    copy: bool = False,
) -> AnnData | MuData | None:
    """Give every cell the label of the reference with which its profile correlates best.

    Parameters
    ----------
    adata
        Cells with an embedding that the reference shares, as :func:`~scatacworks.tl.project_bulk` makes it.
    use_rep
        Embedding in `.obsm`.
    reference
        Labelled profiles, one row per reference with its label as index, columns as the embedding; several rows may
        carry one label. Or the slot of `.uns` in which :func:`~scatacworks.tl.project_bulk` stored them, by default
        `use_rep`; name it where the embedding is a smoothed one (`use_rep="X_bulk_smooth", reference="X_bulk"`).
    key_added
        Prefix of the columns of `.obs`.
    mod
        Modality to use where `adata` is a MuData.
    copy
        Return a changed copy instead of writing to `adata`.

    Returns
    -------
    `None`, or the changed copy. Sets:

    `.obs[key_added]` : categorical
        Label; missing for cells without an embedding.
    `.obs[key_added + "_score"]`, `.obs[key_added + "_margin"]` : float32
        Pearson correlation with that reference, and how far the best other label is below it.
    `.obsm[key_added + "_correlation"]` : DataFrame, float32
        Highest correlation per label.

    Raises
    ------
    KeyError
        If the embedding or the reference is missing.
    ValueError
        If their numbers of components differ.

    Examples
    --------
    >>> import anndata, numpy as np, pandas as pd, scatacworks as sca
    >>> adata = anndata.AnnData(np.zeros((2, 1), np.float32))
    >>> adata.obsm["X_bulk"] = np.array([[1.0, 0.1, 0.0], [0.0, 0.2, 1.0]])
    >>> reference = pd.DataFrame([[1, 0, 0], [0, 0, 1]], index=["B", "T"])
    >>> sca.tl.transfer_labels(adata, reference=reference)
    >>> adata.obs["label"].tolist()
    ['B', 'T']
    """
    data = adata.copy() if copy else adata
    adata = atac(data, mod)
    if use_rep not in adata.obsm:
        msg = f"No {use_rep!r} in .obsm (it has {sorted(adata.obsm)}); run sca.tl.project_bulk(adata, reference) first."
        raise KeyError(msg)
    if not isinstance(reference, pd.DataFrame):
        reference = _stored(adata, use_rep if reference is None else reference)
    points = np.asarray(adata.obsm[use_rep], np.float64)
    if points.shape[1] != reference.shape[1]:
        msg = f".obsm[{use_rep!r}] has {points.shape[1]} components, the reference {reference.shape[1]}."
        raise ValueError(msg)
    correlation = _unit(points) @ _unit(reference.to_numpy(np.float64)).T
    per_label = pd.DataFrame(correlation.T, index=reference.index.astype(str)).groupby(level=0, sort=False).max().T
    labels, values = per_label.columns.to_numpy(dtype=object), per_label.to_numpy()
    known = ~np.isnan(values).any(1)
    ordered = np.sort(np.where(known[:, None], values, 0), axis=1)
    best = np.where(known, np.where(known[:, None], values, 0).argmax(1), -1)
    adata.obs[key_added] = pd.Categorical.from_codes(best, list(labels))
    adata.obs[f"{key_added}_score"] = np.where(known, ordered[:, -1], np.nan).astype(np.float32)
    second = ordered[:, -2] if ordered.shape[1] > 1 else np.full(len(ordered), -1.0)
    adata.obs[f"{key_added}_margin"] = np.where(known, ordered[:, -1] - second, np.nan).astype(np.float32)
    adata.obsm[f"{key_added}_correlation"] = pd.DataFrame(
        values.astype(np.float32), index=adata.obs_names, columns=list(labels)
    )
    return data if copy else None


def _stored(adata: AnnData, key: str) -> pd.DataFrame:
    """Return the profiles that a projection stored."""
    if key not in adata.uns or "scores" not in adata.uns[key]:
        msg = (
            f"No reference in .uns[{key!r}]; give reference= (a table, or the slot that sca.tl.project_bulk wrote, "
            f"such as {_keys.X_BULK!r}), or run sca.tl.project_bulk first."
        )
        raise KeyError(msg)
    stored = adata.uns[key]
    return pd.DataFrame(stored["scores"], index=[str(name) for name in stored["names"]])


def _unit(rows: np.ndarray) -> np.ndarray:
    """Centre rows and scale them to length 1."""
    centred = rows - rows.mean(1, keepdims=True)
    length = np.sqrt((centred**2).sum(1, keepdims=True))
    return centred / np.where(length > 0, length, 1)
