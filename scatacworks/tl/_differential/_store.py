"""What is kept of a background: moments per base and the groups' signal in the tested regions."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np

from scatacworks import _keys
from scatacworks._files import atomic_path
from scatacworks._stores import open_store
from scatacworks.genome import Genome

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    import pandas as pd
    from anndata import AnnData

    from scatacworks._stores import Stored

_ARRAYS = ("mean", "sd", "signal")
_SLOT = ("regions", "universe", "groups", "total", "genome", "chroms", "chrom_lengths", _keys.PARAMS)
KNOWN_BY = "sd/zarr.json"  # a store of a background


@dataclass
class Background:
    """Moments of many denoised, normalised groups.

    Attributes
    ----------
    genome
        Genome of the positions.
    regions
        `chrom`, `start`, `end` of what was computed, sorted and disjoint.
    mean, sd
        Per base of the regions one after the other, float32 (numpy or zarr); population standard deviation.
    universe
        `chrom`, `start`, `end`, `family` of the tested regions.
    signal
        Mean normalised signal, float32, `(n_groups, n_tested)` (numpy or zarr).
    groups, total
        Names, and denoised signal before normalisation, summed over the regions, `(n_groups,)`.
    params
        Provenance.
    """

    genome: Genome
    regions: pd.DataFrame
    mean: Any
    sd: Any
    universe: pd.DataFrame
    signal: Any
    groups: np.ndarray
    total: np.ndarray
    params: dict[str, Any]

    @property
    def offsets(self) -> np.ndarray:
        """Where every region starts in `mean` and `sd`, and their length; int64."""
        return np.concatenate([[0], np.cumsum(self.regions["end"] - self.regions["start"])]).astype(np.int64)

    @property
    def level(self) -> float:
        """Mean signal per base of every normalised group, over the regions."""
        return float(self.total.mean()) / int(self.offsets[-1])

    def to_slot(self, path: Path | None) -> dict[str, Any]:
        """Return what goes to `.uns`; with `path`, the large arrays go to a zarr store there."""
        slot: dict[str, Any] = {
            "regions": self.regions,
            "universe": self.universe,
            "groups": np.asarray(self.groups, dtype=object),
            "total": self.total,
            "genome": self.genome.name,
            "chroms": np.asarray(self.genome.chroms, dtype=object),
            "chrom_lengths": self.genome.lengths.copy(),
            _keys.PARAMS: self.params,
        }
        if self.genome.organelles:
            slot["organelles"] = np.asarray(self.genome.organelles, dtype=object)
        if path is None:
            return slot | {name: np.asarray(getattr(self, name)) for name in _ARRAYS}
        import zarr

        with atomic_path(path, holds=KNOWN_BY) as aside:
            store = zarr.open_group(aside, mode="w", zarr_format=3)
            for name in (*_ARRAYS, "total"):  # see is_whole
                data = np.asarray(getattr(self, name))
                store.create_array(name, data=data, config={"write_empty_chunks": True})
        return slot | {"path": str(path)}

    @classmethod
    def from_slot(cls, slot: Mapping[str, Any]) -> Background:
        """Return the background kept by :meth:`to_slot`.

        Raises
        ------
        FileNotFoundError
            If its store is gone.
        ValueError
            If its store lacks a part, one cannot be read, or it is of another run.
        """
        sizes = dict(zip(map(str, slot["chroms"]), np.asarray(slot["chrom_lengths"]).tolist(), strict=True))
        arrays = slot if slot.get("path") is None else _opened(str(slot["path"]), np.asarray(slot["total"]))
        return cls(
            Genome(sizes, name=str(slot["genome"]), organelles=np.atleast_1d(slot.get("organelles", ()))),
            slot["regions"],
            arrays["mean"],
            arrays["sd"],
            slot["universe"],
            arrays["signal"],
            np.atleast_1d(np.asarray(slot["groups"], dtype=object)),
            np.asarray(slot["total"], np.float64),
            dict(slot[_keys.PARAMS]),
        )


def _opened(path: str, total: np.ndarray) -> dict[str, Stored]:
    """Return the arrays of a store, checked to be whole and of the run that found these totals of the groups."""
    names, again = (*_ARRAYS, "total"), "run tl.background again"
    _, arrays = open_store(path, names, what="background", again=again)
    lost = [name for name in names if name not in arrays or not arrays[name].is_whole]
    if lost:
        parts = ", ".join(lost)
        msg = f"The background at {path} is damaged, or of an earlier version: it lacks all or part of {parts}."
        msg += f" Delete it and {again}."
        raise ValueError(msg)
    if not np.array_equal(arrays["total"][:], total):
        msg = (
            f"The background at {path} is of another run than the one that the object has: it was written anew, for "
            "other groups or regions. Run tl.background again, with a path of its own."
        )
        raise ValueError(msg)
    return arrays


def is_background(slot: Any) -> bool:
    """Tell whether a slot of `.uns` holds a background."""
    if not hasattr(slot, "get") or any(slot.get(name) is None for name in _SLOT):
        return False
    return slot.get("path") is not None or all(slot.get(name) is not None for name in _ARRAYS)


def get_background(adata: AnnData, key: str) -> Background:
    """Return the background kept under a key.

    Raises
    ------
    KeyError
        If there is none.
    """
    slot = adata.uns.get(key)
    if not is_background(slot):
        have = [repr(name) for name, value in adata.uns.items() if is_background(value)]
        found = ", ".join(have) or "none"
        msg = f"There is no background in .uns[{key!r}] (tl.background writes one); there are: {found}."
        raise KeyError(msg)
    background = Background.from_slot(slot)
    return replace(background, genome=background.genome.with_genes(adata.uns.get(_keys.REFERENCE_GENES)))
