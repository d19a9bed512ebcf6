"""Annotation of an index of whole-genome size: 3.59 M elements, 57 k genes, 16 components, made-up positions."""

from __future__ import annotations

import time

import anndata
import numpy as np
import pandas as pd
from scipy import sparse

import scatacworks as sca

N_ELEMENTS, N_GENES, N_COMPONENTS = 3_591_898, 56_832, 16


def made_up(rng):
    genome = sca.Genome("hg38")
    share = genome.lengths[:24] / genome.lengths[:24].sum()

    def places(n, length):
        chrom = np.sort(rng.choice(24, n, p=share))
        start = (rng.random(n) * (genome.lengths[chrom] - 3_000_000)).astype(np.int64)
        order = np.lexsort((start, chrom))
        return pd.Categorical.from_codes(chrom, list(genome.chroms[:24])), start[order], start[order] + length[order]

    chrom, start, end = places(N_ELEMENTS, rng.integers(100, 400, N_ELEMENTS))
    var = pd.DataFrame({"chrom": chrom, "start": start, "end": end, "summit": (start + end) // 2})
    labels = rng.integers(0, N_COMPONENTS, N_ELEMENTS).astype(np.int8)
    var["component"] = pd.Categorical.from_codes(labels, [f"component {i + 1}" for i in range(N_COMPONENTS)])
    var.index = pd.RangeIndex(N_ELEMENTS).astype(str)
    chrom, start, end = places(N_GENES, rng.lognormal(9.5, 1.4, N_GENES).astype(np.int64).clip(200, 2_000_000))
    genes = pd.DataFrame({"chrom": chrom.astype(str), "start": start, "end": end})
    genes["name"], genes["strand"] = [f"g{i}" for i in range(N_GENES)], rng.choice(["+", "-"], N_GENES)
    return anndata.AnnData(sparse.csr_matrix((1, N_ELEMENTS), dtype=np.float32), var=var), genes


def main():
    index, genes = made_up(np.random.default_rng(0))
    sca.tl.gene_components(index[:, :1000].copy(), genes=genes[:100])  # compile
    total = time.perf_counter()
    for name, step in {
        "gene_components": lambda: sca.tl.gene_components(index, genes=genes, genome="hg38"),
        "gene_set_components, 300 sets": lambda: sca.tl.gene_set_components(
            index, gene_sets={f"s{i}": genes["name"][i::300].tolist() for i in range(300)}
        ),
        "annotate_regions": lambda: sca.tl.annotate_regions(index, genes=genes),
    }.items():
        start, cpu = time.perf_counter(), time.process_time()
        step()
        print(f"{name:32s} {time.perf_counter() - start:6.1f} s, {time.process_time() - cpu:6.1f} s of CPU")
    print(f"{'all':32s} {time.perf_counter() - total:6.1f} s")


if __name__ == "__main__":
    main()
