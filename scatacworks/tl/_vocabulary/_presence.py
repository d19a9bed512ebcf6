"""Elements of an index in new samples."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
import scipy.sparse as sp
from anndata import AnnData

from scatacworks import _keys
from scatacworks._anndata import genome_of, require_index
from scatacworks._arguments import whole
from scatacworks._arrays import csr_of
from scatacworks._columns import placed, whole_numbers
from scatacworks._core.pileup import run_length_coverage
from scatacworks._core.presence import elements_hit
from scatacworks._logging import logger
from scatacworks._text import listed
from scatacworks.genome import named_chromosomes
from scatacworks.tl._vocabulary._matrix import index_of
from scatacworks.tl._vocabulary._peaks import PeakTable, collect_peaks
from scatacworks.tracks import Tracks

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from os import PathLike

_AT_ONCE = 1 << 25  # groups times elements whose signal is held dense


def presence(
    index: AnnData,
    peaks: pd.DataFrame
    | Mapping[str, str | PathLike[str] | pd.DataFrame]
    | str
    | PathLike[str]
    | AnnData
    | None = None,
    *,
    signal: Tracks | None = None,
    extend: int = 100,
    min_fraction: float = 0.8,
    threshold: float | None = None,
) -> AnnData:
    """Find the elements of an index in new samples, without changing the index.

    With `peaks`, an element is present where at least `min_fraction` of a peak lies inside it (the published rule for
    samples that come after the index). With `signal`, no peaks are needed: the signal is read at the centroid of every
    element and the element is present where it reaches `threshold`.

    Parameters
    ----------
    index
        Elements in `.var` (`chrom`, `start`, `end`, `summit`), as from :func:`~scatacworks.tl.dhs_index`.
    peaks
        Peaks of the new samples, in any form :func:`~scatacworks.tl.dhs_index` takes.
    signal
        Tracks of the new samples, instead of peaks. Where they are not known (NaN), no element is present.
    extend
        Bases that a cut site covers to both sides, as for :func:`~scatacworks.get.track`: what is read at a centroid is
        how many cut sites lie so near. 0 counts those on its one base, too few to tell samples apart. Other tracks than
        cut sites are read as they are.
    min_fraction
        Least share of a peak inside the element, above 0 and at most 1.
    threshold
        Least signal. By default each sample gets as many elements as the median sample of the index has (ties at that
        signal included, and never where the signal is 0).

    Returns
    -------
    AnnData of the new samples x the elements of the index: `X` (CSR, uint8) and `layers["signal"]` (CSR; the highest
    signal of the peaks, or the signal at the centroid of every element that has any); `var` of the index. With `peaks`,
    `obs` has `n_peaks`, and `n_peaks_inside`, those that fall into some element.

    Raises
    ------
    TypeError
        If `index` is no AnnData, or `signal` no :class:`~scatacworks.Tracks`.
    KeyError
        If the index lacks positions.
    ValueError
        If not exactly one of `peaks` and `signal` is given, `min_fraction` is not in (0, 1], `extend` is negative, the
        index has no elements or, with `signal` alone, no samples, or no peak lies on a chromosome of the index.

    Examples
    --------
    >>> import pandas as pd
    >>> import scatacworks as sca
    >>> old = pd.DataFrame({"chrom": "chr1", "start": [100, 900], "end": [200, 990], "sample": "a", "signal": 1.0})
    >>> new = pd.DataFrame({"chrom": "chr1", "start": [115, 850], "end": [215, 950], "sample": "b", "signal": 2.0})
    >>> index = sca.tl.dhs_index(old)
    >>> found = sca.tl.presence(index, new)
    >>> found.X.toarray().tolist()
    [[1, 0]]

    With a vocabulary, the new sample gets loadings on its components:

    >>> sca.tl.vocabulary(index, n_components=1, progress=False)
    >>> sca.tl.project_vocabulary(found, index)
    >>> found.obsm["X_vocabulary"].tolist()
    [[1.0]]
    """
    require_index(index)
    if (peaks is None) == (signal is None):
        msg = "Give either peaks or signal, not both and not neither."
        raise ValueError(msg)
    needed = ("chrom", "start", "end") if signal is None else ("chrom", "summit")
    missing = [name for name in needed if name not in index.var]
    if missing:
        msg = f".var of the index lacks the column(s) {', '.join(missing)}; expected an index of tl.dhs_index."
        raise KeyError(msg)
    if not index.n_vars:
        msg = "The index has no elements; expected one with rows in .var, as of tl.dhs_index."
        raise ValueError(msg)
    if not 0 < min_fraction <= 1:
        msg = f"min_fraction is {min_fraction}; expected a share of the peak above 0 and at most 1."
        raise ValueError(msg)
    extend = whole(extend, "extend", least=0)
    if signal is not None:
        if not isinstance(signal, Tracks):
            kind = type(signal).__name__
            msg = f"signal is no Tracks but {kind}; get.tracks(adata, key=...) returns those of an object."
            raise TypeError(msg)
        return _from_signal(index, signal, extend, threshold)
    return _from_peaks(index, collect_peaks(peaks, genome_of(index)), min_fraction)


def _from_peaks(index: AnnData, table: PeakTable, min_fraction: float) -> AnnData:
    """Presence by the overlap with peaks."""
    chroms = named_chromosomes(index.var["chrom"].unique(), "the index")
    chrom, start, end = placed(index.var, chroms, ".var of the index")
    codes = chroms.resolve(table.chroms)
    if (codes < 0).all():
        found = f"({listed(table.chroms)}, not {listed(chroms.chroms)})"
        msg = f"The peaks lie on chromosomes where the index has no element {found}; are they of the same genome?"
        raise ValueError(msg)
    if (codes < 0).any():
        unknown = int((codes[table.chrom] < 0).sum())
        msg = "The index has no element on %s; %d peaks there are not used."
        logger.warning(msg, listed(table.chroms[codes < 0]), unknown)
    pairs = []
    order = np.lexsort((start, chrom))
    bounds = np.searchsorted(chrom[order], np.arange(len(chroms.chroms) + 1))
    for code, of in zip(codes, table.by_chromosome(), strict=True):
        if code < 0:
            continue
        rows = order[bounds[code] : bounds[code + 1]]
        reach = np.maximum.accumulate(end[rows])
        peak, element = elements_hit(table.start[of], table.end[of], start[rows], end[rows], reach, float(min_fraction))
        pairs.append((of[peak], rows[element]))
    peak, element = (np.concatenate(side) for side in zip(*pairs, strict=True))
    signal = _highest(table.sample[peak], element, table.signal[peak], (len(table.samples), index.n_vars))
    n_peaks = np.bincount(table.sample, minlength=len(table.samples))
    inside = np.bincount(table.sample[np.unique(peak)], minlength=len(table.samples))
    obs = pd.DataFrame({"n_peaks": n_peaks, "n_peaks_inside": inside}, index=table.samples.astype(object))
    return index_of(signal, obs, index.var)


def _highest(sample: np.ndarray, element: np.ndarray, signal: np.ndarray, shape: tuple[int, int]) -> sp.csr_matrix:
    """CSR of the highest signal per sample and element; zero signals stay stored."""
    order = np.lexsort((-signal, element, sample))
    sample, element, signal = sample[order].astype(np.int64), element[order], signal[order]
    first = np.ones(len(order), bool)
    first[1:] = (sample[1:] != sample[:-1]) | (element[1:] != element[:-1])
    indptr = np.concatenate([[0], np.cumsum(np.bincount(sample[first], minlength=shape[0]))])
    return sp.csr_matrix((signal[first], element[first], indptr), shape=shape)


def _from_signal(index: AnnData, tracks: Tracks, extend: int, threshold: float | None) -> AnnData:
    """Presence by the signal at the centroids."""
    centroids = list(_centroids(index, tracks))
    wanted = 0
    if threshold is None:
        if not index.n_obs:
            msg = "The index has no samples to tell how many elements one has; give threshold=, the least signal."
            raise ValueError(msg)
        wanted = int(np.median(np.diff(csr_of(index).indptr)))
        wanted = min(max(wanted, 1), index.n_vars)
    present, signal = [], []
    at_once = max(_AT_ONCE // index.n_vars, 1)
    for first in range(0, len(tracks.groups), at_once):
        groups = range(first, min(first + at_once, len(tracks.groups)))
        values = _signal_at(centroids, tracks, groups, index.n_vars, extend)
        known = np.nan_to_num(values)
        if threshold is None:
            rank = index.n_vars - wanted
            level = np.partition(known, rank, axis=1)[:, rank, None]
            found = (known >= level) & (known > 0)
        else:
            found = values >= threshold  # not where it is NaN
        present.append(sp.csr_matrix(found.astype(np.uint8)))
        signal.append(sp.csr_matrix(known))
    obs = pd.DataFrame(index=pd.Index([str(group) for group in tracks.groups]))
    result = AnnData(sp.vstack(present, format="csr"), obs=obs, var=index.var)
    result.layers[_keys.SIGNAL] = sp.vstack(signal, format="csr")
    return result


def _centroids(index: AnnData, tracks: Tracks) -> Iterator[tuple[str, np.ndarray, np.ndarray]]:
    """Yield chromosomes that the tracks know, the elements on each and their centroids."""
    codes, names = pd.factorize(index.var["chrom"].astype(str))
    summit = whole_numbers(index.var["summit"], ".var of the index")
    known = tracks.genome.resolve(names) >= 0
    if not known.all():
        msg = "The tracks' genome has no chromosome %s; elements there count as far from any signal."
        logger.warning(msg, listed(names[~known]))
    order = np.argsort(codes, kind="stable")
    bounds = np.searchsorted(codes[order], np.arange(len(names) + 1))
    for code in np.flatnonzero(known):
        of = order[bounds[code] : bounds[code + 1]]
        yield names[code], of, summit[of]


def _signal_at(
    centroids: list[tuple[str, np.ndarray, np.ndarray]], tracks: Tracks, groups: range, n_elements: int, extend: int
) -> np.ndarray:
    """Signal of some tracks, of cut sites their coverage, at all centroids; float32 (n_groups, n_elements)."""
    values = np.repeat(tracks.fill[groups.start : groups.stop].astype(np.float32)[:, None], n_elements, axis=1)
    for name, of, summit in centroids:
        for row, group in enumerate(groups):
            starts, lengths, runs = tracks.runs(group, name)
            if lengths is None:
                starts, lengths, runs = run_length_coverage(starts, runs, tracks.genome.length(name), extend)
            if len(starts) == 0:
                continue
            at = np.searchsorted(starts, summit, side="right") - 1
            hit = (at >= 0) & (summit < starts[at] + lengths[at])
            values[row, of[hit]] = runs[at[hit]]
    return values
