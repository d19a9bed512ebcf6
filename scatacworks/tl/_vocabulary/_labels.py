"""Which kinds of samples load on a component."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from scatacworks import _keys, _step
from scatacworks._anndata import component_names, require_index
from scatacworks._arguments import whole
from scatacworks._core.rank_sum import rank_sum_greater
from scatacworks._membership import column_groups
from scatacworks.tl._vocabulary._matrix import loadings_of

if TYPE_CHECKING:
    from collections.abc import Sequence

    from anndata import AnnData

_FLOOR = 1e-30  # added to p, so that scores end at 30 minus the correction


def label_components(
    index: AnnData,
    *,
    keys: str | Sequence[str],
    max_categories: int = 20,
    key_added: str = _keys.COMPONENT_LABELS,
    copy: bool = False,
) -> AnnData | None:
    """Test every category of sample metadata for high loadings on every component.

    One-sided Mann-Whitney U tests of the loadings inside against outside the category. The p value, plus 1e-30, is
    multiplied by the number of components times the number of categories of that key; the score is -log10 of it
    (Meuleman et al. 2020, labelling of components). Scores below zero mean no evidence.

    Parameters
    ----------
    index
        Samples with `.obsm["X_vocabulary"]`, from :func:`~scatacworks.tl.vocabulary`.
    keys
        Column or columns of `.obs` with categories: text, or numbers that are labels (clusters). Empty text and
        missing values are no category.
    max_categories
        Only so many categories per key, the most frequent ones.
    key_added
        Slot in `.uns`.
    copy
        Return a changed copy instead of changing `index`.

    Returns
    -------
    `None` if `copy=False`, else the copy. Sets `uns[key_added]`, a DataFrame with `key`, `category`,
    `n_samples`, `component` (categorical), `p_value`, `score`, and `best` (bool: the component with the highest score
    of the category).

    Raises
    ------
    KeyError
        If a column is missing or there is no vocabulary.
    ValueError
        If no column is named, or one has no category or holds measurements; if `.uns[key_added]` holds another kind of
        result.

    Examples
    --------
    >>> import anndata, numpy as np, pandas as pd
    >>> import scatacworks as sca
    >>> obs = pd.DataFrame({"system": ["blood"] * 6 + ["brain"] * 6}, index=[str(i) for i in range(12)])
    >>> index = anndata.AnnData(np.zeros((12, 2)), obs=obs)
    >>> index.obsm["X_vocabulary"] = np.column_stack([np.arange(12), np.arange(12)[::-1]])
    >>> sca.tl.label_components(index, keys="system")
    >>> index.uns["component_labels"].query("best")[["category", "component"]].values.tolist()
    [['blood', '2'], ['brain', '1']]
    """
    require_index(index)
    keys = [keys] if isinstance(keys, str) else list(keys)
    if not keys:
        msg = "keys is empty; name at least one column of .obs."
        raise ValueError(msg)
    missing = [key for key in keys if key not in index.obs]
    if missing:
        msg = f".obs has no column {missing}; it has {list(index.obs.columns)}."
        raise KeyError(msg)
    max_categories = whole(max_categories, "max_categories")
    index = _step.own(index, copy=copy)
    _step.claim(index, key_added, "best")
    loadings = loadings_of(index, "obsm")
    names = component_names(index, loadings.shape[1])
    frames = [_tests(index.obs[key], loadings, names, max_categories) for key in keys]
    index.uns[key_added] = pd.concat(frames, ignore_index=True)
    return index if copy else None


def _tests(column: pd.Series, loadings: np.ndarray, names: list[str], max_categories: int) -> pd.DataFrame:
    """All tests of one metadata column."""
    codes, categories = column_groups(column)
    values = pd.Series(np.append(categories, "")[codes].astype(str)).str.strip()
    counts = values[values != ""].value_counts()
    counts = counts.sort_index().sort_values(ascending=False, kind="stable").iloc[:max_categories]
    if counts.empty:
        msg = f".obs[{column.name!r}] has no category; every value is missing."
        raise ValueError(msg)
    members = values.to_numpy()[:, None] == counts.index.to_numpy()
    p = rank_sum_greater(loadings, members)
    score = -np.log10((p + _FLOOR) * len(names) * len(counts))
    k = len(names)
    return pd.DataFrame(
        {
            "key": str(column.name),
            "category": np.repeat(counts.index.to_numpy(), k),
            "n_samples": np.repeat(counts.to_numpy(), k),
            "component": pd.Categorical.from_codes(np.tile(np.arange(k), len(counts)), categories=names),
            "p_value": p.ravel(),
            "score": score.ravel(),
            "best": (np.arange(k) == score.argmax(axis=1)[:, None]).ravel(),
        }
    )
