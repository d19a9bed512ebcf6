"""Cut sites from the coverage that they were extended to."""

from __future__ import annotations

import numpy as np

from scatacworks._numba import njit

_TOLERANCE = 1e-3  # how far from a whole number a coverage may be


def sites_of_boxes(
    starts: np.ndarray, lengths: np.ndarray, values: np.ndarray, *, extend: int, length: int
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Undo the extension of cut sites by `extend` bases to either side, exactly.

    A coverage that is a sum of boxes of `w = 2 * extend + 1` bases rises at `x` by the sites on `x + extend` and falls
    by those on `x - extend - 1`. Each stretch of coverage between bases without any is solved by itself, from its left.

    Parameters
    ----------
    starts, lengths, values
        Runs of coverage, sorted, without zeros (`n`,).
    extend
        bp to either side of a cut site.
    length
        bp of the chromosome.

    Returns
    -------
    positions, counts
        Sorted cut sites, int32 and int64.
    unsolved
        Stretches that are no sum of such boxes, whose sites are left out; starts and ends, int64 (`n`, 2).
    """
    runs = np.asarray(starts, np.int64), np.asarray(lengths, np.int64), np.asarray(values, np.float64)
    return _solve(*runs, extend, length)


@njit
def _solve(
    starts: np.ndarray, lengths: np.ndarray, values: np.ndarray, extend: int, length: int
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Walk from one base to the next where the coverage changes or a box ends."""
    n_runs = len(starts)
    positions, counts = np.empty(n_runs + 1, np.int32), np.empty(n_runs + 1, np.int64)
    unsolved = np.empty((n_runs, 2), np.int64)
    n, n_unsolved, run = 0, 0, 0
    while run < n_runs:
        first, closing = n, n  # the stretch's first site, and that whose box ends next
        begin, last = starts[run], run
        while last + 1 < n_runs and starts[last + 1] == starts[last] + lengths[last]:
            last += 1
        end = starts[last] + lengths[last]
        here, level, solved = begin, 0, True
        # past the stretch's end the coverage is 0, which has to close every box that is still open
        while solved and (here < end or (here == end and end < length)):
            now, closed = level, 0
            if here == end:
                now = 0
            elif run <= last and starts[run] == here:
                now = np.int64(np.round(values[run]))
                solved = abs(values[run] - now) <= _TOLERANCE
                run += 1
            if closing < n and positions[closing] + extend + 1 == here:
                closed = counts[closing]
                closing += 1
            opened = now - level + closed
            level = now
            # boxes that the chromosome's start or end cuts off cannot be told from whole ones elsewhere
            if opened < 0 or (opened > 0 and (here + extend >= end or here == 0)):
                solved = False
            elif opened > 0:
                if n == len(positions):
                    positions = np.concatenate((positions, np.empty_like(positions)))
                    counts = np.concatenate((counts, np.empty_like(counts)))
                positions[n], counts[n] = here + extend, opened
                n += 1
            if here == end:
                break
            here = starts[run] if run <= last else end
            if closing < n:
                here = min(here, positions[closing] + extend + 1)
        if not solved:
            unsolved[n_unsolved, 0], unsolved[n_unsolved, 1] = begin, end
            n_unsolved += 1
            n = first
        run = last + 1
    return positions[:n].copy(), counts[:n].copy(), unsolved[:n_unsolved].copy()
