"""Exact one-dimensional convolution of the networks, in one place.

Three formulations give the same numbers up to float rounding: torch's own; the view of (B, C, L) as an image (B, C,
L / dilation, dilation), whose kernel is not dilated; and overlap-save in the frequency domain
(:mod:`~scatacworks.models._spectral`). :func:`choose` picks by device and shape.
"""

from __future__ import annotations

from typing import Literal

import torch
from torch import Tensor
from torch.nn import functional as F

from scatacworks.models import _spectral

Method = Literal["direct", "view", "fft"]


def conv1d_same(x: Tensor, weight: Tensor, bias: Tensor | None, dilation: int = 1) -> Tensor:
    """Convolve with zero padding so that the length is kept, by the fastest exact formulation.

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
    return METHODS[choose(x, weight, dilation)](x, weight, bias, dilation)


def choose(x: Tensor, weight: Tensor, dilation: int) -> Method:
    """Pick a formulation: FFT for wide kernels on a CPU, the view for dilated ones, else torch's own."""
    width = weight.shape[-1]
    if dilation > 1 and x.device.type == "cpu" and x.dtype == torch.float32 and _worth_fft(x, weight, dilation):
        return "fft"
    if dilation > 1 and width > 1 and x.shape[-1] >= 4 * dilation:
        return "view"
    return "direct"


def _worth_fft(x: Tensor, weight: Tensor, dilation: int) -> bool:
    out_channels, in_channels, width = weight.shape
    enough = x.shape[-1] * x.shape[0] >= _spectral.N_FFT * dilation
    return enough and width >= 16 and out_channels * in_channels >= 4 and _spectral.fits(width, dilation)


def direct(x: Tensor, weight: Tensor, bias: Tensor | None, dilation: int = 1) -> Tensor:
    """Convolve by torch's dilated convolution; arguments as for :func:`conv1d_same`."""
    total = (weight.shape[-1] - 1) * dilation
    left = total // 2
    if total % 2 == 0:
        return F.conv1d(x, weight, bias, padding=left, dilation=dilation)
    return F.conv1d(F.pad(x, (left, total - left)), weight, bias, dilation=dilation)


def view(x: Tensor, weight: Tensor, bias: Tensor | None, dilation: int = 1) -> Tensor:
    """Convolve the image (B, C, L / dilation, dilation) with a (width, 1) kernel."""
    length, width = x.shape[-1], weight.shape[-1]
    total = (width - 1) * dilation
    left = total // 2
    rest = -length % dilation
    if rest == 0 and left % dilation == 0 and total % 2 == 0 and width % 2 == 1:
        image = x.reshape(*x.shape[:2], -1, dilation)
        out = F.conv2d(image, weight[..., None], bias, padding=(width // 2, 0))
        return out.flatten(2)
    padded = F.pad(x, (left, total - left + rest)).view(*x.shape[:2], -1, dilation)
    return F.conv2d(padded, weight[..., None], bias).flatten(2)[..., :length]


def fft(x: Tensor, weight: Tensor, bias: Tensor | None, dilation: int = 1) -> Tensor:
    """Convolve by overlap-save; needs :func:`~scatacworks.models._spectral.fits`."""
    out = _spectral.SpectralConv.apply(x, weight, dilation)
    return out if bias is None else out + bias[:, None]


METHODS = {"direct": direct, "view": view, "fft": fft}
