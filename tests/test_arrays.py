"""Sparse matrices that lead out of themselves."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import sparse

from scatacworks._arrays import require_sound


def make(form, pointers=np.int32, columns=np.int32):
    """Make a matrix of 3 x 4 or 4 x 3 with three values and room for more."""
    matrix = getattr(sparse, f"{form}_matrix")((3, 4) if form == "csr" else (4, 3))
    matrix.indptr = np.array([0, 2, 2, 3], pointers)
    matrix.indices, matrix.data = np.array([1, 3, 0, 99], columns), np.ones(4)
    return matrix


@pytest.mark.parametrize("form", ["csr", "csc"])
@pytest.mark.parametrize("types", [(np.int32, np.int32), (np.int64, np.int32), (np.int64, np.int64)])
def test_a_sound_matrix_is_left_as_it_is(form, types):
    matrix = make(form, *types)
    before = matrix.indptr, matrix.indices, matrix.data
    require_sound(matrix, "It")
    assert all(now is then for now, then in zip((matrix.indptr, matrix.indices, matrix.data), before, strict=True))
    require_sound(getattr(sparse, f"{form}_matrix")((3, 0)), "It")


@pytest.mark.parametrize("form", ["csr", "csc"])
@pytest.mark.parametrize(
    ("part", "values", "told"),
    [
        ("indptr", [0, 2, 1, 3], "count up from 0 in 4 steps"),
        ("indptr", [1, 2, 2, 3], "count up from 0 in 4 steps"),
        ("indptr", [0, 2, 3], "count up from 0 in 4 steps"),
        ("indptr", [0, 2, 2, 5], "ends at 5, beyond its 4 values"),
        ("data", [1.0, 1.0], "ends at 3, beyond its 2 values"),
        ("indices", [1, 4, 0], "indices must be from 0 to 3"),
        ("indices", [1, -1, 0], "indices must be from 0 to 3"),
    ],
)
def test_a_matrix_that_leads_out_of_itself_is_refused(form, part, values, told):
    matrix = make(form)
    setattr(matrix, part, np.array(values))
    with pytest.raises(ValueError, match=f"It is damaged: .*{told}"):
        require_sound(matrix, "It")
