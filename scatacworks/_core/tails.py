"""P-values from a sample of the null distribution: counted where there is enough of it, fitted beyond."""

from __future__ import annotations

import numpy as np

_TAIL_SHARE = 0.02  # part of the sample on which a tail is fitted
_FEWEST = 30  # exceedances below which no tail is fitted
_NORMAL_SCALE = 1.8  # of the squares of a standard normal variable beyond 2 to 2.5
_LARGEST_SHAPE = 0.5  # beyond it the moments used for the fit do not exist


class NullTail:
    """Upper tail of a null distribution known by a sample of standardised values.

    Up to a high quantile, the p-value is the share of the sample at or above a value. Beyond, a generalised Pareto
    distribution is fitted to the exceedances of the *squares* by probability-weighted moments (Hosking and Wallis
    1987): squares of a normal variable have an exponential tail, shape 0, and any heavier tail has a shape above. The
    shape is kept at zero or above and the scale at 1.8 or above, so that the tail is never lighter than that of a
    standard normal variable and no value has the p-value zero.

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
        self.threshold, self.shape, self.scale, self.share = np.inf, 0.0, 0.0, 0.0
        n = len(self.sample)
        first = max(n - int(n * _TAIL_SHARE), int(np.searchsorted(self.sample, 0.0, side="right")))
        if n - first >= _FEWEST:
            self.threshold = float(self.sample[first])
            # values equal to the threshold belong to the tail: a sample may hold few different values, many times
            tail = self.sample[np.searchsorted(self.sample, self.threshold, side="left") :]
            self.share = (1 + len(tail)) / (1 + n)
            self.shape, scale = fit_pareto(tail**2 - self.threshold**2)
            self.scale = max(scale, _NORMAL_SCALE)

    def p(self, values: np.ndarray) -> np.ndarray:
        """Return the probability under the null hypothesis of a value at least as large; float64, never 0."""
        values = np.asarray(values, np.float64)
        n = len(self.sample)
        out = np.asarray((1 + n - np.searchsorted(self.sample, values, side="left")) / (1 + n))
        beyond = values > self.threshold
        if beyond.any():
            excess = (values[beyond] ** 2 - self.threshold**2) / self.scale
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
