"""Scores of predicted tracks against true ones, block by block in bounded memory."""

from __future__ import annotations

import warnings
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import pandas as pd

from scatacworks._arguments import one_of, whole
from scatacworks._columns import placed
from scatacworks._core.scoring import PairMoments, Ranking, average_precision, best_f1, roc_area, undefined
from scatacworks._core.spans import painted
from scatacworks._groups import chosen_groups
from scatacworks._regions import as_regions, with_positions
from scatacworks._text import listed

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from scatacworks.genome import Genome
    from scatacworks.tracks import Tracks

_SCOPES = ("", "_inside", "_outside")
_DIFFERENTIAL = "_differential"
_AT_THRESHOLD = ("f1", "precision", "recall")  # NaN also where there is no threshold, or no base above it
UNDEFINED = "Scores are undefined"


def evaluate_tracks(
    prediction: Tracks,
    truth: Tracks,
    *,
    score: Tracks | None = None,
    peaks: pd.DataFrame | None = None,
    differential: pd.DataFrame | None = None,
    groups: Sequence[str] | None = None,
    regions: Any = None,
    exclude: pd.DataFrame | None = None,
    extend: int | None = None,
    threshold: float = 0.5,
    block_bp: int = 1_000_000,
    by: Literal["group", "block"] = "group",
    rank_correlation: bool = True,
) -> pd.DataFrame:
    """Score tracks at base resolution, whole and inside and outside of peaks.

    Parameters
    ----------
    prediction
        Tracks to score, such as the denoised signal.
    truth
        Tracks of the same groups and genome: coverage, or deep cut sites together with `extend`.
    score
        What ranks bases for peaks, such as the peak probability; `prediction` when `None`.
    peaks
        True peaks with columns ``chrom``, ``start``, ``end`` (0-based, half-open) and, where they differ between
        groups, ``group``. Without them only correlation and error are given.
    differential
        Intervals like `peaks` that are scored apart as well: where a group's peaks differ from another group's. There a
        track that shows an average of groups fails, however good it is elsewhere.
    groups
        Groups to score; all of `prediction` by default.
    regions
        Where to score, in any form that :func:`~scatacworks.tl.denoise` takes; whole chromosomes by default.
    exclude
        Intervals to leave out, such as a blacklist and gaps.
    extend
        bp by which cut sites in `truth` are extended to either side; `None` takes `truth` as it is.
    threshold
        Bases with a `score` above it count as called.
    block_bp
        Length of the blocks in which the genome is gone through.
    by
        ``"group"``: one row per group; ``"block"``: one row per group and block, for paired comparisons
        (:func:`paired_bootstrap`).
    rank_correlation
        Also compute Spearman's correlation of each group, which takes a second pass over the tracks.

    Returns
    -------
    Columns ``group`` (with ``chrom``, ``start``, ``end`` for blocks), ``n_bases``, ``n_peak_bases``; ``pearson``,
    ``mse`` and ``mse_scaled`` of all bases and, with the endings ``_inside`` and ``_outside``, of those in and outside
    of peaks; ``spearman`` (not per block), ``scale`` (best factor on the prediction), ``auprc``, ``auroc``, ``f1``,
    ``f1_max``, ``precision``, ``recall``. With `differential`, also ``n_differential_bases``,
    ``pearson_differential``, ``mse_differential``, ``mse_scaled_differential``, ``auprc_differential`` and
    ``auroc_differential``. Undefined scores are NaN.

    Raises
    ------
    ValueError
        If the genomes differ, or an argument is out of range.
    KeyError
        If a group or column is missing.

    Warns
    -----
    UserWarning
        Once, if scores of groups are undefined; they are named. Not for blocks.

    Examples
    --------
    >>> import numpy as np, scatacworks as sca
    >>> genome = sca.Genome({"chr1": 6})
    >>> runs = (np.array([1, 3], np.int32), None, np.array([2, 1], np.uint16))
    >>> tracks = sca.Tracks.from_chromosomes(["B"], genome, [("chr1", [runs])])
    >>> float(sca.metrics.evaluate_tracks(tracks, tracks).loc[0, "pearson"])
    1.0
    """
    one_of(by, "by", ("group", "block"))
    genome = prediction.genome
    if genome.sizes != truth.genome.sizes:
        msg = f"prediction is on {genome!r} and truth on {truth.genome!r}; both must have the same genome."
        raise ValueError(msg)
    left_out = {} if exclude is None else _intervals(exclude, genome)
    extend = None if extend is None else whole(extend, "extend", least=0)
    blocks = _blocks(genome, regions, whole(block_bp, "block_bp"))
    rows = []
    for group in chosen_groups(groups, prediction.groups):
        own = None if peaks is None else _intervals(_of_group(peaks, group), genome)
        apart = None if differential is None else _intervals(_of_group(differential, group), genome)
        reader = _Reader(prediction, truth, score, extend, group, own, apart, left_out)
        with warnings.catch_warnings():  # told once, below
            warnings.filterwarnings("ignore", message=".*is undefined", category=UserWarning)
            if by == "block":
                rows += _block_rows(reader, blocks, threshold)
            else:
                rows.append(_group_row(reader, blocks, threshold, rank_correlation=rank_correlation))
    found = pd.DataFrame(rows)
    if by == "group":
        warn_undefined(found)
    return found


def warn_undefined(table: pd.DataFrame) -> None:
    """Say once which scores of which groups do not exist, to the caller of the function that calls this."""
    asked = table.drop(columns=[*_AT_THRESHOLD], errors="ignore")
    if "auprc" not in table:  # no peaks
        asked = asked.drop(columns=[name for name in asked if name.endswith(_SCOPES[1:])])
    by_group = {group: rows.columns[rows.isna().any()] for group, rows in asked.groupby("group", sort=False)}
    told = [f"{group} ({listed(names)})" for group, names in by_group.items() if len(names)]
    if told:
        msg = f"{UNDEFINED}, as there are no such bases or all are alike, and NaN: {listed(told)}."
        warnings.warn(msg, UserWarning, stacklevel=3)


@dataclass
class _Reader:
    """Dense arrays of one group for any block."""

    prediction: Tracks
    truth: Tracks
    score: Tracks | None
    extend: int | None
    group: str
    peaks: dict[str, np.ndarray] | None
    differential: dict[str, np.ndarray] | None
    exclude: dict[str, np.ndarray]

    def read(self, chrom: str, start: int, end: int) -> tuple[np.ndarray, ...]:
        """Truth, prediction, score, labels and whether in `differential` of the bases that count, all (n,)."""
        prediction = self.prediction.window(self.group, chrom, start, end)
        truth = _coverage(self.truth, self.group, (chrom, start, end), self.extend)
        score = prediction if self.score is None else self.score.window(self.group, chrom, start, end)
        label = painted((self.peaks or {}).get(chrom), start, end)
        keep = ~painted(self.exclude.get(chrom), start, end)
        keep &= ~(np.isnan(prediction) | np.isnan(truth) | np.isnan(score))
        apart = painted((self.differential or {}).get(chrom), start, end)
        return truth[keep], prediction[keep], score[keep], label[keep], apart[keep]

    def scores(self) -> _Scores:
        """Empty accumulators for this group."""
        return _Scores(with_peaks=self.peaks is not None, with_differential=self.differential is not None)


class _Scores:
    """All accumulators of one row."""

    def __init__(self, *, with_peaks: bool, with_differential: bool) -> None:
        self.with_peaks, self.with_differential = with_peaks, with_differential
        self.moments = {scope: PairMoments() for scope in (*_SCOPES, _DIFFERENTIAL)}
        self.ranking, self.ranking_apart = Ranking(), Ranking()
        self.called = self.hit = 0

    def update(self, bases: tuple[np.ndarray, ...], threshold: float) -> None:
        """Add what :meth:`_Reader.read` returns."""
        truth, prediction, score, label, apart = bases
        scopes = (slice(None), label, ~label, apart)
        for moments, scope in zip(self.moments.values(), scopes, strict=True):
            moments.update(truth[scope], prediction[scope])
        self.ranking.update(label, score)
        if self.with_differential:
            self.ranking_apart.update(label[apart], score[apart])
        called = score > threshold
        self.called += int(called.sum())
        self.hit += int(label[called].sum())

    def row(self) -> dict[str, float]:
        whole = self.moments[""]
        n_peak = self.moments["_inside"].n
        row = {"n_bases": whole.n, "n_peak_bases": n_peak, **_agreement(whole, "")}
        for scope in _SCOPES[1:]:
            row |= _agreement(self.moments[scope] if self.with_peaks else None, scope)
        row["scale"] = whole.best_scale()
        if self.with_peaks:
            tp, fp = self.ranking.cumulative()
            row |= {"auprc": average_precision(tp, fp), "auroc": roc_area(tp, fp)}
            row["f1"] = 2 * self.hit / (self.called + n_peak) if n_peak else undefined("F1", "there is no peak base")
            row["f1_max"] = best_f1(tp, fp)
            row["precision"] = self.hit / self.called if self.called else float("nan")
            row["recall"] = self.hit / n_peak if n_peak else float("nan")
        return row | (self._differential() if self.with_differential else {})

    def _differential(self) -> dict[str, float]:
        apart = self.moments[_DIFFERENTIAL]
        row = {"n_differential_bases": apart.n, **_agreement(apart, _DIFFERENTIAL)}
        if self.with_peaks:
            tp, fp = self.ranking_apart.cumulative()
            row |= {"auprc" + _DIFFERENTIAL: average_precision(tp, fp), "auroc" + _DIFFERENTIAL: roc_area(tp, fp)}
        return row


def _agreement(moments: PairMoments | None, scope: str) -> dict[str, float]:
    """Correlation and errors of one scope; NaN where it does not exist."""
    names = ("pearson", "mse", "mse_scaled")
    return {name + scope: float("nan") if moments is None else getattr(moments, name)() for name in names}


def _group_row(
    reader: _Reader, blocks: list[tuple[str, int, int]], threshold: float, *, rank_correlation: bool
) -> dict[str, float]:
    """All blocks of a group in one row."""
    scores, ranks = reader.scores(), (Ranking(), Ranking())
    for block in blocks:
        bases = reader.read(*block)
        scores.update(bases, threshold)
        if rank_correlation:
            for ranking, values in zip(ranks, bases[:2], strict=True):
                ranking.update(np.zeros(len(values), bool), values)
    row = {"group": reader.group, **scores.row()}
    if rank_correlation:
        row["spearman"] = _rank_correlation(reader, blocks, ranks)
    return row


def _rank_correlation(reader: _Reader, blocks: list[tuple[str, int, int]], ranks: tuple[Ranking, Ranking]) -> float:
    """Correlation of ranks, from a second pass."""
    moments = PairMoments()
    for block in blocks:
        truth, prediction, *_ = reader.read(*block)
        moments.update(ranks[0].ranks(truth), ranks[1].ranks(prediction))
    return moments.pearson()


def _block_rows(reader: _Reader, blocks: list[tuple[str, int, int]], threshold: float) -> Iterator[dict[str, float]]:
    """One row per block."""
    for chrom, start, end in blocks:
        scores = reader.scores()
        scores.update(reader.read(chrom, start, end), threshold)
        yield {"group": reader.group, "chrom": chrom, "start": start, "end": end, **scores.row()}


def _coverage(tracks: Tracks, group: str, block: tuple[str, int, int], extend: int | None) -> np.ndarray:
    """Values of a track, or the coverage of its cut sites, over a block; float32."""
    chrom, start, end = block
    if extend is None:
        return tracks.window(group, chrom, start, end)
    sites = tracks.window(group, chrom, start - extend, end + extend)
    sums = np.concatenate([[0.0], np.cumsum(sites, dtype=np.float64)])
    return (sums[2 * extend + 1 :] - sums[: -2 * extend - 1]).astype(np.float32)


def _of_group(peaks: pd.DataFrame, group: str) -> pd.DataFrame:
    """Peaks of one group, where they are told apart."""
    if "group" not in peaks.columns:
        return peaks
    return peaks[peaks["group"].astype(str) == str(group)]


def _intervals(table: pd.DataFrame, genome: Genome) -> dict[str, np.ndarray]:
    """Starts and ends per chromosome under the genome's names, (n, 2) int64; unknown chromosomes are left out."""
    table = with_positions(table, "The table of intervals")
    codes, *ends = placed(table, genome, "The table of intervals")
    ends = np.column_stack(ends)
    return {genome.chroms[code]: ends[codes == code] for code in np.unique(codes) if code >= 0}


def _blocks(genome: Genome, regions: Any, block_bp: int) -> list[tuple[str, int, int]]:
    """Regions (or chromosomes) cut into blocks."""
    if regions is None:
        whole = [(chrom, 0, int(length)) for chrom, length in genome.sizes.items()]
    else:
        table = as_regions(regions, genome, gene_flanks=True, stacklevel=4)
        whole = zip(table["chrom"], table["start"].tolist(), table["end"].tolist(), strict=True)
    return [(c, at, min(at + block_bp, end)) for c, start, end in whole for at in range(start, end, block_bp)]
