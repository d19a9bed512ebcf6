from __future__ import annotations

import anndata as ad
import pandas as pd
import pytest

from scatacworks import Genome


@pytest.fixture(scope="session")
def pbmc_fragments(shared_data):
    """The fragments of annotated cells, read by pandas: chrom, start, end, barcode, count."""
    columns = ["chrom", "start", "end", "barcode", "count"]
    path = shared_data / "pbmc10k_windows" / "fragments.tsv.gz"
    table = pd.read_csv(path, sep="\t", header=None, comment="#", names=columns)
    cells = pd.read_csv(shared_data / "pbmc10k_windows" / "cells.tsv", sep="\t", index_col=0)
    return table[table["barcode"].isin(cells.index)].reset_index(drop=True)


@pytest.fixture
def pbmc(shared_data):
    """7,202 real cells in 13 types that know their fragment file."""
    folder = shared_data / "pbmc10k_windows"
    obs = pd.read_csv(folder / "cells.tsv", sep="\t", index_col=0).astype({"celltype": "category"})
    uns = {
        "files": {"fragments": str(folder / "fragments.tsv.gz")},
        "reference_sequences": Genome("hg38").to_frame(),
    }
    return ad.AnnData(obs=obs, uns=uns)
