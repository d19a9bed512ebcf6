"""Names of points, clear of each other."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from scatacworks.pl._figure import INK, SMALL

if TYPE_CHECKING:
    from collections.abc import Iterable

    from matplotlib.axes import Axes

_NEAR = 3  # points between a name and its place


def name_points(ax: Axes, names: Iterable[str], points: np.ndarray, *, style: str = "normal") -> None:
    """Write names beside points, clear of each other, with a line where the point is farther off."""
    from matplotlib.patheffects import withStroke

    ax.get_figure(root=True).draw_without_rendering()  # only then is known where the points lie
    places = ax.transData.transform(points) * 72 / ax.figure.dpi
    corner = ax.bbox.p0 * 72 / ax.figure.dpi
    taken = [np.stack([place - 2, place + 2]) for place in places]
    for name, point, place in zip(names, points, places, strict=True):
        size = np.array([0.62 * SMALL * len(str(name)), 1.2 * SMALL])
        boxes = [np.stack([place + offset, place + offset + size]) for offset in _offsets(size)]
        free = [box for box in boxes if not any(_overlap(box, other) for other in taken)]
        above_axis = (box for box in free if (box[0] >= corner).all())
        box = next(above_axis, (free or boxes)[0])
        taken.append(box)
        near = np.abs(box - place).min() <= _NEAR
        text = ax.annotate(
            str(name),
            point,
            xytext=tuple(box[0] - place),
            textcoords="offset points",
            fontsize=SMALL,
            color=INK,
            style=style,
            zorder=4,
            arrowprops=None
            if near
            else {"arrowstyle": "-", "color": INK, "linewidth": 0.5, "shrinkA": 0, "shrinkB": 2},
        )
        text.set_path_effects([withStroke(linewidth=1.8, foreground="white")])


def _offsets(size: np.ndarray) -> list[np.ndarray]:
    """Return where the lower left corner of a text may lie, seen from its point, nearest first; in points."""
    width, height = size
    ways = [(1, 1), (1, -1), (-1, 1), (-1, -1), (0, 1), (0, -1)]
    return [
        np.array([(gap if x > 0 else -gap - width if x < 0 else -width / 2), (gap if y > 0 else -gap - height)])
        for gap in (_NEAR, 8, 14, 20, 28)
        for x, y in ways
    ]


def _overlap(first: np.ndarray, second: np.ndarray) -> bool:
    """Tell whether two boxes, `(lower left, upper right)`, have a place in common."""
    return bool((first[0] < second[1]).all() and (second[0] < first[1]).all())
