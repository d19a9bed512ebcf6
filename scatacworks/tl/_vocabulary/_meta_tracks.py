"""The mean track of the samples that stand for a component."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from scatacworks._core.runs import sum_runs
from scatacworks._logging import logger
from scatacworks.tl._vocabulary._top_samples import top_samples
from scatacworks.tracks import Runs, Tracks

if TYPE_CHECKING:
    from collections.abc import Sequence

    from anndata import AnnData


def meta_tracks(index: AnnData, tracks: Tracks, *, n: int = 15) -> Tracks:
    """Average the tracks of each component's top samples.

    Parameters
    ----------
    index
        Samples with a vocabulary, from :func:`~scatacworks.tl.vocabulary`.
    tracks
        Tracks named like the samples (:class:`~scatacworks.Tracks`; take them from an AnnData with `get.tracks`). Their
        values should be comparable between samples, e.g. denoised to one depth.
    n
        Samples per component at most, as for :func:`~scatacworks.tl.top_samples`.

    Returns
    -------
    Tracks with one group per component that has at least one of these samples; float32. Chromosome by chromosome, so
    memory is bounded by one chromosome of `n` tracks.

    Raises
    ------
    ValueError
        If none of the top samples has a track, or one of theirs is known in some regions only.

    Examples
    --------
    >>> import anndata, numpy as np
    >>> import scatacworks as sca
    >>> index = anndata.AnnData(np.zeros((2, 1)))
    >>> index.obsm["X_vocabulary"] = np.array([[1.0], [1.0]])
    >>> genome = sca.Genome({"chr1": 100}, name="toy")
    >>> def run(at, value):
    ...     return np.array([at]), np.array([10]), np.array([value], np.float32)
    >>> tracks = sca.Tracks.from_chromosomes(["0", "1"], genome, [("chr1", [run(0, 2), run(5, 4)])])
    >>> sca.tl.meta_tracks(index, tracks).window("1", "chr1", 3, 7).tolist()
    [1.0, 1.0, 3.0, 3.0]
    """
    if not isinstance(tracks, Tracks):
        msg = f"tracks is no Tracks but {type(tracks).__name__}; get.tracks(adata, key=...) returns those of an object."
        raise TypeError(msg)
    table = top_samples(index, n=n, copy=True).uns["top_samples"]
    known = table["sample"].astype(str).isin(set(tracks.groups))
    if not known.any():
        msg = f"None of the top samples has a track; samples are named like {table['sample'].tolist()[:3]}."
        raise ValueError(msg)
    if not known.all():
        logger.warning("%d of %d top samples have no track and are left out.", int((~known).sum()), len(table))
    codes = {
        name: [tracks.group_code(sample) for sample in samples]
        for name, samples in table[known].groupby("component", observed=True)["sample"]
    }
    fill = np.array([tracks.fill[group].mean() for group in codes.values()], np.float32)
    if np.isnan(fill).any():
        partly = next(tracks.groups[code] for group in codes.values() for code in group if np.isnan(tracks.fill[code]))
        msg = (
            f"The track of {partly!r} is known in some regions only, as tl.denoise(regions=...) leaves it: there "
            "is no mean elsewhere. Give tracks of the whole genome."
        )
        raise ValueError(msg)
    chromosomes = ((chrom, [_mean(tracks, group, chrom) for group in codes.values()]) for chrom in tracks.genome.chroms)
    return Tracks.from_chromosomes(list(codes), tracks.genome, chromosomes, fill=fill)


def _mean(tracks: Tracks, group: Sequence[int], chrom: str) -> Runs:
    """Mean of some tracks on one chromosome; bases without a run have their track's fill."""
    parts = [tracks.runs(code, chrom) for code in group]
    starts = np.concatenate([part[0] for part in parts])
    lengths = np.concatenate([np.ones(len(s), np.int32) if n is None else n for s, n, _ in parts])
    values = np.concatenate([part[2] - tracks.fill[code] for part, code in zip(parts, group, strict=True)])
    starts, lengths, values = sum_runs(starts, lengths, values)
    return starts, lengths, (values / len(group) + tracks.fill[group].mean()).astype(np.float32)
