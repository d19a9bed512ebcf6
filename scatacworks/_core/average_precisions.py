"""Average precision of one ranking against many sets at once."""

from __future__ import annotations

import numpy as np

from scatacworks._numba import njit


@njit
def average_precisions(
    order: np.ndarray, values: np.ndarray, indptr: np.ndarray, rows: np.ndarray, n_rows: int
) -> np.ndarray:
    """Area under the precision-recall curve (average precision) of a ranking for each row of a binary matrix.

    Parameters
    ----------
    order
        Columns by falling value.
    values
        Value of each column; equal values are one step of the curve.
    indptr, rows
        The binary matrix by columns (rows of column j are `rows[indptr[j]:indptr[j + 1]]`).
    n_rows
        Number of rows.

    Returns
    -------
    float64 (n_rows,); NaN for rows without ones.
    """
    found, before = np.zeros(n_rows), np.zeros(n_rows)
    area = np.zeros(n_rows)
    touched = np.empty(n_rows, np.int64)
    in_step = np.zeros(n_rows, np.bool_)
    n_touched = 0
    for at in range(len(order)):
        column = order[at]
        for p in range(indptr[column], indptr[column + 1]):
            row = rows[p]
            found[row] += 1
            if not in_step[row]:
                in_step[row] = True
                touched[n_touched] = row
                n_touched += 1
        if at + 1 == len(order) or values[order[at + 1]] != values[column]:
            for step in range(n_touched):
                row = touched[step]
                area[row] += (found[row] - before[row]) * found[row] / (at + 1)
                before[row] = found[row]
                in_step[row] = False
            n_touched = 0
    for row in range(n_rows):
        area[row] = area[row] / found[row] if found[row] > 0 else np.nan
    return area
