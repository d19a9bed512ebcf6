"""The order of chromosomes in a sorted file, found by looking at a few places of it."""

from __future__ import annotations

import re
from itertools import pairwise
from typing import TYPE_CHECKING, BinaryIO

import numpy as np

from scatacworks._core import bgzf
from scatacworks.io._chunks import BGZF_MAGIC

if TYPE_CHECKING:
    from pathlib import Path

    from scatacworks.genome import Genome

SMALL = 1 << 26  # files below so many bytes are not looked into: their fragments fit into memory anyway
_PLACES = 32
_NEAR = 1 << 15  # bytes
_WINDOW = 3 * bgzf.MAX_BLOCK


def chromosome_order(path: Path, kind: str, genome: Genome) -> list[int] | None:
    """Return the codes of the chromosomes in the order of the file, if it seems to be grouped by chromosome.

    Looks at 32 places and bisects between those that differ, so that every chromosome of a grouped file is found.
    `None` where the file is not grouped, too small to care, or can only be read from its beginning.
    """
    size = path.stat().st_size
    if size < SMALL or kind not in {"bgzf", "text"}:
        return None
    with path.open("rb") as file:
        places = np.linspace(0, max(0, size - _WINDOW), _PLACES).astype(int).tolist()
        text = _Text(file, size) if kind == "text" else _Blocks(file, size)
        names: list[str] = []
        seen = [text.name(place) for place in places] + [None]
        for i, (low, high) in enumerate(pairwise([*places, size])):
            for name in _between(text, (low, seen[i]), (high, seen[i + 1])):
                if not names or name != names[-1]:
                    names.append(name)
    codes = genome.resolve(names).tolist()
    known = [code for code in codes if code >= 0]
    return known if len(set(names)) == len(names) and len(set(known)) == len(known) else None


def _between(text: _Text | _Blocks, low: tuple[int, str | None], high: tuple[int, str | None]) -> list[str]:
    """Return the chromosomes between two places (byte, chromosome of the next line) of the file, in order."""
    if high[0] - low[0] > _NEAR and high[0] < text.size:
        if low[1] is not None and low[1] == high[1]:
            return [low[1]]
        at = (low[0] + high[0]) // 2
        middle = (at, text.name(at))
        return _between(text, low, middle) + _between(text, middle, high)
    return text.names(low[0], high[0])


def _names_in(text: bytes) -> list[str]:
    """Return the first columns of lines, once for each stretch of equal ones."""
    out: list[str] = []
    at = 0
    while at < len(text):
        name = _first_column(text, at)
        if name and not name.startswith(b"#"):
            out.append(name.decode("utf-8", "replace"))
        change = re.compile(rb"\n(?!" + re.escape(name) + rb"\t)").search(text, at)
        at = len(text) if change is None else change.end()
    return out


def _first_column(text: bytes, at: int) -> bytes:
    stop = text.find(b"\n", at)
    return text[at : stop if stop >= 0 else len(text)].partition(b"\t")[0].rstrip(b"\r")


def _lines(data: bytes, n: int, *, from_start: bool) -> bytes:
    """Return the whole lines of `data` from behind its first line feed to the first one at or behind byte `n`.

    So stretches that follow each other share no line and miss none.
    """
    begin = 0 if from_start else data.find(b"\n") + 1
    stop = data.find(b"\n", max(n, begin))
    return data[begin : stop if stop >= 0 else len(data)]


def _first_name(text: bytes) -> str | None:
    """Return the first column of the first line that is not a comment."""
    at = 0
    while text.startswith(b"#", at):
        at = text.find(b"\n", at) + 1
        if at == 0:
            return None
    return _first_column(text, at).decode("utf-8", "replace") if at < len(text) else None


class _Text:
    """A file that is not compressed."""

    def __init__(self, file: BinaryIO, size: int) -> None:
        self.file, self.size = file, size

    def name(self, at: int) -> str | None:
        """Return the chromosome of the first line behind byte `at`, if there is one near."""
        self.file.seek(at)
        data = self.file.read(1 << 12)
        return _first_name(_lines(data, len(data), from_start=at == 0))

    def names(self, low: int, high: int) -> list[str]:
        """Return the chromosomes of the lines that begin behind the first line feed of `[low, high)`, in order."""
        self.file.seek(low)
        data = self.file.read(high - low + _WINDOW)
        return _names_in(_lines(data, high - low, from_start=low == 0))


class _Blocks:
    """A BGZF file."""

    def __init__(self, file: BinaryIO, size: int) -> None:
        self.file, self.size, self.state = file, size, bgzf.make_state()

    def name(self, at: int) -> str | None:
        """Return the chromosome of the first line of the block behind byte `at`, if it has one."""
        data, _ = self._inflate(at, at + 1, 0)
        return _first_name(_lines(data, len(data), from_start=at == 0))

    def names(self, low: int, high: int) -> list[str]:
        """Return the chromosomes of the lines in the blocks that begin in `[low, high)`, in order."""
        data, n = self._inflate(low, high, 1)
        return _names_in(_lines(data, n, from_start=low == 0))

    def _inflate(self, low: int, high: int, more: int) -> tuple[bytes, int]:
        """Return the text of the blocks that begin in `[low, high)` and of `more`, and the size of the former's."""
        self.file.seek(low)
        data = self.file.read(high - low + (1 + more) * bgzf.MAX_BLOCK)
        begin = data.find(BGZF_MAGIC)
        if begin < 0:
            return b"", 0
        raw = np.frombuffer(data, np.uint8)[begin:]
        offsets, sizes, texts = (np.empty(len(raw) // len(bgzf.EOF_BLOCK) + 1, np.int64) for _ in range(3))
        n, _, _ = bgzf.find_blocks(raw, len(raw), offsets, sizes, texts)
        inside = max(1 - more, int(np.searchsorted(offsets[:n], high - low - begin + bgzf.HEADER)))
        n = min(n, inside + more)
        text = np.empty(int(texts[:n].sum()), np.uint8)
        status, _ = bgzf.inflate_blocks(raw, bgzf.Blocks(offsets, sizes, texts), 0, n, text, 0, state=self.state)
        return (text.tobytes(), int(texts[:inside].sum())) if status == bgzf.OK else (b"", 0)
