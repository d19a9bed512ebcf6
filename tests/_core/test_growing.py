"""Runs appended part by part equal their concatenation."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from scatacworks._core.growing import GrowingRuns

PARTS = st.lists(
    st.tuples(
        st.integers(0, 9000),
        st.booleans(),
        st.sampled_from([np.uint16, np.uint32, np.float32]),
    ),
    max_size=6,
)


def _part(n: int, *, all_one: bool, dtype: type, seed: int) -> tuple[np.ndarray, np.ndarray | None, np.ndarray]:
    rng = np.random.default_rng(seed)
    lengths = None if all_one else rng.integers(1, 9, n).astype(np.int32)
    return np.arange(n, dtype=np.int32), lengths, rng.integers(0, 60_000, n).astype(dtype)


@given(PARTS)
def test_equals_concatenation(shapes):
    parts = [_part(n, all_one=one, dtype=dtype, seed=i) for i, (n, one, dtype) in enumerate(shapes)]
    growing = GrowingRuns()
    for part in parts:
        growing.append(*part)
    starts, lengths, values = growing.take()
    kept = [part for part in parts if len(part[0])]
    np.testing.assert_array_equal(starts, np.concatenate([np.empty(0, np.int32), *(part[0] for part in kept)]))
    if all(part[1] is None for part in kept):
        assert lengths is None
    else:
        expected = [np.ones(len(s), np.int32) if size is None else size for s, size, _ in kept]
        np.testing.assert_array_equal(lengths, np.concatenate(expected))
    expected = np.concatenate([part[2] for part in kept]) if kept else np.empty(0, np.float32)
    assert values.dtype == expected.dtype
    np.testing.assert_array_equal(values, expected)


def test_a_given_type_is_kept():
    growing = GrowingRuns(np.uint32)
    growing.append(*_part(5, all_one=True, dtype=np.uint16, seed=0))
    assert growing.take()[2].dtype == np.uint32
