"""Peaks of denoised tracks."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Literal

import numpy as np
import pandas as pd
from tqdm.auto import tqdm

from scatacworks import _keys, _step, _threads
from scatacworks._anndata import params_of, slot_of
from scatacworks._arguments import real, whole
from scatacworks._core.calling import call_runs, expected_f1, summarize_runs, weigh_runs
from scatacworks._groups import chosen_groups, group_names
from scatacworks.get import tracks as get_tracks
from scatacworks.tl._denoising._samples import covers_genome, windows

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence

    from anndata import AnnData
    from mudata import MuData

    from scatacworks.genome import Genome
    from scatacworks.tracks import Tracks

LIMITS = (0.5, 200, 30)  # threshold, least length, largest gap: the defaults, for peaks that are called on the way
_F1 = "f1"
_CANDIDATES = np.arange(100, 501) / 1000  # the best one is half the F1 that it gives: 0.5 at most
_EXPECTED = ("expected_precision", "expected_recall")
COLUMNS = ("group", "chrom", "start", "end", "summit", "mean", "max")


def call_peaks(
    adata: AnnData | MuData,
    *,
    key: str = _keys.DENOISED,
    layer: str | None = None,
    threshold: float | Literal["f1"] = LIMITS[0],
    min_length: int = LIMITS[1],
    max_gap: int = LIMITS[2],
    groups: Sequence[str] | None = None,
    chroms: Sequence[str] | str | None = None,
    key_added: str = _keys.PEAKS,
    mod: str = "atac",
    n_jobs: int | None = None,
    progress: bool = True,
    copy: bool = False,
) -> AnnData | MuData | None:
    """Call peaks on the peak probability of every group.

    Stretches of at least `threshold` that lie at most `max_gap` bases apart are joined; what is then at least
    `min_length` bases long is a peak. These are exactly the intervals of MACS's `bdgpeakcall`, which AtacWorks
    :cite:p:`Lal2021` runs on its probabilities with the same defaults.

    Parameters
    ----------
    adata
        Cells, `(n_cells, …)`, after :func:`~scatacworks.tl.denoise`.
    key
        Slot of `.uns` with the tracks.
    layer
        Track to call on: by default the probability where there is one, else the slot's own track, such as one read
        from a bigWig file; `threshold` is then in its unit.
    threshold
        Smallest value in a peak. `"f1"` chooses one for every group, from 0.1 to 0.5: that of the highest F1 to be
        expected, if the probabilities of its bases are right. Of few cells it calls far more than 0.5 does.
    min_length
        Smallest length of a peak, bp.
    max_gap
        Largest stretch below the threshold within a peak, bp.
    groups
        Groups to call; all by default.
    chroms
        Chromosomes to call on. By default those of the nucleus, and those of mitochondria or plastids that were named
        in the `regions` of :func:`~scatacworks.tl.denoise`.
    key_added
        Slot of `.uns` to write.
    mod
        Modality to use where `adata` is a MuData.
    n_jobs
        Threads; `None`: all cores, or `SCATACWORKS_NUM_THREADS`.
    progress
        Show a progress bar.
    copy
        Return a changed copy rather than writing to `adata`.

    Returns
    -------
    `None`, or the changed copy. Sets:

    `.uns[key_added]` : DataFrame
        One row per peak, by group and position: `group` and `chrom` (categorical), `start`, `end` (int64, 0-based,
        half-open), `summit` (int64, the base of the highest signal), `mean` and `max` (float64, of the signal). Of
        peaks called on probabilities also `probability` (float64), the mean over its bases: the share of them that
        deep data would call too, or the chance that the peak is right. Of tracks denoised with a prior also
        `prior_gain` (float64): the mean with the prior less that without, whichever layer is called. Called with the
        prior, a peak of which little is left when the gain is subtracted rests on other samples.
    `.uns["scatacworks"][key_added]` : dict
        Parameters and version, and `by_group`, a DataFrame with one row per group: `n_peaks` (int64), `threshold`
        (float64), and of probabilities what they let expect (float64): `expected_precision`, the share of the bases in
        peaks that deep data would call too (NaN without a peak), and `expected_recall`, the share of the bases that
        deep data would call that is in these peaks. Of a file that was cut to windows, these alone count.

    Raises
    ------
    KeyError
        If there are no tracks under `key`; run :func:`~scatacworks.tl.denoise` first. Or no such group or chromosome.
    ValueError
        If a limit is out of range, `threshold="f1"` is asked of what is no probability, the layer holds cut sites
        rather than a track, one of `chroms` was not denoised, or `.uns[key_added]` holds another kind of result.

    Examples
    --------
    >>> import scatacworks as sca
    >>> adata = sca.datasets.pbmc_windows()
    >>> sca.pp.pseudobulk(adata, "cell_type", progress=False)
    >>> sca.tl.denoise(adata, groups=["pDCs"], regions="MS4A1", progress=False)
    >>> sca.tl.call_peaks(adata)
    >>> list(adata.uns["peaks"].columns)
    ['group', 'chrom', 'start', 'end', 'summit', 'mean', 'max', 'probability']

    How many of the called bases are right, and how much is found, by the model's own account:

    >>> sca.tl.call_peaks(adata, threshold="f1")
    >>> by_group = adata.uns["scatacworks"]["peaks"]["by_group"]
    >>> list(by_group.columns)
    ['n_peaks', 'threshold', 'expected_precision', 'expected_recall']
    """
    min_length, max_gap = whole(min_length, "min_length"), whole(max_gap, "max_gap", least=0)
    _check_threshold(threshold)
    result, target = _step.begin(adata, mod=mod, copy=copy)
    _step.claim(target, key_added, "max")
    called, signal, is_probability = _layers(target, key, layer, threshold)
    guided = _guided(target, key)
    measured = _measured(target, called, key) if is_probability else called.genome.sizes
    names = chosen_groups(groups, called.groups)
    wanted = _chosen(called.genome, chroms, target.uns[key].get("regions"))
    if chroms is not None:
        _check_known(called, names, wanted, key)
    jobs = [(name, chrom) for chrom in wanted for name in names]  # as the tracks lie in a store
    with ThreadPoolExecutor(_threads.resolve(n_jobs)) as pool:

        def run(what: Callable, desc: str) -> Iterator:
            return tqdm(pool.map(what, jobs), total=len(jobs), desc=desc, disable=not progress)

        if isinstance(threshold, str):
            weighed = run(
                lambda job: _weigh(_runs(called, *job), measured[job[1]], _CANDIDATES.astype(np.float32)),
                "thresholds",
            )
            thresholds = _best_thresholds(names, jobs, weighed)
        else:
            thresholds = dict.fromkeys(names, float(threshold))

        def call(job: tuple[str, str]) -> tuple[tuple[np.ndarray, ...], tuple[float, ...]]:
            limits = thresholds[job[0]], min_length, max_gap
            return _call_one(called, signal, guided, job, limits=limits, n_measured=measured[job[1]])

        parts, sums = zip(*run(call, "peaks"), strict=True)
    order = np.arange(len(jobs)).reshape(len(wanted), len(names)).T.ravel()  # by group, as the table is
    peaks = _table([parts[i] for i in order], [jobs[i] for i in order], names, called.genome)
    by_group = _by_group(peaks, thresholds, np.reshape(sums, (len(wanted), len(names), -1)).sum(axis=0))
    if not is_probability:
        peaks, by_group = peaks.drop(columns="probability"), by_group.drop(columns=list(_EXPECTED))
    target.uns[key_added] = peaks
    params = _step.params(key=key, threshold=threshold, min_length=min_length, max_gap=max_gap, by_group=by_group)
    target.uns[_keys.PROVENANCE] = {**target.uns.get(_keys.PROVENANCE, {}), key_added: params}
    return result if copy else None


def _check_threshold(threshold: float | str) -> None:
    if isinstance(threshold, str):
        if threshold != _F1:
            msg = f"threshold is {threshold!r}; expected a number or {_F1!r}."
            raise ValueError(msg)
    elif not np.isfinite(real(threshold, "threshold")):
        msg = f"threshold is {threshold}; expected a finite number."
        raise ValueError(msg)


def _chosen(genome: Genome, chroms: Sequence[str] | str | None, regions: pd.DataFrame | None) -> list[str]:
    """Return the chromosomes to call on, in the genome's order and spelling."""
    if chroms is not None:
        codes = sorted({genome.code(chrom) for chrom in group_names(chroms)})
    else:
        named = set() if regions is None else set(genome.resolve(regions["chrom"]).tolist())
        codes = [code for code, nuclear in enumerate(genome.nuclear) if nuclear or code in named]
    if not codes:
        msg = "There is no chromosome to call peaks on: name some by chroms=, organelles too."
        raise ValueError(msg)
    return [genome.chroms[code] for code in codes]


def _check_known(tracks: Tracks, groups: Sequence[str], chroms: Sequence[str], key: str) -> None:
    """Refuse chromosomes that were asked for but not denoised, where no peaks would look like a finding."""
    for chrom in chroms:
        for group in groups:
            _, lengths, values = tracks.runs(group, chrom)
            n_covered = len(values) if lengths is None else lengths.sum()
            rest = np.nan if n_covered == tracks.genome.length(chrom) else tracks.fill[tracks.group_code(group)]
            if np.isnan(values).all() and np.isnan(rest):
                msg = f"{chrom} was not denoised in .uns[{key!r}]; name it in the regions= of tl.denoise first."
                raise ValueError(msg)


def _layers(adata: AnnData, key: str, layer: str | None, threshold: float | str) -> tuple[Tracks, Tracks, bool]:
    """Return the track to call on, that of summits and heights, and whether the first is one of probabilities."""
    slot_of(adata, key, "sca.tl.denoise(adata)")
    if layer is not None:
        called = get_tracks(adata, key=key, layer=layer)
    else:
        try:
            called, layer = get_tracks(adata, key=key, layer=_keys.PROBABILITY), _keys.PROBABILITY
        except KeyError:
            called = get_tracks(adata, key=key)
    if called.lengths is None:
        msg = (
            f".uns[{key!r}] holds cut sites; peaks are called on denoised tracks. Run scatacworks.tl.denoise, and give "
            "its key_added as key."
        )
        raise ValueError(msg)
    is_probability = layer in (_keys.PROBABILITY, _keys.UNGUIDED)
    if isinstance(threshold, str):
        if not is_probability:
            msg = f"threshold={_F1!r} is for probabilities; give a number in the unit of the track in .uns[{key!r}]."
            raise ValueError(msg)
    elif is_probability and not 0 <= threshold <= 1:
        msg = f"threshold is {threshold}; expected a probability, 0 to 1, or layer='signal' for a height of the signal."
        raise ValueError(msg)
    try:
        return called, get_tracks(adata, key=key, layer=_keys.SIGNAL), is_probability
    except KeyError:
        return called, called, is_probability


def _measured(adata: AnnData, called: Tracks, key: str) -> dict[str, int]:
    """Return how many bases of each chromosome were measured: those of its windows, if the file was cut to windows."""
    sizes, source = called.genome.sizes, params_of(adata, key).get("key")
    if np.isnan(called.fill).all() or covers_genome(adata, source, called.genome):
        return sizes  # without a look at the cut sites, which may be gone
    found = windows(adata, source)
    if found is None:
        return sizes
    nuclear = np.array(called.genome.chroms, dtype=object)[called.genome.nuclear]
    return sizes | dict.fromkeys(nuclear, 0) | {chrom: int(np.diff(rows).sum()) for chrom, rows in found.items()}


def _guided(adata: AnnData, key: str) -> tuple[Tracks, Tracks] | None:
    """Return the probability with and without the prior, where there was one."""
    params = params_of(adata, key)
    if _keys.PRIOR not in params:
        return None
    return tuple(get_tracks(adata, key=key, layer=layer) for layer in (_keys.PROBABILITY, _keys.UNGUIDED))


def _table(
    parts: list[tuple[np.ndarray, ...]], jobs: list[tuple[str, str]], groups: Sequence[str], genome: Genome
) -> pd.DataFrame:
    """Return the peaks of all groups and chromosomes, of which there may be very many, as one table."""
    columns = [np.concatenate(column) for column in zip(*parts, strict=True)]
    n_peaks = [len(starts) for starts, *_ in parts]
    owners = zip(*jobs, strict=True)
    kinds = [
        pd.Categorical(np.repeat(np.array(owner, dtype=object), n_peaks), categories=list(known))
        for owner, known in zip(owners, (groups, genome.chroms), strict=True)
    ]
    return pd.DataFrame(dict(zip((*COLUMNS, "probability", "prior_gain"), (*kinds, *columns), strict=False)))


def _call_one(
    called: Tracks,
    signal: Tracks,
    guided: tuple[Tracks, Tracks] | None,
    where: tuple[str, str],
    *,
    limits: tuple[float, int, int],
    n_measured: int,
) -> tuple[tuple[np.ndarray, ...], tuple[float, ...]]:
    """Call one group on one chromosome.

    Returns starts, ends, summits, means and heights of the signal, means of the called track and, where there was a
    prior, what it added to the mean probability; and the known bases in peaks, the sum of the called track over them
    and everywhere.
    """
    runs, size = _runs(called, *where), called.genome.length(where[1])
    threshold = float(np.result_type(runs[2].dtype, np.float32).type(limits[0]))  # 0.7 as the track's values have it
    starts, ends = call_runs(*runs, size, threshold, *limits[1:])
    _, mean, _, n_known = summarize_runs(*runs, starts, ends)
    columns = [starts, ends, *summarize_runs(*_runs(signal, *where), starts, ends)[:3], mean]
    if guided is not None:
        with_prior, without = (summarize_runs(*_runs(tracks, *where), starts, ends)[1] for tracks in guided)
        columns.append(with_prior - without)
    right, everywhere = float(n_known @ mean), float(_weigh(runs, n_measured, np.empty(0, np.float32))[1][0])
    return tuple(columns), (float(n_known.sum()), right, max(right, everywhere))  # called beyond what was measured


def _weigh(runs: tuple, n_measured: int, edges: np.ndarray) -> np.ndarray:
    """Return the bases of a group on a chromosome between thresholds, and the sum of their values.

    What no cut site reaches has no runs, but a value: it counts only as far as it was measured.
    """
    _, lengths, values, fill = runs
    return np.array(weigh_runs(lengths, values, fill, max(n_measured, int(lengths.sum())), edges))


def _best_thresholds(
    groups: Sequence[str], jobs: Sequence[tuple[str, str]], weighed: Iterable[np.ndarray]
) -> dict[str, float]:
    """Return the candidate of the highest F1 to be expected of each group, on all its chromosomes together."""
    of_group = {group: np.zeros((2, len(_CANDIDATES) + 1)) for group in groups}
    for (group, _), part in zip(jobs, weighed, strict=True):
        of_group[group] += part
    return {group: float(_CANDIDATES[np.argmax(expected_f1(*sums))]) for group, sums in of_group.items()}


def _by_group(peaks: pd.DataFrame, thresholds: dict[str, float], sums: np.ndarray) -> pd.DataFrame:
    """Return what is known of every group's peaks as a whole."""
    n_bases, right, everywhere = sums.T
    columns = {
        "n_peaks": np.bincount(peaks["group"].cat.codes, minlength=len(thresholds)),
        "threshold": list(thresholds.values()),
    }
    with np.errstate(invalid="ignore"):
        expected = dict(zip(_EXPECTED, (right / n_bases, right / everywhere), strict=True))
    return pd.DataFrame(columns | expected, index=pd.Index(list(thresholds), name="group"))


def _runs(tracks: Tracks, group: str, chrom: str) -> tuple[np.ndarray, np.ndarray, np.ndarray, float]:
    """Return the runs of a group, and the value of bases without one."""
    return *with_lengths(tracks, group, chrom), float(tracks.fill[tracks.group_code(group)])


def with_lengths(tracks: Tracks, group: str | int, chrom: str) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return the runs of a group, with lengths also where all are 1."""
    starts, lengths, values = tracks.runs(group, chrom)
    return starts, np.ones(len(starts), np.int32) if lengths is None else lengths, values
