"""The transform over lanes against numpy's, and a convolution by it against its definition."""

from __future__ import annotations

import numpy as np
import pytest

from scatacworks._core import fourier
from scatacworks._core.fourier import COS, LANES, N_FFT, ORDER, ROWS, SIN


def signals(n_channels, n_rows, seed=0):
    return np.random.default_rng(seed).normal(size=(n_channels, 2, n_rows, LANES)).astype(np.float32)


def test_transform_equals_numpy():
    x, out = signals(3, 300), np.full((3, 2, ROWS, LANES), 7, np.float32)
    fourier.transform(x, 20, out, COS, SIN)
    assert (out[:, :, N_FFT:] == 7).all()
    out = out[:, :, :N_FFT]
    expected = np.fft.fft((x[:, 0] + 1j * x[:, 1])[:, 20 : 20 + N_FFT].astype(complex), axis=1)[:, ORDER]
    error = np.abs(out[:, 0] + 1j * out[:, 1] - expected)
    assert error.max() < 1e-6 * np.abs(expected).max()
    assert sorted(ORDER) == list(range(N_FFT))


@pytest.mark.parametrize("with_skip", [False, True])
def test_restore_undoes_transform_and_adds(with_skip):
    x, skip, bias = signals(2, N_FFT), signals(2, 400, seed=1), np.array([-0.5, 1], np.float32)
    spectra = np.zeros((2, 2, ROWS, LANES), np.float32)
    fourier.transform(x, 0, spectra, COS, SIN)
    out = np.full((2, 2, 400, LANES), 7, np.float32)
    fourier.restore(spectra / N_FFT, 50, bias, skip if with_skip else skip[:0], out, 100, 150, COS, SIN)
    expected = x[:, :, 50:200] + bias[:, None, None, None] + (skip[:, :, 100:250] if with_skip else 0)
    np.testing.assert_allclose(out[:, :, 100:250], np.maximum(expected, 0), atol=3e-6)
    assert (out[:, :, :100] == 7).all()
    assert (out[:, :, 250:] == 7).all()


def test_noise_does_not_become_denormal():
    spectra, out = np.zeros((1, 2, ROWS, LANES), np.float32), np.full((1, 2, N_FFT, LANES), 7, np.float32)
    spectra[:, :, 0] = 1e-30  # a constant
    fourier.restore(spectra, 0, np.zeros(1, np.float32), out[:0], out, 0, N_FFT, COS, SIN)
    assert (out == 0).all()


def test_frames_convolve_both_halves():
    x, kernel = signals(1, N_FFT), np.random.default_rng(2).normal(size=9)
    spectra = np.empty((1, 2, ROWS, LANES), np.float32)
    fourier.transform(x, 0, spectra, COS, SIN)
    re, im = spectra[0, :, :N_FFT]
    product = (re + 1j * im) * np.fft.fft(kernel, N_FFT)[ORDER, None] / N_FFT
    re[:], im[:] = product.real, product.imag
    out = np.empty_like(x)
    n = N_FFT - 8
    fourier.restore(spectra, 8, np.full(1, 100, np.float32), out[:0], out, 0, n, COS, SIN)
    for half in (0, 1):
        for lane in (0, 5, LANES - 1):
            expected = np.convolve(x[0, half, :, lane].astype(float), kernel, "valid")
            np.testing.assert_allclose(out[0, half, :n, lane] - 100, expected, atol=1e-4)


@pytest.mark.parametrize(("dilation", "length"), [(8, 320), (8, 301), (8, 30), (1, 300), (16, 310)])
def test_context_is_that_of_the_neighbours(dilation, length):
    head, n, tail = 3, 10, 2
    n_tiles = 2 * LANES // dilation
    whole = np.zeros((n_tiles + 2, n, dilation), np.float32)  # a tile of zeros at either end
    flat = whole[1:-1].reshape(-1)
    flat[:length] = np.arange(1, length + 1)
    rows = whole.reshape(-1, dilation)
    x = np.full((1, 2, head + n + tail + 1, LANES), -1, np.float32)
    tiles = x.reshape(2, -1, LANES // dilation, dilation).transpose(0, 2, 1, 3)  # half, tile, row, phase
    tiles[:, :, head : head + n] = whole[1:-1].reshape(2, -1, n, dilation) + 1000 * (tiles[:, :, head : head + n] > 0)
    beyond = np.arange(n_tiles * n * dilation).reshape(2, -1, n, dilation) >= length
    tiles[:, :, head : head + n][beyond] = 5  # must become zero
    fourier.share_context(x, head, n, tail, dilation, length)
    for i, tile in enumerate(tiles.reshape(n_tiles, -1, dilation)):
        first = (i + 1) * n
        np.testing.assert_array_equal(tile[:-1], rows[first - head : first + n + tail])
        assert (tile[-1] == -1).all()


def test_passes_do_not_share_a_name_on_disk():
    passes = [value for name, value in vars(fourier).items() if name[:2] in ("_f", "_i") and name[2:].isdigit()]
    assert len({f"{p.py_func.__module__}.{p.py_func.__qualname__}" for p in passes}) == len(passes) == 8
