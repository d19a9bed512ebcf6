"""The kernels between transforms against numpy."""

from __future__ import annotations

import numpy as np
import pytest

from scatacworks._core.transposed import frequencies_first, frequencies_last


@pytest.mark.parametrize("shape", [(3, 16, 24), (2, 13, 9), (1, 3, 5)])
def test_transposition_and_back(shape):
    x = np.random.default_rng(0).integers(0, 2**63, shape).astype(np.uint64)
    out, back = np.empty((shape[2], *shape[:2]), np.uint64), np.empty_like(x)
    frequencies_first(x, out)
    np.testing.assert_array_equal(out, x.transpose(2, 0, 1))
    frequencies_last(out, back)
    np.testing.assert_array_equal(back, x)
