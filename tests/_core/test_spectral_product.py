"""The product over channels against numpy's, for vectors of either length."""

from __future__ import annotations

import numba
import numpy as np
import pytest

from scatacworks._core import spectral_product
from scatacworks._core.fourier import LANES, N_FFT, ROWS
from scatacworks._core.spectral_product import OUTPUTS, arrange, make_tile, multiply


@pytest.fixture(scope="module", params=[8, 16])
def product(request):
    """The product in vectors of one or the other length."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(spectral_product, "WIDTH", request.param)
        patch.setattr(spectral_product, "_tile", make_tile(request.param))
        compiled = numba.njit(multiply.py_func)
        compiled.compile("void(complex64[:, :, :, ::1], float32[:, :, :, ::1], float32[:, :, :, ::1])")
    return compiled


@pytest.mark.parametrize(("n_inputs", "n_outputs"), [(1, 15), (15, 15), (4, 7), (3, 1)])
def test_product_equals_numpy(product, n_inputs, n_outputs):
    rng = np.random.default_rng(0)
    kernel = rng.normal(size=(n_outputs, n_inputs, N_FFT)) + 1j * rng.normal(size=(n_outputs, n_inputs, N_FFT))
    x = rng.normal(size=(n_inputs, 2, ROWS, LANES)).astype(np.float32)
    filled = -(-n_outputs // OUTPUTS) * OUTPUTS
    out = np.full((filled, 2, ROWS, LANES), 7, np.float32)
    product(arrange(kernel), x, out)
    expected = np.einsum("ocf,cfl->ofl", kernel, x[:, 0, :N_FFT] + 1j * x[:, 1, :N_FFT])
    found = out[:, 0, :N_FFT] + 1j * out[:, 1, :N_FFT]
    assert np.abs(found[:n_outputs] - expected).max() < 1e-6 * np.abs(expected).max()
    assert (found[n_outputs:] == 0).all()
    assert (out[:, :, N_FFT:] == 7).all()


def test_vectors_divide_the_lanes():
    assert LANES % spectral_product.WIDTH == 0
