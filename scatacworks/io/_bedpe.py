"""Tell files of read pairs from files of fragments: both begin with a chromosome, a start and an end."""

from __future__ import annotations

import gzip
from contextlib import suppress
from typing import TYPE_CHECKING

from scatacworks._core.bgzf import InflateErrors
from scatacworks.io._chunks import file_kind, open_compressed

if TYPE_CHECKING:
    from pathlib import Path

_LOOKED_AT = 1 << 14  # bytes of text


def refuse_bedpe(path: Path) -> None:
    """Refuse a BEDPE file, whose second chromosome would be taken for the barcode.

    Raises
    ------
    ValueError
        If one of the first lines is a pair of intervals; it is named, with the way out.
    """
    for number, line in enumerate(_first_lines(path), 1):
        fields = line.split("\t")
        if line.startswith("#") or len(fields) < 6 or fields[3] != fields[0]:
            continue
        if all(field.strip().isdigit() for field in (*fields[1:3], *fields[4:6])):
            msg = (
                f"{path}, line {number}: {line[:80]!r} is a pair of reads (BEDPE), not a fragment with its barcode in "
                "column 4. Write each pair as one line of chrom, smaller start, larger end and barcode, such as (where "
                "column 7 is the barcode) awk -v OFS='\\t' '{print $1, ($2<$5?$2:$5), ($3>$6?$3:$6), $7}'; without "
                "barcodes, three columns and bulk=True."
            )
            raise ValueError(msg)


def _first_lines(path: Path) -> list[str]:
    """Return the first whole lines; what cannot be read is told by the reader."""
    kind, text = file_kind(path), b""
    with path.open("rb") as raw, suppress(OSError, EOFError, *InflateErrors, ImportError):
        if kind == "text":
            text = raw.read(_LOOKED_AT)
        else:
            with gzip.open(raw, "rb") if kind == "bgzf" else open_compressed(raw, kind, path) as file:
                text = file.read(_LOOKED_AT)
    if b"\r" in text and b"\n" not in text:
        msg = f"{path} has lines that end with CR alone, as of old spreadsheets; save it with the line ends of Unix."
        raise ValueError(msg)
    whole = text if len(text) < _LOOKED_AT else text[: text.rfind(b"\n") + 1]
    return whole.decode("utf-8", "replace").splitlines()
