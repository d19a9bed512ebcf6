"""The residual network in the layout of :mod:`scatacworks._core.fourier` from its first to its last layer.

For inference on a CPU. A dilated convolution is a plain one on each of `dilation` interleaved phases. A window is
written as rows of `dilation` bases and cut into tiles of equal length, as many as there are lanes for their phases;
every tile has the kernel's context from its neighbours above and below. Frames of `N_FFT` rows slide along all tiles at
once.
"""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
import torch
from torch import Tensor

from scatacworks._core import fourier, spectral_product
from scatacworks._core.fourier import LANES, N_FFT, ROWS
from scatacworks._core.spectral_product import OUTPUTS

if TYPE_CHECKING:
    from torch import nn

    from scatacworks.models.resnet import ResNet


class Geometry(NamedTuple):
    """How a window lies in rows and lanes."""

    length: int
    dilation: int
    width: int

    @property
    def head(self) -> int:
        """Rows of context above a tile."""
        return (self.width - 1) // 2

    @property
    def valid(self) -> int:
        """Rows that a frame yields."""
        return N_FFT - self.width + 1

    @property
    def tiles(self) -> tuple[int, int]:
        """Tiles in each half, and bases of a row of one: together, all lanes."""
        return LANES // self.dilation, self.dilation

    @property
    def tile_rows(self) -> int:
        """Rows of a tile, without context."""
        return -(-self.length // (2 * LANES))

    @property
    def rows(self) -> int:
        """Rows in memory: whole frames."""
        return -(-self.tile_rows // self.valid) * self.valid + self.width - 1


def usable(model: ResNet, x: Tensor) -> bool:
    """Tell whether the network and its input allow for this layout."""
    c = model.config
    return (
        not torch.is_grad_enabled()
        and x.device.type == "cpu"
        and x.dtype == torch.float32
        and (c.width, c.dilation) == (c.width_class, c.dilation_class)
        and 16 <= c.width <= N_FFT // 2
        and (c.width % 2 == 1 or c.dilation == 1)
        and LANES % c.dilation == 0
        and x.shape[-1] >= 2 * LANES * c.width
    )


def run(model: ResNet, x: Tensor) -> tuple[Tensor, Tensor]:
    """Signal and logit (B, L) of coverage (B, C, L), as `ResNet.denoise`."""
    g = Geometry(x.shape[-1], model.config.dilation, model.config.width)
    found = [_run(model, window, g) for window in x]
    signal, logit = zip(*found, strict=True)
    return torch.stack(signal), torch.stack(logit)


def _run(model: ResNet, x: Tensor, g: Geometry) -> tuple[Tensor, Tensor]:
    frames = to_tiles(x, g)
    for block in model.res_blocks:
        frames = _block(block, frames, g)
    signal = torch.relu_(_pointwise(model.regressor, frames))
    share_borders(signal, g)
    frames = signal
    for block in model.res_blocks_class:
        frames = _block(block, frames, g)
    return from_tiles(signal, g)[0], from_tiles(_pointwise(model.classifier, frames), g)[0]


def _block(block: nn.Module, x: Tensor, g: Geometry) -> Tensor:
    """Three convolutions and a skip."""
    skip = torch.relu_(_pointwise(block.conv_input, x)) if hasattr(block, "conv_input") else x
    one, two = _workspace.activations(len(block.conv_act1.conv_layer.weight), g, x)
    _layer(block.conv_act1, x, one, g)
    _layer(block.conv_act2, one, two, g)
    _layer(block.conv_act3, two, one, g, skip)
    return one


def _layer(layer: nn.Module, x: Tensor, out: Tensor, g: Geometry, skip: Tensor | None = None) -> None:
    """Convolution, skip and ReLU."""
    conv = layer.conv_layer
    kernel = _transformed(conv)
    n = len(conv.weight)
    bias = np.zeros(n, np.float32) if conv.bias is None else conv.bias.detach().numpy()
    source, target = x.numpy(), out.numpy()
    added = target[:0] if skip is None else skip.numpy()
    buffers = _workspace.spectra(len(x), n)
    shape = g.width, g.head, g.tile_rows
    spectral_product.convolve(source, kernel, buffers, bias, added, target, *shape, fourier.COS, fourier.SIN)
    share_borders(out, g)


class _Workspace(threading.local):
    """Buffers, kept per thread: fresh memory would cost as much as the arithmetic."""

    def __init__(self) -> None:
        self._spectra: dict[tuple[int, int], tuple[np.ndarray, np.ndarray]] = {}
        self._shape: tuple[int, ...] = ()
        self._activations: list[Tensor] = []

    def spectra(self, inputs: int, outputs: int) -> tuple[np.ndarray, np.ndarray]:
        """Return buffers for the spectra of inputs and for those of outputs, whole tiles of them."""
        key = inputs, -(-outputs // OUTPUTS) * OUTPUTS
        if key not in self._spectra:
            self._spectra[key] = tuple(np.zeros((n, 2, ROWS, LANES), np.float32) for n in key)
        return self._spectra[key]

    def activations(self, channels: int, g: Geometry, used: Tensor) -> list[Tensor]:
        """Return two buffers for activations, neither of them the one in use; what is not written in them is finite."""
        shape = (channels, 2, g.rows, LANES)
        if self._shape != shape:
            self._shape, self._activations = shape, [torch.zeros(shape, dtype=torch.float32) for _ in range(3)]
        return [buffer for buffer in self._activations if buffer.data_ptr() != used.data_ptr()][:2]


_workspace = _Workspace()


def _transformed(conv: nn.Conv1d) -> np.ndarray:
    """Return the kernel's spectrum, kept as long as the weights do not change."""
    weight = conv.weight
    key = (weight.data_ptr(), weight._version)
    kept = conv.__dict__.get("_spectrum")
    if kept is None or kept[0] != key:
        kept = (key, spectrum(weight.detach()))
        conv.__dict__["_spectrum"] = kept
    return kept[1]


def spectrum(weight: Tensor) -> np.ndarray:
    """Transform a kernel (O, C, width) for :func:`spectral_product.multiply`, and undo the factor of the transform."""
    found = np.fft.fft(weight.double().flip(-1).numpy(), n=N_FFT)[..., fourier.ORDER] / N_FFT
    return spectral_product.arrange(found)


def _pointwise(layer: nn.Module, x: Tensor) -> Tensor:
    """Apply a 1x1 convolution, context included."""
    conv = layer.conv_layer
    out = (conv.weight[..., 0] @ x.flatten(1)).view(-1, *x.shape[1:])
    return out if conv.bias is None else out.add_(conv.bias[:, None, None, None])


def to_tiles(x: Tensor, g: Geometry) -> Tensor:
    """Write a window (C, L) as tiles with their context; (C, 2, rows, LANES)."""
    out = torch.zeros((len(x), 2, g.rows, LANES), dtype=x.dtype)
    padded = torch.nn.functional.pad(x, (0, 2 * LANES * g.tile_rows - g.length))
    _tiles(out, g).copy_(padded.view(len(x), 2, g.tiles[0], g.tile_rows, g.dilation).transpose(2, 3))
    share_borders(out, g)
    return out


def from_tiles(x: Tensor, g: Geometry) -> Tensor:
    """Put the tiles together to (C, L)."""
    return _tiles(x, g).transpose(2, 3).reshape(len(x), -1)[:, : g.length]


def _tiles(x: Tensor, g: Geometry) -> Tensor:
    """View the rows that hold the window: (C, halves, rows, tiles of a half, bases of a row)."""
    return x[:, :, g.head : g.head + g.tile_rows].unflatten(3, g.tiles)


def share_borders(x: Tensor, g: Geometry) -> None:
    """Zero what lies beyond the window's ends and copy each tile's context from its neighbours."""
    fourier.share_context(x.numpy(), g.head, g.tile_rows, g.width - 1 - g.head, g.dilation, g.length)
