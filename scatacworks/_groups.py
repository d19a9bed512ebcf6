"""Names of groups as users give them."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np
import pandas as pd

from scatacworks._text import listed, natural

__all__ = ["as_categories", "chosen_groups", "group_name", "group_names", "named"]


def as_categories(column: pd.Series) -> pd.Series:
    """Return a column as categories, those of text in natural order (CD4 before CD14), as AnnData writes it."""
    if isinstance(column.dtype, pd.CategoricalDtype):
        return column
    found = column.astype("category")
    if pd.api.types.infer_dtype(found.cat.categories) != "string":
        return found
    return found.cat.reorder_categories(sorted(found.cat.categories, key=natural))


def group_name(value: Any) -> str:
    """Return the name that a value stands for; 10.0 is 10, as missing values turn whole numbers into floats.

    Raises
    ------
    TypeError
        If it is several.
    """
    value = value.item() if isinstance(value, np.ndarray) and value.ndim == 0 else value
    if isinstance(value, Iterable) and not isinstance(value, str | bytes):
        msg = f"{value!r} is no name of a group; expected a text or a number, such as 'B' or 3."
        raise TypeError(msg)
    return str(int(value)) if isinstance(value, float | np.floating) and value.is_integer() else str(value)


def named(column: pd.Series) -> pd.Series:
    """Return a column with the names that its values stand for, each found once however many rows have it."""
    codes, values = pd.factorize(column, use_na_sentinel=False)
    return pd.Series(np.array([group_name(value) for value in values], dtype=object)[codes], column.index)


def group_names(groups: Iterable[Any] | str | float) -> list[str]:
    """Return the names asked for; a single one is a list of one, and numbers are names, never positions."""
    single = isinstance(groups, str) or not isinstance(groups, Iterable) or getattr(groups, "ndim", 1) == 0
    return [group_name(value) for value in ([groups] if single else groups)]


def chosen_groups(
    groups: Iterable[Any] | str | float | None, known: Iterable[Any], *, unique: bool = True, within: str | None = None
) -> list[str]:
    """Return the names asked for, by default all that are known.

    Raises
    ------
    KeyError
        If one is not known, where it is said what has the groups, `within`; others look the names up themselves.
    ValueError
        If none is asked for, as a selection that found nothing does: that is not meant to be no work, or all. If one is
        named twice, where they have to be `unique`.
    """
    known = group_names(known)
    names = known if groups is None else group_names(groups)
    if groups is not None and not names:
        msg = "groups is empty; name at least one group, or leave it out for all."
        raise ValueError(msg)
    if unique and len(set(names)) < len(names):
        msg = f"groups names {next(name for name in names if names.count(name) > 1)!r} more than once."
        raise ValueError(msg)
    unknown = set() if within is None else set(names).difference(known)
    if unknown:
        first = next(name for name in names if name in unknown)
        msg = f"There is no group {first!r} {within}; the groups are {listed(map(repr, known))}."
        raise KeyError(msg)
    return names
