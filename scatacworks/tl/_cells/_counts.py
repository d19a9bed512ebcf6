"""Counts of cells in peaks, and sets of peaks, as the deviation scores need them."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from scatacworks._arguments import above_zero, whole
from scatacworks._arrays import counts_of
from scatacworks._core.deviations import sample_background
from scatacworks._logging import logger

if TYPE_CHECKING:
    from anndata import AnnData
    from scipy import sparse


def cell_counts(adata: AnnData, layer: str | None) -> sparse.csr_matrix:
    """Return the cells × peaks counts as CSR; tells of empty cells."""
    counts = counts_of(adata, layer)
    empty = int((np.diff(counts.indptr) == 0).sum())
    if empty:
        logger.warning("%d of %d cells have no count in any peak; their scores are NaN.", empty, counts.shape[0])
    return counts


def background_of(
    adata: AnnData,
    counts: sparse.csr_matrix,
    *,
    bias: str | None,
    given: np.ndarray | None,
    n_samples: int,
    width: float,
    n_bins: int,
    seed: int | np.random.Generator | None,
) -> tuple[np.ndarray, np.ndarray]:
    """Return the peaks with any count, and background peaks for each (positions among the peaks kept).

    Raises
    ------
    KeyError
        If the bias column is missing.
    ValueError
        If a given background does not have one row per peak, or holds other than positions of peaks.
    """
    n_samples, n_bins = whole(n_samples, "n_background", least=2), whole(n_bins, "n_bins")
    above_zero(width, "width")
    totals = np.asarray(counts.sum(0), np.float64).ravel()
    kept = np.flatnonzero(totals > 0)
    if given is not None:
        given = np.asarray(given)
        if given.ndim != 2 or len(given) != adata.n_vars or given.shape[1] < 2:
            msg = f"background has shape {given.shape}; expected {adata.n_vars} rows (peaks) and at least 2 columns."
            raise ValueError(msg)
        if given.min() < 0 or given.max() >= adata.n_vars or (given % 1 != 0).any():
            span = f"{given.min()} to {given.max()}"
            msg = f"background holds {span}; expected positions of peaks, 0 to {adata.n_vars - 1}."
            raise ValueError(msg)
        return np.arange(adata.n_vars), given
    if len(kept) < len(totals):
        logger.info("%d of %d peaks have no count in any cell and are left out.", len(totals) - len(kept), len(totals))
    values = None
    if bias is not None:
        if bias not in adata.var:
            msg = (
                f"No column {bias!r} in .var to match the background by; it has {list(adata.var.columns)}. Give "
                "sequences=, or bias=None to match accessibility alone."
            )
            raise KeyError(msg)
        values = adata.var[bias].to_numpy(np.float64)[kept]
        if np.isnan(values).any():
            logger.warning("%d peaks have no %s; the median is used.", np.isnan(values).sum(), bias)
            values = np.where(np.isnan(values), np.nanmedian(values), values)
    rng = np.random.default_rng(seed)
    return kept, sample_background(totals[kept], values, n_samples=n_samples, width=width, n_bins=n_bins, rng=rng)


def gc_fraction(sequences: list[str]) -> np.ndarray:
    """Return the share of G and C among the known bases of every sequence, NaN without any."""
    gc = np.array([sequence.upper().count("G") + sequence.upper().count("C") for sequence in sequences], np.float64)
    at = np.array([sequence.upper().count("A") + sequence.upper().count("T") for sequence in sequences], np.float64)
    with np.errstate(invalid="ignore", divide="ignore"):
        return gc / (gc + at)
