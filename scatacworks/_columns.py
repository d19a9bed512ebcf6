"""Positions and counts in columns of tables, checked."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

if TYPE_CHECKING:
    from collections.abc import Callable

    from scatacworks.genome import Genome

_BOUND = 2**31  # positions are stored as int32


def whole_numbers(
    column: pd.Series, table: object, where: Callable[[Any], str] = "row {}".format, *, least: int = 1 - _BOUND
) -> np.ndarray:
    """Return a column as int64: integers of any type, floats that are whole, and text of such numbers.

    `table` is what errors call the table, a path or words, and `where` what they call a row by its label in the index.

    Raises
    ------
    ValueError
        If a value is missing, no whole number, below `least` or beyond 32 bits; the first is named.
    """
    numbers = pd.to_numeric(column, errors="coerce")
    of_numpy = isinstance(numbers.dtype, np.dtype)
    numbers = numbers.to_numpy() if of_numpy else numbers.to_numpy(np.float64, na_value=np.nan)
    wrong = (numbers < least) | (numbers >= _BOUND)
    if numbers.dtype.kind == "f":
        wrong |= numbers != np.rint(numbers)  # nor is what is missing
    if wrong.any():
        row = int(np.argmax(wrong))
        bounds = "below 2^31" if least == 1 - _BOUND else f"of {least} or more, below 2^31"
        msg = (
            f"{table}, {where(column.index[row])}: {column.name} is {column.iloc[[row]].tolist()[0]!r}; expected a "
            f"whole number {bounds}. Correct it, or leave the row out."
        )
        raise ValueError(msg)
    return numbers.astype(np.int64)  # a copy, so that nothing can write into the caller's table


def placed(
    table: pd.DataFrame, genome: Genome, name: object = "the table of regions"
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return chromosome codes, -1 where the genome lacks it, starts and ends of a table, which errors call `name`."""
    start, end = (whole_numbers(table[column], name) for column in ("start", "end"))
    return genome.resolve(table["chrom"]), start, end


def intervals(
    table: pd.DataFrame, name: object, where: Callable[[Any], str] = "row {}".format
) -> tuple[np.ndarray, np.ndarray]:
    """Return `start` and `end` of a table as int64; `name` and `where` as in :func:`whole_numbers`.

    Raises
    ------
    ValueError
        If a row has no chromosome, or not whole numbers with 0 <= start < end; the first is named.
    """
    start, end = (whole_numbers(table[column], name, where) for column in ("start", "end"))
    wrong = table["chrom"].isna().to_numpy() | (start < 0) | (end <= start)
    if wrong.any():
        row = int(np.argmax(wrong))
        msg = (
            f"{name}, {where(table.index[row])}: found {table['chrom'].iloc[row]}, {start[row]} to {end[row]}; "
            "expected a chromosome and 0 <= start < end (0-based, half-open). Correct it, or leave the row out."
        )
        raise ValueError(msg)
    return start, end
