"""The residual network for GPUs: eight rows of every phase are one pixel of a channels-last image.

A dilated convolution of (B, C, L) is `dilation` plain ones, of the interleaved phases. With eight rows of a phase in a
pixel, 15 filters make 128 channels (one filter of zeros included) and 51 taps make 9: a convolution of the shape that
tensor cores are built for, at the price of the zeros in its weights (1.8 times the operations; 1.5 times where
:mod:`~scatacworks.models._triton_conv` leaves out whole rows). The network stays in this layout from its first to
its last layer.
"""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING, NamedTuple

import torch
from torch.nn import functional as F

if TYPE_CHECKING:
    from types import ModuleType

    from torch import Tensor, nn

    from scatacworks.models.resnet import ResNet

ROWS = 8  # of a phase, in a pixel
TERMS = 64  # of a sum, computed at once at most
_KEPT = "_blocked"  # where a convolution keeps its weights in this layout


class Layer(NamedTuple):
    """Weights of one convolution in this layout.

    Attributes
    ----------
    image
        Kernel of the convolution of images, (ROWS * outputs, ROWS * inputs, 2 reach + 1, 1), channels last.
    rows
        The same without the rows of zeros at both ends, (ROWS * outputs, (width - 1 + ROWS) * inputs); zeros are added
        for a multiple of `TERMS` columns.
    bias
        (ROWS * outputs,), or `None`.
    head
        Rows that it reads before that of its first output.
    """

    image: Tensor
    rows: Tensor
    bias: Tensor | None
    head: int

    @property
    def reach(self) -> int:
        """Pixels of context on either side."""
        return self.image.shape[2] // 2


def usable(model: ResNet, x: Tensor) -> bool:
    """Tell whether the network and its input allow for this layout, and whether it pays."""
    return x.device.type == "cuda" and not torch.is_grad_enabled() and fits(model)


def fits(model: ResNet) -> bool:
    """Tell whether both branches have the same phases and pad by whole rows."""
    c = model.config
    return c.dilation == c.dilation_class and all(
        (width - 1) * c.dilation // 2 % c.dilation == 0 for width in (c.width, c.width_class)
    )


def run(model: ResNet, x: Tensor) -> tuple[Tensor, Tensor]:
    """Signal and logit (B, L) of coverage (B, C, L), as `ResNet.denoise`; bfloat16 under autocast."""
    kind = x.device.type
    dtype = torch.get_autocast_dtype(kind) if torch.is_autocast_enabled(kind) else x.dtype
    with torch.autocast(kind, enabled=False):
        image, length = to_pixels(x.to(dtype), model.config.dilation), x.shape[-1]
        for block in model.res_blocks:
            image = _block(block, image, length)
        image = F.relu_(_pointwise(model.regressor, image))
        signal = from_pixels(image, length)
        for block in model.res_blocks_class:
            image = _block(block, image, length)
        logit = from_pixels(_pointwise(model.classifier, image), length)
    return signal, logit


def to_pixels(x: Tensor, dilation: int) -> Tensor:
    """Lay (B, C, L) out as pixels (B, ROWS * channels, pixels, dilation), channels last; filled up with zeros."""
    padded = F.pad(x, (0, -x.shape[-1] % (ROWS * dilation), 0, _filled(x.shape[1]) - x.shape[1]))
    pixels = padded.view(*padded.shape[:2], -1, ROWS, dilation).permute(0, 2, 4, 3, 1)  # (B, pixels, dilation, ROWS, C)
    return pixels.flatten(3).contiguous().permute(0, 3, 1, 2)


def from_pixels(image: Tensor, length: int) -> Tensor:
    """Put pixels of one channel back together; float32 or float64 (B, length)."""
    dtype = torch.promote_types(image.dtype, torch.float32)
    return image.transpose(1, 2).to(dtype).flatten(1)[:, :length]


def _block(block: nn.Module, image: Tensor, length: int) -> Tensor:
    """Three convolutions and a skip."""
    skip = F.relu_(_pointwise(block.conv_input, image)) if hasattr(block, "conv_input") else image
    hidden = convolve(image, _layer(block.conv_act1, image), length)
    hidden = convolve(hidden, _layer(block.conv_act2, image), length)
    return convolve(hidden, _layer(block.conv_act3, image), length, skip)


def convolve(image: Tensor, layer: Layer, length: int, skip: Tensor | None = None) -> Tensor:
    """Convolution, skip and ReLU; zero beyond the `length` bases of the windows."""
    kernels = triton_conv()
    if kernels is not None and kernels.usable(image, layer):
        return kernels.convolve(image, layer, length, skip)
    out = F.conv2d(image, layer.image, layer.bias, padding=(layer.reach, 0))
    out = F.relu_(out if skip is None else out.add_(skip))
    n_pixels, dilation = out.shape[2:]
    if n_pixels * ROWS * dilation > length:
        row = (n_pixels - 1) * ROWS + torch.arange(ROWS, device=out.device)
        base = row[:, None] * dilation + torch.arange(dilation, device=out.device)
        out[:, :, -1].unflatten(1, (ROWS, -1)).mul_((base < length)[:, None])
    return out


@cache
def triton_conv() -> ModuleType | None:
    """Return the kernels' module where Triton is installed."""
    try:
        from scatacworks.models import _triton_conv
    except ImportError:
        return None
    return _triton_conv


def _pointwise(module: nn.Module, image: Tensor) -> Tensor:
    """Apply a 1x1 convolution."""
    layer = _layer(module, image)
    return F.conv2d(image, layer.image, layer.bias)


def _layer(module: nn.Module, image: Tensor) -> Layer:
    """Return the weights of a convolution in this layout, kept as long as they do not change."""
    conv = module.conv_layer
    state = [(values._version, values.data_ptr()) for values in conv.parameters()]
    key = (state, image.dtype, image.device)
    kept = conv.__dict__.get(_KEPT)
    if kept is None or kept[0] is not conv.weight or kept[1] != key:
        bias = None if conv.bias is None else conv.bias.detach()
        kept = (conv.weight, key, make_layer(conv.weight.detach().to(image.dtype), bias, conv.dilation[0]))
        conv.__dict__[_KEPT] = kept
    return kept[2]


def forget(model: nn.Module) -> None:
    """Let go of what was laid out for a device."""
    for module in model.modules():
        module.__dict__.pop(_KEPT, None)


def make_layer(weight: Tensor, bias: Tensor | None, dilation: int) -> Layer:
    """Lay the weights (outputs, inputs, width) of a convolution out for pixels."""
    outputs, inputs, width = weight.shape
    head = (width - 1) * dilation // 2 // dilation
    padded = F.pad(weight, (0, 1, 0, _filled(inputs) - inputs, 0, _filled(outputs) - outputs))  # a last tap of zeros
    row = torch.arange(width - 1 + ROWS, device=weight.device)
    tap = row - torch.arange(ROWS, device=weight.device)[:, None]  # of an output's row and an input's
    tap[(tap < 0) | (tap >= width)] = width
    rows = padded[:, :, tap].permute(2, 0, 3, 1)  # (ROWS, outputs, rows, inputs)
    reach = max(-(-head // ROWS), -(-(width - 1 - head) // ROWS))
    before = reach * ROWS - head
    whole = F.pad(rows, (0, 0, before, (2 * reach + 1) * ROWS - len(row) - before))
    image = whole.unflatten(2, (-1, ROWS)).permute(0, 1, 3, 4, 2).flatten(2, 3).flatten(0, 1)[..., None]
    if bias is not None:
        bias = F.pad(bias, (0, _filled(outputs) - outputs)).repeat(ROWS).to(weight.dtype)
    rows = rows.flatten(2).flatten(0, 1)
    rows = F.pad(rows, (0, -rows.shape[1] % TERMS)).contiguous()
    return Layer(image.contiguous(memory_format=torch.channels_last), rows, bias, head)


def _filled(channels: int) -> int:
    """Next power of two."""
    return 1 << (channels - 1).bit_length()
