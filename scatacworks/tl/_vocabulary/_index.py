"""From peaks of many samples to one index of elements."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import pandas as pd
import scipy.sparse as sp
from anndata import AnnData

from scatacworks import _keys
from scatacworks._anndata import genome_of
from scatacworks._arguments import one_of, share, whole
from scatacworks._core.delineate import Peaks, Rules
from scatacworks._core.identifiers import number
from scatacworks._core.index import MODES, ChromosomeIndex, index_chromosomes
from scatacworks._core.merge import merge_chromosomes
from scatacworks._core.presence import sample_by_element
from scatacworks._threads import resolve
from scatacworks.genome import Genome
from scatacworks.tl._vocabulary._matrix import index_of
from scatacworks.tl._vocabulary._peaks import PeakTable, collect_peaks

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence
    from os import PathLike

METHODS = ("index", "iterative", "union")


def dhs_index(
    peaks: pd.DataFrame | Mapping[str, str | PathLike[str] | pd.DataFrame] | str | PathLike[str] | AnnData,
    *,
    overlap: Literal["all", "core", "any"] = "all",
    method: Literal["index", "iterative", "union"] = "index",
    genome: Genome | str | Mapping[str, int] | None = None,
    clump_gap: int = 20,
    window: int = 20,
    core_quantiles: tuple[float, float] = (0.025, 0.975),
    min_multi_samples: int = 10,
    compat: Literal["meuleman2020"] | None = "meuleman2020",
    half_width: int = 250,
    n_jobs: int | None = None,
) -> AnnData:
    """Align the peaks of many samples into one index of elements.

    Summits at most `clump_gap` bp apart form clumps, deep clumps are cut where summits are scarce, and each segment
    becomes an element: the full width at half maximum of the pile-up of its peaks, with the median summit as centroid
    and the bounds of 95 % of the summits as core. An element whose centroid lies in a better one is merged into it,
    unless most samples have a peak in both (Meuleman et al. 2020, "DHS index"; the result is the published code's,
    row for row).

    Parameters
    ----------
    peaks
        Peaks of all samples: a DataFrame with the columns `chrom`, `start`, `end` (or PyRanges', GRanges' or UCSC's
        names of these), `sample` (or `group`), and optionally `summit` (`wavelet_summit` is preferred where both
        exist; without one the centre is used) and `signal` (or `score`, `signal_value`, `max`; without one every peak
        counts 1); or a mapping from sample to such a frame or to a BED, narrowPeak or broadPeak file; or a folder of
        such files, one per sample, or one file (see :func:`~scatacworks.io.read_peaks`); or an AnnData with
        `.uns["peaks"]`. 0-based, half-open.
        Order does not matter. A peak given twice counts as two peaks of its sample, and once in its presence. A key of
        the mapping, or a group that peaks were called for, keeps an empty row where it has no peak; a DataFrame has
        the samples of its rows.
    overlap
        `"all"` is the recommended index, whose elements may overlap at their edges. In `"core"` no two cores overlap,
        in `"any"` no two elements.
    method
        `"index"`, or one of two common rules to compare with: `"iterative"` (windows of fixed width around the summits,
        the highest signal wins, as in ArchR and SnapATAC2) and `"union"` (overlapping or touching peaks become one).
        Both ignore `overlap`.
    genome
        Chromosome order, spelling and lengths (see :class:`~scatacworks.Genome`). By default that of an AnnData that
        states it (`.uns["reference_sequences"]`); where it is not known, chromosomes are in natural order.
    clump_gap
        Largest distance between neighbouring summits of a clump, in bp.
    window
        Width in bp of the window in which summits are counted to cut a clump; also the least number of summits in it.
    core_quantiles
        Quantiles of the summits that bound the core.
    min_multi_samples
        Two elements with more samples than this together are kept apart when most of their peaks come in twos.
    compat
        `"meuleman2020"` counts the end of a peak among its bases while piling up, as the published code does; `None`
        treats it as half-open. The difference is a base or two at some edges.
    half_width
        Of the windows of `method="iterative"`, in bp; cut at the ends of chromosomes, where `genome` tells them.
    n_jobs
        Threads; changes nothing in the result.

    Returns
    -------
    AnnData of samples x elements, elements sorted by chromosome, start and end:

    `X` : CSR, uint8
        1 where a sample has at least one peak in the element.
    `layers["signal"]` : CSR, the dtype of the signal
        Highest signal of these peaks.
    `obs["n_peaks"]`, `obs["n_elements"]` : int64
    `var` :
        `chrom`; `start`, `end`, `summit` (int64, bp); `core_start`, `core_end` (nullable Int64, bp: first and last
        position of the summits' bounds; missing where the centroid had to be recentred); `identifier` (text, also the
        name); `mean_signal` (the confidence score: total over samples of the highest signal, over `n_samples`);
        `total_signal`; `n_samples`; `n_peaks`. With `overlap="all"` also `nonovl_core` and `nonovl_any` (int64): the
        row of the element in the index made with `overlap="core"` and `"any"`.
    `uns["dhs_index"]` :
        `peaks`, the peaks with the row of their `element`; `edges`, the two names per chromosome that belong to its
        ends; `retired`, names no longer in use; and `params`.
    `uns["reference_sequences"]`, `uns["scatacworks"]["genome"]`, `uns["reference_genes"]` :
        The genome, its name and its own genes, where known. An index is no prior for cells of another genome.

    Raises
    ------
    KeyError
        If a column is missing.
    ValueError
        If there are no peaks, a chromosome is spelled in two ways or unknown, or a position or signal is impossible.

    Examples
    --------
    >>> import pandas as pd
    >>> import scatacworks as sca
    >>> peaks = pd.DataFrame(
    ...     {
    ...         "chrom": "chr1",
    ...         "start": [100, 110, 400],
    ...         "end": [200, 190, 500],
    ...         "summit": [150, 154, 450],
    ...         "sample": ["a", "b", "b"],
    ...         "signal": [1.0, 2.0, 4.0],
    ...     }
    ... )
    >>> index = sca.tl.dhs_index(peaks)
    >>> index.var[["start", "end", "summit", "n_samples", "mean_signal"]].values.tolist()
    [[100.0, 200.0, 152.0, 2.0, 1.5], [400.0, 500.0, 450.0, 1.0, 4.0]]
    >>> index.X.toarray().tolist()
    [[1, 0], [1, 1]]
    """
    one_of(overlap, "overlap", MODES)
    one_of(method, "method", METHODS)
    one_of(compat, "compat", ("meuleman2020", None))
    if genome is None:
        genome = genome_of(peaks) if isinstance(peaks, AnnData) else None
    elif not isinstance(genome, Genome):
        genome = Genome(genome)
    table = collect_peaks(peaks, genome)
    params = {
        "overlap": overlap,
        "method": method,
        "clump_gap": whole(clump_gap, "clump_gap", least=0),
        "window": whole(window, "window"),
        "core_quantiles": _quantiles(core_quantiles),
        "min_multi_samples": whole(min_multi_samples, "min_multi_samples", least=0),
        "compat": compat or "none",
        "half_width": whole(half_width, "half_width"),
    }
    return build_index(table, params, genome, n_jobs=n_jobs)


def _quantiles(bounds: Sequence[float]) -> np.ndarray:
    """The two quantiles of the summits that bound the core."""
    bounds = [share(value, "A quantile of core_quantiles") for value in np.atleast_1d(np.asarray(bounds, object))]
    if len(bounds) != 2 or bounds[0] > bounds[1]:
        msg = f"core_quantiles is {bounds}; expected a lower and an upper one, such as (0.025, 0.975)."
        raise ValueError(msg)
    return np.asarray(bounds)


def build_index(
    table: PeakTable, params: Mapping[str, Any], genome: Genome | None, *, n_jobs: int | None = None
) -> AnnData:
    """Index a checked table of peaks; `params` as stored."""
    mode = params["overlap"] if params["method"] == "index" else "all"
    rows = list(table.by_chromosome())
    found = list(_index(table, rows, params, genome, resolve(n_jobs)))
    label = np.empty(len(table.start), np.int32)
    sizes = [len(one.elements[mode].start) for one in found]
    bases = np.cumsum([0, *sizes[:-1]])
    for one, of, base in zip(found, rows, bases, strict=True):
        label[of] = (one.label if mode == "all" else one.merged_into[mode][one.label]) + base
    var = _elements_frame(found, mode, table.chroms)
    n_peaks = np.bincount(table.sample, minlength=len(table.samples))
    parts = (
        (label[of] - base, table.sample[of], table.signal[of], size)
        for of, base, size in zip(rows, bases, sizes, strict=True)
    )
    indptr, indices, data = sample_by_element(parts, n_peaks, table.signal.dtype)
    del found, rows, parts  # a third of a gigabyte per 76 M peaks
    signal = sp.csr_matrix((data, indices, indptr), shape=(len(table.samples), len(var)))
    obs = pd.DataFrame({"n_peaks": n_peaks, "n_elements": np.diff(indptr)}, index=table.samples.astype(object))
    edges = _name_anew(var, table.chroms)
    index = index_of(signal, obs, var.set_index("identifier", drop=False).rename_axis(None))
    index.uns[_keys.DHS_INDEX] = {
        "params": dict(params),
        "peaks": table.to_frame(element=label),
        "edges": edges,
        "retired": np.array([], dtype=str),
    }
    if genome is not None:
        index.uns[_keys.REFERENCE_SEQUENCES] = genome.to_frame()
        index.uns[_keys.PROVENANCE] = {_keys.GENOME: genome.name}
        if genome.has_own_genes:
            index.uns[_keys.REFERENCE_GENES] = genome.genes
    return index


def _index(
    table: PeakTable, rows: Sequence[np.ndarray], params: Mapping[str, Any], genome: Genome | None, n_jobs: int
) -> Iterator[ChromosomeIndex]:
    """Index chromosome by chromosome."""
    rules = Rules(
        params["clump_gap"],
        params["window"],
        *(float(value) for value in params["core_quantiles"]),
        params["min_multi_samples"],
        int(params["compat"] == "meuleman2020"),
    )
    parts = (Peaks(table.start[of], table.end[of], table.summit[of], table.sample[of], table.signal[of]) for of in rows)
    n_samples = len(table.samples)
    if params["method"] == "index":
        modes = MODES if params["overlap"] == "all" else ("all", params["overlap"])
        return index_chromosomes(parts, n_samples, rules=rules, modes=modes, n_jobs=n_jobs)
    lengths = [2**31 - 1] * len(rows) if genome is None else genome.lengths[genome.resolve(table.chroms)].tolist()
    parts = zip(parts, lengths, strict=True)
    return merge_chromosomes(parts, n_samples, method=params["method"], half_width=params["half_width"], rules=rules)


def _elements_frame(found: Sequence[ChromosomeIndex], mode: str, chroms: np.ndarray) -> pd.DataFrame:
    """Columns of `.var`, without identifiers."""
    columns = [np.concatenate(field) for field in zip(*(one.elements[mode] for one in found), strict=True)]
    start, end, summit, core_start, core_end, n_samples, n_peaks, score = columns
    sizes = [len(one.elements[mode].start) for one in found]
    missing = core_start < 0
    codes = np.repeat(np.arange(len(chroms)), sizes)
    frame = {
        "chrom": pd.Categorical.from_codes(codes, pd.Index(chroms)),
        "start": start.astype(np.int64),
        "end": end.astype(np.int64),
        "summit": summit.astype(np.int64),
        "core_start": pd.arrays.IntegerArray(core_start.astype(np.int64), missing),
        "core_end": pd.arrays.IntegerArray(core_end.astype(np.int64), missing.copy()),
        "mean_signal": score / n_samples,
        "total_signal": score,
        "n_samples": n_samples.astype(np.int64),
        "n_peaks": n_peaks.astype(np.int64),
    }
    if mode == "all":
        for other in found[0].merged_into:
            bases = np.cumsum([0, *(len(one.elements[other].start) for one in found)])
            moved = [one.merged_into[other].astype(np.int64) + base for one, base in zip(found, bases, strict=False)]
            frame[f"nonovl_{other}"] = np.concatenate(moved)
    return pd.DataFrame(frame)


def prefix(chrom: str) -> str:
    """The part of an identifier before the point."""
    return str(chrom).removeprefix("chr")


def _name_anew(var: pd.DataFrame, chroms: np.ndarray) -> pd.DataFrame:
    """Insert the column of identifiers; return the names of the ends of the chromosomes."""
    names, edges = [], []
    for chrom, n in zip(chroms, np.bincount(var["chrom"].cat.codes, minlength=len(chroms)), strict=True):
        digits, ends = number(int(n))
        names.append(np.char.add(f"{prefix(chrom)}.", digits).astype(object))
        edges.append((chrom, *(f"{prefix(chrom)}.{end}" for end in ends)))
    var.insert(6, "identifier", np.concatenate(names))
    return pd.DataFrame(edges, columns=["chrom", "first", "last"])
