"""The residual network kept in frames from its first to its last layer; for inference on a CPU."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch.nn import functional as F

from scatacworks._core import transposed
from scatacworks.models import _spectral
from scatacworks.models._spectral import Geometry

if TYPE_CHECKING:
    from torch import Tensor, nn

    from scatacworks.models.resnet import ResNet


def usable(model: ResNet, x: Tensor) -> bool:
    """Tell whether the network and its input allow for frames."""
    c = model.config
    return (
        not torch.is_grad_enabled()
        and x.device.type == "cpu"
        and x.dtype == torch.float32
        and (c.width, c.dilation) == (c.width_class, c.dilation_class)
        and c.width >= 16
        and _spectral.fits(c.width, c.dilation)
        and x.shape[-1] >= _spectral.N_FFT * c.dilation
    )


def run(model: ResNet, x: Tensor) -> tuple[Tensor, Tensor]:
    """Signal and logit (B, L) of coverage (B, C, L), as `ResNet.denoise`."""
    g = Geometry(x.shape[0], x.shape[-1], model.config.dilation, model.config.width, _spectral.N_FFT)
    frames = _spectral.to_frames(x, g)
    for block in model.res_blocks:
        frames = _block(block, frames, g)
    signal = F.relu(_pointwise(model.regressor, frames, g))
    frames = torch.empty((1, *frames.shape[1:]))
    _valid(frames, g).copy_(signal)
    _share_borders(frames, g)
    for block in model.res_blocks_class:
        frames = _block(block, frames, g)
    logit = _pointwise(model.classifier, frames, g)
    return _spectral.from_frames(signal, g)[:, 0], _spectral.from_frames(logit, g)[:, 0]


def _block(block: nn.Module, frames: Tensor, g: Geometry) -> Tensor:
    """Three convolutions and a skip."""
    hidden = torch.empty((block.conv_act1.conv_layer.out_channels, *frames.shape[1:]))
    skip = F.relu_(_pointwise(block.conv_input, frames, g)) if hasattr(block, "conv_input") else _valid(frames, g)
    _layer(block.conv_act1, frames, hidden, g)
    _layer(block.conv_act2, hidden, hidden, g)
    _layer(block.conv_act3, hidden, hidden, g, skip)
    return hidden


def _layer(layer: nn.Module, frames: Tensor, out: Tensor, g: Geometry, skip: Tensor | None = None) -> None:
    """Convolution, skip and ReLU, block by block of lanes; written to `out`, which may be `frames`."""
    conv = layer.conv_layer
    spectral = _transformed(conv, g.n_fft)
    bias = torch.zeros(len(conv.weight)) if conv.bias is None else conv.bias
    skip = torch.empty((0, frames.shape[1], 0)) if skip is None else skip
    target = _valid(out, g)
    for lanes, rows in _spectral.convolve_blocks(frames, spectral, g.width):
        transposed.rectify(*(t.detach().numpy() for t in (rows, bias, skip[:, lanes], target[:, lanes])))
    _share_borders(out, g)


def _transformed(conv: nn.Conv1d, n_fft: int) -> Tensor:
    """Return the kernel's spectrum, kept as long as the weights do not change."""
    weight = conv.weight
    key = (n_fft, weight.data_ptr(), weight._version)
    kept = conv.__dict__.get("_spectrum")
    if kept is None or kept[0] != key:
        kept = (key, _spectral.spectrum(weight.detach(), n_fft))
        conv.__dict__["_spectrum"] = kept
    return kept[1]


def _pointwise(layer: nn.Module, frames: Tensor, g: Geometry) -> Tensor:
    """Apply a 1x1 convolution to the valid rows."""
    conv = layer.conv_layer
    out = torch.einsum("oc,clr->olr", conv.weight[..., 0], _valid(frames, g))
    return out if conv.bias is None else out.add_(conv.bias[:, None, None])


def _valid(frames: Tensor, g: Geometry) -> Tensor:
    return frames[..., g.head : g.head + g.valid]


def _share_borders(frames: Tensor, g: Geometry) -> None:
    """Zero what lies beyond the windows' ends and copy each frame's context from its neighbours."""
    v = frames.view(frames.shape[0], g.batch, g.n_frames, g.dilation, g.n_fft)
    head, end = g.head, g.head + g.valid
    in_last = g.rows - (g.n_frames - 1) * g.valid
    v[:, :, -1, :, head + in_last : end] = 0
    if g.length % g.dilation:
        v[:, :, -1, g.length % g.dilation :, head + in_last - 1] = 0
    v[:, :, 0, :, :head] = 0
    v[:, :, 1:, :, :head] = v[:, :, :-1, :, g.valid : end]
    v[:, :, -1, :, end:] = 0
    v[:, :, :-1, :, end:] = v[:, :, 1:, :, head : g.width - 1]
