"""Enrichment statistics on arrays: binomial, hypergeometric (Fisher's exact test), odds ratios.

Upper tails are summed term by term from a saddle-point point probability (Loader 2000, "Fast and accurate
computation of binomial probabilities"), so they hold for counts in the millions and far below the smallest double.
"""

from __future__ import annotations

import math

import numpy as np

from scatacworks._numba import njit

_LN_2PI = math.log(2 * math.pi)


@njit
def _stirling_error(n: float) -> float:
    """Return ln(n!) minus Stirling's formula."""
    if n < 16:
        if n == 0:
            return 0.0
        return math.lgamma(n + 1.0) - (n + 0.5) * math.log(n) + n - 0.5 * _LN_2PI
    square = n * n
    return (1 / 12 - (1 / 360 - (1 / 1260 - (1 / 1680 - 1 / 1188 / square) / square) / square) / square) / n


@njit
def _deviance(x: float, mean: float) -> float:
    """Return x ln(x / mean) + mean - x, without cancellation near x = mean."""
    if x == 0:
        return mean
    if abs(x - mean) < 0.1 * (x + mean):
        ratio = (x - mean) / (x + mean)
        total, term = (x - mean) * ratio, 2 * x * ratio
        square = ratio * ratio
        for j in range(1, 1000):
            term *= square
            following = total + term / (2 * j + 1)
            if following == total:
                break
            total = following
        return total
    return x * math.log(x / mean) + mean - x


@njit
def _log_binomial_point(k: float, n: float, p: float) -> float:
    """Log probability of exactly k successes of n."""
    q = 1 - p
    if p <= 0:
        return 0.0 if k == 0 else -np.inf
    if q <= 0:
        return 0.0 if k == n else -np.inf
    if k == 0:
        return n * math.log1p(-p)
    if k == n:
        return n * math.log(p)
    core = _stirling_error(n) - _stirling_error(k) - _stirling_error(n - k)
    core -= _deviance(k, n * p) + _deviance(n - k, n * q)
    return core + 0.5 * (math.log(n) - _LN_2PI - math.log(k) - math.log(n - k))


@njit
def _log_hypergeometric_point(k: float, drawn: float, marked: float, total: float) -> float:
    """Log probability of k marked among `drawn`, with `marked` of `total` marked."""
    if drawn == 0 or drawn == total:
        return 0.0
    p = drawn / total
    log_p = _log_binomial_point(k, marked, p) + _log_binomial_point(drawn - k, total - marked, p)
    return log_p - _log_binomial_point(drawn, total, p)


@njit
def _log_sf_binomial(k: float, n: float, p: float) -> float:
    """Log P(X >= k), X ~ Bin(n, p)."""
    if k <= 0:
        return 0.0
    if k > n or p <= 0:
        return -np.inf
    if p >= 1:
        return 0.0
    odds = p / (1 - p)
    if k > (n + 1) * p:  # beyond the mode the terms fall: sum upwards
        total, term, j = 1.0, 1.0, k
        while j < n:
            term *= (n - j) / (j + 1) * odds
            total += term
            j += 1
            if term < 1e-17 * total:
                break
        return _log_binomial_point(k, n, p) + math.log(total)
    total, term, j = 1.0, 1.0, k - 1  # below it, one minus the lower tail
    while j > 0:
        term *= j / (n - j + 1) / odds
        total += term
        j -= 1
        if term < 1e-17 * total:
            break
    lower = math.exp(_log_binomial_point(k - 1, n, p)) * total
    return math.log1p(-min(lower, 1.0)) if lower < 1 else -np.inf


@njit
def _log_sf_hypergeometric(k: float, drawn: float, marked: float, total: float) -> float:
    """Log P(X >= k), X marked among `drawn` of `total` of which `marked` are marked."""
    low, high = max(0.0, drawn + marked - total), min(drawn, marked)
    if k <= low:
        return 0.0
    if k > high:
        return -np.inf
    rest = total - marked - drawn
    if k > (drawn + 1) * (marked + 1) / (total + 2):
        tail, term, j = 1.0, 1.0, k
        while j < high:
            term *= (marked - j) / (j + 1) * (drawn - j) / (rest + j + 1)
            tail += term
            j += 1
            if term < 1e-17 * tail:
                break
        return _log_hypergeometric_point(k, drawn, marked, total) + math.log(tail)
    tail, term, j = 1.0, 1.0, k - 1
    while j > low:
        term *= j / (marked - j + 1) * (rest + j) / (drawn - j + 1)
        tail += term
        j -= 1
        if term < 1e-17 * tail:
            break
    lower = math.exp(_log_hypergeometric_point(k - 1, drawn, marked, total)) * tail
    return math.log1p(-min(lower, 1.0)) if lower < 1 else -np.inf


@njit
def _each_binomial(k: np.ndarray, n: np.ndarray, p: np.ndarray) -> np.ndarray:
    out = np.empty(len(k))
    for i in range(len(k)):
        out[i] = _log_sf_binomial(k[i], n[i], p[i])
    return out


@njit
def _each_hypergeometric(k: np.ndarray, drawn: np.ndarray, marked: np.ndarray, total: np.ndarray) -> np.ndarray:
    out = np.empty(len(k))
    for i in range(len(k)):
        out[i] = _log_sf_hypergeometric(k[i], drawn[i], marked[i], total[i])
    return out


def _apply(kernel: object, *arrays: object) -> np.ndarray:
    """Broadcast the arguments to float64 and run the kernel over them."""
    spread = np.broadcast_arrays(*(np.asarray(array, np.float64) for array in arrays))
    return kernel(*(array.flatten() for array in spread)).reshape(spread[0].shape)  # type: ignore[operator]


def log_binomial_sf(k: np.ndarray, n: np.ndarray, p: np.ndarray) -> np.ndarray:
    """Return the natural logarithm of P(X >= k), X ~ Bin(n, p); float64, arguments broadcast."""
    return _apply(_each_binomial, k, n, p)


def log_hypergeometric_sf(k: np.ndarray, drawn: np.ndarray, marked: np.ndarray, total: np.ndarray) -> np.ndarray:
    """Return ln P(X >= k) for X marked items in a draw without replacement; float64, arguments broadcast.

    This is the logarithm of the one-sided ("greater") p of Fisher's exact test of the table
    `[[k, drawn - k], [marked - k, total - marked - drawn + k]]`.
    """
    return _apply(_each_hypergeometric, k, drawn, marked, total)


def odds_ratio(k: np.ndarray, drawn: np.ndarray, marked: np.ndarray, total: np.ndarray) -> np.ndarray:
    """Return the sample odds ratio of the same tables; inf where the denominator alone is 0, NaN where both are."""
    k, drawn, marked, total = np.broadcast_arrays(*(np.asarray(x, np.float64) for x in (k, drawn, marked, total)))
    with np.errstate(divide="ignore", invalid="ignore"):
        return k * (total - marked - drawn + k) / ((drawn - k) * (marked - k))
