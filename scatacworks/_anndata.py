"""The AnnData within what the user holds, and its genome."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from scatacworks import _keys
from scatacworks._text import listed
from scatacworks.genome import Genome, built_in_sizes

if TYPE_CHECKING:
    from collections.abc import Mapping

    from anndata import AnnData


def is_mudata(data: Any) -> bool:
    """Tell whether this is a MuData, without importing mudata."""
    return type(data).__name__ == "MuData" and hasattr(data, "mod")


def is_anndata(data: Any) -> bool:
    """Tell whether this is an AnnData (SnapATAC2's backed one included), without importing anndata."""
    return all(hasattr(data, name) for name in ("obs", "uns", "obsm", "obs_names")) and not is_mudata(data)


def atac(data: Any, mod: str = "atac") -> AnnData:
    """Return an AnnData as it is, and of a MuData the modality `mod`; results are written into the object returned.

    Raises
    ------
    KeyError
        If a MuData has no such modality.
    TypeError
        If it is neither an AnnData nor a MuData, or an AnnData whose cells are not in memory. One of anndata's
        `backed="r"`, of which only `.X` is not, will do.
    """
    if is_mudata(data):
        if mod not in data.mod:
            msg = f"The MuData has no modality {mod!r}; it has {', '.join(map(repr, data.mod))}. Name one with mod=."
            raise KeyError(msg)
        return data.mod[mod]
    if not is_anndata(data):
        msg = f"Expected an AnnData or a MuData, got {type(data).__name__}."
        raise TypeError(msg)
    if not isinstance(data.obs, pd.DataFrame):
        msg = (
            f"The table of cells, .obs, is not in memory but a {type(data.obs).__name__}, as in SnapATAC2's objects "
            "backed by a file and in those of anndata's read_lazy. "
        )
        if hasattr(data, "to_memory"):
            msg += "Load the object first: adata = adata.to_memory()."
        else:
            msg += (
                f"An object of {type(data).__name__} cannot be loaded with its fragments: read the samples' files by "
                "sca.io.read_fragments({sample: path, …}, genome=…, barcodes={sample: table of its cells, …})."
            )
        raise TypeError(msg)
    return data


def require_index(index: Any, name: str = "index") -> None:
    """Refuse what is no AnnData, such as a table of elements, where an index is expected."""
    if not is_anndata(index):
        msg = (
            f"{name} is a {type(index).__name__}; expected the AnnData of tl.dhs_index, or of io.read_dhs_index with "
            "loadings=."
        )
        raise TypeError(msg)


def require_no_mudata(peaks: Any) -> None:
    """Refuse a MuData where an AnnData with its peaks is expected, among other forms."""
    if is_mudata(peaks):
        msg = "Peaks of a MuData are those of one of its modalities; give that alone, as mdata['atac']."
        raise TypeError(msg)


def genome_of(adata: AnnData) -> Genome | None:
    """Return the genome an AnnData states in `.uns["reference_sequences"]`, with its genes, or `None`."""
    frame = adata.uns.get(_keys.REFERENCE_SEQUENCES)
    if frame is None:
        return None
    name = adata.uns.get(_keys.PROVENANCE, {}).get(_keys.GENOME)
    genome = Genome.from_frame(frame, name=None if name is None else str(name))
    return genome.with_genes(adata.uns.get(_keys.REFERENCE_GENES))


def params_of(adata: AnnData, key: str) -> Mapping[str, Any]:
    """Return the parameters of what `.uns[key]` holds, empty where they are not known.

    They are in the slot, or beside it in `.uns["scatacworks"]`, where those of tables and of the fragments are.
    """
    slot = adata.uns.get(key)
    own = slot.get(_keys.PARAMS) if hasattr(slot, "get") else None
    found = adata.uns.get(_keys.PROVENANCE, {}).get(key) if own is None else own
    return found if hasattr(found, "get") else {}


def fragment_files(adata: AnnData) -> Any:
    """Return the path of the fragments, or a dict of sample -> path; `None` where the object names none."""
    files = adata.uns.get(_keys.FILES)
    return files.get(_keys.FRAGMENTS) if hasattr(files, "get") else None


def slot_of(adata: AnnData, key: str, call: str, *holds: str) -> Any:
    """Return what a function of scatacworks wrote to `.uns[key]`, with all that it `holds`.

    Raises
    ------
    KeyError
        If it has not run; `call` is what to run.
    TypeError
        If this is no AnnData.
    """
    if not is_anndata(adata):
        msg = f"Expected an AnnData, got {type(adata).__name__}."
        raise TypeError(msg)
    if not isinstance(key, str) or key not in adata.uns:
        there = listed(map(repr, adata.uns))
        msg = f"There is no .uns[{key!r}] (there are: {there}); run {call} first, or name the key_added that it had."
        raise KeyError(msg)
    slot = adata.uns[key]
    if not hasattr(slot, "keys"):
        fault = f"it is a {type(slot).__name__}"
    elif missing := [repr(name) for name in holds if name not in slot]:
        fault = f"it lacks {', '.join(missing)} (it has {listed(slot)})"
    else:
        return slot
    msg = f".uns[{key!r}] is no result of {call}: {fault}."
    raise KeyError(msg)


def table_of(adata: AnnData, key: str, call: str, *columns: str) -> pd.DataFrame:
    """Return the table that a function of scatacworks wrote to `.uns[key]`, with these columns.

    Raises
    ------
    KeyError
        If there is none, or it lacks a column; `call` is what to run.
    """
    table = slot_of(adata, key, call, *columns)
    if not isinstance(table, pd.DataFrame):
        msg = f".uns[{key!r}] is no result of {call}: it is a {type(table).__name__}."
        raise KeyError(msg)
    return table


def peaks_of(adata: AnnData, key: str, *columns: str) -> pd.DataFrame:
    """Return the table of peaks in `.uns[key]`, as :func:`table_of`."""
    return table_of(adata, key, "sca.tl.call_peaks(adata)", *columns)


def numbered(table: pd.DataFrame) -> pd.DataFrame:
    """Return a table with its row numbers as text for an index, as AnnData writes and reads it."""
    return table.set_index(table.index.astype(str))


def component_names(index: AnnData, k: int) -> list[str]:
    """Return the names of the `k` components of a vocabulary, in order; numbers from 1 where none are kept."""
    stored = index.uns.get(_keys.VOCABULARY, {}).get("names", ())
    return [str(name) for name in stored] if len(stored) == k else [str(at + 1) for at in range(k)]


def dominant(loadings: np.ndarray, names: list[str]) -> pd.DataFrame:
    """Dominant component (missing where all are zero), its share of the loadings, and how many are not zero."""
    total = loadings.sum(axis=1)
    code = np.where(total > 0, loadings.argmax(axis=1), -1)
    share = np.divide(loadings.max(axis=1), total, out=np.zeros(len(total)), where=total > 0)
    return pd.DataFrame(
        {
            _keys.COMPONENT: pd.Categorical.from_codes(code, categories=names),
            _keys.COMPONENT_PROPORTION: share.astype(np.float32),
            _keys.N_COMPONENTS: (loadings > 0).sum(axis=1).astype(np.int64),
        }
    )


def require_assembly(own: Genome | None, other: Genome | None, what: str) -> None:
    """Refuse to take what is of one genome together with another: their nuclear chromosomes differ in length.

    Parameters
    ----------
    own, other
        The genomes; where one is not known, nothing is refused.
    what
        What is of `own`, as the error's sentence begins.

    Raises
    ------
    ValueError
        If a chromosome that both have has two lengths.
    """
    if own is None or other is None:
        return
    codes = other.resolve(own.chroms)
    differ = np.flatnonzero((codes >= 0) & own.nuclear & (other.lengths[codes] != own.lengths))
    if len(differ):
        chrom, ours, theirs = own.chroms[differ[0]], own.lengths[differ[0]], other.lengths[codes[differ[0]]]
        msg = (
            f"{what} of {own.name!r}, whose {chrom} has {ours:,} bp, not of {other.name!r} ({theirs:,} bp); "
            "lift over one of the two, or give the genome that both are of."
        )
        raise ValueError(msg)


def require_genes(data: AnnData, genes: Any, what: str) -> None:
    """Refuse the genes of a genome for an object that states another assembly, as :func:`require_assembly`."""
    if isinstance(genes, Genome) or (isinstance(genes, str) and genes in built_in_sizes()):
        require_assembly(genome_of(data), Genome(genes), what)
