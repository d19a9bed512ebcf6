"""The branch of a network that reads a prior: what it changes is a correction, zero where nothing was measured."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from scatacworks.models._bins import LEVEL, Conv, add_coarser, centered, cut, from_rows, image, rows
from scatacworks.models.checkpoint import load_tensors
from scatacworks.prior import CHANNELS, N_MAPS

if TYPE_CHECKING:
    from collections.abc import Mapping

    from scatacworks.models.binned_unet import BinnedUNet, Features

_MIDDLE_BP, _COARSE_BP = 32, 128  # bins of the network's wider levels
_WIDTHS = (48, 32)  # feature channels at 32 and 128 bp
_RADII = (3, 12, 50, 250)  # bins of 32 bp to either side in which cut sites are counted as evidence
_EDGE = 2  # bins of 128 bp that the convolutions at 32 bp reach beyond the core, rounded up
REACH_BP = 2 * _COARSE_BP + 5 * _MIDDLE_BP  # how far features are carried beyond the trunk's reach
EVIDENCE_BP = (_RADII[-1] + 1) * _MIDDLE_BP  # distance of the furthest cut site that lets the prior act
PRIOR_BP = 5 * _COARSE_BP + 7 * _MIDDLE_BP  # how far away a prior is seen


class Guide(nn.Module):
    """Correction of a network's heads from its features and a prior.

    It is made on bins of 32 bp, which is cheap, but not coarse: the four bins of 8 bp within each are channels.

    The correction is multiplied by an evidence gate, one minus the exponential of minus a weighted sum of the cut sites
    within some 0.1 to 8 kb. Without a cut site there it is exactly zero: a prior alone changes nothing.

    Training weighs some bins more than others, which moves the log odds. `offset`, what is added to them at a depth, is
    trained once more, alone, on all bins alike, so that probabilities are right again.

    Parameters
    ----------
    channels
        Feature channels of the network at 8, 32 and 128 bp.
    """

    edge = _EDGE * LEVEL
    n_channels = len(CHANNELS) - 1

    def __init__(self, channels: tuple[int, int, int]) -> None:
        super().__init__()
        middle, coarse = _WIDTHS
        n = self.n_channels
        self.coarse_in, self.coarse_prior = Conv(channels[2] + n, coarse, 1), Conv(n, coarse, 5)
        self.coarse = _Block(coarse, 3)
        n_near = LEVEL * N_MAPS + n - N_MAPS
        self.middle_in = _Join(LEVEL * channels[0] + channels[1] + len(_RADII), coarse, middle)
        self.middle_prior = Conv(n_near, middle, 5)
        self.middle = _Block(middle, 5)
        self.head = Conv(middle, 3 * LEVEL, 1)
        self.depth_net = nn.Linear(3, 2 * sum(_WIDTHS))
        nn.init.zeros_(self.depth_net.weight)
        nn.init.zeros_(self.depth_net.bias)
        with torch.no_grad():
            self.head.weight.mul_(0.1)
        self.offset = nn.Linear(3, 1)
        nn.init.zeros_(self.offset.weight)
        nn.init.zeros_(self.offset.bias)
        self.evidence = nn.Parameter(torch.zeros(len(_RADII)))

    def forward(self, features: Features, counts: Tensor, depth_code: Tensor, prior: Tensor) -> Tensor:
        """Return what to add to the heads.

        Parameters
        ----------
        features
            The trunk's features, the fine ones with `edge` bins of 32 bp beside the core.
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
        (gain, shift), wider = (part.chunk(2, 1) for part in self._modulation(depth_code))
        halo = (prior.shape[-1] - features.fine.shape[-1]) // 2 // LEVEL + self.edge  # bins of 32 bp
        beside = halo - self.edge
        pooled, sites = F.avg_pool1d(prior, LEVEL), F.avg_pool1d(counts[:, :1].float(), LEVEL)[:, 0] * LEVEL
        wide = self._wide(features.coarse, pooled, halo // LEVEL, wider)
        evidence = image(torch.log1p(_around(sites, beside)))
        x = self.middle_in(wide, _folded(features.fine), centered(features.middle, evidence.shape[-1]), evidence)
        maps = _folded(image(cut(prior[:, :N_MAPS], LEVEL * (beside - 2))))
        near = torch.cat([maps, image(cut(pooled[:, N_MAPS:], beside - 2))], dim=1)
        x.add_(cut(self.middle_prior(near), 2))
        x = self.middle(F.relu_(torch.addcmul(shift, x, 1 + gain)))
        correction = _unfolded(self.head(cut(x, self.edge - 1)))
        offset = F.pad(self.offset(depth_code), (2, 0))[:, :, None]  # of the logit alone
        gate = self._gate(sites, halo - 1).repeat_interleave(LEVEL, -1)
        return cut((correction + offset) * gate, LEVEL - 1)

    def _modulation(self, depth_code: Tensor) -> tuple[Tensor, ...]:
        """Gain and shift of each level, one after the other, from the depth."""
        return self.depth_net(depth_code)[..., None, None].split([2 * width for width in _WIDTHS], dim=1)

    def _wide(self, features: Tensor, prior: Tensor, halo: int, modulation: tuple[Tensor, Tensor]) -> Tensor:
        """Join the trunk's widest features with the prior; (B, C, 1, n) at 128 bp, 2 bins beside the core."""
        gain, shift = modulation
        edge = halo - _EDGE - 2  # what the block below needs
        pooled = image(cut(F.avg_pool1d(prior, LEVEL), edge - 2))
        near = cut(pooled, 2)
        joined = torch.cat([centered(features, near.shape[-1]), near], dim=1)
        x = self.coarse_in(joined).add_(cut(self.coarse_prior(pooled), 2))
        return cut(self.coarse(F.relu_(torch.addcmul(shift, x, 1 + gain))), 2)

    def _gate(self, counts: Tensor, edge: int) -> Tensor:
        """How far the prior may act, 0 to 1; (B, 1, n)."""
        amount = (_around(counts, edge) * F.softplus(self.evidence)[:, None]).sum(1)
        some = _within(_running((counts > 0).int()), _RADII[-1], edge) > 0  # exact, unlike sums of fractions
        return ((1 - torch.exp(-amount)) * some)[:, None]


class _Join(Conv):
    """Mix a level's channels with those of the next coarser one, which is brought to its bins afterwards."""

    def __init__(self, own: int, coarser: int, outputs: int) -> None:
        super().__init__(own + coarser, outputs, 1)

    def forward(self, coarser: Tensor, *own: Tensor) -> Tensor:
        """Mix `own`, parts of the level's channels, which joining would only move, and those of the coarser level."""
        *here, above = self.weight[:, :, 0, 0].split([*(part.shape[1] for part in own), coarser.shape[1]], dim=1)
        mixed = F.linear(rows(own[0]), here[0], self.bias)
        for part, weight in zip(own[1:], here[1:], strict=True):
            mixed = torch.baddbmm(mixed, rows(part), weight.T.expand(len(part), -1, -1))
        return add_coarser(from_rows(mixed), from_rows(F.linear(rows(coarser), above)))


class _Block(nn.Module):
    """Two convolutions with a skip."""

    def __init__(self, channels: int, kernel: int) -> None:
        super().__init__()
        self.conv_1, self.conv_2 = Conv(channels, channels, kernel), Conv(channels, channels, kernel)
        with torch.no_grad():
            self.conv_2.weight.mul_(0.3)

    def forward(self, x: Tensor) -> Tensor:
        return F.relu_(self.conv_2(F.relu_(self.conv_1(x))).add_(x))


def _folded(x: Tensor) -> Tensor:
    """View (B, C, 1, n), channels last in memory, as (B, 4 C, 1, n / 4): four bins become channels of one."""
    return from_rows(rows(x).unflatten(1, (-1, LEVEL)).flatten(2))


def _unfolded(x: Tensor) -> Tensor:
    """Give (B, 4 C, 1, n), as of :func:`_folded`, as (B, C, 4 n)."""
    return rows(x).unflatten(2, (LEVEL, -1)).flatten(1, 2).transpose(1, 2).contiguous()


def _around(counts: Tensor, edge: int) -> Tensor:
    """Sum of the counts within each radius of the bins that remain without `edge` at either end; (B, 4, n)."""
    total = _running(counts)
    return torch.stack([_within(total, radius, edge) for radius in _RADII], dim=1)


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
    TypeError
        If it is no network of the kind that can have one.
    ValueError
        If the weights do not fit.
    """
    if not hasattr(model.config, "guide"):
        msg = f"A {model.architecture} cannot have a guide; take a BinnedUNet, bundled or of your own."
        raise TypeError(msg)
    joined = type(model)(dataclasses.replace(model.config, guide=True), dict(model.card))
    own = joined.guide.state_dict() if tensors is None else tensors
    weights = model.state_dict() | {f"guide.{name}": value for name, value in own.items()}
    load_tensors(joined, weights, "the guide")
    return joined.train(model.training)


def without_guide(model: BinnedUNet) -> BinnedUNet:
    """Return a network of the same weights without its guide, which fits no other weights than these."""
    with torch.random.fork_rng(devices=[]):  # the weights drawn are replaced
        plain = type(model)(dataclasses.replace(model.config, guide=False), dict(model.card))
    weights = model.state_dict()
    plain.to(model.head.weight.dtype)
    plain.load_state_dict({name: value for name, value in weights.items() if not name.startswith("guide.")})
    trained = dict(model.named_parameters())
    for name, parameter in plain.named_parameters():  # what is frozen stays so
        parameter.requires_grad_(trained[name].requires_grad)
    return plain.train(model.training)
