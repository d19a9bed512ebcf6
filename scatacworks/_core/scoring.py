"""Sums and rankings that are added to piece by piece, so that a genome is scored in bounded memory."""

from __future__ import annotations

import warnings

import numpy as np

_MAX_DISTINCT = 1 << 22  # distinct scores kept before neighbouring ones are merged
_MAX_PENDING = 1 << 23
_ROUNDING = 1e-14  # of the mean of equal values, which is not always that value


def undefined(what: str, why: str) -> float:
    """Warn that a score does not exist and return NaN."""
    warnings.warn(f"{what} is undefined: {why}; NaN is returned.", UserWarning, stacklevel=3)
    return float("nan")


class PairMoments:
    """Means, variances and covariance of pairs, in float64, by pairwise updates (Chan et al. 1983).

    Attributes
    ----------
    n
        Number of pairs.
    mean
        Means of x and y, float64 (2,).
    comoment
        Sums of products of deviations: xx, yy, xy, float64 (3,).
    """

    def __init__(self) -> None:
        self.n = 0
        self.mean = np.zeros(2)
        self.comoment = np.zeros(3)

    def update(self, x: np.ndarray, y: np.ndarray) -> None:
        """Add pairs, two arrays of equal length."""
        if len(x) == 0:
            return
        x, y = np.asarray(x, np.float64), np.asarray(y, np.float64)
        mean = np.array([x.mean(), y.mean()])
        dx, dy = x - mean[0], y - mean[1]
        self._merge(len(x), mean, np.array([dx @ dx, dy @ dy, dx @ dy]))

    def add(self, other: PairMoments) -> None:
        """Add the pairs of another one."""
        if other.n:
            self._merge(other.n, other.mean, other.comoment)

    def _merge(self, n: int, mean: np.ndarray, comoment: np.ndarray) -> None:
        delta = mean - self.mean
        total = self.n + n
        products = np.array([delta[0] ** 2, delta[1] ** 2, delta[0] * delta[1]])
        self.comoment += comoment + products * (self.n * n / total)
        self.mean += delta * (n / total)
        self.n = total

    def pearson(self) -> float:
        """Correlation, or NaN with a warning when x or y is constant."""
        if self.n < 2 or (self.comoment[:2] <= self.n * (_ROUNDING * self.mean) ** 2).any():
            return undefined("Pearson's correlation", "fewer than two values, or all of them equal")
        return float(np.clip(self.comoment[2] / np.sqrt(self.comoment[0] * self.comoment[1]), -1, 1))

    def raw_products(self) -> tuple[float, float, float]:
        """Means of x², y² and xy."""
        if self.n == 0:
            return (float("nan"),) * 3
        products = np.array([self.mean[0] ** 2, self.mean[1] ** 2, self.mean[0] * self.mean[1]])
        return tuple(float(v) for v in self.comoment / self.n + products)

    def mse(self) -> float:
        """Mean squared difference."""
        if self.n == 0:
            return undefined("The mean squared error", "there are no values")
        spread = self.comoment[0] + self.comoment[1] - 2 * self.comoment[2]
        return float(max(spread / self.n, 0.0) + (self.mean[0] - self.mean[1]) ** 2)

    def best_scale(self) -> float:
        """Factor on y (the prediction) that makes the mean squared difference to x least."""
        _, yy, xy = self.raw_products()
        return xy / yy if yy > 0 else undefined("The best scale", "the prediction is zero everywhere")

    def mse_scaled(self) -> float:
        """Mean squared difference after the best scale has been applied to y."""
        xx, yy, xy = self.raw_products()
        return max(xx - xy**2 / yy, 0.0) if yy > 0 else xx


class Ranking:
    """Labels counted per distinct score, from which every ranking score follows.

    Exact as long as there are at most about four million distinct float32 scores; beyond that, neighbouring scores are
    merged by dropping the lowest bits of their binary form (a relative width of 2^-11 at the coarsest in practice).
    """

    def __init__(self) -> None:
        self._pending: list[tuple[np.ndarray, np.ndarray, np.ndarray]] = []
        self._n_pending = 0
        self._dropped_bits = 0
        self._keys = np.empty(0, np.uint32)
        self._counts = np.empty((0, 2), np.int64)

    def update(self, label: np.ndarray, score: np.ndarray) -> None:
        """Add bases: boolean labels and float scores of equal length."""
        if np.isnan(score).any():
            msg = "scores hold NaN; leave those bases out (regions that were not computed are NaN)"
            raise ValueError(msg)
        keys = _ordered_keys(score) >> np.uint32(self._dropped_bits)
        unique, inverse = np.unique(keys, return_inverse=True)
        total = np.bincount(inverse, minlength=len(unique))
        positive = np.bincount(inverse[np.asarray(label, bool)], minlength=len(unique))
        self._pending.append((unique, positive, total - positive))
        self._n_pending += len(unique)
        if self._n_pending > _MAX_PENDING:
            self._flush()

    def _flush(self) -> None:
        """Merge what is pending, coarsening when there are too many distinct scores."""
        if not self._pending:
            return
        keys = np.concatenate([self._keys, *(part[0] for part in self._pending)])
        counts = np.concatenate([self._counts, *(np.stack(part[1:], axis=1) for part in self._pending)])
        self._pending, self._n_pending = [], 0
        while True:
            unique, inverse = np.unique(keys, return_inverse=True)
            if len(unique) <= _MAX_DISTINCT:
                break
            self._dropped_bits += 1
            keys = keys >> np.uint32(1)
        self._keys = unique
        self._counts = np.stack(
            [np.bincount(inverse, weights=counts[:, i], minlength=len(unique)) for i in range(2)], axis=1
        ).astype(np.int64)

    def cumulative(self) -> tuple[np.ndarray, np.ndarray]:
        """True and false positives when everything down to each distinct score is called, highest first; int64."""
        self._flush()
        tp, fp = np.cumsum(self._counts[::-1], axis=0).T
        return tp, fp

    def ranks(self, score: np.ndarray) -> np.ndarray:
        """Average ranks (from 1) of values among everything added; float64."""
        self._flush()
        last = np.cumsum(self._counts.sum(axis=1))
        average = last - (self._counts.sum(axis=1) - 1) / 2
        return average[np.searchsorted(self._keys, _ordered_keys(score) >> np.uint32(self._dropped_bits))]


def _ordered_keys(score: np.ndarray) -> np.ndarray:
    """Map float32 to uint32 so that the order is kept; -0 and 0 are one value."""
    bits = (np.asarray(score, np.float32) + np.float32(0)).view(np.uint32)
    negative = bits >> np.uint32(31)
    return np.where(negative == 1, ~bits, bits | np.uint32(0x80000000))


def average_precision(tp: np.ndarray, fp: np.ndarray) -> float:
    """Area under the precision-recall curve as a step function, from cumulative counts."""
    if len(tp) == 0 or tp[-1] == 0 or fp[-1] == 0:
        return undefined("AUPRC", "all bases have the same label")
    steps = np.diff(tp, prepend=0) / tp[-1]
    return float(np.sum(steps * (tp / (tp + fp))))


def roc_area(tp: np.ndarray, fp: np.ndarray) -> float:
    """Area under the ROC curve by trapezoids, from cumulative counts."""
    if len(tp) == 0 or tp[-1] == 0 or fp[-1] == 0:
        return undefined("AUROC", "all bases have the same label")
    heights = (tp + np.concatenate([[0], tp[:-1]])) / 2 / tp[-1]
    return float(np.sum(np.diff(fp, prepend=0) / fp[-1] * heights))


def best_f1(tp: np.ndarray, fp: np.ndarray) -> float:
    """Largest F1 over all thresholds, from cumulative counts."""
    if len(tp) == 0 or tp[-1] == 0:
        return undefined("F1", "there is no positive base")
    return float(np.max(2 * tp / (tp + fp + tp[-1])))
