"""Priors on a device: rows of elements, dense per segment, weighed as the package does."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import torch

from benchmarks.bundled.data import BIN, SHIFTS
from scatacworks._core import prior as kernels
from scatacworks._core.spans import union
from scatacworks.prior import _MANY, _TRUSTED

if TYPE_CHECKING:
    import pandas as pd
    from torch import Tensor

    from benchmarks.bundled.data import Axis

ITERATIONS, STRENGTH = 40, 0.5  # of the weighing of rows, as in scatacworks._core.prior.match_rows


class Rows:
    """The rows of a prior on an axis: which of them are present in every segment, dense on the device.

    Parameters
    ----------
    axis
        Territories.
    names
        Names of the rows.
    intervals
        Row -> sorted, disjoint elements on the axis, int64 `(n, 2)`; none for a row that is missing.
    device
        Where all lies.
    """

    def __init__(self, axis: Axis, names: list[str], intervals: dict[str, np.ndarray], device: torch.device) -> None:
        self.names, self.device = names, device
        parts = [intervals.get(name, np.empty((0, 2), np.int64)) for name in names]
        spans = np.concatenate(parts)
        codes = np.repeat(np.arange(len(names)), [len(p) for p in parts])
        found = kernels.make_segments(spans[:, 0], spans[:, 1], codes, np.ones(len(spans), np.float32), axis.size)
        matrix = np.zeros((len(found.bounds) - 1, len(names)), np.float32)
        matrix[np.repeat(np.arange(len(matrix)), np.diff(found.indptr)), found.rows] = 1
        inside = np.concatenate([[0], np.cumsum(axis.whole())])
        self.matrix = torch.from_numpy(matrix).to(device)
        self.lengths = torch.from_numpy(np.diff(inside[found.bounds]).astype(np.float32)).to(device)
        self.bounds = torch.from_numpy(found.bounds).to(device)
        bases = torch.arange(axis.n_bins, device=device) * BIN + (BIN - 1) // 2
        self.segment_of_bin = torch.stack([self.segment(bases + s) for s in SHIFTS])
        self.exposure = self.lengths @ self.matrix

    def segment(self, positions: Tensor) -> Tensor:
        """Segment of every position."""
        last = len(self.bounds) - 2
        return (torch.searchsorted(self.bounds, positions, right=True) - 1).clamp_(0, last)

    def jaccard(self) -> np.ndarray:
        """Shared bases of every two rows over those of either; `(n_rows, n_rows)`."""
        both = (self.matrix * self.lengths[:, None]).T @ self.matrix
        size = both.diagonal()
        return (both / (size[:, None] + size - both)).cpu().numpy()

    def match(self, positions: Tensor, use: np.ndarray) -> tuple[Tensor, float]:
        """Rates of the rows, mean 1 over those used, and the share of the cut sites that they explain."""
        counts = torch.bincount(self.segment(positions), minlength=len(self.matrix)).float()
        used = torch.from_numpy(use.astype(np.float32)).to(self.device)
        is_gap = self.matrix @ used == 0
        empty_bp, covered_bp = (float(self.lengths[where].sum()) for where in (is_gap, ~is_gap))
        empty = float(counts[is_gap].sum())
        background = max(empty / max(empty_bp, 1.0), 1e-12)
        kept = (counts > 0) & ~is_gap
        matrix, counts = self.matrix[kept] * used, counts[kept]
        exposure = self.exposure * used
        start = max((float(counts.sum()) - background * covered_bp) / max(float(exposure.sum()), 1.0), 1e-12)
        rates = torch.full_like(exposure, start)
        for _ in range(ITERATIONS):
            share = (counts / (background + matrix @ rates)) @ matrix
            rates = (rates * share + STRENGTH) / (exposure + STRENGTH / start)
        rates = rates * used
        mean = matrix @ rates
        total = float(counts.sum()) + empty
        explained = float((counts * mean / (mean + background)).sum()) / total if total else 0.0
        return rates * (float(used.sum()) / rates.sum()), explained

    def channels(self, weights: Tensor, shift: int = 0) -> Tensor:
        """Fraction of the rows of a weight above 0, and weighed fraction, per bin; float16 `(2, n_bins)`."""
        used = (weights > 0).float()
        both = torch.stack([used, weights]) / used.sum()
        return (both @ self.matrix.T).clamp_(max=1)[:, self.segment_of_bin[shift]].half()

    def fraction(self, use: np.ndarray) -> Tensor:
        """Fraction of some rows that have an element, per bin; float16 `(n_bins,)`."""
        return self.channels(torch.from_numpy(use.astype(np.float32)).to(self.device))[0]


def stacked(maps: Tensor, n: Tensor, explained: Tensor, weight: Tensor) -> Tensor:
    """The channels that a guide reads (:data:`scatacworks.prior.CHANNELS`), `(B, 6, n_bins)`.

    `maps` is of :meth:`Rows.channels`, `(B, 2, n_bins)`; the others `(B,)`: rows used, share explained, weight.
    """
    maps = maps.float()
    flat = [
        value[:, None, None].expand(-1, 1, maps.shape[-1])
        for value in (n.clamp(max=_MANY).log10() / 2, explained, weight)
    ]
    return torch.cat([maps.sqrt(), (maps[:, :1] > 0).float(), *flat], dim=1)


def trust(explained: float) -> float:
    """How far a prior is used, as :meth:`scatacworks.prior.Guidance.trust`."""
    low, high = _TRUSTED
    return float(np.clip((explained - low) / (high - low), 0, 1))


def on_axis(axis: Axis, table: pd.DataFrame, column: str) -> dict[str, np.ndarray]:
    """Merged intervals of every sample of a table, on an axis of whole chromosomes from their beginning."""
    at = {chrom: int(start) for (chrom, _), start in zip(axis.names, axis.starts, strict=True)}
    shift = table["chrom"].map(at).to_numpy()
    out = {}
    for name, index in table.groupby(column, observed=True).indices.items():
        out[str(name)] = union(table[["start", "end"]].to_numpy()[index] + shift[index, None])
    return out


def touches(a: np.ndarray, b: np.ndarray, room: int = 0) -> np.ndarray:
    """Which of the intervals `a` lie within `room` of any of the sorted, disjoint intervals `b`; bool."""
    first = np.searchsorted(b[:, 1], a[:, 0] - room, side="right")
    return first < np.searchsorted(b[:, 0], a[:, 1] + room, side="left")
