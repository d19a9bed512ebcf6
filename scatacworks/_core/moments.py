"""Mean and variance per base over many tracks, streamed: no track is kept, any order and chunking gives the same."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from scatacworks._numba import njit

if TYPE_CHECKING:
    from collections.abc import Mapping

_TILE = 1024  # bases worked on at once, so that a batch of some dozen tracks stays in the cache


class Moments:
    """Running mean and sum of squared deviations of every base.

    A batch is reduced in two passes over values that are in memory anyway (mean first, then squared deviations), and
    batches are joined by the formula of Chan, Golub and LeVeque (1983), both in float64. Nothing is ever squared
    before the mean is taken off, so small variances on high coverage survive.

    Parameters
    ----------
    n_bases
        Number of bases.

    Examples
    --------
    >>> import numpy as np
    >>> moments = Moments(2)
    >>> moments.update(np.array([[1, 5], [3, 5]], np.float32))
    >>> moments.mean, moments.sd()
    (array([2., 5.]), array([1., 0.]))
    """

    def __init__(self, n_bases: int) -> None:
        self.count = 0
        self.mean = np.zeros(n_bases)
        self.squares = np.zeros(n_bases)

    def update(self, values: np.ndarray, scale: np.ndarray | None = None) -> None:
        """Add tracks.

        Parameters
        ----------
        values
            float32, `(n_tracks, n_bases)`.
        scale
            Factor by which every track is multiplied first; float64, `(n_tracks,)`. All ones by default.
        """
        if values.ndim != 2 or values.shape[1] != len(self.mean):
            msg = f"values have the shape {values.shape}; expected (n_tracks, {len(self.mean)})."
            raise ValueError(msg)
        if len(values) == 0:
            return
        factor = np.ones(len(values)) if scale is None else np.asarray(scale, np.float64)
        mean, squares = batch_moments(np.ascontiguousarray(values), factor)
        join(self.mean, self.squares, self.count, mean, squares, len(values))
        self.count += len(values)

    def merge(self, other: Moments) -> None:
        """Add the tracks that another object has seen."""
        if other.count:
            join(self.mean, self.squares, self.count, other.mean, other.squares, other.count)
            self.count += other.count

    def variance(self, ddof: int = 0) -> np.ndarray:
        """Return the variance; float64, `(n_bases,)`, divided by `count - ddof`."""
        return self.squares / max(self.count - ddof, 1)

    def sd(self, ddof: int = 0) -> np.ndarray:
        """Return the standard deviation; float64, `(n_bases,)`."""
        return np.sqrt(self.variance(ddof))

    def to_dict(self) -> dict[str, np.ndarray]:
        """Return the state as arrays; read by :meth:`from_dict`."""
        return {"count": np.array(self.count), "mean": self.mean, "squares": self.squares}

    @classmethod
    def from_dict(cls, stored: Mapping[str, np.ndarray]) -> Moments:
        """Return the object kept by :meth:`to_dict`."""
        out = cls(len(stored["mean"]))
        out.count = int(stored["count"])
        out.mean, out.squares = np.array(stored["mean"]), np.array(stored["squares"])
        return out


@njit
def batch_moments(values: np.ndarray, scale: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return mean and sum of squared deviations per column of `values * scale[:, None]`; float64."""
    n_tracks, n_bases = values.shape
    mean, squares = np.zeros(n_bases), np.zeros(n_bases)
    for low in range(0, n_bases, _TILE):
        high = min(low + _TILE, n_bases)
        for g in range(n_tracks):
            factor = scale[g]
            for i in range(low, high):
                mean[i] += values[g, i] * factor
        for i in range(low, high):
            mean[i] /= n_tracks
        for g in range(n_tracks):
            factor = scale[g]
            for i in range(low, high):
                deviation = values[g, i] * factor - mean[i]
                squares[i] += deviation * deviation
    return mean, squares


@njit
def join(
    mean: np.ndarray, squares: np.ndarray, count: int, more_mean: np.ndarray, more_squares: np.ndarray, more: int
) -> None:
    """Add the moments of `more` tracks to those of `count`, in place."""
    share = more / (count + more)
    for i in range(len(mean)):
        step = more_mean[i] - mean[i]
        mean[i] += step * share
        squares[i] += more_squares[i] + step * step * share * count
