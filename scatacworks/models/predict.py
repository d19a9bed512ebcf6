"""Inference: sparse cut sites in, run-length tracks out, streamed window by window."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING

import numpy as np
from tqdm.auto import tqdm

from scatacworks.models._predictor import Predictor, Results
from scatacworks.tracks import Runs, Tracks

if TYPE_CHECKING:
    from collections.abc import Sequence

    import torch

    from scatacworks.models._plan import Regions
    from scatacworks.models._rounding import Encoded, Rounding
    from scatacworks.models.base import Model
    from scatacworks.prior import Guidance

__all__ = ["predict"]


def predict(
    model: Model,
    cut_sites: Tracks,
    *,
    depth: np.ndarray | Sequence[float],
    target_depth: np.ndarray | float | None = None,
    regions: Regions | None = None,
    device: str | torch.device | None = None,
    batch_size: int | None = None,
    n_jobs: int | None = None,
    progress: bool = True,
    skip: bool = True,
    rounding: Rounding | None = None,
    core: int | None = None,
    amp: bool = False,
    guidance: Guidance | None = None,
    extra: Sequence[Tracks] = (),
) -> tuple[Tracks, ...]:
    """Denoise cut sites.

    Windows with exactly the context that the network sees are streamed through it; the result does not depend on how
    the genome is cut (apart from float rounding), first and last bases of chromosomes included. What no cut site can
    reach is not computed: there the output is the network's constant for this depth, which becomes the tracks' `fill`.

    Parameters
    ----------
    model
        Network with weights.
    cut_sites
        Cut sites per group.
    depth
        Cut sites per 3.1e9 bp of territory of every group, `(n_groups,)`.
    target_depth
        Depth (same unit) that the signal is scaled to, one number or `(n_groups,)`; by default the model's own.
    regions
        Chromosome code -> sorted, disjoint, half-open intervals, int64 `(n, 2)`; elsewhere the tracks are NaN. By
        default the nuclear genome; mitochondria and plastids are NaN then.
    device
        Torch device; by default CUDA where there is one, else the CPU.
    batch_size
        Windows per call of the network; by default chosen by device.
    n_jobs
        Threads; by default all cores.
    progress
        Show a progress bar.
    skip
        Leave out what no cut site can reach. The result is the same.
    rounding
        How finely values are stored, a :class:`Rounding`.
    core
        bp per window without its context.
    amp
        Compute in bfloat16 where torch's autocast does so.
    guidance
        A prior as every group sees it (:class:`~scatacworks.prior.Guidance`), for a model with a guide.
    extra
        Tracks of the model's extra channels, in its order, each of one group or of those of `cut_sites`. Nothing is
        skipped then.

    Returns
    -------
    signal
        Expected coverage (cut sites extended by the model's extension to both sides) per base at `target_depth`.
    probability
        Probability of the base lying in a peak.
    unguided
        Only with `guidance`: that probability without the prior.

    Examples
    --------
    >>> import numpy as np, scatacworks as sca
    >>> from scatacworks.models import BinnedUNet
    >>> from scatacworks.models.predict import predict
    >>> genome = sca.Genome({"chr1": 5000})
    >>> sites = (np.array([1000, 1010, 1200], np.int32), None, np.ones(3, np.uint16))
    >>> cut_sites = sca.Tracks.from_chromosomes(["B"], genome, [("chr1", [sites])])
    >>> signal, probability = predict(BinnedUNet(), cut_sites, depth=[5e6], progress=False)
    >>> signal.window("B", "chr1", 0, 5000).shape
    (5000,)
    """
    options = {"regions": regions, "device": device, "batch_size": batch_size, "n_jobs": n_jobs, "skip": skip}
    predictor = Predictor(
        model, cut_sites, depth=depth, rounding=rounding, core=core, amp=amp, guidance=guidance, extra=extra, **options
    )
    results = run_all(predictor, progress=progress)
    return to_tracks(predictor, results, output_scale(model, target_depth, len(cut_sites.groups)))


def run_all(predictor: Predictor, *, progress: bool) -> Results:
    """Compute every unit: (chromosome code, group) -> encoded runs of every output."""
    results: Results = {}
    with predictor:
        units = predictor.units()
        with bar(sum(map(predictor.unit_bp, units)), progress=progress) as shown:
            for _, found in predictor.run_all(units, shown):
                results |= found
    return results


def to_tracks(predictor: Predictor, results: Results, scale: np.ndarray) -> tuple[Tracks, ...]:
    """Decode results, letting go of them on the way: signal, probability and, with a prior, that without it."""
    parts = [{slot: runs[output] for slot, runs in results.items()} for output in range(len(predictor.kinds))]
    results.clear()
    with ThreadPoolExecutor(predictor.n_jobs) as pool:
        return tuple(_one_track(predictor, runs, scale, output, pool) for output, runs in enumerate(parts))


def _one_track(
    predictor: Predictor,
    runs: dict[tuple[int, int], Encoded],
    scale: np.ndarray,
    output: int,
    pool: ThreadPoolExecutor,
) -> Tracks:
    """Decode one output of all chromosomes and groups, each in its place."""
    groups, genome = predictor.cut_sites.groups, predictor.cut_sites.genome
    slots = [(chrom, group) for chrom in range(len(genome)) for group in range(len(groups))]
    n_runs = (1 if predictor.leaves_out(slot[0]) else len(runs[slot][0]) if slot in runs else 0 for slot in slots)
    indptr = np.cumsum([0, *n_runs])
    starts, lengths, values = (np.empty(indptr[-1], dtype) for dtype in (np.int32, np.int32, np.float32))

    def put(i: int) -> None:
        own, (chrom, group) = slice(indptr[i], indptr[i + 1]), slots[i]
        if predictor.leaves_out(chrom):
            starts[own], lengths[own], values[own] = _unknown(predictor, chrom)
            return
        starts[own], lengths[own], levels = runs.pop(slots[i])
        predictor.rounding.decode(predictor.kinds[output], levels, scale[group], values[own])

    list(pool.map(put, np.flatnonzero(np.diff(indptr))))  # most of the time goes to fresh memory, in parallel too
    fill = fills(predictor, output, scale)
    return Tracks(groups, genome, indptr=indptr, starts=starts, lengths=lengths, values=values, fill=fill)


def output_scale(model: Model, target_depth: np.ndarray | float | None, n_groups: int) -> np.ndarray:
    """Factor from the model's own depth to the one asked for; float64 `(n_groups,)`."""
    wanted = model.target_depth if target_depth is None else np.asarray(target_depth, np.float64)
    return np.broadcast_to(wanted / model.target_depth, (n_groups,)).astype(np.float64)


def bar(total: int, *, progress: bool) -> tqdm:
    """Progress bar over bases x groups, with rate and time left."""
    return tqdm(total=total, unit="b", unit_scale=True, desc="denoise", disable=not progress, smoothing=0.1)


def fills(predictor: Predictor, output: int, scale: np.ndarray) -> np.ndarray:
    """Value of the bases without a run; float64 `(n_groups,)`. NaN where only regions were computed."""
    if predictor.regions is not None:
        return np.full(len(scale), np.nan)
    levels, kind = predictor.fill[:, output], predictor.kinds[output]
    return np.array([float(predictor.rounding.decode(kind, *pair)) for pair in zip(levels, scale, strict=True)])


def decode_one(predictor: Predictor, output: int, chrom: int, encoded: Encoded | None, scale: float) -> Runs:
    """Return runs of a chromosome with float32 values."""
    if predictor.leaves_out(chrom):
        return _unknown(predictor, chrom)
    starts, lengths, levels = encoded or (np.empty(0, np.int32),) * 3
    return starts, lengths, predictor.rounding.decode(predictor.kinds[output], levels, scale)


def _unknown(predictor: Predictor, chrom: int) -> Runs:
    """Return one run of NaN as long as a chromosome, which would else seem to have no cut sites."""
    length = int(predictor.cut_sites.genome.lengths[chrom])
    return np.zeros(1, np.int32), np.array([length], np.int32), np.array([np.nan], np.float32)
