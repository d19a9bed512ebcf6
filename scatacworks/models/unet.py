"""The paper's compared architecture: a U-Net at base resolution."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from scatacworks.models.base import Model, new_card, round_up
from scatacworks.models.conv import conv1d_same
from scatacworks.models.resnet import extend


@dataclass(frozen=True)
class UNetConfig:
    """Shape of a :class:`UNet`.

    Attributes
    ----------
    channels
        Filters of each level; every level halves the resolution.
    width
        Kernel width (odd).
    extension
        bp by which cut sites are extended before they enter.
    extra_channels
        Names of input channels after the coverage, one value per base.

    Examples
    --------
    >>> from scatacworks.models import UNetConfig
    >>> UNetConfig(channels=(8, 16)).channels
    (8, 16)
    """

    channels: tuple[int, ...] = (16, 32, 64, 128, 256)
    width: int = 5
    extension: int = 100
    extra_channels: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        object.__setattr__(self, "channels", tuple(self.channels))
        object.__setattr__(self, "extra_channels", tuple(self.extra_channels))
        if not self.channels or self.width % 2 == 0:
            msg = f"a UNet needs at least one level and an odd kernel; got {self.channels} and {self.width}"
            raise ValueError(msg)


class UNet(Model):
    """Denoise coverage with a plain U-Net at base resolution, of the kind that the paper compares its network with.

    Two convolutions per level, pooling by two, skip connections; no batch normalisation, so that the result does not
    depend on what else is in a batch.

    Parameters
    ----------
    config
        Shape of the network; `None` for the default.
    card
        Model card; ``input_depth`` is the depth that the coverage is scaled to.

    Examples
    --------
    >>> import torch
    >>> from scatacworks.models import UNet
    >>> model = UNet()
    >>> tuple(model(torch.zeros(1, 1, 160 + 2 * model.halo), torch.tensor([5e6]))[0].shape)
    (1, 160)
    """

    architecture = "UNet"
    config_class = UNetConfig
    bin_size = 1

    def __init__(self, config: UNetConfig | None = None, card: dict[str, Any] | None = None) -> None:
        config = config or UNetConfig()
        default = new_card(extension=config.extension, input_depth=5e6)
        super().__init__(config, default if card is None else card)
        sizes = config.channels
        self.down = nn.ModuleList(
            _Double(inputs, outputs, config.width)
            for inputs, outputs in zip((self.n_channels, *sizes), sizes, strict=False)
        )
        self.up = nn.ModuleList(_Double(low + high, high, config.width) for high, low in pairwise(sizes))
        self.head = nn.Conv1d(sizes[0], 2, 1)
        self.stride = 2 ** (len(sizes) - 1)
        self.halo = round_up(self.receptive_field(), self.stride)

    def receptive_field(self) -> int:
        """Furthest distance, in bp, at which a cut site can change the output of a base."""
        levels = len(self.config.channels)
        per_level = [2 * (self.config.width // 2) * 2**level for level in range(levels)]
        return sum(per_level) + sum(per_level[:-1]) + 2 * 2 ** (levels - 1) + self.config.extension

    def forward(self, counts: Tensor, depth: Tensor) -> tuple[Tensor, Tensor]:
        """Denoise a batch of windows; see :meth:`Model.forward`."""
        self.check_input(counts)
        coverage = extend(counts[:, :1], self.config.extension)
        if self.card["input_depth"]:
            coverage = coverage * (self.card["input_depth"] / depth)[:, None, None]
        skips = []
        x = torch.cat([coverage, counts[:, 1:]], dim=1)
        for level, block in enumerate(self.down):
            x = block(F.max_pool1d(x, 2) if level else x)
            skips.append(x)
        for block, skip in zip(reversed(self.up), reversed(skips[:-1]), strict=True):
            x = block(torch.cat([skip, x.repeat_interleave(2, dim=-1)], dim=1))
        signal, logit = self.crop(self.head(x)).unbind(dim=1)
        return F.softplus(signal), logit


class _Double(nn.Module):
    """Two convolutions with ReLU."""

    def __init__(self, inputs: int, outputs: int, width: int) -> None:
        super().__init__()
        self.conv_1 = nn.Conv1d(inputs, outputs, width)
        self.conv_2 = nn.Conv1d(outputs, outputs, width)

    def forward(self, x: Tensor) -> Tensor:
        x = F.relu(conv1d_same(x, self.conv_1.weight, self.conv_1.bias))
        return F.relu(conv1d_same(x, self.conv_2.weight, self.conv_2.bias))
