"""How many new elements one more sample brings."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
from scipy.special import gammaln
from scipy.stats import binom
from tqdm.auto import tqdm

from scatacworks import _keys, _step
from scatacworks._anndata import require_index
from scatacworks._arguments import whole
from scatacworks._arrays import csr_of
from scatacworks._core.presence import count_new

if TYPE_CHECKING:
    from collections.abc import Sequence

    import scipy.sparse as sp
    from anndata import AnnData


def saturation(
    index: AnnData,
    *,
    spread: bool = True,
    n_subsets: int = 100,
    sizes: Sequence[int] | None = None,
    seed: int | np.random.Generator | None = 0,
    progress: bool = True,
    key_added: str = _keys.SATURATION,
    copy: bool = False,
) -> AnnData | None:
    """Count the elements that a further sample adds to k samples, for every k, and extrapolate.

    The mean over all subsets is exact and needs no sampling: an element found in p of n samples is new with probability
    (p / n) C(n - p, k) / C(n - 1, k). The spread over subsets is sampled. The mean falls as a power of k; the line
    through log(mean) and log(k) is carried on to 2n samples (Meuleman et al. 2020, "saturation").

    Parameters
    ----------
    index
        Samples x elements; non-zero is present. At least two samples.
    spread
        Sample subsets for median, range and confidence interval of the number of new elements.
    n_subsets
        Subsets per size, distinct and at most as many as samples for size 1.
    sizes
        Sizes k, from 1 to n - 1, for which the spread is sampled; by default at most 50, evenly on a log scale.
    seed
        Seed or generator of the sampling.
    progress
        Show a progress bar.
    key_added
        Slot in `.uns`.
    copy
        Return a changed copy instead of changing `index`.

    Returns
    -------
    `None` if `copy=False`, else the copy. Sets `uns[key_added]`:

    `table` : DataFrame, one row per k from 1 to n - 1
        `n_samples` (k), `mean` (new elements, exact), and, where sampled, `median`, `min`, `max`, `ci_low` and
        `ci_high` (95 % interval of the median by order statistics, as of no more subsets than samples, since subsets
        share these; rather too wide between the smallest and the largest size). The interval published for 733 samples,
        1,344 to 2,009 around a mean of 1,676 (the median is 283), is one of the mean: do not compare the two.
    `total` : float64 (n,)
        Expected number of elements of 1 to n samples.
    `slope`, `intercept` : float
        Of log(mean) over log(k).
    `extrapolated` : float
        Share of further elements expected from doubling the number of samples.

    Raises
    ------
    ValueError
        If there are fewer than two samples, or a size is not below their number; if `.uns[key_added]` holds another
        kind of result.

    Examples
    --------
    >>> import anndata, numpy as np
    >>> import scatacworks as sca
    >>> index = anndata.AnnData(np.array([[1, 1, 0], [1, 0, 1], [1, 0, 0]]))
    >>> sca.tl.saturation(index, spread=False)
    >>> index.uns["saturation"]["table"]["mean"].round(3).tolist()
    [0.667, 0.667]
    """
    require_index(index)
    if index.n_obs < 2:
        msg = f"The index has {index.n_obs} sample(s); saturation needs at least two."
        raise ValueError(msg)
    n_subsets = whole(n_subsets, "n_subsets")
    index = _step.own(index, copy=copy)
    _step.claim(index, key_added, "extrapolated")
    present = csr_of(index) != 0
    n = index.n_obs
    tally = np.bincount(np.asarray(present.sum(axis=0)).ravel().astype(np.int64), minlength=n + 1)
    mean = expected_new(tally)
    table = pd.DataFrame({"n_samples": np.arange(1, n), "mean": mean})
    if spread:
        sizes = np.unique(np.geomspace(1, n - 1, 50).astype(int)) if sizes is None else _checked(sizes, n)
        sampled = _spread(present, sizes, n_subsets, np.random.default_rng(seed), progress=progress)
        table = table.merge(sampled, on="n_samples", how="left")
    slope, intercept = _line(mean)
    further = np.exp(intercept) * (np.arange(n, 2 * n, dtype=float) ** slope).sum()
    first = present.nnz / n
    index.uns[key_added] = {
        "table": table,
        "total": np.concatenate([[first], first + np.cumsum(mean)]),
        "slope": float(slope),
        "intercept": float(intercept),
        "extrapolated": float(further / max(tally[1:].sum(), 1)),
    }
    return index if copy else None


def _checked(sizes: Sequence[int], n: int) -> list[int]:
    """Sizes of subsets that leave a sample to be added."""
    of = "one fewer than samples"
    return sorted({whole(size, "A size of subsets", most=n - 1, of=of) for size in np.ravel(sizes)})


def expected_new(tally: np.ndarray) -> np.ndarray:
    """Expected number of new elements when a random sample joins k others, for k = 1 ... n - 1.

    `tally[p]` is the number of elements found in p of the n samples; float64 (n - 1,).
    """
    n = len(tally) - 1
    held = np.flatnonzero(tally)
    held = held[held > 0]
    k = np.arange(1, n)[:, None]
    possible = k <= n - held
    rest = np.where(possible, n - held - k, 0)
    log_ways = gammaln(n - held + 1) - gammaln(rest + 1) - (gammaln(n) - gammaln(n - k))
    return np.where(possible, np.exp(log_ways), 0) @ (tally[held] * held / n)


def _line(mean: np.ndarray) -> tuple[float, float]:
    """Slope and intercept of log(mean) over log(k), where there is a mean."""
    k = np.flatnonzero(mean > 0) + 1
    if len(k) < 2:
        return 0.0, -np.inf if len(k) == 0 else float(np.log(mean[k[0] - 1]))
    slope, intercept = np.polyfit(np.log(k), np.log(mean[k - 1]), 1)
    return float(slope), float(intercept)


def _subsets(n: int, size: int, n_subsets: int, rng: np.random.Generator) -> np.ndarray:
    """Distinct random subsets as a boolean array (n_subsets, n); all of them for size 1."""
    if size == 1 and n <= n_subsets:
        return np.eye(n, dtype=bool)
    found: dict[bytes, np.ndarray] = {}
    for _ in range(20 * n_subsets):
        subset = np.zeros(n, bool)
        subset[rng.choice(n, size, replace=False)] = True
        found[subset.tobytes()] = subset
        if len(found) == n_subsets:
            break
    return np.array(list(found.values()))


def _spread(
    present: sp.csr_matrix, sizes: np.ndarray, n_subsets: int, rng: np.random.Generator, *, progress: bool
) -> pd.DataFrame:
    """Median, range and interval of the pooled counts of new elements over random subsets."""
    by_element = present.tocsc()
    rows = []
    for size in tqdm(sizes, desc="saturation", disable=not progress, leave=False):
        subsets = _subsets(present.shape[0], int(size), n_subsets, rng)
        counts = [count_new(by_element.indptr, by_element.indices, subset)[~subset] for subset in subsets]
        pooled = np.sort(np.concatenate(counts))
        rows.append((int(size), np.median(pooled), pooled[0], pooled[-1], *_median_interval(pooled, len(subsets[0]))))
    return pd.DataFrame(rows, columns=["n_samples", "median", "min", "max", "ci_low", "ci_high"])


def _median_interval(ordered: np.ndarray, n_samples: int) -> tuple[float, float]:
    """Return a 95 % interval of the median from sorted counts that tell no more than `n_samples` independent ones."""
    n = min(n_samples, len(ordered))
    low, high = binom.ppf([0.025, 0.975], n, 0.5)
    step = (len(ordered) - 1) / max(n - 1, 1)
    return ordered[int(np.floor(max(low - 1, 0) * step))], ordered[int(np.ceil(min(high, n - 1) * step))]
