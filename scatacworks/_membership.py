"""Groups of cells: from an `.obs` column, or from a cells x groups membership in `.obsm`."""

from __future__ import annotations

import warnings
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
from scipy import sparse

from scatacworks._anndata import params_of
from scatacworks._arrays import require_sound
from scatacworks._groups import as_categories, chosen_groups, group_name, group_names
from scatacworks._text import listed

if TYPE_CHECKING:
    from collections.abc import Sequence

    from anndata import AnnData

_FEW_NUMBERS, _ROWS_PER_NUMBER = 10, 5  # more numbers, of fewer cells or samples each on average, are no groups
_SHORT = 60  # letters of an argument that a message shows


@dataclass(frozen=True)
class Membership:
    """Which cells belong to which groups; a cell may be in several groups, or in none.

    Attributes
    ----------
    groups
        Names, str, `(n_groups,)`.
    matrix
        Boolean CSR, `(n_cells, n_groups)`, indices sorted.
    """

    groups: np.ndarray
    matrix: sparse.csr_matrix

    @property
    def n_cells(self) -> np.ndarray:
        """Cells in every group; int64, `(n_groups,)`."""
        return np.bincount(self.matrix.indices, minlength=len(self.groups)).astype(np.int64)

    @property
    def cells(self) -> list[np.ndarray]:
        """Positions of the cells of every group, in order."""
        by_group = self.matrix.tocsc()
        return np.split(by_group.indices, by_group.indptr[1:-1])

    def sums(self, per_cell: np.ndarray) -> np.ndarray:
        """Return the sum of a number per cell over every group; int64, `(n_groups,)`."""
        return np.asarray(per_cell, np.int64) @ self.matrix.astype(np.int64)

    def select(self, columns: np.ndarray | slice) -> Membership:
        """Return some of the groups, in this order."""
        matrix = self.matrix[:, columns].tocsr()
        matrix.sort_indices()
        return Membership(self.groups[columns], matrix)


def has_groups(adata: AnnData, groupby: str) -> bool:
    """Tell whether there is a column of `.obs` or a key of `.obsm` of this name."""
    return groupby in adata.obs or groupby in adata.obsm


def groupby_of(adata: AnnData, key: str) -> str:
    """Return the `groupby` that the groups of a slot of `.uns` came from; an empty string where it is not known.

    A slot made from another one, as denoised tracks are, names that as its `key`.
    """
    own = params_of(adata, key)
    return str(own.get("groupby") or params_of(adata, str(own.get("key", ""))).get("groupby") or "")


def resolve_groups(
    adata: AnnData,
    groupby: str,
    *,
    groups: Sequence[str] | None = None,
    min_cells: int = 0,
    tell_missing: bool = True,
) -> Membership:
    """Return the groups that `groupby` names.

    Parameters
    ----------
    adata
        The cells.
    groupby
        A column of `.obs` (a category each, in their order, or sorted, text naturally: CD4 before CD14; numbers that
        measure cells are no groups), or a key of `.obsm` with a cells x groups membership, where every non-zero entry
        makes a member; the column wins where both exist.
    groups
        Names of the groups to keep, in this order; all by default.
    min_cells
        Groups with fewer cells are left out, with a warning; 0 keeps the empty ones too.
    tell_missing
        Warn of cells without a group; not where the pseudobulk of the same groups told so already.

    Raises
    ------
    TypeError
        If `groupby` is not a name.
    KeyError
        If there is no such column or key, or no such group.
    ValueError
        If a membership does not fit the cells, a column holds measurements, or no group is left.
    """
    if not isinstance(groupby, str):
        shown = repr(groupby)
        shown = shown if len(shown) <= _SHORT else f"a {type(groupby).__name__}"  # a whole column
        msg = f"groupby is {shown}; expected the name of one column of .obs, or of one membership in .obsm."
        columns = isinstance(groupby, list | tuple) and all(isinstance(name, str) for name in groupby)
        if columns and len(groupby) > 1 and set(groupby) <= set(adata.obs):
            joined = " + ' ' + ".join(f"adata.obs[{name!r}].astype('string')" for name in groupby)
            msg += f" Join the columns to one: adata.obs['group'] = {joined}."
        raise TypeError(msg)
    if groupby in adata.obs:
        membership = _from_column(adata.obs[groupby], groupby, tell_missing=tell_missing)
    elif groupby in adata.obsm:
        membership = _from_obsm(adata, groupby)
    else:
        msg = (
            f"groupby={groupby!r} is neither a column of .obs ({listed(adata.obs.columns)}) nor a membership in "
            f".obsm ({listed(adata.obsm.keys())})."
        )
        raise KeyError(msg)
    if groups is not None:
        membership = membership.select(_positions(membership.groups, groups, groupby))
    enough = membership.n_cells >= min_cells
    if not enough.all():
        small = [f"{g!r} ({n})" for g, n in zip(membership.groups[~enough], membership.n_cells[~enough], strict=True)]
        msg = f"Left out {len(small)} group(s) with fewer than min_cells={min_cells} cells: {listed(small)}."
        warnings.warn(msg, UserWarning, stacklevel=3)
        membership = membership.select(np.flatnonzero(enough))
    if len(membership.groups) == 0:
        why = f"every entry is missing, or below min_cells={min_cells}" if adata.n_obs else "the object has no cells"
        msg = f"groupby={groupby!r} leaves no group: {why}."
        raise ValueError(msg)
    return membership


def _from_column(column: pd.Series, name: str, *, tell_missing: bool) -> Membership:
    codes, names = column_groups(column)
    missing = int((codes < 0).sum())
    if tell_missing and 0 < missing < len(codes):
        msg = f"{missing:,} of {len(codes):,} cells have no value in .obs[{name!r}] and are left out of every group."
        warnings.warn(msg, UserWarning, stacklevel=4)
    cells = np.flatnonzero(codes >= 0)
    return Membership(names, membership_matrix(cells, codes[cells], (len(codes), len(names))))


def column_groups(column: pd.Series) -> tuple[np.ndarray, np.ndarray]:
    """Return which group each row of a column of `.obs` is in, -1 where it has none, and the groups' names.

    The one rule for what is a category: text, truth values, a categorical of anything, and whole numbers as far as
    they name groups (clusters) rather than measure.

    Raises
    ------
    ValueError
        If the column holds measurements.
    """
    categories = as_categories(column)
    if not isinstance(column.dtype, pd.CategoricalDtype):
        _check_is_grouping(categories.cat.categories, int(column.notna().sum()), str(column.name))
    return categories.cat.codes.to_numpy(), np.array(group_names(categories.cat.categories), dtype=object)


def _check_is_grouping(values: pd.Index, n_rows: int, column: str) -> None:
    """Refuse numbers that measure: fractions, or nearly as many values as rows."""
    if not pd.api.types.is_numeric_dtype(values) or pd.api.types.is_bool_dtype(values):
        return
    broken = values[values % 1 != 0]
    if len(broken):
        found = f"is a measurement, with values such as {broken[0]}"
    elif len(values) > _FEW_NUMBERS and n_rows < _ROWS_PER_NUMBER * len(values):
        found = f"looks like a measurement, with {len(values):,} values in {n_rows:,} rows, such as "
        found += group_name(values[-1])
    else:
        return
    msg = (
        f".obs[{column!r}] {found}; expected groups. If every value does name a group: "
        f"adata.obs[{column!r}] = adata.obs[{column!r}].astype('category')."
    )
    raise ValueError(msg)


def _from_obsm(adata: AnnData, key: str) -> Membership:
    stored = adata.obsm[key]
    expected = "expected a membership (non-zero: the cell is in)"
    try:
        values = stored.to_numpy(np.float64, na_value=np.nan) if isinstance(stored, pd.DataFrame) else stored
    except (TypeError, ValueError) as error:
        msg = f".obsm[{key!r}] has columns that are no numbers; {expected}."
        raise ValueError(msg) from error
    matrix = sparse.csr_matrix(values, copy=True)  # of which the stored zeros are dropped
    require_sound(matrix, f".obsm[{key!r}]")
    matrix.eliminate_zeros()
    if matrix.nnz and not np.isfinite(matrix.data).all():
        msg = f".obsm[{key!r}] has entries that are not finite; {expected}."
        raise ValueError(msg)
    if matrix.nnz and matrix.data.min() < 0:
        msg = f".obsm[{key!r}] has negative entries, as an embedding has; {expected}."
        raise ValueError(msg)
    kept = adata.uns.get(key)
    names = np.arange(matrix.shape[1])
    if isinstance(stored, pd.DataFrame):
        names = stored.columns
    elif hasattr(kept, "get") and kept.get("groups") is not None:
        names = np.atleast_1d(kept["groups"])
    if len(names) != matrix.shape[1]:
        msg = f".uns[{key!r}]['groups'] names {len(names)} groups, but .obsm[{key!r}] has {matrix.shape[1]} columns."
        raise ValueError(msg)
    cells = np.repeat(np.arange(matrix.shape[0]), np.diff(matrix.indptr))
    return Membership(
        np.asarray(names).astype(str).astype(object), membership_matrix(cells, matrix.indices, matrix.shape)
    )


def membership_matrix(cells: np.ndarray, groups: np.ndarray, shape: tuple[int, int]) -> sparse.csr_matrix:
    """Return a boolean CSR with these members, sorted and each once."""
    matrix = sparse.csr_matrix((np.ones(len(cells), bool), (cells, groups)), shape=shape)
    matrix.sum_duplicates()
    matrix.sort_indices()
    return matrix


def _positions(names: np.ndarray, wanted: Sequence[str], groupby: str) -> np.ndarray:
    known = {name: position for position, name in enumerate(names)}
    wanted = chosen_groups(wanted, names, unique=False)
    unknown = [name for name in wanted if name not in known]
    if unknown:
        msg = f"{groupby!r} has no group {listed(map(repr, unknown))}; it has {listed(map(repr, names))}."
        raise KeyError(msg)
    return np.array([known[name] for name in wanted], np.int64)
