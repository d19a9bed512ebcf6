"""Sizes, inks, axes and the end of a figure, the same in every plot."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from scatacworks._arguments import real

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

WIDTH = 7.2  # inches, two columns of a journal
FONT, SMALL = 8.0, 6.5
INK, FAINT, LINE = "#26292e", "#6b7078", "#d5d8dc"
GENE = "#33415c"
_ON_DARK = {INK: "#eceef1", FAINT: "#a9aeb6", LINE: "#4b5058", GENE: "#a3b4d6"}
_LEGEND_LINE = 0.147  # inches


def create_axes(
    ax: Axes | None, figsize: tuple[float, float] | None, default: tuple[float, float]
) -> tuple[Figure, Axes]:
    """The given axes and their figure, or new ones."""
    if ax is not None:
        return figure_of(ax), ax
    import matplotlib.pyplot as plt

    return plt.subplots(figsize=size_of(figsize, default), layout="constrained")


def figure_of(ax: Axes) -> Figure:
    """Return the figure of axes that were given.

    Raises
    ------
    TypeError
        If they are none.
    """
    from matplotlib.axes import Axes

    if not isinstance(ax, Axes):
        msg = f"ax is {ax!r} ({type(ax).__name__}); expected one matplotlib Axes, as plt.subplots() gives."
        raise TypeError(msg)
    return ax.figure


def size_of(figsize: tuple[float, float] | None, default: tuple[float, float]) -> tuple[float, float]:
    """Return width and height in inches: as given, checked, or the default.

    Raises
    ------
    TypeError
        If it is no pair of numbers.
    ValueError
        If one is not positive.
    """
    if figsize is None:
        return default
    if np.ndim(figsize) != 1 or len(figsize) != 2:
        msg = f"figsize is {figsize!r}; expected width and height in inches, such as ({default[0]:g}, {default[1]:g})."
        raise TypeError(msg)
    width, height = (real(value, "an entry of figsize") for value in figsize)
    if not (width > 0 and height > 0):
        msg = f"figsize is {figsize!r}; expected a positive width and height in inches."
        raise ValueError(msg)
    return width, height


def plain(ax: Axes, *, which: Literal["major", "both"] = "major") -> None:
    """Take away what says nothing from axes, and make the rest thin, of ticks those that are meant."""
    ax.tick_params(which=which, labelsize=SMALL, color=FAINT, labelcolor=INK, width=0.6, length=2.5)
    ax.spines[["top", "right"]].set_visible(False)
    ax.spines[["left", "bottom"]].set(color=FAINT, linewidth=0.6)


def dress(ax: Axes, *, x: str = "", y: str = "", title: str = "") -> None:
    """Label axes, and make them plain."""
    ax.set_xlabel(x, fontsize=FONT, color=INK)
    ax.set_ylabel(y, fontsize=FONT, color=INK)
    if title:
        ax.set_title(title, fontsize=FONT, color=INK)
    plain(ax)


def name_rows(ax: Axes, names: Iterable[str], notes: Sequence[str]) -> None:
    """Name the rows of axes that are dressed, the first on top, with a note to the right of each."""
    for row, note in enumerate(notes):
        ax.annotate(
            note, (1, row), xycoords=("axes fraction", "data"), xytext=(4, 0), textcoords="offset points",
            va="center", fontsize=SMALL, color=FAINT, annotation_clip=False,
        )  # fmt: skip
    ax.set_yticks(range(len(notes)), names)
    ax.set_ylim(len(notes) - 0.5, -0.5)
    ax.tick_params(axis="y", length=0)


def legend_columns(n: int, height: float) -> int:
    """Return how many columns a legend of `n` names beside axes takes, given the inches of its height."""
    return -(-n // max(int(height / _LEGEND_LINE), 1))


def legend_beside(ax: Axes, **options: Any) -> None:
    """Write the legend to the right of axes, in as many columns as its height asks for."""
    n = len(options.get("handles", ax.get_legend_handles_labels()[0]))
    columns = legend_columns(n, ax.bbox.height / ax.figure.dpi)
    place = {"loc": "upper left", "bbox_to_anchor": (1, 1), "ncols": columns}
    ax.legend(**{"fontsize": SMALL, "frameon": False} | place | options)


def legend_above(ax: Axes, **options: Any) -> None:
    """Write the legend above axes, by default from their left end on."""
    place = {"loc": "lower left", "bbox_to_anchor": (0, 1), "borderaxespad": 0.2, "borderpad": 0}
    ax.legend(**{"fontsize": SMALL, "frameon": False} | place | options)


def finish(figure: Figure, *, show: bool | None, return_fig: bool, given: bool) -> Figure | None:
    """Show or return a figure; `given` tells that the user brought the axes."""
    import matplotlib.pyplot as plt

    _light_inks(figure)
    if show is None:
        show = not return_fig and not given
    if show:
        plt.show()
    return figure if return_fig or not show else None


def _light_inks(figure: Figure) -> None:
    """Turn the inks into light ones where the background is dark, as `plt.style.use("dark_background")` makes it."""
    from matplotlib.axis import Axis
    from matplotlib.colors import to_hex, to_rgb, to_rgba_array

    red, green, blue, opacity = figure.get_figure(root=True).get_facecolor()
    if opacity == 0 or 0.2126 * red + 0.7152 * green + 0.0722 * blue > 0.4:
        return
    for artist in figure.findobj():
        if isinstance(artist, Axis):  # ticks that are made later
            kept = {name: artist.get_tick_params().get(name) for name in ("color", "labelcolor")}
            artist.set_tick_params("both", **{name: _ON_DARK[ink] for name, ink in kept.items() if ink in _ON_DARK})
            continue
        if artist.get_path_effects():  # has a pale rim
            continue
        for part in ("color", "facecolor", "edgecolor", "markeredgecolor"):
            if not (hasattr(artist, f"get_{part}") and hasattr(artist, f"set_{part}")):
                continue
            colors = to_rgba_array(getattr(artist, f"get_{part}")())
            inks = [to_hex(color) for color in colors]
            if not any(ink in _ON_DARK for ink in inks):
                continue
            light = [(*to_rgb(_ON_DARK.get(ink, ink)), color[3]) for ink, color in zip(inks, colors, strict=True)]
            getattr(artist, f"set_{part}")(light if len(light) > 1 else light[0])
