"""Tracks of groups, wherever they are kept."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from scatacworks import _keys
from scatacworks._anndata import atac, params_of, slot_of
from scatacworks._arguments import whole
from scatacworks._core.pileup import box_coverage, run_length_coverage
from scatacworks._core.runs import highest_in_bins
from scatacworks._text import listed
from scatacworks.tracks import Tracks

if TYPE_CHECKING:
    from anndata import AnnData
    from mudata import MuData

    from scatacworks.genome import Region

_LAYERS = (_keys.CUT_SITES, _keys.SIGNAL, _keys.PROBABILITY, _keys.UNGUIDED)


def tracks(
    adata: AnnData | MuData, *, key: str = _keys.PSEUDOBULK, layer: str | None = None, mod: str = "atac"
) -> Tracks:
    """Return the tracks of all groups kept under a key.

    Parameters
    ----------
    adata
        Cells, after :func:`~scatacworks.pp.pseudobulk` or ``tl.denoise``.
    key
        Slot of `.uns`.
    layer
        `"cut_sites"` (of a pseudobulk), `"signal"`, `"probability"` or, with a prior, `"probability_unguided"` (of
        denoised tracks); by default the first of them that is there.
    mod
        Modality to use where `adata` is a MuData.

    Returns
    -------
    A :class:`~scatacworks.Tracks`. Where the slot holds the path of a zarr store, the runs stay on disk and are read
    where asked.

    Raises
    ------
    KeyError
        If there is no such slot, or no such layer in it, or not all of it.
    FileNotFoundError
        If the zarr store is not where it was written.
    ValueError
        If a run with other groups replaced the zarr store.

    Examples
    --------
    >>> import scatacworks as sca
    >>> adata = sca.datasets.pbmc_windows()
    >>> sca.pp.pseudobulk(adata, "cell_type", progress=False)
    >>> sites = sca.get.tracks(adata)
    >>> bool((sites.sums() == 2 * adata.uns["pseudobulk"]["n_fragments"]).all())
    True
    """
    return _open(atac(adata, mod=mod), key, layer)[0]


def track(
    adata: AnnData | MuData,
    group: str,
    region: str | tuple[str, int, int],
    *,
    key: str = _keys.PSEUDOBULK,
    layer: str | None = None,
    extend: int = 100,
    mod: str = "atac",
) -> np.ndarray:
    """Return the value of one group at every base of a region.

    For cut sites it is their exact coverage: each site is extended by `extend` bases to both sides, a box of
    `2 * extend + 1` bp that is cut off at the ends of the chromosome. Sites outside the region reach into it.

    Parameters
    ----------
    adata
        Cells, after :func:`~scatacworks.pp.pseudobulk` or ``tl.denoise``.
    group
        Name of the group.
    region
        `"chr1:1,000-2,000"`, `("chr1", 1000, 2000)` (0-based, half-open), a chromosome or a gene name.
    key
        Slot of `.uns`: `"pseudobulk"`, `"denoised"`, or whatever `key_added` was.
    layer
        As for :func:`~scatacworks.get.tracks`.
    extend
        Bases that a cut site covers to both sides: 100 for accessibility, 5 for footprints, 0 for the counts of the
        cut sites themselves. Denoised layers are returned as they are, whatever `extend` is.
    mod
        Modality to use where `adata` is a MuData.

    Returns
    -------
    float32, `(end - start,)`.

    Raises
    ------
    KeyError
        If there is no such slot, layer or group.
    FileNotFoundError
        If the zarr store is not where it was written.
    ValueError
        If the region is outside the genome, `extend` is negative, or a run with other groups replaced the zarr store.

    Examples
    --------
    >>> import scatacworks as sca
    >>> adata = sca.datasets.pbmc_windows()
    >>> sca.pp.pseudobulk(adata, "cell_type", progress=False)
    >>> sca.get.track(adata, "naive B", "MS4A1").dtype
    dtype('float32')
    """
    extend = whole(extend, "extend", least=0)
    kept, layer = _open(atac(adata, mod=mod), key, layer)
    code = kept.group_code(group)
    chrom, start, end = kept.genome.region(region)
    if layer != _keys.CUT_SITES:
        return kept.window(code, chrom, start, end)
    starts, counts = kept.sites(code, chrom, start - extend, end + extend)
    return box_coverage(starts, counts, start, end, extend)


def track_bins(
    adata: AnnData, group: str, region: Region, width: int, *, key: str, layer: str | None = None, extend: int = 100
) -> np.ndarray:
    """Return the highest value of what :func:`track` gives in every bin of `width` bp of a region; float32.

    The runs are looked at, not the bases, so that a whole chromosome takes no longer than a gene with as many.
    """
    extend = whole(extend, "extend", least=0)
    kept, layer = _open(adata, key, layer)
    code, (chrom, start, end) = kept.group_code(group), region
    if layer != _keys.CUT_SITES:
        return kept.highest(code, chrom, start, end, width)
    starts, counts = kept.sites(code, chrom, start - extend, end + extend)
    runs = run_length_coverage(starts, counts, kept.genome.length(chrom), extend)
    return highest_in_bins(*runs, start, end, 0.0, width)


def is_made_of(adata: AnnData, key: str, source: str) -> bool:
    """Tell whether tracks were made of the cut sites that `source` holds now; true where that is not known."""
    made = params_of(adata, key).get("cut_sites_digest")
    now = params_of(adata, source).get("digest")
    return not made or not now or str(made) == str(now)


def _open(adata: AnnData, key: str, layer: str | None) -> tuple[Tracks, str]:
    """Return the tracks of a slot, and which layer they are."""
    stored = slot_of(adata, key, "sca.tl.denoise(adata)" if key == _keys.DENOISED else "sca.pp.pseudobulk(adata, ...)")
    folder = Path(str(stored["path"])) if "path" in stored else None
    if folder is not None and not folder.exists():
        msg = f"The track store {folder} of .uns[{key!r}] is gone; put it back, or run the step that wrote it again."
        raise FileNotFoundError(msg)
    available = [
        name
        for name in _LAYERS
        if (isinstance(stored.get(name), Mapping) if folder is None else (folder / name).exists())
    ]
    if folder is not None and layer is None and available and not {_keys.CUT_SITES, _keys.SIGNAL} & set(available):
        msg = f"The store {folder} of .uns[{key!r}] is damaged: it lacks {_keys.SIGNAL}, as of a copy that was stopped."
        raise ValueError(msg)
    layer = available[0] if layer is None and available else layer
    if layer not in available:
        found = f"has no layer {layer!r}; it has {', '.join(available)}" if available else "holds no tracks"
        msg = f".uns[{key!r}] {found}."
        raise KeyError(msg)
    kept = _from_slot(stored[layer], key, layer) if folder is None else Tracks.from_zarr(folder / layer)
    groups = stored.get("groups", stored.get(_keys.PARAMS, {}).get("groups"))
    if folder is not None and groups is not None and list(np.atleast_1d(groups)) != list(kept.groups):
        msg = (
            f"The store {folder} of .uns[{key!r}] was replaced by a run with other groups, {listed(kept.groups)}; run "
            "the step that wrote it again, with a path of its own."
        )
        raise ValueError(msg)
    kept.genome = kept.genome.with_genes(adata.uns.get(_keys.REFERENCE_GENES))
    return kept, layer


def _from_slot(stored: Mapping[str, Any], key: str, layer: str) -> Tracks:
    """Return the tracks that a slot holds itself."""
    try:
        return Tracks.from_dict(stored)
    except KeyError as error:
        msg = (
            f".uns[{key!r}][{layer!r}] lacks {error}, as where anndata.concat keeps of several objects what is "
            f"the same in all (uns_merge=). Delete it, by del adata.uns[{key!r}], and run the step that wrote it again."
        )
        raise KeyError(msg) from error
