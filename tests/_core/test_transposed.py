"""The kernels between transforms against numpy."""

from __future__ import annotations

import numpy as np
import pytest

from scatacworks._core.transposed import frequencies_first, frequencies_last, rectify


@pytest.mark.parametrize("shape", [(3, 16, 24), (2, 13, 9), (1, 3, 5)])
def test_transposition_and_back(shape):
    x = np.random.default_rng(0).integers(0, 2**63, shape).astype(np.uint64)
    out, back = np.empty((shape[2], *shape[:2]), np.uint64), np.empty_like(x)
    frequencies_first(x, out)
    np.testing.assert_array_equal(out, x.transpose(2, 0, 1))
    frequencies_last(out, back)
    np.testing.assert_array_equal(back, x)


@pytest.mark.parametrize("with_skip", [False, True])
def test_rectify(with_skip):
    x, skip = np.random.default_rng(0).normal(size=(2, 3, 7, 11)).astype(np.float32)
    bias, out = np.array([1, -1, 0.5], np.float32), np.empty_like(x)
    rectify(x, bias, skip if with_skip else skip[:0], out)
    np.testing.assert_array_equal(out, np.maximum(x + bias[:, None, None] + (skip if with_skip else 0), 0))
