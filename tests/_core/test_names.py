from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from scatacworks._core.names import Names

BYTES = st.binary(min_size=1, max_size=40).filter(lambda name: min(name) >= 14)


@given(st.lists(BYTES, max_size=60))
def test_codes_are_order_of_first_arrival(names):
    expected = {name: code for code, name in enumerate(dict.fromkeys(names))}
    table = Names(room=1)
    assert table.add(names).tolist() == [expected[name] for name in names]
    assert len(table) == len(expected)
    assert table.add(names).tolist() == [expected[name] for name in names]


def test_growth_keeps_codes_of_more_than_65535_names():
    names = [f"ACGTACGTACGT{i:06d}-1" for i in range(70_000)]
    table = Names(room=2)
    assert table.add([name.encode() for name in names]).tolist() == list(range(70_000))
    assert table.decode(69_998) == names[69_998:]


def test_packed_names_can_be_added_elsewhere():
    first, second = Names(["AAAA", "CCCCCCCCC", "G" * 300]), Names(["CCCCCCCCC"])
    assert second.add_packed(*first.packed(1)).tolist() == [0, 1]
    assert second.decode() == ["CCCCCCCCC", "G" * 300]


def test_names_that_share_words_differ():
    table = Names(["ACGTACGT", "ACGTACGTACGTACGT", "ACGTACG", "ACGTACGTA"])
    assert len(table) == 4
