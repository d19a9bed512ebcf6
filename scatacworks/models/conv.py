"""Exact one-dimensional convolution of the networks, in one place."""

from __future__ import annotations

from typing import TYPE_CHECKING

from torch.nn import functional as F

if TYPE_CHECKING:
    from torch import Tensor


def conv1d_same(x: Tensor, weight: Tensor, bias: Tensor | None, dilation: int = 1) -> Tensor:
    """Convolve with zero padding so that the length is kept.

    For even kernels the padding is split as floor left, rest right, as in the published model.

    Parameters
    ----------
    x
        Input (`n_windows`, `in_channels`, `length`).
    weight
        Kernel (`out_channels`, `in_channels`, `width`).
    bias
        (`out_channels`,) or `None`.
    dilation
        Distance of neighbouring kernel taps.

    Returns
    -------
    Output (`n_windows`, `out_channels`, `length`).
    """
    total = (weight.shape[-1] - 1) * dilation
    left = total // 2
    if total % 2 == 0:
        return F.conv1d(x, weight, bias, padding=left, dilation=dilation)
    return F.conv1d(F.pad(x, (left, total - left)), weight, bias, dilation=dilation)
