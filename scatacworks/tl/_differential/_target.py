"""The tested group: its denoised track, checked against the background and brought to its scale."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from scatacworks import _keys
from scatacworks._anndata import params_of
from scatacworks._core.differential import z_scores
from scatacworks._core.runs import encode
from scatacworks._membership import groupby_of, has_groups, resolve_groups
from scatacworks.get import tracks as get_tracks
from scatacworks.tracks import Tracks

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from anndata import AnnData

    from scatacworks.tl._differential._store import Background

_READ_BP = 16_000_000  # bases of short regions whose background is read at once
Z_STEP, Z_SMALLEST, Z_LIMIT = 0.25, 1.0, 100.0
_CHECKED = {
    "model_hash": "model",
    "precision": "precision",
    "extension": "extension",
    "genome": "genome",
    "excluded": "excluded regions",
}


class Stretch(NamedTuple):
    """One contiguous region with its background and the target's normalised signal, all per base."""

    chrom: str
    start: int
    end: int
    mean: np.ndarray
    sd: np.ndarray
    signal: np.ndarray

    @property
    def z(self) -> np.ndarray:
        """Standard score per base; float64."""
        return z_scores(self.signal, self.mean, self.sd)


@dataclass
class Target:
    """Denoised signal of the tested group.

    Attributes
    ----------
    tracks, group
        Where it is.
    scale
        Factor that gives it the background's total over the regions.
    """

    tracks: Tracks
    group: str
    scale: float = 1.0

    def values(self, chrom: str, start: int, end: int) -> np.ndarray:
        """Return the normalised signal per base; float64."""
        return self.tracks.window(self.group, chrom, start, end).astype(np.float64) * self.scale


def open_target(adata: AnnData, key: str, group: str, background: Background) -> Target:
    """Return the tested group, normalised.

    Raises
    ------
    KeyError
        If there are no denoised tracks under the key, or no such group.
    ValueError
        If model, extension, genome, excluded regions or prior differ from the background's, the track weighs the prior
        by group, or it does not cover the background's regions; or if the group holds all cells.
    """
    tracks = get_tracks(adata, key=key, layer=_keys.SIGNAL)
    tracks.group_code(group)
    cells = target_cells(adata, key, group)
    if cells is not None and cells.all():
        msg = f"The group {group!r} holds all {len(cells):,} cells; there are no others to compare it with."
        raise ValueError(msg)
    check_provenance(params_of(adata, key), background, tracks, key)
    target = Target(tracks, group)
    total = sum(_total(target, *place, key) for place in _places(background))
    if total <= 0:
        msg = f"The group {group!r} has no signal anywhere in the regions; nothing can be compared."
        raise ValueError(msg)
    target.scale = float(background.total.mean()) / total
    return target


def _places(background: Background) -> Iterator[tuple[str, int, int]]:
    """Return chromosome, start and end of the regions."""
    columns = (background.regions[name] for name in ("chrom", "start", "end"))
    return zip(*(column.tolist() for column in columns), strict=True)


def _total(target: Target, chrom: str, start: int, end: int, key: str) -> float:
    """Return the sum of the signal in a region."""
    values = target.values(chrom, start, end)
    if np.isnan(values).any():
        msg = (
            f"The denoised track of {target.group!r} in .uns[{key!r}] lacks bases of {chrom}:{start}-{end}, a "
            "region of the background. Denoise at least the background's regions."
        )
        raise ValueError(msg)
    return float(values.sum())


def target_cells(adata: AnnData, key: str, group: str) -> np.ndarray | None:
    """Return which cells make up the tested group, as far as the denoised tracks tell; bool, `(n_cells,)`."""
    groupby = groupby_of(adata, key)
    if not has_groups(adata, groupby):
        return None
    membership = resolve_groups(adata, groupby, tell_missing=False)
    if group not in membership.groups:
        return None
    return np.asarray(membership.matrix[:, membership.groups == group].sum(axis=1)).ravel() > 0


def check_provenance(params: Mapping, background: Background, tracks: Tracks, key: str) -> None:
    """Refuse tracks made otherwise than the background."""
    for name, what in _CHECKED.items():
        ours, theirs = str(params.get(name, "")), str(background.params.get(name, ""))
        if ours and theirs and ours != theirs:
            msg = (
                f"The tracks in .uns[{key!r}] were made with the {what} {ours!r}, the background with {theirs!r}; "
                "they cannot be compared. Make both with the same."
            )
            raise ValueError(msg)
    _check_same_prior(params, background.params, key)
    check_equal_weights(params, key)
    if tracks.genome != background.genome:
        msg = f"The tracks in .uns[{key!r}] lie on {tracks.genome!r}, the background on {background.genome!r}."
        raise ValueError(msg)


def _check_same_prior(params: Mapping, background: Mapping, key: str) -> None:
    """Refuse tracks that were guided by another prior than the background."""
    ours, theirs = ((kept.get("prior"), kept.get("prior_weight")) for kept in (params, background))
    if ours != theirs:
        said = [f"the prior {one[0]} (weight {one[1]:g})" if one[0] else "no prior" for one in (ours, theirs)]
        msg = (
            f"The tracks in .uns[{key!r}] were made with {said[0]}, the background with {said[1]}; differences "
            "between priors would look like differences between cells. Make both with the same."
        )
        raise ValueError(msg)


def check_equal_weights(params: Mapping, key: str) -> None:
    """Refuse tracks of which each group weighs the prior for itself."""
    if _keys.PRIOR in params and params.get("prior_match", True):
        msg = (
            f"The tracks in .uns[{key!r}] weigh the prior by how well it explains each group, which draws each towards "
            "its own kind. To compare groups, denoise with prior_match=False."
        )
        raise ValueError(msg)


def z_tracks(background: Background, target: Target) -> Tracks:
    """Return z per base as tracks of one group: in steps of 0.25, 0 below 1, at most 100 (to either side)."""
    parts: dict[int, list] = {}
    for stretch in stretches(background, target):
        z = stretch.z
        np.clip(z, -Z_LIMIT, Z_LIMIT, out=z)
        z /= Z_STEP
        np.round(z, out=z)
        z *= Z_STEP
        z[np.abs(z) < Z_SMALLEST] = 0.0
        code = background.genome.code(stretch.chrom)
        parts.setdefault(code, []).append(encode(z.astype(np.float32), stretch.start, 0.0))
    chromosomes = (
        (code, [tuple(np.concatenate([runs[i] for runs in found]) for i in range(3))])
        for code, found in sorted(parts.items())
    )
    return Tracks.from_chromosomes([target.group], background.genome, chromosomes, dtype=np.float32)


def stretches(background: Background, target: Target) -> Iterator[Stretch]:
    """Yield the regions of the background one after the other."""
    offsets = background.offsets
    places = list(_places(background))
    for part in np.split(np.arange(len(places)), np.flatnonzero(np.diff(offsets[:-1] // _READ_BP)) + 1):
        first, stop = offsets[[part[0], part[-1] + 1]]
        mean, sd = (np.asarray(values[first:stop]) for values in (background.mean, background.sd))
        for number in part.tolist():
            own = slice(offsets[number] - first, offsets[number + 1] - first)
            yield Stretch(*places[number], mean[own], sd[own], target.values(*places[number]))
