"""Score denoised tracks against deep ones, beside the baselines that they must beat."""

from __future__ import annotations

import warnings
from functools import partial
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import pandas as pd

from scatacworks import _keys, metrics
from scatacworks._arguments import whole
from scatacworks._columns import placed, whole_numbers
from scatacworks._core.intervals import overlap_pairs
from scatacworks._core.territory import REFERENCE_BP
from scatacworks._groups import chosen_groups
from scatacworks._text import listed
from scatacworks.get import tracks as get_tracks
from scatacworks.get._track import is_made_of
from scatacworks.metrics._tracks import UNDEFINED, warn_undefined
from scatacworks.models._labels import label_peaks
from scatacworks.tl._denoising import _samples
from scatacworks.tl._denoising._baselines import coverage, fitted_linear, gaussian, predicted, tuned_gaussian
from scatacworks.tl._denoising._bigwigs import open_pair, present
from scatacworks.tl._denoising._samples import interval_table
from scatacworks.tracks import Tracks

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence
    from os import PathLike

    from anndata import AnnData
    from mudata import MuData

    from scatacworks.genome import Genome
    from scatacworks.models.base import Model
    from scatacworks.models.data import Intervals

    Files = str | PathLike[str] | Mapping[str, str | PathLike[str]]


def evaluate(
    adata: AnnData | MuData | Tracks | Files,
    truth: AnnData | MuData | Tracks | Files,
    *,
    bigwig: Literal["coverage", "cut_sites"] = "coverage",
    key: str = _keys.DENOISED,
    pseudobulk_key: str = _keys.PSEUDOBULK,
    groups: Sequence[str] | None = None,
    peaks: pd.DataFrame | str | PathLike[str] | None = None,
    differential: Sequence[str] | pd.DataFrame | None = None,
    regions: str | Sequence[str] | pd.DataFrame | PathLike[str] | None = None,
    exclude: pd.DataFrame | None = None,
    baselines: Sequence[Literal["raw", "gaussian", "linear"]] = ("raw", "gaussian", "linear"),
    models: Mapping[str, str | PathLike[str] | Model] | None = None,
    tune_regions: str | Sequence[str] | pd.DataFrame | None = None,
    depth: float | Sequence[float] | Mapping[str, float] | None = None,
    extend: int = 100,
    threshold: float = 0.5,
    by: Literal["group", "block"] = "group",
    n_jobs: int | None = None,
    progress: bool = True,
) -> pd.DataFrame:
    """Score shallow groups, raw and denoised, against deep tracks of the same groups.

    Raw coverage, a Gaussian and a linear filter of the cut sites come along: the first ranks bases exactly as MACS with
    a uniform control does, the second is the strong simple baseline that a network has to beat, the third the paper's
    linear comparison, fitted here where there are regions to fit it on.

    Parameters
    ----------
    adata
        The shallow cells after :func:`~scatacworks.pp.pseudobulk` and, to have them scored, ``tl.denoise``; or tracks
        of cut sites, or bigWig files.
    truth
        The deep ones, in any of these forms; same group names. The cut sites of `adata` themselves are no truth.
    bigwig
        What bigWig files hold: ``"coverage"`` of cut sites extended by `extend`, or ``"cut_sites"``; see
        :func:`~scatacworks.tl.train`.
    key, pseudobulk_key
        Slots of `.uns` with the denoised tracks (scored when there) and the cut sites.
    groups
        Groups to score; all by default, or those of `differential`.
    peaks
        True peaks (``chrom``, ``start``, ``end``, maybe ``group``), a BED or narrowPeak file, or a folder of them; by
        default called from `truth` by the paper's rule.
    differential
        Two groups, whose peaks that do not overlap any of the other's are scored apart as well; or such intervals
        (``chrom``, ``start``, ``end``, maybe ``group``). A track that shows an average of groups fails there.
    regions
        Where to score, such as a hold-out chromosome; by default the nuclear genome, or of a file that was cut to
        windows of it the stretches where `truth` holds cut sites, with a warning.
    exclude
        Intervals to leave out.
    baselines
        Which baselines to add. The linear one needs `tune_regions` and is left out without; a trained ``Linear`` can be
        given in `models`.
    models
        Name -> model (or its name or path) to run and score beside. What a model with extra channels gives is scored
        by `key`, after :func:`~scatacworks.tl.denoise`.
    tune_regions
        Regions apart from the scored ones on which the Gaussian's width is chosen by AUPRC and the linear filter (8.4
        kb, symmetric) fitted by least squares. Without them the Gaussian has the widths that did best on validation
        data of its depth.
    depth
        Cut sites per 3.1e9 bp of territory of the groups of `adata`: one number, one per group, or a mapping; measured
        when `None`.
    extend
        bp by which cut sites are extended to either side.
    threshold
        Probability above which a base counts as called; the baselines have no such threshold, their ``f1`` is NaN and
        ``f1_max`` counts.
    by
        ``"group"`` or ``"block"``, see :func:`~scatacworks.metrics.evaluate_tracks`.
    n_jobs
        Threads.
    progress
        Show progress bars.

    Returns
    -------
    Rows of :func:`~scatacworks.metrics.evaluate_tracks` with the columns ``method`` in front and ``depth``, of the
    shallow group, for :func:`~scatacworks.pl.depth_curve`.

    Raises
    ------
    TypeError
        If `models` is no dict, or `differential` neither a pair nor a table.
    KeyError
        If a group is not in both.
    ValueError
        If the genomes differ, or there is nothing to score.

    Warns
    -----
    UserWarning
        If the truth of a group has the cut sites of the input, the denoised tracks are of other cut sites and are not
        scored, `tune_regions` overlap what is scored, or without `regions` only windows of the genome hold cut sites;
        once, if scores of groups are undefined.

    Examples
    --------
    >>> import scatacworks as sca
    >>> adata = sca.datasets.pbmc_windows()
    >>> sca.pp.pseudobulk(adata, "cell_type", progress=False)
    >>> sca.pp.subsample(adata, fraction=0.2)
    >>> table = sca.tl.evaluate(
    ...     sca.get.tracks(adata, key="subsample"), adata, groups=["naive B"], regions="MS4A1", progress=False
    ... )
    >>> bool(table.set_index("method")["auprc"]["gaussian"] > table.set_index("method")["auprc"]["raw"])
    True
    """
    extend = whole(extend, "extend", least=0)
    models = _loaded(models)
    baselines = (baselines,) if isinstance(baselines, str) else baselines
    if not (differential is None or hasattr(differential, "columns") or _is_pair(differential)):
        msg = f"differential is {differential!r}; expected a pair of groups, or a table of peaks."
        raise TypeError(msg)
    bars = {"n_jobs": n_jobs, "progress": progress}
    truth, adata, unsolved, absent = open_pair(truth, adata, pseudobulk_key, kind=bigwig, extend=extend, **bars)
    full, shallow = _samples.cut_sites_of(truth, pseudobulk_key), _samples.cut_sites_of(adata, pseudobulk_key)
    pair = tuple(differential) if _is_pair(differential) else None
    names = chosen_groups(groups, pair or shallow.groups)
    _samples.require_groups(full, names, "The truth")
    depths = _samples.depths_of(adata, pseudobulk_key, names, depth)
    deep, shallow = full.select(names), shallow.select(names)
    deep_depths = _samples.depths_of(truth, pseudobulk_key, names)
    peaks = call_truth(deep, deep_depths, extend) if peaks is None else _samples.peak_table(peaks, deep.genome)
    apart = differential if pair is None else peaks_of_one(peaks, pair)
    where = present(regions, truth, pseudobulk_key, absent)
    scored = interval_table(_samples.intervals(None, deep.genome) if where is None else where)
    _warn_if_same(shallow, deep, list(dict.fromkeys(scored["chrom"])))
    exclude = pd.concat([exclude, interval_table(unsolved)]) if unsolved else exclude
    options = {"peaks": peaks, "differential": apart, "exclude": exclude, "extend": extend, "by": by}
    run = partial(predicted, sites=shallow, depths=depths, regions=where, **bars)
    tune = None if tune_regions is None else _tuning(tune_regions, scored, deep.genome)
    key = _current(adata, key, pseudobulk_key)
    rows = []
    with warnings.catch_warnings():  # of all methods at once, below
        warnings.filterwarnings("ignore", message=UNDEFINED)
        pairs = (shallow, depths), (deep, deep_depths)
        simple = _baselines(baselines, *pairs, peaks=peaks, where=tune, extend=extend)
        for method, signal, score in _methods(adata, key, shallow, run, models=models, simple=simple, extend=extend):
            table = metrics.evaluate_tracks(
                signal, deep, score=score, regions=scored, groups=names, threshold=threshold, **options
            )
            if score is None:
                table[["f1", "precision", "recall"]] = np.nan
            rows.append(table.assign(method=method))
    if not rows:
        msg = "There is nothing to score: no denoised tracks, and neither models= nor baselines= are given."
        raise ValueError(msg)
    found = pd.concat(rows, ignore_index=True)
    if by == "group":
        warn_undefined(found)
    found["depth"] = found["group"].map(dict(zip(names, depths, strict=True)))
    first = ["method", "group", "depth"]
    return found[[*first, *(column for column in found.columns if column not in first)]]


def _tuning(tune_regions: Any, scored: pd.DataFrame, genome: Genome) -> Intervals:
    """Return the regions to tune on, and say where they are scored as well."""
    found = _samples.intervals(tune_regions, genome)
    tune = interval_table(found)
    both = np.unique(overlap_pairs(placed(tune, genome), placed(scored, genome))[0])
    if len(both):
        msg = (
            f"{len(both):,} of {len(tune):,} tune_regions overlap what is scored, on {listed(tune['chrom'][both])}, "
            "where the baselines that are tuned there score too high. Name regions apart from regions=."
        )
        warnings.warn(msg, UserWarning, stacklevel=3)
    return found


def _is_pair(differential: Any) -> bool:
    return isinstance(differential, tuple | list) and len(differential) == 2


def _loaded(models: Any) -> dict[str, Model]:
    """Return name -> network, before anything is computed: a wrong path is told at once."""
    from scatacworks.models.base import Model
    from scatacworks.models.checkpoint import load

    if models is not None and not hasattr(models, "items"):
        msg = f"models is {models!r}; expected a dict of a name for the table -> a model, its path or bundled name."
        raise TypeError(msg)
    found = {name: one if isinstance(one, Model) else load(one) for name, one in (models or {}).items()}
    for name, one in found.items():
        if one.extra_channels:
            msg = (
                f"models[{name!r}] reads the extra channels {listed(one.extra_channels)}. Run tl.denoise(extra=…) on "
                "the shallow cells, whose tracks are scored by key=."
            )
            raise ValueError(msg)
    return found


def _warn_if_same(shallow: Tracks, deep: Tracks, chroms: list[str]) -> None:
    """Name the groups whose truth is the very input, which any track then resembles."""
    if shallow.genome.sizes != deep.genome.sizes:
        return
    same = []
    for code, name in enumerate(deep.groups):
        both = [(shallow.runs(code, chrom), deep.runs(code, chrom)) for chrom in chroms]
        equal = (np.array_equal(a[0], b[0]) and np.array_equal(a[2], b[2]) for a, b in both)
        if any(len(a[0]) for a, _ in both) and all(equal):
            same.append(name)
    if same:
        msg = (
            "The truth has the very cut sites of the input, so that the scores do not tell how good a track is: "
            f"{listed(same)}. Score shallow cut sites (pp.subsample) against the deep ones that they are from."
        )
        warnings.warn(msg, UserWarning, stacklevel=3)


def _baselines(
    wanted: Sequence[str],
    shallow: tuple[Tracks, np.ndarray],
    deep: tuple[Tracks, np.ndarray],
    *,
    peaks: pd.DataFrame,
    where: Intervals | None,
    extend: int,
) -> dict[str, Model | None]:
    """The baselines in the order of the table; raw coverage has no model."""
    unknown = sorted(set(wanted) - {"raw", "gaussian", "linear"})
    if unknown:
        msg = f"there is no baseline {unknown[0]!r}; the baselines are 'raw', 'gaussian' and 'linear'."
        raise ValueError(msg)
    found: dict[str, Model | None] = {"raw": None} if "raw" in wanted else {}
    if "gaussian" in wanted:
        found["gaussian"] = (
            gaussian() if where is None else tuned_gaussian(*shallow, deep[0], peaks=peaks, where=where, extend=extend)
        )
    if "linear" in wanted and where is not None:
        found["linear"] = fitted_linear(*shallow, *deep, where=where, extend=extend)
    return found


def _current(adata: Any, key: str, pseudobulk_key: str) -> str | None:
    """Return the key of the denoised tracks, or `None` if there are none of these cut sites."""
    if isinstance(adata, Tracks) or key not in adata.uns:
        return None
    if is_made_of(adata, key, pseudobulk_key):
        return key
    msg = (
        f".uns[{key!r}] was denoised from other cut sites than .uns[{pseudobulk_key!r}] holds now, and is not scored; "
        "run tl.denoise again."
    )
    warnings.warn(msg, UserWarning, stacklevel=3)
    return None


def _methods(
    adata: Any,
    key: str | None,
    shallow: Tracks,
    run: Callable[[Model], tuple[Tracks, Tracks]],
    *,
    models: Mapping[str, Model],
    simple: Mapping[str, Model | None],
    extend: int,
) -> Iterator[tuple[str, Tracks, Tracks | None]]:
    """Everything to score: name, signal and what ranks bases where that is not the signal."""
    if "raw" in simple:
        yield "raw", coverage(shallow, extend), None
    if key is not None:
        kept = [get_tracks(adata, key=key, layer=layer) for layer in (_keys.SIGNAL, _keys.PROBABILITY)]
        yield key, *(tracks.select(list(shallow.groups)) for tracks in kept)
    for name, model in models.items():
        yield name, *run(model)
    for name, model in simple.items():
        if model is not None:
            yield name, run(model)[0], None


def peaks_of_one(peaks: pd.DataFrame, pair: tuple[str, str]) -> pd.DataFrame:
    """Peaks of either group of a pair that overlap none of the other's."""
    if "group" not in peaks.columns:
        msg = "To score peaks that differ between two groups, peaks needs a column 'group'."
        raise KeyError(msg)
    codes = pd.factorize(peaks["chrom"].astype(str))[0]
    columns = codes, *(whole_numbers(peaks[name], "The peaks") for name in ("start", "end"))
    own = [(peaks["group"].astype(str) == name).to_numpy() for name in pair]
    empty = [name for name, mask in zip(pair, own, strict=True) if not mask.any()]
    if empty:
        msg = f"The group {empty[0]!r} of differential={pair!r} has no peak."
        raise KeyError(msg)
    parts = []
    for a, b in (own, own[::-1]):
        met, _, _ = overlap_pairs(tuple(c[a] for c in columns), tuple(c[b] for c in columns))
        parts.append(np.delete(np.flatnonzero(a), met))
    return peaks.iloc[np.concatenate(parts)][["chrom", "start", "end"]]


def call_truth(deep: Tracks, depths: np.ndarray, extend: int) -> pd.DataFrame:
    """Peaks of deep tracks by the paper's rule, for every group."""
    parts = []
    for group, depth in zip(deep.groups, depths, strict=True):
        mean = (2 * extend + 1) * depth / REFERENCE_BP
        for chrom, length in deep.genome.sizes.items():
            starts, _, counts = deep.runs(group, chrom)
            found = label_peaks(starts, counts, length=length, extend=extend, least_mean=mean)
            parts.append(pd.DataFrame({"chrom": chrom, "start": found[:, 0], "end": found[:, 1], "group": group}))
    return pd.concat(parts, ignore_index=True)
