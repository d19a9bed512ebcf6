"""The lines of a genome browser figure: one block per group, genes below."""

from __future__ import annotations

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

    from scatacworks.genome import Region

RIGHT, TOP, BOTTOM = 0.68, 0.5, 0.45  # inches around the lines; the names of the groups decide on the left
_HEIGHTS = {"raw": 0.42, "denoised": 0.42, "probability": 0.1, "unguided": 0.1, "prior": 0.1, "peaks": 0.12}  # inches
_NAMES = {"probability": "P(peak)", "unguided": "P, no prior"}  # where they are not the layer's own
_GAP, _BLOCK_GAP, _GENE_LINE = 0.05, 0.13, 0.3


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
        n_gene_lines: int,
        region_bp: int,
        *,
        figsize: tuple[float, float] | None,
        ax: Axes | None,
    ) -> None:
        self.panels, self.region_bp = panels, region_bp
        heights, places = self._rows(n_gene_lines)
        if ax is None:
            import matplotlib.pyplot as plt

            height = sum(heights) + TOP + BOTTOM
            width, height = size_of(figsize, (WIDTH, height))
            self.figure = plt.figure(figsize=(width, height))
            borders = {"left": self._left() / width, "right": 1 - RIGHT / width}
            borders |= {"top": 1 - TOP / height, "bottom": BOTTOM / height}
            grid = self.figure.add_gridspec(len(heights), 1, height_ratios=heights, hspace=0, **borders)
        else:
            self.figure = figure_of(ax)
            spec = ax.get_subplotspec()
            if spec is None:
                msg = "The axes given as ax are not part of a grid; make them with plt.subplots or add_subplot."
                raise ValueError(msg)
            ax.set_axis_off()
            grid = spec.subgridspec(len(heights), 1, height_ratios=heights, hspace=0)
        self.axes: list[Axes] = [self.figure.add_subplot(grid[place]) for place in places]
        self.gene_axes = self.figure.add_subplot(grid[-1]) if n_gene_lines else None

    def _left(self) -> float:
        """Return the inches that the longest name of a group and the y scale need."""
        letters = max(len(panel.group) for panel in self.panels)
        return 0.55 + letters * FONT * 0.68 / 72

    def _rows(self, n_gene_lines: int) -> tuple[list[float], list[int]]:
        """Return the heights of all rows of the grid, and which of them hold panels."""
        heights: list[float] = []
        places: list[int] = []
        for i, panel in enumerate(self.panels):
            if i:
                heights.append(_GAP if panel.group == self.panels[i - 1].group else _BLOCK_GAP)
            places.append(len(heights))
            heights.append(_HEIGHTS[panel.layer])
        if n_gene_lines:
            heights += [_BLOCK_GAP, _GENE_LINE * n_gene_lines + 0.1]
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
                ax.set_yticks([0, top], ["", f"{top:g}" if shown else ""], fontsize=SMALL)
                ax.spines["bottom"].set(color=LINE, linewidth=0.6)
                ax.tick_params(axis="y", length=2, width=0.6, color=FAINT, labelcolor=FAINT, pad=1.5)
                ax.spines["left"].set(color=FAINT, linewidth=0.6)
            else:
                if panel.table is None:
                    _browser.draw_strip(ax, panel.edges, panel.values, GREY if panel.layer == "prior" else color)
                else:
                    _browser.draw_peaks(ax, panel.table, color, self.region_bp)
                ax.set_ylim(0, 1)
                ax.set_yticks([])
                ax.spines["left"].set_visible(False)
            ax.spines[["top", "right"] if panel.is_coverage else ["top", "right", "bottom"]].set_visible(False)
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
                group,
                (0, middle),
                xycoords="axes fraction",
                xytext=(-30, 0),
                textcoords="offset points",
                ha="right",
                va="center",
                fontsize=FONT,
                color=colors[group],
                fontweight="bold",
                annotation_clip=False,
            )
        for i in next(iter(blocks.values())):
            self.axes[i].annotate(
                _NAMES.get(self.panels[i].layer, self.panels[i].layer),
                (1, 0.5),
                xycoords="axes fraction",
                xytext=(4, 0),
                textcoords="offset points",
                ha="left",
                va="center",
                fontsize=SMALL,
                color=FAINT,
                annotation_clip=False,
            )

    def label(self, region: Region, title: str, unit: str) -> None:
        """Write title, unit and position."""
        first, last = self.axes[0], self.gene_axes or self.axes[-1]
        for ax in [*self.axes[1:], *([self.gene_axes] if self.gene_axes else [])]:
            ax.sharex(first)  # once they are drawn: whatever is drawn on one scales all that share an axis anew
        first.set_xlim(region.start, region.end)
        has_unit = any(panel.is_coverage for panel in self.panels)
        first.set_title(title, fontsize=FONT + 1, color=INK, loc="left", pad=18 if has_unit else 7)
        if has_unit:
            place = {"xycoords": "axes fraction", "xytext": (0, 7), "textcoords": "offset points"}
            first.annotate(unit, (0, 1), fontsize=SMALL, color=FAINT, annotation_clip=False, **place)
        step = _scale(region.end - region.start)
        last.spines["bottom"].set(visible=True, color=FAINT, linewidth=0.6)
        last.tick_params(
            axis="x", bottom=True, labelbottom=True, labelsize=SMALL, color=FAINT, labelcolor=INK, width=0.6
        )
        last.tick_params(axis="x", length=2.5, pad=2)
        last.xaxis.set_major_locator(_locator())
        last.xaxis.set_major_formatter(lambda x, _: f"{x / step[0]:,.{step[1]}f}")
        last.set_xlabel(f"position on {region.chrom} ({step[2]})", fontsize=FONT, color=INK, labelpad=3)

    def shade(self, regions: Sequence[Region]) -> None:
        """Shade regions over all lines."""
        for region in regions:
            for ax in [*self.axes, *([self.gene_axes] if self.gene_axes else [])]:
                ax.axvspan(region.start, region.end, color="#f2e9c9", linewidth=0, zorder=-5)

    def draw_genes(self, genes: pd.DataFrame, exons: pd.DataFrame | None, region: Region) -> None:
        """Draw the genes below the lines."""
        if self.gene_axes is None:
            return
        self.gene_axes.spines[["top", "right", "left"]].set_visible(False)
        self.gene_axes.set_yticks([])
        _browser.draw_genes(self.gene_axes, genes, exons, region, SMALL + 0.5)


def _rounded_up(value: float) -> float:
    """Return the next number of two significant digits."""
    if not value > 0:
        return 1.0
    unit = 10.0 ** (np.floor(np.log10(value)) - 1)
    return float(f"{np.ceil(value / unit) * unit:.2g}")


def _scale(span: int) -> tuple[float, int, str]:
    """Return divisor, decimals and unit of positions."""
    if span >= 2_000_000:
        return 1e6, 1, "Mb"
    return (1e6, 2, "Mb") if span >= 200_000 else (1e3, 0, "kb") if span >= 5_000 else (1, 0, "bp")


def _locator() -> object:
    from matplotlib.ticker import MaxNLocator

    return MaxNLocator(nbins=6, steps=[1, 2, 5, 10])
