"""One group against another, each divided into replicates."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from scatacworks._core.region_test import many_against_many, normalize
from scatacworks._membership import Membership, groupby_of, membership_matrix, resolve_groups
from scatacworks._regions import as_spans
from scatacworks._text import listed
from scatacworks.io._source import open_fragments
from scatacworks.tl._denoising import _inputs
from scatacworks.tl._differential import _stream
from scatacworks.tl._differential._source import default_spans, read_groups, require_groups
from scatacworks.tl._differential.background import TILE_BP, find_universe

if TYPE_CHECKING:
    import pandas as pd
    from anndata import AnnData

    from scatacworks.genome import Genome


def replicate_test(
    adata: AnnData,
    group: str,
    reference: str,
    *,
    key: str,
    replicates: str | int,
    regions: Any,
    universe: Any,
    model: Any,
    n_jobs: int | None,
    progress: bool,
    seed: int | np.random.Generator | None,
) -> tuple[pd.DataFrame, dict[str, Any], Genome, float]:
    """Return the tested regions with z and p, notes, the genome and the mean signal per base.

    `key` is the pseudobulk that defines the groups; the others are as of :func:`~scatacworks.tl.differential_regions`.
    """
    network, name = _inputs.resolve_model(model)
    membership, first = _replicates(adata, group, reference, key=key, replicates=replicates, seed=seed)
    fragments = open_fragments(adata)
    spans = None if regions is None else as_spans(regions, fragments.genome, uns=adata.uns)
    where = {"convention": _stream.convention(network), "key": key, "n_jobs": n_jobs}
    source = read_groups(membership, fragments, spans, _stream.reach(network), **where)
    if spans is None:
        spans = default_spans(source)
    empty = source.groups[source.n_sites(spans) == 0]
    if len(empty):
        msg = (
            f"{len(empty)} of {len(source.groups)} replicates have no cut site in the regions: "
            f"{listed(empty)}. Give more regions, or fewer and larger replicates"
        )
        column = isinstance(replicates, str) and replicates in adata.obs
        msg += f", by a missing value in .obs[{replicates!r}] for cells to leave out." if column else "."
        raise ValueError(msg)
    denoise = _stream.Denoiser(network, {"n_jobs": n_jobs})
    stream = _stream.Stream(source, denoise, spans, progress, "replicates")
    tested = find_universe(stream, adata, universe, TILE_BP)
    found = stream.run(tested, moments=False)
    level = float(found.total.mean() / stream.n_bases)
    signal = found.signal.astype(np.float64) * level
    signal = normalize(signal, signal, tested["family"].to_numpy(str))
    logged = np.log2(signal + 0.1 * level)
    result = many_against_many(logged[first], logged[~first], logged.mean(axis=0))
    table = tested.assign(
        summit=(tested["start"] + tested["end"]) // 2,
        direction=np.where(result.z >= 0, 1, -1).astype(np.int8),
        top_z=result.z,
        z=result.z,
        mean=signal[first].mean(axis=0),
        mean_background=signal[~first].mean(axis=0),
        p_value=result.p,
        p_value_normal=result.p_normal,
    )
    notes = {"n_replicates": int(first.sum()), "n_replicates_reference": int((~first).sum()), "model": name}
    return table, notes, source.genome, level


def _replicates(
    adata: AnnData,
    group: str,
    reference: str,
    *,
    key: str,
    replicates: str | int,
    seed: int | np.random.Generator | None,
) -> tuple[Membership, np.ndarray]:
    """Return the replicates of both groups, and which belong to the first."""
    require_groups(adata, key)
    groupby = groupby_of(adata, key) or key
    if reference == "rest" and "rest" not in resolve_groups(adata, groupby, tell_missing=False).groups:
        msg = (
            "There is no group 'rest'. To compare with cells of all kinds leave out reference=: the background, "
            "tl.background(adata), is groups of about the size of this one, drawn from all cells."
        )
        raise ValueError(msg)
    pair = resolve_groups(adata, groupby, groups=[group, reference])
    both = np.intersect1d(*pair.cells)
    if len(both):
        msg = f"{len(both):,} cells are in both {group!r} and {reference!r}; compare groups that share none."
        raise ValueError(msg)
    parts = [_divide(adata, own, replicates, seed) for own in pair.cells]
    for name, own in zip((group, reference), parts, strict=True):
        if len(own) < 2:
            msg = f"{name!r} gives {len(own)} replicate(s) by {replicates!r}; at least 2 are needed."
            raise ValueError(msg)
    names = [f"{part!r} of {name!r}" for name, own in zip(pair.groups, parts, strict=True) for part in own]
    everything = [part for own in parts for part in own.values()]
    columns = np.repeat(np.arange(len(everything)), [len(part) for part in everything])
    matrix = membership_matrix(np.concatenate(everything), columns, (adata.n_obs, len(everything)))
    first = np.arange(len(everything)) < len(parts[0])
    return Membership(np.array(names, dtype=object), matrix), first


def _divide(
    adata: AnnData, cells: np.ndarray, replicates: str | int, seed: int | np.random.Generator | None
) -> dict[str, np.ndarray]:
    """Divide the cells of one group into replicates; return them by name."""
    if isinstance(replicates, int):
        if len(cells) < replicates:
            msg = f"A group of {len(cells)} cells cannot be divided into {replicates} replicates."
            raise ValueError(msg)
        shuffled = np.random.default_rng(seed).permutation(cells)
        return {str(i): np.sort(part) for i, part in enumerate(np.array_split(shuffled, replicates))}
    membership = resolve_groups(adata, replicates)
    inside = np.zeros(adata.n_obs, bool)
    inside[cells] = True
    named = dict(zip(membership.groups, membership.cells, strict=True))
    if replicates in adata.obs:  # a sample may hold cells of both groups
        named = {name: part[inside[part]] for name, part in named.items()}
    return {name: part for name, part in named.items() if len(part) and inside[part].all()}
