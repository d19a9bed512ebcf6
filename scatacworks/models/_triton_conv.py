"""The convolution of :mod:`~scatacworks.models._blocked` as one Triton kernel: product, bias, skip and ReLU.

For GPUs with tensor cores where Triton is installed, as PyTorch's CUDA builds bring it; importing this module needs it.
Products are of bfloat16 numbers, or of float32 ones in TF32, with sums in float32.
"""

from __future__ import annotations

from contextlib import nullcontext
from functools import cache
from typing import TYPE_CHECKING, NamedTuple

import torch
import triton
import triton.language as tl
from triton.runtime import driver

from scatacworks.models._blocked import ROWS

if TYPE_CHECKING:
    from torch import Tensor

    from scatacworks.models._blocked import Layer

MAX_CHANNELS = 256  # of a pixel: what one program's sums hold in registers


class Tile(NamedTuple):
    """How the work is cut: pixels and terms of a program's products, warps, and stages of loads under way."""

    pixels: int
    terms: int
    warps: int
    stages: int

    def shared_bytes(self, channels: int, itemsize: int) -> int:
        """Shared memory that a program needs."""
        return self.stages * self.terms * (self.pixels + channels) * itemsize


TILES = {
    torch.bfloat16: (Tile(256, 64, 8, 4), Tile(128, 64, 4, 3), Tile(64, 32, 4, 3)),
    torch.float32: (Tile(128, 32, 8, 4), Tile(64, 32, 4, 2)),
}
"""The first that fits is taken."""


def usable(image: Tensor, layer: Layer) -> bool:
    """Tell whether the kernel can be used where it pays, and in the precision that torch's settings allow."""
    if image.device.type != "cuda" or image.dtype not in TILES:
        return False
    if image.dtype == torch.float32 and not _tf32_allowed():
        return False
    channels = len(layer.rows)
    return (
        16 <= channels <= MAX_CHANNELS
        and image[0].numel() < 2**31
        and torch.cuda.get_device_capability(image.device) >= (8, 0)
    )


def _tf32_allowed() -> bool:
    """Tell whether torch's own convolutions of float32 numbers may use TF32."""
    cudnn = torch.backends.cudnn
    return cudnn.conv.fp32_precision == "tf32" if hasattr(cudnn, "conv") else cudnn.allow_tf32


def convolve(
    image: Tensor, layer: Layer, length: int, skip: Tensor | None = None, *, tile: Tile | None = None
) -> Tensor:
    """Convolution, skip and ReLU of pixels; as :func:`scatacworks.models._blocked.convolve`."""
    has_skip = skip is not None
    n_windows, inputs, n_pixels, dilation = image.shape
    channels, terms = layer.rows.shape
    tile = tile or pick_tile(image.dtype, channels, image.device)
    image = image.contiguous(memory_format=torch.channels_last)
    skip = image if skip is None else skip.contiguous(memory_format=torch.channels_last)
    out = image.new_empty((n_windows, n_pixels, dilation, channels)).permute(0, 3, 1, 2)
    grid = (-(-n_pixels * dilation // tile.pixels), n_windows)
    with torch.cuda.device(image.device) if image.device.type == "cuda" else nullcontext():  # where Triton launches
        _conv[grid](
            image,
            layer.rows,
            layer.rows if layer.bias is None else layer.bias,
            skip,
            out,
            n_pixels * dilation,
            length,
            TERMS=terms,
            INPUTS=inputs // ROWS,
            CHANNELS=channels,
            ROWS=ROWS,
            DILATION=dilation,
            BEFORE=layer.reach * ROWS - layer.head,
            REACH=layer.reach,
            HAS_BIAS=layer.bias is not None,
            HAS_SKIP=has_skip,
            BLOCK=tile.pixels,
            STEP=tile.terms,
            num_warps=tile.warps,
            num_stages=tile.stages,
        )
    return out


@cache
def pick_tile(dtype: torch.dtype, channels: int, device: torch.device) -> Tile:
    """Return the first tile that a device has the shared memory for."""
    index = torch.cuda.current_device() if device.index is None else device.index
    there = driver.active.utils.get_device_properties(index)["max_shared_mem"]
    found = [tile for tile in TILES[dtype] if tile.shared_bytes(channels, dtype.itemsize) <= there]
    return found[0] if found else TILES[dtype][-1]


@triton.jit
def _conv(
    image,
    weight,
    bias,
    skip,
    out,
    n_pixels,
    length,
    TERMS: tl.constexpr,
    INPUTS: tl.constexpr,
    CHANNELS: tl.constexpr,
    ROWS: tl.constexpr,
    DILATION: tl.constexpr,
    BEFORE: tl.constexpr,
    REACH: tl.constexpr,
    HAS_BIAS: tl.constexpr,
    HAS_SKIP: tl.constexpr,
    BLOCK: tl.constexpr,
    STEP: tl.constexpr,
):
    """Pixels x channels: sums over terms, which are (row, input channel) from the first row that is read on."""
    window = tl.program_id(1).to(tl.int64)
    image += window * n_pixels * (ROWS * INPUTS)
    pixel = tl.program_id(0) * BLOCK + tl.arange(0, BLOCK)
    channel = tl.arange(0, CHANNELS)
    total = tl.zeros((BLOCK, CHANNELS), tl.float32)
    for first in range(0, TERMS, STEP):
        term = first + tl.arange(0, STEP)
        row = term // INPUTS + BEFORE
        shift = (row // ROWS - REACH) * DILATION  # pixels of one phase are that far apart
        here = pixel[:, None] + shift[None, :]
        offset = (row % ROWS) * INPUTS + term % INPUTS
        inside = (here >= 0) & (here < n_pixels)
        a = tl.load(image + here * (ROWS * INPUTS) + offset[None, :], mask=inside, other=0.0)
        b = tl.load(weight + channel[None, :] * TERMS + term[:, None])
        total = tl.dot(a, b, total)
    if HAS_BIAS:
        total += tl.load(bias + channel).to(tl.float32)[None, :]
    at = window * n_pixels * CHANNELS + pixel[:, None] * CHANNELS + channel[None, :]
    inside = (pixel < n_pixels)[:, None]
    if HAS_SKIP:
        total += tl.load(skip + at, mask=inside, other=0.0).to(tl.float32)
    base = ((pixel // DILATION) * (ROWS * DILATION) + pixel % DILATION)[:, None]
    base += (channel // (CHANNELS // ROWS) * DILATION)[None, :]
    total = tl.where(base < length, tl.maximum(total, 0.0), 0.0)
    tl.store(out + at, total.to(out.dtype.element_ty), mask=inside)
