"""P-values from a sample of the null distribution: counted where there is enough of it, fitted beyond."""

from __future__ import annotations

import numpy as np

_TAIL_SHARE = 0.02  # part of the sample on which a tail is fitted
_FEWEST = 30  # exceedances below which no tail is fitted
_NORMAL_SCALE = {2: 1.8, 1: 0.4}  # of a standard normal variable beyond 2 to 2.5, squared and as it is
_LARGEST_SHAPE = 0.5  # beyond it the moments used for the fit do not exist


class NullTail:
    """Upper tail of a null distribution known by a sample of standardised values.

    Up to a high quantile, the p-value is the share of the sample at or above a value. Beyond, generalised Pareto
    distributions are fitted to the exceedances of the values and of their squares by probability-weighted moments
    (Hosking and Wallis 1987), and the likelier of the two is taken: squares of a normal variable have an exponential
    tail, and so have the values themselves where few counts are behind them; heavier tails have a shape above 0. Shape
    and scale are kept from falling below those of a standard normal variable, so that the tail is never lighter and no
    value has the p-value zero.

    Parameters
    ----------
    sample
        Values under the null hypothesis, any order; NaN is left out.

    Examples
    --------
    >>> import numpy as np
    >>> tail = NullTail(np.random.default_rng(0).normal(size=100_000))
    >>> tail.p(np.array([0.0, 2.0])).round(2)
    array([0.5 , 0.02])
    """

    def __init__(self, sample: np.ndarray) -> None:
        sample = np.asarray(sample, np.float64).ravel()
        self.sample = np.sort(sample[~np.isnan(sample)])
        self.threshold, self.shape, self.scale, self.share, self.power = np.inf, 0.0, 1.0, 0.0, 1
        n = len(self.sample)
        first = max(n - int(n * _TAIL_SHARE), int(np.searchsorted(self.sample, 0.0, side="right")))
        if n - first >= _FEWEST:
            self.threshold = float(self.sample[first])
            # values equal to the threshold belong to the tail: a sample may hold few different values, many times
            tail = self.sample[np.searchsorted(self.sample, self.threshold, side="left") :]
            self.share = (1 + len(tail)) / (1 + n)
            fits = [self._fit(tail, power) for power in (1, 2)]
            _, self.power, self.shape, self.scale = max(fits)

    def _fit(self, tail: np.ndarray, power: int) -> tuple[float, int, float, float]:
        """Return log likelihood, power, shape and scale of a fit to a power of the values."""
        excess = tail**power - self.threshold**power
        shape, scale = fit_pareto(excess)
        scale = max(scale, _NORMAL_SCALE[power])
        slope = np.log(power * tail ** (power - 1))
        density = excess / scale if shape < 1e-9 else (1 / shape + 1) * np.log1p(shape * excess / scale)
        return float((slope - density).sum() - len(tail) * np.log(scale)), power, shape, scale

    def p(self, values: np.ndarray) -> np.ndarray:
        """Return the probability under the null hypothesis of a value at least as large; float64, never 0."""
        values = np.asarray(values, np.float64)
        n = len(self.sample)
        out = np.asarray((1 + n - np.searchsorted(self.sample, values, side="left")) / (1 + n))
        beyond = values > self.threshold
        if beyond.any():
            excess = (values[beyond] ** self.power - self.threshold**self.power) / self.scale
            tail = np.exp(-excess) if self.shape < 1e-9 else (1 + self.shape * excess) ** (-1 / self.shape)
            out[beyond] = np.maximum(self.share * tail, np.finfo(np.float64).tiny)
        return np.where(np.isnan(values), np.nan, out)


def fit_pareto(excess: np.ndarray) -> tuple[float, float]:
    """Return shape and scale of the generalised Pareto distribution of sorted, positive exceedances.

    Probability-weighted moments: with b0 the mean and b1 the mean of x times the share of larger values, shape is
    2 - b0 / (b0 - 2 b1) and scale 2 b0 b1 / (b0 - 2 b1). A shape below 0 is set to 0 (exponential: scale b0).
    """
    n = len(excess)
    if n < 2 or excess[-1] <= 0:
        return 0.0, 0.0
    b0 = float(excess.mean())
    b1 = float((excess * np.arange(n - 1, -1, -1)).sum() / (n * (n - 1)))
    shape = 2 - b0 / (b0 - 2 * b1) if b0 > 2 * b1 else 0.0
    shape = min(max(shape, 0.0), _LARGEST_SHAPE)
    return shape, b0 * (1 - shape)
