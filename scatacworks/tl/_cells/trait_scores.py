"""Scores of traits per cell from fine-mapped variants."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
from scipy import sparse, stats
from tqdm.auto import tqdm

from scatacworks import _keys, _step, _threads
from scatacworks._anndata import numbered
from scatacworks._arguments import share, whole
from scatacworks._arrays import embedding_of
from scatacworks._core.deviations import deviations
from scatacworks._core.fdr import benjamini_hochberg
from scatacworks._core.random_walk import mutual_neighbors, random_walk
from scatacworks._membership import column_groups
from scatacworks._neighbors import all_neighbors
from scatacworks.tl._annotation._elements import elements_of
from scatacworks.tl._annotation._joins import variant_weights
from scatacworks.tl._cells._counts import background_of, cell_counts

if TYPE_CHECKING:
    import os

    from anndata import AnnData
    from mudata import MuData

__all__ = ["trait_scores"]

_SEED_SHARE = 0.05  # SCAVENGE's cap on the share of seed cells
_SEED_P = 0.05
_CAP = 0.99  # quantile at which propagated scores are cut
_VISITS_AT_ONCE = 1 << 24  # cells times walks
_EQUAL = 1e-9  # means that differ by less are of the same cells in another order


def trait_scores(
    adata: AnnData | MuData,
    *,
    variants: Mapping[str, str | os.PathLike[str] | pd.DataFrame],
    bias: str | None = None,
    background: np.ndarray | None = None,
    n_background: int = 200,
    width: float = 0.1,
    n_bins: int = 50,
    layer: str | None = None,
    groupby: str | None = None,
    n_permutations: int = 1000,
    propagate: bool = False,
    use_rep: str = _keys.X_LSI,
    n_neighbors: int = 30,
    restart: float = 0.05,
    key_added: str = _keys.TRAIT_SCORES,
    seed: int | np.random.Generator | None = 0,
    n_jobs: int | None = None,
    progress: bool = True,
    mod: str = "atac",
    copy: bool = False,
) -> AnnData | MuData | None:
    """Score cells for the accessibility of peaks with fine-mapped variants of traits.

    A peak weighs the sum of the posterior probabilities of the variants inside it; the score is the z of the weighted
    deviation against background peaks matched in accessibility (and `bias`), the statistic of g-chromVAR (Ulirsch et
    al. 2019). With `propagate`, cells of high score (p < 0.05, at most 5 % of cells) restart a random walk on the
    graph of mutual nearest neighbours, and each cell's score is how often the walk visits it, as in SCAVENGE (Yu et
    al. 2022): sparse single cells then borrow from their neighbours.

    Parameters
    ----------
    adata
        Cells × peaks, counts.
    variants
        Trait -> BED file (chrom, start, end, region, posterior) or table with a column `posterior`.
    bias
        Column of `.var`, such as the GC fraction, matched beside accessibility.
    background
        Peaks × samples positions of background peaks, instead of drawing them.
    n_background
        Number of background sets.
    width, n_bins
        As in :func:`~scatacworks.tl.motif_deviations`.
    layer
        Layer with the counts, instead of `X`.
    groupby
        Column of `.obs`, of a MuData as in :func:`~scatacworks.pp.pseudobulk`: also compare the mean score of every
        group with permuted cells.
    n_permutations
        Permutations of cells for groups, and of seed cells for propagated scores.
    propagate
        Propagate over the graph of neighbours.
    use_rep
        Embedding in `.obsm`, of a MuData also its own, for the neighbours.
    n_neighbors
        Neighbours per cell; two cells are joined when each is among the other's.
    restart
        Probability to jump back to a seed cell.
    key_added
        Name in `.obsm` and `.uns`.
    seed
        Seed of background and permutations.
    n_jobs
        Threads.
    progress
        Show a progress bar.
    mod
        Modality to use where `adata` is a MuData.
    copy
        Return a changed copy instead of writing to `adata`.

    Returns
    -------
    `None`, or the changed copy. Sets:

    `.obsm[key_added]` : DataFrame, cells × traits, float32
        z-scores; NaN for cells without counts, and with so few that all background sets look alike in them.
    `.obsm[key_added + "_propagated"]`, `.obsm[key_added + "_p"]` : DataFrames, float32
        With `propagate`: visits, cut at the 99 % quantile and scaled to 0 … 1, and the share of permuted sets of seed
        cells (of the same number of neighbours) that give a cell at least as many visits, the true one counted with
        them. A seed cell restarts walks itself, so that its own share is small also where a trait is in no cell.
    `.uns[key_added]["traits"]` : DataFrame
        `trait`, `n_peaks` (with a variant), `weight` (sum of posteriors in peaks).
    `.uns[key_added]["groups"]` : DataFrame
        With `groupby`: `trait`, `group`, `n_cells` (with a score), `mean_z`, `p_value` (one-sided, permutations; NaN
        without such cells), `q_value` (Benjamini-Hochberg over the table).

    Raises
    ------
    KeyError
        If a column, layer or embedding is missing.
    TypeError
        If `variants` is no dict.
    ValueError
        If there is no trait, no peak holds a variant of one, or variants lack posteriors between 0 and 1; if
        `.uns[key_added]` holds another kind of result.

    Examples
    --------
    >>> import anndata, numpy as np, pandas as pd, scatacworks as sca
    >>> rng = np.random.default_rng(0)
    >>> rate = np.full((40, 300), 0.5)
    >>> rate[:20, :30], rate[20:, :30] = 1.0, 0.0
    >>> counts = rng.poisson(rate).astype(np.float32)
    >>> var = pd.DataFrame({"chrom": "chr1", "start": np.arange(300) * 1000})
    >>> var["end"] = var["start"] + 500
    >>> obs = pd.DataFrame({"type": ["Mono"] * 20 + ["T"] * 20}, index=[f"c{i}" for i in range(40)])
    >>> adata = anndata.AnnData(counts, obs=obs, var=var.set_index(var.index.astype(str)))
    >>> near = pd.DataFrame({"chrom": "chr1", "start": np.arange(20) * 1000 + 50, "posterior": 0.5})
    >>> near["end"] = near["start"] + 1
    >>> sca.tl.trait_scores(adata, variants={"MONO": near}, groupby="type", progress=False)
    >>> adata.uns["trait_scores"]["groups"][["group", "p_value"]].round(3).values.tolist()
    [['Mono', 0.001], ['T', 1.0]]
    """
    data, adata = _step.begin(adata, mod=mod, copy=copy)
    _step.claim(adata, key_added, "restart", obsm=key_added != _keys.TRAIT_SCORES)
    n_permutations, n_neighbors = whole(n_permutations, "n_permutations"), whole(n_neighbors, "n_neighbors")
    if not isinstance(variants, Mapping):
        msg = f"variants is a {type(variants).__name__}; expected a dict of trait -> fine-mapped variants."
        raise TypeError(msg)
    _step.take_column(data, adata, groupby)
    if groupby is not None and groupby not in adata.obs:
        msg = f"No column {groupby!r} in .obs; it has {list(adata.obs.columns)}."
        raise KeyError(msg)
    restart = share(restart, "restart", inside=True)
    if not variants:
        msg = "variants is empty; expected a dict of trait -> fine-mapped variants."
        raise ValueError(msg)
    points = embedding_of(adata, use_rep, data) if propagate else None
    counts = cell_counts(adata, layer)
    rng = np.random.default_rng(seed)
    weights = _weights(adata, variants)
    kept, partners = background_of(
        adata, counts, bias=bias, given=background, n_samples=n_background, width=width, n_bins=n_bins, seed=rng
    )
    _, z = deviations(
        counts[:, kept], sparse.csr_matrix(weights[kept]), partners, minimum=0.0, n_jobs=_threads.resolve(n_jobs),
        progress=lambda steps: tqdm(steps, desc="background", disable=not progress),
    )  # fmt: skip
    names = [str(name) for name in variants]
    traits = pd.DataFrame({"trait": names, "n_peaks": (weights > 0).sum(0), "weight": weights.sum(0)})
    result: dict[str, Any] = {"traits": numbered(traits)}

    def table(values: np.ndarray) -> pd.DataFrame:
        return pd.DataFrame(values.astype(np.float32), index=adata.obs_names, columns=names)

    adata.obsm[key_added] = table(z)
    if groupby is not None:
        steps = tqdm(range(n_permutations), desc="permutations", disable=not progress)
        result["groups"] = _groups(adata, z, names, groupby, permutations=steps, rng=rng)
    if points is not None:
        graph = _graph(points, n_neighbors, n_jobs)
        with tqdm(total=n_permutations * z.shape[1], desc="random walks", disable=not progress) as bar:
            visits, p = _propagate(graph, z, restart, n_permutations=n_permutations, rng=rng, bar=bar)
        adata.obsm[f"{key_added}_propagated"], adata.obsm[f"{key_added}_p"] = table(visits), table(p)
    result[_keys.PARAMS] = _step.params(
        n_background=partners.shape[1], bias=bias or "", n_permutations=n_permutations, restart=restart
    )
    adata.uns[key_added] = result
    return data if copy else None


def _weights(adata: AnnData, variants: Mapping[str, Any]) -> np.ndarray:
    """Return the summed posteriors of every trait in every peak."""
    elements = elements_of(adata.var)
    weights = np.zeros((adata.n_vars, len(variants)))
    for column, (name, source) in enumerate(variants.items()):
        weights[:, column] = variant_weights(elements, source, str(name))
        if not weights[:, column].any():
            msg = f"No peak holds a variant of {name!r}; are peaks and variants of the same genome?"
            raise ValueError(msg)
    return weights


def _groups(
    adata: AnnData, z: np.ndarray, names: list[str], groupby: str, *, permutations: tqdm, rng: np.random.Generator
) -> pd.DataFrame:
    """Compare group means with those of permuted cells."""
    codes, groups = column_groups(adata.obs[groupby])
    used, codes = np.unique(codes, return_inverse=True)
    codes, groups = codes - (used[0] < 0), groups[used[used >= 0]]
    grouped = np.flatnonzero(codes >= 0)
    codes, values = codes[grouped], z[grouped]
    known = (~np.isnan(values)).astype(np.float64)
    values, n_groups = np.nan_to_num(values, nan=0.0), len(groups)

    def means(order: np.ndarray | slice) -> tuple[np.ndarray, np.ndarray]:
        """Return mean score and scored cells, groups × traits, with the cells in this order."""
        size, total = member @ known[order], member @ values[order]
        return np.divide(total, size, out=np.full(total.shape, np.nan), where=size > 0), size

    member = sparse.csr_matrix((np.ones(len(codes)), (codes, np.arange(len(codes)))), (n_groups, len(codes)))
    mean, size = means(slice(None))
    as_high = np.zeros_like(mean)
    for _ in permutations:
        as_high += ~(means(rng.permutation(len(codes)))[0] < mean - _EQUAL)
    p = np.where(size > 0, (1 + as_high) / (len(permutations) + 1), np.nan)
    table = pd.DataFrame(
        {
            "trait": np.repeat(np.array(names, dtype=object), n_groups),
            "group": np.tile(groups, len(names)),
            "n_cells": size.T.ravel().astype(np.int64),
            "mean_z": mean.T.ravel(),
            "p_value": p.T.ravel(),
        }
    )
    table["q_value"] = benjamini_hochberg(table["p_value"].to_numpy())
    return numbered(table)


def _graph(points: np.ndarray, n_neighbors: int, n_jobs: int | None) -> sparse.csr_matrix:
    """Return the graph of mutual nearest neighbours in an embedding."""
    return mutual_neighbors(all_neighbors(points, min(n_neighbors, len(points) - 1) + 1, n_jobs=n_jobs))


def _propagate(
    graph: sparse.csr_matrix, z: np.ndarray, restart: float, *, n_permutations: int, rng: np.random.Generator, bar: tqdm
) -> tuple[np.ndarray, np.ndarray]:
    """Walk from the cells of highest score; returns scaled visits and permutation p."""
    degree = np.asarray(graph.sum(1)).ravel().astype(np.int64)
    visits, p = np.empty(z.shape), np.empty(z.shape)
    at_once = max(min(100, _VISITS_AT_ONCE // len(z)), 1)
    for trait in range(z.shape[1]):
        score = np.nan_to_num(z[:, trait], nan=-np.inf)
        cells = np.flatnonzero(stats.norm.sf(score) < _SEED_P)
        cells = cells[np.argsort(-score[cells], kind="stable")][: max(int(_SEED_SHARE * len(score)), 1)]
        if len(cells) == 0:
            cells = score.argmax()[None]
        seeds = np.zeros((len(score), 1))
        seeds[cells] = 1
        own = random_walk(graph, seeds, restart=restart)[:, 0]
        as_high = np.zeros(len(own))
        for first in range(0, n_permutations, at_once):
            permuted = _matched_seeds(degree, cells, min(at_once, n_permutations - first), rng)
            as_high += (random_walk(graph, permuted, restart=restart) >= own[:, None]).sum(1)
            bar.update(permuted.shape[1])
        p[:, trait] = (1 + as_high) / (n_permutations + 1)
        cut = np.minimum(own, np.quantile(own, _CAP))
        visits[:, trait] = (cut - cut.min()) / max(np.ptp(cut), 1e-300)
    return visits, p


def _matched_seeds(degree: np.ndarray, cells: np.ndarray, n_sets: int, rng: np.random.Generator) -> np.ndarray:
    """Draw sets of seed cells with the numbers of neighbours of the true ones (to the nearest rank of 20)."""
    rank = np.argsort(np.argsort(degree, kind="stable"), kind="stable")
    stratum = rank * 20 // len(degree)
    seeds = np.zeros((len(degree), n_sets))
    for value, wanted in zip(*np.unique(stratum[cells], return_counts=True), strict=True):
        members = np.flatnonzero(stratum == value)
        for column in range(n_sets):
            seeds[rng.choice(members, size=wanted, replace=False), column] = 1
    return seeds
