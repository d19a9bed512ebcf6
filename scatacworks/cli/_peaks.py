"""Peaks of tracks that are there already."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from scatacworks import _keys
from scatacworks.cli._common import note, say
from scatacworks.cli._groups import open_anndata

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from anndata import AnnData


def run(
    source: Path, out: Path, limits: dict[str, Any], *, groups: Sequence[str] | None = None, n_jobs: int | None = None
) -> None:
    """Call peaks on the tracks of an AnnData or of bigWig files and write them."""
    from scatacworks import io, tl

    data = (
        open_anndata(source)
        if source.suffix in (".h5ad", ".h5mu")
        else _from_bigwig(source, limits.get("threshold", 0.5))
    )
    tl.call_peaks(data, **limits, groups=groups or None, n_jobs=n_jobs)
    files = io.write_peaks(data, out)
    counts = data.uns[_keys.PEAKS]["group"].value_counts()
    for group, path in files.items():
        say(f"{counts.get(group, 0):>9,} peaks of {group}: {path}")


def _from_bigwig(source: Path, threshold: float) -> AnnData:
    """Return the tracks of a file or a folder; of a folder with peak probabilities, only these."""
    import numpy as np
    from anndata import AnnData

    from scatacworks.io import read_bigwig

    probabilities = sorted(source.glob("*.probability.bw")) if source.is_dir() else []
    if probabilities:
        note(f"Peaks are called on the {len(probabilities)} files {source}/*.probability.bw.")
    tracks = read_bigwig({file.name.removesuffix(".probability.bw"): file for file in probabilities} or source)
    for group in tracks.groups:
        most = max((np.nanmax(tracks.runs(group, c)[2], initial=0) for c in tracks.genome.chroms), default=0)
        if threshold <= 1 < most:
            msg = (
                f"The track {group!r} has values up to {most:,.3g}, so it is no peak probability, as the threshold "
                f"{threshold} expects. Name the .probability.bw file, or give a --threshold for such heights."
            )
            raise ValueError(msg)
    return AnnData(np.zeros((0, 0), np.float32), uns={_keys.DENOISED: {_keys.SIGNAL: tracks.to_dict()}})
