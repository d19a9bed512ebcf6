"""The published network: dilated residual blocks at base resolution."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from scatacworks._arguments import one_of
from scatacworks.models import _blocked, _framed
from scatacworks.models.base import Model, in_double, new_card, round_up
from scatacworks.models.conv import conv1d_same


@dataclass(frozen=True)
class ResNetConfig:
    """Shape of a :class:`ResNet`; the defaults are those of the paper (Methods, model architecture).

    Attributes
    ----------
    n_blocks, n_filters, width, dilation
        Residual blocks, filters, kernel width (bases) and dilation of the regression branch.
    n_blocks_class, n_filters_class, width_class, dilation_class
        The same for the classification branch.
    extension
        bp by which cut sites are extended to either side before they enter.
    transform
        ``"none"`` feeds and predicts coverage, as published; ``"sqrt"`` its square root.
    extra_channels
        Names of input channels after the coverage, one value per base.

    Examples
    --------
    >>> from scatacworks.models import ResNetConfig
    >>> ResNetConfig(width=25).width
    25
    """

    n_blocks: int = 5
    n_filters: int = 15
    width: int = 51
    dilation: int = 8
    n_blocks_class: int = 2
    n_filters_class: int = 15
    width_class: int = 51
    dilation_class: int = 8
    extension: int = 100
    transform: Literal["none", "sqrt"] = "none"
    extra_channels: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        object.__setattr__(self, "extra_channels", tuple(self.extra_channels))
        if min(self.n_blocks, self.n_blocks_class, self.n_filters, self.width, self.width_class) < 1:
            msg = "a ResNet needs at least one block, filter and base of kernel width in both branches"
            raise ValueError(msg)


class ResNet(Model):
    """Denoise coverage with the residual network of the paper :cite:p:`Lal2021`.

    Regression: residual blocks of three convolutions without bias, a 1x1 convolution and ReLU. Classification: two
    residual blocks with bias on the regression's output, a 1x1 convolution. Without bias the regression is
    homogeneous, f(a x) = a f(x) for a > 0. Parameter names are those of the original, so that its checkpoints load
    (:func:`~scatacworks.models.load`).

    Parameters
    ----------
    config
        Shape of the network; `None` for the paper's.
    card
        Model card. With ``input_depth`` the coverage is scaled from its own depth to that depth first.

    Examples
    --------
    >>> import torch
    >>> from scatacworks.models import ResNet
    >>> model = ResNet()
    >>> signal, logit = model(torch.zeros(1, 1, 400 + 2 * model.halo), torch.tensor([5e6]))
    >>> tuple(signal.shape), model.n_parameters
    ((1, 400), 219706)
    """

    architecture = "ResNet"
    config_class = ResNetConfig
    bin_size = 1

    def __init__(self, config: ResNetConfig | None = None, card: dict[str, Any] | None = None) -> None:
        config = config or ResNetConfig()
        one_of(config.transform, "transform", ("none", "sqrt"))
        default = new_card(extension=config.extension, input_depth=5e6, convention="atacworks")
        super().__init__(config, default if card is None else card)
        self.res_blocks = _branch(self.n_channels, config.n_filters, config.n_blocks, config.width, config.dilation)
        self.regressor = _ConvLayer(config.n_filters, 1, 1)
        self.res_blocks_class = _branch(
            1, config.n_filters_class, config.n_blocks_class, config.width_class, config.dilation_class, bias=True
        )
        self.classifier = _ConvLayer(config.n_filters_class, 1, 1, bias=True)
        self.stride = max(config.dilation, config.dilation_class)
        self.halo = round_up(self.receptive_field(), self.stride)

    def receptive_field(self) -> int:
        """Furthest distance, in bp, at which a cut site can change the output of a base."""
        c = self.config
        per_conv = (-(-(c.width - 1) * c.dilation // 2), -(-(c.width_class - 1) * c.dilation_class // 2))
        return 3 * c.n_blocks * per_conv[0] + 3 * c.n_blocks_class * per_conv[1] + c.extension

    def forward(self, counts: Tensor, depth: Tensor) -> tuple[Tensor, Tensor]:
        """Denoise a batch of windows; see :meth:`Model.forward`."""
        self.check_input(counts)
        x = extend(counts[:, :1], self.config.extension)
        if self.card["input_depth"]:
            x = x * (self.card["input_depth"] / depth)[:, None, None]
        x = torch.sqrt(x) if self.config.transform == "sqrt" else x
        signal, logit = self.denoise(torch.cat([x, counts[:, 1:]], dim=1) if self.extra_channels else x)
        signal = signal.square() if self.config.transform == "sqrt" else signal
        return self.crop(signal), self.crop(logit)

    def denoise(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Run the bare network on coverage (`n_windows`, `n_channels`, `length`), zero-padded, nothing cropped."""
        if _framed.usable(self, x):
            return _framed.run(self, x)
        if _blocked.usable(self, x):
            return _blocked.run(self, x)
        for block in self.res_blocks:
            x = block(x)
        signal = F.relu(self.regressor(x))
        x = signal
        for block in self.res_blocks_class:
            x = block(x)
        return signal[:, 0], self.classifier(x)[:, 0]


def extend(counts: Tensor, extension: int) -> Tensor:
    """Extend cut sites (B, 1, n bases) by a box of ±`extension` bp; exact for integer counts."""
    if extension == 0:
        return counts
    # float64 running sums stay exact where float32 ones would round beyond 2^24 sites
    padded = F.pad(in_double(counts).cumsum(-1), (extension + 1, 0))
    padded = torch.cat([padded, padded[..., -1:].expand(*padded.shape[:-1], extension)], dim=-1)
    n = counts.shape[-1]
    sums = padded[..., 2 * extension + 1 : 2 * extension + 1 + n] - padded[..., :n]
    return sums.to(counts.dtype).to(counts.device)


class _ConvLayer(nn.Module):
    """One convolution, under the parameter names of the published model."""

    def __init__(self, inputs: int, outputs: int, width: int, *, dilation: int = 1, bias: bool = False) -> None:
        super().__init__()
        self.conv_layer = nn.Conv1d(inputs, outputs, width, dilation=dilation, bias=bias)

    def forward(self, x: Tensor) -> Tensor:
        layer = self.conv_layer
        return conv1d_same(x, layer.weight, layer.bias, layer.dilation[0])


class _ResBlock(nn.Module):
    """Three convolutions, the last one without activation, and a skip; a 1x1 convolution brings the first input in."""

    def __init__(self, inputs: int, filters: int, width: int, *, dilation: int, bias: bool, first: bool) -> None:
        super().__init__()
        self.conv_act1 = _ConvLayer(inputs, filters, width, dilation=dilation, bias=bias)
        self.conv_act2 = _ConvLayer(filters, filters, width, dilation=dilation, bias=bias)
        self.conv_act3 = _ConvLayer(filters, filters, width, dilation=dilation, bias=bias)
        if first:
            self.conv_input = _ConvLayer(inputs, filters, 1)

    def forward(self, x: Tensor) -> Tensor:
        skip = F.relu(self.conv_input(x)) if hasattr(self, "conv_input") else x
        hidden = F.relu(self.conv_act1(x))
        hidden = F.relu(self.conv_act2(hidden))
        return F.relu(self.conv_act3(hidden) + skip)


def _branch(
    inputs: int, filters: int, n_blocks: int, width: int, dilation: int, *, bias: bool = False
) -> nn.ModuleList:
    """Residual blocks, the first of which widens the input."""
    return nn.ModuleList(
        _ResBlock(filters if i else inputs, filters, width, dilation=dilation, bias=bias, first=i == 0)
        for i in range(n_blocks)
    )
