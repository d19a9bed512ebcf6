"""The gene whose start site is nearest to a region."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from scatacworks._core import intervals
from scatacworks._strands import start_sites

if TYPE_CHECKING:
    import pandas as pd

    from scatacworks.genome import Genome


def add_nearest_gene(table: pd.DataFrame, genome: Genome) -> pd.DataFrame:
    """Add `gene`, and `gene_distance`: start site minus middle of the region, bp; left out without a gene table."""
    if not genome.has_genes:
        return table
    genes = genome.genes
    middle = (table["start"].to_numpy(np.int64) + table["end"].to_numpy(np.int64)) // 2
    query, target = (genome.resolve(one["chrom"]) for one in (table, genes))
    index, distance = intervals.nearest(query, middle, target, start_sites(genes))
    names = np.append(genes["name"].to_numpy(dtype=object), "")  # the last one, at -1, of chromosomes without genes
    return table.assign(gene=names[index], gene_distance=distance)
