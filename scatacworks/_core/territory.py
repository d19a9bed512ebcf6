"""How many bases of a genome a set of fragments was drawn from."""

from __future__ import annotations

import math

import numpy as np

from scatacworks._numba import njit

REFERENCE_BP = 3.1e9
"""Bases of the territory that depths are stated for: about those of a human genome."""

FINEST_TILE_BP = 1_000
_SMALL_TILES = 4  # the first ones, smaller than usual windows
TILES_BP = (1_000, 2_000, 5_000, 10_000, 20_000, 50_000, 100_000, 200_000, 500_000, 1_000_000)
FRAGMENTS_PER_TILE = 20  # enough that a tile inside the territory is hardly ever empty
_WHOLE = 0.75  # share of tiles of a chromosome that is more than windows; assemblies have gaps
EMPTY_TILES = 5  # in a row that a quiet place inside a window may have


@njit
def count_tiles(start: np.ndarray, length: int, tile_bp: int) -> np.ndarray:
    """Return how many fragments start in each tile of a chromosome; int64, `(ceil(length / tile_bp),)`."""
    counts = np.zeros((length + tile_bp - 1) // tile_bp, np.int64)
    for position in start:
        counts[position // tile_bp] += 1
    return counts


def occupied(counts: np.ndarray) -> np.ndarray:
    """Return how many tiles of every size of `TILES_BP` a chromosome has, from the counts of the finest tiles.

    int64, `(2, 10)`: first those with a fragment, then all of them; zeros for a chromosome without any fragment.
    """
    if not counts.any():
        return np.zeros((2, len(TILES_BP)), np.int64)
    starts = [np.arange(0, len(counts), tile // FINEST_TILE_BP) for tile in TILES_BP]
    return np.array([[np.count_nonzero(np.add.reduceat(counts, at)) for at in starts], [len(at) for at in starts]])


def territory(tiles: np.ndarray, n_fragments: int, genome_bp: int) -> float:
    """Estimate the bases covered by a file that may hold only some chromosomes, or windows, of a genome.

    `n` fragments thrown evenly on `t` tiles leave about `t * (1 - exp(-n / t))` tiles occupied, which is solved for
    `t`. Fragments are not thrown evenly: they crowd in peaks, so that a few of them leave most small tiles of a whole
    genome empty. Therefore tiles are taken first of which all, empty or not, hold 20 fragments on average (at most
    1 Mb). Where they cover three quarters of the chromosomes that have any fragment, nothing was cut out. Windows leave
    most of such tiles empty. For these the smallest tile is taken of which the occupied ones hold 20 fragments on
    average (at most 10 kb), so that the borders of windows in a deep file are sharp and the tiles of a sparse one are
    not left empty by chance.

    Parameters
    ----------
    tiles
        Occupied tiles and all tiles of every size, `(2, 10)`, summed over chromosomes; see :func:`occupied`.
    n_fragments
        Number of fragments.
    genome_bp
        Length of the genome: the estimate is never larger.

    Returns
    -------
    Bases; the length of the genome where there is no fragment.

    Examples
    --------
    >>> counts = np.zeros(100_000, np.int64)  # a chromosome of 100 Mb
    >>> counts[20_000:20_250] = 400
    >>> territory(occupied(counts), 100_000, 3_100_000_000)
    250000.0
    """
    if n_fragments == 0:
        return float(genome_bp)
    size, solved = _choose(tiles, n_fragments)
    return float(min(round(solved * tiles[1, 0] / tiles[1, size] * FINEST_TILE_BP), genome_bp))


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
    >>> counts = np.zeros(1_000, np.int64)
    >>> counts[[1, 2, 4]] = 80
    >>> stretches([counts], 240)[0].tolist()
    [[1000, 5000]]
    """
    tiles = sum((occupied(one) for one in counts), np.zeros((2, len(TILES_BP)), np.int64))
    tile_bp = TILES_BP[_choose(tiles, n_fragments)[0]]
    found = []
    for one in counts:
        full = np.unique(np.flatnonzero(one) * FINEST_TILE_BP // tile_bp)
        far = 2 * EMPTY_TILES + len(one)
        first = full[np.diff(full, prepend=-far) > EMPTY_TILES + 1]
        last = full[np.diff(full, append=far + len(one)) > EMPTY_TILES + 1]
        found.append(np.column_stack([first, last + 1]) * tile_bp)
    return found


def _choose(tiles: np.ndarray, n_fragments: int) -> tuple[int, float]:
    """Return the size of tile to look at, as its index, and how many such tiles the fragments were drawn from."""
    n_occupied, n_tiles = tiles
    size = _first_filled(n_tiles, n_fragments)
    solved = _solve(int(n_occupied[size]), n_fragments, int(n_tiles[size]))
    if solved < _WHOLE * n_tiles[size]:
        size = _first_filled(n_occupied[:_SMALL_TILES], n_fragments)
        solved = _solve(int(n_occupied[size]), n_fragments, int(n_tiles[size]))
    return size, solved


def _first_filled(n_tiles: np.ndarray, n_fragments: int) -> int:
    """Index of the smallest tile of which so many would be filled by the fragments, or of the largest."""
    filled = n_fragments >= FRAGMENTS_PER_TILE * n_tiles
    return int(np.argmax(filled)) if filled.any() else len(n_tiles) - 1


def _solve(n_occupied: int, n: int, most: int) -> float:
    """Solve `n_occupied = t * (1 - exp(-n / t))` for `t` in `[n_occupied, most]`; the right side grows with `t`."""
    low, high = float(n_occupied), float(most)
    for _ in range(60):
        middle = (low + high) / 2
        low, high = (middle, high) if -middle * math.expm1(-n / middle) < n_occupied else (low, middle)
    return round((low + high) / 2, 3)
