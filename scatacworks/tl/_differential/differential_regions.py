"""Regions where a group differs from its kind, or from another group."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import pandas as pd

from scatacworks import _keys, _step
from scatacworks._anndata import params_of
from scatacworks._arguments import above_zero, one_of, real, share, whole
from scatacworks._columns import placed
from scatacworks._core import intervals
from scatacworks._core.fdr import adjust_families
from scatacworks._groups import group_name
from scatacworks._membership import has_groups
from scatacworks._regions import as_regions
from scatacworks.prior import Prior
from scatacworks.tl._differential._calibrated import calibrated_test
from scatacworks.tl._differential._nearest import add_nearest_gene
from scatacworks.tl._differential._paper import paper_test
from scatacworks.tl._differential._replicates import replicate_test
from scatacworks.tl._differential._source import take_groups
from scatacworks.tl._differential._store import Background, get_background, is_background
from scatacworks.tl._differential._target import check_equal_weights, open_target, z_tracks
from scatacworks.tl._differential.background import background as make_background

if TYPE_CHECKING:
    from os import PathLike

    from anndata import AnnData
    from mudata import MuData

    from scatacworks.genome import Genome
    from scatacworks.models.base import Model

PAPER_Z = 2.0
PAPER_GAP = 200
COLUMNS = (
    *("chrom", "start", "end", "summit", "direction", "top_z", "z", "p_value", "p_value_normal", "q_value"),
    *("significant", "log2fc", "mean", "mean_background", "family", "gene", "gene_distance"),
)


def differential_regions(
    adata: AnnData | MuData,
    group: str,
    *,
    background: str = _keys.BACKGROUND,
    reference: str | None = None,
    regions: Any = None,
    method: Literal["default", "paper"] = "default",
    key: str | None = None,
    fdr: float = 0.05,
    min_coverage: float | None = None,
    z_threshold: float = PAPER_Z,
    max_gap: int = PAPER_GAP,
    replicates: str | int = 4,
    universe: Any = None,
    model: str | PathLike[str] | Model = "default",
    n_jobs: int | None = None,
    seed: int | np.random.Generator | None = 0,
    key_added: str = _keys.DIFFERENTIAL_REGIONS,
    mod: str = "atac",
    progress: bool = True,
    copy: bool = False,
) -> AnnData | MuData | None:
    """Find the regions where a group of cells is more or less accessible than groups of its kind.

    **Default.** The regions tested are fixed beforehand (`universe` of :func:`~scatacworks.tl.background`). In each,
    the group's mean denoised signal, normalised so that usual regions of every level agree, is compared with that of
    the background groups: the difference over their moderated standard deviation, then its p-value among regions of
    a similar level. Every background group goes through the same, against the groups it shares no cell with; what they
    give, in all regions of a family, is the distribution under the null hypothesis from which the p-values are read. It
    needs no model and knows very small p-values, as there are millions of values. One false discovery rate holds for
    peaks and tiles together, of which each may have half of the false calls. Groups that hold tested cells are left
    out. The tested group should hold about as many cells as those of the background.

    **`method="paper"`.** The test of AtacWorks :cite:p:`Lal2021`: z per base, bases with `|z| > 2` joined within 200 bp
    (gains and losses apart), the top z turned into a normal p-value, Benjamini-Hochberg over these regions. It is kept
    for comparison: it adjusts p-values only of regions that were selected for being extreme, takes the largest of
    many correlated values for a single one, and trusts the normal distribution at counts of a few, so most of its
    findings can be chance (figures in the documentation). The authors' scripts differ from their text: they keep bases
    with `-log10 p > 2` (`z_threshold=2.576`) and measure a group's coverage as the sum over runs of equal value, not
    over bases.

    **`reference`.** Two groups are compared directly. Both are divided into replicates, best by sample
    (`replicates="sample"`), which are denoised and compared by a moderated t-test on log2 signal. Replicates made by
    dividing the cells of one sample tell about the cells of this sample, not about other donors.

    Parameters
    ----------
    adata
        Cells, `(n_cells, …)`, after :func:`~scatacworks.tl.denoise` (except with `reference`).
    group
        The group to test.
    background
        Slot of `.uns` that :func:`~scatacworks.tl.background` wrote, with or without its ending `"_moments"`. If there
        is none yet but cells are grouped under this name, it is made for `regions`, with the model of the tracks.
    reference
        Another group, to compare with instead of a background.
    regions
        Limit the test to the tested regions that touch these; in any form that :func:`~scatacworks.tl.denoise` takes.
        With `reference`, where to work; by default as in :func:`~scatacworks.tl.background`.
    method
        Which test against a background, see above.
    key
        Slot of `.uns` with the denoised tracks (`"denoised"`); with `reference`, the pseudobulk or grouping that
        defines the groups (`"pseudobulk"`).
    fdr
        False discovery rate below which a region counts as `significant`.
    min_coverage
        Smallest mean signal of a region in the group or the background, whichever is larger; others are not tested.
        `None`: with `method="paper"` the average of the background over its regions (the publication names no
        value), else 0.
    z_threshold, max_gap
        Of `method="paper"`: bases with `|z|` above the first are joined over at most so many bp.
    replicates
        With `reference`: a column of `.obs` such as the sample, of a MuData as in
        :func:`~scatacworks.pp.pseudobulk`; a key of `.obsm` with groups that share no cells; or a number of parts into
        which each group's cells are divided at random.
    universe, model, n_jobs
        With `reference`, or to make a background that is not there: as in :func:`~scatacworks.tl.background`.
    seed
        Of the random division.
    key_added
        Slot of `.uns` to write.
    mod
        Modality to use where `adata` is a MuData.
    progress
        Show progress bars.
    copy
        Return a changed copy rather than writing to `adata`.

    Returns
    -------
    `None`, or the changed copy. Sets:

    `.uns[key_added]` : DataFrame
        One row per tested region, sorted by position: `chrom`, `start`, `end` (0-based, half-open); `summit`, the base
        with the largest `|z|`; `direction` (+1: more accessible in the group); `top_z`, the z there; `z`, of the region
        (default only); `p_value`; `p_value_normal`, from the normal distribution (default only); `q_value`;
        `significant`; `log2fc` of the mean signal, with a tenth of the average signal added to both; `mean` and
        `mean_background`, normalised signal per base; `family`, the kind of region (`"peak"`, `"tile"`, `"given"` or
        your own; `"joined"` with `method="paper"`); `gene` and `gene_distance` (bp from the middle of the region to the
        start site) where the genome has a gene table.
    `.uns[f"{key_added}_z"]` : dict
        Against a background: z of every base as tracks (in steps of 0.25, 0 below 1), for
        :func:`~scatacworks.get.track`, and for a bigWig file by
        `io.write_bigwig(adata, "z.bw", key="differential_regions_z")`. The table goes to a BED file, with all its
        columns, by `io.write_peaks(table, "regions.bed")`, and back by `io.read_peaks`.
    `.uns["scatacworks"][key_added]` : dict
        Parameters, number of background groups and what they are worth, and the variance of the tested group over
        theirs that its number of fragments lets expect.

    Raises
    ------
    KeyError
        If there is no such group, background or track.
    ValueError
        If tracks and background were made with another model, extension, genome, excluded regions or prior, or the
        tracks weigh the prior by group (`prior_match`); if too few background groups are free of the tested cells, or
        the group holds all cells; an argument is out of range, or `.uns[key_added]` holds another kind of result.

    Examples
    --------
    >>> import scatacworks as sca
    >>> adata = sca.datasets.toy()
    >>> where = "chr1:20,000-60,000"
    >>> sca.tl.differential_regions(adata, "A", reference="B", key="group", regions=where, progress=False)
    >>> adata.uns["differential_regions"].columns[:5].tolist()
    ['chrom', 'start', 'end', 'summit', 'direction']
    """
    group, reference = group_name(group), None if reference is None else group_name(reference)
    if one_of(method, "method", ("default", "paper")) == "paper" and reference is not None:
        msg = "method='paper' compares with a background; leave out reference=, or the method for its replicates."
        raise ValueError(msg)
    share(fdr, "fdr", inside=True)
    above_zero(z_threshold, "z_threshold")
    max_gap = whole(max_gap, "max_gap", least=0)
    if min_coverage is not None and not real(min_coverage, "min_coverage") >= 0:
        msg = f"min_coverage is {min_coverage}; expected a mean signal of 0 or more, or None."
        raise ValueError(msg)
    replicates = replicates if isinstance(replicates, str) else whole(replicates, "replicates", least=2)
    data, adata = _step.begin(adata, mod=mod, copy=copy)
    _step.claim(adata, key_added, "top_z")
    shared = {"universe": universe, "n_jobs": n_jobs, "progress": progress}
    if reference is not None:
        take_groups(data, adata, key)
        _step.take_column(data, adata, replicates)
        table, notes, genome, level = replicate_test(
            adata, group, reference, key=key or _keys.PSEUDOBULK, replicates=replicates, regions=regions,
            model=model, seed=seed, **shared,
        )  # fmt: skip
    else:
        key = key or _keys.DENOISED
        moments = _ensure_background(adata, background, regions, key, model, shared=shared)
        target = open_target(adata, key, group, moments)
        if method == "paper":
            notes = {"z_threshold": z_threshold, "max_gap": max_gap}
            table = paper_test(moments, target, **notes)
        else:
            table, notes = calibrated_test(adata, moments, target, key)
        genome, level = moments.genome, moments.level
        if regions is not None:
            table = _touching(table, as_regions(regions, genome, uns=adata.uns, gene_flanks=True), genome)
        z = z_tracks(moments, target).to_dict()
        adata.uns[f"{key_added}{_keys.Z_SUFFIX}"] = {
            _keys.SIGNAL: z,
            _keys.PARAMS: _step.params(group=group, background=background),
        }
    if min_coverage is None:
        min_coverage = level if method == "paper" else 0.0
    adata.uns[key_added] = _finished(table, genome, level, min_coverage, fdr)
    note = _step.params(group=group, method=method, fdr=fdr, min_coverage=float(min_coverage), **notes)
    note |= {"background": background} if reference is None else {"reference": reference}
    adata.uns[_keys.PROVENANCE] = {**adata.uns.get(_keys.PROVENANCE, {}), key_added: note}
    return data if copy else None


def _ensure_background(
    adata: AnnData, name: str, regions: Any, key: str, model: Any, *, shared: dict[str, Any]
) -> Background:
    """Return the background, made first if only its groups are there."""
    slots = (name, f"{name}{_keys.MOMENTS_SUFFIX}")
    slot = next((slot for slot in slots if is_background(adata.uns.get(slot))), None)
    _check_steps(adata, key, name, made=slot is not None)
    if slot is not None:
        return get_background(adata, slot)
    if regions is None:
        msg = (
            f"There is no background for {name!r} yet; name the regions to make it for, or call "
            f'tl.background(adata, key="{name}", regions=...) first.'
        )
        raise ValueError(msg)
    tracks, params = adata.uns[key], params_of(adata, key)
    if isinstance(model, str) and model == "default":
        model = str(params.get("model", model))
    check_equal_weights(params, key)
    prior = {}
    if _keys.PRIOR in tracks:
        prior = {"prior": Prior.from_dict(tracks[_keys.PRIOR]), "prior_weight": float(params["prior_weight"])}
    precision = str(params.get("precision", "float32"))
    make_background(adata, key=name, regions=regions, model=model, precision=precision, **shared, **prior)
    return get_background(adata, slots[-1])


def _check_steps(adata: AnnData, key: str, name: str, *, made: bool) -> None:
    """Say what to run, in order, where there are no tracks, or neither a background nor groups to make it of."""
    no_tracks, no_groups = key not in adata.uns, not made and not has_groups(adata, name)
    if not no_tracks and not no_groups:
        return
    have = ", ".join(repr(slot) for slot, value in adata.uns.items() if is_background(value)) or "none"
    told = {
        f"There are no denoised tracks in .uns[{key!r}].": no_tracks,
        f"There is no background {name!r} (there are: {have}).": not made,
    }
    steps = {
        "sca.pp.pseudobulk(adata, groupby=...)": no_tracks and _keys.PSEUDOBULK not in adata.uns,
        f"sca.tl.denoise(adata, key_added={key!r})": no_tracks,
        f"sca.pp.knn_groups(adata, key_added={name!r})": no_groups,
        f"sca.tl.background(adata, key={name!r})": not made,
    }
    missing, needed = ([text for text, holds in each.items() if holds] for each in (told, steps))
    msg = f"{' '.join(missing)} Run first, in this order: {'; '.join(needed)}."
    raise KeyError(msg)


def _touching(table: pd.DataFrame, regions: pd.DataFrame, genome: Genome) -> pd.DataFrame:
    kept = intervals.any_overlap(placed(table, genome), placed(regions, genome))
    if not kept.any():
        msg = f"regions= touches none of the {len(table):,} regions tested; name places within those of the background."
        raise ValueError(msg)
    return table[kept].reset_index(drop=True)


def _finished(table: pd.DataFrame, genome: Genome, level: float, min_coverage: float, fdr: float) -> pd.DataFrame:
    """Filter, adjust, and bring into the form that is stored."""
    covered = np.maximum(table["mean"], table["mean_background"]) >= min_coverage
    table = table[covered.to_numpy()].reset_index(drop=True)
    q = adjust_families(table["p_value"].to_numpy(np.float64), table["family"].to_numpy(str))
    small = 0.1 * level
    log2fc = np.log2((table["mean"] + small) / (table["mean_background"] + small))
    family = pd.Categorical(table["family"].astype(str))
    table = table.assign(q_value=q, significant=q < fdr, log2fc=log2fc, family=family)
    table = add_nearest_gene(table, genome)
    order = np.lexsort((table["start"], genome.resolve(table["chrom"])))
    table = table.iloc[order].reset_index(drop=True)
    tested = set(table["chrom"])
    chroms = [chrom for chrom in genome.chroms if chrom in tested]
    table["chrom"] = pd.Categorical(table["chrom"], categories=chroms)
    return table[[name for name in COLUMNS if name in table]]
