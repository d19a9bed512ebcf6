"""The factorisation of `scatacworks._core.nmf` with its columns on a torch device.

The updates and their order are the same; the columns are visited in chunks, all of a chunk at once, with sparse
products in place of the loops over the ones. The loadings of the columns stay on the device, the small ones of the
rows on the host; the ones are sent once where they fit, else chunk by chunk in every iteration.
"""

from __future__ import annotations

import warnings
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import torch

from scatacworks._core.nmf import Descent
from scatacworks._core.patterns import Patterns, blocks

if TYPE_CHECKING:
    from collections.abc import Iterator

CHUNK = 2**22  # ones and loadings of a chunk: some 0.2 GB of temporary arrays
KEPT = 0.5  # share of the free memory of the device that the ones may take
BYTES = 16  # per one kept: its index and value, by column and by row


class _Chunk(NamedTuple):
    """Some patterns on the device."""

    first: int
    last: int
    by_column: torch.Tensor  # CSR (n, n_rows)
    by_row: torch.Tensor  # CSR (n_rows, n)
    count: torch.Tensor  # (n,)


def _csr(indptr: torch.Tensor, indices: torch.Tensor, shape: tuple[int, int], dtype: torch.dtype) -> torch.Tensor:
    """A sparse matrix of ones."""
    values = torch.ones(len(indices), dtype=dtype, device=indices.device)
    with warnings.catch_warnings():  # torch says once that its CSR is young
        warnings.filterwarnings("ignore", message="Sparse", category=UserWarning)
        return torch.sparse_csr_tensor(indptr.int(), indices.int(), values, shape)


class TorchDescent(Descent):
    """The state of one factorisation on a torch device, for `factorize(..., solver=...)`.

    Parameters
    ----------
    patterns
        The matrix.
    rows, columns
        Start of W (n_rows, k) and of H by pattern (n_patterns, k).
    dtype
        Precision of the loadings of the columns and of the products; sums over chunks are kept in double precision.
    device
        Torch device; `"cpu"` or a CUDA device.
    chunk
        Ones (plus 16 per pattern) visited at once; bounds the memory beside the loadings and the ones.
    kept
        Bytes that the ones may take on the device; `None`: half of what is free. Beyond that they are sent anew in
        every iteration.
    """

    def __init__(
        self,
        patterns: Patterns,
        rows: np.ndarray,
        columns: np.ndarray,
        dtype: np.dtype | type,
        *,
        device: str | torch.device,
        chunk: int = CHUNK,
        kept: int | None = None,
    ) -> None:
        self.patterns, self.k = patterns, rows.shape[1]
        self.device = torch.device(device)
        self.dtype = torch.float64 if np.dtype(dtype) == np.float64 else torch.float32
        self.weights = rows.astype(np.float64)
        self.loads = torch.from_numpy(np.array(columns, dtype)).to(self.device)
        work = len(patterns.rows) + 16 * len(patterns.count)
        self.blocks = blocks(patterns, max(-(-work // chunk), 1))
        free = self._free() if kept is None else kept
        self.cache: list[_Chunk] | None = None
        if BYTES * len(patterns.rows) <= free:
            self.cache = [self._load(*bounds) for bounds in self.blocks]

    def _free(self) -> float:
        """Bytes that the ones may take."""
        return KEPT * torch.cuda.mem_get_info(self.device)[0] if self.device.type == "cuda" else np.inf

    def _load(self, first: int, last: int) -> _Chunk:
        """Send some patterns to the device and sort their ones by row."""
        p = self.patterns
        begin, end = int(p.indptr[first]), int(p.indptr[last])
        rows = torch.from_numpy(np.asarray(p.rows[begin:end]).astype(np.int32)).to(self.device)
        indptr = torch.from_numpy(np.asarray(p.indptr[first : last + 1] - begin)).to(self.device)
        count = torch.from_numpy(np.asarray(p.count[first:last])).to(self.device)
        n = last - first
        column = torch.repeat_interleave(torch.arange(n, device=self.device), indptr.diff(), output_size=end - begin)
        per_row = torch.zeros(p.n_rows + 1, dtype=torch.int64, device=self.device)
        per_row[1:] = torch.bincount(rows, minlength=p.n_rows).cumsum(0)
        order = torch.sort(rows, stable=True).indices
        by_column = _csr(indptr, rows, (n, p.n_rows), self.dtype)
        return _Chunk(first, last, by_column, _csr(per_row, column[order], (p.n_rows, n), self.dtype), count)

    def _chunks(self) -> Iterator[_Chunk]:
        """The chunks, kept or loaded one by one."""
        yield from self.cache if self.cache is not None else (self._load(*bounds) for bounds in self.blocks)

    def sweep(self, pool: Any, *, update: bool, l1: float = 0.0, l2: float = 0.0) -> float:
        """Visit all columns; set `target` (A H^T) and `gram` (H H^T) for the rows, and return the violation."""
        inner = self.weights.T @ self.weights
        inner[np.diag_indices(self.k)] += l2
        active = [r for r in range(self.k) if inner[r, r] != 0]
        weights = torch.from_numpy(self.weights).to(self.device, self.dtype)
        inner = torch.from_numpy(inner).to(self.device, self.dtype)
        total, square, violation = (
            torch.zeros(shape, dtype=torch.float64, device=self.device)
            for shape in (self.weights.shape, (self.k, self.k), ())
        )
        for chunk in self._chunks():
            loads = self.loads[chunk.first : chunk.last]
            if update:
                target = (chunk.by_column @ weights - l1).T.contiguous()
                violation += _descend(inner, target, loads, chunk.count, active)
            counted = loads * chunk.count[:, None].to(self.dtype)
            total += chunk.by_row @ counted
            square += loads.double().T @ counted.double()
        self.target, self.gram = total.cpu().numpy(), square.cpu().numpy()
        return float(violation)

    def columns(self) -> np.ndarray:
        """Loadings of the columns, (n_patterns, k)."""
        return self.loads.cpu().numpy().copy()


def _descend(
    gram: torch.Tensor, target: torch.Tensor, loads: torch.Tensor, count: torch.Tensor, active: list[int]
) -> torch.Tensor:
    """One sweep over the components of a chunk of columns, in place; return the weighted projected gradient."""
    tile = loads.T.contiguous()
    violation = torch.zeros((), dtype=torch.float64, device=loads.device)
    for r in active:
        slope = torch.mv(tile.T, gram[r]) - target[r]
        held = torch.where(tile[r] > 0, slope, slope.clamp(max=0))
        violation += torch.dot(held.abs().double(), count)
        tile[r] = (tile[r] - slope / gram[r, r]).clamp_(min=0)
    loads.copy_(tile.T)
    return violation
