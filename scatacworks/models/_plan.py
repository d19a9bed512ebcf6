"""What to compute: units of (chromosomes x groups) that share nothing, and the windows of a unit."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from scatacworks._core import windows
from scatacworks._core.prior import fill_steps
from scatacworks.models._extra import binned

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from scatacworks.genome import Genome
    from scatacworks.models.base import Model
    from scatacworks.prior import Guidance
    from scatacworks.tracks import Runs, Tracks

Regions = Mapping[int, np.ndarray]
"""Chromosome code -> sorted, disjoint intervals (n, 2), 0-based and half-open."""

UNIT_BP = 256_000_000  # bases x groups of a unit: bounds the memory for its runs


class Unit(NamedTuple):
    """Neighbouring chromosomes (codes) and groups (positions), computed and stored together."""

    chroms: tuple[int, ...]
    groups: tuple[int, ...]


def make_units(genome: Genome, n_groups: int, *, regions: Regions | None = None, unit_bp: int = UNIT_BP) -> list[Unit]:
    """Divide the work: small chromosomes together, the groups of large ones apart; genome order, then group order.

    Without `regions` that is the nuclear genome.
    """
    sizes = computed_bp(genome, regions)
    blocks: list[list[int]] = []
    filled = np.inf
    for code in np.flatnonzero(sizes).tolist():
        if filled + sizes[code] > unit_bp:
            blocks.append([])
            filled = 0
        blocks[-1].append(code)
        filled += sizes[code]
    units = []
    for block in blocks:
        step = int(max(1, unit_bp // sizes[block].sum()))
        units += [Unit(tuple(block), tuple(range(g, min(g + step, n_groups)))) for g in range(0, n_groups, step)]
    return units


def computed_bp(genome: Genome, regions: Regions | None) -> np.ndarray:
    """Return how many bases of each chromosome are computed: those of regions, or the nuclear genome's; int64."""
    if regions is None:
        return np.where(genome.nuclear, genome.lengths, 0)
    return np.array([np.diff(regions[code]).sum() if code in regions else 0 for code in range(len(genome))], np.int64)


class GroupTape(NamedTuple):
    """Cut sites of one group on the chromosomes of a unit, and the tape to compute."""

    group: int
    tape: windows.Tape
    chrom_index: np.ndarray  # position of an interval's chromosome in `site_pointer`
    site_pointer: np.ndarray
    sites: np.ndarray
    counts: np.ndarray
    prior: tuple[np.ndarray, ...] | None = None  # of every chromosome: pointers to steps, their starts, their channels

    def fill_prior(self, out: np.ndarray, first: int, bin_size: int) -> None:
        """Write the channels of the prior on the tape from `first` on to `out` (n_channels, n_bins)."""
        pointer, steps, values = self.prior
        tape = self.tape
        fill_steps(out, first, bin_size, tape.tape, tape.start, tape.end, pointer, self.chrom_index, steps, values)

    def fill_extra(
        self, out: np.ndarray, first: int, bin_size: int, extra: Sequence[Tracks], group: str, *, genome: Genome
    ) -> None:
        """Write the binned values of tracks, those of a group, from `first` on to `out` (n_tracks, n_bins).

        `genome` is that of the tape; the tracks may have its chromosomes in another order.
        """
        out[:] = 0
        tape, last = self.tape, first + out.shape[1] * bin_size
        for i in range(max(int(np.searchsorted(tape.tape, first, side="right")) - 1, 0), len(tape.tape)):
            shift = int(tape.tape[i] - tape.start[i])  # tape position = genome position + shift
            low, high = max(int(tape.start[i]), first - shift), min(int(tape.end[i]), last - shift)
            if low >= high:
                break
            own = slice((low + shift - first) // bin_size, (high + shift - first) // bin_size)
            for channel, tracks in enumerate(extra):
                out[channel, own] = binned(tracks, group, genome.chroms[tape.chrom[i]], (low, high), bin_size)

    def fill(self, out: np.ndarray, first: int, bin_size: int) -> None:
        """Write the binned cut sites of the tape from `first` on to `out` (n_bins,)."""
        windows.fill_counts(out, first, bin_size, *self.placed_sites)

    @property
    def placed_sites(self) -> tuple[np.ndarray, ...]:
        """The tape and its cut sites, as kernels take them."""
        tape = self.tape
        return tape.tape, tape.start, tape.end, self.site_pointer, self.chrom_index, self.sites, self.counts


Window = tuple[GroupTape, int]
"""A tape, and where on it the core begins."""


def make_group_tape(
    cut_sites: Tracks,
    unit: Unit,
    group: int,
    model: Model,
    *,
    regions: Regions | None,
    skip: bool,
    guidance: Guidance | None = None,
) -> GroupTape:
    """Gather one group's cut sites on a unit's chromosomes and find what is active."""
    runs = [cut_sites.runs(group, chrom) for chrom in unit.chroms]
    pieces = []
    for chrom, (starts, _, _) in zip(unit.chroms, runs, strict=True):
        wanted = None if regions is None else regions[chrom]
        size = int(cut_sites.genome.lengths[chrom])
        pieces.append(
            (chrom, windows.active_intervals(starts, size, model.halo, model.stride, regions=wanted, skip=skip))
        )
    return fill_tape(windows.make_tape(pieces), runs, unit, group, guidance)


def fill_tape(
    tape: windows.Tape, runs: Sequence[Runs], unit: Unit, group: int, guidance: Guidance | None = None
) -> GroupTape:
    """Lay one group's cut sites, one element of `runs` per chromosome of the unit, on a tape."""
    pointer = np.concatenate([[0], np.cumsum([len(starts) for starts, _, _ in runs])]).astype(np.int64)
    index = np.searchsorted(unit.chroms, tape.chrom)
    sites = np.concatenate([starts for starts, _, _ in runs])
    counts = np.concatenate([values for _, _, values in runs]).astype(np.float32)
    prior = None if guidance is None else _prior_steps(guidance, unit, group)
    return GroupTape(group, tape, index, pointer, sites, counts, prior)


def _prior_steps(guidance: Guidance, unit: Unit, group: int) -> tuple[np.ndarray, ...]:
    """Gather the steps of a group's prior on a unit's chromosomes."""
    parts = [guidance.channels(group, chrom) for chrom in unit.chroms]
    pointer = np.concatenate([[0], np.cumsum([len(steps) for steps, _ in parts])]).astype(np.int64)
    return pointer, *(np.concatenate(column) for column in zip(*parts, strict=True))


def batches(tapes: list[GroupTape], core: int, batch_size: int) -> Iterator[list[Window]]:
    """Pack the windows of all groups into full batches."""
    batch: list[Window] = []
    for tape in tapes:
        for first in windows.window_starts(tape.tape, core).tolist():
            batch.append((tape, first))
            if len(batch) == batch_size:
                yield batch
                batch = []
    if batch:
        yield batch


def list_sites(batch: list[Window], model: Model, n_bins: int) -> tuple[np.ndarray, np.ndarray]:
    """Return the cut sites of windows: bins, counted through all windows (int64, may repeat), and counts (float32)."""
    found = []
    for i, (tape, first) in enumerate(batch):
        bins, counts = windows.list_sites(first - model.halo, n_bins, model.bin_size, *tape.placed_sites)
        found.append((bins + i * n_bins, counts))
    return tuple(np.concatenate(column) for column in zip(*found, strict=True))


def list_stretches(batch: list[Window], core: int) -> tuple[tuple[np.ndarray, ...], np.ndarray]:
    """Return the wanted bases of windows.

    Returns
    -------
    stretches
        Begin and end, in bases counted through all cores, and first base in the genome; int64 `(n_stretches,)` each.
    owners
        Chromosome code and group of each; int64 `(n_stretches, 2)`.
    """
    rows, owners = [], []
    for i, (group, first) in enumerate(batch):
        tape = group.tape
        found = windows.list_stretches(first, core, tape.tape, tape.start, tape.low, tape.high)
        found[:, :2] += i * core
        rows.append(found)
        owners.append(np.column_stack([tape.chrom[found[:, 3]], np.full(len(found), group.group)]))
    low, high, base, _ = np.concatenate(rows).T.copy()
    return (low, high, base), np.concatenate(owners)
