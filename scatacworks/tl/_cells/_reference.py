"""Cells and labelled bulk samples over the peaks that both have."""

from __future__ import annotations

from typing import TYPE_CHECKING

import anndata
import numpy as np
import pandas as pd
from scipy import sparse

from scatacworks._arrays import csr_of, in_memory, matrix_of
from scatacworks._logging import logger
from scatacworks._text import listed

if TYPE_CHECKING:
    from anndata import AnnData

__all__ = ["common_peaks"]


def common_peaks(
    adata: AnnData, reference: AnnData | pd.DataFrame, *, layer: str | None, raw: bool = True
) -> tuple[list[str], np.ndarray, sparse.csr_matrix]:
    """Match peaks by name.

    Parameters
    ----------
    adata
        Cells × peaks, counts.
    reference
        AnnData of samples × peaks, or DataFrame of peaks × samples.
    layer
        Layer with the cells' counts, instead of `X`.
    raw
        Whether the reference holds signal or counts, so that no value may be negative.

    Returns
    -------
    Names of the reference's samples; their values, float64 `(n_samples, n_common)`; and the cells' presence,
    `(n_cells, n_common)`, 1.0 where a cell has any count.

    Raises
    ------
    KeyError
        If the layer is missing.
    ValueError
        If fewer than 10 peaks are common, a peak is there twice, or the reference has text, missing or negative values.
    """
    values, names, peaks = _reference_values(reference)
    for what, index in (("The reference", peaks), ("The AnnData", adata.var_names)):
        if not index.is_unique:
            twice = index[index.duplicated()]
            msg = f"{what} has {len(twice)} peaks more than once, such as {twice[0]!r}; keep one row of each."
            raise ValueError(msg)
    common = adata.var_names.intersection(peaks)
    if len(common) < 10:
        first = " and ".join(f"{index[0]!r}" for index in (adata.var_names, peaks) if len(index))
        msg = (
            f"Cells and reference have {len(common)} peaks in common by name (such as {first}); count the cells in "
            "the reference's peaks first (sca.pp.count_regions)."
        )
        raise ValueError(msg)
    logger.info("%d of %d peaks are common with the reference.", len(common), adata.n_vars)
    bulk = values[:, peaks.get_indexer(common)].astype(np.float64)
    if not np.isfinite(bulk).all() or (raw and bulk.min() < 0):
        msg = "The reference has missing, infinite or negative values; expected signal or counts, 0 for none."
        raise ValueError(msg)
    present = csr_of(adata, layer)[:, adata.var_names.get_indexer(common)]
    present.sum_duplicates()
    present.data = (present.data > 0).astype(np.float64)
    present.eliminate_zeros()
    empty = int((np.diff(present.indptr) == 0).sum())
    if empty:
        logger.warning("%d cells have no count in the common peaks.", empty)
    return names, bulk, present


def _reference_values(reference: AnnData | pd.DataFrame) -> tuple[np.ndarray, list[str], pd.Index]:
    """Return samples × peaks, and the names of either."""
    if isinstance(reference, anndata.AnnData):
        values = in_memory(matrix_of(reference))
        values = values.toarray() if sparse.issparse(values) else values
        return values, list(map(str, reference.obs_names)), reference.var_names
    if not isinstance(reference, pd.DataFrame):
        msg = f"reference is a {type(reference).__name__}; expected a table of peaks x samples, or an AnnData."
        raise TypeError(msg)
    numbers = reference.apply(pd.to_numeric, errors="coerce")
    text = numbers.columns[(numbers.isna() & reference.notna()).any()]
    if len(text):
        msg = (
            f"The reference has columns that hold no numbers, {listed(map(repr, text))}; expected one column per "
            "sample and the peaks as index, so leave out all that describes peaks."
        )
        raise ValueError(msg)
    values = numbers.to_numpy(np.float64, na_value=np.nan).T
    return values, list(map(str, reference.columns)), reference.index.map(str)
