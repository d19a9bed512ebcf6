"""Samples that stand for a component."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from scatacworks import _step
from scatacworks._anndata import component_names
from scatacworks._arguments import whole
from scatacworks.tl._vocabulary._matrix import loadings_of

if TYPE_CHECKING:
    from anndata import AnnData


def top_samples(
    index: AnnData,
    *,
    n: int = 15,
    winner_only: bool = True,
    key_added: str = "top_samples",
    copy: bool = False,
) -> AnnData | None:
    """List the samples with the highest loadings on each component.

    Parameters
    ----------
    index
        Samples with `.obsm["X_vocabulary"]`, from :func:`~scatacworks.tl.vocabulary`.
    n
        Samples per component at most.
    winner_only
        A sample counts only for its dominant component (the published rule).
    key_added
        Slot in `.uns`.
    copy
        Return a changed copy instead of changing `index`.

    Returns
    -------
    `None` if `copy=False`, else the copy. Sets `uns[key_added]`, a DataFrame with `component`
    (categorical), `rank` (from 1), `sample` and `loading` (float64), by component and falling loading. Loadings of
    zero are never listed.

    Raises
    ------
    KeyError
        If there is no vocabulary.
    ValueError
        If `.uns[key_added]` holds another kind of result.

    Examples
    --------
    >>> import anndata, numpy as np
    >>> import scatacworks as sca
    >>> index = anndata.AnnData(np.zeros((3, 2)))
    >>> index.obsm["X_vocabulary"] = np.array([[2.0, 1.5], [3.0, 0.0], [0.0, 1.0]])
    >>> sca.tl.top_samples(index, n=1)
    >>> index.uns["top_samples"]["sample"].tolist()
    ['1', '2']
    """
    n = whole(n, "n")
    index = _step.own(index, copy=copy)
    _step.claim(index, key_added, "rank")
    loadings = loadings_of(index, "obsm")
    if winner_only:
        loadings = np.where(np.arange(loadings.shape[1]) == loadings.argmax(axis=1)[:, None], loadings, 0)
    names = component_names(index, loadings.shape[1])
    frames = []
    for at in range(len(names)):
        best = np.argsort(-loadings[:, at], kind="stable")[:n]
        best = best[loadings[best, at] > 0]
        frames.append(
            pd.DataFrame(
                {
                    "component": pd.Categorical.from_codes(np.full(len(best), at), categories=names),
                    "rank": np.arange(1, len(best) + 1),
                    "sample": index.obs_names[best].to_numpy(dtype=object),
                    "loading": loadings[best, at],
                }
            )
        )
    index.uns[key_added] = pd.concat(frames, ignore_index=True)
    return index if copy else None
