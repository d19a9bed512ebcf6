"""Standard scores per base, the regions they form, and normal p-values."""

from __future__ import annotations

import numpy as np
from scipy.special import erfc

from scatacworks._numba import njit


def z_scores(signal: np.ndarray, mean: np.ndarray, sd: np.ndarray) -> np.ndarray:
    """Return `(signal - mean) / sd`; float64.

    Where the background does not vary the score is infinite with the sign of the difference, or 0 without one.
    """
    z = np.asarray(signal, np.float64) - mean
    varies = np.asarray(sd) > 0
    np.divide(z, sd, out=z, where=varies)  # in place: a whole chromosome may be scored at once
    constant = z[~varies]
    z[~varies] = np.where(constant == 0, 0.0, np.copysign(np.inf, constant))
    return z


def two_sided_p(z: np.ndarray) -> np.ndarray:
    """Return the probability that a standard normal variable is at least as far from 0 as `z`; float64."""
    return erfc(np.abs(z) / np.sqrt(2.0))


@njit
def join_z(
    z: np.ndarray, threshold: float, max_gap: int
) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Return the regions of one contiguous stretch of bases where `|z| > threshold`.

    Bases of the same sign that have at most `max_gap` other bases between them are joined; the two signs are kept
    apart, so a gain beside a loss gives two regions.

    Returns
    -------
    Start, end (int64, relative to the stretch), direction (int8, +1 or -1), top z (float64, the one farthest from 0,
    with its sign) and where it is first reached (int64); sorted by start, then direction.
    """
    capacity = 64
    bounds = np.empty((capacity, 4), np.int64)  # start, end, direction, base of the top z
    n = 0
    for sign in (1, -1):
        first = n
        for i in range(len(z)):
            if not sign * z[i] > threshold:
                continue
            if n > first and i - bounds[n - 1, 1] <= max_gap:
                bounds[n - 1, 1] = i + 1
                if sign * z[i] > sign * z[bounds[n - 1, 3]]:
                    bounds[n - 1, 3] = i
                continue
            if n == capacity:
                capacity *= 2
                grown = np.empty((capacity, 4), np.int64)
                grown[:n] = bounds
                bounds = grown
            bounds[n, 0], bounds[n, 1], bounds[n, 2], bounds[n, 3] = i, i + 1, sign, i
            n += 1
    order = np.argsort(2 * bounds[:n, 0] + (bounds[:n, 2] < 0))
    bounds = bounds[:n][order]
    top = z[bounds[:, 3]]
    return bounds[:, 0].copy(), bounds[:, 1].copy(), bounds[:, 2].astype(np.int8), top, bounds[:, 3].copy()


@njit
def farthest_from_zero(z: np.ndarray, starts: np.ndarray, ends: np.ndarray) -> np.ndarray:
    """Return where in every segment, none of them empty, the value farthest from 0 is first reached; int64."""
    out = starts.astype(np.int64)
    for r in range(len(starts)):
        for i in range(starts[r], ends[r]):
            if abs(z[i]) > abs(z[out[r]]):
                out[r] = i
    return out


@njit
def segment_means(values: np.ndarray, starts: np.ndarray, ends: np.ndarray) -> np.ndarray:
    """Return the mean of `values[..., start:end]` of every segment; float64, `(n_rows, n_segments)`."""
    out = np.zeros((values.shape[0], len(starts)))
    for g in range(values.shape[0]):
        for r in range(len(starts)):
            total = 0.0
            for i in range(starts[r], ends[r]):
                total += values[g, i]
            out[g, r] = total / max(ends[r] - starts[r], 1)
    return out
