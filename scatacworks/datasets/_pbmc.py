"""Real data that are shipped inside the package."""

from __future__ import annotations

from importlib import resources
from pathlib import Path
from typing import TYPE_CHECKING

from scatacworks.io import read_fragments, read_peaks

if TYPE_CHECKING:
    from anndata import AnnData

FOLDER = Path(str(resources.files("scatacworks"))) / "_data" / "pbmc_windows"
FILES = {name: FOLDER / name for name in ("fragments.tsv.gz", "cells.tsv", "windows.bed")}


def pbmc_windows(*, in_memory: bool = False) -> AnnData:
    """Return 7,202 blood cells with their ATAC fragments in 44 windows around marker genes (hg38).

    A part of 10x Genomics' *PBMC from a healthy donor, granulocytes removed through cell sorting (10k)*, a multiome of
    RNA and ATAC (CC BY 4.0), cut to windows of about 20 kb by ChromatinHD (MIT). Cell types are from the RNA. The files
    lie in the package: the fragments of these cells and of a fifth of the other barcodes (empty droplets, filtered
    cells), the cell types, and the windows. A cell has about 12 fragments here, 0.92 Mb of the genome are covered.

    Parameters
    ----------
    in_memory
        Also keep the fragments in `.obsm["fragment_paired"]`.

    Returns
    -------
    :class:`~anndata.AnnData` of 7,202 cells as :func:`~scatacworks.io.read_fragments` makes it, with:

    `.obs["cell_type"]` : categorical
        13 cell types.
    `.uns["windows"]` : DataFrame
        `chrom`, `start`, `end` of the windows (0-based, half-open).

    Examples
    --------
    >>> import scatacworks as sca
    >>> adata = sca.datasets.pbmc_windows()
    >>> adata.n_obs, adata.obs["cell_type"].nunique(), len(adata.uns["windows"])
    (7202, 13, 44)
    """
    adata = read_fragments(
        FILES["fragments.tsv.gz"], genome="hg38", barcodes=FILES["cells.tsv"], in_memory=in_memory, progress=False
    )
    adata.obs["cell_type"] = adata.obs["cell_type"].astype("category")
    adata.uns["windows"] = read_peaks(FILES["windows.bed"])
    return adata
