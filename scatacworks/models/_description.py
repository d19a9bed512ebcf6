"""What decides a training run, so that one that was stopped goes on with the same things only."""

from __future__ import annotations

import dataclasses
import functools
import hashlib
import json
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Iterable

    from scatacworks.models._recipes import TrainConfig
    from scatacworks.models.base import Model
    from scatacworks.models.data import Intervals, Sample
    from scatacworks.models.losses import Loss
    from scatacworks.tracks import Tracks

_LONGEST = 80  # characters of a value that is shown


def describe(
    model: Model, config: TrainConfig, data: tuple[list[Sample], list[Sample]], seed: int
) -> dict[str, dict[str, Any]]:
    """Return everything that must agree when a run is resumed, under the names that its user gave it by.

    Parameters
    ----------
    model
        The network; its weights are not looked at, since those of the stopped run take their place.
    config
        The recipe.
    data
        Samples to train and to validate on.
    seed
        Seed of all draws.

    Returns
    -------
    JSON-ready: ``"values"``, which are fit to be shown, and ``"digests"`` of the data.
    """
    settings = dataclasses.asdict(config) | {"loss": _named(config.loss)}
    values = {"architecture": model.architecture, **{f"the network's {k}": v for k, v in model.config_dict().items()}}
    values |= {"groups": [sample.name for sample in data[0]], "seed": seed, **settings.pop("draw"), **settings}
    both = [*data[0], *data[1]]
    noisy = [sample for sample in both if sample.noisy is not None]
    given = [sample for sample in both if sample.target is not None]
    digests = {
        "genome": _digest(sample.clean.genome.sizes for sample in both),
        "cut sites": _digest(part for s in both for part in _sites(s.clean, s)),
        "depth": _digest(sample.depth for sample in both),
        "noisy cut sites": _digest(part for s in noisy for part in _sites(s.noisy, s)),
        "noisy depth": _digest(sample.noisy_depth for sample in both),
        "numbers of cells": _digest(sample.cells and sample.cells.n_cells for sample in both),
        "target": _digest(part for s in given for part in _values(s.target, s)),
        "extra": _digest(part for s in both for name in s.extra for part in (name, *_values(s.extra[name], s))),
        "regions": _digest(part for sample in data[0] for part in _intervals(sample.regions)),
        "validation": _digest(part for sample in data[1] for part in _intervals(sample.regions)),
        "exclude": _digest(part for sample in both for part in _intervals(sample.exclude)),
        "peaks": _digest(part for sample in both for part in _intervals(sample.peaks)),
    }
    return json.loads(json.dumps({"values": values, "digests": digests}))


def differences(stored: dict[str, dict[str, Any]], now: dict[str, dict[str, Any]]) -> list[str]:
    """Name what two runs differ in, with the values where they are short."""
    found = []
    for part in ("values", "digests"):
        for name in dict.fromkeys([*now[part], *stored[part]]):
            before, after = (side[part].get(name) for side in (stored, now))
            if before != after:
                shown = f"{name} (then {before}, now {after})"
                found.append(shown if part == "values" and len(shown) <= _LONGEST else name)
    return found


def _named(loss: str | Loss) -> str:
    """Return the name of a loss, and what was bound to its arguments beforehand."""
    if isinstance(loss, str):
        return loss
    if isinstance(loss, functools.partial):
        bound = [*map(repr, loss.args), *(f"{name}={value!r}" for name, value in sorted(loss.keywords.items()))]
        return f"{_named(loss.func)}({', '.join(bound)})"
    return getattr(loss, "__qualname__", type(loss).__qualname__)


def _digest(parts: Iterable[Any]) -> str:
    """Hash of arrays and of whatever JSON can write."""
    total = hashlib.blake2b(digest_size=16)
    for part in parts:
        total.update(np.ascontiguousarray(part) if isinstance(part, np.ndarray) else json.dumps(part).encode())
    return total.hexdigest()


def _sites(tracks: Tracks, sample: Sample) -> Iterable[Any]:
    """Cut sites of a sample where it is used."""
    for chrom in sample.regions:
        positions, _, counts = tracks.runs(sample.group, chrom)
        yield from (chrom, positions, counts)


def _values(tracks: Tracks, sample: Sample) -> Iterable[Any]:
    """Runs of a sample's group, or of the only one, where it is used, and the value elsewhere."""
    own = 0 if len(tracks.groups) == 1 else tracks.group_code(sample.group)
    yield float(tracks.fill[own])
    for chrom in sample.regions:
        starts, lengths, values = tracks.runs(own, chrom)
        yield from (chrom, starts, values) if lengths is None else (chrom, starts, lengths, values)


def _intervals(found: Intervals) -> Iterable[Any]:
    for chrom, rows in found.items():
        yield from (chrom, np.asarray(rows, np.int64))
