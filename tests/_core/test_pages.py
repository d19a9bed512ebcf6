"""Arrays on pages of their own behave like any other."""

from __future__ import annotations

import mmap
import pickle

import anndata as ad
import numpy as np
import pytest

from scatacworks._core import pages


@pytest.mark.parametrize("n", [0, 1, 100, 300_000, 1_500_000])
@pytest.mark.parametrize("dtype", [np.int64, "u2"])
def test_an_array_is_of_the_size_and_kind_asked_for(n, dtype):
    values = pages.empty(np.int64(n), dtype)
    assert (values.shape, values.dtype) == ((n,), np.dtype(dtype))
    values[:] = np.arange(n) % 251
    values.sort()
    np.testing.assert_array_equal(values, np.sort(np.arange(n) % 251))


def test_memory_stays_while_a_view_of_it_lives():
    view = pages.empty(300_000, np.int32)[10:]
    view[:] = 7
    others = [pages.empty(300_000, np.int32) for _ in range(20)]
    for other in others:
        other[:] = 1
    assert (view == 7).all()


def test_a_kernel_without_huge_pages_will_do(monkeypatch):
    class Plain(mmap.mmap):
        def madvise(self, _option):
            raise OSError(22, "Invalid argument")

    monkeypatch.setattr(mmap, "mmap", Plain)
    assert len(pages.empty(1_500_000, np.int64)) == 1_500_000


def test_an_array_is_pickled():
    values = pages.empty(1_000_000, np.int32)
    values[:] = np.arange(1_000_000)
    np.testing.assert_array_equal(pickle.loads(pickle.dumps(values[1:])), values[1:])


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
