"""The tests of component counts of genes (binomial) and gene sets (hypergeometric)."""

from __future__ import annotations

import numpy as np
import pandas as pd

from scatacworks._core.enrichment import log_binomial_sf, log_hypergeometric_sf
from scatacworks._core.fdr import qvalue

_LN10 = np.log(10)


def enrichment_table(counts: np.ndarray, labels: np.ndarray, *, exact: bool = False) -> dict[str, np.ndarray]:
    """Test every count of `(n_rows, n_components)` against the component's share among the elements outside the row.

    A component of which none lies outside is tested against its share among all: to have few elements proves nothing.
    With `exact`, p is that of drawing the row's elements from all without replacement (hypergeometric), which holds for
    rows of any size; the binomial takes the share outside for known, and in large rows it is not.

    Returns
    -------
    `enrichment` (observed over expected), `log10_p` (P of at least so many) and `q_value` (Storey, over the whole
    table), float64 like `counts`; NaN in rows without elements.
    """
    total = np.bincount(labels[labels >= 0], minlength=counts.shape[1])
    n = np.broadcast_to(counts.sum(1, keepdims=True), counts.shape)
    outside = total.sum() - n
    with np.errstate(divide="ignore", invalid="ignore"):
        share = np.where(total > counts, (total - counts) / outside, total / total.sum())
        enrichment = np.where(counts == 0, 0.0, counts / (n * share))
    tested = n > 0
    p_of = log_hypergeometric_sf(counts, n, total, total.sum()) if exact else log_binomial_sf(counts, n, share)
    log_p = np.where(tested, p_of, np.nan)
    return {
        "enrichment": np.where(tested, enrichment, np.nan),
        "log10_p": log_p / _LN10,
        "q_value": qvalue(np.exp(log_p)),
    }


def label_columns(
    result: dict[str, np.ndarray], counts: np.ndarray, components: np.ndarray, *, fdr: float
) -> tuple[np.ndarray, pd.DataFrame]:
    """Return the code of each row's label (-1 for none) and the columns that describe it.

    The label is the significant component of highest enrichment, the smaller p deciding between equals.
    """
    significant = result["q_value"] <= fdr
    ranked = np.where(significant, np.nan_to_num(result["enrichment"], posinf=np.finfo(np.float64).max), -1.0)
    ties = ranked == ranked.max(1, keepdims=True)
    log_p = np.nan_to_num(result["log10_p"], nan=0.0)
    best = np.where(ties, log_p, np.inf).argmin(1)
    labelled = significant.any(1)
    shown = np.where(labelled, best, log_p.argmin(1))  # without a label, the most significant component is shown
    rows = np.arange(len(shown))
    n = counts.sum(1)
    columns = {
        "component": np.where(labelled, components[best], ""),
        "enrichment": result["enrichment"][rows, shown],
        "p_value": 10 ** result["log10_p"][rows, shown],
        "q_value": result["q_value"][rows, shown],
        "concordant": np.where(labelled, counts[rows, best] / np.maximum(n, 1), np.nan),
    }
    return np.where(labelled, best, -1), pd.DataFrame(columns)
