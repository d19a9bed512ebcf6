"""Cut sites around sites of a motif, and what the sequence alone would give there.

Tn5 prefers some words of the sequence over others. How much more often it cuts at a word than at its neighbours, the
cut sites themselves tell: the number of cuts at the word, over the number expected there if each cut had fallen
anywhere within 50 bp with the same probability. Comparing neighbours leaves out how open a place is.
"""

from __future__ import annotations

import numpy as np

from scatacworks._core.runs import fill_window
from scatacworks._numba import njit

NEIGHBOURS = 50  # bp to either side that a cut is compared with
PRIOR_CUTS = 5.0  # cuts added at every word, so that rare ones stay near 1
N_ZONES = 3


@njit
def add_words(
    codes: np.ndarray, positions: np.ndarray, counts: np.ndarray, k: int, seen: np.ndarray, expected: np.ndarray
) -> None:
    """Add the cuts at every word of `k` bases around them, and those expected from the neighbourhood.

    The word of position `p` is `[p - k // 2, p - k // 2 + k)`. A cut at an unknown word is not seen, but counts for its
    neighbourhood, whose density is taken over all 101 bases. `seen` and `expected` are float64 `(4**k,)`.
    """
    n, mask = len(codes), 4**k - 1
    share = 1.0 / (2 * NEIGHBOURS + 1)
    for i in range(len(positions)):
        center, count = np.int64(positions[i]), np.float64(counts[i])
        word, known = np.int64(0), 0
        first = center - NEIGHBOURS - k // 2
        for j in range(first, center + NEIGHBOURS - k // 2 + k):
            if j < 0 or j >= n or codes[j] > 3:
                word, known = np.int64(0), 0
                continue
            word = ((word << 2) | codes[j]) & mask
            known += 1
            if known < k:
                continue
            expected[word] += share * count
            if j == center - k // 2 + k - 1:
                seen[word] += count


@njit
def hide(codes: np.ndarray, centers: np.ndarray, core: np.ndarray) -> None:
    """Make the bases of cores unknown; `core` are their offsets from the centres, taken in both directions."""
    for center in centers:
        for offset in core:
            for at in (center + offset, center - offset):  # either direction
                if 0 <= at < len(codes):
                    codes[at] = 4


@njit
def expected_shares(
    codes: np.ndarray, bias: np.ndarray, k: int, centers: np.ndarray, reverse: np.ndarray, flank: int
) -> np.ndarray:
    """Return how the cuts of every window would spread by the sequence alone; float64 `(n, 2 flank + 1)`.

    Rows sum to 1. A word with unknown bases has a bias of 1.
    """
    n, mask, width = len(codes), 4**k - 1, 2 * flank + 1
    out = np.ones((len(centers), width))
    for i in range(len(centers)):
        word, known, total = np.int64(0), 0, 0.0
        first = centers[i] - flank - k // 2
        for j in range(first, first + width + k - 1):
            if j < 0 or j >= n or codes[j] > 3:
                word, known = np.int64(0), 0
            else:
                word = ((word << 2) | codes[j]) & mask
                known += 1
            at = j - first - k + 1
            if at >= 0:
                value = bias[word] if known >= k else 1.0
                out[i, width - 1 - at if reverse[i] else at] = value
                total += value
        out[i] /= total
    return out


@njit
def add_windows(
    positions: np.ndarray,
    counts: np.ndarray,
    centers: np.ndarray,
    reverse: np.ndarray,
    zone: np.ndarray,
    profile: np.ndarray,
    inside: np.ndarray,
) -> None:
    """Add the cut sites of the windows around `centers`, each in the direction of its motif.

    Parameters
    ----------
    positions, counts
        Cut sites of a chromosome, in order.
    centers, reverse
        Of the sites.
    zone
        Zone of every offset, int8 `(2 flank + 1,)`; -1 for none.
    profile
        Float64 `(2 flank + 1,)`, added to.
    inside
        Float64 `(n, N_ZONES + 1)`, written: cut sites of each window in each zone, and in all of it.
    """
    flank = len(zone) // 2
    for i in range(len(centers)):
        at = np.searchsorted(positions, centers[i] - flank)
        while at < len(positions) and positions[at] <= centers[i] + flank:
            offset = np.int64(positions[at]) - centers[i]
            index = flank - offset if reverse[i] else flank + offset
            count = np.float64(counts[at])
            profile[index] += count
            inside[i, N_ZONES] += count
            if zone[index] >= 0:
                inside[i, zone[index]] += count
            at += 1


@njit
def read_windows(
    starts: np.ndarray,
    lengths: np.ndarray,
    values: np.ndarray,
    fill: float,
    centers: np.ndarray,
    reverse: np.ndarray,
    out: np.ndarray,
) -> None:
    """Write the windows around `centers` of a chromosome's step function, each in the direction of its motif.

    The runs are in order and disjoint; `out` is `(n, 2 flank + 1)`.
    """
    flank = out.shape[1] // 2
    for i in range(len(centers)):
        left = centers[i] - flank
        first = max(np.searchsorted(starts, left) - 1, 0)  # one run before may reach in
        fill_window(starts[first:], lengths[first:], values[first:], left, fill, out[i])
        if reverse[i]:
            out[i] = out[i, ::-1].copy()


def word_bias(seen: np.ndarray, expected: np.ndarray) -> np.ndarray:
    """Return how much more often a word is cut than its neighbourhood; float64, 1 for no preference."""
    return (seen + PRIOR_CUTS) / (expected + PRIOR_CUTS)


def zones(flank: int, core: int, shoulder: int, background: int) -> np.ndarray:
    """Return the zone of every offset, int8: 0 core, 1 shoulders, 2 the ends of the window, -1 between them."""
    zone = np.full(2 * flank + 1, -1, np.int8)
    first = flank - core // 2
    last = first + core
    zone[first - shoulder : first] = zone[last : last + shoulder] = 1
    zone[first:last] = 0
    zone[:background] = zone[len(zone) - background :] = 2
    return zone


class LogRatios:
    """Sums over sites from which ratios between zones follow, with standard errors between sites.

    For every site six numbers are added: the cut sites in core, shoulders and background, and those expected there.
    """

    def __init__(self) -> None:
        self.n = 0
        self._sum = np.zeros(2 * N_ZONES)
        self._products = np.zeros((2 * N_ZONES, 2 * N_ZONES))

    def add(self, seen: np.ndarray, expected: np.ndarray) -> None:
        """Add sites, both `(n, N_ZONES)`."""
        both = np.hstack([seen, expected])
        self.n += len(both)
        self._sum += both.sum(axis=0)
        self._products += both.T @ both

    def log2(self, over: int, under: int) -> tuple[float, float]:
        """Return log2 of the enrichment in one zone over that in another, and its standard error (delta method).

        NaN where one of the two has no cut site at all.
        """
        direction = np.zeros(2 * N_ZONES)
        direction[[over, under + N_ZONES]] = 1
        direction[[under, over + N_ZONES]] = -1
        if not (self._sum[[over, under]] > 0).all():
            return np.nan, np.nan
        used = direction != 0
        weight = direction[used] / self._sum[used]
        variance = weight @ self._products[np.ix_(used, used)] @ weight  # the weighted sums themselves cancel
        value = float(direction[used] @ np.log2(self._sum[used]))
        error = np.sqrt(max(variance, 0) * self.n / (self.n - 1)) / np.log(2) if self.n > 1 else np.nan
        return value, float(error)
