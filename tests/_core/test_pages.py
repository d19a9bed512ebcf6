"""Arrays on pages of their own behave like numpy's."""

from __future__ import annotations

import pickle

import anndata as ad
import numpy as np
import pytest

from scatacworks._core import pages


@pytest.mark.parametrize("n", [0, 3, 1_000_000])
def test_a_copy_is_an_array_of_its_own(n):
    values = np.arange(n, dtype=np.int32)
    copy = pages.copy(values)
    assert copy.dtype == values.dtype
    np.testing.assert_array_equal(copy, values)
    copy += 1
    np.testing.assert_array_equal(values, np.arange(n))
    np.testing.assert_array_equal(pickle.loads(pickle.dumps(copy[1:])), values[1:] + 1)


def test_a_view_outlives_the_array(tmp_path):
    whole = pages.empty(1_000_000, np.uint16)
    whole[:] = 7
    view = whole[5:500_000]
    del whole
    ad.AnnData(np.zeros((1, 1), np.float32), uns={"view": view}).write_h5ad(tmp_path / "a.h5ad")
    assert (ad.read_h5ad(tmp_path / "a.h5ad").uns["view"] == 7).all()


def test_too_little_memory_is_a_memory_error():
    with pytest.raises(MemoryError, match="4,398,046,511,104 MiB for an array of 576,460,752,303,423,488 int64"):
        pages.empty(2**59, np.int64)
