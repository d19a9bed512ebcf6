"""What networks on bins of several widths are made of; tensors are images of one row (B, C, 1, n)."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

LEVEL = 4  # bins of one level that make a bin of the next


class Conv(nn.Module):
    """Convolution along the last axis of (B, C, 1, n); length-preserving unless strided."""

    def __init__(self, inputs: int, outputs: int, kernel: int, *, dilation: int = 1, stride: int = 1) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.empty(outputs, inputs, 1, kernel))
        self.bias = nn.Parameter(torch.zeros(outputs))
        nn.init.kaiming_uniform_(self.weight, nonlinearity="relu")
        self.stride, self.dilation = (1, stride), (1, dilation)
        self.padding = (0, kernel // 2 * dilation if stride == 1 else 0)

    def forward(self, x: Tensor, shift: Tensor | None = None) -> Tensor:
        """Convolve, and add `shift` (B, C, 1, 1) where there is one."""
        if shift is None:
            return F.conv2d(x, self.weight, self.bias, self.stride, self.padding, self.dilation)
        if len(x) == 1:  # the shift of a single window is a bias
            return F.conv2d(x, self.weight, self.bias + shift.flatten(), self.stride, self.padding, self.dilation)
        return self(x).add_(shift)


def image(x: Tensor) -> Tensor:
    """View (B, C, n) as an image of one row, channels last in memory."""
    return x[:, :, None].contiguous(memory_format=torch.channels_last)


def rows(x: Tensor) -> Tensor:
    """View (B, C, 1, n) as (B, n, C), as it lies in memory."""
    return x[:, :, 0].transpose(1, 2)


def from_rows(x: Tensor) -> Tensor:
    """View (B, n, C) as an image of one row."""
    return x.transpose(1, 2)[:, :, None]


def add_coarser(x: Tensor, coarser: Tensor) -> Tensor:
    """Add the channels of the next coarser level to every bin within its bins."""
    return from_rows((rows(x).unflatten(1, (-1, LEVEL)) + rows(coarser)[:, :, None]).flatten(1, 2))


def cut(x: Tensor, edge: int) -> Tensor:
    """Drop `edge` bins on either side."""
    return x[..., edge : x.shape[-1] - edge] if edge else x


def centered(x: Tensor, n: int) -> Tensor:
    """Keep the `n` bins in the middle."""
    return cut(x, (x.shape[-1] - n) // 2)
