"""Reading the samples x elements matrix of an index, in memory or backed, and the slots of a vocabulary."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
import scipy.sparse as sp

from scatacworks import _keys
from scatacworks._core.patterns import Patterns, pack

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from anndata import AnnData


def row_blocks(index: AnnData, layer: str | None = None, *, rows: int = 4096) -> Iterator[sp.csr_matrix]:
    """Consecutive blocks of rows as CSR without stored zeros; refuses negative and non-finite values."""
    matrix = index.X if layer is None else index.layers[layer]
    if matrix is None:
        msg = "The AnnData has no .X; expected samples x elements."
        raise ValueError(msg)
    if sp.issparse(matrix) and matrix.format != "csr":
        matrix = matrix.tocsr()
    step = matrix.shape[0] if sp.issparse(matrix) else rows
    for first in range(0, matrix.shape[0], max(step, 1)):
        part = matrix if step == matrix.shape[0] and sp.issparse(matrix) else matrix[first : first + step]
        block = sp.csr_matrix(part)
        if block.nnz and not (block.data.min() >= 0 and np.isfinite(block.data.max())):
            msg = f"The matrix holds {block.data.min()}; expected finite values of 0 or more, non-zero meaning present."
            raise ValueError(msg)
        yield block


def patterns_of(index: AnnData, layer: str | None, *, collapse: bool = True, folder: Path | None = None) -> Patterns:
    """The presence matrix by distinct columns; non-zero is present."""

    def parts() -> Iterator[tuple[np.ndarray, np.ndarray, np.ndarray]]:
        for block in row_blocks(index, layer):
            yield block.indptr, block.indices, block.data

    return pack(parts, index.shape, collapse=collapse, folder=folder)


def component_names(k: int) -> list[str]:
    """Names of components until they are given better ones."""
    return [str(at + 1) for at in range(k)]


def names_of(reference: AnnData) -> list[str]:
    """Names of the components of a vocabulary, in order."""
    stored = reference.uns.get(_keys.VOCABULARY, {})
    if "names" in stored:
        return [str(name) for name in stored["names"]]
    return component_names(loadings_of(reference, "obsm").shape[1])


def loadings_of(reference: AnnData, axis: str) -> np.ndarray:
    """Loadings of samples (`"obsm"`) or elements (`"varm"`), float64."""
    slots: Any = getattr(reference, axis)
    if _keys.X_VOCABULARY not in slots:
        msg = f"There is no .{axis}[{_keys.X_VOCABULARY!r}] (found: {sorted(slots)}); run tl.vocabulary first."
        raise KeyError(msg)
    return np.asarray(slots[_keys.X_VOCABULARY], float)


def dominant(loadings: np.ndarray, names: list[str]) -> pd.DataFrame:
    """Dominant component (missing where all are zero), its share of the loadings, and how many are not zero."""
    total = loadings.sum(axis=1)
    code = np.where(total > 0, loadings.argmax(axis=1), -1)
    share = np.divide(loadings.max(axis=1), total, out=np.zeros(len(total)), where=total > 0)
    return pd.DataFrame(
        {
            _keys.COMPONENT: pd.Categorical.from_codes(code, categories=names),
            _keys.COMPONENT_PROPORTION: share.astype(np.float32),
            _keys.N_COMPONENTS: (loadings > 0).sum(axis=1).astype(np.int64),
        }
    )
