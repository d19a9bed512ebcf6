"""False discovery rates: Benjamini-Hochberg and Storey's q-value with its smoother."""

from __future__ import annotations

import numpy as np
from scipy.optimize import brentq


def benjamini_hochberg(p: np.ndarray) -> np.ndarray:
    """Return adjusted p-values, float64 in the shape of `p`; NaN stays NaN and is not counted."""
    return _step_up(p, pi0=1.0)


def adjust_families(p: np.ndarray, families: np.ndarray) -> np.ndarray:
    """Return p-values of several families adjusted together; float64 in the shape of `p`, without NaN.

    Weighted Benjamini-Hochberg (Genovese, Roeder and Wasserman 2006): each family gets the same share of what may be
    called falsely, however many members it has, so that a few likely places are not drowned by many unlikely ones. The
    false discovery rate is that of all calls together.

    Parameters
    ----------
    p
        P-values, `(n,)`.
    families
        The family of each, `(n,)`, any type. They must not depend on the p-values.
    """
    return benjamini_hochberg(np.minimum(np.asarray(p, np.float64) / family_weights(families), 1.0))


def family_weights(families: np.ndarray) -> np.ndarray:
    """Return weights with mean 1, float64 `(n,)`, whose sum is the same for every family."""
    _, own, size = np.unique(families, return_inverse=True, return_counts=True)
    return len(own) / (len(size) * size[own])


def qvalue(p: np.ndarray, *, pi0: float | None = None) -> np.ndarray:
    """Return Storey's q-values, float64 in the shape of `p`; NaN stays NaN and is not counted.

    The share of true null hypotheses is estimated by :func:`null_share` unless given. Where that cannot be done
    (fewer than 100 p-values, none above 0.95, or an estimate of 0) it is 1, which is Benjamini and Hochberg's
    procedure.
    """
    if pi0 is None:
        pi0 = null_share(p)
    return _step_up(p, pi0=pi0)


def null_share(p: np.ndarray) -> float:
    """Estimate the share of true null hypotheses (Storey and Tibshirani 2003).

    The share of p-values above lambda, divided by 1 - lambda, for lambda = 0.05, 0.10, …, 0.95, is smoothed by a
    cubic smoothing spline with three degrees of freedom and read at 0.95.
    """
    p = np.asarray(p, np.float64).ravel()
    p = p[~np.isnan(p)]
    # rounded as R does, so that rounded p-values fall on the same side
    cut = np.minimum(0.05 + 0.05 * np.arange(19), 0.95)
    if len(p) < 100 or p.max() <= cut[-1]:
        return 1.0
    share = np.array([np.mean(p >= value) for value in cut]) / (1 - cut)
    smooth = float(smoothing_spline(cut, share, df=3.0)[-1])
    return min(smooth, 1.0) if smooth > 0 else 1.0


def smoothing_spline(x: np.ndarray, y: np.ndarray, *, df: float) -> np.ndarray:
    """Return the natural cubic smoothing spline through (x, y) with `df` effective degrees of freedom, at `x`.

    Green and Silverman 1994, section 2.3: fitted values are `(I + a K)^-1 y` with the roughness matrix K, and `a`
    is chosen so that the trace of that matrix is `df` (2 is a straight line, `len(x)` interpolates).
    """
    step = np.diff(x)
    inner = np.arange(len(x) - 2)
    q = np.zeros((len(x), len(x) - 2))
    q[inner, inner] = 1 / step[:-1]
    q[inner + 1, inner] = -1 / step[:-1] - 1 / step[1:]
    q[inner + 2, inner] = 1 / step[1:]
    r = np.diag((step[:-1] + step[1:]) / 3) + np.diag(step[1:-1] / 6, 1) + np.diag(step[1:-1] / 6, -1)
    values, vectors = np.linalg.eigh(q @ np.linalg.solve(r, q.T))
    values = np.maximum(values, 0)

    def excess(log_penalty: float) -> float:
        """Degrees of freedom at this penalty, beyond those wanted."""
        return float((1 / (1 + np.exp(log_penalty) * values)).sum()) - df

    penalty = np.exp(brentq(excess, -60.0, 60.0, xtol=1e-12))
    return vectors @ ((vectors.T @ y) / (1 + penalty * values))


def _step_up(p: np.ndarray, *, pi0: float) -> np.ndarray:
    """Return `pi0 * m * p / rank`, made monotone from the largest p downwards and at most 1."""
    p = np.asarray(p, np.float64)
    flat = p.ravel()
    valid = np.flatnonzero(~np.isnan(flat))
    out = np.full(len(flat), np.nan)
    if len(valid):
        order = valid[np.argsort(flat[valid], kind="stable")[::-1]]
        rank = np.arange(len(order), 0, -1)
        out[order] = np.minimum(np.minimum.accumulate(flat[order] * len(order) / rank), 1) * pi0
    return out.reshape(p.shape)
