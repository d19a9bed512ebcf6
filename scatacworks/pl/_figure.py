"""Sizes, inks, axes and the end of a figure, the same in every plot."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from scatacworks._arguments import real

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

WIDTH = 7.2  # inches, two columns of a journal
FONT, SMALL = 8.0, 6.5
INK, FAINT, LINE = "#26292e", "#6b7078", "#d5d8dc"


def create_axes(
    ax: Axes | None, figsize: tuple[float, float] | None, default: tuple[float, float]
) -> tuple[Figure, Axes]:
    """The given axes and their figure, or new ones."""
    if ax is not None:
        return ax.figure, ax
    import matplotlib.pyplot as plt

    return plt.subplots(figsize=size_of(figsize, default), layout="constrained")


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


def dress(ax: Axes, *, x: str = "", y: str = "", title: str = "") -> None:
    """Label axes and take away what says nothing."""
    ax.set_xlabel(x, fontsize=FONT, color=INK)
    ax.set_ylabel(y, fontsize=FONT, color=INK)
    if title:
        ax.set_title(title, fontsize=FONT, color=INK)
    ax.tick_params(labelsize=SMALL, color=FAINT, labelcolor=INK, width=0.6, length=2.5)
    ax.spines[["top", "right"]].set_visible(False)
    ax.spines[["left", "bottom"]].set(color=FAINT, linewidth=0.6)


def finish(figure: Figure, *, show: bool | None, return_fig: bool, given: bool) -> Figure | None:
    """Show or return a figure; `given` tells that the user brought the axes."""
    import matplotlib.pyplot as plt

    if show is None:
        show = not return_fig and not given
    if show:
        plt.show()
    return figure if return_fig or not show else None
