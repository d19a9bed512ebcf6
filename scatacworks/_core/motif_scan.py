"""Motif matches in sequences: scores of position weight matrices with exact p-value thresholds.

Scores are rounded to whole numbers (1/100 bit). The distribution of the score of a random sequence is then computed
exactly by adding one position at a time (dynamic programming over the integer scores), and the threshold is the
smallest score whose upper tail is at most the p-value asked for. The scan uses the same whole numbers, so threshold
and scan agree to the last digit.

The scan looks up six bases at a time in a table per motif, the two most informative blocks first; a position is
dropped when the best possible rest cannot reach the threshold, so that most positions cost two look-ups.
"""

from __future__ import annotations

import numpy as np

from scatacworks._numba import njit

STEPS_PER_BIT = 100
_BLOCK = 6
_N_WORDS = 4**_BLOCK
_UNKNOWN = 4
_NEVER = -30000  # below any score of a block, so that a position with an unknown base is never a match


def encode(sequences: list[str]) -> tuple[np.ndarray, np.ndarray]:
    """Return all sequences as one array of codes (A, C, G, T = 0 to 3, anything else 4) and their bounds.

    Returns
    -------
    codes, uint8; bounds, int64 `(n + 1,)`.
    """
    table = np.full(256, _UNKNOWN, np.uint8)
    for code, base in enumerate("ACGT"):
        table[[ord(base), ord(base.lower())]] = code
    bounds = np.concatenate([[0], np.cumsum([len(sequence) for sequence in sequences])]).astype(np.int64)
    joined = "".join(sequences).encode("ascii", "replace")
    return table[np.frombuffer(joined, np.uint8)], bounds


def log_odds(matrix: np.ndarray, background: np.ndarray, *, pseudocount: float, n_sites: float) -> np.ndarray:
    """Return log2 odds in 1/100 bits, int32 `(length, 4)`.

    `pseudocount` observations of the background are added to `n_sites` (100 where unknown) observations.
    """
    sites = n_sites or 100.0
    smooth = (matrix * sites + pseudocount * background) / (sites + pseudocount)
    return np.rint(np.log2(smooth / background) * STEPS_PER_BIT).astype(np.int32)


def threshold(scores: np.ndarray, background: np.ndarray, p_value: float) -> int:
    """Return the smallest whole score s with P(score >= s) <= p_value; above every score if there is none."""
    lowest, tail = score_tail(scores, background)
    reached = np.flatnonzero(tail <= p_value)
    return int(lowest + (reached[0] if len(reached) else len(tail)))


def score_tail(scores: np.ndarray, background: np.ndarray) -> tuple[int, np.ndarray]:
    """Return the smallest possible score and P(score >= it + i) for every i up to the largest possible score."""
    lowest = int(scores.min(1).sum())
    distribution = np.ones(1)
    for row in scores:
        offset = row - row.min()
        wider = np.zeros(len(distribution) + int(offset.max()))
        for base in range(4):
            wider[offset[base] : offset[base] + len(distribution)] += distribution * background[base]
        distribution = wider
    return lowest, np.minimum(np.cumsum(distribution[::-1])[::-1], 1.0)


@njit
def words_of(codes: np.ndarray, bounds: np.ndarray) -> np.ndarray:
    """Return the six-base word that begins at each position; `4**6` if it leaves its sequence or has unknown bases."""
    words = np.full(len(codes), _N_WORDS, np.uint16)
    for i in range(len(bounds) - 1):
        word, known = 0, 0
        for j in range(bounds[i], bounds[i + 1]):
            if codes[j] > 3:
                known = 0
                word = 0
            else:
                word = ((word << 2) | codes[j]) & (_N_WORDS - 1)
                known += 1
            if known >= _BLOCK:
                words[j - _BLOCK + 1] = word
    return words


@njit
def _tables(scores: np.ndarray, offsets: np.ndarray, widths: np.ndarray) -> np.ndarray:
    """Return the score of every six-base word in each block; a block uses its last `width` bases only."""
    out = np.zeros((len(offsets), _N_WORDS + 1), np.int16)
    for block in range(len(offsets)):
        for word in range(_N_WORDS):
            total = 0
            for k in range(_BLOCK - widths[block], _BLOCK):
                total += scores[offsets[block] + k, (word >> (2 * (_BLOCK - 1 - k))) & 3]
            out[block, word] = total
        out[block, _N_WORDS] = _NEVER
    return out


@njit
def _scan_blocks(
    words: np.ndarray,
    bounds: np.ndarray,
    tables: np.ndarray,
    offsets: np.ndarray,
    rest: np.ndarray,
    length: int,
    cutoff: int,
    best: np.ndarray,
    position: np.ndarray,
) -> None:
    """Keep the best score of each sequence that reaches the cutoff, and where it begins.

    Runs over the joined sequences; a match must end in the sequence where it begins.
    """
    n_blocks = len(offsets)
    first, second = tables[0], tables[min(1, n_blocks - 1)]
    n = len(words) - offsets.max()
    at_first, at_second = words[offsets[0] :], words[offsets[min(1, n_blocks - 1)] :]
    need = cutoff - rest[min(1, n_blocks - 1)]
    weight = 1 if n_blocks > 1 else 0  # two look-ups without a branch between them are faster than one with
    for j in range(n):
        total = np.int32(first[at_first[j]]) + weight * np.int32(second[at_second[j]])
        if total < need:
            continue
        for block in range(2, n_blocks):
            total += tables[block, words[j + offsets[block]]]
        if total < cutoff:
            continue
        i = np.searchsorted(bounds, j, side="right") - 1
        if total > best[i] and j + length <= bounds[i + 1]:
            best[i] = total
            position[i] = j - bounds[i]


@njit
def _scan_short(
    codes: np.ndarray, bounds: np.ndarray, scores: np.ndarray, cutoff: int, best: np.ndarray, position: np.ndarray
) -> None:
    """Scan with a motif shorter than a word, base by base."""
    for i in range(len(bounds) - 1):
        for j in range(bounds[i], bounds[i + 1] - len(scores) + 1):
            total = 0
            for k in range(len(scores)):
                if codes[j + k] > 3:
                    total = -(1 << 30)
                    break
                total += scores[k, codes[j + k]]
            if total >= cutoff and total > best[i]:
                best[i] = total
                position[i] = j - bounds[i]


def scan(
    codes: np.ndarray, bounds: np.ndarray, words: np.ndarray, scores: np.ndarray, cutoff: int
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return the best match of a motif in every sequence, on either strand.

    Parameters
    ----------
    codes, bounds
        From :func:`encode`.
    words
        From :func:`words_of`.
    scores
        Whole scores, `(length, 4)`, from :func:`log_odds`.
    cutoff
        Smallest score of a match.

    Returns
    -------
    best score (int32; the smallest int32 without a match), start within the sequence (int32, -1 without), and
    whether the match is on the reverse strand (bool).
    """
    n = len(bounds) - 1
    best = np.full((2, n), np.iinfo(np.int32).min, np.int32)
    position = np.full((2, n), -1, np.int32)
    for strand, own in enumerate((scores, np.ascontiguousarray(scores[::-1, ::-1]))):
        if len(own) < _BLOCK:
            _scan_short(codes, bounds, own, cutoff, best[strand], position[strand])
        else:
            offsets, widths, rest = _blocks(own)
            _scan_blocks(
                words, bounds, _tables(own, offsets, widths), offsets, rest, len(own), cutoff, best[strand],
                position[strand],
            )  # fmt: skip
    reverse = best[1] > best[0]
    return np.where(reverse, best[1], best[0]), np.where(reverse, position[1], position[0]), reverse


def _blocks(scores: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Cut a motif into blocks of six, the one that tells most first.

    The last block overlaps its neighbour when the length is no multiple of six and counts its last bases only.

    Returns
    -------
    offset of each block, bases it counts, and the best score the blocks after it can add.
    """
    length = len(scores)
    offsets = list(range(0, length - _BLOCK + 1, _BLOCK))
    widths = [_BLOCK] * len(offsets)
    if length % _BLOCK:
        offsets.append(length - _BLOCK)
        widths.append(length % _BLOCK)
    best = scores.max(1)
    # how much a random word is expected to lose against the best one
    loss = (best[:, None] - scores).mean(1)
    offsets, widths = np.array(offsets), np.array(widths)
    counted = [slice(end - width, end) for end, width in zip(offsets + _BLOCK, widths, strict=True)]
    order = np.argsort([loss[bases].sum() for bases in counted])[::-1]
    reach = np.array([best[bases].sum() for bases in counted], np.int64)[order]
    rest = np.concatenate([np.cumsum(reach[::-1])[::-1][1:], [0]])
    return offsets[order], widths[order], rest
