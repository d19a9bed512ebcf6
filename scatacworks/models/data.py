"""Training data: noisy and clean versions of the same place, drawn on the fly from cut sites."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from scatacworks._arguments import flag, one_of, real, share, whole
from scatacworks._core.pileup import box_coverage
from scatacworks._core.spans import between, painted
from scatacworks._core.territory import REFERENCE_BP
from scatacworks.models._cells import CellSites
from scatacworks.models._extra import binned
from scatacworks.models._labels import label_peaks

if TYPE_CHECKING:
    from scatacworks.tracks import Tracks

__all__ = ["CellSites", "DrawRules", "Drawer", "Intervals", "Sample", "depth_of"]

Intervals = dict[str, np.ndarray]
"""Chromosome -> sorted starts and ends (0-based, half-open), int64 (`n`, 2)."""

_SHALLOWEST = 0.5  # noisy versions are at most this fraction of the clean depth
_DEEPEST = 1.5  # real noisy tracks are at most so many times as deep: worse data of the same depth are a use, too


@dataclass
class Sample:
    """One deep sample and how shallow versions of it come about.

    Attributes
    ----------
    clean
        Tracks with the deep cut sites.
    group
        Which of them.
    depth
        Cut sites per 3.1e9 bp of territory of the clean track.
    regions
        Where to train or validate; loss is taken only there.
    exclude
        Where not to: blacklist, gaps.
    peaks
        True peaks; called from the clean track when `None`.
    noisy, noisy_depth
        Tracks with real shallow cut sites of the same sample and group name, and their depth.
    cells
        Cut sites by cell; then versions can be made by drawing cells or fragments instead of thinning sites.
    extra
        Name of an extra input channel -> tracks with its values, of one group or with this group.
    target
        Tracks with the signal to predict, of one group or with this group; the coverage of the clean cut sites, scaled
        by depth, when `None`. With it, `peaks` are needed.
    weight
        Relative frequency of this sample in training.
    name
        For messages.

    Raises
    ------
    KeyError
        If there is no such group.
    ValueError
        If the clean track is empty or on another genome than the noisy one, or the noisy one is empty, the same, or
        more than 1.5 times as deep.
    """

    clean: Tracks
    group: str
    depth: float
    regions: Intervals
    exclude: Intervals = field(default_factory=dict)
    peaks: Intervals | None = None
    noisy: Tracks | None = None
    noisy_depth: float | None = None
    cells: CellSites | None = None
    extra: dict[str, Tracks] = field(default_factory=dict)
    target: Tracks | None = None
    weight: float = 1.0
    name: str = ""

    def __post_init__(self) -> None:
        self.name = self.name or self.group
        if not any(len(self.sites(chrom)[0]) for chrom in self.regions):
            msg = f"The clean track of {self.name!r} has no cut site in {', '.join(self.regions) or 'any region'}."
            raise ValueError(msg)
        if self.noisy is not None:
            self._check_pair()
        if self.target is not None and self.peaks is None:
            msg = f"{self.name!r} has a target and no peaks; give those of the target."
            raise ValueError(msg)
        if self.peaks is None:
            self.peaks = self._call()
        if not any(_meet(rows, self.peaks[chrom]) for chrom, rows in self.regions.items() if chrom in self.peaks):
            msg = (
                f"{self.name!r} has no peak in {', '.join(self.regions)}; give other regions= or validation=, peaks= "
                "or a deeper track."
            )
            raise ValueError(msg)

    def _check_pair(self) -> None:
        """Refuse a noisy track of another genome, clearly deeper than the clean one, or the very same."""
        if self.noisy.genome.sizes != self.clean.genome.sizes:
            msg = f"The noisy and clean tracks of {self.name!r} are on different genomes."
            raise ValueError(msg)
        if not 0 < (self.noisy_depth or 0) <= _DEEPEST * self.depth:
            msg = (
                f"The noisy track of {self.name!r} has a depth of {self.noisy_depth or 0:,.0f}, the clean one of "
                f"{self.depth:,.0f}; expected more than 0, and at most {_DEEPEST} times that of the clean one. Have "
                "they been swapped?"
            )
            raise ValueError(msg)
        pairs = ((self.clean.runs(self.group, c), self.noisy.runs(self.group, c)) for c in self.regions)
        if all(np.array_equal(a[0], b[0]) and np.array_equal(a[2], b[2]) for a, b in pairs):
            msg = f"The noisy track of {self.name!r} has the very cut sites of the clean one; give another."
            raise ValueError(msg)

    def _call(self) -> Intervals:
        """Label peaks by the paper's rule on every chromosome in use."""
        sizes = self.clean.genome.sizes
        mean = 201 * self.depth / REFERENCE_BP
        return {c: label_peaks(*self.sites(c), length=sizes[c], least_mean=mean) for c in self.regions}

    def sites(self, chrom: str) -> tuple[np.ndarray, np.ndarray]:
        """Positions and counts of the clean track on a chromosome."""
        positions, _, counts = self.clean.runs(self.group, chrom)
        return positions, counts


@dataclass(frozen=True)
class DrawRules:
    """How crops are drawn.

    Attributes
    ----------
    core_bp
        Bases of a crop that the loss is taken on.
    depth_range
        Noisy depths are drawn log-uniformly from here.
    real_fraction
        Share of crops that use the real noisy track where there is one.
    depth_jitter
        Standard deviation of the natural logarithm of the factor by which half of the crops misstate their depth.
    flip
        Reverse half of the crops.
    channel_dropout
        Share of crops in which the extra channels are hidden.
    peak_fraction
        Share of crops that are centred on a peak.
    unit
        What is kept or dropped as a whole in samples whose cells are known: ``"cells"``, ``"fragments"`` (both cut
        sites of each) or single ``"sites"``; in all others it is sites.
    n_cells
        How many cells to draw, one of these numbers at random per crop (at most half of a sample's cells), instead of
        as many as make up a depth; the cells of each crop are drawn anew.
    """

    core_bp: int = 65_536
    depth_range: tuple[float, float] = (4e4, 2.5e7)
    real_fraction: float = 0.2
    depth_jitter: float = 0.25
    flip: bool = True
    channel_dropout: float = 0.1
    peak_fraction: float = 0.0
    unit: Literal["sites", "fragments", "cells"] = "cells"
    n_cells: tuple[int, ...] = ()

    def __post_init__(self) -> None:
        numbers = [self.n_cells] if np.ndim(self.n_cells) == 0 else self.n_cells
        object.__setattr__(self, "n_cells", tuple(whole(n, "n_cells") for n in numbers))
        object.__setattr__(self, "core_bp", whole(self.core_bp, "core_bp"))
        for name in ("real_fraction", "channel_dropout", "peak_fraction"):
            share(getattr(self, name), name)
        flag(self.flip, "flip")
        if not 0 <= real(self.depth_jitter, "depth_jitter") < math.inf:
            msg = f"depth_jitter is {self.depth_jitter}; expected a number from 0 on."
            raise ValueError(msg)
        low, high = self.depth_range if np.shape(self.depth_range) == (2,) else (0, 0)
        if not 0 < real(low, "depth_range") <= real(high, "depth_range"):
            msg = f"depth_range is {self.depth_range!r}; expected the smallest and the largest depth, as (1e5, 1e7)."
            raise ValueError(msg)
        one_of(self.unit, "unit", ("sites", "fragments", "cells"))
        if self.n_cells and self.unit != "cells":
            msg = f"n_cells is {self.n_cells} with unit={self.unit!r}; expected unit='cells'."
            raise ValueError(msg)


class Drawer:
    """Draw crops for one network's geometry.

    Parameters
    ----------
    samples
        Deep samples.
    geometry
        Bin size and halo (bp), the extension (bp) and the names of the extra channels, as from a model.
    rules
        How crops are drawn.
    """

    def __init__(self, samples: list[Sample], geometry: Any, rules: DrawRules) -> None:
        self.samples, self.rules = samples, rules
        self.bin_size, self.halo, self.stride = geometry.bin_size, geometry.halo, geometry.stride
        self.extend = int(geometry.card["extension"])
        self.channels = geometry.extra_channels
        self.target_depth = geometry.target_depth
        self.core = max(rules.core_bp // self.stride, 1) * self.stride
        weights = np.array([s.weight for s in samples], np.float64)
        self._weights = weights / weights.sum()
        self._regions = [[(c, int(a), int(b)) for c, rows in s.regions.items() for a, b in rows] for s in samples]
        if not all(self._regions):
            msg = "there is a sample without any region to train on"
            raise ValueError(msg)

    def random(self, rng: np.random.Generator) -> dict[str, np.ndarray]:
        """Draw a crop at a random place and depth."""
        code = self.draw_sample(rng)
        sample = self.samples[code]
        chrom, start, end = self.draw_region(rng, code)
        center = self._center(rng, sample, (chrom, start, end))
        begin = max((center - self.core // 2) // self.stride, -(self.core // self.stride) // 2) * self.stride
        noisy, depth = self._noisy(rng, sample, chrom, begin)
        # with the depth overstated, the same input stands for a signal that is lower by the same factor
        jitter = 1.0
        if self.rules.depth_jitter and rng.random() < 0.5:
            jitter = math.exp(rng.normal(0, self.rules.depth_jitter))
        crop = self.crop(sample, chrom, begin, noisy=noisy, depth=depth * jitter, exposure=jitter)
        if rng.random() < self.rules.channel_dropout:
            crop["counts"][1:] = 0
        if self.rules.flip and rng.random() < 0.5:
            crop = flipped(crop)
        return crop

    def draw_sample(self, rng: np.random.Generator) -> int:
        """Draw a sample by its weight; its position."""
        return int(rng.choice(len(self.samples), p=self._weights))

    def draw_region(self, rng: np.random.Generator, code: int) -> tuple[str, int, int]:
        """Draw a region of a sample by its length."""
        regions = self._regions[code]
        lengths = np.array([end - start for _, start, end in regions], np.float64)
        return regions[int(rng.choice(len(regions), p=lengths / lengths.sum()))]

    def at(
        self, sample: Sample, chrom: str, begin: int, *, depth: float, rng: np.random.Generator
    ) -> dict[str, np.ndarray]:
        """Crop at a given place of about a given depth; the real noisy track where that has this depth."""
        if sample.noisy is not None and sample.noisy_depth == depth:
            noisy = self._window(sample.noisy, sample.group, chrom, begin)
        else:
            noisy, depth = self._shallow(rng, sample, chrom, begin, depth)
        return self.crop(sample, chrom, begin, noisy=noisy, depth=depth, exposure=1.0)

    def with_cells(
        self, sample: Sample, chrom: str, begin: int, *, n_cells: int, rng: np.random.Generator
    ) -> dict[str, np.ndarray]:
        """Crop at a given place of a number of cells."""
        noisy, depth = self._of_cells(rng, sample, chrom, begin, n_cells)
        return self.crop(sample, chrom, begin, noisy=noisy, depth=depth, exposure=1.0)

    def numbers_of_cells(self, sample: Sample) -> list[int]:
        """Numbers of cells to draw from a sample; empty where depths are drawn."""
        if sample.cells is None:
            return []
        return sorted({min(n, max(int(sample.cells.n_cells * _SHALLOWEST), 1)) for n in self.rules.n_cells})

    def crop(
        self,
        sample: Sample,
        chrom: str,
        begin: int,
        *,
        noisy: tuple[np.ndarray, np.ndarray],
        depth: float,
        exposure: float,
    ) -> dict[str, np.ndarray]:
        """Assemble input, target, labels and mask of one crop.

        ``counts`` (n_channels, n_bins with halo), ``depth`` (), ``target`` (n_core_bins) mean signal to predict,
        ``exposure`` () by which the signal is multiplied to be compared with it, ``label`` and ``mask`` (n_core_bins).
        """
        first, n_bins = begin - self.halo, (self.core + 2 * self.halo) // self.bin_size
        reach = first, first + n_bins * self.bin_size
        counts = np.zeros((1 + len(self.channels), n_bins), np.float32)
        counts[0] = np.bincount((noisy[0] - first) // self.bin_size, weights=noisy[1], minlength=n_bins)
        for i, name in enumerate(self.channels, start=1):
            counts[i] = binned(sample.extra[name], sample.group, chrom, reach, self.bin_size)
        end = begin + self.core
        if sample.target is None:
            target = self._bins(self._coverage(sample, chrom, begin, end))
            exposure = exposure * sample.depth / self.target_depth
        else:
            target, exposure = binned(sample.target, sample.group, chrom, (begin, end), self.bin_size), 1.0
        label = painted(sample.peaks.get(chrom), begin, end)
        mask = painted(sample.regions.get(chrom), begin, end) & ~painted(sample.exclude.get(chrom), begin, end)
        return {
            "counts": counts,
            "depth": np.float32(depth),
            "target": target,
            "exposure": np.float32(exposure),
            "label": self._bins(label),
            "mask": (self._bins(mask) == 1).astype(np.float32),
        }

    def _coverage(self, sample: Sample, chrom: str, begin: int, end: int) -> np.ndarray:
        """Clean coverage per base."""
        positions, counts = sample.sites(chrom)
        near = between(positions, begin - self.extend, end + self.extend)
        # the kernel counts from the window's start, which may lie before the chromosome
        shifted = (positions[near] - begin).astype(np.int32)
        return box_coverage(shifted, counts[near], 0, end - begin, self.extend)

    def _bins(self, dense: np.ndarray) -> np.ndarray:
        """Mean per bin, float32."""
        return dense.reshape(-1, self.bin_size).mean(axis=1, dtype=np.float32)

    def _center(self, rng: np.random.Generator, sample: Sample, region: tuple[str, int, int]) -> int:
        """Centre of the next crop: anywhere in the region, or on a peak."""
        chrom, start, end = region
        if rng.random() < self.rules.peak_fraction:
            peaks = sample.peaks.get(chrom, np.empty((0, 2), np.int64))
            peaks = peaks[(peaks[:, 0] < end) & (peaks[:, 1] > start)]
            if len(peaks):
                return int(peaks[rng.integers(len(peaks))].mean())
        return int(rng.integers(start, end))

    def _noisy(
        self, rng: np.random.Generator, sample: Sample, chrom: str, begin: int
    ) -> tuple[tuple[np.ndarray, np.ndarray], float]:
        """A shallow version and its depth."""
        if sample.noisy is not None and rng.random() < self.rules.real_fraction:
            return self._window(sample.noisy, sample.group, chrom, begin), float(sample.noisy_depth)
        numbers = self.numbers_of_cells(sample)
        if numbers:
            return self._of_cells(rng, sample, chrom, begin, int(rng.choice(numbers)))
        low, high = self.rules.depth_range
        high = max(min(high, sample.depth * _SHALLOWEST), low)
        return self._shallow(rng, sample, chrom, begin, math.exp(rng.uniform(math.log(low), math.log(high))))

    def _shallow(
        self, rng: np.random.Generator, sample: Sample, chrom: str, begin: int, depth: float
    ) -> tuple[tuple[np.ndarray, np.ndarray], float]:
        """A version of about a depth, and its exact depth."""
        if sample.cells is None or self.rules.unit == "sites":
            return self._thinned(rng, sample, chrom, begin, depth), depth
        share = min(depth / sample.depth, 1.0)
        if self.rules.unit == "fragments":
            return sample.cells.of_fragments(rng, chrom, self._span(begin), share), depth
        return self._of_cells(rng, sample, chrom, begin, max(round(sample.cells.n_cells * share), 1))

    def _of_cells(
        self, rng: np.random.Generator, sample: Sample, chrom: str, begin: int, n: int
    ) -> tuple[tuple[np.ndarray, np.ndarray], float]:
        """The cut sites of so many cells, and their depth."""
        positions, counts, share = sample.cells.of_cells(rng, chrom, self._span(begin), n)
        return (positions, counts), max(sample.depth * share, 1.0)

    def _thinned(
        self, rng: np.random.Generator, sample: Sample, chrom: str, begin: int, depth: float
    ) -> tuple[np.ndarray, np.ndarray]:
        """Keep every clean cut site with the probability that gives the depth."""
        positions, counts = self._window(sample.clean, sample.group, chrom, begin)
        return positions, rng.binomial(counts.astype(np.int64), min(depth / sample.depth, 1.0))

    def _window(self, tracks: Tracks, group: str, chrom: str, begin: int) -> tuple[np.ndarray, np.ndarray]:
        """Cut sites of a crop, halo included."""
        positions, _, counts = tracks.runs(group, chrom)
        within = between(positions, *self._span(begin))
        return positions[within], counts[within]

    def _span(self, begin: int) -> tuple[int, int]:
        """First and last base + 1 of a crop with its halo."""
        return begin - self.halo, begin + self.core + self.halo

    def tiles(self) -> list[tuple[int, str, int]]:
        """Sample, chromosome and start of every crop of a tiling of the regions, in which each base lies once."""
        found: list[tuple[int, str, int]] = []
        for code, regions in enumerate(self._regions):
            for chrom, start, end in regions:
                first = start // self.stride * self.stride
                if found and found[-1][:2] == (code, chrom):  # its crop may reach over regions to come
                    first = max(first, found[-1][2] + self.core)
                found += [(code, chrom, begin) for begin in range(first, end, self.core)]
        return found


def _meet(a: np.ndarray, b: np.ndarray) -> bool:
    """Whether any two of two sets of sorted, disjoint intervals overlap."""
    first = np.searchsorted(b[:, 1], a[:, 0], side="right")
    return bool((first < np.searchsorted(b[:, 0], a[:, 1], side="left")).any())


def flipped(crop: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    """Return a crop read from right to left."""
    return {key: value[..., ::-1].copy() if np.ndim(value) else value for key, value in crop.items()}


def depth_of(n_sites: float, territory_bp: float) -> float:
    """Cut sites per 3.1e9 bp, the depth that all models are told.

    Parameters
    ----------
    n_sites
        Number of cut sites.
    territory_bp
        Bases that they were drawn from.

    Returns
    -------
    The depth.
    """
    return float(n_sites) * REFERENCE_BP / float(territory_bp)
