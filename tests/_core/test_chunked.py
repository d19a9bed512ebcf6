from __future__ import annotations

import numpy as np
import pytest

from scatacworks._core.chunked import Chunked


class Stored:
    """An array in chunks of 10 that counts how often it is read."""

    chunks = (10,)

    def __init__(self, n):
        self.values = np.arange(n, dtype=np.int32)
        self.shape, self.dtype, self.n_reads = (n,), self.values.dtype, 0

    def __getitem__(self, wanted):
        self.n_reads += 1
        return self.values[wanted].copy()


@pytest.mark.parametrize("n", [1, 10, 25])
def test_every_slice_and_element_is_that_of_the_array(n):
    stored = Stored(n)
    chunked = Chunked(stored)
    for low in range(n):
        assert chunked[low] == low
        for high in range(n + 3):
            np.testing.assert_array_equal(chunked[low:high], stored.values[low:high])
        np.testing.assert_array_equal(chunked[low::3], stored.values[low::3])
    np.testing.assert_array_equal(chunked[:], stored.values)
    np.testing.assert_array_equal(np.asarray(chunked), stored.values)
    assert np.asarray(chunked, float).dtype == float


def test_neighbouring_slices_read_a_chunk_once():
    stored = Stored(100)
    chunked = Chunked(stored)
    for low in range(0, 100, 2):
        chunked[low : low + 2]
    assert stored.n_reads == 10


def test_a_slice_is_the_readers_own():
    chunked = Chunked(Stored(20))
    chunked[2:5][:] = -1
    assert chunked[2:5].tolist() == [2, 3, 4]
