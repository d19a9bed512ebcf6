"""Single cells drawn from real cut sites, with planted regions in a rare subpopulation: a ground truth."""

from __future__ import annotations

import gzip
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
from scipy.sparse import csr_array

from scatacworks import Genome, Tracks
from scatacworks._core.pileup import group_cut_sites
from scatacworks._core.territory import REFERENCE_BP

if TYPE_CHECKING:
    from pathlib import Path

    from anndata import AnnData

STRENGTHS = (0.5, 1.0, 2.0)  # of new elements, relative to the peaks they are copied from
EDGE_BP = 20_000  # the sites at the ends of the 10-Mb pieces are incomplete


@dataclass
class Cells:
    """Cut sites of cells, and what was planted.

    Attributes
    ----------
    genome
        The pieces of the genome that they were drawn from.
    keys
        Chromosome code -> sorted `position << 32 | cell`.
    target
        int, `(n_cells,)`: which rare subpopulation a cell belongs to, -1 for the other cells.
    latent
        `(n_cells, 2)`: where the cells lie in the space in which neighbours are sought.
    planted
        One DataFrame per subpopulation: chrom, start, end, kind (`"changed"`, `"new"`, `"control"`), fold.
    """

    genome: Genome
    keys: dict[int, np.ndarray]
    target: np.ndarray
    latent: np.ndarray
    planted: list[pd.DataFrame]

    @property
    def n_sites(self) -> np.ndarray:
        """Cut sites of every cell."""
        counts = [np.bincount(keys & 0xFFFFFFFF, minlength=len(self.target)) for keys in self.keys.values()]
        return np.sum(counts, axis=0)

    @property
    def pieces_bp(self) -> int:
        """Bases that the sites were drawn from."""
        return int(self.genome.lengths.sum())

    def tracks(self, members: csr_array, names: list[str]) -> Tracks:
        """Return the cut sites of groups; `members` is cells x groups."""
        members = csr_array(members)
        chromosomes = (
            (code, group_cut_sites(keys, members.indptr, members.indices, members.shape[1]))
            for code, keys in sorted(self.keys.items())
        )
        return Tracks.from_chromosomes(names, self.genome, chromosomes)

    def count_matrix(self, regions: pd.DataFrame) -> csr_array:
        """Return cut sites per cell and region; `(n_cells, n_regions)`."""
        rows, columns = [], []
        codes = self.genome.resolve(regions["chrom"])
        for code, keys in self.keys.items():
            at = np.flatnonzero(codes == code)
            position, cell = keys >> 32, keys & 0xFFFFFFFF
            low = np.searchsorted(position, regions["start"].to_numpy()[at])
            high = np.searchsorted(position, regions["end"].to_numpy()[at])
            rows += [cell[a:b] for a, b in zip(low, high, strict=True)]
            columns += [np.full(b - a, r) for r, a, b in zip(at, low, high, strict=True)]
        row, column = np.concatenate(rows), np.concatenate(columns)
        return csr_array((np.ones(len(row)), (row, column)), shape=(len(self.target), len(regions)))


def read_sites(folder: Path) -> tuple[Genome, dict[int, np.ndarray]]:
    """Read the 80 M cut sites; positions repeated by their counts, per chromosome."""
    genome = Genome(folder / "example.sizes", name="hsc30mb")
    with gzip.open(folder / "HSC.80M.cut_sites.bedGraph.gz", "rt") as stream:
        table = pd.read_csv(stream, sep="\t", header=None, names=["chrom", "start", "end", "count"])
    codes = genome.resolve(table["chrom"])
    sites = {}
    for code in range(len(genome)):
        own = table[codes == code]
        sites[code] = np.sort(np.repeat(own["start"].to_numpy(), own["count"].to_numpy()))
    return genome, sites


def read_peaks(folder: Path, genome: Genome) -> pd.DataFrame:
    """Read the 80 M peaks, away from the ends of the pieces."""
    peaks = pd.read_csv(folder / "HSC.80M.chr123.10mb.peaks.bed", sep="\t", header=None, usecols=[0, 1, 2])
    peaks.columns = ["chrom", "start", "end"]
    inside = (peaks["start"] > EDGE_BP) & (peaks["end"] < int(genome.lengths.min()) - EDGE_BP)
    return peaks[inside].reset_index(drop=True)


def _closed_places(
    rng: np.random.Generator,
    like: pd.DataFrame,
    taken: pd.DataFrame,
    genome: Genome,
    elements: pd.DataFrame | None = None,
) -> pd.DataFrame:
    """Draw places, one of the size and chromosome of each row of `like`, 3 kb from all taken ones and each other.

    They lie anywhere, or with `elements` in the middle of one of these.
    """
    spans = {chrom: part[["start", "end"]].to_numpy().tolist() for chrom, part in taken.groupby("chrom")}
    middles = {}
    if elements is not None:
        shuffled = elements.sample(frac=1, random_state=int(rng.integers(2**31)))
        middles = {c: ((part["start"] + part["end"]) // 2).tolist() for c, part in shuffled.groupby("chrom")}
    rows = []
    for chrom, begin, end in like[["chrom", "start", "end"]].itertuples(index=False):
        size = end - begin
        while True:
            if elements is None:
                start = int(rng.integers(EDGE_BP, genome.sizes[chrom] - EDGE_BP - size))
            elif middles[chrom]:
                start = middles[chrom].pop() - size // 2
            else:
                msg = f"{chrom} has too few elements 3 kb from everything else; plant fewer."
                raise ValueError(msg)
            inside = EDGE_BP <= start <= genome.sizes[chrom] - EDGE_BP - size
            if inside and all(start - 3000 > high or start + size + 3000 < low for low, high in spans[chrom]):
                break
        spans[chrom].append([start, start + size])
        rows.append((chrom, start, start + size))
    return pd.DataFrame(rows, columns=["chrom", "start", "end"])


def plant(
    rng: np.random.Generator,
    peaks: pd.DataFrame,
    genome: Genome,
    *,
    folds: tuple[float, ...],
    n_each: int,
    elsewhere: pd.DataFrame | None = None,
) -> pd.DataFrame:
    """Choose what differs: peaks that change by a fold, new elements copied from peaks, and closed controls.

    `source` is where the original of a new element begins. With `elsewhere`, elements that other samples share, every
    second new element and control lies in one of these, the others apart from them.
    """
    chosen = peaks.sample(len(folds) * n_each, random_state=int(rng.integers(2**31)))
    changed = chosen.assign(kind="changed", fold=np.repeat(folds, n_each), source=-1)
    originals = peaks.sample(len(STRENGTHS) * n_each, random_state=int(rng.integers(2**31)))
    new = _new_places(rng, originals, peaks, genome, elsewhere)
    new = new.assign(kind="new", fold=np.repeat(STRENGTHS, n_each), source=originals["start"].to_numpy())
    like = peaks.sample(10 * n_each, random_state=int(rng.integers(2**31)))
    control = _new_places(rng, like, pd.concat([peaks, new]), genome, elsewhere)
    return pd.concat([changed, new, control.assign(kind="control", fold=1.0, source=-1)], ignore_index=True)


def _new_places(
    rng: np.random.Generator, like: pd.DataFrame, taken: pd.DataFrame, genome: Genome, elsewhere: pd.DataFrame | None
) -> pd.DataFrame:
    """Draw closed places; with `elsewhere` every second one in an element of other samples."""
    if elsewhere is None:
        return _closed_places(rng, like, taken, genome)
    known = _closed_places(rng, like[::2], taken, genome, elsewhere)
    unknown = _closed_places(rng, like[1::2], pd.concat([taken, known, elsewhere]), genome)
    table = pd.concat([known.set_axis(like.index[::2]), unknown.set_axis(like.index[1::2])])
    return table.loc[like.index].reset_index(drop=True)


@dataclass(frozen=True)
class Setting:
    """What is simulated.

    Attributes
    ----------
    n_cells, n_target, n_targets
        Other cells; cells of one rare subpopulation; independent subpopulations, all against the same other cells.
    depth
        Cut sites, per 3.1e9 bp, of `n_target` cells together: 1e6 is the paper's 50 cells.
    folds, n_each
        Effect sizes of peaks that change, and how many of each; new elements come at 0.5, 1 and 2 times the strength
        of the peak they are copied from.
    varying, varying_fold
        Share of peaks whose accessibility follows the first latent axis in all cells, and the fold from end to end:
        the ordinary variation among a population's cells, no news about the rare ones.
    n_null
        Subpopulations, the last ones, in which nothing is planted.
    at_end
        Every so many-th subpopulation lies at an end of the first latent axis (0: wherever it falls).
    """

    n_cells: int = 2000
    n_target: int = 50
    n_targets: int = 1
    depth: float = 1e6
    folds: tuple[float, ...] = (1 / 8, 1 / 4, 1 / 2, 2, 4, 8)
    n_each: int = 40
    varying: float = 0.0
    varying_fold: float = 3.0
    n_null: int = 0
    at_end: int = 0


def simulate(folder: Path, setting: Setting, *, seed: int = 0, elsewhere: pd.DataFrame | None = None) -> Cells:
    """Draw cells from the real sites: the other cells without replacement, each subpopulation on its own.

    `elsewhere` are elements that other samples share, for :func:`plant`.
    """
    rng = np.random.default_rng(seed)
    genome, sites = read_sites(folder)
    peaks = read_peaks(folder, genome)
    s = setting
    latent = rng.random((s.n_cells + s.n_target * s.n_targets, 2))
    target = np.repeat(np.arange(-1, s.n_targets), [s.n_cells] + [s.n_target] * s.n_targets)
    for t in range(s.n_targets):  # a rare subpopulation lies together
        middle = rng.random(2) * 0.8 + 0.1
        if s.at_end and t % s.at_end == 0:
            middle[0] = 0.05 + 0.9 * (t // s.at_end % 2)
        latent[target == t] = middle + rng.normal(0, 0.03, (s.n_target, 2))
    size = rng.lognormal(0, 0.4, len(target))
    slope = np.where(rng.random(len(peaks)) < s.varying, rng.choice([-1, 1], len(peaks)) * np.log(s.varying_fold), 0)
    what = {"folds": s.folds, "n_each": s.n_each, "elsewhere": elsewhere}
    planted = [plant(rng, peaks, genome, **what) for _ in range(s.n_targets)]
    for table in planted[s.n_targets - s.n_null :]:
        table["kind"] = "control"
    rate = s.depth / s.n_target * genome.lengths.sum() / REFERENCE_BP / sum(map(len, sites.values()))
    keys = {}
    for code, positions in sites.items():
        own = (genome.resolve(peaks["chrom"]) == code).nonzero()[0]
        along = np.zeros(len(positions))
        for p in own:
            along[_inside(positions, peaks.iloc[p])] = slope[p]
        parts = [_others(rng, positions, along, (latent[target < 0, 0], size[target < 0]), rate)]
        for t in range(s.n_targets):
            cells = np.flatnonzero(target == t)
            fold = np.exp(along * (latent[cells, 0].mean() - 0.5))
            table = planted[t][genome.resolve(planted[t]["chrom"]) == code]
            drawn = _members(rng, positions, fold, rate * s.n_target, table)
            cell = rng.choice(cells, len(drawn), p=size[cells] / size[cells].sum())
            parts.append(drawn.astype(np.int64) << 32 | cell)
        keys[code] = np.sort(np.concatenate(parts))
    return Cells(genome, keys, target, latent, planted)


def _inside(positions: np.ndarray, region: pd.Series) -> slice:
    return slice(*np.searchsorted(positions, [region["start"], region["end"]]))


def _others(
    rng: np.random.Generator,
    positions: np.ndarray,
    along: np.ndarray,
    cells: tuple[np.ndarray, np.ndarray],
    rate: float,
) -> np.ndarray:
    """Hand sites to the other cells; where accessibility follows the axis, cells far along it get more."""
    axis, size = cells
    share = size / size.sum()
    kept = np.flatnonzero(rng.random(len(positions)) < rate * len(size))
    cell = rng.choice(len(size), len(kept), p=share)
    for _ in range(8):  # a cell is redrawn until it accepts the site
        tilt = along[kept] * (axis[cell] - 0.5)
        refused = rng.random(len(kept)) > np.exp(tilt - np.abs(along[kept]) / 2)
        cell[refused] = rng.choice(len(size), int(refused.sum()), p=share)
    return positions[kept].astype(np.int64) << 32 | cell


def _members(
    rng: np.random.Generator, positions: np.ndarray, fold: np.ndarray, rate: float, planted: pd.DataFrame
) -> np.ndarray:
    """Draw the sites of one rare subpopulation on a chromosome; new elements are copies of this chromosome's peaks."""
    fold = fold.copy()
    copies = []
    for row in planted.to_dict("records"):
        if row["kind"] == "changed":
            fold[_inside(positions, row)] *= row["fold"]
        elif row["kind"] == "new":
            copied = positions[
                slice(*np.searchsorted(positions, [row["source"], row["source"] + row["end"] - row["start"]]))
            ]
            kept = copied[rng.random(len(copied)) < rate * row["fold"]]
            copies.append(kept - row["source"] + row["start"])
    return np.concatenate([positions[rng.random(len(positions)) < rate * fold], *copies])


def knn_members(
    cells: Cells, *, n_groups: int, n_neighbors: int = 50, spread: bool = False, seed: int = 0
) -> csr_array:
    """Return cells x groups of the other cells: random (or farthest-first) centres with their nearest cells."""
    rng = np.random.default_rng(seed)
    pool = np.flatnonzero(cells.target < 0)
    points = cells.latent[pool]
    centers = [int(rng.integers(len(pool)))]
    if spread:
        distance = np.full(len(pool), np.inf)
        while len(centers) < min(n_groups, len(pool)):
            distance = np.minimum(distance, ((points - points[centers[-1]]) ** 2).sum(1))
            centers.append(int(distance.argmax()))
    else:
        centers = rng.choice(len(pool), min(n_groups, len(pool)), replace=False)
    distance = ((points[centers][:, None] - points[None]) ** 2).sum(2)
    nearest = np.argpartition(distance, n_neighbors, axis=1)[:, :n_neighbors]
    row, column = pool[nearest].ravel(), np.repeat(np.arange(len(centers)), n_neighbors)
    return csr_array((np.ones(len(row), bool), (row, column)), shape=(len(cells.target), len(centers)))


def to_anndata(cells: Cells, background: csr_array) -> AnnData:
    """Return the cells as a user has them: groups and background counted, ready for `tl.denoise`.

    `.uns["pseudobulk"]` holds the subpopulations, `.uns["background_sites"]` the groups of `.obsm["background"]`.
    """
    from anndata import AnnData
    from scipy.sparse import csr_matrix

    names = [f"population {t}" for t in range(len(cells.planted))]
    population = np.array([*names, None], dtype=object)[cells.target]
    obs = pd.DataFrame({"population": pd.Categorical(population, categories=names)})
    obs["n_fragments"] = cells.n_sites / 2
    adata = AnnData(obs=obs.set_axis([f"cell{i}" for i in range(len(obs))], axis=0))
    adata.obsm["background"] = csr_matrix(background)
    groups = [f"{i}" for i in range(background.shape[1])]
    for key, groupby, members, labels in (
        ("pseudobulk", "population", target_members(cells), names),
        ("background_sites", "background", background, groups),
    ):
        params = {"groupby": groupby, "convention": "10x", "territory_bp": cells.pieces_bp, "digest": key}
        adata.uns[key] = {"cut_sites": cells.tracks(members, labels).to_dict(), "params": params}
    return adata


def target_members(cells: Cells) -> csr_array:
    """Return cells x subpopulations."""
    row = np.flatnonzero(cells.target >= 0)
    shape = (len(cells.target), len(cells.planted))
    return csr_array((np.ones(len(row), bool), (row, cells.target[row])), shape=shape)
