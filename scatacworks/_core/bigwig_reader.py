"""Read the runs of bigWig files: the index is walked once, sections are inflated by several threads."""

from __future__ import annotations

import mmap
import struct
from typing import TYPE_CHECKING

import numpy as np
from isal import isal_zlib

from scatacworks._core import bigwig_format as fmt

if TYPE_CHECKING:
    from collections.abc import Iterator
    from concurrent.futures import ThreadPoolExecutor
    from pathlib import Path

_BEDGRAPH, _VARIABLE_STEP, _FIXED_STEP = 1, 2, 3
_POINT = np.dtype([("start", "<u4"), ("value", "<f4")])
_SECTIONS_PER_TASK = 64
_LONGEST_NAME = 1 << 16
_LARGEST = fmt.SECTION.itemsize + 65_536 * fmt.ITEM.itemsize  # bytes that a section may inflate to


class Reader:
    """The runs of one bigWig file, which is open only while it is read: macOS lets a process open 256 files.

    Parameters
    ----------
    path
        The file.

    Raises
    ------
    ValueError
        If it is not a bigWig file, or it is cut off.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        try:
            self._read_header(self._map())
        except (struct.error, ValueError, OverflowError) as error:
            msg = str(error) if str(error).startswith("it ") else "it is cut off or damaged"
            raise ValueError(msg) from error

    def _map(self) -> mmap.mmap:
        with self._path.open("rb") as handle:
            return mmap.mmap(handle.fileno(), 0, access=mmap.ACCESS_READ)

    def _read_header(self, data: mmap.mmap) -> None:
        (magic,) = struct.unpack_from("<I", data, 0)
        if magic != fmt.MAGIC:
            swapped = int.from_bytes(magic.to_bytes(4, "little"), "big") == fmt.MAGIC
            msg = "it is written in big-endian order, which is not supported" if swapped else "it is not a bigWig file"
            raise ValueError(msg)
        tree, _, index = struct.unpack_from("<QQQ", data, 8)
        (buffer_bytes,) = struct.unpack_from("<I", data, 52)
        self._compressed = buffer_bytes > 0
        width = struct.unpack_from("<I", data, tree + 8)[0]
        if width > _LONGEST_NAME:  # NumPy counts the bytes of an item in 32 bits
            msg = "it is damaged: the names of its chromosomes have no measure"
            raise ValueError(msg)
        seen: set[int] = set()
        found = {code: (name, size) for name, code, size in _chroms(data, tree + 32, width, seen)}
        self.sizes: dict[str, int] = dict(found[code] for code in sorted(found))
        if not self.sizes or not all(0 < size < 1 << 31 for size in self.sizes.values()):
            msg = "it is damaged: it has no chromosome, or one without a length"
            raise ValueError(msg)
        self._codes = {name: code for code, (name, _) in found.items()}
        parts = list(_leaves(data, index + 48, seen))
        self._index = np.concatenate(parts) if parts else np.empty(0, fmt.LEAF)

    def runs(self, chrom: str, *, pool: ThreadPoolExecutor) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Return starts (int32), lengths (int32) and values (float32) of one chromosome, as they are stored.

        Raises
        ------
        ValueError
            If a section is damaged.
        """
        code = self._codes[chrom]
        leaves = self._index[(self._index["chrom"] <= code) & (self._index["end_chrom"] >= code)]
        tasks = [leaves[i : i + _SECTIONS_PER_TASK] for i in range(0, len(leaves), _SECTIONS_PER_TASK)]
        data = self._map() if tasks else None
        parts = [part for parts in pool.map(lambda task: self._sections(data, task, code), tasks) for part in parts]
        items = np.concatenate(parts) if parts else np.empty(0, fmt.ITEM)
        starts = items["start"].astype(np.int32)
        return starts, items["end"].astype(np.int32) - starts, items["value"].astype(np.float32)

    def _sections(self, data: mmap.mmap, leaves: np.ndarray, code: int) -> list[np.ndarray]:
        parts = []
        for offset, size in zip(leaves["offset"].tolist(), leaves["size"].tolist(), strict=True):
            raw = data[offset : offset + size]
            try:
                section = _inflated(raw) if self._compressed else raw
                items = _items(section, code)
            except (isal_zlib.error, EOFError, ValueError, struct.error, IndexError) as error:
                msg = f"the section at byte {offset:,} is cut off or damaged"
                raise ValueError(msg) from error
            if len(items):
                parts.append(items)
        return parts


def _node(
    data: mmap.mmap, offset: int, seen: set[int], dtype_leaf: np.dtype, dtype_branch: np.dtype
) -> tuple[bool, np.ndarray]:
    """Return whether a node of a tree is a leaf, and its items; `seen` are the nodes met so far."""
    if offset in seen:  # a tree that leads back to itself has no end
        msg = "it is damaged: a node of its index is met twice"
        raise ValueError(msg)
    seen.add(offset)
    is_leaf, _, count = struct.unpack_from("<BBH", data, offset)
    dtype = dtype_leaf if is_leaf else dtype_branch
    return bool(is_leaf), np.frombuffer(data, dtype, count, offset + 4)


def _chroms(data: mmap.mmap, offset: int, width: int, seen: set[int]) -> Iterator[tuple[str, int, int]]:
    leaf = np.dtype([("name", f"S{width}"), ("code", "<u4"), ("size", "<u4")])
    is_leaf, items = _node(data, offset, seen, leaf, np.dtype([("name", f"S{width}"), ("offset", "<u8")]))
    for item in items:
        if is_leaf:
            yield item["name"].decode(), int(item["code"]), int(item["size"])
        else:
            yield from _chroms(data, int(item["offset"]), width, seen)


def _leaves(data: mmap.mmap, offset: int, seen: set[int]) -> Iterator[np.ndarray]:
    is_leaf, items = _node(data, offset, seen, fmt.LEAF, fmt.BRANCH)
    if is_leaf:
        yield items.copy()
        return
    for child in items["offset"].tolist():
        yield from _leaves(data, child, seen)


def _inflated(raw: bytes) -> bytes:
    """Return a section; one that holds more than there can be in it is damaged."""
    inflater = isal_zlib.decompressobj()
    section = inflater.decompress(raw, _LARGEST)
    if not inflater.eof:
        raise EOFError
    return section


def _items(section: bytes, code: int) -> np.ndarray:
    """Return the items of a section of any of the three kinds; none if it is of another chromosome."""
    head = np.frombuffer(section, fmt.SECTION, 1)[0]
    count, body = int(head["count"]), fmt.SECTION.itemsize
    if head["chrom"] != code:
        return np.empty(0, fmt.ITEM)
    if head["kind"] == _BEDGRAPH:
        return np.frombuffer(section, fmt.ITEM, count, body)
    items = np.empty(count, fmt.ITEM)
    if head["kind"] == _VARIABLE_STEP:
        points = np.frombuffer(section, _POINT, count, body)
        items["start"], items["value"] = points["start"], points["value"]
    elif head["kind"] == _FIXED_STEP:
        items["start"] = head["start"] + head["step"] * np.arange(count, dtype=np.uint32)
        items["value"] = np.frombuffer(section, "<f4", count, body)
    else:
        msg = f"unknown kind of section {head['kind']}"
        raise ValueError(msg)
    items["end"] = items["start"] + head["span"]
    return items
