"""Extra input channels and other targets, from whatever the user has."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from scatacworks._regions import as_spans
from scatacworks._text import listed
from scatacworks.io._bigwig import SUFFIXES
from scatacworks.io._bigwig_read import read_bigwig
from scatacworks.tracks import Tracks

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from scatacworks.genome import Genome
    from scatacworks.models.base import Model


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

    def channels(self, extra: Any) -> dict[str, Tracks]:
        """Read extra channels by name; none for `None`.

        Raises
        ------
        KeyError
            If tracks lack one of the groups.
        TypeError
            If it is no dict, or a channel is none of the forms.
        ValueError
            If a channel is of another genome.
        """
        if extra is None:
            return {}
        if not isinstance(extra, Mapping):
            msg = (
                f"extra is a {type(extra).__name__}; expected a dict of a channel's name -> its values, such as "
                "{'CTCF': 'ctcf_motifs.bed'}."
            )
            raise TypeError(msg)
        return {str(name): self._read(one, f"extra[{name!r}]") for name, one in extra.items()}

    def target(self, target: Any) -> Tracks:
        """Read the signal to predict; errors as those of channels."""
        if not isinstance(target, Tracks) and not _are_bigwigs(target):
            shown = repr(target) if isinstance(target, str | os.PathLike) else f"a {type(target).__name__}"
            msg = f"target is {shown}; expected tracks, a bigWig file, or a dict of group -> bigWig file."
            raise TypeError(msg)
        return self._read(target, "target")

    def _read(self, source: Any, what: str) -> Tracks:
        if not isinstance(source, Tracks) and not _are_bigwigs(source):
            return _ones(as_spans(source, self.genome, uns=self.uns), self.genome)
        tracks = source
        if not isinstance(source, Tracks):
            tracks = read_bigwig(source, genome=self.genome, n_jobs=self.n_jobs)
        if tracks.genome.sizes != self.genome.sizes:
            msg = f"{what} is on {tracks.genome!r}, the cut sites on {self.genome!r}; both must be of one assembly."
            raise ValueError(msg)
        missing = [name for name in self.groups if name not in set(tracks.groups)]
        if missing and len(tracks.groups) > 1:
            msg = (
                f"{what} has no group {missing[0]!r}; it has {listed(tracks.groups)}. Tracks of one group are for all."
            )
            raise KeyError(msg)
        return tracks


def _are_bigwigs(source: Any) -> bool:
    """Tell bigWig files (one, a folder of them, group -> file) from regions."""
    if isinstance(source, Mapping):
        return True
    if not isinstance(source, str | os.PathLike):
        return False
    return Path(source).suffix.lower() in SUFFIXES or Path(source).expanduser().is_dir()


def _ones(spans: Mapping[int, np.ndarray], genome: Genome) -> Tracks:
    """Return a track that is one in intervals."""

    def runs(rows: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        return rows[:, 0].astype(np.int32), np.diff(rows, axis=1)[:, 0].astype(np.int32), np.ones(len(rows), np.float32)

    return Tracks.from_chromosomes(["regions"], genome, ((code, [runs(spans[code])]) for code in sorted(spans)))


def in_order(extra: Mapping[str, Tracks], model: Model) -> list[Tracks]:
    """Return the tracks of a model's extra channels in its order.

    Raises
    ------
    ValueError
        If a channel is missing, or one is given that the model does not read.
    """
    wanted = model.extra_channels
    missing, unknown = [name for name in wanted if name not in extra], [name for name in extra if name not in wanted]
    if not missing and not unknown:
        return [extra[name] for name in wanted]
    reads = f"reads the extra channels {listed(wanted)}" if wanted else "reads no extra channels"
    found = f"extra= lacks {listed(missing)}" if missing else f"extra= has {listed(unknown)}"
    msg = f"The model {model.card['name']!r} {reads}; {found}."
    raise ValueError(msg)


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
