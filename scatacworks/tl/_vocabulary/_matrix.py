"""Reading the samples x elements matrix of an index, in memory or backed, and the slots of a vocabulary."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import scipy.sparse as sp
from anndata import AnnData

from scatacworks import _keys
from scatacworks._anndata import require_index
from scatacworks._arrays import matrix_of, require_sound
from scatacworks._core.patterns import Patterns, pack

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    import pandas as pd

BLOCK = 2**24  # values of a block: about 0.2 GB


def row_blocks(index: AnnData, layer: str | None = None, *, size: int = BLOCK) -> Iterator[sp.csr_matrix]:
    """Consecutive blocks of rows as CSR; refuses negative and non-finite values.

    What is in memory comes as one block. Anything else (backed, zarr, dask) is read in blocks of about `size` values.
    """
    matrix = matrix_of(index, layer)
    if getattr(matrix, "format", "csr") == "csc" and not sp.issparse(matrix):
        matrix = matrix.to_memory()  # columns on disk cannot be read by rows
    parts = [sp.csr_matrix(matrix)] if sp.issparse(matrix) else _slices(matrix, size)
    for block in parts:
        require_sound(block, "The matrix")
        if block.nnz and not (block.data.min() >= 0 and np.isfinite(block.data.max())):
            msg = f"The matrix holds {block.data.min()}; expected finite values of 0 or more, non-zero meaning present."
            raise ValueError(msg)
        yield block


def _slices(matrix: Any, size: int) -> Iterator[sp.csr_matrix]:
    """Blocks of rows of a matrix that is not in memory: few first, then more, by how many values the rows had."""
    if hasattr(matrix, "numblocks"):  # dask knows what it reads at once
        for at in range(matrix.numblocks[0]):
            yield sp.csr_matrix(matrix.blocks[at].compute())
        return
    sparse = hasattr(matrix, "format")
    step, first, values = max(size // max(matrix.shape[1], 1), 1), 0, 0
    while first < matrix.shape[0]:
        block = sp.csr_matrix(matrix[first : first + step])
        first, values = first + block.shape[0], values + block.nnz
        yield block
        if sparse:
            step = int(min(max(size * first // max(values, 1), 1), 4 * step))


def patterns_of(
    index: AnnData, layer: str | None, *, collapse: bool = True, folder: Path | None = None, size: int = BLOCK
) -> Patterns:
    """The presence matrix by distinct columns; non-zero is present."""

    def parts() -> Iterator[tuple[np.ndarray, np.ndarray, np.ndarray]]:
        for block in row_blocks(index, layer, size=size):
            yield block.indptr, block.indices, block.data

    return pack(parts, index.shape, collapse=collapse, folder=folder)


def index_of(signal: sp.csr_matrix, obs: pd.DataFrame, var: pd.DataFrame) -> AnnData:
    """Samples x elements that are present where a signal is stored, which may be zero; uint8, the signal as a layer."""
    ones = np.ones(signal.nnz, np.uint8)
    index = AnnData(sp.csr_matrix((ones, signal.indices, signal.indptr), shape=signal.shape), obs=obs, var=var)
    index.layers[_keys.SIGNAL] = signal
    return index


def loadings_of(reference: AnnData, axis: str) -> np.ndarray:
    """Loadings of samples (`"obsm"`) or elements (`"varm"`), float64."""
    require_index(reference)
    slots: Any = getattr(reference, axis)
    if _keys.X_VOCABULARY not in slots:
        step = "tl.vocabulary or tl.project_vocabulary" if axis == "obsm" else "tl.vocabulary"
        msg = f"There is no .{axis}[{_keys.X_VOCABULARY!r}] (found: {sorted(slots)}); run {step} first."
        raise KeyError(msg)
    return np.asarray(slots[_keys.X_VOCABULARY], float)
