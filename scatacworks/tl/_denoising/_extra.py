"""Extra input channels and other targets, from whatever the user has."""

from __future__ import annotations

import hashlib
import os
import warnings
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from scatacworks._files import is_bigwig_file
from scatacworks._regions import as_spans
from scatacworks._text import listed
from scatacworks.io._bigwig_read import read_complete
from scatacworks.tracks import Tracks

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from scatacworks.genome import Genome


class Reader(NamedTuple):
    """Reads what belongs to cut sites: tracks of one group, or with all of theirs, on their genome.

    Attributes
    ----------
    groups, genome
        Of the cut sites.
    n_jobs
        Threads that inflate bigWig files.
    uns
        Where keys of tables are looked up.
    """

    groups: Sequence[str]
    genome: Genome
    n_jobs: int | None
    uns: Mapping[str, Any]

    def channels(self, extra: Any, chroms: Sequence[str]) -> dict[str, Tracks]:
        """Read extra channels by name; none for `None`. Warn of those without values on one of the chromosomes.

        Raises
        ------
        KeyError
            If tracks lack one of the groups.
        TypeError
            If it is no dict of names, or a channel is none of the forms.
        ValueError
            If a channel is of another genome, a value is infinite or a bigWig file holds NaN.
        """
        found = {name: self._read(extra[name], f"extra[{name!r}]") for name in channel_names(extra)}
        for name, tracks in found.items():
            everywhere = np.nan_to_num(tracks.fill).any()
            absent = [] if everywhere else [chrom for chrom in chroms if not _runs_on(tracks, chrom)]
            if absent:
                msg = f"extra[{name!r}] has no value on {listed(absent)}, where it counts as zero. Is it complete?"
                warnings.warn(msg, UserWarning, stacklevel=3)
        return found

    def target(self, target: Any) -> Tracks:
        """Read the signal to predict; errors as those of channels."""
        if not isinstance(target, Tracks) and not _are_bigwigs(target):
            shown = repr(target) if isinstance(target, str | os.PathLike) else f"a {type(target).__name__}"
            msg = f"target is {shown}; expected tracks, a bigWig file, or a dict of group -> bigWig file."
            raise TypeError(msg)
        return self._read(target, "target")

    def _read(self, source: Any, what: str) -> Tracks:
        if not isinstance(source, Tracks) and not _are_bigwigs(source):
            return self._ones(source, what)
        for group, file in source.items() if isinstance(source, Mapping) else ():
            if not isinstance(file, str | os.PathLike):
                msg = (
                    f"{what}[{group!r}] is a {type(file).__name__}; a dict names a bigWig file for every group. "
                    "Regions are for all groups."
                )
                raise TypeError(msg)
        tracks = source
        if not isinstance(source, Tracks):
            tracks, _ = read_complete(source, genome=self.genome, n_jobs=self.n_jobs)
        if tracks.genome.sizes != self.genome.sizes:
            msg = f"{what} is on {tracks.genome!r}, the cut sites on {self.genome!r}; both must be of one assembly."
            raise ValueError(msg)
        missing = [name for name in self.groups if name not in set(tracks.groups)]
        if missing and len(tracks.groups) > 1:
            msg = (
                f"{what} has no group {missing[0]!r}; it has {listed(tracks.groups)}. Tracks of one group are for all."
            )
            raise KeyError(msg)
        if any(np.isinf(values).any() for _, runs in tracks.chromosomes() for _, _, values in runs):
            msg = f"{what} holds infinite values, as logarithms and ratios of zero are; write a number in their place."
            raise ValueError(msg)
        return tracks

    def _ones(self, regions: Any, what: str) -> Tracks:
        """Return a track that is one in regions."""
        try:
            spans = as_spans(regions, self.genome, uns=self.uns)
        except (KeyError, TypeError, ValueError) as error:
            error.args = (f"{what}: {error.args[0]}",)
            raise

        def runs(rows: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
            starts, lengths = rows[:, 0].astype(np.int32), np.diff(rows, axis=1)[:, 0].astype(np.int32)
            return starts, lengths, np.ones(len(rows), np.float32)

        parts = ((code, [runs(spans[code])]) for code in sorted(spans))
        return Tracks.from_chromosomes(["regions"], self.genome, parts)


def channel_names(extra: Any) -> tuple[str, ...]:
    """Return the names of extra channels; none for `None`.

    Raises
    ------
    TypeError
        If it is no dict, or a name is no text.
    """
    if extra is None:
        return ()
    if not isinstance(extra, Mapping):
        msg = (
            f"extra is a {type(extra).__name__}; expected a dict of a channel's name -> its values, such as "
            "{'CTCF': 'ctcf_motifs.bed'}."
        )
        raise TypeError(msg)
    for name in extra:
        if not (isinstance(name, str) and name):
            msg = f"extra has a channel of the name {name!r}; expected text, such as 'CTCF'."
            raise TypeError(msg)
    return tuple(extra)


def _runs_on(tracks: Tracks, chrom: str) -> bool:
    return any(len(tracks.runs(group, chrom)[0]) for group in range(len(tracks.groups)))


def _are_bigwigs(source: Any) -> bool:
    """Tell bigWig files (one, a folder of them, group -> file) from regions."""
    if isinstance(source, Mapping):
        return True
    if not isinstance(source, str | os.PathLike):
        return False
    return is_bigwig_file(source) or Path(source).expanduser().is_dir()


def digest(tracks: Iterable[Tracks]) -> str:
    """Hash of the values of tracks."""
    content = hashlib.blake2b(digest_size=16)
    for one in tracks:
        names = "\t".join(one.groups) if len(one.groups) > 1 else ""
        content.update(names.encode() + one.indptr.tobytes() + one.fill.tobytes())
        for _, runs in one.chromosomes():
            for part in (array for run in runs for array in run if array is not None):
                content.update(np.ascontiguousarray(part))
    return content.hexdigest()
