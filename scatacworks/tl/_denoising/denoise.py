"""Denoised tracks and peak probabilities of groups of cells."""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from scatacworks import _keys, _step
from scatacworks._anndata import params_of
from scatacworks._arguments import flag
from scatacworks._groups import chosen_groups
from scatacworks._logging import logger
from scatacworks._regions import as_spans, nuclear_spans, spans_frame
from scatacworks.get import tracks as get_tracks
from scatacworks.models._extra import in_order
from scatacworks.prior import SELF, require_guide
from scatacworks.tl._denoising import _extra, _guidance, _inputs

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from os import PathLike
    from pathlib import Path

    import pandas as pd
    import torch
    from anndata import AnnData
    from mudata import MuData

    from scatacworks.models._predictor import Predictor
    from scatacworks.models._rounding import Rounding
    from scatacworks.models.base import Model
    from scatacworks.prior import Prior
    from scatacworks.tracks import Tracks


def denoise(  # noqa: PLR0913 - input, prior, rounding and hardware, all with defaults
    adata: AnnData | MuData,
    *,
    model: str | PathLike[str] | Model = "default",
    key: str = _keys.PSEUDOBULK,
    groups: Sequence[str] | None = None,
    regions: str | Sequence[str] | pd.DataFrame | PathLike[str] | None = None,
    depth: float | Sequence[float] | Mapping[str, float] | None = None,
    target_depth: float | Literal["input"] | None = None,
    prior: Prior | AnnData | pd.DataFrame | Mapping[str, Any] | str | PathLike[str] | None = None,
    prior_weight: float = 1.0,
    prior_match: bool = True,
    extra: Mapping[str, Any] | None = None,
    rounding: Rounding | None = None,
    precision: Literal["float32", "bfloat16"] = "float32",
    device: str | torch.device | None = None,
    batch_size: int | None = None,
    n_jobs: int | None = None,
    path: str | PathLike[str] | None = None,
    key_added: str = _keys.DENOISED,
    mod: str = "atac",
    progress: bool = True,
    copy: bool = False,
) -> AnnData | MuData | None:
    """Denoise the pseudobulk of every group to base-resolution coverage and peak probability.

    Cut sites are streamed through the network in windows with exactly the context it sees, so that the result does
    not depend on how the genome is cut and nothing is lost at the ends of chromosomes. What no cut site can reach is
    not computed: there the network's output is a constant, kept once per group as the tracks' `fill`. The input is
    scaled by its depth (AtacWorks :cite:p:`Lal2021` leaves that to the user). The signal of every group comes at one
    common depth, the model's, so that groups of few and of many cells can be laid side by side; `target_depth`
    changes that.

    Values are rounded to be stored as runs: the signal in equal steps of its square root, a fifth of a count's
    standard deviation, the probability in equal steps of its log odds that never cross 0.5.

    Parameters
    ----------
    adata
        Cells, `(n_cells, …)`, after :func:`~scatacworks.pp.pseudobulk`.
    model
        Name of a bundled model (:func:`~scatacworks.models.list_models`), path of a model file, or a trained model.
    key
        Slot of `.uns` with the cut sites.
    groups
        Groups to denoise, in this order; all by default.
    regions
        Limit the work to these: a region (`"chr1:1,000-2,000"`), a gene (and a quarter of it, at least 2 kb, to either
        side, as :func:`~scatacworks.pl.tracks` shows it), a list of them, a BED file, a DataFrame with the columns
        `chrom`, `start`, `end`, an AnnData that has them in `.var`, or a key of `.uns` such as `"peaks"`. Elsewhere the
        tracks are NaN. By default the nuclear genome: mitochondria and plastids, which have no nucleosomes and many
        copies, are computed only where named (`"chrM"`).
    depth
        Cut sites per 3.1e9 bp of territory of each group: one number, one per group, or a mapping. By default measured
        from the data, as with `prior="self"` for the groups that only guide and are not in the mapping. Groups deeper
        than the model's training are scaled down to its deepest, as the log says.
    target_depth
        Depth (same unit) that the signal is scaled to; `"input"` for each group's own. By default the model's.
    prior
        Where other samples are accessible: a :class:`~scatacworks.Prior`, or anything that
        :func:`~scatacworks.tl.prior` makes one of; or `"self"`, the peaks of all other groups of this object (without
        groups that share cells). It corrects signal and probability where there are cut sites within 8 kb, and nowhere
        else. By default none. Read "When not to use a prior" in the guide first.
    prior_weight
        How far the correction goes, 0 (unguided) to 1.
    prior_match
        Weigh the samples of the prior by how well they explain the cut sites of each group; otherwise all count the
        same, for every group, as :func:`~scatacworks.tl.background` needs it.
    extra
        What a model with extra channels (``model.extra_channels``) reads beside the cut sites: name of a channel -> as
        for :func:`~scatacworks.tl.train`. Nothing is skipped then, since a channel may reach where no cut site does.
        Of MuData, keys of tables are looked up in the modality's `.uns`.
    rounding
        Steps to store values in, a :class:`scatacworks.models.Rounding`.
    precision
        `"bfloat16"` is faster where the hardware has it, processors with AMX included; for what it changes see "Speed
        and memory". `"float32"` lets NVIDIA GPUs multiply in TF32 where PyTorch's own convolutions do
        (`torch.backends.cudnn.allow_tf32 = False` forbids it).
    device
        Torch device; by default a GPU where there is one, else the CPU.
    batch_size
        Windows per call of the network; by default chosen by device.
    n_jobs
        Threads; `None`: all cores, or `SCATACWORKS_NUM_THREADS`.
    path
        Write the tracks to a zarr store (a folder) and only its path to `.uns`; memory is then bounded by one
        chromosome. A run that was stopped goes on from its last finished unit when it is repeated, and one that is
        finished is not computed again. Processes that make the same call at the same time, on one machine with several
        GPUs or on a cluster, share the work; each returns when all of it is done. A store of another run that is there
        is replaced, with a warning in the log: choices of `groups` that are to be kept need a path each.
        `prior="self"` is made in memory, by every process for itself.
    key_added
        Slot of `.uns` to write.
    mod
        Modality to use where `adata` is a MuData.
    progress
        Show a progress bar with the rate and the time left.
    copy
        Return a changed copy rather than writing to `adata`.

    Returns
    -------
    `None`, or the changed copy. Sets:

    `.uns[key_added]["signal"]` : dict
        The form of a :class:`~scatacworks.Tracks`: expected coverage per base, float32; a cut site counts for its
        base and the model's extension to both sides. Of a model trained on another `target`, that signal.
    `.uns[key_added]["probability"]` : dict
        Likewise, the probability of the base lying in a peak, float32. With `path`, `.uns[key_added]["path"]` instead
        of both.
    `.uns[key_added]["probability_unguided"]` : dict
        Only with a prior: likewise, without it.
    `.uns[key_added]["prior"]` : dict
        Only with a prior, its form as :meth:`Prior.to_dict` gives it.
    `.uns[key_added]["params"]` : dict
        Model and its hash, depths, extension, convention, rounding, versions; the names of extra channels and a hash of
        their values; with a prior its hash, source and rows,
        and for every group the number of samples, their weights (mean 1) and the share of cut sites they explain.
    `.uns[key_added]["regions"]` : DataFrame
        Only with `regions`: `chrom`, `start`, `end` of what was computed.

    Raises
    ------
    KeyError
        If there is no pseudobulk under `key`, no such group, or `depth` lacks one.
    FileNotFoundError
        If there is no such model.
    ValueError
        If the model has no trained weights or does not fit the cut sites, or an argument is out of range; if `extra` is
        not what the model reads, or of another genome; if there is a prior and the model has no guide, the prior is of
        another genome, or no other group is left for `"self"`; if another slot shows the store at `path`, or
        unfinished work of another run waits there; if `.uns[key_added]` holds another kind of result.
    FileExistsError, NotADirectoryError, PermissionError
        If `path` holds something else, is a file or cannot be written to.

    Warns
    -----
    UserWarning
        If groups have no cut sites, fewer than the model was trained on, or more cells by now than were counted, or
        none has any within `regions`; if a channel of `extra` has no value on a whole chromosome; if a group seems to
        be in its own prior, by its name or because one sample explains it nearly alone; if a prior explains so little
        of the cut sites that it is not followed.

    Examples
    --------
    >>> import scatacworks as sca
    >>> adata = sca.datasets.pbmc_windows()
    >>> sca.pp.pseudobulk(adata, "cell_type", progress=False)
    >>> sca.tl.denoise(adata, groups=["pDCs"], regions="MS4A1", progress=False)
    >>> sca.get.track(adata, "pDCs", "MS4A1", key="denoised").dtype
    dtype('float32')
    """
    from scatacworks.models._predictor import Predictor
    from scatacworks.models.checkpoint import fingerprint

    result, target = _step.begin(adata, mod=mod, copy=copy)
    _step.claim(target, key_added, _keys.PROBABILITY, "lowest_probability")
    path = _step.free_store(target, path, key_added)
    network, name = _inputs.resolve_model(model)
    everything = get_tracks(target, key=key, layer=_keys.CUT_SITES)
    cut_sites = everything if groups is None else everything.select(chosen_groups(groups, everything.groups))
    _inputs.check_convention(network, params_of(target, key), key)
    depths = _inputs.resolve_depth(target, key, cut_sites, depth)
    _inputs.warn_about(network, cut_sites, depths)
    _inputs.warn_if_other_cells(target, key)
    wanted = None if regions is None else as_spans(regions, cut_sites.genome, uns=target.uns)
    _inputs.warn_if_untouched(network, cut_sites, wanted)
    how = {"device": device, "batch_size": batch_size, "n_jobs": n_jobs, "amp": _inputs.is_half(precision)}
    scale = _inputs.resolve_scale(network, target_depth, depths)
    guides_itself = isinstance(prior, str) and prior == SELF
    reader = _extra.Reader((everything if guides_itself else cut_sites).groups, cut_sites.genome, n_jobs, target.uns)
    computed = [cut_sites.genome.chroms[c] for c in (nuclear_spans(cut_sites.genome) if wanted is None else wanted)]
    channels = in_order(reader.channels(extra, computed), network)
    guidance = None
    if prior is not None:
        require_guide(network, prior_weight)
        options = {"strength": prior_weight, "match": flag(prior_match, "prior_match")}
        if guides_itself:
            depth_of_all = _inputs.resolve_depth_of_all(target, key, everything, cut_sites.groups, depth)
            more = {"depth": depth_of_all, "extra": channels, "progress": progress}
            others = _unguided(network, everything, wanted, how | more)
            guidance = _guidance.from_others(target, key, cut_sites.groups, others, **options)
        else:
            guidance = _guidance.external(prior, everything, cut_sites.groups, **options)
    what = {"regions": wanted, "guidance": guidance, "extra": channels}
    predictor = Predictor(network, cut_sites, depth=depths, rounding=rounding, **what, **how)
    params = {"key": key, "model": name, "model_hash": fingerprint(network)}
    params |= _describe(predictor, depths, scale, params_of(target, key))
    params |= {} if guidance is None else _guidance.describe(guidance, match=prior_match)
    params |= {} if not channels else {"extra": list(network.extra_channels), "extra_hash": _extra.digest(channels)}
    stored = _run(predictor, scale, params, path, progress=progress)
    stored |= {} if guidance is None else {_keys.PRIOR: guidance.prior.to_dict()}
    stored |= {} if wanted is None else {"regions": spans_frame(wanted, cut_sites.genome)}
    target.uns[key_added] = stored | {_keys.PARAMS: params}
    return result if copy else None


def _unguided(
    network: Model, cut_sites: Tracks, regions: dict[int, np.ndarray] | None, how: dict[str, Any]
) -> tuple[Tracks, Tracks]:
    """Return cut sites and unguided probability of all groups, which guide each other, in and beside the regions."""
    from scatacworks.models.predict import predict

    where = _guidance.with_room(regions, cut_sites.genome.lengths)
    probability = predict(network, cut_sites, regions=where, **how)[1]
    return _guidance.within(cut_sites, where), probability


def _run(
    predictor: Predictor, scale: np.ndarray, params: dict[str, Any], path: Path | None, *, progress: bool
) -> dict[str, Any]:
    """Compute in memory or into a store; return what goes into `.uns`."""
    from scatacworks.models.predict import run_all, to_tracks
    from scatacworks.tl._denoising import _store

    if path is None:
        found = to_tracks(predictor, run_all(predictor, progress=progress), scale)
        return {layer: tracks.to_dict() for layer, tracks in zip(_store.LAYERS, found, strict=False)}
    parts = _store.Parts(path, _description(predictor, params))
    if parts.is_finished:
        logger.info("%s holds the result of this very run; it is taken as it is.", path)
        return {"path": str(path)}
    _store.compute(predictor, parts, progress=progress)
    _store.finish(predictor, parts, scale)
    return {"path": str(path)}


def _describe(predictor: Predictor, depths: np.ndarray, scale: np.ndarray, source: Mapping[str, Any]) -> dict[str, Any]:
    """Parameters and provenance, in a form AnnData writes."""
    model, rounding = predictor.model, predictor.rounding
    signal = str(model.card["signal"])
    return _step.params(
        signal=signal,
        **({"target_depth": scale * model.target_depth} if signal == "coverage" else {}),
        model_version=str(model.card["version"]),
        architecture=model.architecture,
        groups=np.asarray(predictor.cut_sites.groups, dtype=object),
        depth=depths,
        extension=int(model.card["extension"]),
        convention=str(source.get("convention", model.card["convention"])),
        model_convention=str(model.card["convention"]),
        genome=predictor.cut_sites.genome.name,
        cut_sites_digest=str(source.get("digest", "")),
        excluded=str(source.get("excluded", "")),
        rounding_sqrt_signal=rounding.signal,
        rounding_logit=rounding.logit,
        lowest_probability=rounding.lowest,
        precision="bfloat16" if predictor.amp else "float32",
    )


def _description(predictor: Predictor, params: Mapping[str, Any]) -> dict[str, Any]:
    """Whatever decides the result, for a run that is taken up again."""
    content = hashlib.sha256()
    for _, runs in predictor.cut_sites.chromosomes():
        for starts, _, counts in runs:
            content.update(np.ascontiguousarray(starts))
            content.update(np.ascontiguousarray(counts))
    regions = predictor.regions or {}
    kept = {key: value.tolist() if isinstance(value, np.ndarray) else value for key, value in params.items()}
    return kept | {
        "cut_sites": content.hexdigest(),
        "regions": {str(chrom): intervals.tolist() for chrom, intervals in regions.items()},
    }
