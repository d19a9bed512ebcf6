"""`Tracks`: the one container of group-level signal, and the only code that knows its form in `.uns` and in zarr."""

from __future__ import annotations

from bisect import bisect_left
from typing import TYPE_CHECKING, Any

import numpy as np

from scatacworks._core import runs as kernels
from scatacworks._core.chunked import Chunked
from scatacworks._core.growing import GrowingRuns
from scatacworks._files import atomic_path
from scatacworks._groups import chosen_groups, group_name, group_names
from scatacworks._stores import open_store
from scatacworks._text import counted
from scatacworks.genome import Genome

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence
    from os import PathLike

    import zarr

    from scatacworks._stores import Stored

__all__ = ["Runs", "Tracks"]

Runs = tuple[np.ndarray, "np.ndarray | None", np.ndarray]
"""Starts (int32), lengths (int32, or `None` where all are 1) and values of one group on one chromosome."""

_CHUNK = 1 << 20  # runs in a chunk of a zarr store
_PART = 4 * _CHUNK  # runs that wait to be written together
_ONE = np.ones(1, np.int32)


class Tracks:
    """One step function per group and chromosome, stored as runs of equal value.

    Cut-site counts (every run one base long) and denoised values (runs of some bases) take the same form. The runs of
    group `g` on chromosome `c` are `starts[p:q]`, `lengths[p:q]`, `values[p:q]` with `p, q = indptr[s:s + 2]` and
    `s = c * n_groups + g`; they are sorted and do not overlap. Bases without a run have the value `fill`.

    Parameters
    ----------
    groups
        Names of the groups, `(n_groups,)`.
    genome
        The :class:`~scatacworks.Genome` of the positions.
    indptr
        int64, `(n_chroms * n_groups + 1,)`.
    starts
        First base of every run, 0-based; int32, `(n_runs,)`. A numpy array or one on disk, as are the next two.
    lengths
        Bases in every run; int32, `(n_runs,)`, or `None` where every run is one base long.
    values
        Value of every run; any number type, `(n_runs,)`.
    fill
        Value of the bases without a run: one number, or one per group.

    Raises
    ------
    ValueError
        If the arrays do not fit each other, or group names repeat.

    Examples
    --------
    >>> import numpy as np, scatacworks as sca
    >>> genome = sca.Genome({"chr1": 100, "chr2": 50})
    >>> runs = (np.array([10, 20], np.int32), None, np.array([1, 3], np.uint16))
    >>> tracks = sca.Tracks.from_chromosomes(["B"], genome, [("chr1", [runs])])
    >>> tracks.window("B", "chr1", 8, 13)
    array([0., 0., 1., 0., 0.], dtype=float32)
    >>> tracks.sums()
    array([4.])
    """

    def __init__(
        self,
        groups: Sequence[str] | np.ndarray,
        genome: Genome,
        *,
        indptr: np.ndarray,
        starts: Any,
        lengths: Any | None,
        values: Any,
        fill: float | np.ndarray = 0.0,
    ) -> None:
        self.groups = np.asarray(groups, dtype=object).astype(str).astype(object)
        self.genome = genome
        self.indptr = np.asarray(indptr, np.int64)
        self.starts, self.lengths, self.values = starts, lengths, values
        self.fill = np.asarray(fill, np.float64)
        if self.fill.shape not in ((), self.groups.shape):
            msg = f"fill has the shape {self.fill.shape}; expected one number, or {len(self.groups)}, one per group."
            raise ValueError(msg)
        self.fill = np.broadcast_to(self.fill, self.groups.shape)
        self._group_codes = {name: code for code, name in enumerate(self.groups)}
        self._check()

    def _check(self) -> None:
        if len(self._group_codes) != len(self.groups):
            repeated = sorted({name for name in self.groups if (self.groups == name).sum() > 1})
            msg = f"Group names must be unique; repeated: {', '.join(repeated)}."
            raise ValueError(msg)
        if len(self.indptr) != len(self.genome) * len(self.groups) + 1 or self.indptr[-1] != self.starts.shape[0]:
            msg = (
                f"indptr has {len(self.indptr)} entries ending at {self.indptr[-1]}; expected {len(self.genome)} "
                f"chromosomes x {len(self.groups)} groups + 1, ending at {self.starts.shape[0]} runs."
            )
            raise ValueError(msg)
        if self.indptr[0] != 0 or (np.diff(self.indptr) < 0).any():
            msg = "indptr does not count up from 0: the tracks are damaged. Run the step that wrote them again."
            raise ValueError(msg)
        parts = {"starts": self.starts, "values": self.values, "lengths": self.lengths}
        for name, array in parts.items():
            if array is None:
                continue
            kinds = "iu" if name != "values" else "iufb"
            if array.shape != (self.n_runs,) or array.dtype.kind not in kinds:
                msg = (
                    f"{name} is an array of {array.dtype} of the shape {array.shape}; expected "
                    f"{'numbers' if name == 'values' else 'whole numbers'}, ({self.n_runs},). The tracks are damaged."
                )
                raise ValueError(msg)

    def __repr__(self) -> str:
        return f"Tracks({counted(len(self.groups), 'group')}, {self.genome!r}, {counted(self.n_runs, 'run')})"

    @property
    def n_runs(self) -> int:
        """Number of runs of all groups and chromosomes."""
        return int(self.indptr[-1])

    def group_code(self, group: str) -> int:
        """Return the position of a group.

        Raises
        ------
        KeyError
            If there is no such group; the names there are given.
        """
        code = self._group_codes.get(group_name(group))
        if code is None:
            shown = ", ".join(map(repr, self.groups[:8])) + (", …" if len(self.groups) > 8 else "")
            msg = f"There is no group {group!r}; the groups are {shown}."
            raise KeyError(msg)
        return code

    def _slot(self, group: str | int, chrom: str | int) -> tuple[int, int, int, int]:
        """Return the bounds of the runs of one group on one chromosome, and the codes of the two."""
        group = int(group) if isinstance(group, int | np.integer) else self.group_code(group)
        chrom = int(chrom) if isinstance(chrom, int | np.integer) else self.genome.code(chrom)
        slot = chrom * len(self.groups) + group
        return int(self.indptr[slot]), int(self.indptr[slot + 1]), group, chrom

    def runs(self, group: str | int, chrom: str | int) -> Runs:
        """Return starts, lengths and values of one group (name or position) on one chromosome (name or code).

        Raises
        ------
        ValueError
            If they are damaged: not in order, or not within the chromosome.
        """
        low, high, group, chrom = self._slot(group, chrom)
        lengths = None if self.lengths is None else np.asarray(self.lengths[low:high])
        starts = np.asarray(self.starts[low:high])
        # what follows counts on it, and compiled code looks at no bounds
        if not kernels.are_in_order(starts, _ONE if lengths is None else lengths, self.genome.lengths[chrom]):
            msg = (
                f"The tracks are damaged: the runs of {self.groups[group]!r} on {self.genome.chroms[chrom]} are not in "
                "order within the chromosome. Run the step that wrote them again."
            )
            raise ValueError(msg)
        return starts, lengths, np.asarray(self.values[low:high])

    def window(self, group: str | int, chrom: str | int, start: int, end: int) -> np.ndarray:
        """Return the value of every base of `[start, end)`; float32, `(end - start,)`.

        The window may reach over the ends of the chromosome, where the value is `fill`.
        """
        starts, lengths, values, fill = self._touching(group, chrom, start, end)
        out = np.empty(end - start, np.float32)
        kernels.fill_window(starts, lengths, values, start, fill, out)
        return out

    def highest(self, group: str | int, chrom: str | int, start: int, end: int, width: int) -> np.ndarray:
        """Return the highest value in every bin of `width` bp of `[start, end)`, NaN where none is known; float32.

        What :meth:`window` gives is not made for it: a whole chromosome takes as long as its runs.
        """
        starts, lengths, values, fill = self._touching(group, chrom, start, end)
        return kernels.highest_in_bins(starts, lengths, values, start, end, fill, width)

    def sites(self, group: str | int, chrom: str | int, start: int, end: int) -> tuple[np.ndarray, np.ndarray]:
        """Return starts and values of the runs that begin in `[start, end)`; for cut sites, all those in the window."""
        low, high, *_ = self._slot(group, chrom)
        low = bisect_left(self.starts, start, low, high)
        high = bisect_left(self.starts, end, low, high)
        return np.asarray(self.starts[low:high]), np.asarray(self.values[low:high])

    def _touching(
        self, group: str | int, chrom: str | int, start: int, end: int
    ) -> tuple[np.ndarray, np.ndarray, np.ndarray, float]:
        """Return starts, lengths (one element if all are 1), values of the runs that can touch a window, and fill."""
        low, high, group, _ = self._slot(group, chrom)
        first = bisect_left(self.starts, start, low, high)
        high = bisect_left(self.starts, end, first, high)
        low = max(low, first - (self.lengths is not None))  # the run before may reach in
        lengths = _ONE if self.lengths is None else np.asarray(self.lengths[low:high])
        starts, values = np.asarray(self.starts[low:high]), np.asarray(self.values[low:high])
        return starts, lengths, values, float(self.fill[group])

    def sums(self, chrom: str | int | None = None) -> np.ndarray:
        """Return the sum of the runs' values over all bases (of one chromosome); float64, `(n_groups,)`.

        For cut sites, the number of cut sites; bases without a run, or that are not known (NaN), are left out.
        """
        chroms = range(len(self.genome)) if chrom is None else [chrom]
        totals = np.zeros(len(self.groups))
        for code in chroms:
            for group in range(len(self.groups)):
                _, lengths, values = self.runs(group, code)
                totals[group] += np.nansum(values if lengths is None else lengths * values, dtype=np.float64)
        return totals

    def chromosomes(self) -> Iterator[tuple[str, list[Runs]]]:
        """Yield every chromosome's name and the runs of all groups on it."""
        for chrom in self.genome.chroms:
            yield chrom, [self.runs(group, chrom) for group in range(len(self.groups))]

    def select(self, groups: Sequence[str]) -> Tracks:
        """Return the tracks of these groups, in this order."""
        codes = [self.group_code(group) for group in group_names(groups)]
        chromosomes = ((chrom, [self.runs(code, chrom) for code in codes]) for chrom in self.genome.chroms)
        return Tracks.from_chromosomes(self.groups[codes], self.genome, chromosomes, fill=self.fill[codes])

    def sum_groups(self, groups: Sequence[str] | None = None, *, name: str = "sum") -> Tracks:
        """Return one track, the sum over groups (all by default); bases without a run count as zero."""
        codes = [self.group_code(group) for group in chosen_groups(groups, self.groups)]
        chromosomes = ((chrom, [self.sum_runs(codes, chrom)]) for chrom in self.genome.chroms)
        return Tracks.from_chromosomes([name], self.genome, chromosomes)

    def sum_runs(self, codes: Iterable[int], chrom: str | int) -> Runs:
        """Return the runs of the sum over groups (by position) on one chromosome."""
        parts = [self.runs(code, chrom) for code in codes]
        starts, values = (np.concatenate([part[i] for part in parts]) for i in (0, 2))
        if self.lengths is None:
            return kernels.sum_sites(starts, values)
        lengths = np.concatenate([part[1] for part in parts])
        starts, lengths, values = kernels.sum_runs(starts, lengths, values)
        return starts, lengths, values.astype(np.float32)

    @classmethod
    def from_chromosomes(
        cls,
        groups: Sequence[str] | np.ndarray,
        genome: Genome,
        chromosomes: Iterable[tuple[str | int, Sequence[Runs]]],
        *,
        fill: float | np.ndarray = 0.0,
        dtype: np.dtype | type | None = None,
    ) -> Tracks:
        """Build from an iterator over chromosomes, each with the runs of every group.

        Parameters
        ----------
        groups, genome
            As for :class:`Tracks`.
        chromosomes
            Pairs of chromosome (name or code; genome order; absent ones are empty) and one :data:`Runs` per group.
        fill
            As for :class:`Tracks`.
        dtype
            Type of the values; by default that of the first runs given.

        Raises
        ------
        ValueError
            If the chromosomes are out of order, or the number of groups differs.
        """
        found = GrowingRuns(dtype)
        counts = np.zeros(len(genome) * len(groups), np.int64)
        for code, runs in _in_order(chromosomes, genome, len(groups)):
            counts[code * len(groups) : (code + 1) * len(groups)] = [len(starts) for starts, _, _ in runs]
            found.extend(runs)
            del runs  # before the next chromosome is made
        starts, lengths, values = found.take()
        indptr = np.concatenate([[0], np.cumsum(counts)])
        return cls(groups, genome, indptr=indptr, starts=starts, lengths=lengths, values=values, fill=fill)

    def to_dict(self) -> dict[str, Any]:
        """Return the flat arrays as a dict that AnnData writes unchanged (to `.uns`); read by :meth:`from_dict`."""
        out = {
            "groups": self.groups.copy(),
            "genome": self.genome.name,
            "chroms": np.asarray(self.genome.chroms, dtype=object),
            "chrom_lengths": self.genome.lengths.copy(),
            "indptr": self.indptr,
            "starts": np.asarray(self.starts[:]),
            "values": np.asarray(self.values[:]),
            "fill": np.array(self.fill),
            "organelles": np.asarray(self.genome.organelles, dtype=object),
        }
        if self.lengths is not None:
            out["lengths"] = np.asarray(self.lengths[:])
        return out

    @classmethod
    def from_dict(cls, stored: Mapping[str, Any]) -> Tracks:
        """Return the tracks kept by :meth:`to_dict`."""
        sizes = dict(zip(map(str, stored["chroms"]), np.asarray(stored["chrom_lengths"]).tolist(), strict=True))
        return cls(
            np.atleast_1d(np.asarray(stored["groups"], dtype=object)),
            Genome(sizes, name=str(stored["genome"]), organelles=stored.get("organelles")),
            indptr=stored["indptr"],
            starts=stored["starts"],
            lengths=stored.get("lengths"),
            values=stored["values"],
            fill=stored["fill"],
        )

    def to_zarr(self, path: str | PathLike[str]) -> None:
        """Write a zarr store (a folder), chunked along the runs; it appears whole or not at all.

        Raises
        ------
        FileExistsError, NotADirectoryError
            If `path` is a folder with anything else than such a store, which is replaced, or a file.
        """
        options = {"fill": self.fill, "dtype": self.values.dtype, "lengths": self.lengths is not None}
        Tracks.write_zarr(path, self.groups, self.genome, self.chromosomes(), **options)

    @classmethod
    def write_zarr(
        cls,
        path: str | PathLike[str],
        groups: Sequence[str] | np.ndarray,
        genome: Genome,
        chromosomes: Iterable[tuple[str | int, Sequence[Runs]]],
        *,
        dtype: np.dtype | type,
        lengths: bool,
        fill: float | np.ndarray = 0.0,
    ) -> Tracks:
        """Write a zarr store from an iterator over chromosomes, one in memory at a time, and open it.

        The store appears whole or not at all. Arguments as for :meth:`from_chromosomes`; `lengths` is `False` where
        every run is one base long (cut sites).
        """
        import zarr

        counts = np.zeros(len(genome) * len(groups), np.int64)
        with atomic_path(path, holds="starts/zarr.json") as aside:
            store = zarr.open_group(aside, mode="w", zarr_format=3)
            dtypes = {"starts": np.int32, "values": np.dtype(dtype)} | ({"lengths": np.int32} if lengths else {})
            options = {"shape": (0,), "chunks": (_CHUNK,), "config": {"write_empty_chunks": True}}  # see is_whole
            arrays = {name: store.create_array(name, dtype=kind, **options) for name, kind in dtypes.items()}
            held = GrowingRuns(dtype)
            for code, runs in _in_order(chromosomes, genome, len(groups)):
                for group, one in enumerate(runs):
                    counts[code * len(groups) + group] = len(one[0])
                    held.append(*one)
                    if len(held) >= _PART:
                        _append(arrays, *held.take())
                        held = GrowingRuns(dtype)
            _append(arrays, *held.take())
            store.create_array("indptr", data=np.concatenate([[0], np.cumsum(counts)]))
            store.attrs.update(
                groups=list(map(str, groups)),
                genome=genome.name,
                sizes=genome.sizes,
                organelles=genome.organelles,
                fill=np.broadcast_to(np.asarray(fill, np.float64), (len(groups),)).tolist(),
            )
        return cls.from_zarr(path)

    @classmethod
    def from_zarr(cls, path: str | PathLike[str]) -> Tracks:
        """Open a store of :meth:`to_zarr`; the runs stay on disk and are read where asked.

        Up to one chunk of them, which any look at one of them would decompress as a whole, is read at once.

        Raises
        ------
        FileNotFoundError
            If there is no such store.
        ValueError
            If it lacks a part, or one cannot be read.
        """
        again = "run the step that wrote it again"
        parts = "indptr", "starts", "lengths", "values"
        attributes, arrays = open_store(path, parts, what="track store", again=again)
        if fault := _fault(attributes, arrays):
            msg = f"The track store at {path} is damaged: {fault}. Delete it and {again}."
            raise ValueError(msg)
        indptr = arrays.pop("indptr")
        few = arrays["starts"].shape[0] <= _CHUNK
        runs = {name: array[:] if few else Chunked(array) for name, array in arrays.items()}
        return cls(
            np.asarray(attributes["groups"], dtype=object),
            Genome(attributes["sizes"], name=attributes["genome"], organelles=attributes.get("organelles")),
            indptr=indptr[:],
            **{"lengths": None} | runs,
            fill=np.asarray(attributes["fill"]),
        )


def _in_order(
    chromosomes: Iterable[tuple[str | int, Sequence[Runs]]], genome: Genome, n_groups: int
) -> Iterator[tuple[int, Sequence[Runs]]]:
    """Yield the code of each chromosome and its runs, checking the order and the number of groups."""
    last = -1
    for chrom, runs in chromosomes:
        code = genome.code(chrom) if isinstance(chrom, str) else int(chrom)
        if code <= last or len(runs) != n_groups:
            msg = (
                f"Chromosome {genome.chroms[code]} came with {len(runs)} groups (expected {n_groups}), after "
                f"{genome.chroms[last] if last >= 0 else 'none'}; chromosomes must come in the genome's order."
            )
            raise ValueError(msg)
        last = code
        yield code, runs
        del runs


def _fault(attributes: Mapping[str, Any], arrays: Mapping[str, Stored]) -> str | None:
    """Return what is wrong with a store, before what a damaged one claims to have is read into memory."""
    lacking = [name for name in ("groups", "sizes", "genome", "fill") if name not in attributes]
    lacking += [name for name in ("indptr", "starts", "values") if name not in arrays]
    if lacking:
        return f"it lacks {', '.join(lacking)}"
    n_slots, shape = len(attributes["groups"]) * len(attributes["sizes"]), arrays["indptr"].shape
    if shape != (n_slots + 1,):
        return f"its indptr has the shape {shape}, not {n_slots + 1}"
    lost = [name for name, array in arrays.items() if name != "indptr" and not array.is_whole]
    return f"a part of {', '.join(lost)} is lost" if lost else None


def _append(
    arrays: Mapping[str, zarr.Array], starts: np.ndarray, lengths: np.ndarray | None, values: np.ndarray
) -> None:
    """Add runs to the arrays of a store, whose last chunk is written anew for it."""
    arrays["starts"].append(starts)
    arrays["values"].append(values)
    if "lengths" in arrays:
        arrays["lengths"].append(np.ones(len(starts), np.int32) if lengths is None else lengths)
