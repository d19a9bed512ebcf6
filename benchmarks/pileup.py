"""Fragments to cut sites and coverage: many overlapping groups, a whole file, one region."""

from __future__ import annotations

import shutil
import subprocess
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
from scipy import sparse

from benchmarks import harness
from benchmarks.fragments import run_peer
from benchmarks.make_fragments import write
from scatacworks._core.pileup import box_coverage, group_cut_sites, run_length_coverage, sorted_cut_sites

if TYPE_CHECKING:
    from collections.abc import Iterator

EXTEND = 100
N_CELLS, N_GROUPS, GROUP_SIZE = 2_000, 1_000, 50
SNAPATAC2 = """
import tempfile, pandas as pd, snapatac2 as snap
def run():
    groups = pd.read_csv(path.split(".")[0] + ".cells.tsv", sep="\\t", index_col="barcode")["group"]
    with tempfile.TemporaryDirectory() as folder:
        data = snap.pp.import_fragments(path, snap.genome.hg38, file=folder + "/a.h5ad", sorted_by_barcode=False,
                                        min_num_fragments=0, tempdir=folder, n_jobs=2)
        data.obs["group"] = groups.reindex(data.obs_names).tolist()
        snap.ex.export_coverage(data, "group", normalization=None, output_format="bedgraph", suffix=".bedgraph.zst",
                                out_dir=folder, tempdir=folder, n_jobs=2)
        data.close()
"""


def rows(size: str) -> Iterator[harness.Row]:
    """Yield the rows of this suite."""
    yield overlapping_groups()
    yield one_region()
    with tempfile.TemporaryDirectory() as folder:
        path = write(Path(folder) / "fragments.tsv.gz", 20_000_000 if size == "large" else 1_000_000)
        yield from whole_file(path)


def overlapping_groups(length: int = 10_000_000) -> harness.Row:
    """1,000 groups of 50 cells on 10 Mb: run-length coverage, against a dense pass per group."""
    columns, members = _fragments(length), _members()

    def ours():
        keys = sorted_cut_sites(*columns, shifts=(0, -1), length=length)
        sites = group_cut_sites(keys, members.indptr, members.indices, N_GROUPS)
        return [run_length_coverage(starts, counts, length, EXTEND) for starts, _, counts in sites]

    def reference(kept=()):
        start, end, cell = columns
        chosen = members.tocsc()
        change, coverage = np.empty(length + 1, np.int32), np.empty(length, np.int32)
        sums, dense = [], {}
        for group in range(N_GROUPS):
            mask = np.zeros(N_CELLS, bool)
            mask[chosen.indices[chosen.indptr[group] : chosen.indptr[group + 1]]] = True
            own = mask[cell]
            sites = np.concatenate([start[own], end[own] - 1])
            change[:] = 0
            np.add.at(change, np.maximum(sites - EXTEND, 0), 1)
            np.subtract.at(change, np.minimum(sites + EXTEND + 1, length), 1)
            np.cumsum(change[:length], out=coverage)
            sums.append(int(coverage.sum()))
            if group in kept:
                dense[group] = coverage.copy()
        return sums, dense

    def check(runs, _):
        sums, dense = reference(kept=(0, 499, 999))
        if sums != [int((size * value.astype(int)).sum()) for _, size, value in runs]:
            msg = "the coverage of the overlapping groups differs from the dense one"
            raise AssertionError(msg)
        for group, expected in dense.items():
            starts, size, value = runs[group]
            found = np.zeros(length, np.int32)
            found[np.repeat(starts - np.cumsum(size) + size, size) + np.arange(size.sum())] = np.repeat(value, size)
            np.testing.assert_array_equal(found, expected)
        return "sums of all groups, every base of three"

    return harness.compare(
        "1,000 overlapping 50-cell groups, 10 Mb",
        ours,
        reference,
        reference_name="dense pass per group (numpy)",
        check=check,
        repeats=1,
        work=length * N_GROUPS / 1e9,
        unit="G group-bases/s",
    )


def one_region(length: int = 20_000_000, span: int = 20_000) -> harness.Row:
    """Coverage of 20 kb of a group with 400,000 cut sites on the chromosome."""
    rng = np.random.default_rng(0)
    starts = np.unique(rng.integers(0, length, 400_000)).astype(np.int32)
    counts = rng.integers(1, 4, len(starts)).astype(np.uint16)
    start, end = length // 2, length // 2 + span

    def ours():
        low, high = np.searchsorted(starts, [start - EXTEND, end + EXTEND])
        return box_coverage(starts[low:high], counts[low:high], start, end, EXTEND)

    def reference():
        change = np.zeros(length + 1, np.int64)
        np.add.at(change, np.maximum(starts - EXTEND, 0), counts)
        np.subtract.at(change, np.minimum(starts + EXTEND + 1, length), counts)
        return np.cumsum(change)[start:end]

    def check(window, dense):
        np.testing.assert_array_equal(window, dense)
        return "equal at every base"

    return harness.compare(
        "coverage of a 20-kb region, 400,000 cut sites",
        ours,
        reference,
        reference_name="dense chromosome (numpy)",
        check=check,
    )


def whole_file(path: Path) -> Iterator[harness.Row]:
    """Time `.gz` to the run-length coverage of eight groups, and to cut sites alone."""
    import scatacworks as sca

    obs = pd.read_csv(path.with_name(f"{path.name.split('.')[0]}.cells.tsv"), sep="\t", index_col="barcode")
    cells = sca.io.read_fragments(path, genome="hg38", barcodes=obs, progress=False)
    n_fragments = int(cells.obs["n_fragments"].sum())

    def piled():
        sca.pp.pseudobulk(cells, "group", progress=False)
        return sca.get.tracks(cells)

    def covered():
        tracks = piled()
        total = {group: [0, 0, 0] for group in tracks.groups}
        for code, length in enumerate(tracks.genome.lengths.tolist()):
            for group in tracks.groups:
                starts, _, counts = tracks.runs(group, code)
                _, size, value = run_length_coverage(starts, counts, length, EXTEND)
                for i, number in enumerate((len(size), size.sum(), (size * value.astype(np.int64)).sum())):
                    total[group][i] += int(number)
        return total

    work = {"work": n_fragments / 1e6, "unit": "M fragments/s"}
    yield harness.compare("fragments.tsv.gz to cut sites of 8 groups", piled, None, repeats=3, **work)
    seconds = run_peer(SNAPATAC2, path)
    if seconds is not None:
        name = "SnapATAC2 import_fragments, export_coverage (bins of 10 bp, written)"
        row = harness.compare("fragments.tsv.gz to run-length coverage of 8 groups", covered, None, **work)
        row.reference, row.reference_seconds = name, seconds
        yield row
    bedtools = shutil.which("bedtools")
    yield harness.compare(
        "fragments.tsv.gz to run-length coverage of 8 groups",
        covered,
        (lambda: _by_bedtools(path, obs["group"])) if bedtools else None,
        reference_name="awk, bedtools genomecov -bg" if bedtools else "",
        check=_equal_totals if bedtools else None,
        repeats=1,
        **work,
    )


def _by_bedtools(path: Path, groups: pd.Series) -> dict[str, list[int]]:
    """Return number of intervals, covered bases and sum of coverage per group, by the usual chain of programs."""
    from scatacworks import Genome

    out = {}
    with tempfile.TemporaryDirectory() as folder:
        names, sizes = Path(folder) / "groups.tsv", Path(folder) / "sizes"
        groups.to_csv(names, sep="\t", header=False)
        sizes.write_text("".join(f"{chrom}\t{length}\n" for chrom, length in Genome("hg38").sizes.items()))
        split = (
            'BEGIN {FS = OFS = "\\t"} NR == FNR {group[$1] = $2; next} '
            '$4 in group {file = folder "/" group[$4] ".bed"; '
            "for (i = 0; i < 2; i++) {site = i ? $3 - 1 : $2; from = site - 100; "
            "print $1, (from < 0 ? 0 : from), site + 101 > file}}"
        )
        command = f"gzip -dc {path} | awk -v folder={folder} '{split}' {names} -"
        subprocess.run(command, shell=True, check=True)
        for group in groups.unique():
            bed = f"sort -k1,1 -S 1G {folder}/{group}.bed | bedtools genomecov -bg -i - -g {sizes}"
            count = "awk '{n++; bases += $3 - $2; sum += ($3 - $2) * $4} END {printf \"%d %d %.0f\", n, bases, sum}'"
            done = subprocess.run(f"{bed} | {count}", shell=True, check=True, capture_output=True, text=True)
            out[group] = [int(number) for number in done.stdout.split()]
    return out


def _equal_totals(ours: dict[str, list[int]], reference: dict[str, list[int]]) -> str:
    if ours != reference:
        msg = f"coverage differs from bedtools: {ours} against {reference}"
        raise AssertionError(msg)
    return "intervals, covered bases and sums of all groups equal"


def _fragments(length: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Draw sorted fragments of 2,000 cells with the density of 10,000 fragments a cell on a human genome."""
    rng = np.random.default_rng(0)
    n = int(N_CELLS * 10_000 * length / 3.1e9)
    peaks = rng.integers(1_000, length - 1_000, length // 20_000)
    start = np.where(rng.random(n) < 0.5, rng.choice(peaks, n) + rng.normal(0, 100, n), rng.integers(0, length, n))
    start = np.sort(np.clip(start, 0, length - 1_000)).astype(np.int32)
    return start, start + rng.integers(30, 600, n).astype(np.int32), rng.integers(0, N_CELLS, n).astype(np.int32)


def _members() -> sparse.csr_matrix:
    rng = np.random.default_rng(1)
    cells = np.concatenate([rng.choice(N_CELLS, GROUP_SIZE, replace=False) for _ in range(N_GROUPS)])
    groups = np.repeat(np.arange(N_GROUPS), GROUP_SIZE)
    return sparse.csr_matrix((np.ones(len(cells), bool), (cells, groups)), shape=(N_CELLS, N_GROUPS))
