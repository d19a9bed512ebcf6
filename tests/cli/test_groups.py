from __future__ import annotations

import gzip

import anndata
import numpy as np
import pandas as pd
import pytest

from scatacworks.cli._denoise import Settings, read
from scatacworks.cli._groups import open_anndata, read_groups

A, B, C = "AAACAGCCAAGGAATC-1", "AAACAGCCAATGCGCT-1", "AAACATGCACCGTTCC-1"


@pytest.mark.parametrize(
    ("text", "options"),
    [
        (f"barcode\tcell_type\n{A}\tNK\n{B}\tB\n", {}),  # plain
        (f"{A}\tNK\n{B}\tB\n", {}),  # without names
        (f"Barcode,Cluster\n{A},NK\n{B},B\n", {}),  # 10x Genomics
        (f'"","nCount","predicted.id"\n"{A}","5","NK"\n"{B}","7","B"\n', {}),  # Signac, write.csv
        (f'"{A}","NK"," "\n"{B}","B","x"\n', {}),  # a blank in quotes
        (f"nCount\tpredicted.id\n{A}\t5\tNK\n{B}\t7\tB\n", {}),  # R, write.table
        (f"cellNames,Sample,Clusters\npbmc#{A},pbmc,NK\npbmc#{B},pbmc,B\n", {}),  # ArchR
        (f"x\tbarcode\tkind\n1\t{A}\tNK\n2\t{B}\tB\n", {"column": "kind"}),
        (f"kind\tname\nNK\t{A}\nB\t{B}\n", {"column": "kind", "barcode_column": "name"}),
    ],
)
@pytest.mark.parametrize("zipped", [False, True])
def test_tables_of_common_programs_are_read(tmp_path, text, options, zipped):
    path = tmp_path / ("groups.txt.gz" if zipped else "groups.txt")
    path.write_bytes(gzip.compress(text.encode()) if zipped else text.encode())
    table = read_groups(path, **options)
    assert table.index.tolist() == [A, B]
    assert table.iloc[:, 0].tolist() == ["NK", "B"]


def test_numbers_are_names_and_missing_stays_missing(tmp_path):
    path = tmp_path / "g.csv"
    path.write_text(f"Barcode,Cluster\n{A},1\n{B},\n{C},10\n")
    values = read_groups(path).iloc[:, 0]
    assert values.iloc[[0, 2]].tolist() == ["1", "10"]
    assert pd.isna(values.iloc[1])


def test_words_for_a_missing_value_are_no_group_and_told(tmp_path, caplog):
    cells = [f"AAACAGCCAAGGAA{end}-1" for end in ("AA", "CC", "GG", "TT", "AC", "AG", "AT", "CA")]
    found = ["NA", "None", "nan", "TRUE", "", "Unknown", "1.#IND", "-1"]
    (tmp_path / "g.csv").write_text(
        "barcode,cluster\n" + "".join(f"{c},{g}\n" for c, g in zip(cells, found, strict=True))
    )
    with caplog.at_level("INFO", logger="scatacworks"):
        values = read_groups(tmp_path / "g.csv").iloc[:, 0]
    assert values.isna().tolist() == [True, True, True, False, True, False, False, False]
    assert values.dropna().tolist() == ["TRUE", "Unknown", "1.#IND", "-1"]
    assert "'NA' or 'None' or 'nan' in column 'cluster' of" in caplog.text
    obs = pd.DataFrame({"cluster": pd.Categorical(["NA", None])}, index=cells[:2])
    anndata.AnnData(np.zeros((2, 0), np.float32), obs=obs).write_h5ad(tmp_path / "a.h5ad")
    assert read_groups(tmp_path / "a.h5ad").iloc[:, 0].isna().tolist() == [False, True]


def test_an_h5ad_is_taken(tmp_path):
    obs = pd.DataFrame({"leiden": pd.Categorical(["0", "1"]), "n": [1, 2]}, index=[A, B])
    anndata.AnnData(np.zeros((2, 0), np.float32), obs=obs).write_h5ad(tmp_path / "a.h5ad")
    assert read_groups(tmp_path / "a.h5ad").iloc[:, 0].tolist() == ["0", "1"]


@pytest.mark.parametrize(
    ("text", "error", "message"),
    [
        (f"barcode\tx\ty\n{A}\t1\t2\n", KeyError, "several columns .'x', 'y'.*--groups-column"),
        (f"barcode\tcell_type\n{A}\t1\n{A}\t2\n", ValueError, "names 1 barcodes twice"),
        (f"{A}\n{B}\n", ValueError, "has one column"),
        ("", ValueError, "is empty"),
    ],
)
def test_bad_tables_are_explained(tmp_path, text, error, message):
    path = tmp_path / "g.tsv"
    path.write_text(text)
    with pytest.raises(error, match=message):
        read_groups(path)


def test_cells_of_several_samples_are_not_taken_for_those_of_one_file(tmp_path):
    (tmp_path / "g.csv").write_text(f"cellNames,Sample,Clusters\none#{A},one,NK\ntwo#{B},two,B\n")
    with pytest.raises(ValueError, match="names cells of 2 samples, 'one', 'two'; give a file with the lines of one"):
        read_groups(tmp_path / "g.csv")


def test_files_of_another_kind_are_told_in_one_sentence(tmp_path):
    h5py = pytest.importorskip("h5py")
    mudata = pytest.importorskip("mudata")
    cells = anndata.AnnData(np.zeros((2, 0), np.float32), obs=pd.DataFrame({"x": ["a", "b"]}, index=[A, B]))
    with h5py.File(tmp_path / "tenx.h5ad", "w") as file:  # of Cell Ranger
        file.create_group("matrix").create_dataset("barcodes", data=[A.encode()])
    cells.write_h5ad(tmp_path / "cells.h5mu")
    mudata.MuData({"atac": cells}).write(tmp_path / "mu.h5ad")
    (tmp_path / "text.h5mu").write_text("no HDF5\n")
    for name in ("tenx.h5ad", "cells.h5mu", "mu.h5ad", "text.h5mu"):
        with pytest.raises(ValueError, match=rf"{name} is not a readable \.h5(ad|mu) file \("):
            open_anndata(tmp_path / name)


def test_a_file_that_needs_a_plugin_has_a_way_out(tmp_path):
    """As those of SnapATAC2, whose tables are compressed with Blosc."""
    h5py = pytest.importorskip("h5py")
    cells = anndata.AnnData(np.zeros((2, 0), np.float32), obs=pd.DataFrame({"x": [1, 2]}, index=[A, B]))
    cells.write_h5ad(tmp_path / "cells.h5ad")
    with h5py.File(tmp_path / "cells.h5ad", "a") as file:
        attributes = dict(file["obs/x"].attrs)
        del file["obs/x"]
        how = h5py.h5p.create(h5py.h5p.DATASET_CREATE)
        how.set_chunk((2,))
        how.set_filter(32001, h5py.h5z.FLAG_OPTIONAL, (2, 2, 8, 16))
        space = h5py.h5s.create_simple((2,))
        column = h5py.h5d.create(file["obs"].id, b"x", h5py.h5t.NATIVE_INT64, space, how)
        column.write_direct_chunk((0,), bytes(16))
        file["obs/x"].attrs.update(attributes)
    with pytest.raises(ValueError, match=r"needs a plugin.*read\(.*cells\.h5ad'\)\.to_memory\(\)\.write_h5ad"):
        open_anndata(tmp_path / "cells.h5ad")


def test_a_modality_of_another_name_has_a_way_out_on_the_command_line(tmp_path):
    mudata = pytest.importorskip("mudata")
    cells = anndata.AnnData(np.zeros((2, 0), np.float32), obs=pd.DataFrame({"x": ["a", "b"]}, index=[A, B]))
    mudata.MuData({"peaks": cells}).write(tmp_path / "a.h5mu")
    options = {"column": "x", "barcode_column": None, "genome": None}
    with pytest.raises(KeyError, match="it has 'peaks'") as told:
        read(tmp_path / "a.h5mu", None, Settings(out=tmp_path), **options)
    assert "write_h5ad" in told.value.__notes__[0]
