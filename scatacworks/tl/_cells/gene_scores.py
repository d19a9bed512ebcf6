"""Gene scores of cells from cut sites near transcription starts."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from scipy import sparse

from scatacworks import _keys, _step
from scatacworks._anndata import numbered, require_genes
from scatacworks._arguments import above_zero, whole
from scatacworks._core.gene_sites import near_starts
from scatacworks._strands import start_sites
from scatacworks.io._genes import read_genes
from scatacworks.io._source import open_fragments

if TYPE_CHECKING:
    import os

    import pandas as pd
    from anndata import AnnData
    from mudata import MuData

    from scatacworks.genome import Genome

__all__ = ["gene_scores"]


def gene_scores(
    adata: AnnData | MuData,
    *,
    genes: str | os.PathLike[str] | pd.DataFrame | Genome | None = None,
    reach: int = 10_000,
    decay: float = 5_000.0,
    target_sum: float | None = None,
    key_added: str = _keys.GENE_SCORES,
    mod: str = "atac",
    n_jobs: int | None = None,
    progress: bool = True,
    copy: bool = False,
) -> AnnData | MuData | None:
    r"""Score genes in cells by the cut sites around their transcription start.

    The score is the sum over cut sites within `reach` bp of the start of exp(-distance / decay), after Lal et al.
    2021 (gene scores of single cells). It is computed from the fragments, one chromosome at a time. Counts without
    weights, as of SnapATAC2's `make_gene_matrix` or Signac's `GeneActivity`, are those of
    :func:`~scatacworks.pp.count_regions` in the genes' bodies and 2 kb before them.

    Parameters
    ----------
    adata
        Cells that know their fragments (:func:`~scatacworks.io.read_fragments`).
    genes
        Anything :func:`scatacworks.io.read_genes` takes; by default the genes of the genome.
    reach
        Largest distance of a cut site, in bp.
    decay
        Distance over which the weight falls to 1/e, in bp.
    target_sum
        Scale the scores of every cell to this sum; `None` leaves them as they are.
    key_added
        Name in `.obsm` and `.uns`.
    mod
        Modality to use where `adata` is a MuData.
    n_jobs
        Threads that read fragments.
    progress
        Show a progress bar.
    copy
        Return a changed copy instead of writing to `adata`.

    Returns
    -------
    `None`, or the changed copy. Sets:

    `.obsm[key_added]` : CSR float32, cells × genes
    `.uns[key_added]["genes"]` : DataFrame
        `chrom`, `start`, `end`, `name`, `strand`, in the order of the columns. `.uns[key_added]["params"]`.

    Raises
    ------
    KeyError
        If the object has no fragments.
    ValueError
        If there is no gene on the genome, `genes` are a built-in genome's of another assembly, or an argument is out of
        range; if `.uns[key_added]` holds another kind of result.

    Examples
    --------
    >>> import pandas as pd, scatacworks as sca
    >>> from pathlib import Path
    >>> from tempfile import mkdtemp
    >>> path = Path(mkdtemp()) / "f.tsv"
    >>> _ = path.write_text("\t".join(["chr1", "1000", "1101", "cell1", "1"]) + "\n")
    >>> adata = sca.io.read_fragments(path, genome={"chr1": 10_000}, min_fragments=1, progress=False)
    >>> genes = pd.DataFrame([["chr1", 1000, 5000, "AAA", "+"]], columns=["chrom", "start", "end", "name", "strand"])
    >>> sca.tl.gene_scores(adata, genes=genes, progress=False)
    >>> round(float(adata.obsm["gene_scores"][0, 0]), 3)
    1.98
    """
    reach = whole(reach, "reach", least=0)
    above_zero(decay, "decay", also=" (bp)")
    if target_sum is not None:
        above_zero(target_sum, "target_sum", also=", or None")
    data, adata = _step.begin(adata, mod=mod, copy=copy)
    _step.claim(adata, key_added, "target_sum", obsm=key_added != _keys.GENE_SCORES)
    require_genes(adata, genes, "The cells are")
    source = open_fragments(adata)
    table = read_genes(source.genome if genes is None else genes, genome=source.genome)
    codes = source.genome.resolve(table["chrom"])
    tss = start_sites(table)
    total = sparse.csr_matrix((adata.n_obs, len(table)), dtype=np.float64)
    for block in source.chromosomes(n_jobs=n_jobs, progress=progress):
        own = np.flatnonzero(codes == block.chrom)
        own = own[np.argsort(tss[own], kind="stable")]
        if len(own) == 0:
            continue
        for sites in (block.start.astype(np.int64), block.end.astype(np.int64) - 1):
            cell, gene, weight = near_starts(sites, block.cell, tss[own], reach, decay)
            total = total + sparse.csr_matrix((weight, (cell, own[gene])), total.shape)
    if target_sum is not None:
        sums = np.asarray(total.sum(1)).ravel()
        total = sparse.diags(np.divide(target_sum, sums, out=np.zeros_like(sums), where=sums > 0)) @ total
    adata.obsm[key_added] = sparse.csr_matrix(total, dtype=np.float32)
    adata.uns[key_added] = {
        "genes": numbered(table)[["chrom", "start", "end", "name", "strand"]],
        _keys.PARAMS: _step.params(reach=reach, decay=decay, target_sum=target_sum),
    }
    return data if copy else None
