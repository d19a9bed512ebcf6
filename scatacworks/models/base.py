"""What every network has in common: its geometry, its card and the call convention."""

from __future__ import annotations

import copy
import dataclasses
import math
from typing import Any, ClassVar

import torch
from torch import Tensor, nn

from scatacworks.models._bins import cut

_CARD_DEFAULTS: dict[str, Any] = {
    "name": "unnamed",
    "architecture": "",
    "version": "1",
    "target_depth": 80e6,
    "input_depth": None,
    "depth_range": [5e4, 2e7],
    "extension": 100,
    "convention": "10x",
    "signal": "coverage",
    "genome": "",
    "data": "",
    "licence": "",
    "split": "",
    "metrics": {},
    "limits": "",
}


def new_card(**values: Any) -> dict[str, Any]:
    """Make a model card: a flat, JSON-ready description that travels with the weights.

    Parameters
    ----------
    values
        Any of the keys below; the rest get neutral defaults. Other keys are kept as they are.

        ``name``, ``architecture``, ``version``; ``target_depth`` (cut sites per 3.1e9 bp that the signal is scaled
        to); ``input_depth`` (the one depth of the training input, `None` for a depth-aware model); ``depth_range``
        (cut sites, smallest and largest in training); ``extension`` (bp to either side of a cut site);
        ``convention`` (``"10x"`` or ``"atacworks"``); ``signal`` (``"coverage"`` of cut sites, or a ``"target"`` in a
        unit of its own); ``genome``; ``data``; ``licence``; ``split``; ``metrics``;
        ``limits``.

    Returns
    -------
    A new dictionary.

    Examples
    --------
    >>> from scatacworks.models.base import new_card
    >>> new_card(name="mine")["extension"]
    100
    """
    return copy.deepcopy(_CARD_DEFAULTS) | values


ARCHITECTURES = ("BinnedUNet", "ResNet", "UNet", "Linear", "Gaussian")
"""Names of the package's own networks."""


class Model(nn.Module):
    """Base of all networks: cut-site counts with halo in, signal and peak logit out.

    A model works on windows. A window has a core and, on either side, :attr:`halo` base pairs of real data, the exact
    reach of the network rounded up to :attr:`stride`. Window starts are multiples of :attr:`stride` in genome
    coordinates (0-based); then the result does not depend on how a chromosome is cut into windows, apart from float
    rounding. Counts outside a chromosome are zero.

    A subclass is trained, used, saved and loaded like the package's own networks; its file can be loaded wherever the
    class has been imported.

    Parameters
    ----------
    config
        Frozen dataclass of what JSON can write, an instance of the subclass's :attr:`config_class`.
    card
        Model card; missing keys get the defaults of :func:`~scatacworks.models.base.new_card`.

    Attributes
    ----------
    architecture
        Name that files know the class by; the name of the class where it gives none.
    config_class
        Class of `config`, from which a stored network is built again.
    needs_training
        Whether new weights are random, so that nothing is denoised with them before they are trained.
    config
        Frozen dataclass with everything needed to build the network again.
    card
        JSON-ready dictionary, see :func:`~scatacworks.models.base.new_card`.
    bin_size
        Width of one input and output bin in bp.
    stride
        Window starts and core lengths are multiples of this many bp.
    halo
        bp of context on either side of the core.
    extra_channels
        Names of input channels after the cut-site counts.

    Examples
    --------
    >>> from dataclasses import dataclass
    >>> import torch
    >>> from scatacworks.models import Model
    >>> @dataclass(frozen=True)
    ... class TinyConfig:
    ...     width: int = 25
    >>> class Tiny(Model):
    ...     config_class = TinyConfig
    ...     bin_size, stride, halo = 8, 128, 128  # 12 bins of context, and one to interpolate: 104 bp, rounded up
    ...
    ...     def __init__(self, config=None, card=None):
    ...         super().__init__(config or TinyConfig(), card)
    ...         self.conv = torch.nn.Conv1d(1, 2, self.config.width, padding="same")
    ...
    ...     def forward(self, counts, depth):
    ...         scaled = counts * (self.target_depth / depth)[:, None, None]
    ...         signal, logit = self.crop(self.conv(torch.log1p(scaled))).unbind(1)
    ...         return torch.relu(signal), logit
    >>> Tiny().architecture
    'Tiny'
    """

    architecture: ClassVar[str] = "Model"
    config_class: ClassVar[type]
    needs_training: ClassVar[bool] = True

    bin_size: int = 1
    stride: int = 1
    halo: int = 0

    def __init_subclass__(cls, **options: Any) -> None:
        super().__init_subclass__(**options)
        if "architecture" not in vars(cls):  # its files are not its parent's
            cls.architecture = cls.__name__
        if cls.architecture in ARCHITECTURES and cls.__module__.split(".")[0] != __name__.split(".")[0]:
            msg = f"{cls.architecture} is a network of scatacworks; give the class another name or `architecture`."
            raise TypeError(msg)

    def __init__(self, config: Any, card: dict[str, Any] | None = None) -> None:
        super().__init__()
        expected = getattr(type(self), "config_class", None)
        if expected is None or not dataclasses.is_dataclass(config) or not isinstance(config, expected):
            msg = (
                f"The config of a {type(self).__name__} is {config!r}; expected an instance of its config_class, a "
                "dataclass, from which a stored network is built again."
            )
            raise TypeError(msg)
        self.config = config
        self.card = new_card() if card is None else {**new_card(), **card}
        self.card["architecture"] = type(self).architecture
        self.extra_channels: tuple[str, ...] = tuple(getattr(config, "extra_channels", ()))

    @property
    def n_channels(self) -> int:
        """Number of input channels, the cut-site counts included."""
        return 1 + len(self.extra_channels)

    @property
    def target_depth(self) -> float:
        """Depth (cut sites per 3.1e9 bp) that the signal is scaled to."""
        return float(self.card["target_depth"])

    @property
    def has_guide(self) -> bool:
        """Whether the network can use a prior."""
        return False

    @property
    def margin(self) -> int:
        """Bins kept on either side of the core for interpolation: one, or none at base resolution."""
        return 1 if self.bin_size > 1 else 0

    @property
    def n_parameters(self) -> int:
        """Number of trainable parameters."""
        return sum(p.numel() for p in self.parameters())

    def config_dict(self) -> dict[str, Any]:
        """Configuration as a JSON-ready dictionary."""
        return dataclasses.asdict(self.config)

    def forward(self, counts: Tensor, depth: Tensor) -> tuple[Tensor, Tensor]:
        """Denoise a batch of windows.

        Parameters
        ----------
        counts
            Cut sites per bin with the halo on both sides, float32 (`n_windows`, `n_channels`, `n_bins`); channel 0
            holds the counts, the rest :attr:`extra_channels`.
        depth
            Cut sites per 3.1e9 bp of territory, float32 (`n_windows`,).

        Returns
        -------
        signal
            Expected coverage (cut sites extended by ±extension) at :attr:`target_depth`, at bin centres, never
            negative, float32 (`n_windows`, `n_core_bins` + 2 :attr:`margin`).
        logit
            Log odds of the bin lying in a peak, same shape.

        Raises
        ------
        TypeError
            Of the base itself, which is no network.
        """
        msg = "Model is the common base; use models.BinnedUNet, ResNet, UNet, Linear or Gaussian"
        raise TypeError(msg)

    def crop(self, values: Tensor) -> Tensor:
        """Cut the halo off the last axis, keeping :attr:`margin` bins on either side of the core."""
        return cut(values, self.halo // self.bin_size - self.margin)

    def check_input(self, counts: Tensor) -> None:
        """Refuse a batch of the wrong shape with one clear sentence."""
        if counts.ndim != 3 or counts.shape[1] != self.n_channels:
            names = ", ".join(("cut sites", *self.extra_channels))
            msg = f"counts must have shape (windows, {self.n_channels}, bins) for {names}; got {tuple(counts.shape)}"
            raise ValueError(msg)
        shortest = 2 * self.halo // self.bin_size
        if counts.shape[-1] <= shortest:
            msg = f"a window needs more than {shortest} bins ({2 * self.halo} bp of halo); got {counts.shape[-1]}"
            raise ValueError(msg)

    def check_geometry(self) -> None:
        """Refuse a network of one's own whose halo and stride do not fit its bins, or whose output not its core.

        Its weights must be float32, as what it reads.

        Raises
        ------
        ValueError
            If so.
        """
        if self.architecture in ARCHITECTURES:
            return
        if self.stride % self.bin_size or self.halo % self.stride:
            msg = (
                f"{self.architecture} has bins of {self.bin_size} bp, a stride of {self.stride} bp and a halo of "
                f"{self.halo} bp; the stride must be a multiple of the bins, and the halo one of the stride."
            )
            raise ValueError(msg)
        types = {parameter.dtype for parameter in self.parameters()}
        if types != {torch.float32}:
            found = f"weights of {', '.join(sorted(map(str, types)))}" if types else "no weights"
            msg = f"{self.architecture} has {found}; expected torch.float32, as Module.float makes them."
            raise ValueError(msg)
        expected = (1, self.stride // self.bin_size + 2 * self.margin)
        found = self._on_zeros(1e6)
        found = found if isinstance(found, tuple | list) else [found]
        shapes = [tuple(values.shape) if isinstance(values, Tensor) else type(values).__name__ for values in found]
        if shapes != [expected] * 2:
            msg = (
                f"{self.architecture} returned {' and '.join(map(str, shapes))} for a core of {self.stride} bp with "
                f"its halo; expected signal and logit of {expected}: the bins of the core and {self.margin} on either "
                "side. Model.crop cuts off the rest."
            )
            raise ValueError(msg)

    @torch.no_grad()
    def _on_zeros(self, depth: float) -> tuple[Tensor, ...]:
        """Run the network, in evaluation mode, on one stride without cut sites."""
        parameter = next(self.parameters())
        n_bins = (2 * self.halo + self.stride) // self.bin_size
        zeros = torch.zeros((1, self.n_channels, n_bins), dtype=parameter.dtype, device=parameter.device)
        was_training = self.training
        self.eval()
        found = self(zeros, torch.full((1,), float(depth), dtype=parameter.dtype, device=parameter.device))
        self.train(was_training)
        return found

    def constant(self, depth: float) -> tuple[float, float]:
        """Signal and logit where no cut site is within reach.

        Parameters
        ----------
        depth
            Cut sites per 3.1e9 bp of territory.

        Returns
        -------
        The two constants, computed by running the network on zeros.
        """
        signal, logit = self._on_zeros(depth)
        middle = signal.shape[-1] // 2
        return float(signal[0, middle]), float(logit[0, middle])


def in_double(x: Tensor) -> Tensor:
    """Return values in float64, on the CPU where they lie on an Apple GPU, which has no such numbers.

    What is made of them goes back by `.to(dtype).to(device)`, in this order.
    """
    return (x.cpu() if x.device.type == "mps" else x).double()


def round_up(value: int, multiple: int) -> int:
    """Smallest multiple of `multiple` that is not below `value`."""
    return math.ceil(value / multiple) * multiple


def box_weights(bin_size: int, extension: int) -> list[float]:
    """Weights of neighbouring bins in the mean ±extension coverage of a bin.

    Sites and bases are taken as uniform within their bins, so that the sum of the weights is exactly
    (2 extension + 1) / bin_size per site rate; with bins of one base the result is the plain box.
    """
    reach = (extension + bin_size - 1) // bin_size
    overlaps = []
    for offset in range(-reach, reach + 1):
        inside = sum(
            (bin_size - abs(d)) for d in range(1 - bin_size, bin_size) if abs(offset * bin_size + d) <= extension
        )
        overlaps.append(inside / bin_size**2)
    return overlaps
