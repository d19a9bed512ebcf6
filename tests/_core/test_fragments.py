from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from scatacworks._core.fragments import Piece, Spool, group_by_chromosome, make_block, without

FRAGMENT = st.tuples(st.integers(0, 3), st.integers(0, 2**31 - 2_000), st.integers(1, 1000), st.integers(0, 9))


def as_piece(fragments) -> Piece:
    start, length, cell = (np.array([f[i] for f in fragments], np.int64) for i in (1, 2, 3))
    return Piece(*(a.astype(t) for a, t in zip((start, start + length, cell, cell + 1), "iiiH", strict=True)))


@given(st.lists(FRAGMENT, min_size=1, max_size=80))
def test_blocks_are_sorted_and_ties_keep_their_order(fragments):
    pieces = [as_piece(fragments[:30]), as_piece(fragments[30:])]
    block = make_block(2, pieces)
    expected = sorted(fragments, key=lambda f: (f[1], f[1] + f[2]))
    rows = [(f[1], f[1] + f[2], f[3], f[3] + 1) for f in expected]
    assert list(zip(block.start, block.end, block.cell, block.count, strict=True)) == rows
    assert [column.dtype for column in (block.start, block.end, block.cell, block.count)] == ["i4", "i4", "i4", "u2"]


@given(st.lists(FRAGMENT, max_size=80))
def test_grouping_keeps_the_order_within_a_chromosome(fragments):
    chroms = [f[0] for f in fragments]
    run_from = [i for i in range(len(chroms)) if i == 0 or chroms[i] != chroms[i - 1]]
    run_chrom = np.array([chroms[i] for i in run_from], np.int32)
    piece = as_piece(fragments)
    *columns, bounds = group_by_chromosome(
        tuple(piece), run_chrom, np.array(run_from, np.int32), len(run_from), len(fragments), 4
    )
    for chrom in range(4):
        expected = [(f[1], f[3]) for f in fragments if f[0] == chrom]
        part = slice(bounds[chrom], bounds[chrom + 1])
        assert list(zip(columns[0][part], columns[2][part], strict=True)) == expected


def test_what_goes_to_disk_comes_back(tmp_path):
    rng = np.random.default_rng(0)
    fragments = [tuple(map(int, row)) for row in rng.integers(1, 4, (5000, 4))]
    with Spool(limit=1000, folder=tmp_path) as spool, Spool() as reference:
        for i in range(0, 5000, 50):
            for chrom in range(4):
                part = [f for f in fragments[i : i + 50] if f[0] == chrom]
                if part:
                    spool.add(chrom, as_piece(part))
                    reference.add(chrom, as_piece(part))
        assert any(tmp_path.rglob("*"))
        assert spool.chroms == reference.chroms == [1, 2, 3]
        for chrom in (1, 2, 3):
            own = sorted((f for f in fragments if f[0] == chrom), key=lambda f: (f[1], f[1] + f[2]))
            expected = as_piece(own)
            for block in (spool.take(chrom), reference.take(chrom)):
                for name in ("start", "end", "cell", "count"):
                    np.testing.assert_array_equal(getattr(block, name), getattr(expected, name))
        assert spool.chroms == reference.chroms == []
    assert not any(tmp_path.rglob("*"))


def test_pieces_of_any_size_are_joined():
    rng = np.random.default_rng(0)
    pieces = []
    for n in (3, 1, 200_000, 1, 90_000, 150_000):
        start = rng.integers(0, 2**30, n).astype(np.int32)
        pieces.append(Piece(start, start + 9, rng.integers(0, 9, n).astype(np.int32), np.full(n, n % 7, np.uint16)))
    with Spool() as spool:
        for piece in pieces:
            spool.add(0, piece)
        block = spool.take(0)
    columns = [np.concatenate(column) for column in zip(*pieces, strict=True)]
    order = np.argsort(columns[0], kind="stable")  # all are of one length
    for name, column in zip(("start", "end", "cell", "count"), columns, strict=True):
        np.testing.assert_array_equal(getattr(block, name), column[order])


@given(
    st.lists(st.tuples(st.just(0), st.integers(0, 60), st.integers(1, 30), st.integers(0, 9)), max_size=40),
    st.lists(st.integers(0, 100), max_size=8, unique=True).map(sorted),
)
def test_fragments_cut_in_intervals_are_left_out(fragments, edges):
    spans = np.array(edges[: len(edges) // 2 * 2], np.int64).reshape(-1, 2)
    forbidden = {base for start, end in spans.tolist() for base in range(start, end)}
    kept = without(as_piece(fragments), spans)
    expected = [f for f in fragments if f[1] not in forbidden and f[1] + f[2] - 1 not in forbidden]
    assert list(zip(*(column.tolist() for column in kept), strict=True)) == [
        (start, start + length, cell, cell + 1) for _, start, length, cell in expected
    ]
