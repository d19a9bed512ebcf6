"""Cells x regions, in one pass over the fragments."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

import numpy as np
from scipy import sparse

from scatacworks import _keys, _step
from scatacworks._anndata import atac
from scatacworks._arguments import one_of
from scatacworks._core.counting import FRAGMENT, INSERTION, PAIRED_INSERTION, cells_in_regions
from scatacworks._core.pileup import CONVENTIONS
from scatacworks._regions import as_regions
from scatacworks.io._source import open_fragments

if TYPE_CHECKING:
    from collections.abc import Iterable
    from os import PathLike

    import pandas as pd
    from anndata import AnnData
    from mudata import MuData

    from scatacworks._core.fragments import FragmentBlock

_KEPT = (
    _keys.FILES,
    _keys.REFERENCE_SEQUENCES,
    _keys.REFERENCE_GENES,
    _keys.EXCLUDED_REGIONS,
    _keys.PROVENANCE,
)
_MODES = {
    "insertion": INSERTION,
    "fragment": FRAGMENT,
    "paired-insertion": PAIRED_INSERTION,
}


def count_regions(
    adata: AnnData | MuData,
    regions: pd.DataFrame | AnnData | str | PathLike[str] | list[str],
    *,
    counting: Literal["insertion", "fragment", "paired-insertion"] = "insertion",
    convention: Literal["10x", "atacworks"] = "10x",
    mod: str = "atac",
    n_jobs: int | None = None,
    progress: bool = True,
) -> AnnData:
    """Count the fragments of every cell in every region.

    Parameters
    ----------
    adata
        Cells, `(n_cells, …)`, that know their fragments, as for :func:`~scatacworks.pp.pseudobulk`.
    regions
        A table with `chrom`, `start`, `end` (0-based, half-open), an AnnData that has them in `.var`, a key of `.uns`
        such as `"peaks"`, the path of a BED file, a region, a gene (its body) or a list like `["chr1:100-200"]`. They
        may overlap each other; exact repeats are left out.
    counting
        `"insertion"`: every cut site in a region counts. `"fragment"`: every fragment that shares a base with a
        region counts once. `"paired-insertion"`: every fragment with one or both of its cut sites in a region counts
        once (SnapATAC2's default).
    convention
        Where the cut sites of a fragment are; see :func:`~scatacworks.pp.pseudobulk`.
    mod
        Modality to use where `adata` is a MuData.
    n_jobs
        Threads; `None`: all cores, or `SCATACWORKS_NUM_THREADS`.
    progress
        Show a progress bar.

    Returns
    -------
    A new AnnData, `(n_cells, n_regions)`: `.X` counts (float32 CSR), `.obs` as in `adata`, `.var` with `chrom`,
    `start`, `end` in the order given, `.uns["files"]` (or `.obsm["fragment_paired"]`) and
    `.uns["reference_sequences"]` so that it knows its fragments too, and `.uns["count_regions"]` with the parameters.
    Delete `.obsm["fragment_paired"]` before `anndata.concat`, which takes tens of GB for it.

    Raises
    ------
    KeyError
        If the object knows no fragments.
    ValueError
        If there is no region, they do not fit the genome, or `counting` or `convention` is unknown.

    Examples
    --------
    >>> import scatacworks as sca
    >>> adata = sca.datasets.pbmc_windows()
    >>> counts = sca.pp.count_regions(adata, ["chr11:60,455,000-60,470,000"], progress=False)
    >>> counts.shape == (adata.n_obs, 1)
    True
    """
    import anndata as ad

    one_of(counting, "counting", _MODES)
    one_of(convention, "convention", CONVENTIONS)
    cells = atac(adata, mod=mod)
    source = open_fragments(cells)
    table = as_regions(regions, source.genome, uns=cells.uns)
    if table.empty:
        msg = "regions is empty; give at least one region to count in."
        raise ValueError(msg)
    blocks = source.chromosomes(n_jobs=n_jobs, progress=progress)
    matrix = _matrix(blocks, table, cells.n_obs, _MODES[counting], CONVENTIONS[convention])
    kept = {key: cells.uns[key] for key in _KEPT if key in cells.uns}
    kept["count_regions"] = {_keys.PARAMS: _step.params(counting=counting, convention=convention)}
    held = {key: cells.obsm[key] for key in (_keys.FRAGMENT_PAIRED,) if key in cells.obsm}
    return ad.AnnData(matrix, obs=cells.obs.copy(), var=table.drop(columns="code"), uns=kept, obsm=held)


def _matrix(
    blocks: Iterable[FragmentBlock], table: pd.DataFrame, n_cells: int, mode: int, shifts: tuple[int, int]
) -> sparse.csr_matrix:
    """Count chromosome by chromosome, and put the columns in the order of the table."""
    codes, start, end = (table[name].to_numpy() for name in ("code", "start", "end"))
    order = np.lexsort((end, start, codes))
    bounds = np.searchsorted(codes[order], np.arange(codes.max() + 2))
    parts: dict[int, sparse.csc_matrix] = {}
    for block in blocks:
        if block.chrom >= len(bounds) - 1:
            continue
        own = order[bounds[block.chrom] : bounds[block.chrom + 1]]
        cells, columns = cells_in_regions(
            block.start, block.end, block.cell, start[own], end[own], mode=mode, shifts=shifts
        )
        ones = np.ones(len(cells), np.float32)
        parts[block.chrom] = sparse.coo_matrix((ones, (cells, columns)), shape=(n_cells, len(own))).tocsc()
    blank = [sparse.csc_matrix((n_cells, n), dtype=np.float32) for n in np.diff(bounds)]
    matrix = sparse.hstack([parts.get(code, blank[code]) for code in range(len(blank))], format="csc")
    return matrix[:, np.argsort(order)].tocsr()
