"""Identifiers of elements: decimal numbers whose digits give the rank of an element on its chromosome.

The numbering is that of the released DHS index ("chromosome.position"): the sorted elements of a chromosome, with one
made-up site at each end, are divided into nine groups named 1 to 9, each of these into ten named 0 to 9, and so on
until a group holds one element. Read as text after the point, identifiers sort as the elements do. They are text,
never numbers: `1.10` and `1.1` would be the same number.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from typing import TYPE_CHECKING

import numpy as np

from scatacworks._numba import njit

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence


@njit
def _ranks(n: int) -> np.ndarray:
    """Digits (as one integer, trailing zeros dropped) of `n` sorted elements."""
    names = np.empty(n, np.int64)
    stack = [(0, n, 0)]
    while len(stack) > 0:
        first, count, prefix = stack.pop()
        if count == 1 and prefix > 0:
            while prefix % 10 == 0:
                prefix //= 10
            names[first] = prefix
            continue
        groups = 9 if prefix == 0 else 10
        for group in range(groups):
            size = (2 * count + groups - group) // (2 * (groups - group))  # floor(0.5 + count / groups left)
            if size > 0:
                stack.append((first, size, prefix * 10 + group + (10 - groups)))
            first, count = first + size, count - size
    return names


def number(n: int) -> tuple[np.ndarray, tuple[str, str]]:
    """Name `n` sorted elements of a chromosome anew.

    Returns
    -------
    Digits after the point of the elements (text, sorted), and those of the two ends of the
    chromosome, which belong to no element but keep room for later ones.
    """
    names = _ranks(n + 2).astype(np.str_)
    return names[1:-1], (str(names[0]), str(names[-1]))


def _between(left: str, right: str, n: int, taken: Sequence[str]) -> list[str]:
    """`n` names strictly between two, spread evenly, none of them in the sorted `taken`."""
    digits = max(len(left), len(right))
    inside = taken[bisect_right(taken, left) : bisect_left(taken, right)]
    while True:
        low, high = int(left.ljust(digits, "0")), int(right.ljust(digits, "0"))
        used = [int(name.ljust(digits, "0")) for name in inside if len(name) <= digits]
        free = high - low - 1 - len(used)
        if free >= n:
            break
        digits += 1
    names, passed = [], 0
    for at in range(n):
        value = low + 1 + (2 * at + 1) * free // (2 * n) + passed  # the middle of each slot
        while passed < len(used) and used[passed] <= value:
            passed, value = passed + 1, value + 1
        names.append(str(value).rstrip("0"))
    return names


def renumber(kept: Sequence[str | None], ends: tuple[str, str], used: Iterable[str]) -> list[str]:
    """Name the elements that have none yet, between those that keep theirs.

    Parameters
    ----------
    kept
        For each sorted element of a chromosome the digits of its old name, or `None`.
    ends
        Digits of the two ends of the chromosome.
    used
        Digits that were ever given on this chromosome; none is given again.

    Returns
    -------
    Digits of all elements, sorted as text.
    """
    taken = sorted({*used, *ends, *(name for name in kept if name is not None)})
    names: list[str] = []
    left, waiting = ends[0], 0
    for name in [*kept, ends[1]]:
        if name is None:
            waiting += 1
            continue
        if waiting:
            names += _between(left, name, waiting, taken)
        names.append(name)
        left, waiting = name, 0
    return names[:-1]
