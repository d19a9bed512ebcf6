"""Read bigWig files."""

from __future__ import annotations

import warnings
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from tqdm.auto import tqdm

from scatacworks._core import runs as kernels
from scatacworks._files import require_file
from scatacworks.genome import Genome, guess_assembly
from scatacworks.io._bigwig import SUFFIXES
from scatacworks.tracks import Runs, Tracks

if TYPE_CHECKING:
    from collections.abc import Sequence
    from os import PathLike

_READ_BP = 1 << 23  # bases held densely while reading


def read_bigwig(
    path: str | PathLike[str] | Mapping[str, str | PathLike[str]],
    *,
    genome: str | Genome | None = None,
    chroms: Sequence[str] | None = None,
    progress: bool = False,
) -> Tracks:
    """Read bigWig files as tracks.

    Neighbouring bases of equal value become one run. Bases without a value, or with the value 0, have no run.

    Parameters
    ----------
    path
        A file ending in `.bw` or `.bigWig`; a folder of such files, one per group; or a dict group -> file. Groups of
        a file or a folder are named by the files.
    genome
        The :class:`~scatacworks.Genome` or its name. Chromosomes are matched under their aliases (`chr1`, `1`), those
        it lacks are left out with a warning. By default that of the (first) file, recognised when it is a built-in one.
    chroms
        Chromosomes to read; all by default.
    progress
        Show a progress bar.

    Returns
    -------
    Tracks with one group per file; values float32.

    Raises
    ------
    FileNotFoundError
        If there is no such file, or no bigWig file in the folder.
    ValueError
        If a file is not a bigWig file, or shares no chromosome with the genome.
    ImportError
        If pyBigWig is not installed.

    Examples
    --------
    >>> import scatacworks as sca
    >>> tracks = sca.io.read_bigwig("tracks/NK.bw", genome="hg38")  # doctest: +SKIP
    """
    files = _group_files(path)
    handles = {group: _open(file) for group, file in files.items()}
    try:
        genome = _genome_of(handles, genome)
        names = {group: _names_in(handle, genome, files[group]) for group, handle in handles.items()}
        wanted = range(len(genome)) if chroms is None else sorted(genome.code(chrom) for chrom in chroms)
        parts = (
            (code, [_read_runs(handles[group], names[group].get(code)) for group in files])
            for code in tqdm(wanted, desc="Reading bigWig", unit="chrom", disable=not progress)
        )
        return Tracks.from_chromosomes(list(files), genome, parts, dtype=np.float32)
    finally:
        for handle in handles.values():
            handle.close()


def _group_files(path: str | PathLike[str] | Mapping[str, str | PathLike[str]]) -> dict[str, Path]:
    if isinstance(path, Mapping):
        return {str(group): require_file(file, "bigWig file") for group, file in path.items()}
    path = Path(path)
    if not path.is_dir():
        return {path.stem: require_file(path, "bigWig file")}
    files = {file.stem: file for file in sorted(path.iterdir()) if file.suffix.lower() in SUFFIXES}
    if not files:
        msg = f"There is no bigWig file (.bw, .bigWig) in the folder {path}."
        raise FileNotFoundError(msg)
    return files


def _open(path: Path) -> Any:
    try:
        import pyBigWig
    except ImportError as error:
        error.add_note("Reading bigWig files needs pyBigWig; install it with: pip install pyBigWig")
        raise
    try:
        handle = pyBigWig.open(str(path))
        valid = handle.isBigWig()
    except RuntimeError:
        valid = False
    if not valid:
        msg = f"{path} is not a bigWig file, or it is cut off."
        raise ValueError(msg)
    return handle


def _genome_of(handles: Mapping[str, Any], genome: str | Genome | None) -> Genome:
    if genome is not None:
        return Genome(genome)
    sizes = next(iter(handles.values())).chroms()
    name = guess_assembly(sizes)
    full = Genome(name) if name else None
    return full if full is not None and set(sizes) <= set(full.chroms) else Genome(sizes, name=name)


def _names_in(handle: Any, genome: Genome, path: Path) -> dict[int, tuple[str, int]]:
    """Return the file's name and length of every chromosome of the genome that it has, by code."""
    found = {int(genome.resolve([chrom])[0]): (chrom, length) for chrom, length in handle.chroms().items()}
    unknown = found.pop(-1, None)
    if not found:
        some = ", ".join(list(handle.chroms())[:3]) or "none"
        has = f"it has {some}, the genome {genome.chroms[0]}, …"
        msg = f"{path} shares no chromosome with the genome {genome.name!r}; {has}"
        raise ValueError(msg)
    longer = [chrom for code, (chrom, length) in found.items() if length > genome.lengths[code]]
    if longer:
        msg = f"{path}: {longer[0]} is longer than in the genome {genome.name!r}; the file is of another assembly."
        raise ValueError(msg)
    if unknown is not None:
        warnings.warn(f"{path}: chromosomes that {genome.name!r} lacks are left out, e.g. {unknown[0]}.", stacklevel=3)
    return found


def _read_runs(handle: Any, chrom: tuple[str, int] | None) -> Runs:
    parts = []
    for start in range(0, chrom[1], _READ_BP) if chrom else ():
        dense = handle.values(chrom[0], start, min(start + _READ_BP, chrom[1]), numpy=True)
        parts.append(kernels.encode(np.nan_to_num(dense, copy=False), start, 0.0))
    if not parts:
        return np.empty(0, np.int32), np.empty(0, np.int32), np.empty(0, np.float32)
    starts, lengths, values = (np.concatenate([part[i] for part in parts]) for i in range(3))
    return _joined(starts, lengths, values)


def _joined(starts: np.ndarray, lengths: np.ndarray, values: np.ndarray) -> Runs:
    """Join runs that a border between two readings has cut."""
    new = np.ones(len(starts), bool)
    new[1:] = (starts[1:] != starts[:-1] + lengths[:-1]) | (values[1:] != values[:-1])
    first = np.flatnonzero(new)
    return starts[first], np.add.reduceat(lengths, first) if len(first) else lengths, values[first]
