"""The pieces of a bigWig file: record types, chromosome tree, index.

The layout is that of Kent et al. 2010 (doi:10.1093/bioinformatics/btq351), version 4, little-endian.
"""

from __future__ import annotations

import struct
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

MAGIC, CHROM_MAGIC, INDEX_MAGIC = 0x888FFC26, 0x78CA8C91, 0x2468ACE0
HEADER_BYTES, ZOOM_HEADER_BYTES, SUMMARY_BYTES = 64, 24, 40
ITEMS_PER_SECTION = 1024
_FANOUT = 256  # children of a node of the index

ITEM = np.dtype([("start", "<u4"), ("end", "<u4"), ("value", "<f4")])
SECTION = np.dtype(
    [
        *(("chrom", "<u4"), ("start", "<u4"), ("end", "<u4"), ("step", "<u4"), ("span", "<u4")),
        *(("kind", "u1"), ("reserved", "u1"), ("count", "<u2")),
    ]
)
ZOOM = np.dtype(
    [
        *(("chrom", "<u4"), ("start", "<u4"), ("end", "<u4"), ("valid", "<u4")),
        *(("min", "<f4"), ("max", "<f4"), ("sum", "<f4"), ("sum_squares", "<f4")),
    ]
)
BRANCH = np.dtype([("chrom", "<u4"), ("start", "<u4"), ("end_chrom", "<u4"), ("end", "<u4"), ("offset", "<u8")])
LEAF = np.dtype([*BRANCH.descr, ("size", "<u8")])


def leaves_of(items: np.ndarray, chrom: int) -> np.ndarray:
    """Return one index leaf (offset and size still open) per section of `items`, all on one chromosome."""
    first = np.arange(0, len(items), ITEMS_PER_SECTION)
    last = np.minimum(first + ITEMS_PER_SECTION, len(items)) - 1
    leaves = np.zeros(len(first), LEAF)
    leaves["chrom"] = leaves["end_chrom"] = chrom
    leaves["start"], leaves["end"] = items["start"][first], items["end"][last]
    return leaves


def section_headers(leaves: np.ndarray, n_items: int) -> np.ndarray:
    """Return the headers of the bedGraph sections behind these leaves."""
    headers = np.zeros(len(leaves), SECTION)
    for name in ("chrom", "start", "end"):
        headers[name] = leaves[name]
    headers["kind"], headers["count"] = 1, ITEMS_PER_SECTION
    headers["count"][-1] = n_items - ITEMS_PER_SECTION * (len(leaves) - 1)
    return headers


def chrom_tree(chroms: Sequence[str], sizes: Mapping[str, int]) -> bytes:
    """Return the tree of chromosomes, which must be sorted by name; their codes count up.

    Raises
    ------
    ValueError
        If there are more than the 65,535 chromosomes that fit one node.
    """
    if len(chroms) > 65535:
        msg = f"A bigWig holds at most 65,535 chromosomes here, the genome has {len(chroms):,}; leave out some contigs."
        raise ValueError(msg)
    width = max((len(chrom.encode()) for chrom in chroms), default=1)
    leaf = np.zeros(len(chroms), [("name", f"S{width}"), ("code", "<u4"), ("size", "<u4")])
    leaf["name"], leaf["code"] = [chrom.encode() for chrom in chroms], np.arange(len(chroms))
    leaf["size"] = [sizes[chrom] for chrom in chroms]
    head = struct.pack("<IIIIQQ", CHROM_MAGIC, max(1, len(chroms)), width, 8, len(chroms), 0)
    return head + struct.pack("<BBH", 1, 0, len(chroms)) + leaf.tobytes()


def index(leaves: np.ndarray, offset: int) -> bytes:
    """Return the index (an R-tree) over sorted leaves, to be written at `offset` of the file."""
    levels = [leaves]
    while len(levels[0]) > _FANOUT:
        levels.insert(0, _parents(levels[0]))
    bounds = _bounds(leaves) if len(leaves) else (0, 0, 0, 0)
    end = int(leaves["offset"][-1] + leaves["size"][-1]) if len(leaves) else offset
    head = struct.pack("<IIQIIIIQII", INDEX_MAGIC, _FANOUT, len(leaves), *bounds, end, ITEMS_PER_SECTION, 0)
    position = offset + len(head)
    out = [head]
    for depth, level in enumerate(levels):
        position += _level_bytes(level)
        if depth + 1 < len(levels):
            first = np.arange(0, len(levels[depth + 1]), _FANOUT)
            level["offset"] = position + 4 * np.arange(len(first)) + levels[depth + 1].itemsize * first
        out.extend(_nodes(level, is_leaf=depth + 1 == len(levels)))
    return b"".join(out)


def _parents(nodes: np.ndarray) -> np.ndarray:
    """Return one branch (offset still open) per block of children."""
    first = np.arange(0, len(nodes), _FANOUT)
    last = np.minimum(first + _FANOUT, len(nodes)) - 1
    parents = np.zeros(len(first), BRANCH)
    for name, which in (("chrom", first), ("start", first), ("end_chrom", last), ("end", last)):
        parents[name] = nodes[name][which]
    return parents


def _bounds(nodes: np.ndarray) -> tuple[int, int, int, int]:
    return int(nodes["chrom"][0]), int(nodes["start"][0]), int(nodes["end_chrom"][-1]), int(nodes["end"][-1])


def _level_bytes(level: np.ndarray) -> int:
    return 4 * max(1, -(-len(level) // _FANOUT)) + level.nbytes


def _nodes(level: np.ndarray, *, is_leaf: bool) -> list[bytes]:
    out = []
    for first in range(0, max(1, len(level)), _FANOUT):
        block = level[first : first + _FANOUT]
        out += [struct.pack("<BBH", is_leaf, 0, len(block)), block.tobytes()]
    return out
