"""The whole way, fragments to bigWig: what the public functions add to the parts they are made of, and the memory.

CPU seconds of all threads are compared: what the parts cost alone (reading, counting, network, peaks, writing, called
as the library calls them) and what a user's five calls cost.
"""

from __future__ import annotations

import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

import scatacworks as sca
from benchmarks.fragments import SIZES, fragment_file
from benchmarks.harness import Row, peak_memory_gb
from scatacworks import models
from scatacworks._core.pileup import group_cut_sites, sorted_cut_sites
from scatacworks._membership import resolve_groups
from scatacworks.io._source import open_fragments
from scatacworks.models.predict import predict

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from anndata import AnnData

REGION = {"small": "chr21:20,000,000-25,000,000", "large": "chr21"}


def rows(size: str) -> Iterator[Row]:
    """Yield the row of this suite: seconds are CPU seconds, the reference the sum of the parts."""
    path = fragment_file(SIZES[size])
    obs = pd.read_csv(path.with_name(path.name.split(".")[0] + ".cells.tsv"), sep="\t", index_col="barcode")
    with tempfile.TemporaryDirectory() as folder:
        whole(path, obs, "chr22:20,000,000-20,100,000", Path(folder))  # compiles
        ours, adata = timed(lambda: whole(path, obs, REGION[size], Path(folder)))
        peak = peak_memory_gb()
        parts = dict(_parts(path, adata, REGION[size], Path(folder)))
    shares = ", ".join(f"{name} {seconds:.1f}" for name, seconds in parts.items())
    total = sum(parts.values())
    check = f"overhead {100 * (ours / total - 1):+.0f} %; CPU seconds: {shares}; peak {peak:.2f} GB"
    yield Row("fragments of 8 groups to denoised tracks, peaks, bigWig", "sum of its parts", ours, total, check=check)


def timed(run: Callable) -> tuple[float, object]:
    """CPU seconds of all threads, and the result."""
    start = time.process_time()
    found = run()
    return time.process_time() - start, found


def whole(path: Path, obs: pd.DataFrame, region: str, folder: Path) -> AnnData:
    """Run what a user would."""
    adata = sca.io.read_fragments(path, genome="hg38", barcodes=obs, progress=False)
    sca.pp.pseudobulk(adata, "group", progress=False)
    sca.tl.denoise(adata, regions=region, device="cpu", progress=False)
    sca.tl.call_peaks(adata)
    sca.io.write_bigwig(adata, folder, progress=False)
    return adata


def _parts(path: Path, adata: AnnData, region: str, folder: Path) -> Iterator[tuple[str, float]]:
    """Time the parts alone: the file is read twice, for the quality of cells and for the counts."""
    cells = adata.obs_names.tolist()
    members = resolve_groups(adata, "group").matrix

    def count() -> None:
        for block in open_fragments(path, genome="hg38", cells=cells).chromosomes():
            length = int(sca.Genome("hg38").lengths[block.chrom])
            keys = sorted_cut_sites(block.start, block.end, block.cell, shifts=(0, -1), length=length)
            group_cut_sites(keys, members.indptr, members.indices, members.shape[1])

    def read() -> int:
        return sum(len(block) for block in open_fragments(path, genome="hg38", cells=cells).chromosomes())

    sites = sca.get.tracks(adata)
    depth = adata.uns["denoised"]["params"]["depth"]
    chrom, start, end = sites.genome.region(region)
    regions = {sites.genome.code(chrom): np.array([[start, end]])}
    options = {"device": "cpu", "progress": False, "regions": regions}
    yield "reading", timed(read)[0]
    yield "reading and counting", timed(count)[0]
    yield "network", timed(lambda: predict(models.load("default"), sites, depth=depth, **options))[0]
    yield "peaks", timed(lambda: sca.tl.call_peaks(adata))[0]
    yield "bigWig", timed(lambda: sca.io.write_bigwig(adata, folder, progress=False))[0]
