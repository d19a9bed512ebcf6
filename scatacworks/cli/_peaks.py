"""Peaks of tracks that are there already."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from scatacworks import _keys
from scatacworks.cli._common import say
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

    data = open_anndata(source) if source.suffix in (".h5ad", ".h5mu") else _from_bigwig(source)
    tl.call_peaks(data, **limits, groups=groups or None, n_jobs=n_jobs)
    files = io.write_peaks(data, out)
    counts = data.uns[_keys.PEAKS]["group"].value_counts()
    for group, path in files.items():
        say(f"{counts.get(group, 0):>9,} peaks of {group}: {path}")


def _from_bigwig(source: Path) -> AnnData:
    import numpy as np
    from anndata import AnnData

    from scatacworks.io import read_bigwig

    tracks = read_bigwig(source)
    return AnnData(np.zeros((0, 0), np.float32), uns={_keys.DENOISED: {_keys.SIGNAL: tracks.to_dict()}})
