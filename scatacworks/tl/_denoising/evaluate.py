"""Score denoised tracks against deep ones, beside the baselines that they must beat."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from scatacworks import _keys, metrics
from scatacworks._core.pileup import run_length_coverage
from scatacworks._core.territory import REFERENCE_BP
from scatacworks.get import tracks as get_tracks
from scatacworks.tl._denoising import _samples
from scatacworks.tracks import Tracks

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence
    from os import PathLike

    import pandas as pd
    from anndata import AnnData
    from mudata import MuData

    from scatacworks.models.base import Model


def evaluate(
    adata: AnnData | MuData | Tracks,
    truth: AnnData | MuData | Tracks,
    *,
    key: str = _keys.DENOISED,
    raw_key: str = _keys.PSEUDOBULK,
    groups: Sequence[str] | None = None,
    peaks: pd.DataFrame | None = None,
    regions: str | Sequence[str] | pd.DataFrame | PathLike[str] | None = None,
    exclude: pd.DataFrame | None = None,
    baselines: Sequence[Literal["raw", "gaussian"]] = ("raw", "gaussian"),
    models: Mapping[str, str | PathLike[str] | Model] | None = None,
    tune_regions: str | Sequence[str] | pd.DataFrame | None = None,
    depth: float | Sequence[float] | None = None,
    extend: int = 100,
    threshold: float = 0.5,
    by: Literal["group", "block"] = "group",
    n_jobs: int | None = None,
    progress: bool = True,
) -> pd.DataFrame:
    """Score shallow groups, raw and denoised, against deep tracks of the same groups.

    Raw coverage and a Gaussian of the cut sites come along: the first ranks bases exactly as MACS with a uniform
    control does, the second is the strong simple baseline that a network has to beat.

    Parameters
    ----------
    adata
        The shallow cells after :func:`~scatacworks.pp.pseudobulk` and, to have them scored, ``tl.denoise``; or tracks
        of cut sites.
    truth
        The deep ones: cells after :func:`~scatacworks.pp.pseudobulk`, or tracks of cut sites; same group names.
    key, raw_key
        Slots of `.uns` with the denoised tracks (scored when there) and the cut sites.
    groups
        Groups to score; all by default.
    peaks
        True peaks (``chrom``, ``start``, ``end``, maybe ``group``); by default called from `truth` by the paper's rule.
    regions
        Where to score, such as a hold-out chromosome; the whole genome by default.
    exclude
        Intervals to leave out.
    baselines
        Which baselines to add.
    models
        Name -> model (or its name or path) to run and score beside.
    tune_regions
        Regions apart from the scored ones on which the Gaussian's width is chosen by AUPRC; by default it has the
        widths that did best on validation data of its depth.
    depth
        Cut sites per 3.1e9 bp of territory of the groups of `adata`; measured when `None`.
    extend
        bp by which cut sites are extended to either side.
    threshold
        Probability above which a base counts as called; raw coverage and the Gaussian have no such threshold, their
        ``f1`` is NaN and ``f1_max`` counts.
    by
        ``"group"`` or ``"block"``, see :func:`~scatacworks.metrics.evaluate_tracks`.
    n_jobs
        Threads.
    progress
        Show progress bars.

    Returns
    -------
    Rows of :func:`~scatacworks.metrics.evaluate_tracks` with a column ``method`` in front.

    Raises
    ------
    KeyError
        If a group is not in both.
    ValueError
        If the genomes differ.

    Examples
    --------
    >>> import scatacworks as sca
    >>> adata = sca.datasets.pbmc_windows()
    >>> sca.pp.pseudobulk(adata, "cell_type", progress=False)
    >>> table = sca.tl.evaluate(
    ...     adata, adata, groups=["naive B"], regions="chr11:60,445,500-60,466,000", baselines=["raw"], progress=False
    ... )
    >>> float(table.loc[0, "pearson"].round(6))
    1.0
    """
    import pandas as pd

    full, shallow = _samples.cut_sites_of(truth, raw_key), _samples.cut_sites_of(adata, raw_key)
    names = list(shallow.groups if groups is None else groups)
    depths = _samples.depths_of(adata, raw_key, depth)[[shallow.group_code(name) for name in names]]
    deep, shallow = full.select(names), shallow.select(names)
    where = None if regions is None else _frame(_samples.intervals(regions, deep.genome))
    deep_depths = _samples.depths_of(truth, raw_key, None)[[full.group_code(name) for name in names]]
    peaks = call_truth(deep, deep_depths, extend) if peaks is None else peaks
    options = {"peaks": peaks, "exclude": exclude, "extend": extend, "by": by, "threshold": threshold}
    run = {"regions": where, "n_jobs": n_jobs, "progress": progress}
    rows = []
    for method, signal, score in _methods(adata, shallow, depths, key, (baselines, models, run)):
        table = metrics.evaluate_tracks(signal, deep, score=score, regions=where, groups=names, **options)
        if score is None:
            table[["f1", "precision", "recall"]] = np.nan
        rows.append(table.assign(method=method))
    if "gaussian" in baselines:
        sigma = None if tune_regions is None else _tuned(shallow, depths, deep, peaks, (tune_regions, extend))
        signal, _ = _predict(_gaussian(sigma), shallow, depths, run)
        table = metrics.evaluate_tracks(signal, deep, regions=where, groups=names, **options)
        table[["f1", "precision", "recall"]] = np.nan
        rows.append(table.assign(method="gaussian"))
    found = pd.concat(rows, ignore_index=True)
    return found[["method", *(column for column in found.columns if column != "method")]]


def _methods(
    adata: Any, shallow: Tracks, depths: np.ndarray, key: str, what: tuple[Any, Any, dict[str, Any]]
) -> Iterator[tuple[str, Tracks, Tracks | None]]:
    """Everything to score but the Gaussian: name, signal and what ranks bases."""
    baselines, models, run = what
    if "raw" in baselines:
        yield "raw", coverage(shallow, 100), None
    if not isinstance(adata, Tracks) and key in adata.uns:
        kept = [get_tracks(adata, key=key, layer=layer) for layer in (_keys.SIGNAL, _keys.PROBABILITY)]
        yield key, *(tracks.select(list(shallow.groups)) for tracks in kept)
    for name, model in (models or {}).items():
        yield name, *_predict(model, shallow, depths, run)


def _predict(model: Any, sites: Tracks, depths: np.ndarray, run: dict[str, Any]) -> tuple[Tracks, Tracks]:
    """Run a model on the regions that are scored."""
    from scatacworks.models._rounding import Rounding
    from scatacworks.models.base import Model
    from scatacworks.models.checkpoint import load
    from scatacworks.models.gaussian import Gaussian
    from scatacworks.models.predict import predict

    network = model if isinstance(model, Model) else load(model)
    where = None if run["regions"] is None else _coded(run["regions"], sites)
    # what ranks bases by its signal alone must not lose ranks to rounding
    rounding = Rounding(signal=0.01) if isinstance(network, Gaussian) else None
    return predict(
        network, sites, depth=depths, regions=where, rounding=rounding, n_jobs=run["n_jobs"], progress=run["progress"]
    )


def _gaussian(sigma: float | None) -> Model:
    """The baseline, with its default widths or one width."""
    from scatacworks.models import Gaussian, GaussianConfig

    return Gaussian() if sigma is None else Gaussian(GaussianConfig(depths=(1e6,), sigmas=(sigma,)))


def _tuned(shallow: Tracks, depths: np.ndarray, deep: Tracks, peaks: pd.DataFrame, what: tuple[Any, int]) -> float:
    """Width that ranks bases best on the regions for tuning, over all groups."""
    where = _frame(_samples.intervals(what[0], deep.genome))
    run = {"regions": where, "n_jobs": 1, "progress": False}
    scores = {}
    for sigma in (50.0, 100.0, 150.0, 200.0, 250.0, 300.0, 400.0, 600.0):
        signal, _ = _predict(_gaussian(sigma), shallow, depths, run)
        table = metrics.evaluate_tracks(signal, deep, peaks=peaks, regions=where, extend=what[1])
        scores[sigma] = float(table["auprc"].mean())
    return max(scores, key=scores.__getitem__)


def coverage(sites: Tracks, extend: int) -> Tracks:
    """Coverage of cut sites as runs."""
    sizes = sites.genome.sizes

    def one(chrom: str, group: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        starts, _, counts = sites.runs(group, chrom)
        starts, lengths, values = run_length_coverage(starts, counts, sizes[chrom], extend)
        return starts, lengths, values.astype(np.float32)

    chromosomes = ((c, [one(c, g) for g in range(len(sites.groups))]) for c in sites.genome.chroms)
    return Tracks.from_chromosomes(sites.groups, sites.genome, chromosomes)


def call_truth(deep: Tracks, depths: np.ndarray, extend: int) -> pd.DataFrame:
    """Peaks of deep tracks by the paper's rule, for every group."""
    import pandas as pd

    from scatacworks.models._labels import label_peaks

    parts = []
    for group, depth in zip(deep.groups, depths, strict=True):
        mean = (2 * extend + 1) * depth / REFERENCE_BP
        for chrom, length in deep.genome.sizes.items():
            starts, _, counts = deep.runs(group, chrom)
            found = label_peaks(starts, counts, length=length, extend=extend, least_mean=mean)
            parts.append(pd.DataFrame({"chrom": chrom, "start": found[:, 0], "end": found[:, 1], "group": group}))
    return pd.concat(parts, ignore_index=True)


def _frame(found: dict[str, np.ndarray]) -> pd.DataFrame:
    """Intervals as a table."""
    import pandas as pd

    rows = [(chrom, int(s), int(e)) for chrom, pairs in found.items() for s, e in pairs]
    return pd.DataFrame(rows, columns=["chrom", "start", "end"])


def _coded(where: pd.DataFrame, sites: Tracks) -> dict[int, np.ndarray]:
    """Regions as the predictor takes them."""
    return {
        sites.genome.code(chrom): rows[["start", "end"]].to_numpy(np.int64)
        for chrom, rows in where.groupby("chrom", sort=False)
    }
