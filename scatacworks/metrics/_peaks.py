"""Agreement of two sets of peaks."""

from __future__ import annotations

import numpy as np
import pandas as pd

from scatacworks._arguments import whole
from scatacworks._columns import whole_numbers
from scatacworks._core.intervals import covered, merge, overlap_pairs
from scatacworks._core.scoring import undefined
from scatacworks._regions import with_positions
from scatacworks.genome import aliases


def peak_overlap(truth: pd.DataFrame, called: pd.DataFrame, *, min_overlap: int = 1) -> dict[str, float]:
    """Count how many peaks of two sets meet.

    A called peak is right when it shares at least `min_overlap` bases with some true peak, and a true peak is found
    when it shares as many with some called one. Precision is the fraction of called peaks that are right, recall the
    fraction of true peaks that are found.

    Parameters
    ----------
    truth, called
        Peaks with columns ``chrom``, ``start``, ``end`` (0-based, half-open, bp); other columns are ignored, and `chr1`
        and `1` are the same.
    min_overlap
        Bases that have to be shared.

    Returns
    -------
    ``precision``, ``recall``, ``f1``, ``jaccard`` (shared bases over bases in either set), ``n_truth``, ``n_called``.

    Raises
    ------
    KeyError
        If a column is missing.
    ValueError
        If `min_overlap` is less than 1.

    Examples
    --------
    >>> import pandas as pd
    >>> from scatacworks import metrics
    >>> truth = pd.DataFrame({"chrom": ["chr1", "chr1"], "start": [0, 500], "end": [200, 700]})
    >>> called = pd.DataFrame({"chrom": ["chr1"], "start": [100], "end": [300]})
    >>> metrics.peak_overlap(truth, called)["recall"]
    0.5
    """
    min_overlap = whole(min_overlap, "min_overlap", least=1)
    a, b = _coded(with_positions(truth, "truth"), with_positions(called, "called"))
    found, right, shared = overlap_pairs(a, b)
    hits = [len(np.unique(met[shared >= min_overlap])) for met in (found, right)]
    n_truth, n_called = len(truth), len(called)
    recall = hits[0] / n_truth if n_truth else undefined("Recall", "there is no true peak")
    precision = hits[1] / n_called if n_called else undefined("Precision", "no peak was called")
    both = precision + recall
    n_shared = int(covered(merge(*a), b).sum())
    union = _n_bases(a) + _n_bases(b) - n_shared
    return {
        "precision": float(precision),
        "recall": float(recall),
        "f1": float(2 * precision * recall / both) if both > 0 else (0.0 if both == 0 else float("nan")),
        "jaccard": n_shared / union if union else float("nan"),
        "n_truth": n_truth,
        "n_called": n_called,
    }


def _coded(*tables: pd.DataFrame) -> list[tuple[np.ndarray, np.ndarray, np.ndarray]]:
    """Chromosome codes that the tables have in common, starts and ends."""
    chroms = pd.concat([table["chrom"] for table in tables]).astype(str)
    same = {name: aliases(name)[1] for name in chroms.unique()}  # the first of the other spellings, whichever it has
    codes = pd.factorize(chroms.map(same))[0]
    parts = np.split(codes, np.cumsum([len(table) for table in tables])[:-1])
    return [
        (chrom, *(whole_numbers(table[name], "The peaks") for name in ("start", "end")))
        for chrom, table in zip(parts, tables, strict=True)
    ]


def _n_bases(peaks: tuple[np.ndarray, np.ndarray, np.ndarray]) -> int:
    """Bases covered by at least one peak."""
    _, start, end = merge(*peaks)
    return int((end - start).sum())
