"""Names of groups as users give them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Iterable

__all__ = ["group_names"]


def group_names(groups: Iterable[Any] | str | int) -> list[str]:
    """Return the names asked for; a single one is a list of one, and numbers are names, never positions."""
    return [str(name) for name in ([groups] if isinstance(groups, str) or np.ndim(groups) == 0 else groups)]
