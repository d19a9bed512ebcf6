"""Do elements of one component lie together along the genome?"""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from scatacworks import _keys, _step, _threads
from scatacworks._anndata import numbered
from scatacworks._arguments import whole
from scatacworks._core.intervals import pack
from scatacworks._core.label_clustering import nearest_same, permuted
from scatacworks.tl._annotation._elements import elements_of, labels_of

if TYPE_CHECKING:
    from anndata import AnnData

__all__ = ["component_clustering"]


def component_clustering(
    index: AnnData,
    *,
    n_permutations: int = 1000,
    component_key: str = _keys.COMPONENT,
    key_added: str = _keys.COMPONENT_CLUSTERING,
    seed: int | np.random.Generator | None = 0,
    n_jobs: int | None = None,
    copy: bool = False,
) -> AnnData | None:
    """Compare the distance between neighbours of one component with permuted labels.

    The distance goes from the summit of an element to that of the nearest other element of the same component on the
    same chromosome; labels are permuted over all labelled elements (after Meuleman et al. 2020, clustering along the
    genome).

    Parameters
    ----------
    index
        Elements in `.var` with a component label.
    n_permutations
        Number of permutations; the smallest p is 1 / (n + 1).
    component_key
        Column of `.var` with the labels.
    key_added
        Name in `.uns`.
    seed
        Seed of the permutations.
    n_jobs
        Threads.
    copy
        Return a changed copy instead of writing to `index`.

    Returns
    -------
    `None`, or the changed copy. Sets:

    `.uns[key_added]["components"]` : DataFrame, one row per component
        `component`, `n_elements`, `mean_distance` (bp), `expected` and `expected_sd` (mean and standard deviation over
        permutations, bp), `ratio` (observed over expected, below 1 when clustered), `z`, `p_value` (one-sided,
        clustered).
    `.uns[key_added]["same_neighbour"]` : dict
        `observed`: share of adjacent elements of a chromosome that share their component; `expected`, `p_value`.

    Raises
    ------
    KeyError
        If positions or labels are missing.
    ValueError
        If `.uns[key_added]` holds another kind of result.

    Examples
    --------
    >>> import anndata, numpy as np, pandas as pd, scatacworks as sca
    >>> var = pd.DataFrame({"chrom": "chr1", "start": np.arange(0, 100_000, 1000)})
    >>> var["end"] = var["start"] + 200
    >>> var["component"] = np.where(var["start"] < 50_000, "Lymphoid", "Neural")
    >>> index = anndata.AnnData(np.ones((1, 100), np.float32), var=var.set_index(var.index.astype(str)))
    >>> sca.tl.component_clustering(index, n_permutations=99)
    >>> index.uns["component_clustering"]["components"][["component", "mean_distance", "p_value"]].values.tolist()
    [['Lymphoid', 1000.0, 0.01], ['Neural', 1000.0, 0.01]]
    """
    n_permutations = whole(n_permutations, "n_permutations")
    index = _step.own(index, copy=copy)
    _step.claim(index, key_added, "same_neighbour")
    elements = elements_of(index.var)
    labels, components = labels_of(index, component_key)
    order = np.argsort(pack(elements.chrom, elements.summit), kind="stable")
    order = order[labels[order] >= 0]
    chrom, position, labels = elements.chrom[order], elements.summit[order], labels[order]
    total, pairs = np.empty(len(components)), np.empty(len(components))
    adjacent = nearest_same(chrom, position, labels, len(components), total, pairs)
    seeds = np.random.default_rng(seed).integers(1, 2**62, n_permutations)
    parts = np.array_split(seeds, min(_threads.resolve(n_jobs), n_permutations))
    with ThreadPoolExecutor(len(parts)) as pool:
        done = list(pool.map(lambda part: permuted(chrom, position, labels, len(components), part), parts))
    mean, together = (np.concatenate(pieces) for pieces in zip(*done, strict=True))
    n_adjacent = max(int((chrom[1:] == chrom[:-1]).sum()), 1)
    index.uns[key_added] = {
        "components": _table(components, labels, total, pairs, mean),
        "same_neighbour": {
            "observed": float(adjacent / n_adjacent),
            "expected": float(together.mean() / n_adjacent),
            "p_value": float((1 + (together >= adjacent).sum()) / (n_permutations + 1)),
        },
        _keys.PARAMS: _step.params(n_permutations=n_permutations, component_key=component_key),
    }
    return index if copy else None


def _table(
    components: np.ndarray, labels: np.ndarray, total: np.ndarray, pairs: np.ndarray, permutations: np.ndarray
) -> pd.DataFrame:
    """Compare observed mean distances with the permutations."""
    with np.errstate(divide="ignore", invalid="ignore"):
        observed = np.where(pairs > 0, total / pairs, np.nan)
    missing = np.isnan(permutations).any(0)
    permutations = np.nan_to_num(permutations)
    expected = permutations.mean(0)
    spread = permutations.std(0, ddof=1) if len(permutations) > 1 else np.nan
    p = (1 + (permutations <= observed).sum(0)) / (len(permutations) + 1)
    with np.errstate(divide="ignore", invalid="ignore"):
        table = pd.DataFrame(
            {
                "component": components,
                "n_elements": np.bincount(labels, minlength=len(components)),
                "mean_distance": observed,
                "expected": np.where(missing, np.nan, expected),
                "expected_sd": np.where(missing, np.nan, spread),
                "ratio": np.where(missing, np.nan, observed / expected),
                "z": np.where(missing, np.nan, (observed - expected) / spread),
                "p_value": np.where(missing | np.isnan(observed), np.nan, p),
            }
        )
    return numbered(table)
