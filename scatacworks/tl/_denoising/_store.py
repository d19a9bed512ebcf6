"""A denoising run that survives being killed and that processes share: finished units wait beside the final store."""

from __future__ import annotations

import hashlib
import json
import shutil
from collections.abc import Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from typing import TYPE_CHECKING, Any

import numpy as np
from filelock import FileLock, Timeout

from scatacworks import _keys
from scatacworks._files import atomic_path, require_replaceable, unfinished_folder
from scatacworks._logging import logger
from scatacworks.models.predict import Results, bar, decode_one, fills
from scatacworks.tracks import Tracks

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from scatacworks.models._plan import Unit
    from scatacworks.models._predictor import Predictor
    from scatacworks.models._rounding import Encoded
    from scatacworks.tracks import Runs

LAYERS = (_keys.SIGNAL, _keys.PROBABILITY, _keys.UNGUIDED)  # of a predictor's outputs, in order
_COLUMNS = ("starts", "lengths", "levels")
_DIGEST = "digest.txt"


class Parts:
    """Finished units of a run, one file each, in a hidden folder beside the store.

    Several processes, on one machine or many, may work on the same run: each computes units that no other one has
    claimed. A claim is a lock of the operating system, which takes it back when the process ends, however it ends.

    Parameters
    ----------
    path
        The final store.
    description
        Whatever decides the result. Files are named by its digest, so that units of another run are never mixed in,
        even where the folder was deleted under that one to begin this.

    Raises
    ------
    FileExistsError, NotADirectoryError, PermissionError
        If `path` holds something else, is a file or cannot be written to; the finished store need not be writable.
    ValueError
        If unfinished work of other parameters lies there.
    """

    def __init__(self, path: Path, description: dict[str, Any]) -> None:
        self.path = path
        self._opened: tuple = (None, None)  # the unit read last
        self._claims: dict[Unit, FileLock] = {}
        self._digest = hashlib.sha256(json.dumps(description, sort_keys=True).encode()).hexdigest()
        if not self.is_finished:
            require_replaceable(path, _keys.DENOISED_STORE)
            if (path / _keys.DENOISED_STORE).exists():
                logger.warning("%s holds the tracks of another run, which are replaced at the end.", path)
            self.folder = unfinished_folder(path, description)
            if done := len(list(self.folder.glob(f"{self._digest[:12]}-*.npz"))):
                logger.info("%d units in %s are done; going on with the others.", done, self.folder)

    @property
    def is_finished(self) -> bool:
        """Whether the store holds the result of this very run."""
        try:
            same = (self.path / _DIGEST).read_text(encoding="utf-8") == self._digest
            return same and (self.path / _keys.DENOISED_STORE).exists()  # of a copy that was stopped it may be missing
        except (FileNotFoundError, NotADirectoryError):
            return False

    def _file(self, unit: Unit) -> Path:
        return self.folder / f"{self._digest[:12]}-chrom{unit.chroms[0]:05d}-group{unit.groups[0]:06d}.npz"

    def has(self, unit: Unit) -> bool:
        """Tell whether a unit is done."""
        return self._file(unit).exists() or self.is_finished  # in this order: the files go after the store is there

    @contextmanager
    def claims(self) -> Iterator[None]:
        """Give back at the end what was claimed and not saved."""
        try:
            yield
        finally:
            while self._claims:
                self._claims.popitem()[1].release()

    def claimed(self, units: Sequence[Unit], *, wait: bool) -> Iterator[Unit]:
        """Yield units for this process to compute: those that are neither done nor claimed by another one.

        With `wait`, those that are claimed are waited for, and taken over if that process ended without them.
        """
        for unit in units:
            claim = None if self.has(unit) else self._lock(self._file(unit).stem, wait=wait)
            if claim is None:
                continue
            if self.has(unit):  # by now
                claim.release()
                continue
            self._claims[unit] = claim
            yield unit

    def alone(self, name: str) -> AbstractContextManager:
        """Let no other process into the same block."""
        return self._lock(name, wait=True) or nullcontext()

    def _lock(self, name: str, *, wait: bool) -> FileLock | None:
        """Take a lock; `None` if another process has it, or all is finished and the folder gone."""
        lock = FileLock(self.folder / f"{name}.lock")
        try:
            lock.acquire(timeout=-1 if wait else 0, poll_interval=0.5)  # seldom enough for a network's file system
        except Timeout:
            return None
        except FileNotFoundError:
            if self.is_finished:
                return None
            raise
        return lock

    def save(self, unit: Unit, results: Results) -> None:
        """Keep a finished unit, which ends its claim."""
        arrays = {"keys": np.array(list(results), np.int64)}
        n_outputs = len(next(iter(results.values())))
        for output, layer in enumerate(LAYERS[:n_outputs]):
            for i, column in enumerate(_COLUMNS):
                arrays[f"{layer}_{column}"] = np.concatenate([found[output][i] for found in results.values()])
            arrays[f"{layer}_n"] = np.array([len(found[output][0]) for found in results.values()])
        with atomic_path(self._file(unit)) as aside, aside.open("wb") as handle:
            np.savez(handle, **arrays)
        self._claims.pop(unit).release()

    def fill(self, levels: np.ndarray) -> np.ndarray:
        """Return the levels of bases without a run with which the first unit was computed, or note these."""
        note = self.folder / f"{self._digest[:12]}-fill.npy"
        with self.alone(note.stem):
            if note.exists():
                return np.load(note)
            with atomic_path(note) as aside, aside.open("wb") as handle:
                np.save(handle, levels)
        return levels

    def load(self, unit: Unit, output: int, slot: tuple[int, int]) -> Encoded:
        """Return the runs of one (chromosome code, group) of a finished unit."""
        if self._opened[0] != (unit, output):
            layer = LAYERS[output]
            with np.load(self._file(unit)) as stored:
                slots = {tuple(key): i for i, key in enumerate(stored["keys"].tolist())}
                bounds = np.concatenate([[0], np.cumsum(stored[f"{layer}_n"])])
                columns = [stored[f"{layer}_{column}"] for column in _COLUMNS]
            self._opened = ((unit, output), (slots, bounds, columns))
        slots, bounds, columns = self._opened[1]
        index = slots[slot]
        return tuple(column[bounds[index] : bounds[index + 1]] for column in columns)

    def sign(self, store: Path) -> None:
        """Note in a store what decided it, so that a repeated call finds it finished."""
        (store / _DIGEST).write_text(self._digest, encoding="utf-8")

    def remove_begun_stores(self) -> None:
        """Delete what processes that were killed while they wrote the store left of it."""
        for left in self.folder.glob(f".{self.path.name}.*.part*"):
            shutil.rmtree(left)

    def remove(self) -> None:
        """Delete the finished units; another process that is at the end may be doing the same."""
        shutil.rmtree(self.folder, ignore_errors=True)


class _Chromosome(Sequence):
    """Runs of every group on one chromosome, read when asked for."""

    def __init__(self, parts: Parts, predictor: Predictor, output: int, chrom: int, scale: np.ndarray) -> None:
        self.parts, self.predictor, self.output, self.chrom, self.scale = parts, predictor, output, chrom, scale
        self.owner = {group: unit for unit in predictor.units() if chrom in unit.chroms for group in unit.groups}

    def __len__(self) -> int:
        return len(self.scale)

    def __getitem__(self, group: int) -> Runs:
        if group >= len(self):
            raise IndexError(group)
        unit = self.owner.get(group)
        encoded = None if unit is None else self.parts.load(unit, self.output, (self.chrom, group))
        return decode_one(self.predictor, self.output, self.chrom, encoded, self.scale[group])


def compute(predictor: Predictor, parts: Parts, *, progress: bool) -> None:
    """Compute the units that are not done yet: first what nobody has claimed, then what others leave undone."""
    units = predictor.units()
    if all(map(parts.has, units)):
        predictor.fill = parts.fill(predictor.fill)
        return
    with predictor, parts.claims(), bar(sum(map(predictor.unit_bp, units)), progress=progress) as shown:
        predictor.fill = parts.fill(predictor.fill)
        for wait in (False, True):
            left = [unit for unit in units if not parts.has(unit)]
            if wait and left:
                logger.info("Waiting for %d units that other processes have claimed.", len(left))
            shown.update(max(shown.total - sum(map(predictor.unit_bp, left)) - shown.n, 0))
            for unit, results in predictor.run_all(parts.claimed(left, wait=wait), shown):
                parts.save(unit, results)
                del results  # before the next unit
        shown.update(shown.total - shown.n)


def finish(predictor: Predictor, parts: Parts, scale: np.ndarray) -> None:
    """Turn the finished units into the store, unless another process does, and delete them.

    Raises
    ------
    FileNotFoundError
        If somebody else deleted some of them.
    """
    with parts.alone("store"):
        if not parts.is_finished:
            parts.remove_begun_stores()
            lost = sum(not parts.has(unit) for unit in predictor.units())
            if lost:
                msg = f"{lost} finished units in {parts.folder} were deleted; repeat the call to compute them again."
                raise FileNotFoundError(msg)
            _write(predictor, parts, scale)
    parts.remove()


def _write(predictor: Predictor, parts: Parts, scale: np.ndarray) -> None:
    """Write the store, chromosome by chromosome."""
    genome = predictor.cut_sites.genome
    with atomic_path(parts.path, holds=_keys.DENOISED_STORE, folder=parts.folder) as aside:
        aside.mkdir()
        for output, layer in enumerate(LAYERS[: len(predictor.kinds)]):
            chromosomes = ((c, _Chromosome(parts, predictor, output, c, scale)) for c in range(len(genome)))
            Tracks.write_zarr(
                aside / layer,
                predictor.cut_sites.groups,
                genome,
                chromosomes,
                dtype=np.float32,
                lengths=True,
                fill=fills(predictor, output, scale),
            )
        parts.sign(aside)
