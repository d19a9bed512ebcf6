"""BAM files to fragment files."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from scatacworks._core.bam import Filters
from scatacworks._files import require_file
from scatacworks._logging import logger
from scatacworks.io._alignments import AlignmentSource
from scatacworks.io._fragments_write import write_blocks

if TYPE_CHECKING:
    import os
    from collections.abc import Mapping

    from scatacworks.genome import Genome

__all__ = ["bam_to_fragments"]

PROPER_PAIR = 0x1 | 0x2
# unmapped, mate unmapped, secondary, failed, supplementary; duplicates (0x400) are collapsed here
EXCLUDED = 0x4 | 0x8 | 0x100 | 0x200 | 0x800


def bam_to_fragments(
    bam: str | os.PathLike[str],
    path: str | os.PathLike[str],
    *,
    barcode_tag: str = "CB",
    barcode_regex: str | None = None,
    bulk: bool = False,
    genome: Genome | str | Path | Mapping[str, int] | None = None,
    min_mapq: int = 30,
    require_flags: int = PROPER_PAIR,
    exclude_flags: int = EXCLUDED,
    shift: tuple[int, int] = (4, -5),
    n_jobs: int | None = None,
    progress: bool = True,
) -> Path:
    r"""Make a fragment file from paired alignments.

    A fragment goes from the first base of the forward mate to the last base of the reverse mate, both shifted to the
    centre of the transposition (Buenrostro et al. 2013: +4, -5). Both mates must pass the filters. Fragments of a
    barcode with the same ends are one fragment; column 5 is their number. Single-end reads are refused: they
    tell only one end. The file is sorted, and if its name ends in `.gz` bgzipped and indexed.

    Parameters
    ----------
    bam
        BAM file; sorted by position it is read with one chromosome in memory at a time, else as a whole.
    path
        File to write; it appears whole or not at all.
    barcode_tag
        Tag that holds the barcode; alignments without it are left out.
    barcode_regex
        Instead of a tag: pattern whose first group (or whole match) in the name of the read is the barcode, such as
        `r"^([ACGT]+):"`. Slower than a tag.
    bulk
        The file is one sample, not single cells: it needs no barcodes, and all fragments get its name as theirs.
    genome
        Take only its chromosomes, in its order and spelling; by default all sequences of the file.
    min_mapq
        Smallest mapping quality of each mate.
    require_flags, exclude_flags
        SAM flags that all must be set, and that must not be set. Alignments that are marked as duplicates count, as
        repeats become one fragment here; `0xF0C` leaves them out, as SnapATAC2 does.
    shift
        Added to start and end, in bp; `(0, 0)` for alignments that are shifted already.
    n_jobs
        Threads for compression; by default all cores.
    progress
        Show a progress bar.

    Returns
    -------
    The path written.

    Raises
    ------
    FileNotFoundError, IsADirectoryError
        If the BAM file is missing or a folder.
    ValueError
        If it is not a BAM file or damaged, of another assembly than `genome`, has no barcodes, or no pair passes the
        filters.

    Examples
    --------
    >>> import scatacworks as sca
    >>> sca.io.bam_to_fragments("possorted_bam.bam", "fragments.tsv.gz", genome="hg38")  # doctest: +SKIP
    """
    if bulk and barcode_regex:
        msg = "bulk=True takes the file as one sample, barcode_regex= as single cells; give one of them."
        raise ValueError(msg)
    path = Path(path).expanduser()
    source = AlignmentSource(
        require_file(bam, "BAM file"),
        genome,
        tag=None if barcode_regex or bulk else barcode_tag,
        regex=barcode_regex,
        bulk=bulk,
        shift=shift,
    )
    filters = Filters(min_mapq, require_flags, exclude_flags, source.tag_code)
    write_blocks(path, source.blocks(filters, progress=progress), source, n_jobs=n_jobs)
    logger.info("%s: %s", source.path.name, source)
    return path
