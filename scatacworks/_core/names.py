"""A set of names (barcodes, chromosomes) coded 0, 1, 2 … in order of arrival: open addressing, exact comparison."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from scatacworks._core.words import PAD, hash_bytes, load64, low_bytes
from scatacworks._numba import njit

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence


class Table(NamedTuple):
    """The arrays of a set of names. `used` is (number of names, bytes of the arena in use)."""

    slots: np.ndarray  # int32 (capacity,), code of the name kept there or -1; the capacity is a power of two
    tags: np.ndarray  # uint64 (capacity,), hash of that name
    offsets: np.ndarray  # int64 (room,), where a name begins in the arena, a multiple of 8
    sizes: np.ndarray  # int32 (room,), its bytes
    arena: np.ndarray  # uint8, names padded with zeros to whole words
    used: np.ndarray  # int64 (2,)


def make_table(room: int, n_bytes: int) -> Table:
    """Make an empty table with room for so many names and bytes."""
    capacity = 1 << max(4, int(2 * room).bit_length())
    return Table(
        np.full(capacity, -1, np.int32),
        np.zeros(capacity, np.uint64),
        np.zeros(room, np.int64),
        np.zeros(room, np.int32),
        np.zeros(n_bytes + PAD, np.uint8),
        np.zeros(2, np.int64),
    )


@njit
def find(table: Table, text: np.ndarray, at: int, size: int, key: np.uint64) -> np.int32:
    """Return the code of the name `text[at:at + size]` with this hash, or -1."""
    mask = len(table.slots) - 1
    slot = np.int64(key & np.uint64(mask))
    while True:
        code = table.slots[slot]
        if code < 0:
            return np.int32(-1)
        if table.tags[slot] == key and table.sizes[code] == size:
            known, here, left = table.offsets[code], at, size
            while left > 8 and load64(table.arena, known) == load64(text, here):
                known += 8
                here += 8
                left -= 8
            if left <= 8 and load64(table.arena, known) == low_bytes(load64(text, here), left):
                return code
        slot = (slot + 1) & mask


@njit
def has_room(table: Table, size: int) -> bool:
    """Tell whether one more name of `size` bytes fits."""
    n, filled = table.used[0], table.used[1]
    return n < len(table.offsets) and filled + size + PAD <= len(table.arena)


@njit
def add(table: Table, text: np.ndarray, at: int, size: int, key: np.uint64) -> np.int32:
    """Add a name that is not there yet (room must be there); returns its code."""
    code, offset = table.used[0], table.used[1]
    for i in range(size):
        table.arena[offset + i] = text[at + i]
    table.offsets[code] = offset
    table.sizes[code] = size
    table.used[0] = code + 1
    table.used[1] = offset + (size + 7) // 8 * 8
    mask = len(table.slots) - 1
    slot = np.int64(key & np.uint64(mask))
    while table.slots[slot] >= 0:
        slot = (slot + 1) & mask
    table.slots[slot] = code
    table.tags[slot] = key
    return np.int32(code)


@njit
def _add_all(table: Table, text: np.ndarray, offsets: np.ndarray, sizes: np.ndarray, codes: np.ndarray) -> None:
    """Look up or add many names; writes their codes."""
    for i in range(len(offsets)):
        key = hash_bytes(text, offsets[i], sizes[i])
        code = find(table, text, offsets[i], sizes[i], key)
        codes[i] = code if code >= 0 else add(table, text, offsets[i], sizes[i], key)


class Names:
    """A growing set of names.

    Parameters
    ----------
    names
        The first names, coded 0, 1, 2 …; a name given twice keeps its first code.
    room
        Names to make room for beside these.
    """

    def __init__(self, names: Iterable[str | bytes] = (), *, room: int = 1024) -> None:
        encoded = [name if isinstance(name, bytes) else name.encode() for name in names]
        self.table = make_table(len(encoded) + room, sum(len(name) + 8 for name in encoded) + 32 * room)
        self.add(encoded)

    def __len__(self) -> int:
        return int(self.table.used[0])

    def add(self, encoded: Sequence[bytes]) -> np.ndarray:
        """Add names; returns the code of each, int32."""
        sizes = np.fromiter((len(name) for name in encoded), np.int32, len(encoded))
        offsets = np.cumsum(sizes, dtype=np.int64) - sizes
        return self.add_packed(np.frombuffer(b"".join(encoded) + bytes(PAD), np.uint8), offsets, sizes)

    def add_packed(self, text: np.ndarray, offsets: np.ndarray, sizes: np.ndarray) -> np.ndarray:
        """Add the names `text[offset:offset + size]`; returns the code of each, int32."""
        self.reserve(len(self) + len(sizes), int(self.table.used[1]) + int(sizes.sum()) + 8 * len(sizes))
        codes = np.empty(len(sizes), np.int32)
        _add_all(self.table, text, offsets, sizes, codes)
        return codes

    def reserve(self, room: int, n_bytes: int) -> None:
        """Make room for so many names and bytes in all; at least doubles what it changes."""
        old = self.table
        if room <= len(old.offsets) and n_bytes + PAD <= len(old.arena):
            return
        table = make_table(max(room, 2 * len(old.offsets)), max(n_bytes, 2 * len(old.arena)))
        n = len(self)
        _add_all(table, old.arena, old.offsets[:n], old.sizes[:n], np.empty(n, np.int32))
        self.table = table

    def grow(self) -> None:
        """Double the room."""
        self.reserve(2 * len(self.table.offsets), 2 * len(self.table.arena))

    def packed(self, first: int = 0) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Return copies of (text, offsets, sizes) of the names from `first` on."""
        n, filled = self.table.used
        begin = int(self.table.offsets[first]) if first < n else int(filled)
        text = np.concatenate([self.table.arena[begin:filled], np.zeros(PAD, np.uint8)])
        return text, self.table.offsets[first:n] - begin, self.table.sizes[first:n].copy()

    def decode(self, first: int = 0, last: int | None = None) -> list[str]:
        """Return the names `first` to `last` (excluded) as text."""
        last = len(self) if last is None else min(last, len(self))
        arena, offsets, sizes = self.table.arena, self.table.offsets, self.table.sizes
        spans = zip(offsets[first:last].tolist(), sizes[first:last].tolist(), strict=True)
        return [arena[offset : offset + size].tobytes().decode("utf-8", "backslashreplace") for offset, size in spans]
