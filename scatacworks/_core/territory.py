"""How many bases of a genome a set of fragments was drawn from."""

from __future__ import annotations

import math

import numpy as np

from scatacworks._numba import njit

REFERENCE_BP = 3.1e9
"""Bases of the territory that depths are stated for: about those of a human genome."""

FINEST_TILE_BP = 1_000
TILES_BP = (1_000, 2_000, 5_000, 10_000)
FRAGMENTS_PER_TILE = 20  # enough that a tile inside the territory is hardly ever empty
EMPTY_TILES = 5  # in a row that a quiet place inside a window may have


@njit
def count_tiles(start: np.ndarray, length: int, tile_bp: int) -> np.ndarray:
    """Return how many fragments start in each tile of a chromosome; int64, `(ceil(length / tile_bp),)`."""
    counts = np.zeros((length + tile_bp - 1) // tile_bp, np.int64)
    for position in start:
        counts[position // tile_bp] += 1
    return counts


def occupied(counts: np.ndarray) -> np.ndarray:
    """Return the number of occupied tiles of every size of `TILES_BP`, from the counts of the finest tiles."""
    sizes = [tile // FINEST_TILE_BP for tile in TILES_BP]
    starts = [np.arange(0, len(counts), size) for size in sizes]
    return np.array([np.count_nonzero(np.add.reduceat(counts, at)) if len(counts) else 0 for at in starts])


def territory(n_occupied: np.ndarray, n_fragments: int, genome_bp: int) -> float:
    """Estimate the bases covered by a file that may hold only some windows of a genome.

    `n` fragments thrown evenly on `t` tiles leave about `t * (1 - exp(-n / t))` tiles occupied, which is solved for
    `t`. The smallest tile that holds 20 fragments on average is taken, so that the borders of windows in a deep file
    are sharp and the tiles of a sparse one are not left empty by chance.

    Parameters
    ----------
    n_occupied
        Occupied tiles of every size, `(4,)`, summed over chromosomes; see :func:`occupied`.
    n_fragments
        Number of fragments.
    genome_bp
        Length of the genome: the estimate is never larger.

    Returns
    -------
    Bases; the length of the genome where there is no fragment.

    Examples
    --------
    >>> territory([250, 125, 50, 25], 100_000, 3_100_000_000)
    250000.0
    """
    if n_fragments == 0:
        return float(genome_bp)
    chosen = _choose(n_occupied, n_fragments)
    tile_bp = TILES_BP[chosen]
    tiles = _solve(int(n_occupied[chosen]), n_fragments, genome_bp / tile_bp)
    return float(min(tiles * tile_bp, genome_bp))


def stretches(counts: list[np.ndarray], n_fragments: int) -> list[np.ndarray]:
    """Return where a file that holds only some windows of a genome has fragments.

    Parameters
    ----------
    counts
        Of every chromosome, how many start in each of the finest tiles; see :func:`count_tiles`.
    n_fragments
        Number of fragments.

    Returns
    -------
    Of every chromosome, starts and ends of stretches of occupied tiles (of the size that :func:`territory` takes),
    joined over up to five empty ones: int64, `(n, 2)`, sorted. The last may reach over the chromosome's end.

    Examples
    --------
    >>> stretches([np.array([0, 90, 80, 0, 70, 0, 0])], 240)[0].tolist()
    [[1000, 5000]]
    """
    n_occupied = sum((occupied(one) for one in counts), np.zeros(len(TILES_BP), np.int64))
    tile_bp = TILES_BP[_choose(n_occupied, n_fragments)]
    found = []
    for one in counts:
        tiles = np.unique(np.flatnonzero(one) * FINEST_TILE_BP // tile_bp)
        far = 2 * EMPTY_TILES + len(one)
        first = tiles[np.diff(tiles, prepend=-far) > EMPTY_TILES + 1]
        last = tiles[np.diff(tiles, append=far + len(one)) > EMPTY_TILES + 1]
        found.append(np.column_stack([first, last + 1]) * tile_bp)
    return found


def _choose(n_occupied: np.ndarray, n_fragments: int) -> int:
    """Index of the smallest tile that the fragments fill, or of the largest."""
    filled = [n_fragments >= FRAGMENTS_PER_TILE * tiles for tiles in n_occupied]
    return filled.index(True) if any(filled) else len(TILES_BP) - 1


def _solve(n_occupied: int, n: int, most: float) -> float:
    """Solve `n_occupied = t * (1 - exp(-n / t))` for `t` in `[n_occupied, most]`; the right side grows with `t`."""
    low, high = float(n_occupied), max(float(most), float(n_occupied))
    for _ in range(60):
        middle = (low + high) / 2
        low, high = (middle, high) if -middle * math.expm1(-n / middle) < n_occupied else (low, middle)
    return round((low + high) / 2, 3)
