"""The branch of a network that reads a prior: what it changes is a correction, zero where nothing was measured."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from scatacworks.models.binned_unet import _LEVEL, _add_coarser, _Conv, _cut, _image
from scatacworks.prior import CHANNELS

if TYPE_CHECKING:
    from collections.abc import Mapping

    from scatacworks.models.binned_unet import BinnedUNet, Features

_BIN = 8  # bp
_WIDTHS = (28, 32, 32)  # feature channels at 8, 32 and 128 bp
_ENCODING = 12  # channels of the prior at 8 bp
_RADII = (13, 50, 200, 1000)  # bins to either side in which cut sites are counted as evidence
_EDGE_FINE, _EDGE_COARSE = 3, 2  # margin of the fine level, in bins of 32 bp, and of the middle one, in bins of 128 bp
REACH_BP = 2 * _BIN * _LEVEL**2 + 4 * _BIN * _LEVEL + 4 * _BIN  # how far features are carried beyond the trunk's reach
EVIDENCE_BP = (_RADII[-1] + 2) * _BIN  # distance of the furthest cut site that lets the prior act
PRIOR_BP = 5 * _BIN * _LEVEL**2 + 4 * _BIN * _LEVEL + 12 * _BIN  # how far away a prior is seen


class Guide(nn.Module):
    """Correction of a network's heads from its features and a prior.

    The correction is multiplied by an evidence gate, one minus the exponential of minus a weighted sum of the cut sites
    within 104 bp to 8 kb. Without a cut site there it is exactly zero: a prior alone changes nothing.

    Parameters
    ----------
    channels
        Feature channels of the network at 8, 32 and 128 bp.
    """

    edge = _EDGE_FINE
    n_channels = len(CHANNELS) - 1

    def __init__(self, channels: tuple[int, int, int]) -> None:
        super().__init__()
        fine, middle, coarse = _WIDTHS
        n = self.n_channels
        self.prior_1, self.prior_2 = _Conv(n, _ENCODING, 9), _Conv(_ENCODING, _ENCODING, 5)
        self.coarse_in, self.coarse_prior = _Conv(channels[2] + n, coarse, 1), _Conv(n, coarse, 5)
        self.coarse = _Block(coarse, 3)
        self.middle_in, self.middle_prior = _Join(channels[1] + n, coarse, middle), _Conv(n, middle, 5)
        self.middle = _Block(middle, 5)
        self.fine_in = _Join(channels[0] + 3 + len(_RADII) + n + _ENCODING, middle, fine)
        self.fine = _Block(fine, 5)
        self.head = _Conv(fine, 3, 1)
        self.depth_net = nn.Linear(3, 2 * sum(_WIDTHS))
        nn.init.zeros_(self.depth_net.weight)
        nn.init.zeros_(self.depth_net.bias)
        with torch.no_grad():
            self.head.weight.mul_(0.1)
        self.evidence = nn.Parameter(torch.zeros(len(_RADII)))

    def forward(self, features: Features, heads: Tensor, counts: Tensor, depth_code: Tensor, prior: Tensor) -> Tensor:
        """Return what to add to the heads.

        Parameters
        ----------
        features
            The trunk's features, the fine ones with `edge` bins of 32 bp beside the core.
        heads
            The network's heads on the fine features, (B, 3, 1, n).
        counts
            Cut sites per bin with the halo, (B, 1 or more, n_bins).
        depth_code
            The depth, (B, 3).
        prior
            Channels per bin with the halo, without the weight, (B, 5, n_bins).

        Returns
        -------
        (B, 3, n_core_bins + 2), zero where there is no cut site within 8 kb.
        """
        gains, shifts = zip(*(part.chunk(2, 1) for part in self._modulation(depth_code)), strict=True)
        halo = (prior.shape[-1] - (heads.shape[-1] - 2 * _LEVEL * _EDGE_FINE)) // 2
        middle = self._middle(features, prior, halo, (gains[1:], shifts[1:]))
        beside = halo - _LEVEL * _EDGE_FINE
        sites = self._evidence(counts[:, 0].float(), beside)
        wide = _image(_cut(prior, beside - 8))
        near = _cut(F.relu_(self.prior_2(F.relu_(self.prior_1(wide)))), 8)
        beside_them = torch.cat([heads, _image(torch.log1p(sites)), _cut(wide, 8), near], dim=1)
        x = F.relu_(torch.addcmul(shifts[0], self.fine_in(middle, features.fine, beside_them), 1 + gains[0]))
        cut = _LEVEL * _EDGE_FINE - 1
        correction = self.head(_cut(self.fine(x), cut))[:, :, 0]
        return correction * self._gate(counts[:, 0], _cut(sites, cut), beside + cut)

    def _modulation(self, depth_code: Tensor) -> tuple[Tensor, ...]:
        """Gain and shift of each level, one after the other, from the depth."""
        return self.depth_net(depth_code)[..., None, None].split([2 * width for width in _WIDTHS], dim=1)

    def _middle(self, features: Features, prior: Tensor, halo: int, levels: tuple) -> Tensor:
        """Join the trunk's wider features with the prior; (B, C, 1, n) at 32 bp, `edge` bins beside the core."""
        gains, shifts = levels
        by_middle = F.avg_pool1d(prior, _LEVEL)
        edge = halo // _LEVEL**2 - _EDGE_COARSE - 2  # what the block below needs
        pooled = _image(_cut(F.avg_pool1d(by_middle, _LEVEL), edge - 2))
        joined = torch.cat([_cut(features.coarse, edge), _cut(pooled, 2)], dim=1)
        x = self.coarse_in(joined) + _cut(self.coarse_prior(pooled), 2)
        coarse = _cut(self.coarse(F.relu_(torch.addcmul(shifts[1], x, 1 + gains[1]))), 2)
        edge = halo // _LEVEL - _EDGE_COARSE * _LEVEL
        pooled = _image(_cut(by_middle, edge - 2))
        x = self.middle_in(coarse, _cut(features.middle, edge), _cut(pooled, 2))
        x = x + _cut(self.middle_prior(pooled), 2)
        middle = self.middle(F.relu_(torch.addcmul(shifts[0], x, 1 + gains[0])))
        return _cut(middle, _EDGE_COARSE * _LEVEL - _EDGE_FINE)

    def _evidence(self, counts: Tensor, edge: int) -> Tensor:
        """Cut sites within each radius of the bins that remain without `edge` at either end; (B, 4, n)."""
        total = _running(counts)
        return torch.stack([_within(total, radius, edge) for radius in _RADII], dim=1)

    def _gate(self, counts: Tensor, sites: Tensor, edge: int) -> Tensor:
        """How far the prior may act, 0 to 1; (B, 1, n)."""
        amount = (sites * F.softplus(self.evidence)[:, None]).sum(1)
        some = _within(_running((counts > 0).int()), _RADII[-1], edge) > 0  # exact, unlike sums of fractions
        return ((1 - torch.exp(-amount)) * some)[:, None]


class _Join(_Conv):
    """Mix a level's channels with those of the next coarser one, which is brought to its bins afterwards."""

    def __init__(self, own: int, coarser: int, outputs: int) -> None:
        super().__init__(own + coarser, outputs, 1)

    def forward(self, coarser: Tensor, *own: Tensor) -> Tensor:
        """Mix `own`, parts of the level's channels, which joining would only move, and those of the coarser level."""
        *here, above = self.weight.split([*(part.shape[1] for part in own), coarser.shape[1]], dim=1)
        mixed = F.conv2d(own[0], here[0], self.bias)
        for part, weight in zip(own[1:], here[1:], strict=True):
            mixed = mixed + F.conv2d(part, weight)
        return _add_coarser(mixed, F.conv2d(coarser, above))


class _Block(nn.Module):
    """Two convolutions with a skip."""

    def __init__(self, channels: int, kernel: int) -> None:
        super().__init__()
        self.conv_1, self.conv_2 = _Conv(channels, channels, kernel), _Conv(channels, channels, kernel)
        with torch.no_grad():
            self.conv_2.weight.mul_(0.3)

    def forward(self, x: Tensor) -> Tensor:
        return F.relu_(self.conv_2(F.relu_(self.conv_1(x))).add_(x))


def _running(values: Tensor) -> Tensor:
    """Sum of everything before each bin, and of all; (B, n_bins + 1)."""
    return F.pad(values.cumsum(-1), (1, 0))


def _within(total: Tensor, radius: int, edge: int) -> Tensor:
    """Sum over `radius` bins to either side of the bins that remain without `edge` at either end."""
    n = total.shape[-1] - 1 - 2 * edge
    low, high = edge - radius, edge + radius + 1
    return total[..., high : high + n] - total[..., low : low + n]


def with_guide(model: BinnedUNet, tensors: Mapping[str, Tensor] | None = None) -> BinnedUNet:
    """Return a network of the same weights that has a guide.

    Parameters
    ----------
    model
        Network without a guide.
    tensors
        Weights of the guide, by their names in :class:`Guide`; random ones (from torch's global state) if `None`.

    Returns
    -------
    A new network; its unguided output is that of `model`.

    Raises
    ------
    ValueError
        If the weights do not fit.
    """
    from scatacworks.models.checkpoint import load_tensors

    joined = type(model)(dataclasses.replace(model.config, guide=True), dict(model.card))
    own = joined.guide.state_dict() if tensors is None else tensors
    weights = model.state_dict() | {f"guide.{name}": value for name, value in own.items()}
    load_tensors(joined, weights, "the guide")
    return joined.train(model.training)


def without_guide(model: BinnedUNet) -> BinnedUNet:
    """Return a network of the same weights without its guide, which fits no other weights than these."""
    plain = type(model)(dataclasses.replace(model.config, guide=False), dict(model.card))
    weights = model.state_dict()
    plain.load_state_dict({name: value for name, value in weights.items() if not name.startswith("guide.")})
    return plain.train(model.training)
