"""Names of groups as users give them."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np

__all__ = ["group_name", "group_names"]


def group_name(value: Any) -> str:
    """Return the name that a value stands for; 10.0 is 10, as missing values turn whole numbers into floats."""
    return str(int(value)) if isinstance(value, float | np.floating) and value.is_integer() else str(value)


def group_names(groups: Iterable[Any] | str | float) -> list[str]:
    """Return the names asked for; a single one is a list of one, and numbers are names, never positions."""
    single = isinstance(groups, str) or not isinstance(groups, Iterable)
    return [group_name(value) for value in ([groups] if single else groups)]
