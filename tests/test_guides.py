"""Code of the guide that runs on what is in the package."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import pandas as pd

import scatacworks as sca

GUIDE = Path(__file__).parents[1] / "docs" / "guide"


def blocks(page: str, section: str) -> str:
    """The Python of one section of a page."""
    text = re.search(rf"^## {section}\n(.*?)(?=^## |\Z)", (GUIDE / page).read_text(), re.MULTILINE | re.DOTALL)[1]
    return "\n".join(re.findall(r"^```python\n(.*?)^```", text, re.MULTILINE | re.DOTALL))


def test_tiles_of_a_genome():
    adata = sca.datasets.pbmc_windows()
    names = {"sca": sca, "pd": pd, "np": np, "adata": adata}
    exec(blocks("groups.md", "Tiles of a genome"), names)
    tiles, counts = names["tiles"], names["counts"]
    assert len(tiles) == sum(size // 5_000 for size in sca.Genome("hg38").sizes.values())
    assert counts.obsm["knn_groups"].shape == (counts.n_obs, 100)
    assert (counts.var["start"] % 5_000 == 0).all()
    # every tile left overlaps a window that the packaged fragments were cut to, but for the length of a fragment
    windows = adata.uns["windows"]
    for row in counts.var.itertuples():
        own = windows[windows["chrom"] == row.chrom]
        assert ((own["start"] - 1_000 < row.end) & (own["end"] + 1_000 > row.start)).any()
