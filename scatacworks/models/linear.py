"""The paper's simplest comparison: one linear filter over the surroundings of a base."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from scatacworks.models.base import Model, box_weights, new_card, round_up

if TYPE_CHECKING:
    import numpy as np

_BLOCK = 64  # bins filtered by one row of the matrix product


@dataclass(frozen=True)
class LinearConfig:
    """Shape of a :class:`Linear`.

    Attributes
    ----------
    field
        Width of the filter in bp.
    extension
        bp to either side of a cut site in the coverage.

    Examples
    --------
    >>> from scatacworks.models import LinearConfig
    >>> LinearConfig(field=2001).field
    2001
    """

    field: int = 8401
    extension: int = 100

    def __post_init__(self) -> None:
        if self.field < 2 * self.extension + 1:
            msg = f"field is {self.field} bp; expected at least the {2 * self.extension + 1} bp of an extended cut site"
            raise ValueError(msg)


class Linear(Model):
    """Predict coverage by a linear filter of the cut sites, and peaks by a logistic one, on 8-bp bins.

    The filters cover 8.4 kb, as in the paper's linear and logistic comparisons; the input is scaled by the depth. They
    start as the plain ±extension coverage.

    Parameters
    ----------
    config
        Width; `None` for the default.
    card
        Model card.

    Examples
    --------
    >>> import torch
    >>> from scatacworks.models import Linear
    >>> model = Linear()
    >>> counts = torch.zeros(1, 1, (1024 + 2 * model.halo) // 8)
    >>> tuple(model(counts, torch.tensor([1e6]))[0].shape)
    (1, 130)
    """

    architecture = "Linear"
    config_class = LinearConfig
    bin_size = 8

    def __init__(self, config: LinearConfig | None = None, card: dict[str, Any] | None = None) -> None:
        config = config or LinearConfig()
        super().__init__(config, new_card(extension=config.extension) if card is None else card)
        self.stride = 128
        self.reach = config.field // 2 // self.bin_size
        self.halo = round_up((self.reach + 2) * self.bin_size, self.stride)
        box = torch.tensor(box_weights(self.bin_size, config.extension))
        pad = self.reach - len(box) // 2
        self.weight = nn.Parameter(F.pad(box, (pad, pad)).repeat(2, 1) * torch.tensor([[1.0], [0.02]]))
        self.offset = nn.Parameter(torch.tensor([0.0, -4.0]))

    def set_filter(self, weight: np.ndarray, offset: float) -> None:
        """Take a filter (`2 reach + 1` bins) for both outputs, and what is added to the coverage, from elsewhere."""
        with torch.no_grad():
            self.weight.copy_(torch.from_numpy(weight).repeat(2, 1))
            self.offset[0] = offset

    def forward(self, counts: Tensor, depth: Tensor) -> tuple[Tensor, Tensor]:
        """Filter a batch of windows; see :meth:`Model.forward`."""
        self.check_input(counts)
        scaled = counts[:, 0] * (self.target_depth / depth)[:, None]
        signal, logit = self.crop(self._filter(scaled)).unbind(dim=1)
        return F.relu(signal + self.offset[0]), logit + self.offset[1]

    def _filter(self, x: Tensor) -> Tensor:
        """Both filters over (B, n) as one matrix product over blocks of bins; (B, 2, n)."""
        n = x.shape[-1]
        blocks = F.pad(x, (self.reach, self.reach + -n % _BLOCK)).unfold(-1, 2 * self.reach + _BLOCK, _BLOCK)
        # row j of the banded matrix holds the filter shifted by j
        padded = F.pad(self.weight, (_BLOCK - 1, _BLOCK - 1))
        bands = padded.unfold(-1, 2 * self.reach + _BLOCK, 1).flip(1)
        out = torch.einsum("bni,fji->bfnj", blocks, bands)
        return out.flatten(2)[..., :n]
