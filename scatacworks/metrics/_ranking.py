"""How well scores rank peak bases above the rest."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from scatacworks._core.scoring import average_precision, best_f1, roc_area, undefined
from scatacworks.metrics._correlation import checked

if TYPE_CHECKING:
    from numpy.typing import ArrayLike


def auprc(label: ArrayLike, score: ArrayLike) -> float:
    """Area under the precision-recall curve (average precision), exact.

    Raw coverage as the score gives what MACS with a uniform control gives, because its p-value ranks bases by coverage.

    Parameters
    ----------
    label
        Whether each base lies in a peak, boolean (`n`,).
    score
        Anything that rises with the evidence (`n`,); equal scores are taken together.

    Returns
    -------
    The area; NaN with a warning when all labels are equal.

    Raises
    ------
    ValueError
        If the shapes differ, or a value is NaN or masked.

    Examples
    --------
    >>> from scatacworks import metrics
    >>> metrics.auprc([False, False, True, True], [0.1, 0.4, 0.35, 0.8])
    0.8333333333333333
    """
    return average_precision(*cumulative(label, score))


def auroc(label: ArrayLike, score: ArrayLike) -> float:
    """Area under the receiver operating characteristic, exact.

    Parameters
    ----------
    label
        Whether each base lies in a peak, boolean (`n`,).
    score
        Anything that rises with the evidence (`n`,).

    Returns
    -------
    The area; NaN with a warning when all labels are equal.

    Raises
    ------
    ValueError
        If the shapes differ, or a value is NaN or masked.

    Examples
    --------
    >>> from scatacworks import metrics
    >>> metrics.auroc([False, False, True, True], [0.1, 0.4, 0.35, 0.8])
    0.75
    """
    return roc_area(*cumulative(label, score))


def f1(label: ArrayLike, score: ArrayLike, *, threshold: float | None = 0.5) -> float:
    """Harmonic mean of precision and recall over bases.

    Parameters
    ----------
    label
        Whether each base lies in a peak, boolean (`n`,).
    score
        Probability or another score (`n`,).
    threshold
        Bases above it are called; `None` for the best of all thresholds.

    Returns
    -------
    F1; NaN with a warning when there is no positive base.

    Raises
    ------
    ValueError
        If the shapes differ, or a value is NaN or masked.

    Examples
    --------
    >>> from scatacworks import metrics
    >>> metrics.f1([False, True, True], [0.2, 0.4, 0.9])
    0.6666666666666666
    """
    if threshold is None:
        return best_f1(*cumulative(label, score))
    label, score = checked(label, score)
    label = label.astype(bool)
    called = score > threshold
    if not label.any():
        return undefined("F1", "there is no positive base")
    return float(2 * (called & label).sum() / (called.sum() + label.sum()))


def cumulative(label: ArrayLike, score: ArrayLike) -> tuple[np.ndarray, np.ndarray]:
    """True and false positives down to each distinct score, highest first; int64."""
    label, score = checked(label, score)
    label = label.astype(bool)
    order = np.argsort(score, kind="stable")[::-1]
    ranked = score[order]
    # compared, not subtracted: infinite scores are equal too
    last = np.flatnonzero(np.append(ranked[1:] != ranked[:-1], True)) if len(score) else np.empty(0, np.int64)
    tp = np.cumsum(label[order], dtype=np.int64)[last]
    return tp, last + 1 - tp
