"""Numbers and names as messages show them."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterable


def counted(n: int, noun: str) -> str:
    """Return a number and what it counts: `1 group`, `2,000 groups`."""
    return f"{n:,} {noun}" + ("" if n == 1 else "s")


def listed(names: Iterable[Any], most: int = 5) -> str:
    """Return the first names, and how many there are where that is not all: `a, b, c, d, e, … (12 in all)`."""
    names = [str(name) for name in names]
    if not names:
        return "none"
    return ", ".join(names[:most]) + (f", … ({len(names)} in all)" if len(names) > most else "")


def natural(name: str) -> tuple[tuple[int, int | str], ...]:
    """Sort key by which chr2 comes before chr10."""
    return tuple((0, int(part)) if part.isdecimal() else (1, part) for part in re.findall(r"\d+|\D+", name))
