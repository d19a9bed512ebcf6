"""The published table of the DHS index."""

from __future__ import annotations

import gzip

import pandas as pd
import pytest

from scatacworks import io, tl

HEADER = "seqname\tstart\tend\tidentifier\tmean_signal\tnumsamples\tsummit\tcore_start\tcore_end\tcomponent"
ROWS = [
    "chr1\t16140\t16200\t1.100160\t0.129388\t1\t16170\t16170\t16170\tTissue invariant",
    "chr1\t51868\t52040\t1.100480\t0.080034\t1\t51970\t51970\t51970\tLymphoid",
    "chrX\t57280\t57354\tX.10\t0.093\t733\t57350\t57350\t57350\tLymphoid",
]


def written(path, rows=ROWS, header=HEADER):
    text = "\n".join([header, *rows]) + "\n"
    path.write_bytes(gzip.compress(text.encode()) if path.suffix == ".gz" else text.encode())
    return path


@pytest.mark.parametrize("name", ["index.txt", "index.txt.gz"])
def test_columns_and_types(tmp_path, name):
    table = io.read_dhs_index(written(tmp_path / name))
    assert table["chrom"].astype(str).tolist() == ["chr1", "chr1", "chrX"]
    assert table["start"].tolist() == [16140, 51868, 57280]
    assert table["end"].dtype == "int32"
    assert table["n_samples"].tolist() == [1, 1, 733]
    # as numbers, 1.100160 and X.10 would lose their last zero
    assert table["identifier"].tolist() == ["1.100160", "1.100480", "X.10"]
    assert list(table["component"].cat.categories) == ["Lymphoid", "Tissue invariant"]


@pytest.mark.parametrize("missing", ["", "NA"])
def test_an_index_comes_back_from_the_published_columns_with_elements_that_have_no_core(tmp_path, missing):
    peaks = pd.DataFrame({"chrom": "chr1", "start": [100, 900], "end": [200, 990], "summit": [150, 1000]})
    var = tl.dhs_index(peaks.assign(sample="a", signal=1.5)).var
    assert var["core_start"].isna().tolist() == [False, True]  # a summit outside its peak
    path = tmp_path / "index.txt"
    columns = [name for name in HEADER.split("\t") if name != "component"]
    published = var.rename(columns={"chrom": "seqname", "n_samples": "numsamples"})[columns]
    published.to_csv(path, sep="\t", index=False, na_rep=missing)
    table = io.read_dhs_index(path)
    for name in table:
        assert table[name].astype("string").equals(var[name].astype("string").reset_index(drop=True))


def test_only_coordinates_and_counts_are_needed(tmp_path):
    path = written(tmp_path / "index.txt", ["chr2\t1\t9\t4"], "seqname\tstart\tend\tnumsamples")
    assert io.read_dhs_index(path).columns.tolist() == ["chrom", "start", "end", "n_samples"]


@pytest.mark.parametrize(
    ("rows", "line", "what"),
    [
        ([*ROWS[:1], ROWS[1].replace("51868", "52868")], 3, "start < end"),
        ([ROWS[0].replace("16140", "-5")], 2, "0 <= start"),
        ([ROWS[0].replace("\t1\t16170", "\t0\t16170")], 2, "n_samples is 0; expected a whole number of 1 or more"),
        ([*ROWS[:2], ROWS[2].replace("57280", "5e.1")], 4, "start is '5e.1'; expected a whole number"),
        ([*ROWS[:2], ROWS[2].replace("733", "7.5")], 4, "n_samples is 7.5; expected a whole number"),
        ([ROWS[0].replace("16170\tTissue", "far\tTissue")], 2, "core_end is 'far'; expected a whole number"),
    ],
)
def test_bad_rows_are_named(tmp_path, rows, line, what):
    path = written(tmp_path / "index.txt", rows)
    with pytest.raises(ValueError, match=rf"index.txt, line {line}: .*{what}"):
        io.read_dhs_index(path)


def test_missing_columns_are_named_as_in_the_file(tmp_path):
    with pytest.raises(ValueError, match="no column seqname, numsamples"):
        io.read_dhs_index(written(tmp_path / "index.txt", ["1\t2"], "start\tend"))


def test_damaged_and_missing_files(tmp_path):
    path = written(tmp_path / "index.txt.gz", ROWS * 100)
    path.write_bytes(path.read_bytes()[:100])
    with pytest.raises(ValueError, match="is cut off or damaged"):
        io.read_dhs_index(path)
    with pytest.raises(FileNotFoundError, match="none.txt"):
        io.read_dhs_index(tmp_path / "none.txt")
    torn = written(tmp_path / "torn.txt", [*ROWS, "\t".join("123456789" * 4)])
    with pytest.raises(ValueError, match=r"torn.txt cannot be read as a table \(Error tokenizing data.* in line 5"):
        io.read_dhs_index(torn)


def test_a_number_that_no_position_can_be_is_told_and_not_wrapped(tmp_path):
    large = ROWS[1].split("\t")
    large[1:3] = str(2**32 + 1), str(2**32 + 100)
    with pytest.raises(ValueError, match="index.txt, line 3: start is 4294967297; expected a whole number below"):
        io.read_dhs_index(written(tmp_path / "index.txt", [ROWS[0], "\t".join(large)]))


def test_published_sample(shared_data):
    table = io.read_dhs_index(shared_data / "dhs_meuleman2020" / "dhs_sample_16k.tsv.gz")
    assert len(table) == 16_000
    assert table["n_samples"].max() <= 733
    assert table["component"].nunique() == 16
