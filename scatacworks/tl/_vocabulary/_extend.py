"""New samples into an old index."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from scatacworks import _keys
from scatacworks._anndata import genome_of, require_index, slot_of
from scatacworks._core.identifiers import renumber
from scatacworks._text import listed
from scatacworks.tl._vocabulary._index import build_index, prefix
from scatacworks.tl._vocabulary._peaks import collect_peaks

if TYPE_CHECKING:
    from collections.abc import Mapping
    from os import PathLike

    from anndata import AnnData


def extend_index(
    index: AnnData,
    peaks: pd.DataFrame | Mapping[str, str | PathLike[str] | pd.DataFrame] | str | PathLike[str] | AnnData,
    *,
    n_jobs: int | None = None,
) -> tuple[AnnData, pd.DataFrame]:
    """Add samples to an index; identifiers of unchanged elements stay.

    Elements are delineated again from the stored peaks and the new ones together, with the parameters of the old
    index, so that the result is the one of building at once. Elements with the same coordinates keep their
    identifier; the others get a new one between those of their neighbours. No identifier is ever given twice.

    Parameters
    ----------
    index
        From :func:`~scatacworks.tl.dhs_index` or this function, with all its elements. It is not changed. Samples that
        were left out of it since are not in the new one either.
    peaks
        Peaks of the new samples, in any form :func:`~scatacworks.tl.dhs_index` takes.
    n_jobs
        Threads.

    Returns
    -------
    The new index, and a DataFrame that tells where the peaks of every old element went: `old` and `new` (identifiers),
    `n_peaks` (int64) of the old element that are in the new one, and `kept` (bool), whether the two are the same name.
    An old element can be spread over several new ones.

    Raises
    ------
    KeyError
        If the index does not hold its peaks.
    ValueError
        If a new sample has the name of an old one, or elements of the index were left out or samples renamed.
    TypeError
        If `index` is no AnnData, or its identifiers are numbers instead of text.

    Examples
    --------
    >>> import pandas as pd
    >>> import scatacworks as sca
    >>> old = pd.DataFrame({"chrom": "chr1", "start": [100, 900], "end": [200, 990], "sample": "a", "signal": 1.0})
    >>> new = pd.DataFrame({"chrom": "chr1", "start": [500], "end": [600], "sample": "b", "signal": 2.0})
    >>> index = sca.tl.dhs_index(old)
    >>> extended, mapping = sca.tl.extend_index(index, new)
    >>> list(index.var_names), list(extended.var_names)
    (['1.4', '1.6'], ['1.4', '1.5', '1.6'])
    >>> mapping[["old", "new"]].values.tolist()
    [['1.4', '1.4'], ['1.6', '1.6']]
    """
    require_index(index)
    stored = slot_of(index, _keys.DHS_INDEX, "sca.tl.dhs_index(peaks)", "peaks")
    identifiers = checked_identifiers(index)
    before = _own_peaks(index, stored["peaks"])
    genome = genome_of(index)
    added = collect_peaks(peaks, genome)
    again = sorted(set(added.samples) & set(index.obs_names))
    if again:
        msg = f"The index already has the sample(s) {', '.join(map(str, again[:5]))}; give new samples new names."
        raise ValueError(msg)
    both = pd.concat([before.drop(columns="element"), added.to_frame()], ignore_index=True)
    table = collect_peaks(both, genome, named=[*index.obs_names, *added.samples])
    extended = build_index(table, stored["params"], genome, n_jobs=n_jobs)
    _keep_names(extended, index, identifiers)
    return extended, _mapping(before["element"].to_numpy(), identifiers, extended)


def _own_peaks(index: AnnData, peaks: pd.DataFrame) -> pd.DataFrame:
    """Return the stored peaks of the samples that an index still has; all of its elements must be there."""
    n_peaks = np.bincount(peaks["element"], minlength=index.n_vars)
    if not np.array_equal(n_peaks, index.var["n_peaks"]):
        msg = (
            "The elements are not those that the peaks of the index made: some were left out, or their order changed. "
            "Extend the whole index first, then choose elements."
        )
        raise ValueError(msg)
    own = peaks["sample"].isin(index.obs_names).to_numpy()
    renamed = index.obs_names[index.obs["n_peaks"].to_numpy() > 0].difference(peaks["sample"].unique().astype(str))
    if len(renamed):
        msg = f"The index holds no peaks of {listed(renamed)}; have samples been renamed since it was built?"
        raise ValueError(msg)
    return peaks if own.all() else peaks[own]


def checked_identifiers(index: AnnData) -> np.ndarray:
    """Identifiers of the elements as text; numbers are refused, because 1.1 and 1.10 are two names."""
    if "identifier" not in index.var:
        msg = "The index has no .var['identifier']; build it with tl.dhs_index or read it with io.read_dhs_index."
        raise KeyError(msg)
    column = index.var["identifier"]
    if not all(isinstance(name, str) for name in column):
        msg = f"Identifiers are {column.dtype}; expected text: as numbers, 1.1 and 1.10 would be the same."
        raise TypeError(msg)
    return column.to_numpy(dtype=object)


def _coordinates(var: pd.DataFrame) -> zip:
    """Chromosome, start, end and a counter of equals, for each row."""
    turn = var.groupby(["chrom", "start", "end"], observed=True).cumcount()
    return zip(var["chrom"], var["start"], var["end"], turn, strict=True)


def _keep_names(extended: AnnData, index: AnnData, identifiers: np.ndarray) -> None:
    """Replace the identifiers of `extended` by the update rule."""
    stored = index.uns[_keys.DHS_INDEX]
    edges = stored["edges"].set_index("chrom")
    retired = [str(name) for name in stored["retired"]]
    used: dict[str, list[str]] = {}
    for name in (*identifiers, *retired):
        head, _, digits = name.rpartition(".")
        used.setdefault(head, []).append(digits)
    old = dict(zip(_coordinates(index.var), identifiers, strict=True))
    kept = [old.get(place, "").rpartition(".")[2] or None for place in _coordinates(extended.var)]
    names = extended.var["identifier"].to_numpy(dtype=object).copy()
    rows = extended.var.groupby("chrom", observed=True).indices
    for chrom, *ends in edges[["first", "last"]].itertuples(name=None):
        after, head = rows.get(chrom, np.empty(0, np.int64)), prefix(chrom)
        ends = tuple(str(end).removeprefix(f"{head}.") for end in ends)
        digits = renumber([kept[row] for row in after], ends, used.get(head, ()))
        names[after] = [f"{head}.{name}" for name in digits]
    new_edges = extended.uns[_keys.DHS_INDEX]["edges"].set_index("chrom")
    both = pd.concat([edges, new_edges.drop(edges.index, errors="ignore")])
    new_edges = both.loc[new_edges.index.union(edges.index, sort=False)]
    extended.var["identifier"] = names
    extended.var_names = pd.Index(names)
    extended.uns[_keys.DHS_INDEX]["edges"] = new_edges.reset_index()
    gone = sorted({*retired, *(set(identifiers) - set(names))})
    extended.uns[_keys.DHS_INDEX]["retired"] = np.array(gone, dtype=str)


def _mapping(old: np.ndarray, identifiers: np.ndarray, extended: AnnData) -> pd.DataFrame:
    """Pairs of old and new elements that share peaks; the old peaks come first in the new table."""
    new = extended.uns[_keys.DHS_INDEX]["peaks"]["element"].to_numpy()[: len(old)]
    pairs = pd.DataFrame({"old": old, "new": new}).value_counts(sort=False).reset_index(name="n_peaks")
    pairs = pairs.sort_values(["old", "new"], ignore_index=True)
    names = extended.var_names.to_numpy()
    frame = pd.DataFrame({"old": identifiers[pairs["old"]], "new": names[pairs["new"]], "n_peaks": pairs["n_peaks"]})
    return frame.assign(kept=frame["old"] == frame["new"])
