"""The simple methods that a network has to beat: raw coverage, a Gaussian and a linear filter of the cut sites."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from scipy.linalg import solve_toeplitz
from scipy.signal import correlate

from scatacworks import metrics
from scatacworks._core.pileup import box_coverage, run_length_coverage
from scatacworks.tl._denoising._samples import interval_table
from scatacworks.tracks import Tracks

if TYPE_CHECKING:
    from collections.abc import Iterator

    import pandas as pd

    from scatacworks.models.base import Model
    from scatacworks.models.data import Intervals
    from scatacworks.models.linear import Linear

_SIGMAS = (50.0, 100.0, 150.0, 200.0, 250.0, 300.0, 400.0, 600.0)
_RIDGE = 1e-3  # share of the variance of the input that is added to it
_PIECE_BP = 1 << 20


def coverage(sites: Tracks, extend: int) -> Tracks:
    """Coverage of cut sites as runs."""
    sizes = sites.genome.sizes

    def one(chrom: str, group: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        starts, _, counts = sites.runs(group, chrom)
        starts, lengths, values = run_length_coverage(starts, counts, sizes[chrom], extend)
        return starts, lengths, values.astype(np.float32)

    chromosomes = ((c, [one(c, g) for g in range(len(sites.groups))]) for c in sites.genome.chroms)
    return Tracks.from_chromosomes(sites.groups, sites.genome, chromosomes)


def predicted(
    model: Model, sites: Tracks, depths: np.ndarray, regions: Intervals | None, *, n_jobs: int | None, progress: bool
) -> tuple[Tracks, Tracks]:
    """Run a model on the regions that are scored; signal and probability."""
    from scatacworks.models import Gaussian, Linear
    from scatacworks.models._rounding import Rounding
    from scatacworks.models.predict import predict

    where = None if regions is None else {sites.genome.code(chrom): rows for chrom, rows in regions.items()}
    # what ranks bases by its signal alone must not lose ranks to rounding
    rounding = Rounding(signal=0.01) if isinstance(model, Gaussian | Linear) else None
    return predict(model, sites, depth=depths, regions=where, rounding=rounding, n_jobs=n_jobs, progress=progress)


def gaussian(sigma: float | None = None) -> Model:
    """The Gaussian, with its default widths or one width."""
    from scatacworks.models import Gaussian, GaussianConfig

    return Gaussian() if sigma is None else Gaussian(GaussianConfig(depths=(1e6,), sigmas=(sigma,)))


def tuned_gaussian(
    shallow: Tracks, depths: np.ndarray, deep: Tracks, *, peaks: pd.DataFrame, where: Intervals, extend: int
) -> Model:
    """The Gaussian whose width ranks bases best on the regions for tuning, over all groups."""
    regions, scores = interval_table(where), {}
    for sigma in _SIGMAS:
        signal, _ = predicted(gaussian(sigma), shallow, depths, where, n_jobs=1, progress=False)
        table = metrics.evaluate_tracks(
            signal, deep, peaks=peaks, regions=regions, extend=extend, rank_correlation=False
        )
        scores[sigma] = float(table["auprc"].mean())
    return gaussian(max(scores, key=scores.__getitem__))


def fitted_linear(
    shallow: Tracks, depths: np.ndarray, deep: Tracks, deep_depths: np.ndarray, *, where: Intervals, extend: int
) -> Model:
    """The symmetric linear filter of least squared error on the regions for tuning, over all groups.

    The covariance of binned cut sites depends on their distance alone, so the normal equations have one number per
    distance (a Wiener filter) and are solved at once. The signal is what ranks bases.
    """
    from scatacworks.models import Linear, LinearConfig

    model = Linear(LinearConfig(extension=extend))
    sums = _Sums(model.reach)
    for i, group in enumerate(shallow.groups):
        factors = model.target_depth / depths[i], model.target_depth / deep_depths[i]
        for place in _pieces(where):
            sums.add(*_binned(model, shallow, deep, group, place), factors)
    model.set_filter(*sums.solve())
    return model.eval()


def _pieces(where: Intervals) -> Iterator[tuple[str, int, int]]:
    """Regions in pieces of bounded length."""
    for chrom, rows in where.items():
        for first, end in rows.tolist():
            for start in range(first, end, _PIECE_BP):
                yield chrom, start, min(start + _PIECE_BP, end)


def _binned(
    model: Linear, shallow: Tracks, deep: Tracks, group: str, place: tuple[str, int, int]
) -> tuple[np.ndarray, np.ndarray]:
    """Cut sites per bin with twice the filter's reach to either side, and mean deep coverage per bin."""
    chrom, start, end = place
    width, extend = model.bin_size, model.config.extension
    n = (end - start) // width
    halo = 2 * model.reach * width
    sites = shallow.window(group, chrom, start - halo, start + n * width + halo)
    dense = box_coverage(*deep.sites(group, chrom, start - extend, end + extend), start, start + n * width, extend)
    return sites.reshape(-1, width).sum(axis=1, dtype=np.float64), dense.reshape(-1, width).mean(axis=1, dtype=float)


class _Sums:
    """Sums of products of the normal equations."""

    def __init__(self, reach: int) -> None:
        self.reach, self.n = reach, 0
        self.mean = np.zeros(2)
        self.auto, self.cross = np.zeros(2 * reach + 1), np.zeros(reach + 1)

    def add(self, sites: np.ndarray, target: np.ndarray, factors: tuple[float, float]) -> None:
        """Add a piece: sites with a halo of twice the reach, the target without."""
        if len(target) == 0:
            return
        r, x, y = self.reach, sites * factors[0], target * factors[1]
        core = x[2 * r : len(x) - 2 * r]
        auto = correlate(x, core, mode="valid", method="fft")
        cross = correlate(x[r : len(x) - r], y, mode="valid", method="fft")
        self.auto += (auto + auto[::-1])[2 * r :] / 2
        self.cross += (cross + cross[::-1])[r:] / 2
        self.mean += core.sum(), y.sum()
        self.n += len(y)

    def solve(self) -> tuple[np.ndarray, float]:
        """Filter and offset."""
        x, y = self.mean / max(self.n, 1)
        auto, cross = self.auto - self.n * x * x, self.cross - self.n * x * y
        if auto[0] <= 0:
            msg = "the regions for tuning hold no cut site to fit the linear baseline on"
            raise ValueError(msg)
        auto[0] *= 1 + _RIDGE
        weight = solve_toeplitz(auto, np.concatenate([cross[:0:-1], cross]))
        return weight, float(y - weight.sum() * x)
