"""Made-up data of which the truth is known."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from scatacworks import _keys
from scatacworks._arguments import whole
from scatacworks.genome import Genome

if TYPE_CHECKING:
    from anndata import AnnData

_SIZES = {"chr1": 200_000, "chr2": 100_000}
_PEAK_SD = 120  # bp, spread of cut sites around a summit
_IN_PEAKS = 0.6  # share of the fragments
_SPACING = 5_000  # bp between neighbouring summits


def toy(
    *, n_cells: int = 150, n_groups: int = 3, n_fragments: int = 200, seed: int | np.random.Generator | None = 0
) -> AnnData:
    """Make cells with fragments on a genome of 300 kb, with peaks that are known.

    Every 5 kb lies a summit that is open in a random choice of groups, or in none; one is open in all. Six of ten
    fragments lie around open summits, the others anywhere. The fragments are kept in the object, no file is written.

    Parameters
    ----------
    n_cells, n_groups
        Number of cells, dealt to the groups in turn, and of groups (A, B, C, …).
    n_fragments
        Fragments per cell.
    seed
        Seed or generator of the random numbers.

    Returns
    -------
    :class:`~anndata.AnnData` of `n_cells` × 0 with:

    `.obs["group"]` : categorical
        The cell's group.
    `.obsm["fragment_paired"]` : CSR, `n_cells` × 300,000, uint32
        The fragments; column = start in the concatenated genome, value = length in bp.
    `.uns["reference_sequences"]` : DataFrame
        Names and lengths of the chromosomes.
    `.uns["true_peaks"]` : DataFrame
        `chrom`, `summit` (bp) and `group`: where each group is open.

    Raises
    ------
    ValueError
        If one of the numbers is not positive.

    Examples
    --------
    >>> import scatacworks as sca
    >>> adata = sca.datasets.toy(n_cells=30)
    >>> sca.pp.pseudobulk(adata, "group", progress=False)
    >>> sca.get.tracks(adata).sums()
    array([4000., 4000., 4000.])
    """
    from anndata import AnnData
    from scipy.sparse import csr_matrix

    n_cells, n_groups = whole(n_cells, "n_cells"), whole(n_groups, "n_groups")
    n_fragments = whole(n_fragments, "n_fragments")
    rng = np.random.default_rng(seed)
    genome = Genome(_SIZES, name="toy")
    places = zip(genome.offsets[:-1], genome.lengths, strict=True)
    summits = np.concatenate([offset + np.arange(_SPACING, length - 1, _SPACING) for offset, length in places])
    is_open = rng.random((n_groups, len(summits))) < 0.4
    is_open[:, rng.integers(len(summits))] = True
    group = np.arange(n_cells) % n_groups
    names = np.array([_letters(i) for i in range(n_groups)])
    columns = [_starts_and_lengths(rng, summits[is_open[g]], genome, n_fragments) for g in group]
    starts, lengths = (np.concatenate(part) for part in zip(*columns, strict=True))
    pointers = np.arange(n_cells + 1) * n_fragments
    matrix = csr_matrix((lengths.astype(np.uint32), starts, pointers), shape=(n_cells, int(genome.offsets[-1])))
    obs = pd.DataFrame({"group": pd.Categorical(names[group])}, index=[f"cell_{i}" for i in range(n_cells)])
    adata = AnnData(np.zeros((n_cells, 0), np.float32), obs=obs, obsm={_keys.FRAGMENT_PAIRED: matrix})
    adata.uns[_keys.REFERENCE_SEQUENCES] = genome.to_frame()
    adata.uns["true_peaks"] = _true_peaks(summits, is_open, names, genome)
    return adata


def _letters(i: int) -> str:
    """Return A … Z, AA, AB, …"""
    return (_letters(i // 26 - 1) if i >= 26 else "") + chr(65 + i % 26)


def _starts_and_lengths(
    rng: np.random.Generator, summits: np.ndarray, genome: Genome, n: int
) -> tuple[np.ndarray, np.ndarray]:
    """Draw `n` fragments of one cell with different starts, sorted, none over the end of a chromosome."""
    total = int(genome.offsets[-1])
    starts = np.empty(0, np.int64)
    lengths = np.empty(0, np.int64)
    while len(starts) < n:
        length = np.clip(rng.gamma(3, 40, 2 * n).astype(np.int64) + 25, 25, 600)
        near = np.rint(rng.choice(summits, 2 * n) + rng.normal(0, _PEAK_SD, 2 * n)).astype(np.int64) - length // 2
        start = np.where(rng.random(2 * n) < _IN_PEAKS, near, rng.integers(0, total, 2 * n))
        ends = genome.offsets[1:][np.clip(np.searchsorted(genome.offsets, start, "right") - 1, 0, None)]
        fits = (start >= 0) & (start + length <= ends)
        starts, first = np.unique(np.concatenate([starts, start[fits]]), return_index=True)
        lengths = np.concatenate([lengths, length[fits]])[first]
    kept = np.sort(rng.choice(len(starts), n, replace=False))
    return starts[kept], lengths[kept]


def _true_peaks(summits: np.ndarray, is_open: np.ndarray, names: np.ndarray, genome: Genome) -> pd.DataFrame:
    group, peak = np.nonzero(is_open)
    chrom = np.searchsorted(genome.offsets, summits[peak], "right") - 1
    return pd.DataFrame(
        {
            "chrom": np.asarray(genome.chroms, dtype=object)[chrom],
            "summit": summits[peak] - genome.offsets[chrom],
            "group": pd.Categorical(names[group], categories=names),
        }
    )
