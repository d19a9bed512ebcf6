"""Which element has which motif."""

from __future__ import annotations

import os
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
from scipy import sparse
from tqdm.auto import tqdm

from scatacworks import _threads
from scatacworks._arguments import share
from scatacworks._core import motif_scan
from scatacworks._fasta import open_fasta
from scatacworks._logging import logger
from scatacworks.io._motifs import Motif, read_motifs, with_unique_names
from scatacworks.tl._annotation._elements import elements_of

if TYPE_CHECKING:
    from collections.abc import Sequence


def load_motifs(motifs: str | os.PathLike[str] | Sequence[Motif]) -> list[Motif]:
    """Read a motif file, or check a list of motifs; no two have one name."""
    if isinstance(motifs, str | os.PathLike):
        return read_motifs(motifs)
    motifs = list(motifs) if isinstance(motifs, Iterable) else []
    if not motifs or not all(isinstance(motif, Motif) for motif in motifs):
        msg = "motifs must be a motif file or a non-empty list of sca.io.Motif, as sca.io.read_motifs returns."
        raise TypeError(msg)
    return with_unique_names(motifs, "the list")


def sequences_of(var: pd.DataFrame, source: str | os.PathLike[str], *, width: int | None) -> list[str]:
    """Return the sequence of every region, from a column of the table or from a FASTA file.

    With `width`, that many bases around the summit (or middle) are read instead of the whole region; bases outside
    the chromosome are N.

    Raises
    ------
    KeyError
        If `source` is neither a column nor a file.
    ValueError
        If no chromosome of the regions is in the FASTA file, a column holds no text, or a width is asked of one.
    """
    if isinstance(source, str) and source in var:
        if width is not None:
            msg = f"width={width} needs a FASTA file; the sequences in .var[{source!r}] are taken as they are."
            raise ValueError(msg)
        column = var[source]
        missing = int(column.isna().sum())
        if missing == len(column) or not pd.api.types.is_string_dtype(column.dropna()):
            msg = f".var[{source!r}] holds no sequences."
            raise ValueError(msg)
        if missing:
            logger.warning("%d of %d elements have no sequence and cannot have a motif.", missing, len(column))
        return column.fillna("").astype(str).tolist()
    if isinstance(source, str) and not Path(source).exists() and not any(mark in source for mark in "./\\"):
        msg = f"{source!r} is neither a column of .var ({list(var.columns)}) nor a FASTA file."
        raise KeyError(msg)
    return _from_fasta(var, Path(source), width)


def _from_fasta(var: pd.DataFrame, path: Path, width: int | None) -> list[str]:
    """Read the regions' sequences through the FASTA index."""
    elements = elements_of(var)
    start, end = elements.start, elements.end
    if width is not None:
        start = elements.summit - width // 2
        end = start + width
    with open_fasta(path) as fasta:
        known = [chrom in fasta for chrom in elements.chroms.chroms]
        if not any(known):
            msg = f"No chromosome of the regions ({', '.join(elements.chroms.chroms[:3])}, …) is in {path}."
            raise ValueError(msg)
        lost = sum(not known[code] for code in elements.chrom)
        if lost:
            logger.warning("%d of %d elements lie on chromosomes that %s lacks.", lost, len(start), path)
        return [
            fasta.text(elements.chroms.chroms[code], int(left), int(right)) if known[code] else ""
            for code, left, right in zip(elements.chrom, start, end, strict=True)
        ]


def match(
    sequences: list[str],
    motifs: Sequence[Motif],
    *,
    p_value: float,
    background: np.ndarray | None = None,
    n_jobs: int | None = None,
    progress: bool = False,
) -> sparse.csc_matrix:
    """Return which sequence has a match of which motif on either strand; bool, n_sequences × n_motifs.

    `background` are the frequencies of A, C, G and T; by default those of the sequences, the same for both strands.
    """
    share(p_value, "p_value", inside=True)
    if background is not None:
        background = np.asarray(background, np.float64)
        if background.shape != (4,) or not (background > 0).all() or abs(background.sum() - 1) > 1e-3:
            msg = f"background is {background.tolist()}; expected the frequencies of A, C, G and T, which sum to 1."
            raise ValueError(msg)
    codes, bounds = motif_scan.encode(sequences)
    words = motif_scan.words_of(codes, bounds)
    background = base_frequencies(codes) if background is None else background
    longest = int(np.diff(bounds).max(initial=0))
    _report_unusable(sequences, motifs, longest)

    def rows_of(motif: Motif) -> np.ndarray:
        """Return the sequences with the motif."""
        scores = motif_scan.log_odds(motif.matrix, background, pseudocount=1.0, n_sites=motif.n_sites)
        cutoff = motif_scan.threshold(scores, background, p_value)
        return np.flatnonzero(motif_scan.scan(codes, bounds, words, scores, cutoff)[1] >= 0)

    with ThreadPoolExecutor(_threads.resolve(n_jobs)) as pool:
        found = list(tqdm(pool.map(rows_of, motifs), total=len(motifs), desc="motifs", disable=not progress))
    pointers = np.concatenate([[0], np.cumsum([len(rows) for rows in found])])
    rows = np.concatenate(found).astype(np.int32)
    return sparse.csc_matrix((np.ones(len(rows), bool), rows, pointers), (len(sequences), len(motifs)))


def base_frequencies(codes: np.ndarray) -> np.ndarray:
    """Return the frequencies of A, C, G, T over both strands, each at least 1 %."""
    counts = np.bincount(codes, minlength=5)[:4].astype(np.float64)
    if counts.sum() == 0:
        msg = "The sequences hold no A, C, G or T."
        raise ValueError(msg)
    both = np.maximum((counts + counts[::-1]) / (2 * counts.sum()), 0.01)
    return both / both.sum()


def _report_unusable(sequences: list[str], motifs: Sequence[Motif], longest: int) -> None:
    """Log how many sequences are too short for the shortest motif, and motifs for the longest sequence."""
    shortest = min(len(motif) for motif in motifs)
    short = sum(len(sequence) < shortest for sequence in sequences)
    if short:
        logger.warning("%d of %d sequences are shorter than any motif (%d bp).", short, len(sequences), shortest)
    long = sum(len(motif) > longest for motif in motifs)
    if long:
        logger.warning("%d of %d motifs are longer than any sequence (%d bp).", long, len(motifs), longest)
