"""The lines of a genome browser figure: one block per group, genes below."""

from __future__ import annotations

import textwrap
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from scatacworks._palette import GREY
from scatacworks.pl import _browser
from scatacworks.pl._figure import FAINT, FONT, INK, LINE, SMALL, WIDTH, figure_of, size_of

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    import pandas as pd
    from matplotlib.axes import Axes
    from matplotlib.text import Text
    from matplotlib.transforms import Bbox, Transform

    from scatacworks.genome import Region

RIGHT, TOP, BOTTOM = 0.68, 0.5, 0.45  # inches around the lines; the names of the groups decide on the left
_HEIGHTS = {"raw": 0.42, "denoised": 0.42, "probability": 0.1, "unguided": 0.1, "prior": 0.1, "peaks": 0.12}  # inches
_NAMES = {"probability": "P(peak)", "unguided": "P, no prior"}  # where they are not the layer's own
_GAP, _BLOCK_GAP, _GENE_LINE = 0.05, 0.13, 0.3
_ELEMENT_LINE, _LEGEND_LINE = 0.14, 0.13
_LETTER = 0.68 / 72  # inches of a letter per point of its size, at most
_SCALE = 0.55  # inches of the y scale, between the names of groups and the lines
_SMALLEST = (1.2, 0.6)  # inches of given axes
# least bp that are shown; divisor, decimals and unit of the positions
_SCALES = ((2_000_000, (1e6, 1, "Mb")), (200_000, (1e6, 2, "Mb")), (5_000, (1e3, 0, "kb")), (0, (1, 0, "bp")))
_NAMES_SHARE = 0.4  # of the width, at most, left of the lines; longer names are wrapped


@dataclass(frozen=True)
class Panel:
    """What one line shows: values of bins, or a table of peaks."""

    group: str
    layer: str
    edges: np.ndarray | None = None
    values: np.ndarray | None = None
    table: pd.DataFrame | None = None

    @property
    def is_coverage(self) -> bool:
        """Whether the line has a y scale."""
        return self.layer in ("raw", "denoised")


class Layout:
    """Axes of the lines, in a new figure or in the place of given axes."""

    def __init__(
        self,
        panels: Sequence[Panel],
        components: Mapping[str, str] | None,
        n_gene_lines: int,
        region: Region,
        *,
        figsize: tuple[float, float] | None,
        ax: Axes | None,
    ) -> None:
        self.panels, self.region, self.components = panels, region, components
        if ax is None:
            width, height = (WIDTH, np.inf) if figsize is None else size_of(figsize, (WIDTH, WIDTH))
        else:
            self.figure = figure_of(ax)
            ax.set_axis_off()
            ax.patch.set_visible(False)
            ax.get_figure(root=True).draw_without_rendering()  # only then are the axes where a layout puts them
            width, height = ax.bbox.size / self.figure.dpi
            _require_room(width, height, _SMALLEST)
        self._wrap_names(width)
        self.n_legend_lines = self._legend_lines(width - self.left - RIGHT)
        heights, places = self._rows(n_gene_lines)
        if self.n_legend_lines and sum(heights) > height - TOP - BOTTOM:
            self.n_legend_lines = 0
            heights, places = self._rows(n_gene_lines)
        if ax is None:
            import matplotlib.pyplot as plt

            least = TOP + BOTTOM + 0.2
            size = (width, max(sum(heights) + TOP + BOTTOM, least) if figsize is None else height)
            self.figure = plt.figure(figsize=size, layout="none")  # no layout that settings ask for moves the lines
            _require_room(*size, (self.left + RIGHT + 0.3, least))
            borders = _borders(*size, self.left)
            grid = self.figure.add_gridspec(len(heights), 1, height_ratios=heights, hspace=0, **borders)
            axes = [self.figure.add_subplot(grid[place]) for place in places]
        else:
            ends = 1 - np.cumsum(heights) / sum(heights)
            axes = [ax.inset_axes((0, 0, 1, 1)) for _ in places]
            for line, i in zip(axes, places, strict=True):
                line.set_axes_locator(_Inside(ax, self.left, float(ends[i]), heights[i] / sum(heights)))
                line.apply_aspect(line.get_axes_locator()(line, None))
        for line in axes:
            line.patch.set_visible(False)
            line.grid(visible=False)
        self.lines: list[Axes] = axes  # those of the elements and genes, where there are any, last
        self.axes = axes[: len(panels)]
        self.element_axes = None if components is None else axes[len(panels)]
        self.gene_axes = axes[-1] if n_gene_lines else None

    def _wrap_names(self, width: float) -> None:
        """Wrap the names of groups to the room at the left, given the width of the figure or axes in inches."""
        letter = _LETTER * FONT
        room = max(int((_NAMES_SHARE * width - _SCALE) / letter), 10)
        self.names = {panel.group: textwrap.fill(panel.group, room) or panel.group for panel in self.panels}
        self.left = _SCALE + letter * max(len(line) for name in self.names.values() for line in name.split("\n"))

    def _legend_lines(self, width: float) -> int:
        """Return how many lines the names of components take, given their width in inches."""
        if not self.components:
            return 0
        longest = (4 + max(map(len, self.components))) * _LETTER * SMALL  # with its colour and the space between two
        return -(-len(self.components) // max(int(width / longest), 1))

    def _rows(self, n_gene_lines: int) -> tuple[list[float], list[int]]:
        """Return the heights of all rows of the grid, and which of them are lines."""
        heights: list[float] = []
        places: list[int] = []
        for i, panel in enumerate(self.panels):
            if i:
                heights.append(_GAP if panel.group == self.panels[i - 1].group else _BLOCK_GAP)
            places.append(len(heights))
            heights.append(_HEIGHTS[panel.layer])
        if self.components is not None:
            heights += [_BLOCK_GAP, _ELEMENT_LINE + _LEGEND_LINE * self.n_legend_lines]
            places.append(len(heights) - 1)
        if n_gene_lines:
            heights += [_BLOCK_GAP, _GENE_LINE * n_gene_lines + 0.1]
            places.append(len(heights) - 1)
        return heights, places

    def draw(self, colors: Mapping[str, str], *, share_y: bool) -> None:
        """Draw all lines."""
        highest = self._limits(share_y=share_y)
        for panel, ax, top in zip(self.panels, self.axes, highest, strict=True):
            color = colors[panel.group]
            if panel.is_coverage:
                _browser.draw_area(ax, panel.edges, panel.values, GREY if panel.layer == "raw" else color)
                _browser.draw_unknown(ax, panel.edges, panel.values)
                ax.set_ylim(0, top)
                shown = not share_y or panel.group == self.panels[0].group
                ax.set_yticks([0, top], ["", f"{top:,g}" if shown else ""], fontsize=SMALL)
                ax.spines["bottom"].set(color=LINE, linewidth=0.6)
                ax.tick_params(axis="y", length=2, width=0.6, color=FAINT, labelcolor=FAINT, pad=1.5)
                ax.spines["left"].set(color=FAINT, linewidth=0.6)
            else:
                if panel.table is None:
                    _browser.draw_strip(ax, panel.edges, panel.values, GREY if panel.layer == "prior" else color)
                else:
                    _browser.draw_peaks(ax, panel.table, color, self.region.end - self.region.start)
                ax.set_ylim(0, 1)
                ax.set_yticks([])
                ax.spines[["left", "bottom"]].set_visible(False)
            ax.spines[["top", "right"]].set_visible(False)
            ax.tick_params(axis="x", bottom=False, labelbottom=False)
        self._name_groups(colors)

    def _limits(self, *, share_y: bool) -> list[float]:
        """Return a round upper limit of y for every line, one per layer or one per line."""
        own = [float(np.nanmax(p.values, initial=0)) if p.is_coverage else 0.0 for p in self.panels]
        if share_y:
            shared: dict[str, float] = {}
            for panel, value in zip(self.panels, own, strict=True):
                shared[panel.layer] = max(value, shared.get(panel.layer, value))
            own = [shared[panel.layer] for panel in self.panels]
        return [_rounded_up(value) for value in own]

    def _name_groups(self, colors: Mapping[str, str]) -> None:
        """Write every group's name beside the middle of its block, and what the lines of the first block show."""
        blocks: dict[str, list[int]] = {}
        for i, panel in enumerate(self.panels):
            blocks.setdefault(panel.group, []).append(i)
        for group, members in blocks.items():
            sizes = [_HEIGHTS[self.panels[i].layer] for i in members]
            middle = 1 - (sum(sizes) + _GAP * (len(sizes) - 1)) / 2 / sizes[0]
            self.axes[members[0]].annotate(
                self.names[group],
                (0, middle),
                xycoords="axes fraction",
                xytext=(-30, 0),
                textcoords="offset points",
                ha="right",
                multialignment="right",
                va="center",
                fontsize=FONT,
                color=colors[group],
                fontweight="bold",
                annotation_clip=False,
            )
        for i in next(iter(blocks.values())):
            _name_line(self.axes[i], _NAMES.get(self.panels[i].layer, self.panels[i].layer), 0.5)

    def label(self, title: str, unit: str) -> None:
        """Write title, unit and position."""
        first, last = self.lines[0], self.lines[-1]
        for ax in self.lines[1:]:
            ax.sharex(first)  # once they are drawn: whatever is drawn on one scales all that share an axis anew
        first.set_xlim(self.region.start, self.region.end)
        place = {"xycoords": "axes fraction", "textcoords": "offset points", "annotation_clip": False}
        has_unit = any(panel.is_coverage for panel in self.panels)
        pad = 7.0
        if has_unit:
            text = first.annotate(unit, (0, 1), xytext=(0, pad), fontsize=SMALL, color=FAINT, **place)
            room = self.left * self.figure.dpi + self._room
            if text.get_window_extent().width > room:
                text.set_text(textwrap.fill(unit, int(len(unit) * room / text.get_window_extent().width)))
            text.set_position((-self._overhang(text) * 72 / self.figure.dpi, pad))
            pad += 3.2 + 1.2 * SMALL * len(text.get_text().split("\n"))
        text = first.set_title(title, fontsize=FONT + 1, color=INK, loc="left", pad=pad)
        text.set_x(-self._overhang(text) / first.bbox.width)
        last.spines["bottom"].set(visible=True, color=FAINT, linewidth=0.6)
        last.tick_params(axis="x", bottom=True, labelbottom=True, color=FAINT, labelcolor=INK, width=0.6)
        last.tick_params(axis="x", length=2.5, pad=2)
        label_positions(last, self.region)

    @property
    def _room(self) -> float:
        """The dots from the left end of the lines to the right border."""
        return self.axes[0].bbox.width + RIGHT * self.figure.dpi

    def _overhang(self, text: Text) -> float:
        """Return the dots by which a text above the lines is too long; it begins that much farther to the left."""
        return min(max(0.0, text.get_window_extent().width - self._room), self.left * self.figure.dpi)

    def shade(self, regions: Sequence[Region]) -> None:
        """Shade regions over all lines."""
        for region in regions:
            for ax in self.lines:
                ax.axvspan(region.start, region.end, color="#f2e9c9", linewidth=0, zorder=-5)

    def draw_elements(self, elements: pd.DataFrame | None) -> None:
        """Draw the elements of an index, and below them the names of their components."""
        ax = self.element_axes
        if ax is None:
            return
        ax.spines[:].set_visible(False)
        ax.set_yticks([])
        ax.tick_params(axis="x", bottom=False, labelbottom=False)
        _browser.draw_elements(ax, elements)
        depth = self.n_legend_lines * _LEGEND_LINE / _ELEMENT_LINE
        ax.set_ylim(-depth, 1)
        place = ax.get_yaxis_transform()
        _name_line(ax, "elements", 0.5, place)
        if self.n_legend_lines:
            from matplotlib.patches import Patch

            ax.legend(
                handles=[Patch(facecolor=color, label=name) for name, color in self.components.items()],
                loc="upper left", bbox_to_anchor=(0, -0.15), bbox_transform=place, fontsize=SMALL, frameon=False,
                ncols=-(-len(self.components) // self.n_legend_lines), borderpad=0, borderaxespad=0, labelspacing=0.3,
                columnspacing=1, handlelength=1, handletextpad=0.4,
            )  # fmt: skip
            _name_line(ax, "component", -0.5 * depth / self.n_legend_lines, place)

    def draw_genes(self, genes: pd.DataFrame, exons: pd.DataFrame | None) -> None:
        """Draw the genes below the lines."""
        if self.gene_axes is None:
            return
        self.gene_axes.spines[["top", "right", "left"]].set_visible(False)
        self.gene_axes.set_yticks([])
        _browser.draw_genes(self.gene_axes, genes, exons, self.region, SMALL + 0.5)


def _name_line(ax: Axes, name: str, y: float, transform: Transform | str = "axes fraction") -> None:
    """Write what a line shows at its right end."""
    ax.annotate(
        name,
        (1, y),
        xycoords=transform,
        xytext=(4, 0),
        textcoords="offset points",
        ha="left",
        va="center",
        fontsize=SMALL,
        color=FAINT,
        annotation_clip=False,
    )


def _require_room(width: float, height: float, least: tuple[float, float]) -> None:
    """Refuse a figure or axes of fewer inches."""
    if width < least[0] or height < least[1]:
        need = f"{least[0]:.2f} x {least[1]:.2f}"
        msg = f"{width:.2f} x {height:.2f} inches are too small; tracks need at least {need}."
        raise ValueError(msg)


def label_positions(ax: Axes, region: Region) -> None:
    """Label the positions of a region below axes of their final width."""
    from matplotlib.ticker import MaxNLocator

    span = region.end - region.start
    divisor, decimals, unit = next(scale for least, scale in _SCALES if span >= least)

    def named(x: float, _: object = None) -> str:
        return f"{x / divisor:,.{decimals}f}"

    letters = max(len(named(region.start)), len(named(region.end))) + 2
    room = int(ax.bbox.width / (0.62 * SMALL * letters * ax.figure.dpi / 72))
    ax.xaxis.set_major_locator(MaxNLocator(nbins=min(max(room, 1), 6), steps=[1, 2, 5, 10], integer=True))
    ax.xaxis.set_major_formatter(named)
    ax.tick_params(axis="x", labelsize=SMALL)
    ax.set_xlabel(f"position on {region.chrom} ({unit})", fontsize=FONT, color=INK, labelpad=3)


def _borders(width: float, height: float, left: float) -> dict[str, float]:
    """Return the borders of the lines as shares of the figure or axes, given inches."""
    return {"left": left / width, "right": 1 - RIGHT / width, "top": 1 - TOP / height, "bottom": BOTTOM / height}


@dataclass(frozen=True)
class _Inside:
    """Where a line lies in the place of given axes, whatever a layout makes of them."""

    outer: Axes
    left: float  # inches
    bottom: float  # shares of what the borders leave
    height: float

    def __call__(self, _ax: Axes, _renderer: object) -> Bbox:
        """Return the box in the coordinates of the figure."""
        from matplotlib.transforms import Bbox

        place = self.outer.get_position()
        width, height = self.outer.bbox.size / self.outer.figure.dpi
        borders = _borders(width, height, min(self.left, 0.55 * width))
        borders["right"] = max(borders["right"], 0.7)  # in small axes what is beside the lines may leave them
        borders["top"], borders["bottom"] = max(borders["top"], 0.7), min(borders["bottom"], 0.3)
        inner = borders["top"] - borders["bottom"]
        low = borders["bottom"] + self.bottom * inner
        x = np.array([borders["left"], borders["right"]]) * place.width + place.x0
        y = np.array([low, low + self.height * inner]) * place.height + place.y0
        return Bbox.from_extents(x[0], y[0], x[1], y[1])


def _rounded_up(value: float) -> float:
    """Return the next number of two significant digits."""
    if not value > 0:
        return 1.0
    unit = 10.0 ** (np.floor(np.log10(value)) - 1)
    return float(f"{np.ceil(value / unit) * unit:.2g}")
