"""Convolution over channels in the frequency domain, frame by frame, with the product in vectors over the lanes.

For every frequency, a small complex matrix times the spectra of all lanes: too small for a library's matrix product,
and numba finds no vectors in the loops. So the innermost tile, some outputs times one vector of lanes, is spelled out:
its sums stay in registers while the inputs pass by.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from llvmlite import ir
from numba import types
from numba.core import cgutils
from numba.core.codegen import get_host_cpu_features
from numba.extending import intrinsic

from scatacworks._core import fourier
from scatacworks._core.fourier import LANES, N_FFT, ROWS
from scatacworks._numba import njit

if TYPE_CHECKING:
    from collections.abc import Callable

WIDTH = 16 if "+avx512f" in get_host_cpu_features() else 8  # lanes in a vector
OUTPUTS = 5  # of a tile: with their imaginary parts 10 sums, which leaves registers for the rest
_FLOAT, _WORD = ir.FloatType(), ir.IntType(64)
_HALF = ROWS * LANES * 4  # bytes from real parts to imaginary ones


def make_tile(width: int) -> Callable:
    """Make the product of `OUTPUTS` outputs for `width` lanes of one frequency."""
    vector = ir.VectorType(_FLOAT, width)
    nothing, first = ir.Constant(vector, ir.Undefined), ir.Constant(ir.IntType(32), 0)
    everywhere = ir.Constant(ir.VectorType(ir.IntType(32), width), None)
    multiply_add = ir.FunctionType(vector, [vector] * 3)

    @intrinsic
    def tile(typingctx: Any, kernel: Any, x: Any, n_inputs: Any, out: Any, step: Any) -> Any:
        """Multiply at these addresses, `step` bytes from channel to channel."""

        def generate(context: Any, builder: Any, signature: Any, args: Any) -> Any:
            kernel, x, n_inputs, out, step = args
            fused = cgutils.get_or_insert_function(builder.module, multiply_add, f"llvm.fmuladd.v{width}f32")
            real, imaginary = (
                [cgutils.alloca_once_value(builder, ir.Constant(vector, None)) for _ in range(OUTPUTS)]
                for _ in range(2)
            )

            def shifted(address: Any, n_bytes: int) -> Any:
                return builder.add(address, ir.Constant(_WORD, n_bytes))

            def load(address: Any, kind: Any) -> Any:
                return builder.load(builder.inttoptr(address, kind.as_pointer()), align=4)

            def spread(address: Any) -> Any:
                one = builder.insert_element(nothing, load(address, _FLOAT), first)
                return builder.shuffle_vector(one, nothing, everywhere)

            def add_product(total: Any, a: Any, b: Any) -> None:
                builder.store(builder.call(fused, [a, b, builder.load(total)]), total)

            with cgutils.for_range(builder, n_inputs) as loop:
                row = builder.add(x, builder.mul(loop.index, step))
                weights = builder.add(kernel, builder.mul(loop.index, ir.Constant(_WORD, 8 * OUTPUTS)))
                re, im = load(row, vector), load(shifted(row, _HALF), vector)
                minus_im = builder.fneg(im)
                for i in range(OUTPUTS):
                    weight_re, weight_im = (spread(shifted(weights, 8 * i + part)) for part in (0, 4))
                    add_product(real[i], weight_re, re)
                    add_product(imaginary[i], weight_re, im)
                    add_product(real[i], weight_im, minus_im)
                    add_product(imaginary[i], weight_im, re)
            for i in range(OUTPUTS):
                row = builder.add(out, builder.mul(ir.Constant(_WORD, i), step))
                for total, address in ((real[i], row), (imaginary[i], shifted(row, _HALF))):
                    builder.store(builder.load(total), builder.inttoptr(address, vector.as_pointer()), align=4)
            return context.get_dummy_value()

        return types.void(*[types.int64] * 5), generate

    return tile


_tile = make_tile(WIDTH)


@njit
def multiply(kernel: np.ndarray, x: np.ndarray, out: np.ndarray) -> None:
    """Multiply spectra by a kernel.

    Parameters
    ----------
    kernel
        complex64 (N_FFT, outputs / OUTPUTS, inputs, OUTPUTS), see :func:`arrange`; C-contiguous, as are all three.
    x
        Spectra of the inputs, float32 (inputs, 2, ROWS, LANES).
    out
        Spectra of the outputs, float32 (outputs, 2, ROWS, LANES).
    """
    n_groups, n_inputs = kernel.shape[1], kernel.shape[2]
    weights, inputs, outputs = kernel.ctypes.data, x.ctypes.data, out.ctypes.data
    step = 2 * _HALF
    for frequency in range(N_FFT):
        for group in range(n_groups):
            own = weights + (frequency * n_groups + group) * n_inputs * OUTPUTS * 8
            for lane in range(0, LANES, WIDTH):
                at = (frequency * LANES + lane) * 4
                _tile(own, inputs + at, n_inputs, outputs + group * OUTPUTS * step + at, step)


@njit
def convolve(
    x: np.ndarray,
    kernel: np.ndarray,
    buffers: tuple[np.ndarray, np.ndarray],
    bias: np.ndarray,
    skip: np.ndarray,
    out: np.ndarray,
    width: int,
    head: int,
    n_rows: int,
    cos: np.ndarray,
    sin: np.ndarray,
) -> None:
    """Convolve rows with a kernel of `width` rows and write max(x + bias + skip, 0) to `n_rows` rows of `out`.

    The spectra of a frame stay in a core's second cache.

    Parameters
    ----------
    x
        (inputs, 2, rows, LANES), `width - 1` rows of context included; rows for whole frames.
    kernel
        Its spectrum divided by N_FFT, laid out by :func:`arrange`.
    buffers
        Two arrays for spectra, (inputs, 2, ROWS, LANES) and (outputs, 2, ROWS, LANES), whole tiles of outputs.
    bias, skip
        See :func:`~scatacworks._core.fourier.restore`.
    out
        (outputs, 2, rows, LANES).
    width
        Rows of the kernel.
    head, n_rows
        First row of `out` that is written, and how many.
    cos, sin
        `COS` and `SIN` of :mod:`~scatacworks._core.fourier`.
    """
    spectra, products = buffers
    valid = N_FFT - width + 1
    for first in range(0, n_rows, valid):
        fourier.transform(x, first, spectra, cos, sin)
        multiply(kernel, spectra, products)
        n = min(valid, n_rows - first)
        fourier.restore(products, width - 1, bias, skip, out, head + first, n, cos, sin)


def arrange(kernel: np.ndarray) -> np.ndarray:
    """Lay the spectrum of a kernel, (outputs, inputs, N_FFT), out for :func:`multiply`; zeros fill the last tile up."""
    n_outputs, n_inputs, _ = kernel.shape
    filled = np.zeros((-(-n_outputs // OUTPUTS) * OUTPUTS, n_inputs, N_FFT), np.complex64)
    filled[:n_outputs] = kernel
    return np.ascontiguousarray(filled.reshape(-1, OUTPUTS, n_inputs, N_FFT).transpose(3, 0, 2, 1))
