"""What a genome browser figure is made of: areas, probability strips, peak bars, elements, gene models."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from scatacworks import _keys
from scatacworks._anndata import genome_of, require_assembly, require_index
from scatacworks._palette import GREY, NO_COMPONENT, component_colors
from scatacworks._text import listed
from scatacworks.genome import GENE_COLUMNS
from scatacworks.pl._figure import GENE, INK
from scatacworks.tl._annotation._elements import elements_of

if TYPE_CHECKING:
    from anndata import AnnData
    from matplotlib.axes import Axes

    from scatacworks.genome import Genome, Region

MAX_POINTS = 4000  # per track; wider regions show the maximum of every bin, or its strongest element
MAX_SHADES = 500  # of a strip: about its pixels, as a bin without a pixel of its own is not seen
MAX_GENE_LINES = 6
_LETTER = 0.011  # width of a letter in a figure of the usual width, as a share of it
_SUMMITS_BELOW = 200_000  # bp; in wider regions ticks would hide the peaks


def bin_width(region: Region) -> int:
    """Return the bp of each of the at most 4,000 bins that a region is shown in."""
    return -(-(region.end - region.start) // MAX_POINTS)


def bin_edges(region: Region) -> np.ndarray:
    """Return the first base of every bin and the region's end, `(n + 1,)`."""
    return np.append(np.arange(region.start, region.end, bin_width(region)), region.end)


def draw_area(ax: Axes, edges: np.ndarray, values: np.ndarray, color: str) -> None:
    """Fill a step function down to zero; unknown values (NaN) leave a gap."""
    starts = np.flatnonzero(np.diff(values, prepend=np.nan) != 0)  # where it changes: files of vectors stay small
    edges, steps = np.append(edges[starts], edges[-1]), np.append(values[starts], values[-1:])
    ax.fill_between(edges, steps, step="post", color=color, linewidth=0, alpha=0.9)


def draw_unknown(ax: Axes, edges: np.ndarray, values: np.ndarray) -> None:
    """Hatch what is not known (NaN), so that it is not taken for zero."""
    changes = np.flatnonzero(np.diff(np.isnan(values).astype(np.int8), prepend=0, append=0))
    if len(changes):
        spans = [(start, end - start) for start, end in edges[changes].reshape(-1, 2)]
        look = {"facecolor": "none", "edgecolor": "#d9dbe0", "hatch": "/////", "linewidth": 0}
        ax.broken_barh(spans, (0, 1), transform=ax.get_xaxis_transform(), **look)


def draw_strip(ax: Axes, edges: np.ndarray, values: np.ndarray, color: str) -> None:
    """Shade a strip by a probability: pale grey is 0, the full colour 1; the highest value of up to 500 parts."""
    from matplotlib.colors import LinearSegmentedColormap

    starts = np.arange(0, len(values), max(1, -(-len(values) // MAX_SHADES)))
    edges, values = edges[np.append(starts, len(values))], np.fmax.reduceat(values, starts)
    cmap = LinearSegmentedColormap.from_list("probability", ["#f1f2f4", color])
    ax.pcolorfast(edges, [0, 1], values[None], cmap=cmap, vmin=0, vmax=1)  # an image, in vector formats as well


def draw_peaks(ax: Axes, peaks: pd.DataFrame, color: str, region_bp: int) -> None:
    """Draw peaks as bars, with their summits as ticks where there is room."""
    spans = list(zip(peaks["start"], peaks["end"] - peaks["start"], strict=True))
    ax.broken_barh(spans, (0.15, 0.7), facecolors=color, linewidth=0.5, edgecolor=color)
    if "summit" in peaks and region_bp < _SUMMITS_BELOW:
        ax.vlines(peaks["summit"] + 0.5, 0.0, 1.0, color=INK, linewidth=0.7)


def elements_in(index: AnnData, genome: Genome, region: Region) -> tuple[pd.DataFrame, dict[str, str]]:
    """Return the elements of an index in a region, the strongest last, and the colours of their components."""
    require_index(index)
    require_assembly(genome, genome_of(index), "The tracks are")
    found = elements_of(index.var, genome=genome, what="index.var")
    here = found.chrom == genome.code(region.chrom)
    if not here.any():
        chroms = listed(genome.chroms[code] for code in np.unique(found.chrom[found.chrom >= 0]))
        msg = f"The index has no element on {region.chrom}; it has elements on {chroms}."
        raise ValueError(msg)
    rows = np.flatnonzero(here & (found.end > region.start) & (found.start < region.end))
    if "mean_signal" in index.var:
        rows = rows[np.argsort(index.var["mean_signal"].to_numpy()[rows], kind="stable")]
    if len(rows) > MAX_POINTS:
        bins = pd.Series(found.summit[rows] // bin_width(region))
        rows = rows[~bins.duplicated(keep="last")]
    var, start, end = index.var.iloc[rows], found.start[rows], found.end[rows]
    table = pd.DataFrame({"start": start, "end": end, "summit": found.summit[rows], "color": GREY})
    for name, behind in (("core_start", 0), ("core_end", 1)):
        core = pd.to_numeric(var[name]).to_numpy(np.float64, na_value=np.nan) if name in var else np.nan
        table[name] = (pd.Series(core, table.index).fillna(table["summit"]) + behind).clip(start, end)
    if _keys.COMPONENT not in var:
        return table, {}
    labels = index.var[_keys.COMPONENT].astype("category")
    colors = component_colors(index.uns, list(map(str, labels.cat.categories)))
    labels = labels.iloc[rows].astype(object).map(str, na_action="ignore")
    table["color"] = labels.map(colors).fillna(NO_COMPONENT).to_numpy()
    return table, {name: color for name, color in colors.items() if (labels == name).any()}


def draw_elements(ax: Axes, elements: pd.DataFrame) -> None:
    """Draw elements as thin bars, and their cores as thick ones."""
    for first, last, height in (("start", "end", 0.3), ("core_start", "core_end", 0.9)):
        spans = list(zip(elements[first], elements[last] - elements[first], strict=True))
        look = {"facecolors": elements["color"], "edgecolors": elements["color"], "linewidth": 0.5}
        ax.broken_barh(spans, (0.5 - height / 2, height), **look)


def genes_in(genome: Genome, region: Region, *, genes: pd.DataFrame | bool) -> tuple[pd.DataFrame, pd.DataFrame | None]:
    """Return the genes of a region, sorted, and their exons if they are known."""
    if not isinstance(genes, bool | pd.DataFrame):
        msg = f"genes is {genes!r}; expected True, False or a table such as io.read_genes returns."
        raise TypeError(msg)
    if genes is True and genome.has_genes:
        genes = genome.genes
    if isinstance(genes, bool):  # none are wanted, or known
        return pd.DataFrame(columns=GENE_COLUMNS), None
    missing = [name for name in GENE_COLUMNS if name not in genes]
    if missing:
        msg = f"genes lacks the column(s) {', '.join(missing)}; it has {', '.join(map(str, genes.columns))}."
        raise ValueError(msg)
    here = genome.resolve(genes["chrom"]) == genome.code(region.chrom)
    inside = here & (genes["end"] > region.start) & (genes["start"] < region.end)
    genes = genes[inside]
    if "part" not in genes:
        return genes.sort_values("start"), None
    exons = genes[genes["part"] != "transcript"]
    spans = {"start": ("start", "min"), "end": ("end", "max"), "strand": ("strand", "first")}
    return genes.groupby("name", as_index=False).agg(**spans).sort_values("start"), exons


def count_lines(genes: pd.DataFrame, region: Region) -> int:
    """Return how many lines the genes take in a figure of the usual width: none, some with names, or two without."""
    if genes.empty:
        return 0
    lines = int(gene_lines(genes, region, (region.end - region.start) * _LETTER).max()) + 1
    return lines if lines <= MAX_GENE_LINES else 2


def gene_lines(genes: pd.DataFrame, region: Region, letter_bp: float) -> np.ndarray:
    """Return the line (0 on top) on which each gene has room for itself and its name, first come first served."""
    ends: list[float] = []
    lines = np.empty(len(genes), np.int64)
    for i, gene in enumerate(genes.itertuples()):
        middle, half = _name_span(gene, region, letter_bp)
        left = min(max(gene.start, region.start), middle - half)
        right = max(min(gene.end, region.end), middle + half)
        lines[i] = next((j for j, reached in enumerate(ends) if reached < left), len(ends))
        if lines[i] == len(ends):
            ends.append(right)
        ends[lines[i]] = right
    return lines


def _name_span(gene: Any, region: Region, letter_bp: float) -> tuple[float, float]:
    """Return the middle of a gene's name and half its width in bp; the name stays within the region."""
    half = (len(str(gene.name)) + 1) * letter_bp / 2
    middle = (max(gene.start, region.start) + min(gene.end, region.end)) / 2
    return float(np.clip(middle, region.start + half, max(region.end - half, region.start + half))), half


def draw_genes(ax: Axes, genes: pd.DataFrame, exons: pd.DataFrame | None, region: Region, fontsize: float) -> None:
    """Draw gene bodies with strand arrows, exons where they are known, and names in italics.

    Where there is no room for names, the genes of the two strands are drawn on a line each. The axes must have their
    final size and x limits: names and arrows are laid out by it.
    """
    pixel_bp = (region.end - region.start) / max(ax.get_window_extent().width, 1)
    letter_bp = 0.62 * fontsize * ax.figure.dpi / 72 * pixel_bp
    lines = gene_lines(genes, region, letter_bp)
    with_names = lines.max() < MAX_GENE_LINES
    if not with_names:
        lines = (genes["strand"] == "-").to_numpy().astype(np.int64)
    left, right = np.maximum(genes["start"], region.start), np.minimum(genes["end"], region.end)
    ax.hlines(-lines, left, right, color=GENE, linewidth=1.1 if with_names else 3, capstyle="butt")
    ax.set_ylim(-max(lines) - 0.95, 0.45)
    if not with_names:
        ax.set_yticks([0, -1], ["genes +", "−"], fontsize=fontsize, color=INK)
        ax.tick_params(axis="y", length=0)
        return
    for y, start, end, gene in zip(-lines, left, right, genes.itertuples(), strict=True):
        _draw_strand(ax, gene.strand, (start, end), y, 14 * ax.figure.dpi / 72 * pixel_bp)
        _draw_exons(ax, gene, exons, (start, end), y)
        middle, _ = _name_span(gene, region, letter_bp)
        text = {"ha": "center", "va": "top", "fontsize": fontsize, "style": "italic", "color": INK}
        ax.text(middle, y - 0.28, gene.name, **text)


def _draw_exons(ax: Axes, gene: Any, exons: pd.DataFrame | None, span: tuple[float, float], y: float) -> None:
    if exons is None:
        ax.vlines(span, y - 0.12, y + 0.12, color=GENE, linewidth=1.1)
        return
    own = exons[exons["name"] == gene.name]
    ax.broken_barh(list(zip(own["start"], own["end"] - own["start"], strict=True)), (y - 0.2, 0.4), color=GENE)


def _draw_strand(ax: Axes, strand: str, span: tuple[float, float], y: float, spacing: float) -> None:
    if strand not in ("+", "-"):
        return
    from matplotlib.path import Path

    n = max(1, int((span[1] - span[0]) / spacing))
    at = span[0] + (np.arange(n) + 0.5) * (span[1] - span[0]) / n
    arrow = Path({"+": [(-1, 1), (0, 0), (-1, -1)], "-": [(1, 1), (0, 0), (1, -1)]}[strand])
    look = {"markersize": 4, "markerfacecolor": "none", "markeredgecolor": GENE, "markeredgewidth": 0.8}
    ax.plot(at, np.full(n, y), marker=arrow, linestyle="none", **look)
