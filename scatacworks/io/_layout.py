"""The order of chromosomes in a sorted file, found by looking at a few places of it."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from scatacworks._core import bgzf

if TYPE_CHECKING:
    from pathlib import Path

    from scatacworks.genome import Genome

SMALL = 1 << 22  # files below so many bytes are not looked into: they fit into memory anyway
_PLACES = 64
_WINDOW = 3 * bgzf.MAX_BLOCK
_MAGIC = b"\x1f\x8b\x08\x04"


def chromosome_order(path: Path, kind: str, genome: Genome) -> list[int] | None:
    """Return the codes of the chromosomes in the order of the file, if it seems to be grouped by chromosome.

    Looks at 64 places and bisects between those that differ, so that every chromosome of a grouped file is found.
    `None` where the file is not grouped, too small to care, or can only be read from its beginning.
    """
    size = path.stat().st_size
    if size < SMALL or kind not in {"bgzf", "text"}:
        return None
    with path.open("rb") as file:
        places = np.linspace(0, size - _WINDOW, _PLACES).astype(int).tolist()
        text = _Text(file, size) if kind == "text" else _Blocks(file, size)
        names: list[str] = []
        for low, high in zip(places, [*places[1:], size], strict=True):
            for name in _between(text, low, high):
                if not names or name != names[-1]:
                    names.append(name)
    codes = genome.resolve(names).tolist()
    known = [code for code in codes if code >= 0]
    return known if len(set(names)) == len(names) and len(set(known)) == len(known) else None


def _between(text: _Text | _Blocks, low: int, high: int) -> list[str]:
    """Return the chromosomes from byte `low` to `high` of the file, in order."""
    here = text.names(low, low + 1)
    if high >= text.size or high - low <= 2 * bgzf.MAX_BLOCK:
        return [*here, *text.names(low, high)]
    there = text.names(high, high + 1)
    if here[:1] == there[:1] and here:
        return here[:1]
    middle = (low + high) // 2
    return _between(text, low, middle) + _between(text, middle, high)


def _names_of(lines: list[bytes]) -> list[str]:
    """Return the first columns, each once for a stretch of equal ones."""
    out: list[str] = []
    for line in lines:
        name = line.partition(b"\t")[0]
        if name and not name.startswith(b"#") and (not out or name.decode("utf-8", "replace") != out[-1]):
            out.append(name.decode("utf-8", "replace"))
    return out


class _Text:
    """A file that is not compressed."""

    def __init__(self, file, size: int) -> None:  # noqa: ANN001
        self.file, self.size = file, size

    def names(self, low: int, high: int) -> list[str]:
        """Return the chromosomes of the lines that begin in `[low, high)`, at least one line's."""
        self.file.seek(low)
        data = self.file.read(max(high - low, 0) + bgzf.MAX_BLOCK)
        lines = data.split(b"\n")
        first = 0 if low == 0 else 1
        return _names_of(lines[first:-1] if high > low + 1 else _one_line(lines[first:-1]))


class _Blocks:
    """A BGZF file."""

    def __init__(self, file, size: int) -> None:  # noqa: ANN001
        self.file, self.size = file, size

    def names(self, low: int, high: int) -> list[str]:
        """Return the chromosomes of the lines in the blocks that begin in `[low, high)`, at least one line's."""
        self.file.seek(low)
        raw = self.file.read(max(high - low, 0) + _WINDOW)
        begin = raw.find(_MAGIC)
        if begin < 0:
            return []
        data = np.frombuffer(raw, np.uint8)[begin:]
        offsets, sizes, texts = (np.empty(4096, np.int64) for _ in range(3))
        n, _, _ = bgzf.find_blocks(data, len(data), offsets, sizes, texts)
        wanted = max(2, int(np.searchsorted(offsets[:n], high - low)) + 1)
        blocks = bgzf.Blocks(offsets[: min(n, wanted)], sizes, texts)
        text = np.empty(int(texts[: len(blocks.offsets)].sum()), np.uint8)
        status, _ = bgzf.inflate_blocks(data, blocks, 0, len(blocks.offsets), text, 0)
        if status != bgzf.OK:
            return []
        lines = text.tobytes().split(b"\n")
        first = 0 if low == 0 else 1
        return _names_of(lines[first:-1] if high > low + 1 else _one_line(lines[first:-1]))


def _one_line(lines: list[bytes]) -> list[bytes]:
    """Return the first line that is not a comment."""
    return next(([line] for line in lines if line and not line.startswith(b"#")), [])
