"""Text files in any compression, read as chunks that threads can turn into text on their own.

A chunk's text begins and ends anywhere; whoever reads the chunks in order joins the lines.
"""

from __future__ import annotations

import io
import warnings
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, BinaryIO

import numpy as np
from isal import igzip

from scatacworks._core import bgzf
from scatacworks._core.words import PAD
from scatacworks._files import require_file

if TYPE_CHECKING:
    import os
    from collections.abc import Callable, Iterator
    from pathlib import Path
    from types import ModuleType

RAW_CHUNK = 1 << 20  # bytes read at a time from a BGZF file
TEXT_CHUNK = 1 << 22  # bytes of text read at a time from any other
_ZSTD_PIECE = 1 << 13  # bytes read at a time from a zstd file, which may hold 30,000 times as much text
_BATCH = 8  # blocks inflated at a time: half a megabyte of text stays in the cache of a core
BGZF_MAGIC = b"\x1f\x8b\x08\x04"  # gzip with extra fields
_MAGIC = {b"\x1f\x8b": "gzip", b"\x28\xb5\x2f\xfd": "zstd", b"BAM\x01": "BAM", b"CRAM": "CRAM", b"\x89HDF": "HDF5"}
_WAYS_OUT = {
    "BAM": "Turn it into fragments with sca.io.bam_to_fragments.",
    "CRAM": "Turn it into fragments with sca.io.bam_to_fragments.",
    "HDF5": "Open it with anndata.read_h5ad and pass the object.",
}


@dataclass
class Text:
    """A chunk that is text already."""

    data: np.ndarray  # uint8

    def batches(self, buffer: Buffer) -> Iterator[int]:
        """Put the text behind what `buffer` holds; yields how many bytes it holds then."""
        yield buffer.append(self.data)


@dataclass
class Deflated:
    """A chunk of whole BGZF blocks."""

    raw: np.ndarray  # uint8
    blocks: bgzf.Blocks
    offset: int  # of `raw` in the file
    path: Path

    def batches(self, buffer: Buffer) -> Iterator[int]:
        """Inflate a few blocks at a time behind what `buffer` holds; yields how many bytes it holds then."""
        n = len(self.blocks.offsets)
        for first in range(0, n, _BATCH):
            last = min(first + _BATCH, n)
            size = int(self.blocks.texts[first:last].sum())
            at = buffer.make_room(size)
            status, block = bgzf.inflate_blocks(self.raw, self.blocks, first, last, buffer.data, at, state=buffer.state)
            if status != bgzf.OK:
                where = self.offset + int(self.blocks.offsets[block])
                what = "its checksum (CRC) is wrong" if status == bgzf.BAD_CRC else "its data cannot be inflated"
                msg = f"{self.path} is damaged: in the BGZF block at byte {where:,} {what}. Copy the file again."
                raise ValueError(msg)
            buffer.size += size
            yield buffer.size


class Buffer:
    """A worker's text buffer: grows as needed, is used again and again, and can be read `PAD` bytes beyond its end."""

    def __init__(self) -> None:
        self.data = np.zeros((_BATCH + 1) * bgzf.MAX_BLOCK + PAD, np.uint8)
        self.size = 0
        self.state = bgzf.make_state()

    def make_room(self, n: int) -> int:
        """Make room for `n` bytes more; returns where they go."""
        if self.size + n + PAD > len(self.data):
            data = np.zeros(2 * (self.size + n) + PAD, np.uint8)
            data[: self.size] = self.data[: self.size]
            self.data = data
        return self.size

    def append(self, data: np.ndarray) -> int:
        """Add bytes; returns the bytes held then."""
        at = self.make_room(len(data))
        self.data[at : at + len(data)] = data
        self.size += len(data)
        return self.size

    def keep_from(self, at: int) -> None:
        """Drop the bytes before `at`."""
        rest = self.data[at : self.size].copy()
        self.data[: len(rest)] = rest
        self.size = len(rest)


Chunk = Text | Deflated


def file_kind(path: str | os.PathLike[str]) -> str:
    """Return `"bgzf"`, `"gzip"`, `"zstd"` or `"text"`.

    Raises
    ------
    FileNotFoundError, IsADirectoryError, ValueError
        If the file is missing, a folder, empty, or of a known other format.
    """
    path = require_file(path, "fragment file")
    with path.open("rb") as file:
        head = file.read(64)
    kind = next((kind for magic, kind in _MAGIC.items() if head.startswith(magic)), "text")
    if head.startswith(BGZF_MAGIC) and b"BC\x02\x00" in head[12:64]:
        kind = "BAM" if _first_text(path) == b"BAM\x01" else "bgzf"
    if kind in _WAYS_OUT:
        msg = f"{path} is a {kind} file, not a fragment file. {_WAYS_OUT[kind]}"
        raise ValueError(msg)
    return kind


def _first_text(path: Path) -> bytes:
    try:
        with igzip.open(path, "rb") as file:
            return file.read(4)
    except (OSError, EOFError, *bgzf.InflateErrors):
        return b""


def read_chunks(path: Path, kind: str, note: Callable[[int], Any]) -> Iterator[Chunk]:
    """Read a file from beginning to end; `note` is called with the bytes of the file used up by each chunk."""
    if kind == "bgzf":
        yield from _read_bgzf(path, note)
    elif kind == "text":
        with path.open("rb") as file:
            yield from _read_stream(file, path, file, note)
    else:
        with path.open("rb") as raw, open_compressed(raw, kind, path) as file:
            yield from _read_stream(file, path, raw, note)


def open_compressed(raw: BinaryIO, kind: str, path: Path) -> BinaryIO:
    """Open a gzip or zstd file for the text in it."""
    if kind == "gzip":
        return igzip.open(raw, "rb")
    try:
        import zstandard
    except ImportError as error:
        msg = f"Reading {path} (zstd) needs the package zstandard: pip install zstandard; or recompress it with bgzip."
        raise ImportError(msg) from error
    return _Zstd(raw, zstandard)


class _Zstd(io.RawIOBase):
    """The text of a zstd file; unlike the package's own reader, it tells where the last frame is cut off."""

    def __init__(self, raw: BinaryIO, zstandard: ModuleType) -> None:
        self._raw, self._zstandard = raw, zstandard
        self._frame, self._rest = None, b""  # of the frame that is open; bytes behind the one that ended

    def read(self, n: int) -> bytes:
        """Return `n` bytes or somewhat more; fewer at the end."""
        parts: list[bytes] = []
        while sum(map(len, parts)) < n:
            piece = self._rest or self._raw.read(_ZSTD_PIECE)
            if not piece and self._frame is not None:
                raise EOFError
            if not piece:
                break
            self._frame = self._frame or self._zstandard.ZstdDecompressor().decompressobj()
            try:
                parts.append(self._frame.decompress(piece))
            except self._zstandard.ZstdError as error:
                raise OSError(str(error)) from error
            self._rest = self._frame.unused_data
            if self._frame.eof:
                self._frame = None
        return b"".join(parts)


def _read_stream(file: BinaryIO, path: Path, raw: BinaryIO, note: Callable[[int], Any]) -> Iterator[Text]:
    """Read text of a stream that only goes forward."""
    before = 0
    while True:
        try:
            data = file.read(TEXT_CHUNK)
        except EOFError as error:
            msg = f"{path} is truncated: the compressed data end in the middle. Copy or download the file again."
            raise ValueError(msg) from error
        except (*bgzf.InflateErrors, OSError) as error:
            msg = f"{path} is damaged and cannot be decompressed ({error}). Copy or download the file again."
            raise ValueError(msg) from error
        if not data:
            return
        position = raw.tell()
        note(position - before)
        before = position
        yield Text(np.frombuffer(data, np.uint8))


def _read_bgzf(path: Path, note: Callable[[int], Any]) -> Iterator[Chunk]:
    """Read whole blocks; goes on as plain gzip where a member is not a BGZF block."""
    room = RAW_CHUNK // 64
    with path.open("rb", buffering=0) as file:
        position, size, last = 0, path.stat().st_size, b""
        while position < size:
            file.seek(position)
            raw = np.empty(min(RAW_CHUNK, size - position), np.uint8)
            got = file.readinto(memoryview(raw))
            offsets, sizes, texts = (np.empty(room, np.int64) for _ in range(3))
            n, used, status = bgzf.find_blocks(raw, got, offsets, sizes, texts)
            if n:
                yield Deflated(raw[:used], bgzf.Blocks(offsets[:n], sizes[:n], texts[:n]), position, path)
                last = raw[max(0, used - len(bgzf.EOF_BLOCK)) : used].tobytes()
            elif status == bgzf.OK:
                msg = (
                    f"{path} is truncated: the BGZF block at byte {position:,} of {size:,} is cut. "
                    "Copy or download the file again."
                )
                raise ValueError(msg)
            else:
                yield from _read_rest(path, position, note)
                return
            note(used)
            position += used
    if last != bgzf.EOF_BLOCK:
        _warn_no_end(path)


def _read_rest(path: Path, position: int, note: Callable[[int], Any]) -> Iterator[Text]:
    with path.open("rb") as raw:
        raw.seek(position)
        if raw.read(2) != b"\x1f\x8b":
            msg = f"{path} is damaged: at byte {position:,} neither a gzip member nor the end of the file follows."
            raise ValueError(msg)
        raw.seek(position)
        with igzip.open(raw, "rb") as file:
            yield from _read_stream(file, path, raw, note)


def _warn_no_end(path: Path) -> None:
    msg = (
        f"{path} lacks the end-of-file block of BGZF: it may have been cut short. Compare its size with the original's."
    )
    warnings.warn(msg, UserWarning, stacklevel=2)
