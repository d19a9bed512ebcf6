"""Arguments that are numbers, one of a few words, or yes or no."""

from __future__ import annotations

import operator
from numbers import Real
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Iterable

__all__ = ["above_zero", "flag", "one_of", "real", "share", "whole"]


def flag(value: Any, name: str) -> bool:
    """Return an argument that must be `True` or `False`, where taking `"no"` for yes would do harm.

    Raises
    ------
    TypeError
        If it is anything else.
    """
    if not isinstance(value, bool | np.bool_):
        msg = f"{name} is {value!r} ({type(value).__name__}); expected True or False."
        raise TypeError(msg)
    return bool(value)


def one_of(value: Any, name: str, known: Iterable[str | None]) -> Any:
    """Return an argument that must be one of some words, or `None` where that is among them.

    Raises
    ------
    ValueError
        If it is anything else.
    """
    *others, last = known = list(known)
    if not isinstance(value, str | None) or value not in known:
        msg = f"{name}={value!r} is unknown; expected {', '.join(map(repr, others))} or {last!r}."
        raise ValueError(msg)
    return value


def real(value: Any, name: str) -> float:
    """Return an argument that must be a number, as a `float`; text, also of digits, and truth values are none.

    Raises
    ------
    TypeError
        If it is anything else.
    """
    if not isinstance(value, Real) or isinstance(value, bool):
        msg = f"{name} is {value!r} ({type(value).__name__}); expected a number."
        raise TypeError(msg)
    return float(value)


def above_zero(value: Any, name: str, *, also: str = "") -> float:
    """Return an argument that must be a number above 0, as a `float`; `also` goes on with what is expected.

    Raises
    ------
    TypeError
        If it is no number.
    ValueError
        If it is out of range.
    """
    number = real(value, name)
    if not number > 0:
        msg = f"{name} is {value}; expected a number above 0{also}."
        raise ValueError(msg)
    return number


def share(value: Any, name: str, *, inside: bool = False) -> float:
    """Return an argument that must be a number from 0 to 1, or between the two with `inside`, as a `float`.

    Raises
    ------
    TypeError
        If it is no number.
    ValueError
        If it is out of range.
    """
    number = real(value, name)
    if not (0 < number < 1 if inside else 0 <= number <= 1):
        msg = f"{name} is {value}; expected a number {'between 0 and 1' if inside else 'from 0 to 1'}."
        raise ValueError(msg)
    return number


def whole(value: Any, name: str, *, least: int | None = 1, most: int | None = None, of: str = "") -> int:
    """Return an argument that must be a whole number, as an `int`.

    Parameters
    ----------
    value
        What was given: any integer type, those of numpy too, or a float that is whole, such as `1e5`; no text, no bool.
    name
        The argument's name.
    least, most
        Smallest and largest value; `None` for no bound.
    of
        What the largest value is, such as `"the number of cells"`.

    Raises
    ------
    TypeError
        If it is anything else.
    ValueError
        If it is out of range.
    """
    expected = "a whole number"
    if most is not None:
        expected += f" from {least} to {most:,}" + (f", {of}" if of else "")
    elif least is not None:
        expected += f" of {least} or more"
    try:
        whole_float = isinstance(value, float | np.floating) and value.is_integer()
        number = int(value) if whole_float else operator.index(value)
    except TypeError:
        number = None
    if number is None or isinstance(value, bool | np.bool_):
        msg = f"{name} is {value!r} ({type(value).__name__}); expected {expected}."
        raise TypeError(msg)
    if (least is not None and number < least) or (most is not None and number > most):
        msg = f"{name} is {number}; expected {expected}."
        raise ValueError(msg)
    return number
