"""A set of names (barcodes, chromosomes) coded 0, 1, 2 … in order of arrival: open addressing, exact comparison."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from scatacworks._core.words import PAD, address, hash_bytes, load8, load64, low_bytes
from scatacworks._numba import njit

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence


class Table(NamedTuple):
    """The arrays of a set of names. `used` is (number of names, bytes of the arena in use)."""

    slots: np.ndarray  # int64 (capacity, 2): hash of a name, and its code (-1: free); the capacity is a power of two
    offsets: np.ndarray  # int64 (room,), where a name begins in the arena, a multiple of 8
    sizes: np.ndarray  # int64 (room,), its bytes
    arena: np.ndarray  # uint8, names padded with zeros to whole words
    used: np.ndarray  # int64 (2,)


class View(NamedTuple):
    """Addresses of a table's arrays, for loops that shall not count references."""

    slots: int
    offsets: int
    sizes: int
    arena: int
    mask: int  # capacity - 1


def make_table(room: int, n_bytes: int) -> Table:
    """Make an empty table with room for so many names and bytes."""
    capacity = 1 << max(4, int(2 * room).bit_length())
    return Table(
        np.full((capacity, 2), -1, np.int64),
        np.zeros(room, np.int64),
        np.zeros(room, np.int64),
        np.zeros(n_bytes + PAD, np.uint8),
        np.zeros(2, np.int64),
    )


@njit(forceinline=True)
def view(table: Table) -> View:
    """Return the addresses of a table, which must be kept alive."""
    return View(
        address(table.slots),
        address(table.offsets),
        address(table.sizes),
        address(table.arena),
        np.int64(len(table.slots) - 1),
    )


@njit(forceinline=True)
def find(names: View, at: int, size: int, key: np.uint64) -> int:
    """Return the code of the name of `size` bytes at an address, given its hash; -1 if it is not there."""
    slot = np.int64(key) & names.mask
    while True:
        code = np.int64(load64(names.slots + 16 * slot + 8))
        if code < 0:
            return code
        if load64(names.slots + 16 * slot) == key and load64(names.sizes + 8 * code) == np.uint64(size):
            known, here, left = names.arena + np.int64(load64(names.offsets + 8 * code)), at, size
            while left > 8 and load64(known) == load64(here):
                known += 8
                here += 8
                left -= 8
            if left <= 8 and load64(known) == low_bytes(load64(here), left):
                return code
        slot = (slot + 1) & names.mask


@njit
def has_room(table: Table, size: int) -> bool:
    """Tell whether one more name of `size` bytes fits."""
    n, filled = table.used[0], table.used[1]
    return n < len(table.offsets) and filled + size + PAD <= len(table.arena)


@njit
def add(table: Table, at: int, size: int, key: np.uint64) -> int:
    """Add the name at an address, which is not there yet (room must be there); returns its code."""
    code, offset = table.used[0], table.used[1]
    for i in range(size):
        table.arena[offset + i] = load8(at + i)
    table.offsets[code] = offset
    table.sizes[code] = size
    table.used[0] = code + 1
    table.used[1] = offset + (size + 7) // 8 * 8
    mask = len(table.slots) - 1
    slot = np.int64(key) & mask
    while table.slots[slot, 1] >= 0:
        slot = (slot + 1) & mask
    table.slots[slot, 0] = np.int64(key)
    table.slots[slot, 1] = code
    return code


@njit
def _add_all(table: Table, text: np.ndarray, offsets: np.ndarray, sizes: np.ndarray, codes: np.ndarray) -> None:
    """Look up or add many names; writes their codes."""
    begin, names = address(text), view(table)
    for i in range(len(offsets)):
        at, size = begin + offsets[i], np.int64(sizes[i])
        key = hash_bytes(at, size)
        code = find(names, at, size, key)
        codes[i] = code if code >= 0 else add(table, at, size, key)


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
        sizes = np.fromiter((len(name) for name in encoded), np.int64, len(encoded))
        offsets = np.cumsum(sizes) - sizes
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

    def packed(self, first: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
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
