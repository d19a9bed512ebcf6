"""The default network: a small U-Net on 8-bp bins that knows its depth."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from scatacworks.models._bins import LEVEL, Conv, add_coarser, centered, cut, from_rows, image
from scatacworks.models.base import Model, box_weights, new_card, round_up
from scatacworks.models.guide import EVIDENCE_BP, PRIOR_BP, REACH_BP, Guide

_STEM_KERNEL = 9
_BLOCK = 16  # bins smoothed by one row of the matrix product
_COARSE_BOXES = (1, 5, 25)  # widths, in coarsest bins, of the wide sums fed to the bottom


@dataclass(frozen=True)
class BinnedUNetConfig:
    """Shape of a :class:`BinnedUNet`.

    Attributes
    ----------
    channels
        Feature channels at 8, 32 and 128 bp.
    kernels
        Kernel widths (bins, odd) at these levels.
    dilations
        One residual block per entry at the 128-bp level.
    sigmas
        Standard deviations (bp) of the Gaussian-smoothed inputs, beside the ±extension box.
    extension
        bp to either side of a cut site in the predicted coverage.
    reference_depth
        Depth (cut sites per 3.1e9 bp) that the inputs are scaled to.
    depth_limits
        Beyond these depths the network is told the nearest limit (the inputs are scaled by the true depth).
    extra_channels
        Names of further input channels, one value per bin.
    guide
        Whether there is a branch that reads a prior, see :meth:`BinnedUNet.guided`.

    Examples
    --------
    >>> from scatacworks.models import BinnedUNetConfig
    >>> BinnedUNetConfig(dilations=(1, 2, 4)).dilations
    (1, 2, 4)
    """

    channels: tuple[int, int, int] = (32, 48, 80)
    kernels: tuple[int, int, int] = (5, 7, 5)
    dilations: tuple[int, ...] = (1, 2, 4, 8, 1)
    sigmas: tuple[float, ...] = (25.0, 80.0, 200.0, 400.0)
    extension: int = 100
    reference_depth: float = 5e6
    depth_limits: tuple[float, float] = (3e4, 8e7)
    extra_channels: tuple[str, ...] = ()
    guide: bool = False

    def __post_init__(self) -> None:
        for name in ("channels", "kernels", "dilations", "sigmas", "depth_limits", "extra_channels"):
            object.__setattr__(self, name, tuple(getattr(self, name)))
        if len(self.channels) != 3 or len(self.kernels) != 3 or any(k % 2 == 0 for k in self.kernels):
            msg = f"channels and kernels need three entries, kernels odd; got {self.channels} and {self.kernels}"
            raise ValueError(msg)


class Features(NamedTuple):
    """What the trunk of a :class:`BinnedUNet` computes from a batch of windows.

    Attributes
    ----------
    fine, middle, coarse
        Features at 8, 32 and 128 bp, (B, C, 1, n); the fine ones without most of the halo, the others with all of it.
    box
        Input coverage at the reference depth on fine bins (B, n_bins).
    """

    fine: Tensor
    middle: Tensor
    coarse: Tensor
    box: Tensor


class BinnedUNet(Model):
    """Denoise cut sites on 8-bp bins with three levels of context.

    The counts are smoothed by a fixed bank (the ±extension box and a few Gaussians), scaled to a reference depth and
    variance-stabilised; a U-Net at 8, 32 and 128 bp with dilated residual blocks at the bottom reads them, its
    features modulated by the depth. The signal is the square of an amplitude that mixes, through a learned gate, a
    prediction and the scaled input track itself, so that deep input passes through and shallow input is replaced.
    One model serves all depths. Kernels have no batch statistics, so the result does not depend on tiling.

    Parameters
    ----------
    config
        Shape of the network; `None` for the default.
    card
        Model card, see :func:`~scatacworks.models.base.new_card`.

    Examples
    --------
    >>> import torch
    >>> from scatacworks.models import BinnedUNet
    >>> model = BinnedUNet()
    >>> n_bins = (1024 + 2 * model.halo) // model.bin_size
    >>> signal, logit = model(torch.zeros(1, 1, n_bins), torch.tensor([1e6]))
    >>> tuple(signal.shape)
    (1, 130)
    """

    architecture = "BinnedUNet"
    config_class = BinnedUNetConfig
    bin_size = 8

    def __init__(self, config: BinnedUNetConfig | None = None, card: dict[str, Any] | None = None) -> None:
        config = config or BinnedUNetConfig()
        super().__init__(config, new_card(extension=config.extension) if card is None else card)
        self.stride = self.bin_size * LEVEL**2
        filters = _filter_bank(self.bin_size, config)
        self.reach = filters.shape[-1] // 2
        self.register_buffer("bank", _as_matrix(filters), persistent=False)
        self._build(config, n_smooth=len(filters))
        self.halo = round_up(self.receptive_field(), self.stride)
        if config.guide:
            self.guide = Guide(config.channels)
            self.trunk_halo = round_up(self.receptive_field() + REACH_BP, self.stride)
            self.halo = max(self.trunk_halo, round_up(EVIDENCE_BP + PRIOR_BP, self.stride))

    def _build(self, config: BinnedUNetConfig, n_smooth: int) -> None:
        """Create the trainable layers; tensors are (B, C, 1, n), the layout in which the CPU convolves fastest."""
        fine, middle, coarse = config.channels
        k_fine, k_middle, k_coarse = config.kernels
        n_features = 2 * n_smooth + 2 + len(config.extra_channels)
        self.stem = Conv(n_features, fine, _STEM_KERNEL)
        self.fine = _Residual(fine, k_fine, k_fine)
        self.down_1 = Conv(fine, middle, LEVEL, stride=LEVEL)
        self.middle = _Residual(middle, k_middle, k_middle)
        self.down_2 = Conv(middle, coarse, LEVEL, stride=LEVEL)
        self.wide = Conv(2 * len(_COARSE_BOXES), coarse, 1)
        self.coarse = nn.ModuleList(_Residual(coarse, k_coarse, 1, dilation) for dilation in config.dilations)
        self.up_2 = Conv(coarse, middle, 1)
        self.middle_out = _Residual(middle, k_middle, k_middle)
        self.up_1 = Conv(middle, fine, 1)
        self.fine_out = _Residual(fine, k_fine, k_fine)
        self.head = Conv(fine, 3, 1)
        self.widths = (fine, middle, *([coarse] * len(config.dilations)), middle, fine)
        n_modulations = sum(self.widths) + len(config.dilations) * coarse
        self.depth_net = nn.Sequential(nn.Linear(3, 32), nn.Tanh(), nn.Linear(32, n_modulations))
        nn.init.zeros_(self.depth_net[2].weight)
        nn.init.zeros_(self.depth_net[2].bias)
        with torch.no_grad():
            self.head.weight.mul_(0.1)
            self.head.bias.copy_(torch.tensor([0.5, 0.0, -3.0]))

    @property
    def has_guide(self) -> bool:
        """Whether the network can use a prior."""
        return self.config.guide

    def receptive_field(self) -> int:
        """Furthest distance, in bp, at which a cut site can change the unguided output of a bin (margin included)."""
        k_fine, k_middle, k_coarse = (k // 2 for k in self.config.kernels)
        bp_fine, bp_middle = self.bin_size, self.bin_size * LEVEL
        direct = (self.reach + _STEM_KERNEL // 2 + 2 * k_fine) * bp_fine + 2 * k_middle * bp_middle
        wide = max(_COARSE_BOXES) // 2 * self.stride
        bottom = (sum(self.config.dilations) * k_coarse + 1) * self.stride
        return max(direct, wide) + bottom + 2 * k_middle * bp_middle + (2 * k_fine + self.margin + 1) * bp_fine

    def forward(self, counts: Tensor, depth: Tensor) -> tuple[Tensor, Tensor]:
        """Denoise a batch of windows; see :meth:`Model.forward`."""
        self.check_input(counts)
        edge = self._shallow_edge()
        features = self._trunk(counts, depth, edge)
        final = self.halo // self.bin_size - self.margin - edge * LEVEL
        heads = self.head(cut(features.fine, final))[:, :, 0].contiguous()
        root, logit = self._outputs(heads, self._amplitude(self.crop(features.box)))
        return root.square(), logit

    def guided(self, counts: Tensor, depth: Tensor, prior: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Denoise a batch of windows with what is known of other samples there.

        Parameters
        ----------
        counts, depth
            As for :meth:`forward`.
        prior
            Per bin, halo included, float32 (`n_windows`, 6, `n_bins`): the channels of
            :data:`scatacworks.prior.CHANNELS`, of which the last is the weight, 0 to 1, of the correction.

        Returns
        -------
        signal, logit
            As of :meth:`forward`, corrected by the prior.
        unguided
            The logit of :meth:`forward`.

        Raises
        ------
        ValueError
            If the network has no guide, or the shapes do not fit.
        """
        self._check_prior(counts, prior)
        spare = self.halo - self.trunk_halo  # which the guide alone looks at
        edge = self.trunk_halo // (self.bin_size * LEVEL) - self.guide.edge
        features = self._trunk(cut(counts, spare // self.bin_size), depth, edge)
        correction = self.guide(features, counts, self._depth_code(depth), prior[:, :-1])
        fine = cut(features.fine, self.guide.edge * LEVEL - self.margin)
        heads = self.head(fine)[:, :, 0].float()  # half under autocast, which the correction is not
        raw = self._amplitude(centered(features.box, heads.shape[-1]))
        root, logit = self._outputs(heads, raw)
        root_guided, logit_guided = self._outputs(correction.add_(heads), raw)
        weight = self.crop(prior[:, -1])
        return torch.lerp(root, root_guided, weight).square(), torch.lerp(logit, logit_guided, weight), logit

    def _check_prior(self, counts: Tensor, prior: Tensor) -> None:
        """Refuse a prior that cannot be used, in one clear sentence."""
        self.check_input(counts)
        if not self.has_guide:
            msg = f"the model {self.card['name']!r} has no guide, so it cannot use a prior"
            raise ValueError(msg)
        wanted = (counts.shape[0], self.guide.n_channels + 1, counts.shape[-1])
        if tuple(prior.shape) != wanted:
            msg = f"the prior must have shape {wanted} (windows, channels and weight, bins); got {tuple(prior.shape)}"
            raise ValueError(msg)

    def _trunk(self, counts: Tensor, depth: Tensor, edge: int) -> Features:
        """Compute the features; `edge` bins of 32 bp are dropped on either side before the last fine block."""
        scale = (self.config.reference_depth / depth)[:, None, None]
        smooth = self._smooth(counts[:, 0])
        shifts, scales = self._modulation(depth)
        x_fine = F.relu_(self.stem(from_rows(self._features(counts, smooth, scale))))
        x_fine = self.fine(x_fine, shifts[0])
        x_middle = self.middle(F.relu_(self.down_1(x_fine)), shifts[1])
        coarse = F.relu_(self.down_2(x_middle) + self.wide(image(self._wide_sums(counts, scale))))
        for block, shift, gain in zip(self.coarse, shifts[2:], scales, strict=False):
            coarse = block(coarse, shift, gain)
        middle = self.middle_out(F.relu_(add_coarser(x_middle, self.up_2(coarse))), shifts[-2])
        fine = F.relu_(add_coarser(cut(x_fine, edge * LEVEL), self.up_1(cut(middle, edge))))
        return Features(self.fine_out(fine, shifts[-1]), middle, coarse, smooth[..., 0] * scale[..., 0])

    def _smooth(self, counts: Tensor) -> Tensor:
        """Smooth (B, n_bins) counts by every filter, as one matrix product over blocks of bins; (B, n_bins, n)."""
        reach = self.reach
        blocks = F.pad(counts, (reach, reach)).unfold(-1, self.bank.shape[0], _BLOCK)
        return (blocks @ self.bank).view(len(counts), counts.shape[-1], -1)

    def _shallow_edge(self) -> int:
        """32-bp bins that can be dropped on either side before the last fine block."""
        needed = (2 * (self.config.kernels[0] // 2) + self.margin) * self.bin_size
        return (self.halo - round_up(needed, self.bin_size * LEVEL)) // (self.bin_size * LEVEL)

    def _features(self, counts: Tensor, smooth: Tensor, scale: Tensor) -> Tensor:
        """Variance-stabilised inputs on fine bins (B, n_bins, n_features)."""
        scaled, here = smooth * scale, counts.transpose(1, 2)
        parts = [torch.sqrt(scaled), torch.log1p(scaled), torch.sqrt(smooth[..., :1]), torch.sqrt(here[..., :1])]
        if self.extra_channels:
            parts.append(here[..., 1:])
        return torch.cat(parts, dim=-1)

    def _wide_sums(self, counts: Tensor, scale: Tensor) -> Tensor:
        """Square roots and logs of scaled counts in wide boxes at the coarsest level."""
        coarse = F.avg_pool1d(counts[:, :1], LEVEL**2) * (self.stride / self.bin_size)
        sums = [F.avg_pool1d(coarse, w, stride=1, padding=w // 2) if w > 1 else coarse for w in _COARSE_BOXES]
        scaled = torch.cat(sums, dim=1) * scale
        return torch.cat([torch.sqrt(scaled), torch.log1p(scaled)], dim=1)

    def _modulation(self, depth: Tensor) -> tuple[tuple[Tensor, ...], tuple[Tensor, ...]]:
        """Shift for every block, and scale for the blocks of the coarsest level, from the depth."""
        out = self.depth_net(self._depth_code(depth))[..., None, None]
        shifts = out[:, : sum(self.widths)].split(self.widths, dim=1)
        return shifts, out[:, sum(self.widths) :].split(self.config.channels[2], dim=1)

    def _depth_code(self, depth: Tensor) -> Tensor:
        """Depth as three smooth functions of its logarithm (B, 3)."""
        z = torch.log10(depth.clamp(*self.config.depth_limits) / self.config.reference_depth)[:, None]
        return torch.cat([z, z.square() / 2, torch.sin(z * (math.pi / 2))], dim=1)

    def _amplitude(self, box: Tensor) -> Tensor:
        """Square root of the input coverage at the target depth, from that at the reference depth."""
        return torch.sqrt(box * (self.target_depth / self.config.reference_depth))

    def _outputs(self, heads: Tensor, raw: Tensor) -> tuple[Tensor, Tensor]:
        """Square root of the signal, and logit, from the heads (B, 3, n) and what :meth:`_amplitude` gives (B, n)."""
        amplitude, gate, logit = heads.unbind(dim=1)
        # softplus keeps the gradient of the empty background alive where ReLU would die
        return F.softplus(amplitude) + torch.sigmoid(gate) * raw, logit


class _Residual(nn.Module):
    """Two convolutions with a skip; the first one's output is shifted, and at will scaled, by the depth."""

    def __init__(self, channels: int, kernel: int, kernel_2: int, dilation: int = 1) -> None:
        super().__init__()
        self.conv_1 = Conv(channels, channels, kernel, dilation=dilation)
        self.conv_2 = Conv(channels, channels, kernel_2)
        with torch.no_grad():
            self.conv_2.weight.mul_(0.2)

    def forward(self, x: Tensor, shift: Tensor, scale: Tensor | None = None) -> Tensor:
        hidden = self.conv_1(x, shift) if scale is None else torch.addcmul(shift, self.conv_1(x), 1 + scale)
        return F.relu_(self.conv_2(F.relu_(hidden)).add_(x))


def _filter_bank(bin_size: int, config: BinnedUNetConfig) -> Tensor:
    """Box and Gaussians, each in units of the box coverage (same sum); (n_filters, width)."""
    box = torch.tensor(box_weights(bin_size, config.extension), dtype=torch.float64)
    reach = max([len(box) // 2, *(math.ceil(2.5 * sigma / bin_size) for sigma in config.sigmas)])
    x = torch.arange(-reach, reach + 1, dtype=torch.float64) * bin_size
    rows = [F.pad(box, (reach - len(box) // 2,) * 2)]
    rows += [g * (box.sum() / g.sum()) for g in (torch.exp(-0.5 * (x / s).square()) for s in config.sigmas)]
    return torch.stack(rows).float()


def _as_matrix(filters: Tensor) -> Tensor:
    """Banded matrix (width + _BLOCK - 1, _BLOCK * n_filters) that filters a block of _BLOCK bins at once."""
    n, width = filters.shape
    out = filters.new_zeros(width + _BLOCK - 1, _BLOCK, n)
    for shift in range(_BLOCK):
        out[shift : shift + width, shift] = filters.T
    return out.flatten(1)
