"""Peaks of tracks that are there already."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from scatacworks import _keys
from scatacworks._files import is_bigwig_file, require_file, require_place, visible
from scatacworks.cli._common import note, say
from scatacworks.cli._groups import is_anndata_file, open_anndata
from scatacworks.io._peaks import target

if TYPE_CHECKING:
    from pathlib import Path

    from scatacworks.tracks import Tracks


def run(source: Path, out: Path, limits: dict[str, Any], **options: Any) -> None:
    """Call peaks on the tracks of an AnnData or of bigWig files and write them.

    `options` are those of :func:`~scatacworks.tl.call_peaks`: `groups`, `chroms`, `n_jobs` and `progress`.
    """
    from anndata import AnnData

    from scatacworks import io, tl

    is_anndata = is_anndata_file(source)
    if not source.is_dir() and not is_anndata and not is_bigwig_file(source):
        require_file(source, "file of tracks")
        msg = (
            f"{source} holds no tracks by its name; expected an .h5ad or .h5mu of `scatacworks denoise`, a bigWig file "
            "(.bw, .bigWig) or a folder of them. For fragments, `scatacworks denoise` makes tracks and their peaks."
        )
        raise ValueError(msg)
    _, _, is_file = target(out)
    require_place(out.parent if is_file else out)
    if is_anndata:
        data = open_anndata(source)
    else:
        tracks = _read_bigwig(source)
        layer = _layer(tracks, limits["threshold"])
        data = AnnData(np.zeros((0, 0), np.float32), uns={_keys.DENOISED: {layer: tracks.to_dict()}})
    tl.call_peaks(data, **limits, **options)
    files = io.write_peaks(data, out)
    counts = data.uns[_keys.PEAKS]["group"].value_counts()
    for group, path in files.items():
        say(f"{counts.get(group, 0):>9,} peaks of {group}: {path}")


def _read_bigwig(source: Path) -> Tracks:
    """Return the tracks of a file or a folder; of a folder with peak probabilities, only these."""
    from scatacworks.io import read_bigwig

    ending = ".probability.bw"  # whose rest is the group's name
    files = visible(source) if source.is_dir() else [source]
    probabilities = [file for file in files if file.name.endswith(ending)]
    if source.is_dir() and probabilities:
        note(f"Peaks are called on the {len(probabilities)} files {source}/*.probability.bw.")
    return read_bigwig({file.name.removesuffix(ending): file for file in probabilities} or source)


def _layer(tracks: Tracks, threshold: float | str) -> str:
    """Return what the tracks are by their threshold; coverage with one for probabilities would be a peak all over."""
    if not isinstance(threshold, str) and threshold > 1:
        return _keys.SIGNAL
    for group in tracks.groups:
        most = max((np.nanmax(tracks.runs(group, c)[2], initial=0) for c in tracks.genome.chroms), default=0)
        if most > 1:
            msg = (
                f"The track {group!r} has values up to {most:,.3g}, so it is no peak probability, as the threshold "
                f"{threshold} expects. Name the .probability.bw file, or give a --threshold for such heights."
            )
            raise ValueError(msg)
    return _keys.PROBABILITY
