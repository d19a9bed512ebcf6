"""What overlapping groups of cells are worth: effective number, variance of a difference, moderated variances."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import numpy as np
from scipy.special import digamma, polygamma

if TYPE_CHECKING:
    from scipy.sparse import csr_matrix


class Overlap(NamedTuple):
    """What the sharing of cells does to a comparison of one group with many.

    Attributes
    ----------
    effective_number
        Independent groups that would give as precise a standard deviation.
    mean_number
        Independent groups that would give as precise a mean.
    variance_ratio
        Variance of (target - mean of the groups) over the expected sample variance of the groups, if all cells are
        alike; 1 + 1 / n for n groups without shared cells and a target of the same size.
    """

    effective_number: float
    mean_number: float
    variance_ratio: float


def group_overlap(members: csr_matrix, target: np.ndarray, weights: np.ndarray | None = None) -> Overlap:
    """Return effective number and variance ratio of groups that may share cells with each other and the target.

    A group is seen as the weighted mean of its cells, all with the same variance. With columns `w_g` of weights that
    sum to 1, the groups' covariance is `K = W'W`, and after centring over the groups `C K C`: its trace is what the
    sample variance measures, and trace^2 / trace(square) its degrees of freedom (Satterthwaite).

    Parameters
    ----------
    members
        cells x groups, non-zero where a cell belongs to a group.
    target
        bool, `(n_cells,)`: cells of the tested group.
    weights
        Weight of every cell (its number of fragments), all equal by default.
    """
    from scipy.sparse import csc_array, diags_array

    weights = np.ones(members.shape[0]) if weights is None else np.asarray(weights, np.float64)
    columns = diags_array(weights) @ csc_array(members != 0).astype(np.float64)
    columns = columns @ diags_array(1 / np.maximum(columns.sum(axis=0), np.finfo(float).tiny))
    own = np.where(target, weights, 0.0)
    own = own / max(own.sum(), np.finfo(float).tiny)
    gram = (columns.T @ columns).toarray()
    average = np.asarray(columns.mean(axis=1)).ravel()
    centred = gram - gram.mean(0) - gram.mean(1)[:, None] + gram.mean()
    n = gram.shape[0]
    trace = float(np.trace(centred))
    if n < 2 or trace <= 0:
        return Overlap(1.0, 1.0, np.inf)
    freedom = trace**2 / float((centred**2).sum())
    difference = own - average
    mean_number = float(np.trace(gram)) / n / float(average @ average)
    return Overlap(freedom + 1, mean_number, float(difference @ difference) / (trace / (n - 1)))


def independent(n_groups: int) -> Overlap:
    """Return what :func:`group_overlap` gives for groups that share no cells, of the size of the target."""
    return Overlap(float(n_groups), float(n_groups), 1 + 1 / n_groups)


class VariancePrior(NamedTuple):
    """What variances are drawn towards.

    Attributes
    ----------
    location
        Usual variance of every region, `(n_regions,)`.
    weight
        Its weight in degrees of freedom, possibly infinite.
    """

    location: np.ndarray
    weight: float

    def moderate(self, variance: np.ndarray, freedom: float) -> np.ndarray:
        """Return the weighted mean of variances `(…, n_regions)` and their location."""
        share = freedom / (freedom + self.weight)  # 0 for an infinite weight
        return self.location * (1 - share) + variance * share

    def select(self, regions: np.ndarray) -> VariancePrior:
        """Return the prior of some regions."""
        return VariancePrior(self.location[regions], self.weight)


def variance_prior(variance: np.ndarray, level: np.ndarray, freedom: float) -> VariancePrior:
    """Return what sample variances are to be drawn towards.

    The empirical Bayes model of Smyth (2004): variances scatter around a smooth function of the level (here the
    median of the log variances in equally filled bins, linear between) by a scaled F distribution whose second
    degrees of freedom are estimated from the scatter. A variance of 0 thereby takes the value of its neighbours.

    Parameters
    ----------
    variance
        Sample variance of every region, `(n_regions,)`.
    level
        Mean level of every region.
    freedom
        Degrees of freedom of the variances.
    """
    positive = variance[variance > 0]
    if len(positive) < 10:
        usual = positive.mean() if len(positive) else np.finfo(float).tiny
        return VariancePrior(np.full(len(variance), usual), 1.0)
    floor = 1e-4 * np.median(positive)
    centred = np.log(np.maximum(variance, floor)) - digamma(freedom / 2) + np.log(freedom / 2)
    trend = _trend(level, centred)
    used = variance > floor
    scatter = float(np.mean((centred - trend)[used] ** 2)) - float(polygamma(1, freedom / 2))
    if scatter <= 0:
        return VariancePrior(np.exp(trend), np.inf)
    weight = 2 * inverse_trigamma(scatter)
    return VariancePrior(np.exp(trend + digamma(weight / 2) - np.log(weight / 2)), weight)


def inverse_trigamma(value: float) -> float:
    """Solve `trigamma(x) = value` for positive `x` by Newton's method on its reciprocal, which is nearly linear."""
    x = 0.5 + 1 / value
    for _ in range(50):
        slope = float(polygamma(2, x))
        now = float(polygamma(1, x))
        step = now * (1 - now / value) / slope
        x += step
        if abs(step) < 1e-10 * x:
            break
    return x


def _trend(level: np.ndarray, values: np.ndarray) -> np.ndarray:
    """Median of the values in equally filled bins of the level, linear between the bins' middles."""
    n_bins = int(np.clip(len(level) // 50, 1, 30))
    order = np.argsort(level, kind="stable")
    parts = np.array_split(order, n_bins)
    middle = np.array([np.median(level[part]) for part in parts])
    height = np.array([np.median(values[part]) for part in parts])
    return np.interp(level, middle, height)
