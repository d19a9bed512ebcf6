"""Which reference sample is this?"""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
import scipy.sparse as sp

from scatacworks import _keys, _step
from scatacworks._anndata import require_index
from scatacworks._arrays import in_memory, matrix_of
from scatacworks._core.average_precisions import average_precisions
from scatacworks._threads import resolve
from scatacworks.tl._vocabulary._matrix import patterns_of
from scatacworks.tl._vocabulary._shared import shared_elements

if TYPE_CHECKING:
    from anndata import AnnData


def match_samples(
    query: AnnData,
    reference: AnnData,
    *,
    layer: str | None = _keys.SIGNAL,
    n_jobs: int | None = None,
    key_added: str = "match",
    copy: bool = False,
) -> AnnData | None:
    """Find the reference sample whose elements a query's signal ranks highest; no peaks are needed.

    The query's signal over the elements is a ranking; for every reference sample the area under the precision-recall
    curve (average precision, as scikit-learn computes it) says how well the ranking finds the sample's elements
    (Meuleman et al. 2020, matching by accessibility). All references are scored in one pass.

    Parameters
    ----------
    query
        Samples, groups or cells x elements. For tracks, take :func:`~scatacworks.tl.presence` with `signal=`.
    reference
        Samples x elements; non-zero is present. Elements are matched by name.
    layer
        Layer of the query with the signal; `None` for `X`.
    n_jobs
        Threads; changes nothing in the result.
    key_added
        Name of what is written.
    copy
        Return a changed copy instead of changing `query`.

    Returns
    -------
    `None` if `copy=False`, else the copy. Sets:

    `obs[key_added]` : categorical, the best reference sample; missing where there is no signal to rank
    `obs[f"{key_added}_auprc"]` : float64, its area
    `obsm[f"{key_added}_auprc"]` : DataFrame (query samples x reference samples), all areas

    Raises
    ------
    KeyError
        If the layer is missing.
    TypeError
        If `reference` is no AnnData.
    ValueError
        If the reference has no samples, or several of one name; if no element is shared: none of that name, or names
        stand for other places, as in an index made apart; or if the two are of different genomes.

    Examples
    --------
    >>> import anndata, numpy as np
    >>> import scatacworks as sca
    >>> reference = anndata.AnnData(np.array([[1, 1, 0, 0], [0, 0, 1, 1]]))
    >>> query = anndata.AnnData(np.array([[0.1, 0.3, 2.0, 3.0]]))
    >>> sca.tl.match_samples(query, reference, layer=None)
    >>> query.obs["match"].tolist(), query.obs["match_auprc"].tolist()
    (['1'], [1.0])
    """
    require_index(reference, "reference")
    if not reference.n_obs:
        msg = "The reference has no samples to match, as the published index has none; give one of tl.dhs_index."
        raise ValueError(msg)
    if not reference.obs_names.is_unique:
        twice = reference.obs_names[reference.obs_names.duplicated()][0]
        msg = f"The reference has several samples of one name, such as {twice!r}; call .obs_names_make_unique() first."
        raise ValueError(msg)
    query = _step.own(query, copy=copy)
    signal = in_memory(matrix_of(query, layer))
    columns, at = shared_elements(query, reference)
    if len(columns) == 0:
        msg = "The query and the reference share no element; use tl.presence to bring the query onto the index."
        raise ValueError(msg)
    patterns = patterns_of(reference[:, at], None, collapse=False)

    def score(row: int) -> np.ndarray:
        values = signal[[row]]
        values = np.asarray(values.todense() if sp.issparse(values) else values, float).ravel()[columns]
        if not values.any():
            return np.full(patterns.n_rows, np.nan)
        order = np.argsort(-values, kind="stable")
        return average_precisions(order, values, patterns.indptr, patterns.rows, patterns.n_rows)

    with ThreadPoolExecutor(resolve(n_jobs)) as pool:
        areas = np.stack(list(pool.map(score, range(query.n_obs))))
    unknown = np.isnan(areas).all(axis=1)
    best = np.where(unknown, -1, np.where(np.isnan(areas), -1, areas).argmax(axis=1))
    query.obs[key_added] = pd.Categorical.from_codes(
        best, categories=reference.obs_names.astype(str)
    ).remove_unused_categories()
    query.obs[f"{key_added}_auprc"] = areas[np.arange(len(best)), best]
    query.obsm[f"{key_added}_auprc"] = pd.DataFrame(
        areas, index=query.obs_names, columns=reference.obs_names.astype(str)
    )
    return query if copy else None
