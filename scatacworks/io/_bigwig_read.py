"""Read bigWig files."""

from __future__ import annotations

import warnings
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from os import PathLike
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from tqdm.auto import tqdm

from scatacworks import _threads
from scatacworks._core.bigwig_reader import Reader
from scatacworks._core.runs import are_in_order, join_equal
from scatacworks._files import is_bigwig_file, require_file, visible
from scatacworks.genome import Genome, guess_assembly
from scatacworks.tracks import Runs, Tracks

if TYPE_CHECKING:
    from collections.abc import Sequence


def read_bigwig(
    path: str | PathLike[str] | Mapping[str, str | PathLike[str]],
    *,
    genome: str | Genome | None = None,
    chroms: Sequence[str] | str | None = None,
    n_jobs: int | None = None,
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
    n_jobs
        Threads that inflate.
    progress
        Show a progress bar.

    Returns
    -------
    Tracks with one group per file; values float32.

    Raises
    ------
    FileNotFoundError
        If there is no such file, or no bigWig file in the folder.
    TypeError
        If `path` is none of these.
    ValueError
        If a file is not a bigWig file, is damaged, or shares no chromosome with the genome.

    Examples
    --------
    >>> import scatacworks as sca
    >>> tracks = sca.io.read_bigwig("tracks/NK.bw", genome="hg38")  # doctest: +SKIP
    """
    tracks, _ = _read(_group_files(path), genome, chroms, complete=False, n_jobs=n_jobs, progress=progress)
    return tracks


def read_complete(
    path: str | PathLike[str] | Mapping[str, str | PathLike[str]],
    *,
    genome: Genome | None = None,
    n_jobs: int | None = None,
    progress: bool = False,
) -> tuple[Tracks, dict[str, Path]]:
    """Read bigWig files of which nothing may be unknown.

    As :func:`read_bigwig`, but NaN is an error, and so are chromosomes of another length than in a given genome. Also
    return the chromosomes that a file lacks, and which file.
    """
    files = _group_files(path)
    tracks, names = _read(files, genome, None, complete=True, n_jobs=n_jobs, progress=progress)
    lacking = ((i, group) for group, found in names.items() for i in range(len(tracks.genome.chroms)) if i not in found)
    absent = {tracks.genome.chroms[i]: files[group] for i, group in lacking}
    return tracks, absent


def _read(
    files: Mapping[str, Path],
    genome: str | Genome | None,
    chroms: Sequence[str] | str | None,
    *,
    complete: bool,
    n_jobs: int | None,
    progress: bool,
) -> tuple[Tracks, dict[str, dict[int, str]]]:
    """Return the tracks, and the names of the chromosomes in every file."""
    readers = {group: _open(file) for group, file in files.items()}
    with ThreadPoolExecutor(_threads.resolve(n_jobs)) as pool:
        genome = _genome_of(next(iter(readers.values())).sizes, genome)
        names = {g: _names_in(reader.sizes, genome, files[g], complete=complete) for g, reader in readers.items()}
        chroms = [chroms] if isinstance(chroms, str) else chroms
        wanted = range(len(genome)) if chroms is None else sorted(genome.code(chrom) for chrom in chroms)
        parts = (
            (code, [_runs(readers[g], names[g].get(code), files[g], pool, complete=complete) for g in files])
            for code in tqdm(wanted, desc="Reading bigWig", unit="chrom", disable=not progress)
        )
        return Tracks.from_chromosomes(list(files), genome, parts, dtype=np.float32), names


def _group_files(path: str | PathLike[str] | Mapping[str, str | PathLike[str]]) -> dict[str, Path]:
    if isinstance(path, Mapping):
        return {str(group): require_file(file, "bigWig file") for group, file in path.items()}
    if not isinstance(path, str | PathLike):
        msg = f"path is a {type(path).__name__}; expected a bigWig file, a folder of them, or a dict of group -> file."
        raise TypeError(msg)
    path = Path(path).expanduser()
    if not path.is_dir():
        return {path.stem: require_file(path, "bigWig file")}
    files = {file.stem: file for file in visible(path) if is_bigwig_file(file)}
    if not files:
        msg = f"There is no bigWig file (.bw, .bigWig) in the folder {path}."
        raise FileNotFoundError(msg)
    return files


def _open(path: Path) -> Reader:
    try:
        return Reader(path)
    except ValueError as error:
        msg = f"Cannot read {path}: {error}. Expected a bigWig file."
        raise ValueError(msg) from error


def _genome_of(sizes: Mapping[str, int], genome: str | Genome | None) -> Genome:
    if genome is not None:
        return Genome(genome)
    name = guess_assembly(sizes)
    full = Genome(name) if name else None
    return full if full is not None and set(sizes) <= set(full.chroms) else Genome(sizes, name=name)


def _names_in(sizes: Mapping[str, int], genome: Genome, path: Path, *, complete: bool) -> dict[int, str]:
    """Return the file's name of every chromosome of the genome that it has, by code."""
    codes = dict(zip(sizes, genome.resolve(sizes).tolist(), strict=True))
    found = {code: chrom for chrom, code in codes.items() if code >= 0}
    if not found:
        has = f"it has {', '.join(list(sizes)[:3]) or 'none'}, the genome {genome.chroms[0]}, …"
        msg = f"{path} shares no chromosome with the genome {genome.name!r}; {has}"
        raise ValueError(msg)
    longer = [chrom for code, chrom in found.items() if sizes[chrom] > genome.lengths[code]]
    if longer:
        msg = f"{path}: {longer[0]} is longer than in the genome {genome.name!r}; the file is of another assembly."
        raise ValueError(msg)
    unknown = [chrom for chrom, code in codes.items() if code < 0]
    if unknown:
        some = ", ".join(unknown[:3]) + (", …" if len(unknown) > 3 else "")
        msg = f"{path}: {len(unknown)} chromosome(s) that {genome.name!r} lacks are left out: {some}."
        warnings.warn(msg, stacklevel=4)
    for code, chrom in found.items():
        if complete and sizes[chrom] != genome.lengths[code]:
            msg = (
                f"{path}: {chrom} has {sizes[chrom]:,} bp, in the genome {genome.name!r} "
                f"{int(genome.lengths[code]):,}; the files are of different genomes."
            )
            raise ValueError(msg)
    return found


def _runs(reader: Reader, chrom: str | None, path: Path, pool: ThreadPoolExecutor, *, complete: bool) -> Runs:
    if chrom is None:
        return np.empty(0, np.int32), np.empty(0, np.int32), np.empty(0, np.float32)
    try:
        starts, lengths, values = reader.runs(chrom, pool=pool)
    except ValueError as error:
        msg = f"Cannot read {path}: {error}."
        raise ValueError(msg) from error
    if not are_in_order(starts, lengths, reader.sizes[chrom]):
        msg = f"Cannot read {path}: its values on {chrom} overlap, are not in order, or lie beyond its end."
        raise ValueError(msg)
    unknown = np.isnan(values)
    if complete and unknown.any():
        at = int(starts[np.argmax(unknown)])
        msg = f"{path} has NaN at {chrom}:{at:,}; write 0 there, or no value, and leave what is unknown out."
        raise ValueError(msg)
    valid = (values != 0) & ~unknown
    return join_equal(starts[valid], lengths[valid], values[valid])
