"""Strands in the spellings that tables have them in."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import numpy as np
    import pandas as pd

_SPELLINGS = {"+": "+", "1": "+", "+1": "+", "-": "-", "-1": "-"} | dict.fromkeys((".", "*", "?", "", "0"), ".")


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
