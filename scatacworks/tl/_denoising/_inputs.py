"""Arguments of denoising, in the forms a user has them."""

from __future__ import annotations

import warnings
from os import PathLike
from typing import TYPE_CHECKING, Any

import numpy as np

from scatacworks import _keys
from scatacworks._arguments import one_of, real
from scatacworks._depth import depths as measured_depths
from scatacworks._depth import given_depths
from scatacworks._groups import group_name
from scatacworks._logging import logger
from scatacworks._membership import column_groups, groupby_of
from scatacworks._text import listed
from scatacworks.get import tracks as get_tracks

if TYPE_CHECKING:
    from collections.abc import Mapping

    from anndata import AnnData

    from scatacworks.models.base import Model
    from scatacworks.tracks import Tracks


def resolve_model(model: str | PathLike[str] | Model) -> tuple[Model, str]:
    """Return a network with weights and its name."""
    from scatacworks import models
    from scatacworks.models.base import Model as Base

    if isinstance(model, str | PathLike):
        network = models.load(model)
        return network, str(model) if network.card["name"] in ("", "unnamed") else str(network.card["name"])
    if not isinstance(model, Base):
        msg = f"model is a {type(model).__name__}; expected a bundled model's name, a path or a scatacworks model"
        msg += "; give its model." if hasattr(model, "model") else "."
        raise TypeError(msg)
    if model.needs_training and model.n_parameters and not model.card.get("data"):
        msg = (
            "The model's card names no training data, so its weights may be random. Load one with models.load, train "
            'one with tl.train, or state in model.card["data"] what it was trained on.'
        )
        raise ValueError(msg)
    return model, str(model.card["name"])


def check_convention(model: Model, params: Mapping[str, Any], key: str) -> None:
    """Refuse cut sites placed otherwise than in training where the network resolves that (two bases at most)."""
    ours, theirs = str(params.get("convention", "")), str(model.card["convention"])
    if not ours or ours == theirs:
        return
    if model.bin_size == 1:
        msg = (
            f'.uns[{key!r}] holds cut sites of the convention "{ours}", but the model {model.card["name"]!r} was '
            f'trained on "{theirs}". Run pp.pseudobulk(..., convention="{theirs}") for it.'
        )
        raise ValueError(msg)
    logger.info(
        'Cut sites are "%s", the model\'s "%s": at most 2 bp apart in bins of %d.', ours, theirs, model.bin_size
    )


def resolve_depth(adata: AnnData, key: str, cut_sites: Tracks, depth: Any) -> np.ndarray:
    """Return cut sites per 3.1e9 bp of every group; float64."""
    if depth is not None:
        return given_depths(depth, cut_sites)
    everything = get_tracks(adata, key=key, layer=_keys.CUT_SITES)
    return measured_depths(adata, key)[[everything.group_code(name) for name in cut_sites.groups]]


def resolve_depth_of_all(adata: AnnData, key: str, everything: Tracks, groups: np.ndarray, depth: Any) -> np.ndarray:
    """Return the depth of all groups, where `depth` may be stated for `groups` only; the others' are measured."""
    if hasattr(depth, "keys"):
        stated = {group_name(name): value for name, value in depth.items()}
    elif np.ndim(depth):
        stated = dict(zip(groups, depth, strict=True))
    else:
        return resolve_depth(adata, key, everything, depth)
    measured = dict(zip(everything.groups, measured_depths(adata, key), strict=True))
    return given_depths(measured | stated, everything)


def warn_about(model: Model, cut_sites: Tracks, depths: np.ndarray) -> None:
    """Name the groups that have no cut sites, or fewer than the model was trained on."""
    empty = cut_sites.sums() == 0
    if empty.any():
        told = "" if model.extra_channels else ", and constant tracks"
        msg = f"Without cut sites{told}: {listed(cut_sites.groups[empty])}."
        warnings.warn(msg, UserWarning, stacklevel=3)
    low, high = model.card["depth_range"]
    shallow = ~empty & (depths < low)
    if shallow.any():
        msg = (
            f"Groups with fewer cut sites than the model was trained on, {low:,.0f} per 3.1e9 bp (the least has "
            f"{depths[shallow].min():,.0f}): {listed(cut_sites.groups[shallow])}."
        )
        warnings.warn(msg, UserWarning, stacklevel=3)
    deep = depths > high
    if deep.any():
        names = listed(cut_sites.groups[deep])
        logger.info("Deeper than the model's training and scaled down to its %.0f M cut sites: %s.", high / 1e6, names)


def warn_if_other_cells(adata: AnnData, key: str) -> None:
    """Say so where a group has more cells now than were counted; fewer are usual, in a selection of the cells."""
    groupby, slot = groupby_of(adata, key), adata.uns[key]
    if groupby not in adata.obs or "n_cells" not in slot:
        return
    codes, names = column_groups(adata.obs[groupby].astype("category"))
    now = dict(zip(names, np.bincount(codes[codes >= 0], minlength=len(names)), strict=True))
    counted = dict(zip(np.atleast_1d(slot["groups"]), np.atleast_1d(slot["n_cells"]), strict=True))
    more = [f"{name!r} ({n:,}, now {now[name]:,})" for name, n in counted.items() if now.get(name, 0) > n]
    if more:
        msg = (
            f".uns[{key!r}] was counted before there were as many cells in .obs[{groupby!r}], as where anndata.concat "
            f"keeps the first object's (uns_merge=): {listed(more)}. Run pp.pseudobulk again."
        )
        warnings.warn(msg, UserWarning, stacklevel=3)


def warn_if_untouched(model: Model, cut_sites: Tracks, regions: Mapping[int, np.ndarray] | None) -> None:
    """Say so where no group has a cut site in any of the regions, `(n, 2)` by chromosome code."""
    if not regions or cut_sites.n_runs == 0 or any(_touch(cut_sites, *item) for item in regions.items()):
        return
    told = "" if model.extra_channels else ", where all tracks are constant"
    msg = (
        f"No group has a cut site within regions={told}. Does the file of fragments cover them, and is it of the same "
        "assembly?"
    )
    warnings.warn(msg, UserWarning, stacklevel=3)


def _touch(cut_sites: Tracks, chrom: int, spans: np.ndarray) -> bool:
    """Tell whether any group has a cut site in one of the sorted intervals of a chromosome."""
    every = (cut_sites.runs(group, chrom)[0] for group in range(len(cut_sites.groups)))
    return any((np.searchsorted(starts, spans[:, 0]) < np.searchsorted(starts, spans[:, 1])).any() for starts in every)


def resolve_scale(model: Model, target_depth: float | str | None, depths: np.ndarray) -> np.ndarray:
    """Return the factor from the model's depth to the one asked for, per group."""
    from scatacworks.models.predict import output_scale

    if target_depth is not None and model.card["signal"] != "coverage":
        msg = (
            f"The model {model.card['name']!r} predicts a signal in the unit of the target that it was trained on, "
            "which no depth scales; leave out target_depth."
        )
        raise ValueError(msg)
    if isinstance(target_depth, str):
        if target_depth != "input":
            msg = f'target_depth={target_depth!r} is unknown; expected a number, "input" or None.'
            raise ValueError(msg)
        return output_scale(model, depths, len(depths))
    if target_depth is not None and not 0 < real(target_depth, "target_depth") < np.inf:
        msg = f"target_depth is {target_depth}; expected a positive number of cut sites per 3.1e9 bp."
        raise ValueError(msg)
    return output_scale(model, target_depth, len(depths))


def is_half(precision: str) -> bool:
    return one_of(precision, "precision", ("float32", "bfloat16")) == "bfloat16"
