"""Shared parts of the plots of annotations: names of points, heat maps."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from scatacworks.pl._figure import INK, LINE, SMALL

if TYPE_CHECKING:
    from collections.abc import Iterable

    from matplotlib.axes import Axes


def name_points(ax: Axes, names: Iterable[str], points: np.ndarray) -> None:
    """Write names beside points, legible over other points."""
    from matplotlib.patheffects import withStroke

    for name, place in zip(names, points, strict=True):
        text = ax.annotate(
            str(name), place, xytext=(3, 3), textcoords="offset points", fontsize=SMALL, color=INK, zorder=4
        )
        text.set_path_effects([withStroke(linewidth=1.8, foreground="white")])


def heat_map(
    ax: Axes, values: np.ndarray, rows: list[str], columns: list[str], *, label: str, highest: float | None = None
) -> None:
    """Draw a matrix with named rows and columns and a colour bar."""
    top = highest if highest is not None else float(np.nanmax(values, initial=1.0))
    image = ax.imshow(values, aspect="auto", cmap="viridis", vmin=0, vmax=top, interpolation="nearest")
    ax.set_xticks(range(len(columns)), columns, rotation=45, ha="right", fontsize=SMALL, color=INK)
    ax.set_yticks(range(len(rows)), rows, fontsize=SMALL, color=INK)
    ax.tick_params(length=0)
    ax.spines[:].set_color(LINE)
    bar = ax.figure.colorbar(image, ax=ax, shrink=0.5, pad=0.02)
    bar.set_label(label, fontsize=SMALL, color=INK)
    bar.ax.tick_params(labelsize=SMALL, length=2)
    bar.outline.set_visible(False)
