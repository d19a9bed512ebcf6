"""What every step of `pp` and `tl` does first and last: choose the object to write to, and note what was done."""

from __future__ import annotations

from importlib.metadata import version
from typing import TYPE_CHECKING, Any

import numpy as np

from scatacworks import _keys
from scatacworks._anndata import atac, is_mudata
from scatacworks._arguments import flag
from scatacworks._files import store_path
from scatacworks._groups import named

if TYPE_CHECKING:
    from os import PathLike
    from pathlib import Path

    import pandas as pd
    from anndata import AnnData
    from mudata import MuData


def begin(data: AnnData | MuData, *, mod: str, copy: bool) -> tuple[AnnData | MuData, AnnData]:
    """Return the object the user gets back, and the AnnData in it to write to; neither is a view."""
    data = own(data, copy=copy)
    adata = atac(data, mod=mod)
    return data, own(adata, copy=False)


def own(data: AnnData | MuData, *, copy: bool) -> AnnData | MuData:
    """Return the object to write to: the one given, or a copy.

    A view becomes an object of its own first, so that its parent is left alone (as scanpy does).

    Raises
    ------
    TypeError
        If it is neither an AnnData nor a MuData, or `copy` neither `True` nor `False`.
    ValueError
        If it is backed by a file and would have to be copied.
    """
    backed = not is_mudata(data) and getattr(data, "isbacked", False)
    if flag(copy, "copy"):
        if backed:
            msg = "copy=True copies within memory, but the AnnData is backed by a file: give adata.to_memory()."
            raise ValueError(msg)
        return data.copy()
    if not is_mudata(data) and atac(data).is_view:
        if backed:
            msg = "A view of an AnnData that is backed by a file cannot be written to: give view.to_memory()."
            raise ValueError(msg)
        data._init_as_actual(data.copy())
    return data


def claim(adata: AnnData, key: Any, *holds: str, obsm: bool = False) -> None:
    """Refuse, before any work, to write over what is not an earlier result of the same kind.

    Parameters
    ----------
    adata
        Object to write to.
    key
        Slot of `.uns` to be written.
    holds
        What tells a result of this kind, any of these: a key, a parameter or a column that only it has.
    obsm
        Whether `.obsm` is written under the key too.

    Raises
    ------
    TypeError
        If the key is no text.
    ValueError
        If the slot holds something else.
    """
    if not isinstance(key, str) or not key:
        msg = f"key_added is {key!r}; expected the name of a slot of .uns."
        raise TypeError(msg)
    kept = adata.uns.get(key)
    if hasattr(kept, "keys") and any(name in kept or name in kept.get(_keys.PARAMS, {}) for name in holds):
        return
    taken = [name for name, slots in (("uns", adata.uns), ("obsm", adata.obsm if obsm else ())) if key in slots]
    if taken:
        msg = (
            f".{taken[0]}[{key!r}] holds something else than this function writes, which would be lost. Give another "
            f"name by key_added, or delete it first: del adata.{taken[0]}[{key!r}]."
        )
        raise ValueError(msg)


def free_store(adata: AnnData, path: str | PathLike[str] | None, key_added: str) -> Path | None:
    """Return the absolute path of a store to write, where one is given.

    Raises
    ------
    ValueError
        If another slot of the object shows the store that is there.
    """
    if path is None:
        return None
    path = store_path(path)
    for name, slot in adata.uns.items():
        if name != key_added and hasattr(slot, "get") and str(slot.get("path")) == str(path):
            msg = f"{path} holds the result in .uns[{name!r}], which would change with it; give another path."
            raise ValueError(msg)
    return path


def take_column(data: AnnData | MuData, adata: AnnData, name: str | None) -> None:
    """Give the modality a column that a MuData has elsewhere, where all later steps look for it.

    That is one of the MuData's own `.obs` (joint clusters), or of another modality's, as `"rna:leiden"`.

    Raises
    ------
    KeyError
        If only other modalities have such a column, so that it has to be said whose is meant.
    ValueError
        If the MuData and the modality both have one, and they differ.
    """
    if data is adata or not isinstance(name, str) or name in adata.obsm:
        return
    modality, _, own_name = name.partition(":")
    is_of_modality = modality in data.mod and own_name in data.mod[modality].obs
    if is_of_modality:  # of which the MuData's .obs, and an earlier step, may have copies that have grown old
        adata.obs[name] = data.mod[modality].obs[own_name].reindex(adata.obs_names)
        return
    if name in data.obs:
        found = data.obs[name].reindex(adata.obs_names)
        if name in adata.obs:
            _require_same(found, adata.obs[name])
        else:
            adata.obs[name] = found
        return
    others = [other for other, one in data.mod.items() if name in one.obs]
    if others and name not in adata.obs:
        whose = " or ".join(repr(f"{other}:{name}") for other in others)
        msg = f"{name!r} is a column of another modality's .obs only; name it {whose}."
        raise KeyError(msg)


def _require_same(joint: pd.Series, own: pd.Series) -> None:
    """Refuse to choose between two columns of one name."""
    joint, own = joint.astype(object), own.astype(object)
    both = joint.notna() & own.notna()
    differ = joint.notna() != own.notna()
    differ |= both & (named(joint.where(both, "")) != named(own.where(both, "")))
    if differ.any():
        msg = (
            f".obs[{own.name!r}] of the MuData and of its modality differ in {int(differ.sum()):,} of the modality's "
            f"{len(own):,} cells. Delete the one that is not meant, or is of an earlier clustering, by "
            f"del mdata.obs[{own.name!r}] or del mdata[modality].obs[{own.name!r}]."
        )
        raise ValueError(msg)


def params(**values: Any) -> dict[str, Any]:
    """Return the parameters of a step with the package's version, in a form AnnData writes.

    A `seed` is noted where it is a number; of a generator none could be told.
    """
    if "seed" in values:
        seed = values["seed"]
        values["seed"] = int(seed) if isinstance(seed, int | np.integer) else None
    return {**values, "version": version("scatacworks")}
