"""Agreement of two tracks: correlation and squared error."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

import numpy as np
from scipy.stats import rankdata

from scatacworks._arguments import one_of
from scatacworks._core.scoring import PairMoments, undefined

if TYPE_CHECKING:
    from numpy.typing import ArrayLike

_PIECE = 1 << 22


def pearson(truth: ArrayLike, prediction: ArrayLike) -> float:
    """Pearson's correlation of two tracks, in float64.

    Parameters
    ----------
    truth, prediction
        Values of the same bases, any number type (`n`,); NaN is an error.

    Returns
    -------
    The correlation; NaN with a warning when one track is constant.

    Raises
    ------
    ValueError
        If the shapes differ, or a value is NaN or masked.

    Examples
    --------
    >>> from scatacworks import metrics
    >>> round(metrics.pearson([0, 1, 2, 3], [0, 1, 2, 4]), 4)
    0.9827
    """
    return _moments(truth, prediction).pearson()


def mse(truth: ArrayLike, prediction: ArrayLike, *, scale: Literal["none", "best"] = "none") -> float:
    """Mean squared error of a predicted track.

    Parameters
    ----------
    truth, prediction
        Values of the same bases (`n`,).
    scale
        ``"best"`` multiplies the prediction by the one factor that makes the error least, so that tracks of different
        depth can be compared.

    Returns
    -------
    The error in squared units of `truth`.

    Raises
    ------
    ValueError
        If the shapes differ, or a value is NaN or masked.

    Examples
    --------
    >>> from scatacworks import metrics
    >>> metrics.mse([2.0, 4.0], [1.0, 2.0]), metrics.mse([2.0, 4.0], [1.0, 2.0], scale="best")
    (2.5, 0.0)
    """
    one_of(scale, "scale", ("none", "best"))
    moments = _moments(truth, prediction)
    return moments.mse_scaled() if scale == "best" else moments.mse()


def spearman(truth: ArrayLike, prediction: ArrayLike) -> float:
    """Spearman's rank correlation, ties with their average rank.

    Parameters
    ----------
    truth, prediction
        Values of the same bases (`n`,).

    Returns
    -------
    The correlation; NaN with a warning when one track is constant.

    Raises
    ------
    ValueError
        If the shapes differ, or a value is NaN or masked.

    Examples
    --------
    >>> from scatacworks import metrics
    >>> metrics.spearman([1, 2, 3], [10, 20, 1000])
    1.0
    """
    truth, prediction = checked(truth, prediction)
    if len(truth) < 2 or any((values == values[0]).all() for values in (truth, prediction)):
        return undefined("Spearman's correlation", "fewer than two values, or all of them equal")
    moments = PairMoments()
    moments.update(rankdata(truth), rankdata(prediction))
    return moments.pearson()


def checked(truth: ArrayLike, prediction: ArrayLike) -> tuple[np.ndarray, np.ndarray]:
    """Both as arrays of one axis and equal length, without NaN."""
    for name, values in (("first", truth), ("second", prediction)):
        if np.ma.is_masked(values):
            msg = f"the {name} array holds masked values; leave those bases out"
            raise ValueError(msg)
    truth, prediction = np.asarray(truth), np.asarray(prediction)
    if truth.shape != prediction.shape or truth.ndim != 1:
        msg = f"expected two arrays of one axis and equal length; got shapes {truth.shape} and {prediction.shape}"
        raise ValueError(msg)
    for name, values in (("first", truth), ("second", prediction)):
        if values.dtype.kind == "f" and np.isnan(values).any():
            msg = f"the {name} array holds NaN; leave those bases out"
            raise ValueError(msg)
    return truth, prediction


def _moments(truth: ArrayLike, prediction: ArrayLike) -> PairMoments:
    """Moments, in pieces so that no float64 copy of a chromosome is made."""
    truth, prediction = checked(truth, prediction)
    moments = PairMoments()
    for start in range(0, len(truth), _PIECE):
        moments.update(truth[start : start + _PIECE], prediction[start : start + _PIECE])
    return moments
