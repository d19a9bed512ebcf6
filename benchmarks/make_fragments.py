"""Make a realistic fragment file of any size (20 M fragments by default).

The distributions are calibrated on small real files: length deciles 34 to 411 bp with a median of about 130,
column 5 distributed 0.85 / 0.13 / 0.02 for 1 / 2 / 3, cell sizes log-normal, 55 % of the fragments in 150,000 peaks of
which 30 % are eight times stronger in one of eight groups.

    python -m benchmarks.make_fragments fragments.tsv.gz --fragments 20000000

writes a position-sorted, bgzipped file and, beside it, `<stem>.cells.tsv` (barcode, group).
"""

from __future__ import annotations

import argparse
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np

from scatacworks import Genome
from scatacworks._core.bgzf import EOF_BLOCK, compress_blocks
from scatacworks._core.formatting import format_fragments, pack_names

N_GROUPS, N_CELLS, N_PEAKS = 8, 2_000, 150_000


def make_barcodes(rng: np.random.Generator, n: int) -> np.ndarray:
    """Random 16-mers with the suffix 10x Genomics uses, all different."""
    letters = np.array(list("ACGT"))
    names: set[str] = set()
    while len(names) < n:
        names.update("".join(row) + "-1" for row in letters[rng.integers(0, 4, (n, 16))])
    return np.array(sorted(names)[:n])


def make_fragments(
    n_fragments: int = 20_000_000, *, n_cells: int = N_CELLS, n_peaks: int = N_PEAKS, seed: int = 1
) -> tuple[np.ndarray, np.ndarray, Genome, list[tuple[np.ndarray, ...]]]:
    """Draw fragments: barcodes, group of each cell, genome, (start, end, cell, count) per chromosome."""
    rng = np.random.default_rng(seed)
    full = Genome("hg38")
    names = [f"chr{i}" for i in [*range(1, 23), "X", "Y"]]
    genome = Genome({name: full.sizes[name] for name in names}, name="hg38")
    barcodes = make_barcodes(rng, n_cells)
    group = np.arange(n_cells) * N_GROUPS // n_cells
    weight = rng.lognormal(0, 0.5, n_cells)
    per_cell = rng.multinomial(n_fragments, weight / weight.sum())
    share = genome.lengths / genome.lengths.sum()
    peak_chrom = np.sort(rng.choice(len(names), n_peaks, p=share))
    peak_at = (rng.random(n_peaks) * (genome.lengths[peak_chrom] - 4_000)).astype(np.int64) + 2_000
    strength = np.repeat(rng.lognormal(0, 1.2, n_peaks)[None], N_GROUPS, axis=0)
    marked = np.flatnonzero(rng.random(n_peaks) < 0.3)
    strength[rng.integers(0, N_GROUPS, len(marked)), marked] *= 8
    parts = [
        _one_group(
            rng,
            cells=cells,
            per_cell=per_cell[cells],
            strength=strength[g],
            peaks=(peak_chrom, peak_at),
            genome=genome,
        )
        for g in range(N_GROUPS)
        for cells in [np.flatnonzero(group == g)]
    ]
    columns = [np.concatenate(column) for column in zip(*parts, strict=True)]
    return barcodes, group, genome, _sorted_by_chromosome(columns, len(names))


def _one_group(rng, *, cells, per_cell, strength, peaks, genome):
    """Fragments of one group of cells as (chrom, start, end, cell, count)."""
    peak_chrom, peak_at = peaks
    cell = np.repeat(cells, per_cell).astype(np.int32)
    n = len(cell)
    chrom = rng.choice(len(genome.chroms), n, p=genome.lengths / genome.lengths.sum())
    center = rng.random(n) * genome.lengths[chrom]
    in_peak = rng.random(n) < 0.55
    which = rng.choice(len(strength), int(in_peak.sum()), p=strength / strength.sum())
    chrom[in_peak] = peak_chrom[which]
    center[in_peak] = peak_at[which] + rng.normal(0, 100, len(which))
    length = _lengths(rng, n)
    start = np.clip(center - length / 2, 0, genome.lengths[chrom] - length - 1).astype(np.int32)
    count = np.minimum(rng.geometric(0.85, n), 50).astype(np.uint16)
    return chrom.astype(np.int8), start, (start + length).astype(np.int32), cell, count


def _lengths(rng, n):
    """Fragment lengths in bp: nucleosome free, one nucleosome, two nucleosomes."""
    kind = rng.random(n)
    length = 28 + rng.gamma(2.5, 22, n)
    one, two = (kind >= 0.55) & (kind < 0.88), kind >= 0.88
    length[one] = rng.normal(195, 20, int(one.sum()))
    length[two] = rng.normal(390, 35, int(two.sum()))
    return np.clip(length, 25, 1000).astype(np.int32)


def _sorted_by_chromosome(columns, n_chroms):
    """Split the columns by chromosome and sort each by start, then end."""
    chrom, *rest = columns
    out = []
    for code in range(n_chroms):
        mine = np.flatnonzero(chrom == code)
        start, end, cell, count = (column[mine] for column in rest)
        order = np.lexsort((end, start))
        out.append((start[order], end[order], cell[order], count[order]))
    return out


def write(path: str | Path, n_fragments: int = 20_000_000, *, seed: int = 1, level: int = 6) -> Path:
    """Write the fragment file and the table of its cells; returns the path."""
    path = Path(path)
    barcodes, group, genome, chromosomes = make_fragments(n_fragments, seed=seed)
    names = pack_names(barcodes)
    with path.open("wb") as out, ThreadPoolExecutor() as pool:
        rest = b""
        for name, columns in zip(genome.chroms, chromosomes, strict=True):
            for at in range(0, len(columns[0]), 1_000_000):
                piece = [column[at : at + 1_000_000] for column in columns]
                rest = compress_blocks(out, rest + format_fragments(name, *piece, names), level=level, pool=pool)
        compress_blocks(out, rest, level=level, pool=pool, last=True)
        out.write(EOF_BLOCK)
    table = "".join(f"{barcode}\tG{g}\n" for barcode, g in zip(barcodes, group, strict=True))
    path.with_name(path.name.split(".")[0] + ".cells.tsv").write_text("barcode\tgroup\n" + table)
    return path


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("path", type=Path)
    parser.add_argument("--fragments", type=int, default=20_000_000)
    parser.add_argument("--seed", type=int, default=1)
    arguments = parser.parse_args()
    print(write(arguments.path, arguments.fragments, seed=arguments.seed))
