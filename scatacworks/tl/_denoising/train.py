"""Train a network on the user's own deep samples."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal

from scatacworks import _keys
from scatacworks._logging import logger
from scatacworks.tl._denoising import _samples

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from os import PathLike

    import numpy as np
    import pandas as pd
    from anndata import AnnData
    from mudata import MuData

    from scatacworks.models.base import Model
    from scatacworks.models.data import Sample
    from scatacworks.models.train import TrainResult
    from scatacworks.tracks import Tracks


def train(  # noqa: PLR0913 - data, split, recipe and hardware, all with defaults
    adata: AnnData | MuData | Tracks,
    *,
    noisy: AnnData | MuData | Tracks | None = None,
    groups: Sequence[str] | None = None,
    key: str = _keys.PSEUDOBULK,
    depth: float | Sequence[float] | None = None,
    noisy_depth: float | Sequence[float] | None = None,
    peaks: pd.DataFrame | None = None,
    regions: str | Sequence[str] | pd.DataFrame | PathLike[str] | None = None,
    validation: Sequence[str] | None = None,
    holdout: Sequence[str] | None = None,
    exclude: str | Sequence[str] | pd.DataFrame | PathLike[str] | None = None,
    model: str | PathLike[str] | Model = "BinnedUNet",
    recipe: Literal["default", "paper"] = "default",
    settings: Mapping[str, Any] | None = None,
    card: Mapping[str, Any] | None = None,
    out: str | PathLike[str] | None = None,
    resume: bool = False,
    seed: int = 0,
    accelerator: str = "auto",
    devices: int | str = 1,
    num_nodes: int = 1,
    precision: str = "32-true",
    tensorboard: bool = False,
    n_jobs: int | None = 1,
    progress: bool = True,
) -> TrainResult:
    """Train a network to turn shallow cut sites into the tracks and peaks of deep ones.

    Every group of `adata` is a deep sample. Shallow versions are made while training, by keeping each cut site with
    the probability that gives a depth drawn at random, so that one sample serves all depths; real shallow tracks can be
    given beside. Peaks are called from the deep track by the paper's rule where none are given. Whole chromosomes are
    held back for validation and as a hold-out, for :func:`~scatacworks.tl.evaluate`.

    Parameters
    ----------
    adata
        Cells after :func:`~scatacworks.pp.pseudobulk`, or tracks of cut sites.
    noisy
        Real shallow versions of the same groups.
    groups
        Groups to train on; all by default.
    key
        Slot of `.uns` with the cut sites.
    depth, noisy_depth
        Cut sites per 3.1e9 bp of territory of the groups of `adata` and `noisy`; measured when `None`.
    peaks
        True peaks with columns ``chrom``, ``start``, ``end`` (0-based, half-open) and, where they differ between
        groups, ``group``.
    regions
        Where to train and validate; the whole genome by default. Give the windows of a file that holds no others.
    validation, holdout
        Chromosomes or regions for validation, and to be left alone; by default chr20 (mouse: chr11) and chr10 as in
        the paper :cite:p:`Lal2021`.
    exclude
        Regions that take no part in the loss, such as a blacklist.
    model
        Architecture (``"BinnedUNet"``, ``"ResNet"``, ``"UNet"``, ``"Linear"``, ``"Gaussian"``), or a model or its path
        to start from.
    recipe, settings
        Named recipe and changes to it, such as ``{"steps": 3000}``; see
        :class:`~scatacworks.models.train.TrainConfig`. The ``"paper"`` recipe runs 25 passes over the data.
    card
        Entries for the model's card: ``data``, ``licence``, ``genome``, ``limits``…
    out
        Folder for the checkpoint, the history and the model.
    resume
        Continue an interrupted run in `out`.
    seed
        Seed of the initial weights and of all draws.
    accelerator, devices, num_nodes, precision, tensorboard, n_jobs, progress
        See :func:`scatacworks.models.train.fit`.

    Returns
    -------
    ``model``, ``history`` (one row per epoch, for :func:`~scatacworks.pl.training`) and ``stopped``.

    Raises
    ------
    ValueError
        If nothing is left to train or validate on, a sample has no peak, or noisy tracks are deeper than clean ones.
    KeyError
        If a group is missing.

    Examples
    --------
    >>> import scatacworks as sca
    >>> adata = sca.datasets.pbmc_windows()
    >>> sca.pp.pseudobulk(adata, "cell_type", progress=False)
    >>> result = sca.tl.train(
    ...     adata, groups=["CD14+ Monocytes"], validation=["chr11"], model="Linear", progress=False,
    ...     settings={"steps": 2, "epochs": 1, "core_bp": 4096, "warmup": 0},
    ... )  # doctest: +SKIP
    """
    from scatacworks.models import train as training

    clean = _samples.cut_sites_of(adata, key)
    where = _samples.split(clean.genome, regions, validation, holdout)
    pairs = {"depth": _samples.depths_of(adata, key, depth), "groups": list(clean.groups if groups is None else groups)}
    pairs |= {"noisy": None if noisy is None else _samples.cut_sites_of(noisy, key)}
    pairs |= {"noisy_depth": None if noisy is None else _samples.depths_of(noisy, key, noisy_depth)}
    left_out = {} if exclude is None else _samples.intervals(exclude, clean.genome)
    if not where[0]:
        msg = "No region is left to train on; give regions=, or other validation= and holdout= chromosomes."
        raise ValueError(msg)
    train_on = _make(clean, where[0], left_out, peaks, pairs)
    validate_on = _make(clean, where[1], left_out, peaks, pairs) if where[1] else []
    if not validate_on:
        logger.warning("There is no validation region: the network is trained without being watched.")
    network = training.start(model, seed)
    changes = dict(settings or {})
    if recipe == "paper" and "steps" not in changes:
        changes["steps"] = _passes(train_on, 25, changes)
    config = training.recipe(recipe, **changes)
    network.card.update(_describe(config, where, card))
    options = {"accelerator": accelerator, "devices": devices, "num_nodes": num_nodes, "precision": precision}
    options |= {"tensorboard": tensorboard, "n_jobs": n_jobs, "progress": progress}
    return training.fit(network, train_on, validate_on, config=config, out=out, resume=resume, seed=seed, **options)


def _make(
    clean: Tracks, where: dict[str, np.ndarray], exclude: dict[str, np.ndarray], peaks: Any, pairs: dict[str, Any]
) -> list[Sample]:
    """One sample per group."""
    from scatacworks.models.data import Sample

    samples = []
    noisy = pairs["noisy"]
    for group in pairs["groups"]:
        shallow = None if noisy is None else float(pairs["noisy_depth"][noisy.group_code(group)])
        samples.append(
            Sample(
                clean,
                group,
                float(pairs["depth"][clean.group_code(group)]),
                where,
                exclude=exclude,
                peaks=_samples.peak_intervals(peaks, group, clean.genome),
                noisy=noisy,
                noisy_depth=shallow,
            )
        )
    return samples


def _passes(samples: list[Sample], n_passes: int, changes: Mapping[str, Any]) -> int:
    """Updates that go through the regions so many times."""
    core, batch = changes.get("core_bp", 50_000), changes.get("batch_size", 64)
    tiles = sum(-(-int(e - s) // core) for sample in samples for rows in sample.regions.values() for s, e in rows)
    return n_passes * max(tiles // batch, 1)


def _describe(config: Any, where: tuple[dict, dict], card: Mapping[str, Any] | None) -> dict[str, Any]:
    """Card entries that follow from the run."""
    names = [", ".join(f"{c}:{s}-{e}" for c, rows in part.items() for s, e in rows[:3]) for part in where]
    made = {
        "name": "own",
        "depth_range": list(config.draw.depth_range),
        "data": "trained by the user with tl.train",
        "split": f"train {names[0]}; validation {names[1] or 'none'}",
    }
    return made | dict(card or {})
