"""Sequences of a FASTA file, by its index."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import numpy as np

from scatacworks._core.motif_scan import encode
from scatacworks._files import require_file
from scatacworks.genome import alias_codes

if TYPE_CHECKING:
    import os
    from collections.abc import Iterator

_PIECE = 2**24  # bases decoded at a time


class Sequences:
    """An open FASTA file. Chromosomes have the aliases of a :class:`~scatacworks.Genome`."""

    def __init__(self, fasta: Any) -> None:
        self._fasta = fasta
        names = list(fasta.keys())
        self._spelled = {alias: names[code] for alias, code in alias_codes(names).items()}

    def __contains__(self, chrom: str) -> bool:
        return chrom in self._spelled

    def length(self, chrom: str) -> int:
        """Return the length of a chromosome in bp."""
        return len(self._fasta[self._spelled[chrom]])

    def text(self, chrom: str, start: int, end: int) -> str:
        """Return `[start, end)` in upper case, N outside the chromosome."""
        record = self._fasta[self._spelled[chrom]]
        length = len(record)
        inside = record[max(start, 0) : min(end, length)] if end > 0 and start < length else ""
        return "N" * min(max(-start, 0), end - start) + str(inside) + "N" * min(max(end - length, 0), end - start)

    def codes(self, chrom: str) -> np.ndarray:
        """Return the whole chromosome as uint8: A, C, G, T are 0 to 3, anything else is 4."""
        length = self.length(chrom)
        out = np.empty(length, np.uint8)
        for start in range(0, length, _PIECE):
            out[start : start + _PIECE] = encode([self.text(chrom, start, min(start + _PIECE, length))])[0]
        return out


@contextmanager
def open_fasta(path: str | os.PathLike[str]) -> Iterator[Sequences]:
    """Open a FASTA file; the index `.fai` is made where it is missing.

    Raises
    ------
    FileNotFoundError
        If there is no such file.
    """
    from pyfaidx import Fasta

    path = require_file(path, "FASTA file")
    try:
        opened = Fasta(str(path), as_raw=True, sequence_always_upper=True, rebuild=False)
    except ImportError as error:
        error.add_note(f"{path} is compressed: pip install biopython, or give the file unpacked.")
        raise
    with opened as fasta:
        yield Sequences(fasta)
