"""Labels of cells from the most similar reference sample."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

import numpy as np
import pandas as pd

from scatacworks import _keys, _step
from scatacworks._arguments import one_of, share
from scatacworks.tl._cells._reference import common_peaks

if TYPE_CHECKING:
    from anndata import AnnData
    from mudata import MuData

__all__ = ["transfer_labels"]


def transfer_labels(
    adata: AnnData | MuData,
    reference: AnnData | pd.DataFrame | str | None = None,
    *,
    method: Literal["correlation", "likelihood"] = "correlation",
    use_rep: str = _keys.X_BULK,
    layer: str | None = None,
    background: float = 0.2,
    key_added: str = "label",
    mod: str = "atac",
    copy: bool = False,
) -> AnnData | MuData | None:
    """Give every cell the label of the reference that it resembles most.

    By *correlation* with the reference's profiles in a shared embedding, as Lal et al. 2021 place cells among sorted
    populations after :func:`~scatacworks.tl.project_bulk`. Or by *likelihood*, straight from the peaks: which
    reference, as a distribution over peaks, explains best where the cell is accessible (a multinomial model). Peaks
    that only few references have then count for much, as they should where close types share most of theirs: of CD8 T
    cells of the marrow, 35 % correlate best with sorted CD8 cells and 64 % are likeliest to be such.

    Parameters
    ----------
    adata
        Cells × peaks with counts, or, to correlate, with an embedding that the reference shares, as
        :func:`~scatacworks.tl.project_bulk` makes it.
    reference
        For the likelihood: signal or counts of labelled samples, not logarithms, as AnnData of samples × peaks or
        DataFrame of peaks × samples; peaks are matched by name (`chrom:start-end`).
        To correlate: labelled profiles, one row per reference with its label as index, columns as the embedding. Or
        the slot of `.uns` in which :func:`~scatacworks.tl.project_bulk` stored them, by default `use_rep`; name it
        where the embedding is a smoothed one (`use_rep="X_bulk_smooth", reference="X_bulk"`).
        Several references may carry one label; the best of them counts.
    method
        How cells are compared.
    use_rep
        Embedding in `.obsm` to correlate.
    layer
        Layer with the counts, instead of `X`, for the likelihood. A peak with any count is accessible.
    background
        Share of a cell's accessible peaks, from 0 (excluded) to 1 (excluded), that is put down to the mean of all
        references, for the likelihood: what ambient fragments, doublets and peaks missed by a reference leave behind.
        Anything from 0.1 to 0.3 gives nearly the same labels.
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
        Label; missing for cells without an embedding, or without a count in the common peaks that any reference has.
    `.obs[key_added + "_score"]`, `.obs[key_added + "_margin"]` : float32
        How well that reference fits, and how far the best other label is below it. Score and margin are Pearson
        correlations, or natural logarithms of likelihood ratios (the score's against the mean of all references): a
        margin of 3 makes a label twenty times as likely as the next, if peaks were independent.
    `.obsm[key_added + "_correlation"]`, or `.obsm[key_added + "_likelihood"]` : DataFrame, float32
        Highest correlation, or log likelihood ratio, per label.

    Raises
    ------
    KeyError
        If the embedding, the reference or the layer is missing.
    TypeError
        If the reference is not a table where one is needed.
    ValueError
        If the numbers of components differ or are below two, fewer than 10 peaks are common, the reference has values
        that are missing or negative, a peak twice, one sample only or a sample without signal, or an argument is out of
        range.

    Examples
    --------
    >>> import anndata, numpy as np, pandas as pd, scatacworks as sca
    >>> rng = np.random.default_rng(0)
    >>> bulk = pd.DataFrame(rng.gamma(1, 10, (50, 3)), columns=["B", "T", "NK"])
    >>> bulk.index = [f"chr1:{i}-{i + 1}" for i in range(50)]
    >>> cells = anndata.AnnData(rng.poisson(bulk[["B", "NK"]].to_numpy().T / 10).astype(np.float32))
    >>> cells.var_names = bulk.index
    >>> sca.tl.transfer_labels(cells, bulk, method="likelihood")
    >>> cells.obs["label"].tolist()
    ['B', 'NK']
    """
    data, adata = _step.begin(adata, mod=mod, copy=copy)
    if one_of(method, "method", ("correlation", "likelihood")) == "correlation":
        names, values = _correlations(adata, reference, use_rep)
    else:
        names, values = _likelihoods(adata, reference, layer, background)
    per_label = pd.DataFrame(values.T, index=names).groupby(level=0, sort=False).max().T
    labels, values = per_label.columns.to_numpy(dtype=object), per_label.to_numpy()
    known = ~np.isnan(values).any(1)
    ordered = np.sort(values, axis=1)  # a cell without a label has NaN throughout
    best = np.where(known, values.argmax(1), -1)
    adata.obs[key_added] = pd.Categorical.from_codes(best, list(labels))
    adata.obs[f"{key_added}_score"] = ordered[:, -1].astype(np.float32)
    margin = ordered[:, -1] - ordered[:, -2] if len(labels) > 1 else np.full(len(ordered), np.nan)
    adata.obs[f"{key_added}_margin"] = margin.astype(np.float32)
    adata.obsm[f"{key_added}_{method}"] = pd.DataFrame(
        values.astype(np.float32), index=adata.obs_names, columns=list(labels)
    )
    return data if copy else None


def _correlations(adata: AnnData, reference: pd.DataFrame | str | None, use_rep: str) -> tuple[list[str], np.ndarray]:
    """Return the references' labels, and cells × references."""
    if use_rep not in adata.obsm:
        msg = f"No {use_rep!r} in .obsm (it has {sorted(adata.obsm)}); run sca.tl.project_bulk(adata, reference) first."
        raise KeyError(msg)
    if not isinstance(reference, pd.DataFrame):
        if not (reference is None or isinstance(reference, str)):
            msg = (
                f"reference is {type(reference).__name__}; to correlate, expected a DataFrame of profiles in the "
                "embedding, or the slot of .uns; samples in peaks go with method='likelihood'."
            )
            raise TypeError(msg)
        reference = _stored(adata, use_rep if reference is None else reference)
    points = np.asarray(adata.obsm[use_rep], np.float64)
    if points.shape[1] != reference.shape[1]:
        msg = (
            f".obsm[{use_rep!r}] has {points.shape[1]} components, the reference {reference.shape[1]}; samples in "
            "peaks go with method='likelihood'."
        )
        raise ValueError(msg)
    if points.shape[1] < 2:
        msg = f".obsm[{use_rep!r}] has {points.shape[1]} component(s); a correlation needs at least two."
        raise ValueError(msg)
    profiles = reference.to_numpy(np.float64)
    if not np.isfinite(profiles).all():
        msg = "The reference has missing or infinite values; expected a number per label and component."
        raise ValueError(msg)
    return list(reference.index.astype(str)), _unit(points) @ _unit(profiles).T


def _likelihoods(
    adata: AnnData, reference: AnnData | pd.DataFrame | str | None, layer: str | None, background: float
) -> tuple[list[str], np.ndarray]:
    """Return the references' labels, and log likelihood ratios of cells × references, NaN for cells without a peak."""
    background = share(background, "background", inside=True)
    if reference is None or isinstance(reference, str):
        msg = "method='likelihood' needs reference=: an AnnData of samples × peaks, or a DataFrame of peaks × samples."
        raise TypeError(msg)
    names, bulk, present = common_peaks(adata, reference, layer=layer)
    totals = bulk.sum(1, keepdims=True)
    if len(names) < 2 or not totals.all():
        silent = [name for name, total in zip(names, totals[:, 0], strict=True) if not total]
        msg = (
            f"The reference has {len(names)} samples, without signal in the common peaks: {silent}; expected two or "
            "more, all with signal."
        )
        raise ValueError(msg)
    profiles = bulk / totals
    mean = profiles.mean(0)
    seen = mean > 0  # a peak without signal in any reference tells nothing
    present = present[:, np.flatnonzero(seen)]
    ratios = np.log((1 - background) * profiles[:, seen] / mean[seen] + background)
    found = np.asarray(present @ ratios.T)
    found[np.diff(present.indptr) == 0] = np.nan
    return names, found


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
    centered = rows - rows.mean(1, keepdims=True)
    length = np.sqrt((centered**2).sum(1, keepdims=True))
    return centered / np.where(length > 0, length, 1)
