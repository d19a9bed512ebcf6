"""What a background costs: 1,000 random groups of 50 cells, denoised around as many genes as the paper looked at.

Genes are drawn at random from hg19; what lies in the 30 Mb at hand is worked on, in full.

    python -m benchmarks.background_cost DATA                      # 4.6 Mb, 1,000 groups
    python -m benchmarks.background_cost DATA --genes 0            # around all genes (16 Mb)
"""

from __future__ import annotations

import argparse
import json
import time
import warnings
from pathlib import Path

import numpy as np
import pandas as pd

import scatacworks as sca
from benchmarks._priming import Setting, knn_members, simulate, to_anndata
from benchmarks.harness import machine, peak_memory_gb

PAPER_MB = 300


def gene_regions(at_hand: sca.Genome, n_genes: int, seed: int) -> pd.DataFrame:
    """Return the regions around genes (0: all), cut to the pieces of the genome at hand."""
    genome = sca.Genome("hg19")
    names = pd.Index(genome.genes["name"]).unique()
    chosen = np.random.default_rng(seed).choice(names, n_genes, replace=False) if n_genes else None
    regions = sca.tl.regions_around_genes(chosen, genome)
    regions = regions[regions["chrom"].isin(at_hand.chroms)]
    end = np.minimum(regions["end"], at_hand.lengths[at_hand.resolve(regions["chrom"])])
    return regions.assign(end=end)[regions["start"] < end].reset_index(drop=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", type=Path, help="folder with the HSC 80 M cut sites and peaks")
    parser.add_argument("--groups", type=int, default=1000)
    parser.add_argument("--genes", type=int, default=2303, help="how many; 0 for all")
    parser.add_argument("--precision", choices=["float32", "bfloat16"], default="float32")
    parser.add_argument("--jobs", type=int)
    parser.add_argument("--seed", type=int, default=0)
    given = parser.parse_args()
    warnings.simplefilter("ignore", UserWarning)
    cells = simulate(given.data, Setting(), seed=given.seed)
    adata = to_anndata(cells, knn_members(cells, n_groups=given.groups, seed=given.seed))
    regions = gene_regions(cells.genome, given.genes, given.seed)
    mb = float((regions["end"] - regions["start"]).sum()) / 1e6
    print(f"{machine()}\n{given.groups} groups x {mb:.2f} Mb in {len(regions)} regions", flush=True)
    wall, cpu = time.perf_counter(), time.process_time()
    sca.tl.background(
        adata, key="background_sites", regions=regions, precision=given.precision, n_jobs=given.jobs, progress=False
    )
    wall, cpu = time.perf_counter() - wall, time.process_time() - cpu
    found = adata.uns["background_sites_moments"]
    result = {
        "seconds": wall,
        "CPU seconds": cpu,
        "Mb per CPU second": given.groups * mb / cpu,
        f"CPU hours for {PAPER_MB} Mb": cpu / mb * PAPER_MB / 3600,
        "peak memory, GB": peak_memory_gb(),
        "tested": len(found["universe"]),
        "bases with sd > 0": float((found["sd"] > 0).mean()),
    }
    print(json.dumps({name: round(float(value), 3) for name, value in result.items()}))


if __name__ == "__main__":
    main()
