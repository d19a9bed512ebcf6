"""Eight bytes of text at a time: unaligned loads, and what can be told from one 64-bit word (little-endian)."""

from __future__ import annotations

from typing import Any

import numpy as np
from llvmlite import ir
from numba import types
from numba.extending import intrinsic

from scatacworks._numba import njit

PAD = 64  # bytes that must be readable behind any text given to these functions

_HIGH = np.uint64(0x8080808080808080)
_BELOW_14 = np.uint64(0x0E0E0E0E0E0E0E0E)
_ZEROS = np.uint64(0x3030303030303030)  # the text "00000000"
_ABOVE_9 = np.uint64(0x7676767676767676)
_GOLDEN = np.uint64(0x9E3779B97F4A7C15)
_U8, _U16, _U32 = np.uint64(8), np.uint64(16), np.uint64(32)
_NIBBLES = np.uint64(0x0F0F0F0F0F0F0F0F)
_PAIRS = np.uint64(0x00FF00FF00FF00FF)
_QUADS = np.uint64(0x0000FFFF0000FFFF)
_TEN_1 = np.uint64(2561)  # 10 * 2**8 + 1
_TEN_2 = np.uint64(6553601)  # 100 * 2**16 + 1
_TEN_4 = np.uint64(42949672960001)  # 10,000 * 2**32 + 1


def _loader(bits: int) -> Any:
    """Make a function that loads an unsigned number of so many bits at an address, whatever the alignment."""

    def load(typingctx: Any, address: Any) -> Any:
        def generate(context: Any, builder: Any, signature: Any, args: Any) -> Any:
            pointer = builder.inttoptr(args[0], ir.IntType(bits).as_pointer())
            value = builder.load(pointer, align=1)
            return value if bits == 64 else builder.zext(value, ir.IntType(64))

        return (types.uint64 if bits == 64 else types.int64)(types.int64), generate

    return intrinsic(load)


load8, load16, load32, load64 = map(_loader, (8, 16, 32, 64))


@njit(forceinline=True)
def address(array: np.ndarray) -> int:
    """Return the address of an array; the caller keeps the array alive. Loads from it need no reference counts."""
    return np.int64(array.ctypes.data)


@intrinsic
def trailing_zeros(typingctx: Any, word: Any) -> Any:
    """Count the zero bits below the lowest set bit; 64 for zero."""

    def generate(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        return builder.cttz(args[0], ir.Constant(ir.IntType(1), 0))

    return types.uint64(types.uint64), generate


@njit(forceinline=True)
def control_bytes(word: np.uint64) -> np.uint64:
    """Mark (0x80) the first byte below 14 - tab, line feed, carriage return; marks behind the first may be wrong."""
    return (word - _BELOW_14) & ~word & _HIGH


@njit(forceinline=True)
def low_bytes(word: np.uint64, n: int) -> np.uint64:
    """Keep the first `n` (1 to 8) bytes of a word."""
    return word & (~np.uint64(0) >> np.uint64(64 - 8 * n))


@njit(forceinline=True)
def mix(state: np.uint64, word: np.uint64) -> np.uint64:
    """Stir one word into a hash."""
    state = (state ^ word) * _GOLDEN
    return state ^ (state >> _U32)


@njit(forceinline=True)
def number(at: int) -> tuple[int, int]:
    """Read a decimal number of up to 18 digits at an address.

    Returns
    -------
    Value and number of digits; (0, 0) where there is none.
    """
    word = load64(at) ^ _ZEROS
    n = np.int64(trailing_zeros(((word + _ABOVE_9) | word) & _HIGH) >> np.uint64(3))
    if n == 0:
        return np.int64(0), np.int64(0)
    word = (word << np.uint64(64 - 8 * n)) & _NIBBLES
    word = ((word * _TEN_1) >> _U8) & _PAIRS
    word = ((word * _TEN_2) >> _U16) & _QUADS
    value = np.int64((word * _TEN_4) >> _U32)
    if n == 8:
        digit = load8(at + n) - 48
        while 0 <= digit <= 9 and n < 18:
            value = value * 10 + digit
            n += 1
            digit = load8(at + n) - 48
    return value, n


@njit
def hash_bytes(at: int, size: int) -> np.uint64:
    """Hash `size` bytes at an address; agrees with :func:`scan_name`."""
    state, left = np.uint64(0), size
    while left >= 8:
        state = mix(state, load64(at))
        at += 8
        left -= 8
    if left > 0:
        state = mix(state, low_bytes(load64(at), left))
    return state + np.uint64(size)


@njit(forceinline=True)
def scan_name(at: int) -> tuple[int, np.uint64]:
    """Return the address of the first control byte from `at` on and the hash of the bytes before it."""
    here, state = at, np.uint64(0)
    word = load64(here)
    found = control_bytes(word)
    while not found:
        state = mix(state, word)
        here += 8
        word = load64(here)
        found = control_bytes(word)
    left = np.int64(trailing_zeros(found) >> np.uint64(3))
    if left > 0:
        state = mix(state, low_bytes(word, left))
    here += left
    return here, state + np.uint64(here - at)
