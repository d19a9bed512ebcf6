"""Sequence motifs from JASPAR, PFM and MEME files."""

from __future__ import annotations

import re
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from scatacworks._files import open_text
from scatacworks._logging import logger

if TYPE_CHECKING:
    import os
    from collections.abc import Sequence

__all__ = ["Motif", "read_motifs"]

_BASES = list("ACGT")
_OFF = 0.02  # that probabilities as written may differ from 1 in sum
_NUMBER = re.compile(r"[-+]?\d*\.?\d+(?:[eE][-+]?\d+)?")
_VERSIONED = re.compile(r"^[A-Z]{2,}\d+\.\d+$")  # JASPAR matrix identifiers: MA0004.1, UN0112.1


@dataclass(frozen=True)
class Motif:
    """A sequence motif.

    Attributes
    ----------
    name
        Name; where several of a file have one, :func:`read_motifs` appends ``-1``, ``-2``, … to all but the first, as
        anndata's `var_names_make_unique` does.
    matrix
        Probabilities of A, C, G and T per position, float64 of shape `(length, 4)`, rows sum to 1.
    factors
        Symbols of the transcription factors that bind it, as far as the file says.
    n_sites
        Number of sites behind a matrix of counts (its largest row sum), 0 for one of probabilities.

    Raises
    ------
    TypeError
        If the factors are one text.
    ValueError
        If the matrix has another shape, or a row holds no probabilities.

    Examples
    --------
    >>> import numpy as np, scatacworks as sca
    >>> motif = sca.io.Motif("GATA", np.eye(4)[[2, 0, 3, 0]], factors=("GATA1",))
    >>> len(motif)
    4
    """

    name: str
    matrix: np.ndarray = field(repr=False, compare=False)
    factors: tuple[str, ...] = ()
    n_sites: float = 0.0

    def __post_init__(self) -> None:
        if isinstance(self.factors, str):
            msg = f"factors of the motif {self.name!r} is {self.factors!r}; expected a tuple of symbols."
            raise TypeError(msg)
        matrix, columns = np.asarray(self.matrix, np.float64), list(getattr(self.matrix, "columns", _BASES))
        in_order = columns == [0, 1, 2, 3] or [str(column).upper() for column in columns] == _BASES
        if matrix.ndim != 2 or matrix.shape[1] != 4 or len(matrix) == 0 or not in_order:
            found = "" if in_order else f" and the columns {columns}"
            msg = (
                f"The matrix of the motif {self.name!r} has the shape {matrix.shape}{found}; expected a row per "
                "position with A, C, G and T, in this order."
            )
            raise ValueError(msg)
        wrong = ~((matrix >= 0).all(1) & (np.abs(matrix.sum(1) - 1) <= _OFF))
        if wrong.any():
            row = int(np.argmax(wrong))
            msg = (
                f"The matrix of the motif {self.name!r} has {matrix[row].tolist()} at position {row + 1}; expected "
                "probabilities, which sum to 1. Divide counts by their sum, and give that as n_sites."
            )
            raise ValueError(msg)
        object.__setattr__(self, "matrix", matrix)

    def __len__(self) -> int:
        return len(self.matrix)


def read_motifs(path: str | os.PathLike[str], *, factors: str | os.PathLike[str] | None = None) -> list[Motif]:
    r"""Read motifs in JASPAR, PFM (one line per position) or MEME minimal form, plain or gzipped.

    Count matrices are divided by their row sums; the pseudocount is added where sequences are scanned.

    Parameters
    ----------
    path
        File of motifs; the form is recognised from its content.
    factors
        Table with a header and the columns motif and factor (tab separated, one line per pair), as distributed with
        several motif collections. Without it, the factor is taken from the motif's name (`MA0035.4 GATA1`,
        `MA0035.4.GATA1`; dimers `A::B` give both).

    Returns
    -------
    One :class:`Motif` per matrix, in the order of the file.

    Raises
    ------
    ValueError
        If the file is of another form, a motif has no name, a matrix is empty, has a negative or missing number, a
        position without any count, or (MEME) fewer positions than it should or probabilities that do not sum to 1.

    Examples
    --------
    >>> import scatacworks as sca
    >>> from pathlib import Path
    >>> from tempfile import mkdtemp
    >>> path = Path(mkdtemp()) / "one.pfm"
    >>> _ = path.write_text(">MA0035.4 GATA1\n0 0 10 0\n10 0 0 0\n0 0 0 10\n10 0 0 0\n")
    >>> motif = sca.io.read_motifs(path)[0]
    >>> motif.name, motif.factors, motif.matrix[0].tolist()
    ('MA0035.4', ('GATA1',), [0.0, 0.0, 1.0, 0.0])
    """
    path = Path(path).expanduser()
    with open_text(path, "file of motifs (JASPAR, PFM or MEME)") as handle:
        lines = handle.read().splitlines()
    if any(line.startswith("MEME version") for line in lines):
        raw = _read_meme(lines, path)
    elif any(line.startswith(">") for line in lines):
        raw = _read_pfm(lines, path)
    else:
        msg = f"{path} is not a motif file: found neither '>' headers (JASPAR, PFM) nor 'MEME version'."
        raise ValueError(msg)
    if not raw:
        msg = f"{path} holds no motif."
        raise ValueError(msg)
    table = {} if factors is None else _factor_table(factors)
    return with_unique_names([_motif(header, matrix, path, table) for header, matrix in raw], str(path))


def with_unique_names(motifs: Sequence[Motif], source: str) -> list[Motif]:
    """Append -1, -2, … to names that an earlier motif has, and log how many."""
    import pandas as pd
    from anndata.utils import make_index_unique

    names = pd.Index([motif.name for motif in motifs])
    repeated = names.duplicated()
    if not repeated.any():
        return list(motifs)
    unique = make_index_unique(names)
    logger.warning(
        "%d of the %d motifs of %s have the name of an earlier one; %r is called %r, and so on.",
        repeated.sum(), len(names), source, names[repeated][0], unique[repeated][0],
    )  # fmt: skip
    return [replace(motif, name=name) for motif, name in zip(motifs, unique, strict=True)]


def _blocks(lines: list[str], mark: str) -> list[tuple[str, list[str]]]:
    """Return the headers, which begin with `mark`, and the lines below each that are not empty."""
    blocks: list[tuple[str, list[str]]] = []
    for line in lines:
        if line.startswith(mark):
            blocks.append((line.removeprefix(mark).strip(), []))
        elif line.strip() and blocks:
            blocks[-1][1].append(line)
    return blocks


def _read_pfm(lines: list[str], path: Path) -> list[tuple[str, np.ndarray]]:
    """Read JASPAR (rows A, C, G, T) and PFM (rows are positions) matrices."""
    out = []
    for header, below in _blocks(lines, ">"):
        rows = [line for line in below if not line.startswith("#")]
        by_base = [row.lstrip()[:1].upper() for row in rows] == _BASES
        numbers = [_numbers(row.lstrip()[1:] if by_base else row, header, path) for row in rows]
        wide = len(rows) == 4 and len({len(row) for row in numbers}) == 1 and len(numbers[0]) != 4
        out.append((header, _as_matrix(numbers, header, path, transpose=by_base or wide)))
    return out


def _read_meme(lines: list[str], path: Path) -> list[tuple[str, np.ndarray]]:
    """Read the matrices of probabilities; what else a motif has before its matrix is passed over."""
    out = []
    for header, below in _blocks(lines, "MOTIF"):
        at = next((i for i, line in enumerate(below) if line.startswith("letter-probability")), len(below))
        width = re.search(r"\bw=\s*(\d+)", "".join(below[at : at + 1]))
        rows = [_numbers(line, header, path) for line in below[at + 1 :] if not line.startswith("URL")]
        if not header:
            continue
        matrix = _as_matrix(rows, header, path)
        if width and int(width[1]) != len(matrix):
            msg = (
                f"Motif {header!r} of {path} has {len(matrix)} positions, but should have {width[1]} (w=); is "
                "the file cut off?"
            )
            raise ValueError(msg)
        off = np.abs(matrix.sum(1) - 1)
        if off.max() > _OFF:
            msg = (
                f"Motif {header!r} of {path}: position {int(off.argmax()) + 1} sums to "
                f"{matrix[off.argmax()].sum():g}, not 1; MEME matrices hold probabilities, give counts as PFM."
            )
            raise ValueError(msg)
        out.append((header, matrix))
    return out


def _numbers(row: str, header: str, path: Path) -> list[float]:
    cleaned = row.replace("[", " ").replace("]", " ")
    numbers = [float(word) for word in _NUMBER.findall(cleaned)]
    if len(numbers) != len(cleaned.split()):
        msg = f"Motif {header!r} of {path}: expected numbers, found {row.strip()[:60]!r}."
        raise ValueError(msg)
    return numbers


def _as_matrix(numbers: list[list[float]], header: str, path: Path, *, transpose: bool = False) -> np.ndarray:
    lengths = {len(row) for row in numbers}
    if not numbers or lengths == {0}:
        msg = f"Motif {header!r} of {path} has length zero."
        raise ValueError(msg)
    if len(lengths) > 1 or (not transpose and lengths != {4}):
        found = f"found rows of {sorted(lengths)}"
        msg = f"Motif {header!r} of {path}: expected four numbers per position (A, C, G, T), {found}."
        raise ValueError(msg)
    matrix = np.array(numbers, np.float64)
    return matrix.T if transpose else matrix


def _motif(header: str, matrix: np.ndarray, path: Path, table: dict[str, list[str]]) -> Motif:
    """Check and normalise one matrix."""
    if not header:
        msg = f"A motif of {path} has no name after its '>', the one that begins with {matrix[0].tolist()}."
        raise ValueError(msg)
    total = matrix.sum(1)
    if (matrix < 0).any() or (total <= 0).any():
        where = int(np.flatnonzero((matrix < 0).any(1) | (total <= 0))[0]) + 1
        msg = f"Motif {header!r} of {path}: position {where} has a negative number or no count at all."
        raise ValueError(msg)
    name, *rest = header.split()
    given = table.get(name)
    symbols = tuple(dict.fromkeys(given)) if given else _factors_of(name, rest)
    return Motif(name, matrix / total[:, None], symbols, float(total.max()) if total.max() > 1.5 else 0.0)


def _factors_of(name: str, rest: list[str]) -> tuple[str, ...]:
    """Guess the factors from a motif's name: the second word, or what follows a JASPAR identifier."""
    if rest:
        symbol = rest[0]
    else:
        last = name.rsplit("_", 1)[-1]
        head, _, tail = last.partition(".")
        version, _, symbol = tail.partition(".")
        if not (symbol and _VERSIONED.match(f"{head}.{version}")):
            return ()
    return tuple(symbol.split("::"))


def _factor_table(path: str | os.PathLike[str]) -> dict[str, list[str]]:
    """Read motif -> factors."""
    with open_text(path, "motif to factor table") as handle:
        lines = handle.read().splitlines()
    table: dict[str, list[str]] = {}
    for number, line in enumerate(lines):
        if number == 0 or line.startswith("#") or not line.strip():
            continue
        fields = line.split("\t")
        if len(fields) < 2:
            msg = f"{path}, line {number + 1}: expected motif and factor separated by a tab, found {line[:60]!r}."
            raise ValueError(msg)
        motif, factor = fields[0], fields[1]
        symbol = factor.rsplit(".", 1)[-1] if re.match(r"^[A-Z]{2,}\d+\.\d+\.", factor) else factor
        table.setdefault(motif, []).extend(symbol.split("::"))
    return table
