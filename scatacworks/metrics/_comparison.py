"""What a difference between scores is worth."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from scatacworks._arguments import share, whole
from scatacworks._core.scoring import undefined

if TYPE_CHECKING:
    from numpy.typing import ArrayLike


def paired_bootstrap(
    first: ArrayLike,
    second: ArrayLike,
    *,
    n_draws: int = 10_000,
    level: float = 0.95,
    seed: int | np.random.Generator | None = 0,
) -> dict[str, float]:
    """Confidence interval of the mean difference of two methods over the same blocks.

    Blocks of the genome differ far more from each other than methods do, so only paired differences tell methods
    apart. Blocks are drawn with replacement; blocks where a score is NaN are left out. Few blocks give too narrow an
    interval: at 0.95, and with normal differences, it holds the true mean in 84, 90 and 94 % of cases for 5, 10 and 20
    blocks.

    Parameters
    ----------
    first, second
        Scores of both methods in the same blocks (`n_blocks`,), as from :func:`evaluate_tracks` with ``by="block"``.
    n_draws
        Bootstrap draws.
    level
        Coverage of the interval.
    seed
        Seed or generator.

    Returns
    -------
    ``difference`` (mean of first - second), ``low`` and ``high`` (percentile interval), ``n_blocks``, ``n_better``
    (blocks in which first is higher).

    Raises
    ------
    ValueError
        If the numbers of blocks differ, or an argument is out of range.

    Examples
    --------
    >>> from scatacworks import metrics
    >>> result = metrics.paired_bootstrap([0.8, 0.9, 0.7], [0.7, 0.8, 0.6])
    >>> round(result["difference"], 3), result["n_better"]
    (0.1, 3)
    """
    first, second = np.asarray(first, np.float64), np.asarray(second, np.float64)
    if first.shape != second.shape or first.ndim != 1:
        msg = f"expected the same blocks for both methods; got shapes {first.shape} and {second.shape}"
        raise ValueError(msg)
    differences = first - second
    differences = differences[~np.isnan(differences)]
    n = len(differences)
    counts = {"n_blocks": n, "n_better": int((differences > 0).sum())}
    if n < 2:
        nan = undefined("The interval", "fewer than two blocks have both scores")
        return {"difference": nan, "low": nan, "high": nan} | counts
    n_draws, level = whole(n_draws, "n_draws"), share(level, "level", inside=True)
    rng = np.random.default_rng(seed)
    means = np.concatenate(
        [differences[rng.integers(n, size=(1000, n))].mean(axis=1) for _ in range(-(-n_draws // 1000))]
    )
    low, high = np.quantile(means[:n_draws], [(1 - level) / 2, (1 + level) / 2])
    return {"difference": float(differences.mean()), "low": float(low), "high": float(high)} | counts


def equivalent_reads(score: float, depths: ArrayLike, raw_scores: ArrayLike) -> float:
    """Depth at which the raw signal reaches a score: what a denoised track is worth in reads.

    The curve of the raw signal against depth is interpolated over the logarithm of the depth, after making it rise
    monotonically. Divide by the depth of the denoised input to get the paper's gain in reads :cite:p:`Lal2021`.

    Parameters
    ----------
    score
        Score of the denoised track (higher is better).
    depths
        Depths at which the raw signal was scored (`n`,).
    raw_scores
        Its scores there (`n`,).

    Returns
    -------
    The depth, in the unit of `depths`; the smallest or largest depth when the score lies beyond the curve.

    Raises
    ------
    ValueError
        If fewer than two depths are given.

    Examples
    --------
    >>> from scatacworks import metrics
    >>> round(metrics.equivalent_reads(0.5, [1e6, 1e8], [0.4, 0.6]))
    10000000
    """
    depths, raw_scores = np.asarray(depths, np.float64), np.asarray(raw_scores, np.float64)
    if len(depths) < 2 or len(depths) != len(raw_scores):
        msg = f"a curve needs at least two depths with one score each; got {len(depths)} and {len(raw_scores)}"
        raise ValueError(msg)
    order = np.argsort(depths)
    rising = np.maximum.accumulate(raw_scores[order])
    return float(np.exp(np.interp(score, rising, np.log(depths[order]))))
