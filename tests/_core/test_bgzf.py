from __future__ import annotations

import gzip
import io

import numpy as np
import pytest

from scatacworks._core import bgzf

TEXT = b"".join(b"chr1\t%d\t%d\tACGT-1\t1\n" % (i, i + 50) for i in range(20_000))


def blocks_of(data: bytes, room: int = 1000):
    raw = np.frombuffer(data, np.uint8)
    offsets, sizes, texts = (np.zeros(room, np.int64) for _ in range(3))
    n, used, status = bgzf.find_blocks(raw, len(raw), offsets, sizes, texts)
    return raw, bgzf.Blocks(offsets[:n], sizes[:n], texts[:n]), used, status


def compressed(text: bytes = TEXT) -> bytes:
    out = io.BytesIO()
    bgzf.compress_blocks(out, text, last=True)
    return out.getvalue() + bgzf.EOF_BLOCK


@pytest.fixture(params=["native", "python"])
def engine(request, monkeypatch):
    if request.param == "python":
        monkeypatch.setattr(bgzf, "native_functions", lambda: None)
    elif bgzf.native_functions() is None:
        pytest.skip("this platform's wheel of isal hides its functions")


@pytest.mark.usefixtures("engine")
def test_blocks_inflate_to_what_gzip_gives():
    data = compressed()
    raw, blocks, used, status = blocks_of(data)
    assert (used, status) == (len(data), bgzf.OK)
    text = np.zeros(int(blocks.texts.sum()) + 3, np.uint8)
    assert bgzf.inflate_blocks(raw, blocks, 0, len(blocks.texts), text, 3) == (bgzf.OK, len(blocks.texts))
    assert text[3:].tobytes() == TEXT == gzip.decompress(data)


@pytest.mark.usefixtures("engine")
def test_one_changed_byte_is_noticed_wherever_it_is():
    data = compressed(TEXT[:5000])
    for position in range(bgzf.HEADER, len(data) - len(bgzf.EOF_BLOCK)):
        damaged = bytearray(data)
        damaged[position] ^= 0x10
        raw, blocks, _, _ = blocks_of(bytes(damaged))
        text = np.zeros(min(int(blocks.texts[0]), 1 << 17), np.uint8)
        if blocks.texts[0] == 5000:  # else the stored length itself is damaged
            status, block = bgzf.inflate_blocks(raw, blocks, 0, 1, text, 0)
            assert status in (bgzf.BAD_DATA, bgzf.BAD_CRC)
            assert block == 0


def test_a_cut_block_is_left():
    data = compressed()
    _, blocks, used, status = blocks_of(data[:-40])
    assert status == bgzf.OK
    assert used < len(data) - 40
    assert int(blocks.texts.sum()) < len(TEXT)


def test_ordinary_gzip_is_not_bgzf():
    assert blocks_of(gzip.compress(TEXT))[3] == bgzf.NOT_BGZF


def test_block_size_is_found_among_other_extra_fields():
    block = bgzf.make_block(b"hello")
    extra = b"XY\x03\x00abc" + block[12:18]
    size = len(block) + 7
    block = block[:10] + len(extra).to_bytes(2, "little") + extra + block[18:]
    block = block.replace(b"BC\x02\x00" + block[23:25], b"BC\x02\x00" + (size - 1).to_bytes(2, "little"))
    raw, blocks, used, status = blocks_of(block)
    assert (used, status, blocks.texts.tolist()) == (size, bgzf.OK, [5])
    text = np.zeros(5, np.uint8)
    assert bgzf.inflate_blocks(raw, blocks, 0, 1, text, 0)[0] == bgzf.OK
    assert text.tobytes() == b"hello"


def test_left_over_text_is_returned_until_the_last_call():
    out = io.BytesIO()
    rest = bgzf.compress_blocks(out, TEXT)
    assert 0 < len(rest) < 0xFF00
    assert bgzf.compress_blocks(out, rest, last=True) == b""
    assert gzip.decompress(out.getvalue()) == TEXT


@pytest.mark.usefixtures("engine")
def test_a_block_that_states_more_text_than_one_can_hold_takes_no_memory():
    data = bytearray(compressed(TEXT[:5000]))
    data[-len(bgzf.EOF_BLOCK) - 4 : -len(bgzf.EOF_BLOCK)] = (2**32 - 1).to_bytes(4, "little")
    raw, blocks, _, _ = blocks_of(bytes(data))
    text = np.zeros(1 << 17, np.uint8)
    assert blocks.texts.sum() <= len(text)
    assert bgzf.inflate_blocks(raw, blocks, 0, 1, text, 0) == (bgzf.BAD_DATA, 0)
