"""Whole numbers in columns of tables."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from scatacworks._columns import intervals, whole_numbers


@pytest.mark.parametrize(
    "column",
    [
        [5, 70],
        [5.0, 70.0],
        ["5", "70"],
        ["5.0", "7e1"],
        pd.array([5, 70], "Int64"),
        pd.array([5, 70], "uint32"),
        pd.array(["5", "70"], "string"),
        pd.Categorical([5, 70]),
        np.array([5, "70"], object),
    ],
)
def test_whole_numbers_of_any_type_are_taken(column):
    found = whole_numbers(pd.Series(column, name="start"), "the table")
    assert found.dtype == np.int64
    assert found.tolist() == [5, 70]


def test_the_table_is_not_written_into():
    column = pd.Series(np.array([5, 70]), name="start")
    whole_numbers(column, "the table")[:] = 0
    assert column.tolist() == [5, 70]


@pytest.mark.parametrize(
    ("value", "shown"),
    [
        (1.5, "1.5"),
        ("x", "'x'"),
        (None, "None"),
        (np.inf, "inf"),
        (pd.NA, "<NA>"),
        ("", "''"),
        (2**31, "2147483648"),
        (-(2**31), "-2147483648"),
    ],
)
def test_what_is_no_whole_number_is_named(value, shown):
    column = pd.Series([3, value, value], ["a", "b", "c"], dtype=object, name="end")
    with pytest.raises(ValueError, match=rf"^peaks\.bed, row b: end is {shown}; expected a whole number below 2\^31\."):
        whole_numbers(column, "peaks.bed")
    with pytest.raises(ValueError, match=r"^peaks\.bed, line c: end"):
        whole_numbers(column.iloc[[0, 2]], "peaks.bed", "line {}".format)


@pytest.mark.parametrize(("chrom", "start", "end"), [(None, 1, 2), ("chr1", 2, 2), ("chr1", -1, 2)])
def test_a_row_that_is_no_interval_is_named(chrom, start, end):
    table = pd.DataFrame({"chrom": ["chr1", chrom], "start": [0, start], "end": [9, end]})
    shown = chrom or "(None|nan)"
    found = rf"^peaks, row 1: found {shown}, {start} to {end}; expected a chromosome and 0 <= start < end"
    with pytest.raises(ValueError, match=found):
        intervals(table, "peaks")
    assert [column.tolist() for column in intervals(table[:1], "peaks")] == [[0], [9]]


def test_counts_have_a_least_value():
    assert whole_numbers(pd.Series([1, 2]), "the table", least=1).tolist() == [1, 2]
    with pytest.raises(ValueError, match=r"row 1: n is 0; expected a whole number of 1 or more, below 2\^31"):
        whole_numbers(pd.Series([1, 0], name="n"), "the table", least=1)
