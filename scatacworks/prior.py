"""`Prior`: where other samples are accessible, and how well each of them explains a group's cut sites."""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from scatacworks._arguments import share
from scatacworks._core import prior as kernels
from scatacworks._core.runs import highest_in_bins
from scatacworks._files import atomic_path
from scatacworks._text import counted, listed
from scatacworks.tracks import Tracks

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from os import PathLike

    from scatacworks._core.prior import Segments
    from scatacworks.genome import Genome
    from scatacworks.models.base import Model

__all__ = ["Guidance", "Prior"]

CHANNELS = ("flat", "matched", "any", "size", "explained", "weight")
"""Channels of a prior per bin, which a network's guide reads.

Square root of the fraction of the prior's samples with an element there; the same with samples weighted by how well
they explain the cut sites of the group; 1 where any has one; log10 of the number of samples, halved; the share of the
group's cut sites that the samples so weighted explain; and the weight of the correction.
"""

N_MAPS = 3
"""How many of them vary along the genome; they come first."""

SELF = "self"  # in the place of a prior: that of the other groups
NOTE = "prior.json"  # what is written beside the tracks of a stored prior
UNMATCHED = 0.3  # share of cut sites that rows are said to explain where they are not weighed
_KEPT = 4  # chromosomes whose segments are kept
_MANY = 125  # samples beyond which more tell the network nothing
_TRUSTED = (0.05, 0.15)  # explained shares between which the correction fades in


def require_guide(model: Model, weight: float) -> None:
    """Refuse a model that cannot use a prior, and a weight of it (`prior_weight`) out of range."""
    if not model.has_guide:
        msg = (
            f"The model {model.card['name']!r} has no guide, so it cannot use a prior; take a bundled model that has "
            "one, teach it (models.guide_training.fit_guide), or prior=None."
        )
        raise ValueError(msg)
    share(weight, "prior_weight")


class Prior:
    """Where samples other than the one at hand are accessible.

    A prior has rows, each a step function along the genome. Usually a row is a sample and its value 1 in the sample's
    elements; where only a table of elements is known, a row is a class of elements (such as a component of the
    vocabulary) and its value the fraction of `n_samples` samples that have the element.

    Made by :func:`~scatacworks.tl.prior`; used by :func:`~scatacworks.tl.denoise`.

    Parameters
    ----------
    tracks
        The rows: one group each, values in (0, 1], fill 0.
    n_samples
        Number of samples behind fractions; `None` where every row is a sample.
    provenance
        Where the rows come from; values that JSON can hold.

    Raises
    ------
    ValueError
        If there is no row, a value is not in (0, 1], or the fill is not 0.

    Examples
    --------
    >>> import numpy as np, scatacworks as sca
    >>> genome = sca.Genome({"chr1": 1000})
    >>> one, two = ((np.array([start]), np.array([100]), np.ones(1, np.float32)) for start in (200, 250))
    >>> prior = sca.Prior(sca.Tracks.from_chromosomes(["liver", "lung"], genome, [("chr1", [one, two])]))
    >>> prior.n_samples, prior.fraction("chr1", 248, 252).tolist()
    (2, [0.5, 0.5, 1.0, 1.0])
    >>> prior.exclude(["lung"]).rows.tolist()
    ['liver']
    """

    def __init__(
        self, tracks: Tracks, *, n_samples: int | None = None, provenance: Mapping[str, Any] | None = None
    ) -> None:
        self.tracks = tracks
        self.pooled = n_samples is not None
        self.n_samples = len(tracks.groups) if n_samples is None else int(n_samples)
        self.provenance = dict(provenance or {})
        if len(tracks.groups) == 0 or self.n_samples < 1:
            msg = "A prior needs at least one sample."
            raise ValueError(msg)
        if np.any(tracks.fill != 0):
            msg = "A prior is 0 where a row has no run; these tracks are not (fill), as denoised ones. Give peaks."
            raise ValueError(msg)
        values = np.asarray(tracks.values[:])
        if len(values) and not (values.min() > 0 and values.max() <= 1):
            msg = f"Values of a prior lie in (0, 1]; got {values.min():g} to {values.max():g}."
            raise ValueError(msg)
        self._segments: dict[int, Segments] = {}  # of the chromosomes asked for last

    def __repr__(self) -> str:
        return f"Prior({counted(self.n_samples, 'sample')} in {counted(len(self.rows), 'row')}, {self.genome!r})"

    @property
    def rows(self) -> np.ndarray:
        """Names of the rows, `(n_rows,)`."""
        return self.tracks.groups

    @property
    def genome(self) -> Genome:
        """The genome of the positions."""
        return self.tracks.genome

    @property
    def digest(self) -> str:
        """Hash of everything that decides what the prior does: sixteen hexadecimal digits."""
        content = hashlib.sha256(json.dumps([list(self.rows), self.genome.sizes, self.n_samples, self.pooled]).encode())
        lengths = 1 if self.tracks.lengths is None else self.tracks.lengths[:]
        lengths = np.broadcast_to(np.asarray(lengths, np.int32), (self.tracks.n_runs,))
        for array in (self.tracks.indptr, self.tracks.starts[:], lengths, self.tracks.values[:]):
            content.update(np.ascontiguousarray(array).tobytes())
        return content.hexdigest()[:16]

    def exclude(self, names: Sequence[str] | str) -> Prior:
        """Return a prior without some rows.

        Parameters
        ----------
        names
            Names of rows.

        Raises
        ------
        KeyError
            If there is no row of one of these names; those are listed.
        ValueError
            If nothing is left.
        """
        names = [names] if isinstance(names, str) else [str(name) for name in names]
        unknown = sorted(set(names) - set(self.rows))
        if unknown:
            msg = f"The prior has no row {', '.join(map(repr, unknown))} to exclude; it has {listed(self.rows)}."
            raise KeyError(msg)
        kept = [name for name in self.rows if name not in names]
        if not kept:
            msg = f"Nothing is left of the prior without {listed(names)}."
            raise ValueError(msg)
        left_out = [*self.provenance.get("excluded", []), *names]
        n_samples = self.n_samples if self.pooled else None
        return Prior(self.tracks.select(kept), n_samples=n_samples, provenance=self.provenance | {"excluded": left_out})

    def fraction(self, chrom: str, start: int, end: int) -> np.ndarray:
        """Return the fraction of samples with an element at each base of `[start, end)`; float32, `(end - start,)`."""
        total = np.zeros(end - start, np.float32)
        for row in range(len(self.rows)):
            total += self.tracks.window(row, chrom, start, end)
        return np.minimum(total if self.pooled else total / self.n_samples, 1)

    def highest(self, chrom: str, start: int, end: int, width: int) -> np.ndarray:
        """Return the highest :meth:`fraction` in every bin of `width` bp of `[start, end)`; float32."""
        starts, lengths, values = self.tracks.sum_runs(range(len(self.rows)), chrom)
        lengths = np.ones(1, np.int32) if lengths is None else lengths
        total = highest_in_bins(starts, lengths, values, start, end, 0.0, width)
        return np.minimum(total if self.pooled else total / self.n_samples, 1)

    def segments(self, chrom: int) -> Segments:
        """Return the stretches of a chromosome (code) with a constant set of rows."""
        found = self._segments.pop(int(chrom), None) or self._make_segments(int(chrom))
        self._segments[int(chrom)] = found
        if len(self._segments) > _KEPT:
            self._segments.pop(next(iter(self._segments)), None)
        return found

    def _make_segments(self, chrom: int) -> Segments:
        parts = [self.tracks.runs(row, chrom) for row in range(len(self.rows))]
        starts, values = (np.concatenate([part[i] for part in parts]) for i in (0, 2))
        lengths = 1 if self.tracks.lengths is None else np.concatenate([part[1] for part in parts])
        rows = np.repeat(np.arange(len(parts)), [len(part[0]) for part in parts])
        ends = starts.astype(np.int64) + lengths
        return kernels.make_segments(starts, ends, rows, values, int(self.genome.lengths[chrom]))

    def covers(self, chrom: int) -> bool:
        """Tell whether any row has an element on a chromosome (code)."""
        n = len(self.rows)
        return bool(self.tracks.indptr[chrom * n] < self.tracks.indptr[(chrom + 1) * n])

    def to_dict(self) -> dict[str, Any]:
        """Return everything as a dict that AnnData writes unchanged (to `.uns`); read by :meth:`from_dict`."""
        return {"tracks": self.tracks.to_dict(), "note": json.dumps(self._note())}

    @classmethod
    def from_dict(cls, stored: Mapping[str, Any]) -> Prior:
        """Return the prior kept by :meth:`to_dict`."""
        return cls(Tracks.from_dict(stored["tracks"]), **json.loads(str(stored["note"])))

    def to_zarr(self, path: str | PathLike[str]) -> None:
        """Write a zarr store (a folder); it appears whole or not at all.

        Raises
        ------
        FileExistsError, NotADirectoryError
            If `path` is a folder with anything else than such a store, which is replaced, or a file.
        """
        with atomic_path(path, holds=NOTE) as aside:
            self.tracks.to_zarr(aside)
            (aside / NOTE).write_text(json.dumps(self._note()), encoding="utf-8")

    @classmethod
    def from_zarr(cls, path: str | PathLike[str]) -> Prior:
        """Open a store of :meth:`to_zarr`.

        Raises
        ------
        FileNotFoundError
            If there is no such store.
        """
        note = Path(path) / NOTE
        if not note.is_file():
            msg = f"There is no prior at {path}; expected a folder written by Prior.to_zarr."
            raise FileNotFoundError(msg)
        return cls(Tracks.from_zarr(path), **json.loads(note.read_text(encoding="utf-8")))

    def _note(self) -> dict[str, Any]:
        return {"n_samples": self.n_samples if self.pooled else None, "provenance": self.provenance}


@dataclass(frozen=True)
class Guidance:
    """A prior as every group sees it.

    Attributes
    ----------
    prior
        The prior, on the genome of the groups.
    weights
        Weight of every row for every group, mean 1 over the rows used, 0 for the others; float64, `(n_groups, n_rows)`.
    explained
        Share of every group's cut sites that the rows so weighted explain, or what the network is told where they are
        not weighed; float64, `(n_groups,)`.
    strength
        Weight of the correction, 0 to 1.
    """

    prior: Prior
    weights: np.ndarray
    explained: np.ndarray
    strength: float = 1.0

    @classmethod
    def make(
        cls,
        prior: Prior,
        cut_sites: Tracks,
        *,
        groups: Sequence[str] | None = None,
        use: np.ndarray | None = None,
        strength: float = 1.0,
        match: bool = True,
    ) -> Guidance:
        """Weigh the rows of a prior for `groups` (all by default); `use` (n_groups, n_rows) leaves some out.

        Where cut sites are measured is told by those of all groups, so that none depends on which others are wanted.
        Without `match` all rows weigh the same, and every group is told the same of the prior.
        """
        codes = [cut_sites.group_code(name) for name in (cut_sites.groups if groups is None else groups)]
        use = np.ones((len(codes), len(prior.rows)), bool) if use is None else use
        if not match:
            return cls(prior, use.astype(np.float64), np.full(len(codes), UNMATCHED), float(strength))
        found = _Evidence(prior, cut_sites, codes, use)
        rates, explained = zip(*map(found.match, range(len(codes))), strict=True)
        weights = np.array(rates) * (use.sum(1) / np.sum(rates, axis=1))[:, None]
        return cls(prior, weights, np.array(explained), float(strength))

    def size(self, group: int) -> int:
        """Return how many samples are in a group's prior."""
        return self.prior.n_samples if self.prior.pooled else int((self.weights[group] > 0).sum())

    def select(self, groups: Sequence[int] | np.ndarray) -> Guidance:
        """Return the guidance of some groups."""
        kept = np.asarray(groups)
        return Guidance(self.prior, self.weights[kept], self.explained[kept], self.strength)

    def trust(self, group: int) -> float:
        """Return how far a prior that explains so little of a group's cut sites is used, 0 to 1.

        Priors of the wrong place, species or assembly explain 0.1 to 9 % by chance, one related sample 10 %, ten 40 %.
        """
        low, high = _TRUSTED
        return float(np.clip((self.explained[group] - low) / (high - low), 0, 1))

    def channels(self, group: int, chrom: int) -> tuple[np.ndarray, np.ndarray]:
        """Return the first bases of steps (int64), and :data:`CHANNELS` of each (float32, `(n_steps, 6)`)."""
        segments, weights = self.prior.segments(chrom), self.weights[group]
        scale = 1.0 if self.prior.pooled else 1.0 / self.size(group)
        flat = np.minimum(kernels.weighted_sums(*segments[1:], (weights > 0) * scale), 1)
        if not flat.any():  # no row that is used has an element on the chromosome
            return np.zeros(1, np.int64), np.zeros((1, len(CHANNELS)), np.float32)
        matched = np.minimum(kernels.weighted_sums(*segments[1:], weights * scale), 1)
        out = np.zeros((len(segments.bounds), len(CHANNELS)), np.float32)
        out[:-1, 0], out[:-1, 1], out[:-1, 2] = np.sqrt(flat), np.sqrt(matched), flat > 0
        out[:, 3] = np.log10(min(self.size(group), _MANY)) / 2
        out[:, 4:] = self.explained[group], self.strength * self.trust(group)
        return segments.bounds, out


class _Evidence:
    """What the cut sites of groups say about the rows of a prior: the segments with cut sites, and totals of all."""

    def __init__(self, prior: Prior, cut_sites: Tracks, codes: list[int], use: np.ndarray) -> None:
        nothing = (np.empty(0, np.int64), np.empty(0, np.int32), np.empty(0, np.float32), np.empty(0))
        n_groups, n_rows = use.shape
        self.use = use
        # of each group and chromosome: rows per segment, rows, values, cut sites
        self.parts: list[list[tuple[np.ndarray, ...]]] = [[nothing] for _ in range(n_groups)]
        self.exposure = np.zeros(n_rows)
        self.empty = np.zeros(n_groups)  # cut sites where no row is that the group uses
        self.empty_bp, self.covered_bp = np.zeros(n_groups), np.zeros(n_groups)
        for chrom, (_, runs) in enumerate(cut_sites.chromosomes()):
            if prior.covers(chrom) and cut_sites.genome.nuclear[chrom]:
                self._add(prior.segments(chrom), runs, codes, int(cut_sites.genome.lengths[chrom]))

    def _add(self, segments: Segments, runs: list, codes: list[int], size: int) -> None:
        occupied = np.zeros(size // kernels.TILE_BP + 1, bool)
        for starts, _, _ in runs:
            occupied[starts // kernels.TILE_BP] = True
        lengths = kernels.measured_lengths(segments.bounds, occupied)
        self.exposure += kernels.row_exposure(segments, lengths, len(self.exposure))
        without_any = np.diff(segments.indptr) == 0
        for group, (starts, _, values) in enumerate(runs[code] for code in codes):
            used = self.use[group]
            gaps = without_any if used.all() else kernels.weighted_sums(*segments[1:], used.astype(np.float64)) == 0
            if gaps.all():
                continue
            self.empty_bp[group] += lengths[gaps].sum()
            self.covered_bp[group] += lengths[~gaps].sum()
            counts = kernels.site_counts(segments.bounds, starts, values)
            self.empty[group] += counts[gaps].sum()
            kept = np.flatnonzero((counts > 0) & ~gaps)
            pointers, rows, fractions = kernels.keep_segments(segments, kept)
            self.parts[group].append((np.diff(pointers), rows, fractions, counts[kept]))

    def match(self, group: int) -> tuple[np.ndarray, float]:
        """Return the rates of the rows for one group, 0 for those not used, and what they explain of its cut sites."""
        sizes, rows, values, counts = (np.concatenate(column) for column in zip(*self.parts[group], strict=True))
        pointers, use = np.concatenate([[0], np.cumsum(sizes)]), self.use[group]
        background = max(self.empty[group] / max(self.empty_bp[group], 1.0), 1e-12)
        exposure, values = self.exposure * use, values * use[rows]
        start = max((counts.sum() - background * self.covered_bp[group]) / max(exposure.sum(), 1.0), 1e-12)
        segments = (pointers, rows, values)
        rates = use * kernels.match_rows(*segments, counts, exposure, background, start)
        mean = kernels.weighted_sums(*segments, rates)
        total = counts.sum() + self.empty[group]
        return rates, float((counts * mean / (mean + background)).sum() / total) if total else 0.0
