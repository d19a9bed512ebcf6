"""Train a network on the user's own deep samples."""

from __future__ import annotations

import warnings
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from scatacworks import _keys
from scatacworks._anndata import atac
from scatacworks._arguments import whole
from scatacworks._groups import chosen_groups
from scatacworks._logging import logger
from scatacworks._text import listed
from scatacworks.models._extra import in_order
from scatacworks.models.data import Sample
from scatacworks.tl._denoising import _extra, _samples
from scatacworks.tl._denoising._bigwigs import open_pair, present
from scatacworks.tl._denoising._cells import check_same, choose_unit, read_cells

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from os import PathLike

    import pandas as pd
    from anndata import AnnData
    from lightning.pytorch.callbacks import Callback
    from lightning.pytorch.loggers import Logger
    from mudata import MuData

    from scatacworks.genome import Genome
    from scatacworks.models.base import Model
    from scatacworks.models.data import Intervals
    from scatacworks.models.train import TrainConfig, TrainResult
    from scatacworks.tracks import Tracks

    Files = str | PathLike[str] | Mapping[str, str | PathLike[str]]

_SHOWN = 100  # regions of a split that a card names


def train(  # noqa: PLR0913 - data, split, recipe and hardware, all with defaults
    adata: AnnData | MuData | Tracks | Files,
    *,
    noisy: AnnData | MuData | Tracks | Files | None = None,
    bigwig: Literal["coverage", "cut_sites"] = "coverage",
    draw: Literal["sites", "fragments", "cells"] | None = None,
    n_cells: int | Sequence[int] | None = None,
    groups: Sequence[str] | None = None,
    key: str = _keys.PSEUDOBULK,
    depth: float | Sequence[float] | Mapping[str, float] | None = None,
    noisy_depth: float | Sequence[float] | Mapping[str, float] | None = None,
    peaks: pd.DataFrame | str | PathLike[str] | None = None,
    target: Tracks | Files | None = None,
    extra: Mapping[str, Any] | None = None,
    regions: str | Sequence[str] | pd.DataFrame | PathLike[str] | None = None,
    validation: str | Sequence[str] | pd.DataFrame | PathLike[str] | None = None,
    holdout: str | Sequence[str] | pd.DataFrame | PathLike[str] | None = None,
    exclude: str | Sequence[str] | pd.DataFrame | PathLike[str] | None = None,
    model: str | PathLike[str] | Model = "BinnedUNet",
    recipe: Literal["default", "paper"] = "default",
    settings: Mapping[str, Any] | None = None,
    card: Mapping[str, Any] | None = None,
    out: str | PathLike[str] | None = None,
    resume: bool = False,
    overwrite: bool = False,
    seed: int = 0,
    accelerator: str = "auto",
    devices: int | str = 1,
    num_nodes: int = 1,
    precision: str = "32-true",
    tensorboard: bool = False,
    callbacks: Sequence[Callback] | Callback | None = None,
    loggers: Sequence[Logger] | Logger | None = None,
    n_jobs: int | None = 1,
    progress: bool = True,
) -> TrainResult:
    """Train a network to turn shallow cut sites into the tracks and peaks of deep ones.

    Every group of `adata` is a deep sample. Shallow versions are made while training, so that one sample serves all
    depths: each fragment (or cut site, where fragments are not known) is kept with the probability that gives a depth
    drawn at random, or a number of cells is drawn anew for every crop. Real shallow tracks can be given beside. Peaks
    are called from the deep track by the paper's rule where none are given. Whole chromosomes are held back for
    validation and as a hold-out, for :func:`~scatacworks.tl.evaluate`.

    Parameters
    ----------
    adata
        Cells after :func:`~scatacworks.pp.pseudobulk`; tracks of cut sites; or bigWig files: one, a folder of them, or
        group -> file.
    noisy
        Real shallow versions of the same groups, in any of these forms; or worse ones of about the same depth.
    bigwig
        What bigWig files hold: ``"coverage"`` of cut sites extended to either side by as much as the model's card says
        (100 bp), not normalised, from which the cut sites are recovered exactly; or counts of ``"cut_sites"``.
    draw
        What is kept or dropped as a whole in shallow versions: ``"sites"``; ``"fragments"``, that is both cut sites of
        each, as in real data; or ``"cells"``, as many as make up a depth. By default fragments where `adata` still
        knows its fragment files (or holds them), else sites.
    n_cells
        Draw so many cells, or for every crop one of these numbers at random, such as ``[1, 5, 10, 50]``, instead of
        depths; at most half of a group's cells. Validation then scores each number, as ``auprc_50 cells``.
    groups
        Groups to train on; all by default.
    key
        Slot of `.uns` with the cut sites.
    depth, noisy_depth
        Cut sites per 3.1e9 bp of territory of the groups of `adata` and `noisy`: one number, one per group, or a
        mapping; measured when `None`.
    peaks
        True peaks with columns ``chrom``, ``start``, ``end`` (0-based, half-open) and, where they differ between
        groups, ``group``; or a BED or narrowPeak file, or a folder of them named by the groups.
    target
        Signal to predict in place of the groups' own deep coverage, such as ChIP-seq of the same cells: tracks, or
        bigWig files (one, a folder of them, or group -> file), of one group for all or with every group. It is learned
        in its own unit, at every depth of the cut sites; needs `peaks`, of the same experiment. The recipes weigh it as
        they weigh coverage: heights of 10 to 100 in the peaks suit them.
    extra
        Extra input channels: name -> where it is 1 and elsewhere 0 (regions in any form that `regions` has, such as a
        BED file of the matches of a motif on one strand, a table or a key of `.uns` with one), or its value at every
        base (tracks, in which NaN counts as 0, or bigWig files as of `target`; bring them to the order of 1).
        :func:`~scatacworks.tl.denoise` wants the same names again.
    regions
        Where to train and validate; by default the nuclear genome, or of a file that was cut to windows of it the
        stretches that hold cut sites of any group, with a warning.
    validation, holdout
        Regions in any form that `regions` has, for validation, and to be left alone; by default chr20 (mouse: chr11)
        and chr10 as in the paper :cite:p:`Lal2021`, where the genome has them. For other species name your own; `[]`
        for none.
    exclude
        Regions that take no part in the loss, such as a blacklist.
    model
        Architecture (``"BinnedUNet"``, ``"ResNet"``, ``"UNet"``, ``"Linear"``, ``"Gaussian"``), or a model, which is
        changed, or the name or path of one to start from. One with a guide is copied without it; the card's licence is
        kept.
    recipe, settings
        Named recipe and changes to it, such as ``{"steps": 3000, "flip": False}``: fields of
        :class:`~scatacworks.models.train.TrainConfig` and of :class:`~scatacworks.models.data.DrawRules`. The
        ``"paper"`` recipe runs 25 passes over the data.
    card
        Entries for the model's card: ``data``, ``licence``, ``genome``, ``limits``… Its ``split`` and the ``metrics``
        of the validation are filled in.
    out
        Folder for the checkpoint, the history and the model; one with an earlier run is refused.
    resume
        Go on with the run in `out` that was stopped, or start one where there is none. Groups, regions, cut sites,
        architecture, recipe and seed must be the same again.
    overwrite
        Delete the earlier run in `out`, finished or not, and start anew. Other files there stay.
    seed
        Seed of all draws, and of the initial weights of an architecture given by its name.
    accelerator, devices, num_nodes, precision, tensorboard, callbacks, loggers, n_jobs, progress
        See :func:`scatacworks.models.train.fit`.

    Returns
    -------
    ``model``, ``history`` (one row per epoch, for :func:`~scatacworks.pl.training`), ``stopped`` (why, or `None`),
    ``steps`` (updates made) and ``path`` (`out`).

    Raises
    ------
    TypeError
        If `settings`, `card` or `extra` is no dict, a callback or logger is none of Lightning's, or `target` holds no
        values per base.
    ValueError
        If nothing is left to train on, a sample has no peak, `target` comes without `peaks`, is negative or NaN
        somewhere or has no value on a chromosome, the network cannot read the `extra` channels or they hold infinite
        values, noisy tracks are more than 1.5 times as deep as the clean ones, the same or on another genome, a bigWig
        file holds NaN or lacks a chromosome of `regions`, cells are to be drawn without any, or the run to `resume`
        differs, with what it differs in.
    KeyError
        If a group is missing.
    FileExistsError
        If `out` holds an earlier run and neither `resume` nor `overwrite` is given.
    NotADirectoryError, PermissionError
        If `out` is a file, or cannot be written to.

    Warns
    -----
    UserWarning
        If the regions hold fewer crops than one batch, a channel of `extra` has no value on a whole chromosome, or
        chromosomes that a bigWig file lacks or, without `regions`,
        places without any cut sites around windows with many are left out.

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

    _check_settings(settings, card)
    taking_part = training.plugins(callbacks, loggers)
    training.check_folder(out, resume=resume, overwrite=overwrite)
    network = training.start(model, seed, extra_channels=_extra.channel_names(extra))
    bar = {"n_jobs": n_jobs, "progress": progress}
    adata, noisy, unsolved, absent = open_pair(
        adata, noisy, key, kind=bigwig, extend=int(network.card["extension"]), **bar
    )
    clean = _samples.cut_sites_of(adata, key)
    names = chosen_groups(groups, clean.groups)
    where = _samples.split(clean.genome, present(regions, adata, key, absent), validation, holdout)
    _require_validation(clean, names, where[1])
    given = [] if n_cells is None else [n_cells] if np.ndim(n_cells) == 0 else n_cells
    numbers = [whole(n, "n_cells") for n in given]
    unit = choose_unit(adata, key, draw, numbers)

    depths, noisy_sites, noisy_depths = _samples.depths_of(adata, key, names, depth), None, [None] * len(names)
    if noisy is not None:
        noisy_sites = _samples.cut_sites_of(noisy, key)
        _samples.require_groups(noisy_sites, names, "noisy=")
        noisy_depths = _samples.depths_of(noisy, key, names, noisy_depth, "noisy_depth").tolist()
    peaks = None if peaks is None else _samples.peak_table(peaks, clean.genome)
    reader = _extra.Reader(names, clean.genome, n_jobs, {} if adata is clean else atac(adata).uns)
    used = list(dict.fromkeys([*where[0], *where[1]]))
    channels = reader.channels(extra, used)
    in_order(channels, network)
    if target is not None:
        target = reader.target(target)
        _check_target(target, names, peaks, used)
    by_cell = {}
    if unit != "sites":  # what takes long comes last
        by_cell = read_cells(adata, key, names, used, **bar)
        for group, cells in by_cell.items():
            check_same(cells, clean, group, key)
    left_out = {} if exclude is None else _samples.intervals(exclude, clean.genome)
    shared = {"exclude": _samples.union(left_out, unsolved), "noisy": noisy_sites, "extra": channels, "target": target}

    def samples(regions: Intervals) -> list[Sample]:
        """One sample per group."""
        found = []
        for group, deep, shallow in zip(names, depths.tolist(), noisy_depths, strict=True):
            own = {"peaks": _samples.peak_intervals(peaks, group, clean.genome), "cells": by_cell.get(group)}
            found.append(Sample(clean, group, deep, regions, noisy_depth=shallow, **own, **shared))
        return found

    train_on = samples(where[0])
    validate_on = samples(where[1]) if where[1] else []
    if not validate_on:
        _say_unwatched(validation, clean.genome)

    config = _configure(recipe, {"unit": unit, "n_cells": numbers} | dict(settings or {}), train_on)
    _warn_if_few(_n_crops(train_on, config.draw.core_bp), config)
    described = _describe(network, config, where, train_on)
    described |= {"genome": clean.genome.name, "signal": "coverage" if target is None else "target"}
    network.card.update(described | dict(card or {}))
    options = {"accelerator": accelerator, "devices": devices, "num_nodes": num_nodes, "precision": precision}
    options |= {"tensorboard": tensorboard, **taking_part, **bar}
    options |= {"out": out, "resume": resume, "overwrite": overwrite, "seed": seed}
    return training.fit(network, train_on, validate_on, config=config, **options)


def _check_settings(settings: Any, card: Any) -> None:
    """Refuse what is no dict, and settings that have an argument of their own."""
    for name, given in (("settings", settings), ("card", card)):
        if given is not None and not hasattr(given, "keys"):
            msg = f"{name} is {given!r}; expected a dict, such as {{'steps': 2000}} of settings."
            raise TypeError(msg)
    taken = sorted({"unit", "n_cells"} & set(settings or {}))
    if taken:
        msg = f"settings has {taken[0]!r}; give draw= and n_cells= to tl.train instead."
        raise ValueError(msg)


def _say_unwatched(validation: Any, genome: Genome) -> None:
    """Refuse a validation of which nothing is left, or say that there is none."""
    if validation is not None and not _samples.is_none(validation):
        msg = (
            f"Nothing of validation={validation!r} is left: it lies in holdout=, outside regions= or where there "
            "are no cut sites."
        )
        raise ValueError(msg)
    why, usual = "", _samples.usual_validation(genome)
    if validation is None:
        lacking = f"{genome.name!r} has neither chr20 nor chr11"
        why = f", as {lacking if not usual else f'{usual[0]} is not in regions= or has no cut sites'}"
    logger.warning(
        "There is no validation region%s: the network is trained without being watched. validation= names some.", why
    )


def _require_validation(clean: Tracks, groups: Sequence[str], where: dict[str, np.ndarray]) -> None:
    """Refuse to watch the training where a group has nothing to be watched by."""
    for group in groups:
        if where and not any(len(clean.sites(group, c, s, e)[0]) for c, rows in where.items() for s, e in rows):
            msg = (
                f"The group {group!r} has no cut site in {listed(where)}, which the network would be validated on. "
                "Name chromosomes or regions that hold some by validation=, or none by validation=[]."
            )
            raise ValueError(msg)


def _check_target(target: Tracks, groups: Sequence[str], peaks: Any, chroms: Sequence[str]) -> None:
    """Refuse a signal without peaks, or that is none or not known on a chromosome that is trained or validated on."""
    if peaks is None:
        msg = "target= needs peaks=: those of the signal that is predicted; only the groups' own can be called."
        raise ValueError(msg)
    for group in groups if len(target.groups) > 1 else target.groups:
        absent = []
        for chrom in chroms:
            values = np.append(target.runs(group, chrom)[2], target.fill[target.group_code(group)])
            if not (values >= 0).all():
                msg = (
                    f"target is {values[~(values >= 0)][0]:g} somewhere on {chrom}; expected a signal that is known "
                    "and not negative, such as coverage or fold enrichment, and no logarithm. Write 0 there, and leave "
                    "out what is unknown by exclude=."
                )
                raise ValueError(msg)
            absent += [] if values.any() else [chrom]
        if absent:
            msg = f"target has no value on {listed(absent)}; leave that out by regions=, or give a complete file."
            raise ValueError(msg)


def _configure(name: str, changes: dict[str, Any], samples: list[Sample]) -> TrainConfig:
    """A recipe with changes; the paper's has its passes over the data, however many steps they are."""
    from scatacworks.models.train import recipe

    if name == "paper" and "steps" not in changes:
        paper = recipe(name)
        n_crops = _n_crops(samples, int(changes.get("core_bp", paper.draw.core_bp)))
        n_batches = max(n_crops // int(changes.get("batch_size", paper.batch_size)), 1)
        changes |= {"steps": paper.epochs * n_batches}
    return recipe(name, **changes)


def _n_crops(samples: list[Sample], core: int) -> int:
    """Crops that tile the regions."""
    return sum(-(-int(e - s) // core) for sample in samples for rows in sample.regions.values() for s, e in rows)


def _warn_if_few(n_crops: int, config: TrainConfig) -> None:
    """Say so where there is hardly anything to train on."""
    if n_crops < config.batch_size:
        msg = (
            f"The regions to train on hold only {n_crops} crops of {config.draw.core_bp:,} bp, fewer than one batch "
            f"({config.batch_size}); the network will learn them by heart. Give more regions or groups."
        )
        warnings.warn(msg, UserWarning, stacklevel=3)


def _depth_range(config: TrainConfig, samples: list[Sample]) -> list[float]:
    """Depths of the shallow versions: those drawn, or those of the numbers of cells."""
    numbers = config.draw.n_cells
    if not numbers:
        return list(config.draw.depth_range)
    of_a_cell = [sample.depth / sample.cells.n_cells for sample in samples]
    return [min(of_a_cell) * min(numbers), max(of_a_cell) * max(numbers)]


def _describe(
    network: Model, config: TrainConfig, where: tuple[Intervals, Intervals, Intervals], samples: list[Sample]
) -> dict[str, Any]:
    """Card entries that follow from the run, in place of what was said of the weights that it starts from."""
    names = [
        listed((f"{chrom}:{start}-{end}" for chrom, rows in part.items() for start, end in rows), _SHOWN)
        for part in where
    ]
    before = network.card
    origin = f", from the weights of {before['name']} (version {before['version']})" if before["data"] else ""
    return {
        "name": "own",
        "version": "1",
        "depth_range": _depth_range(config, samples),
        "data": f"trained by the user with tl.train{origin}",
        "split": f"train {names[0]}; validation {names[1]}; hold-out {names[2]}",
        "limits": "",
    }
