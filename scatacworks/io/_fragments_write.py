"""Fragments to a file."""

from __future__ import annotations

import re
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING, Any

from scatacworks import _threads
from scatacworks._core.bgzf import EOF_BLOCK, compress_blocks
from scatacworks._core.formatting import PackedNames, format_fragments, pack_names
from scatacworks._files import atomic_path
from scatacworks._logging import logger
from scatacworks.io._source import FragmentSource, open_fragments

if TYPE_CHECKING:
    import os
    from collections.abc import Iterable, Mapping, Sequence

    from scatacworks._core.fragments import FragmentBlock
    from scatacworks.genome import Genome

__all__ = ["write_fragments"]

_PIECE = 500_000  # fragments formatted at a time
_ONE_COLUMN = re.compile(r"[^\t\r\n]*")
_MOST_IN_TBI = 2**29  # bp of a chromosome


def write_fragments(
    data: Any,
    path: str | os.PathLike[str],
    *,
    cells: Sequence[str] | None = None,
    genome: Genome | str | Path | Mapping[str, int] | None = None,
    mod: str = "atac",
    index: bool = True,
    n_jobs: int | None = None,
    progress: bool = True,
) -> Path:
    r"""Write the fragments of cells to a fragment file, sorted by position.

    The columns are chrom (as the genome spells it), start, end (bp, 0-based, half-open), barcode (the cell's name) and
    the number of reads (1 where it is not known). It is the way from several samples, or from memory, to one file.

    Parameters
    ----------
    data
        AnnData or MuData that knows its fragments, or what :func:`read_fragments` reads (then `genome` is needed).
    path
        File to write: bgzipped if its name ends in `.gz` or `.bgz`, else plain text. It appears whole or not at all.
    cells
        Names of the cells to write; by default all.
    genome
        Genome of a file; an AnnData knows its own.
    mod
        Modality of a MuData.
    index
        Also write a tabix index beside a bgzipped file (needs pysam): `.tbi`, or `.csi` where a chromosome is
        longer than 512 Mb.
    n_jobs
        Threads; by default all cores.
    progress
        Show a progress bar.

    Returns
    -------
    The path written.

    Raises
    ------
    KeyError
        If the object knows no fragments.
    ValueError
        If a file is damaged, no barcode matches, the name of a cell has a tab or a line end in it, or `path` is a file
        that the fragments are read from.
    FileNotFoundError
        If a fragment file is missing.
    IsADirectoryError, PermissionError, NotADirectoryError
        If `path` is a folder, or its folder cannot be written to.

    Examples
    --------
    >>> import scatacworks as sca
    >>> text = "chr1\t150\t260\tTTTG-1\t1\nchr1\t100\t300\tAAAC-1\t2\n"
    >>> _ = open("unsorted.tsv", "w").write(text)
    >>> path = sca.io.write_fragments("unsorted.tsv", "sorted.tsv", genome={"chr1": 1000}, progress=False)
    >>> print(path.read_text().splitlines()[0].replace("\t", " "))
    chr1 100 300 AAAC-1 2
    """
    path = Path(path).expanduser()
    if path.is_dir():
        msg = f"{path} is a folder; give the name of a file to write, such as {path / 'fragments.tsv.gz'}."
        raise IsADirectoryError(msg)
    source = open_fragments(data, genome=genome, cells=cells, mod=mod)
    if path.exists() and any(path.samefile(file) for file in source.files):
        msg = f"{path} is read for these fragments, and would lose those of other cells; give another name."
        raise ValueError(msg)
    blocks = source.chromosomes(n_jobs=n_jobs, progress=progress)
    write_blocks(path, blocks, source, index=index, n_jobs=n_jobs)
    return path


def write_blocks(
    path: Path,
    blocks: Iterable[FragmentBlock],
    source: FragmentSource,
    *,
    index: bool = True,
    n_jobs: int | None = None,
) -> None:
    """Write sorted blocks of `source`'s cells, bgzipped and indexed if the name ends in `.gz`."""
    compressed = path.suffix in {".gz", ".bgz"}
    names = pack_names(())
    with (
        atomic_path(path) as aside,
        aside.open("wb") as out,
        ThreadPoolExecutor(_threads.resolve(n_jobs)) as pool,
    ):
        rest = b""
        for block in blocks:
            if len(source.cells) >= len(names.offsets):  # cells may be found on the way
                names = pack_names(_in_one_column(source.cells, path))
            for text in _format(block, source.genome.chroms[block.chrom], names):
                if compressed:
                    rest = compress_blocks(out, rest + text, level=3, pool=pool)
                else:
                    out.write(text)
        if compressed:
            compress_blocks(out, rest, level=3, pool=pool, last=True)
            out.write(EOF_BLOCK)
    if compressed and index:
        make_index(path, longest=int(source.genome.lengths.max()))


def _in_one_column(names: Sequence[str], path: Path) -> Sequence[str]:
    """Refuse names that would be several columns or lines."""
    broken = next((name for name in names if not _ONE_COLUMN.fullmatch(name)), None)
    if broken is not None:
        msg = f"The cell {broken!r} has a tab or a line end in its name, which {path} cannot hold; rename it."
        raise ValueError(msg)
    return names


def _format(block: FragmentBlock, chrom: str, names: PackedNames) -> Iterable[bytes]:
    for at in range(0, len(block), _PIECE):
        part = slice(at, at + _PIECE)
        columns = (block.start[part], block.end[part], block.cell[part], block.count[part])
        yield format_fragments(chrom, *columns, names)


def make_index(path: Path, *, longest: int) -> None:
    """Write `path`.tbi beside a bgzipped, sorted fragment file; says so in the log where pysam is missing.

    Where the longest chromosome is more than a tabix index can hold, as in wheat or the axolotl, it is a `path`.csi.
    """
    try:
        import pysam
    except ImportError:
        logger.warning("No tabix index written for %s: pysam is not installed (pip install pysam).", path)
        return
    pysam.tabix_index(str(path), preset="bed", force=True, csi=longest > _MOST_IN_TBI)
