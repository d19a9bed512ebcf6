"""BGZF, the blocked gzip of bioinformatics: find blocks, inflate many of them per call without the GIL, write them.

Inflating calls ISA-L's C function, which the `isal` wheel carries, straight from compiled code; where the wheel hides
it (or its structures changed: a test block is inflated first), `isal.isal_zlib` does the same block by block. Both
check the length and the CRC of every block.
"""

from __future__ import annotations

import ctypes
import struct
import zlib
from functools import cache
from typing import TYPE_CHECKING, Any, BinaryIO, NamedTuple

import numpy as np
from isal import isal_zlib
from llvmlite import ir
from numba import types
from numba.extending import intrinsic

from scatacworks._core.words import address, load32
from scatacworks._numba import njit

if TYPE_CHECKING:
    from concurrent.futures import Executor

InflateErrors = (isal_zlib.error, zlib.error)  # of which isal's is none of zlib's

HEADER = 18  # bytes of the header BGZF writers give a block
FOOTER = 8
MAX_BLOCK = 1 << 16  # bytes of a block, and of the text in it
EOF_BLOCK = bytes.fromhex("1f8b08040000000000ff0600424302001b0003000000000000000000")
_TEXT_PER_BLOCK = 0xFF00  # what bgzip puts into a block

# what `find_blocks` and `inflate_blocks` return
OK, NOT_BGZF, BAD_DATA, BAD_CRC = range(4)

# bytes from the beginning of ISA-L's `struct inflate_state`
_NEXT_OUT, _AVAIL_OUT, _TOTAL_OUT, _NEXT_IN, _AVAIL_IN = 0, 8, 12, 16, 32
_STATE_BYTES = 1 << 18  # larger than the structure of any version


class Blocks(NamedTuple):
    """Blocks within an array of bytes."""

    offsets: np.ndarray  # int64, where the deflated data of a block begin
    sizes: np.ndarray  # int64, bytes of deflated data
    texts: np.ndarray  # int64, bytes of text


@njit
def find_blocks(
    raw: np.ndarray, stop: int, offsets: np.ndarray, sizes: np.ndarray, texts: np.ndarray
) -> tuple[int, int, int]:
    """Walk the headers of the whole blocks in `raw[:stop]`, which begins with one.

    Returns
    -------
    Number of blocks, bytes they take, and `OK` or `NOT_BGZF` (what follows is not a BGZF block).
    """
    at, n = 0, 0
    while n < len(offsets) and at + 12 <= stop:
        if raw[at] != 31 or raw[at + 1] != 139 or raw[at + 2] != 8 or raw[at + 3] != 4:
            return n, at, NOT_BGZF
        extra_stop = at + 12 + raw[at + 10] + (np.int64(raw[at + 11]) << 8)
        if extra_stop > stop:
            break
        block_size, here = np.int64(-1), at + 12
        while here + 4 <= extra_stop:
            if raw[here] == 66 and raw[here + 1] == 67 and raw[here + 2] == 2 and raw[here + 3] == 0:
                block_size = raw[here + 4] + (np.int64(raw[here + 5]) << 8) + 1
            here += 4 + raw[here + 2] + (np.int64(raw[here + 3]) << 8)
        if block_size < extra_stop - at + FOOTER:
            return n, at, NOT_BGZF
        end = at + block_size
        if end > stop:
            break
        text = min(load32(address(raw) + end - 4), MAX_BLOCK + 1)  # a damaged length takes no memory; inflating tells
        offsets[n], sizes[n], texts[n] = extra_stop, end - FOOTER - extra_stop, text
        n, at = n + 1, end
    return n, at, OK


@intrinsic
def _call_state(typingctx: Any, address: Any, state: Any) -> Any:
    """Call `int f(void *)` at an address."""

    def generate(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        kind = ir.FunctionType(ir.IntType(32), [ir.IntType(64)])
        return builder.call(builder.inttoptr(args[0], kind.as_pointer()), [args[1]])

    return types.int32(types.int64, types.int64), generate


@intrinsic
def _call_crc(typingctx: Any, address: Any, state: Any, data: Any, size: Any) -> Any:
    """Call `uint32_t f(uint32_t, void *, uint64_t)` at an address."""

    def generate(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        long = ir.IntType(64)
        kind = ir.FunctionType(ir.IntType(32), [ir.IntType(32), long, long])
        return builder.call(builder.inttoptr(args[0], kind.as_pointer()), list(args[1:]))

    return types.uint32(types.int64, types.uint32, types.int64, types.int64), generate


@njit
def _inflate_native(
    functions: np.ndarray,
    raw: np.ndarray,
    blocks: Blocks,
    first: int,
    last: int,
    text: np.ndarray,
    at: int,
    state: np.ndarray,
) -> tuple[int, int]:
    """Inflate blocks `first` to `last` (excluded) into `text` from `at` on; returns (status, block)."""
    raw_address, text_address, state_address = raw.ctypes.data, text.ctypes.data, state.ctypes.data
    pointers, words = state.view(np.uint64), state.view(np.uint32)
    for i in range(first, last):
        size, n = blocks.sizes[i], blocks.texts[i]
        _call_state(functions[0], state_address)
        pointers[_NEXT_OUT // 8] = text_address + at
        words[_AVAIL_OUT // 4] = n
        pointers[_NEXT_IN // 8] = raw_address + blocks.offsets[i]
        words[_AVAIL_IN // 4] = size
        if _call_state(functions[1], state_address) != 0 or words[_TOTAL_OUT // 4] != n:
            return BAD_DATA, i
        crc = load32(raw_address + blocks.offsets[i] + size)
        if _call_crc(functions[2], np.uint32(0), text_address + at, n) != crc:
            return BAD_CRC, i
        at += n
    return OK, last


def _inflate_python(
    raw: np.ndarray, blocks: Blocks, first: int, last: int, text: np.ndarray, at: int
) -> tuple[int, int]:
    """Do what `_inflate_native` does through the zlib interface."""
    view = memoryview(raw)
    for i in range(first, last):
        offset, size, n = int(blocks.offsets[i]), int(blocks.sizes[i]), int(blocks.texts[i])
        try:
            data = isal_zlib.decompress(view[offset : offset + size], wbits=-15, bufsize=max(n, 1))
        except isal_zlib.error:
            return BAD_DATA, i
        if len(data) != n:
            return BAD_DATA, i
        if zlib.crc32(data) != int.from_bytes(view[offset + size : offset + size + 4], "little"):
            return BAD_CRC, i
        text[at : at + n] = np.frombuffer(data, np.uint8)
        at += n
    return OK, last


def inflate_blocks(
    raw: np.ndarray,
    blocks: Blocks,
    first: int,
    last: int,
    text: np.ndarray,
    at: int,
    *,
    state: np.ndarray | None = None,
) -> tuple[int, int]:
    """Inflate blocks `first` to `last` (excluded) into `text` from `at` on.

    Parameters
    ----------
    raw, blocks
        Bytes, and the blocks :func:`find_blocks` found in them.
    first, last
        Which of the blocks.
    text, at
        uint8, with room for all of it from `at` on.
    state
        Working memory of the thread, of :func:`make_state`; an own one by default.

    Returns
    -------
    `OK` and `last`, or `BAD_DATA` or `BAD_CRC` and the block it is about.
    """
    functions = native_functions()
    if functions is None:
        return _inflate_python(raw, blocks, first, last, text, at)
    state = make_state() if state is None else state
    return _inflate_native(functions, raw, blocks, first, last, text, at, state)


def make_state() -> np.ndarray:
    """Return working memory for :func:`inflate_blocks`."""
    return np.zeros(_STATE_BYTES, np.uint8)


@cache
def native_functions() -> np.ndarray | None:
    """Return the addresses of ISA-L's init, inflate and CRC functions, or `None` where they are out of reach."""
    try:
        library = ctypes.CDLL(isal_zlib.__file__)
        functions = [
            ctypes.cast(getattr(library, name), ctypes.c_void_p).value
            for name in ("isal_inflate_init", "isal_inflate_stateless", "crc32_gzip_refl")
        ]
    except (AttributeError, OSError, TypeError):
        return None
    addresses = np.array(functions, np.int64)
    return addresses if _works(addresses) else None


def _works(functions: np.ndarray) -> bool:
    """Inflate a test block, lest a new version laid its structure out in another way."""
    expected = np.arange(4000, dtype=np.uint32).view(np.uint8) % 7
    raw = np.frombuffer(make_block(expected.tobytes()), np.uint8)
    blocks = Blocks(*(np.zeros(1, np.int64) for _ in range(3)))
    find_blocks(raw, len(raw), *blocks)
    text, state = np.zeros(len(expected), np.uint8), np.zeros(1 << 20, np.uint8)
    status, _ = _inflate_native(functions, raw, blocks, 0, 1, text, 0, state)
    return status == OK and bool((text == expected).all()) and not state[_STATE_BYTES:].any()


def make_block(text: bytes, level: int = 6) -> bytes:
    """Return one BGZF block with this text (at most 65,280 bytes)."""
    deflate = zlib.compressobj(level, zlib.DEFLATED, -15)
    data = deflate.compress(text) + deflate.flush()
    header = struct.pack("<4BI2BH2BHH", 31, 139, 8, 4, 0, 0, 255, 6, 66, 67, 2, HEADER + len(data) + FOOTER - 1)
    return header + data + struct.pack("<II", zlib.crc32(text), len(text))


def compress_blocks(
    out: BinaryIO, text: bytes, *, level: int = 6, pool: Executor | None = None, last: bool = False
) -> bytes:
    """Write the whole blocks of `text` to `out`; returns the text left over, empty when it is the `last` call."""
    whole = len(text) if last else len(text) // _TEXT_PER_BLOCK * _TEXT_PER_BLOCK
    pieces = [text[at : min(at + _TEXT_PER_BLOCK, whole)] for at in range(0, whole, _TEXT_PER_BLOCK)]
    for block in (pool.map if pool else map)(make_block, pieces, [level] * len(pieces)):
        out.write(block)
    return text[whole:]
