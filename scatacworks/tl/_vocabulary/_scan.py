"""How many components a vocabulary needs."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import pandas as pd
from tqdm.auto import tqdm

from scatacworks import _keys, _step
from scatacworks._anndata import require_index
from scatacworks._arguments import one_of, whole
from scatacworks._core.nmf import factorize
from scatacworks._core.reconstruction import area_over_thresholds, confusion, reconstruction_scores
from scatacworks._threads import resolve
from scatacworks.tl._vocabulary._device import choose, memory_explained
from scatacworks.tl._vocabulary._matrix import patterns_of
from scatacworks.tl._vocabulary._vocabulary import INITS, at_most, check_fit, explained, penalties_of, start_of

if TYPE_CHECKING:
    from collections.abc import Sequence

    from anndata import AnnData

THRESHOLDS = tuple(i / 20 for i in range(1, 20))


def vocabulary_scan(
    index: AnnData,
    *,
    n_components: Sequence[int] = (4, 8, 12, 16, 20, 24),
    thresholds: Sequence[float] = THRESHOLDS,
    boundary: float = 0.35,
    layer: str | None = None,
    init: Literal["nndsvd", "nndsvda", "random"] = "nndsvd",
    alpha_W: float = 0.0,
    alpha_H: float = 0.0,
    l1_ratio: float = 0.0,
    max_iter: int = 200,
    tol: float = 1e-4,
    dtype: Literal["float32", "float64"] = "float32",
    device: str | None = None,
    seed: int | np.random.Generator | None = 0,
    n_jobs: int | None = None,
    progress: bool = True,
    key_added: str = _keys.VOCABULARY_SCAN,
    copy: bool = False,
) -> AnnData | None:
    """Fit vocabularies of several sizes and score how well each gives back the presence matrix.

    The product of the loadings is compared with the matrix at every threshold; counts are pooled over all cells, column
    block by column block, so that the product is never built. The number of components to choose is the one after which
    the gain of F1 and of the area drops (Meuleman et al. 2020, who chose 16 and a boundary of 0.35).

    Parameters
    ----------
    index
        Samples x elements; non-zero is present.
    n_components
        Sizes to try.
    thresholds
        Thresholds on the product of the loadings.
    boundary
        Threshold whose F1, precision and recall go into the summary; one of `thresholds`.
    layer
        Layer to use instead of `X`.
    init, alpha_W, alpha_H, l1_ratio, max_iter, tol, dtype, device, seed, n_jobs, progress
        As for :func:`~scatacworks.tl.vocabulary`; no loadings are given to start from, since their number differs.
    key_added
        Slot in `.uns`.
    copy
        Return a changed copy instead of changing `index`.

    Returns
    -------
    `None` if `copy=False`, else the copy. Sets `uns[key_added]`:

    `summary` : DataFrame, one row per size
        `n_components`, `f1`, `precision`, `recall` (at the boundary), `auprc`, `auprc_gain` and `f1_gain` (gradient
        over the sizes), `explained_variance`.
    `curves` : DataFrame, one row per size and threshold
        `n_components`, `threshold`, `tp`, `fp`, `tn`, `fn`, `precision`, `recall`, `f1`.
    `boundary` : float

    Raises
    ------
    TypeError
        If a size is no whole number, or `init` no name.
    ValueError
        If a size is impossible, a penalty is negative, `init` or `dtype` is unknown, or the boundary is not one of the
        thresholds; if `.uns[key_added]` holds another kind of result.

    Examples
    --------
    >>> import anndata, numpy as np
    >>> import scatacworks as sca
    >>> index = anndata.AnnData(np.kron(np.eye(3, dtype=int), np.ones((2, 4), int)))
    >>> sca.tl.vocabulary_scan(index, n_components=[1, 2, 3], progress=False)
    >>> index.uns["vocabulary_scan"]["summary"]["f1"].round(3).tolist()
    [0.5, 0.8, 1.0]
    """
    require_index(index)
    thresholds = np.asarray(sorted(thresholds), float)
    if not np.isclose(thresholds, boundary).any():
        msg = f"boundary is {boundary}; expected one of the thresholds {thresholds.round(3).tolist()}."
        raise ValueError(msg)
    given = [n_components] if np.ndim(n_components) == 0 else n_components
    sizes = sorted({whole(k, "n_components", **at_most(index)) for k in given})
    if not sizes:
        msg = "n_components is empty; expected the sizes to try."
        raise ValueError(msg)
    max_iter = whole(max_iter, "max_iter")
    if not isinstance(init, str):
        msg = f"init is a {type(init).__name__}; expected one of {', '.join(INITS)}: loadings fit one size only."
        raise TypeError(msg)
    one_of(init, "init", INITS)
    check_fit(alpha_W, alpha_H, l1_ratio, tol, dtype)
    penalties = penalties_of(index, alpha_W, alpha_H, l1_ratio)
    index = _step.own(index, copy=copy)
    _step.claim(index, key_added, "boundary")
    n_jobs, rng = resolve(n_jobs), np.random.default_rng(seed)
    patterns = patterns_of(index, layer)
    curves, variance = [], []
    for k in tqdm(sizes, desc="vocabulary sizes", disable=not progress, leave=False):
        start = start_of(patterns, k, init, rng, n_jobs)
        solver, used = choose(device, patterns, k)
        with memory_explained(used, patterns, k):
            factors = factorize(
                patterns, *start, max_iter=max_iter, tol=tol, dtype=dtype, n_jobs=n_jobs, solver=solver, **penalties
            )
        variance.append(explained(patterns, float(factors.errors[-1])))
        counts = confusion(patterns, factors.rows, factors.columns, thresholds, n_jobs=n_jobs).sum(axis=1)
        curves.append(pd.DataFrame(dict(zip(("tp", "fp", "tn", "fn"), counts, strict=True))).assign(n_components=k))
        curves[-1].insert(0, "threshold", thresholds)
    result = summarize(pd.concat(curves, ignore_index=True), boundary)
    result["summary"]["explained_variance"] = variance
    index.uns[key_added] = result
    return index if copy else None


def summarize(curves: pd.DataFrame, boundary: float) -> dict[str, Any]:
    """Scores from counts: `n_components`, `threshold`, `tp`, `fp`, `tn`, `fn` per row."""
    scores = reconstruction_scores(curves["tp"], curves["fp"], curves["fn"])
    curves = curves.assign(**dict(zip(("precision", "recall", "f1"), scores, strict=True)))
    front = ["n_components", "threshold"]
    curves = curves[front + [name for name in curves if name not in front]].sort_values(front, ignore_index=True)
    rows = []
    for k, curve in curves.groupby("n_components"):
        at = curve.iloc[int(np.abs(curve["threshold"].to_numpy() - boundary).argmin())]
        area = area_over_thresholds(curve["precision"].to_numpy(), curve["recall"].to_numpy())
        rows.append((k, at["f1"], at["precision"], at["recall"], area))
    summary = pd.DataFrame(rows, columns=["n_components", "f1", "precision", "recall", "auprc"])
    for name in ("auprc", "f1"):
        gain = np.gradient(summary[name], summary["n_components"]) if len(summary) > 1 else np.nan
        summary[f"{name}_gain"] = gain
    return {"summary": summary, "curves": curves, "boundary": float(boundary)}
