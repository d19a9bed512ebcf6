"""How finely denoised values are stored."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from scatacworks._arguments import real
from scatacworks._core import interpolate

Encoded = tuple[np.ndarray, np.ndarray, np.ndarray]
"""Starts (int32), lengths (int32) and levels (int16) of the runs of one group on one chromosome."""


@dataclass(frozen=True)
class Rounding:
    """How finely values are stored.

    Attributes
    ----------
    signal
        Step on the square root of the signal, at the model's own depth. As the standard deviation of a count is 0.5
        on this scale, the default stays far inside the noise that any coverage has.
    logit
        Step on the log odds of the probability; ten times that below a probability of 0.03. Stored values are the
        middles of the steps and 0 lies between two, so that calls at a probability of 0.5 are those of the unrounded
        track.
    lowest
        Probabilities below this, and above one minus it, are stored alike.

    Raises
    ------
    ValueError
        If a step is not above 0, or `lowest` not between 0 and 0.5.

    Examples
    --------
    >>> from scatacworks.models import Rounding
    >>> Rounding(signal=0.2).steps
    (0.2, 0.02)
    """

    signal: float = 0.1
    logit: float = 0.02
    lowest: float = 1e-3

    def __post_init__(self) -> None:
        """Refuse steps that no value can be stored in."""
        for name in ("signal", "logit", "lowest"):
            value = real(getattr(self, name), name)
            if not 0 < value < (0.5 if name == "lowest" else np.inf):
                msg = f"{name} is {value:g}; expected a number above 0{' and below 0.5' if name == 'lowest' else ''}."
                raise ValueError(msg)

    @property
    def steps(self) -> tuple[float, float]:
        """Steps of signal and logit."""
        return self.signal, self.logit

    @property
    def limits(self) -> tuple[int, int]:
        """Largest level of signal and logit."""
        return 32_000, int(np.ceil(np.log((1 - self.lowest) / self.lowest) / self.logit))

    def level(self, kind: int, value: float) -> int:
        """Return the level that a value is stored as."""
        return interpolate.level(value, kind, 1 / self.steps[kind], self.limits[kind])

    def decode(self, kind: int, levels: np.ndarray, scale: float = 1.0, out: np.ndarray | None = None) -> np.ndarray:
        """Return the float32 values of levels, in `out` if it is given."""
        return interpolate.decode(levels, kind, self.steps[kind], scale, out)
