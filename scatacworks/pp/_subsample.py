"""Fewer cells, or fewer cut sites, drawn repeatedly."""

from __future__ import annotations

import hashlib
import warnings
from typing import TYPE_CHECKING, Any

import numpy as np

from scatacworks import _keys, _step
from scatacworks._arguments import real, whole
from scatacworks._depth import nuclear_sums
from scatacworks._membership import Membership, membership_matrix, resolve_groups
from scatacworks.get._track import tracks
from scatacworks.tracks import Runs, Tracks

if TYPE_CHECKING:
    from collections.abc import Iterator

    from anndata import AnnData
    from mudata import MuData


def subsample(
    adata: AnnData | MuData,
    *,
    n_cells: int | None = None,
    n_fragments: int | None = None,
    fraction: float | None = None,
    groupby: str | None = None,
    n_repeats: int = 1,
    key: str = _keys.PSEUDOBULK,
    key_added: str = _keys.SUBSAMPLE,
    mod: str = "atac",
    seed: int | np.random.Generator | None = 0,
    copy: bool = False,
) -> AnnData | MuData | None:
    """Draw cells, or thin cut sites, as often as wanted.

    One of three sizes is given. `n_cells` draws cells without replacement and leaves a membership that can be piled
    up: `pp.pseudobulk(adata, "subsample")`. `n_fragments` and `fraction` thin the cut sites of groups that are piled
    up already: each cut site is kept with the same probability, independently of the others (binomial thinning), and
    the result is a pseudobulk of its own: `get.track(adata, group, region, key="subsample")`, `tl.denoise(adata,
    key="subsample")`.

    Parameters
    ----------
    adata
        Cells, `(n_cells, …)`; for thinning, after :func:`~scatacworks.pp.pseudobulk`.
    n_cells
        Cells to draw, of every group where `groupby` is given. A smaller group is taken whole, with a warning.
    n_fragments
        Nuclear fragments to keep of every group, in expectation: twice as many cut sites. Those of mitochondria and
        plastids come on top, thinned alike, so that all groups end up equally deep, whatever they have of these. A
        smaller group is kept whole, with a warning.
    fraction
        Share of cut sites to keep, in (0, 1].
    groupby
        With `n_cells`: column of `.obs` or membership in `.obsm` to draw from, of a MuData as in
        :func:`~scatacworks.pp.pseudobulk`; by default all cells are one group, `"all"`.
    n_repeats
        Draws of every group, independent of each other.
    key
        Slot of the pseudobulk to thin.
    key_added
        Slot to write.
    mod
        Modality to use where `adata` is a MuData.
    seed
        Of the draws.
    copy
        Return a changed copy rather than writing to `adata`.

    Returns
    -------
    `None`, or the changed copy. Sets, for cells:

    `.obsm[key_added]` : boolean CSR, `(n_cells, n_groups * n_repeats)`
        The drawn cells.
    `.uns[key_added]` : dict
        `groups`: names, `"B"`, or `"B #1"`, `"B #2"` … of several repeats; `source_group`; `repeat` (int64, from 1);
        `params`.

    and for cut sites `.uns[key_added]` in the form of :func:`~scatacworks.pp.pseudobulk`, with `source_group` and
    `repeat` beside; `n_fragments` there is half of all cut sites kept, rounded.

    Raises
    ------
    ValueError
        If not exactly one size is given, it is not positive, or `key_added` names another kind of result.
    KeyError
        If `groupby`, or the pseudobulk, does not exist.

    Examples
    --------
    >>> import scatacworks as sca
    >>> adata = sca.datasets.pbmc_windows()
    >>> sca.pp.subsample(adata, n_cells=10, groupby="cell_type", n_repeats=3, key_added="ten")
    >>> adata.uns["ten"]["groups"][:2].tolist()
    ['CD14+ Monocytes #1', 'CD14+ Monocytes #2']
    """
    sizes = {"n_cells": n_cells, "n_fragments": n_fragments, "fraction": fraction}
    given = {name: value for name, value in sizes.items() if value is not None}
    if len(given) != 1:
        msg = f"Give one of n_cells, n_fragments and fraction; got {given or 'none'}."
        raise ValueError(msg)
    if fraction is not None and not 0 < real(fraction, "fraction") <= 1:
        msg = f"fraction is {fraction}; expected a number above 0, at most 1."
        raise ValueError(msg)
    n_cells = None if n_cells is None else whole(n_cells, "n_cells")
    n_fragments = None if n_fragments is None else whole(n_fragments, "n_fragments")
    n_repeats = whole(n_repeats, "n_repeats")
    if groupby is not None and n_cells is None:
        msg = f"groupby={groupby!r} goes with n_cells; cut sites are thinned in the groups of .uns[{key!r}]."
        raise ValueError(msg)
    result, target = _step.begin(adata, mod=mod, copy=copy)
    _step.claim(target, key_added, "source_group", obsm=n_cells is not None)
    _step.take_column(result, target, groupby)
    rng = np.random.default_rng(seed)
    params = _step.params(**given, n_repeats=n_repeats, seed=seed)
    if n_cells is not None:
        membership = _all_cells(target) if groupby is None else resolve_groups(target, groupby)
        target.obsm[key_added] = _drawn(membership, n_cells, n_repeats, rng)
        names = _repeated(membership.groups, n_repeats)
        target.uns[key_added] = names | {_keys.PARAMS: params | {"groupby": groupby}}
    else:
        sites = tracks(target, key=key, layer=_keys.CUT_SITES)
        names = _repeated(sites.groups, n_repeats)
        thinned = _thinned(sites, names["groups"], _shares(sites, n_fragments, fraction), n_repeats, rng)
        target.uns[key_added] = names | _slot(thinned, target.uns[key], n_repeats, params | {"key": key})
    return result if copy else None


def _all_cells(adata: AnnData) -> Membership:
    cells = np.arange(adata.n_obs)
    matrix = membership_matrix(cells, np.zeros_like(cells), (adata.n_obs, 1))
    return Membership(np.array(["all"], dtype=object), matrix)


def _drawn(membership: Membership, n_cells: int, n_repeats: int, rng: np.random.Generator) -> Any:
    """Return the membership of `n_repeats` draws of every group."""
    columns = membership.matrix.tocsc()
    small = membership.groups[membership.n_cells < n_cells]
    if len(small):
        msg = (
            f"{len(small)} group(s) have fewer than n_cells={n_cells} cells and are taken whole, such as {small[0]!r}."
        )
        warnings.warn(msg, UserWarning, stacklevel=3)
    draws = [
        rng.choice(members, min(n_cells, len(members)), replace=False)
        for members in np.split(columns.indices, columns.indptr[1:-1])
        for _ in range(n_repeats)
    ]
    groups = np.repeat(np.arange(len(draws)), [len(draw) for draw in draws])
    return membership_matrix(np.concatenate(draws), groups, (columns.shape[0], len(draws)))


def _repeated(groups: np.ndarray, n_repeats: int) -> dict[str, np.ndarray]:
    """Name the draws."""
    source, repeat = np.repeat(groups, n_repeats), np.tile(np.arange(1, n_repeats + 1), len(groups))
    names = source
    if n_repeats > 1:
        names = np.array([f"{g} #{i}" for g, i in zip(source, repeat, strict=True)], dtype=object)
    return {"groups": names, "source_group": source, "repeat": repeat}


def _shares(sites: Tracks, n_fragments: int | None, fraction: float | None) -> np.ndarray:
    """Return the probability with which the cut sites of each group are kept."""
    if fraction is not None:
        return np.full(len(sites.groups), float(fraction))
    total = nuclear_sums(sites)
    small = sites.groups[total < 2 * n_fragments]
    if len(small):
        msg = (
            f"{len(small)} group(s) have fewer than n_fragments={n_fragments} nuclear fragments and are kept whole, "
            f"such as {small[0]!r}."
        )
        warnings.warn(msg, UserWarning, stacklevel=3)
    return np.minimum(2 * n_fragments / np.maximum(total, 1), 1)


def _thinned(sites: Tracks, names: np.ndarray, share: np.ndarray, n_repeats: int, rng: np.random.Generator) -> Tracks:
    """Return `n_repeats` thinned versions of every group."""

    def thin() -> Iterator[tuple[str, list[Runs]]]:
        for chrom, runs in sites.chromosomes():
            out: list[Runs] = []
            for (starts, _, counts), kept_share in zip(runs, share, strict=True):
                for _ in range(n_repeats):
                    left = rng.binomial(counts, kept_share)
                    kept = left > 0
                    out.append((starts[kept], None, left[kept].astype(counts.dtype)))
            yield chrom, out

    return Tracks.from_chromosomes(names, sites.genome, thin())


def _slot(thinned: Tracks, source: dict[str, Any], n_repeats: int, params: dict[str, Any]) -> dict[str, Any]:
    """Return thinned cut sites in the form of the pseudobulk that they were drawn from."""
    digest = hashlib.sha256()
    for part in (thinned.indptr, thinned.starts, thinned.values):
        digest.update(part)
    return {
        _keys.CUT_SITES: thinned.to_dict(),
        "n_cells": np.repeat(np.asarray(source["n_cells"]), n_repeats),
        "n_fragments": np.rint(thinned.sums() / 2).astype(np.int64),
        _keys.PARAMS: dict(source[_keys.PARAMS]) | params | {"digest": digest.hexdigest()[:16]},
    }
