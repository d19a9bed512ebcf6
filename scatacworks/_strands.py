"""Strands in the spellings that tables have them in."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    import pandas as pd

_SPELLINGS = {"+": "+", "1": "+", "+1": "+", "-": "-", "-1": "-"} | dict.fromkeys((".", "*", "?", "", "0"), ".")


def start_sites(genes: pd.DataFrame) -> np.ndarray:
    """Return the first base of every gene in its own direction, the leftmost where that is not known; int64."""
    start, end = (genes[name].to_numpy(np.int64) for name in ("start", "end"))
    return np.where(genes["strand"].to_numpy() == "-", end - 1, start)


def strands_of(column: pd.Series, what: str) -> np.ndarray:
    """Return `+`, `-` or, where the strand is not known, `.` of every row, as objects.

    Raises
    ------
    ValueError
        If a strand is something else; `what` names the table.
    """
    text = column.astype(object).where(column.notna(), ".").astype(str).str.strip().str.removesuffix(".0")
    strands = text.map(_SPELLINGS)
    if strands.isna().any():
        msg = f"A strand in {what} is {text[strands.isna()].iloc[0]!r}; expected '+', '-' or '.', or 1 and -1."
        raise ValueError(msg)
    return strands.to_numpy(object)
