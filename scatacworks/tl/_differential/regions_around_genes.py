"""Regions around the transcription start sites of genes."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from scatacworks._arguments import whole
from scatacworks._core import intervals
from scatacworks._strands import start_sites
from scatacworks.genome import Genome

if TYPE_CHECKING:
    from collections.abc import Sequence


def regions_around_genes(
    genes: Sequence[str] | pd.Index | None, genome: Genome | str, *, flank: int = 100_000
) -> pd.DataFrame:
    """Return the regions around the transcription start sites of genes, merged where they overlap.

    The genes of a question, with the sequence that may regulate them, are a tenth of the genome: AtacWorks
    :cite:p:`Lal2021` looked for lineage priming within 100 kb of the start of 2,303 genes, about 300 Mb.

    Parameters
    ----------
    genes
        Names; the case of letters does not matter. `None`: all genes of the genome.
    genome
        A :class:`~scatacworks.Genome` with a gene table, or the name of a built-in one.
    flank
        bp on either side of the start site, which is the first base of the gene on its strand; regions are cut at the
        ends of chromosomes.

    Returns
    -------
    DataFrame with `chrom`, `start`, `end` (0-based, half-open; int64), sorted and disjoint, and `genes`: the names of
    those whose start site lies in the region, separated by commas.

    Raises
    ------
    ValueError
        If `flank` is negative, or a name is not in the gene table (all such names are listed).

    Examples
    --------
    >>> import scatacworks as sca
    >>> sca.tl.regions_around_genes(["GATA1", "HDAC6"], "hg38", flank=10_000)[["chrom", "start", "end", "genes"]]
      chrom     start       end        genes
    0  chrX  48776539  48811398  GATA1,HDAC6
    """
    genome = genome if isinstance(genome, Genome) else Genome(genome)
    flank = whole(flank, "flank", least=0)
    table = _chosen(genome, genes)
    code, site = genome.resolve(table["chrom"]), start_sites(table)
    inside = site < genome.lengths[code]  # a genome may be cut to its first part
    table, code, site = table[inside], code[inside], site[inside]
    low, high = np.maximum(site - flank, 0), np.minimum(site + flank + 1, genome.lengths[code])
    chrom, start, end = intervals.merge(code, low, high)
    which, region = intervals.point_in(code, site, (chrom, start, end))
    order = np.lexsort((site[which], region))
    names = (
        pd.Series(table["name"].to_numpy()[which][order])
        .groupby(region[order])
        .agg(lambda x: ",".join(dict.fromkeys(x)))
    )
    chroms = np.asarray(genome.chroms, dtype=object)[chrom]
    return pd.DataFrame({"chrom": chroms, "start": start, "end": end, "genes": names.to_numpy()})


def _chosen(genome: Genome, genes: Sequence[str] | pd.Index | None) -> pd.DataFrame:
    """Return the rows of the gene table with these names."""
    table = genome.genes
    if genes is None:
        return table
    genes = [genes] if isinstance(genes, str) else list(map(str, genes))
    names = table["name"]
    upper, written = names.str.upper(), set(names)
    known = set(upper)
    exact = {name for name in genes if name in written}  # others whatever the case of their letters
    others = {name.upper() for name in genes if name not in written}
    unknown = sorted({name for name in genes if name.upper() not in known})
    if unknown or not genes:
        shown = ", ".join(unknown[:20]) + (f", … ({len(unknown)} in all)" if len(unknown) > 20 else "")
        what = f"{len(unknown)} of {len(genes)} genes are not in the gene table of {genome.name}: {shown}"
        msg = (
            f"{what}. Check their spelling or leave them out." if unknown else "genes is empty; give at least one name."
        )
        raise ValueError(msg)
    return table[names.isin(exact) | upper.isin(others)]
