"""Overlap-save convolution in frames: (channels, lanes, rows of a frame).

A dilated convolution of (B, C, L) is `dilation` plain ones, of the interleaved phases. Written as (B, C, rows, phases),
frames of `N_FFT` rows that overlap by the kernel are transformed; windows, frames and phases together are the lanes.
The product over channels is one batched matrix product per frequency.
"""

from __future__ import annotations

import threading
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from scatacworks._core import transposed

N_FFT = 512
_LANES = 32  # lanes that are transformed together: their spectra stay in a core's cache


class Geometry(NamedTuple):
    """How windows are cut into frames."""

    batch: int
    length: int
    dilation: int
    width: int

    @property
    def head(self) -> int:
        """Rows of context before the first valid one."""
        return (self.width - 1) * self.dilation // 2 // self.dilation

    @property
    def valid(self) -> int:
        """Rows that a frame yields."""
        return N_FFT - self.width + 1

    @property
    def rows(self) -> int:
        """Rows of a window."""
        return -(-self.length // self.dilation)

    @property
    def n_frames(self) -> int:
        """Frames of a window."""
        return -(-self.rows // self.valid)


def fits(width: int, dilation: int) -> bool:
    """Tell whether the padding is whole rows and the kernel not too long for a frame."""
    return (width - 1) * dilation // 2 % dilation == 0 and 4 <= width <= N_FFT // 2


def to_frames(x: Tensor, g: Geometry, offset: int, rows: int = N_FFT) -> Tensor:
    """Cut (B, C, L) into frames (C, lanes, N_FFT) that begin `offset` rows early, of which `rows` are data."""
    padded = F.pad(x, (offset * g.dilation, (g.n_frames * g.valid + rows) * g.dilation - g.length))
    phases = padded.view(*x.shape[:2], -1, g.dilation)
    frames = phases.unfold(2, rows, g.valid)[:, :, : g.n_frames]  # (B, C, n_frames, dilation, rows)
    frames = frames.transpose(0, 1).reshape(x.shape[1], -1, rows)
    return F.pad(frames, (0, N_FFT - rows)) if rows < N_FFT else frames


def from_frames(y: Tensor, g: Geometry) -> Tensor:
    """Put valid rows (C, lanes, valid) together to (B, C, L)."""
    parts = y.reshape(y.shape[0], g.batch, g.n_frames, g.dilation, g.valid).permute(1, 0, 2, 4, 3)
    return parts.reshape(g.batch, y.shape[0], -1)[..., : g.length]


def spectrum(weight: Tensor) -> Tensor:
    """Transform a kernel (O, C, width) for :func:`convolve`; complex (N_FFT // 2 + 1, O, C)."""
    return torch.fft.rfft(weight.flip(-1), n=N_FFT).permute(2, 0, 1).contiguous()


def _by_frequency(x: Tensor, out: Tensor | None = None) -> Tensor:
    """Reorder (C, lanes, n) to (n, C, lanes)."""
    if x.device.type != "cpu" or x.dtype != torch.complex64:
        return x.permute(2, 0, 1).contiguous()
    out = torch.empty((x.shape[2], *x.shape[:2]), dtype=x.dtype) if out is None else out
    transposed.frequencies_first(_words(x), _words(out))
    return out


def _words(x: Tensor) -> np.ndarray:
    """View contiguous complex64 numbers as whole words, which move faster."""
    return x.numpy().view(np.uint64)


class Workspace(threading.local):
    """Buffers for one block of lanes, kept per thread: fresh memory would cost as much as the arithmetic."""

    def __init__(self) -> None:
        self.buffers: dict[tuple, tuple[Tensor, ...]] = {}

    def get(self, inputs: int, outputs: int, lanes: int) -> tuple[Tensor, ...]:
        """Return spectra and the same by frequency, the products by frequency and by lane, and the rows."""
        key = (inputs, outputs, lanes)
        if key not in self.buffers:
            n = N_FFT // 2 + 1
            shapes = (inputs, lanes, n), (n, inputs, lanes), (n, outputs, lanes), (outputs, lanes, n)
            with torch.inference_mode(mode=False):  # else training could not write to them
                spectra = (torch.empty(shape, dtype=torch.complex64) for shape in shapes)
                self.buffers[key] = (*spectra, torch.empty((outputs, lanes, N_FFT), dtype=torch.float32))
        return self.buffers[key]


_workspace = Workspace()


def _convolve_block(frames: Tensor, spectral: Tensor, out: Tensor) -> None:
    """Convolve a few lanes of float32 frames on a CPU, in this thread's buffers."""
    spectra, inputs, outputs, products, rows = _workspace.get(len(frames), spectral.shape[1], frames.shape[1])
    torch.fft.rfft(frames, out=spectra)
    _by_frequency(spectra, inputs)
    torch.bmm(spectral, inputs, out=outputs)
    transposed.frequencies_last(_words(outputs), _words(products))
    torch.fft.irfft(products, n=N_FFT, out=rows)
    out.copy_(rows[..., N_FFT - out.shape[-1] :])


def convolve(frames: Tensor, spectral: Tensor, width: int) -> Tensor:
    """Valid rows (O, lanes, valid) of the convolution of frames with a transformed kernel."""
    if frames.device.type == "cpu" and frames.dtype == torch.float32:
        out = torch.empty((spectral.shape[1], frames.shape[1], N_FFT - width + 1), dtype=frames.dtype)
        for first in range(0, frames.shape[1], _LANES):
            _convolve_block(frames[:, first : first + _LANES], spectral, out[:, first : first + _LANES])
        return out
    product = torch.bmm(spectral, _by_frequency(torch.fft.rfft(frames)))
    return torch.fft.irfft(product.permute(1, 2, 0).contiguous(), n=N_FFT)[..., width - 1 :]


class SpectralConv(torch.autograd.Function):
    """Length-preserving dilated convolution of (B, C, L), with both gradients in the frequency domain."""

    @staticmethod
    def forward(ctx: torch.autograd.function.FunctionCtx, x: Tensor, weight: Tensor, dilation: int) -> Tensor:
        g = Geometry(x.shape[0], x.shape[-1], dilation, weight.shape[-1])
        ctx.save_for_backward(x, weight)
        ctx.geometry = g
        return from_frames(convolve(to_frames(x, g, g.head), spectrum(weight), g.width), g)

    @staticmethod
    def backward(ctx: torch.autograd.function.FunctionCtx, grad: Tensor) -> tuple[Tensor | None, Tensor | None, None]:
        x, weight = ctx.saved_tensors
        g = ctx.geometry
        grad = grad.contiguous()
        for_x = for_weight = None
        if ctx.needs_input_grad[0]:
            # the transposed convolution: flipped kernel, swapped channels, context from the other side
            flipped = spectrum(weight.flip(-1).transpose(0, 1))
            frames = to_frames(grad, g, g.width - 1 - g.head)
            for_x = from_frames(convolve(frames, flipped, g.width), g)
        if ctx.needs_input_grad[1]:
            for_weight = _weight_gradient(x, grad, g)
        return for_x, for_weight, None


def _weight_gradient(x: Tensor, grad: Tensor, g: Geometry) -> Tensor:
    """Correlate the output's gradient with the input at every lag of the kernel; (O, C, width)."""
    sums: Tensor | int = 0
    frames = to_frames(grad, g, 0, rows=g.valid), to_frames(x, g, g.head)
    for first in range(0, frames[0].shape[1], _LANES):
        outputs, inputs = (_by_frequency(torch.fft.rfft(part[:, first : first + _LANES])) for part in frames)
        sums = sums + torch.bmm(outputs.conj(), inputs.transpose(1, 2))
    lags = torch.fft.irfft(sums.permute(1, 2, 0).contiguous(), n=N_FFT)
    return lags[..., : g.width].contiguous()
