"""Making axes and finishing figures, the same in every single-panel plot."""

from __future__ import annotations

from typing import TYPE_CHECKING

from scatacworks.pl._layout import FAINT, FONT, INK, SMALL, finish

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

__all__ = ["create_axes", "dress", "finish"]


def create_axes(
    ax: Axes | None, figsize: tuple[float, float] | None, default: tuple[float, float]
) -> tuple[Figure, Axes]:
    """The given axes and their figure, or new ones."""
    if ax is not None:
        return ax.figure, ax
    import matplotlib.pyplot as plt

    return plt.subplots(figsize=figsize or default, layout="constrained")


def dress(ax: Axes, *, x: str = "", y: str = "", title: str = "") -> None:
    """Label axes and take away what says nothing."""
    ax.set_xlabel(x, fontsize=FONT, color=INK)
    ax.set_ylabel(y, fontsize=FONT, color=INK)
    ax.set_title(title, fontsize=FONT, color=INK)
    ax.tick_params(labelsize=SMALL, color=FAINT, labelcolor=INK, width=0.6, length=2.5)
    ax.spines[["top", "right"]].set_visible(False)
    ax.spines[["left", "bottom"]].set(color=FAINT, linewidth=0.6)
