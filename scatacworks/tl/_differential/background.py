"""Mean and standard deviation per base over many denoised groups."""

from __future__ import annotations

import hashlib
import shutil
from contextlib import ExitStack
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import pandas as pd

from scatacworks import _keys, _step
from scatacworks._arguments import whole
from scatacworks._files import only_process, require_replaceable, unfinished_folder
from scatacworks._logging import logger
from scatacworks._regions import as_regions, as_spans, regions_digest, spans_frame
from scatacworks.prior import SELF, require_guide
from scatacworks.tl._denoising import _inputs
from scatacworks.tl._denoising.prior import prior as make_prior
from scatacworks.tl._differential import _stream, _universe
from scatacworks.tl._differential._source import default_spans, genome_for, open_groups, take_groups
from scatacworks.tl._differential._store import KNOWN_BY, Background

if TYPE_CHECKING:
    from collections.abc import Mapping
    from os import PathLike

    import torch
    from anndata import AnnData
    from mudata import MuData

    from scatacworks.models.base import Model
    from scatacworks.prior import Prior
    from scatacworks.tl._differential._source import GroupSource

TILE_BP = 500


def background(
    adata: AnnData | MuData,
    *,
    key: str = _keys.BACKGROUND,
    regions: Any = None,
    universe: Any = None,
    tile: int | None = TILE_BP,
    model: str | PathLike[str] | Model = "default",
    prior: Prior | AnnData | pd.DataFrame | Mapping[str, Any] | str | PathLike[str] | None = None,
    prior_weight: float = 1.0,
    device: str | torch.device | None = None,
    batch_size: int | None = None,
    n_jobs: int | None = None,
    precision: Literal["float32", "bfloat16"] = "float32",
    path: str | PathLike[str] | None = None,
    key_added: str | None = None,
    mod: str = "atac",
    progress: bool = True,
    copy: bool = False,
) -> AnnData | MuData | None:
    """Denoise many groups of cells and keep only how they vary: mean and standard deviation of every base.

    The groups are the kind that a group of interest is compared with by :func:`~scatacworks.tl.differential_regions`:
    usually some hundred cells, each with its nearest neighbours (:func:`~scatacworks.pp.knn_groups`). AtacWorks
    :cite:p:`Lal2021` took 1,000 random ones; 250 well-spread centres give a standard deviation as precise.

    Every group is denoised once. As in the paper it is normalised to the same total signal over the regions, which is
    known as soon as it is denoised; then it is reduced to running moments and forgotten, so that no track is kept.

    Parameters
    ----------
    adata
        Cells, `(n_cells, …)`.
    key
        The groups: a slot of `.uns` written by :func:`~scatacworks.pp.pseudobulk`, or a column of `.obs` or membership
        in `.obsm`, of a MuData as in :func:`~scatacworks.pp.pseudobulk`, which is then counted from the fragments on
        the fly, near the regions only.
    regions
        Where to work: what :func:`~scatacworks.tl.regions_around_genes` returns, or any other form of regions that
        :func:`~scatacworks.tl.denoise` takes.
        `None`: the genome without mitochondria and plastids, whose signal would tell how much a group is scaled; of a
        file that was cut to windows, these windows, with a warning.
    universe
        What the default test of :func:`~scatacworks.tl.differential_regions` tests: a table or BED file of peaks or of
        an index, or a key of `.uns` such as `"peaks"`. By default the peaks of all groups denoised together, and tiles
        in the gaps between them. It must not depend on the group that will be tested. Regions of different kinds (a
        column `family`, say promoters and others) each get the same share of what may be called falsely. Where groups
        share cells, give `key` as a membership, not a pseudobulk, in which pooled groups count shared cells many times.
    tile
        Length of these tiles in bp; `None` for none. Ignored with `universe`.
    model
        Name of a bundled model, path of a model file, or a trained model; the one that denoises the group of interest.
    prior, prior_weight
        As in :func:`~scatacworks.tl.denoise`, but for `"self"`. All groups see the prior alike, and so must the group
        of interest: denoise it with the same prior and `prior_match=False`.
    device, batch_size, n_jobs, precision
        As in :func:`~scatacworks.tl.denoise`. The group of interest must be denoised with the same precision.
    path
        Write the large arrays to a zarr store (a folder), in place of an earlier one. A run that was stopped goes on
        where it was, up to a minute or a batch of groups before, when it is repeated.
    key_added
        Slot of `.uns` to write; by default `key` with `"_moments"` appended.
    mod
        Modality to use where `adata` is a MuData.
    progress
        Show progress bars.
    copy
        Return a changed copy rather than writing to `adata`.

    Returns
    -------
    `None`, or the changed copy. Sets in `.uns[key_added]`:

    `["regions"]` : DataFrame
        `chrom`, `start`, `end` (0-based, half-open), sorted and disjoint.
    `["mean"]`, `["sd"]` : float32, `(n_bases,)`
        Mean and population standard deviation over the groups of the normalised signal, for the bases of the regions
        one after the other, in the unit of the model's signal. With `path`, `["path"]` instead, and likewise below.
    `["universe"]` : DataFrame
        `chrom`, `start`, `end`, `family` (`"peak"`, `"tile"`, `"given"` or your own) of the regions to test.
    `["signal"]` : float32, `(n_groups, n_universe)`
        Mean normalised signal of every group in each of them.
    `["groups"]`, `["total"]` : `(n_groups,)`
        Names, and signal summed over the regions before normalisation. Groups without a cut site in the regions are
        left out, with a warning.
    `["params"]` : dict
        Model and its hash, precision, extension, genome, digest of the regions, where the groups came from, hash of the
        prior.

    Raises
    ------
    KeyError
        If there are no such groups.
    ValueError
        If there are fewer than three groups, none has a cut site in the regions, an argument is out of range, another
        slot shows the store at `path`, or `.uns[key_added]` holds another kind of result.
    FileExistsError, NotADirectoryError, PermissionError
        If `path` holds something else, is a file or cannot be written to.
    RuntimeError
        If another process is making the background at `path`.

    Examples
    --------
    >>> import scatacworks as sca
    >>> adata = sca.datasets.toy()
    >>> adata.obs["part"] = [f"part {i % 5}" for i in range(adata.n_obs)]
    >>> sca.tl.background(adata, key="part", regions="chr1:20,000-40,000", progress=False)
    >>> list(adata.uns["part_moments"]["universe"].columns)
    ['chrom', 'start', 'end', 'family']
    """
    tile = None if tile is None else whole(tile, "tile")
    data, adata = _step.begin(adata, mod=mod, copy=copy)
    take_groups(data, adata, key)
    key_added = f"{key}{_keys.MOMENTS_SUFFIX}" if key_added is None else key_added
    _step.claim(adata, key_added, "universe")
    path = _step.free_store(adata, path, key_added)
    network, name = _inputs.resolve_model(model)
    source, spans = _open(adata, key, regions, network, n_jobs)
    options = {"device": device, "batch_size": batch_size, "n_jobs": n_jobs, "amp": _inputs.is_half(precision)}
    params = _describe(network, name, source, spans, key=key) | {"precision": precision}
    denoiser = _stream.Denoiser(network, options, _open_prior(prior, network, source, prior_weight), prior_weight)
    if denoiser.prior is not None:
        params |= {"prior": denoiser.prior.digest, "prior_weight": float(prior_weight)}
    stream = _stream.Stream(source, denoiser, spans, progress)
    with ExitStack() as stack:
        if path is not None:
            require_replaceable(path, KNOWN_BY)
            stream.folder = unfinished_folder(path, _resume_key(params, source, universe, tile))
            stack.enter_context(only_process(stream.folder, path))
        tested = find_universe(stream, adata, universe, tile)
        found = _run(stream, tested, params)
        adata.uns[key_added] = found.to_slot(path)
    if stream.folder is not None:
        shutil.rmtree(stream.folder)
    return data if copy else None


def _open(
    adata: AnnData, key: str, regions: Any, network: Model, n_jobs: int | None
) -> tuple[GroupSource, dict[int, np.ndarray]]:
    """Return the groups, and the regions by chromosome code."""
    spans = None if regions is None else as_spans(regions, genome_for(adata, key), uns=adata.uns)
    where = {"convention": _stream.convention(network), "n_jobs": n_jobs}
    source = open_groups(adata, key, spans, _stream.reach(network), **where)
    _inputs.check_convention(network, source.provenance, key)
    if spans is None:
        spans = default_spans(source)
    source = _without_empty(source, spans)
    if len(source.groups) < 3:
        msg = f"{key!r} has {len(source.groups)} group(s); a standard deviation needs at least 3, better some hundred."
        raise ValueError(msg)
    _warn_about_depth(network, source)
    return source, spans


def _without_empty(source: GroupSource, spans: dict[int, np.ndarray]) -> GroupSource:
    """Leave out groups without a cut site in the regions, whose signal would be the network's idea of nothing."""
    filled = source.n_sites(spans) > 0
    if not filled.any():
        msg = (
            f"None of the {len(filled)} groups has a cut site in the regions; nothing can be compared there. "
            "Are they regions of the genome that the fragments were aligned to?"
        )
        raise ValueError(msg)
    if filled.all():
        return source
    logger.warning("%d of %d groups have no cut site in the regions and are left out.", (~filled).sum(), len(filled))
    return source.select(np.flatnonzero(filled))


def _open_prior(prior: Any, network: Model, source: GroupSource, strength: float) -> Prior | None:
    """Return the prior on the genome of the groups."""
    if prior is None:
        return None
    if isinstance(prior, str) and prior == SELF:
        msg = 'prior="self" would be another prior for every group; make one for all with tl.prior.'
        raise ValueError(msg)
    require_guide(network, strength)
    return make_prior(prior, genome=source.genome)


def _warn_about_depth(network: Model, source: GroupSource) -> None:
    """Say once how many groups are outside the depths the network was trained on."""
    low, high = network.card["depth_range"]
    outside = int(((source.depth < low) | (source.depth > high)).sum())
    if outside:
        span = f"{low:,.0f} to {high:,.0f} cut sites per 3.1e9 bp"
        logger.warning("%d of %d groups are outside the model's depths, %s.", outside, len(source.depth), span)


def _run(stream: _stream.Stream, tested: pd.DataFrame, params: dict[str, Any]) -> Background:
    """Denoise all groups and bring the moments to the unit of the model's signal."""
    genome, groups = stream.source.genome, stream.source.groups
    found = stream.run(tested)
    silent = int((found.total <= 0).sum())
    if silent == len(groups):
        msg = "None of the groups has any signal in the regions; nothing can be compared there."
        raise ValueError(msg)
    if silent:
        logger.warning("%d of %d groups have no signal in the regions.", silent, len(groups))
    level = np.float32(found.total.mean() / stream.n_bases)
    mean, sd, signal = (values * level for values in (found.mean, found.sd, found.signal))
    frame = spans_frame(stream.regions, genome)
    return Background(genome, frame, mean, sd, tested, signal, groups, found.total, params)


def find_universe(stream: _stream.Stream, adata: AnnData, universe: Any, tile: int | None) -> pd.DataFrame:
    """Return the regions to test, each within one interval."""
    genome, spans = stream.source.genome, stream.regions
    if universe is not None:
        given = _universe.clip_to(as_regions(universe, genome, uns=adata.uns), spans, genome)
        tested = given.drop_duplicates(["chrom", "start", "end"], ignore_index=True)
        tested = tested if "family" in tested else tested.assign(family=_universe.GIVEN)
    else:
        peaks = spans_frame(dict(stream.pooled_peaks()), genome)
        tested = _universe.peaks_and_tiles(peaks, spans, genome, tile)
    if len(tested) == 0:
        msg = "There is nothing to test: no region of the universe lies wholly within the regions."
        raise ValueError(msg)
    return tested


def _describe(
    network: Model, name: str, source: GroupSource, spans: dict[int, np.ndarray], *, key: str
) -> dict[str, Any]:
    """Parameters and provenance."""
    from scatacworks.models.checkpoint import fingerprint

    return _step.params(
        key=key,
        groupby=source.provenance["groupby"],
        convention=source.provenance["convention"],
        excluded=source.provenance["excluded"],
        model=name,
        model_hash=fingerprint(network),
        extension=int(network.card["extension"]),
        genome=source.genome.name,
        regions_digest=regions_digest(spans),
    )


def _resume_key(params: dict[str, Any], source: GroupSource, universe: Any, tile: int | None) -> dict[str, Any]:
    """Whatever decides the result."""
    shown = universe.to_csv() if isinstance(universe, pd.DataFrame) else str(universe)
    return params | {
        "groups": [str(group) for group in source.groups],
        "depth": source.depth.tolist(),
        "universe": hashlib.sha256(shown.encode()).hexdigest()[:16],
        "tile": tile,
    }
