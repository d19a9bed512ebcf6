"""The colours of groups and components, the same in figures and exported files."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

import pandas as pd

from scatacworks._groups import as_categories, group_names

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

# after Okabe & Ito, black left out, and Tol's muted scheme; the first eight are told apart with every common colour
# vision deficiency
PALETTE: Final = (
    *("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9", "#882255", "#999933"),
    *("#332288", "#aa4499", "#117733", "#ddaa33", "#44aa99", "#cc6677", "#6699cc", "#661100"),
)

GAIN: Final = "#c0392b"  # more accessible than the background
LOSS: Final = "#2f6fad"
GREY: Final = "#8c8f94"  # neither, or not known
NO_COMPONENT: Final = "#d3d6da"  # lighter than the first component

# sixteen hues with alternating lightness, so that neighbours differ also without hue; the first stands for the broad
# component that a decomposition usually finds first
COMPONENT_COLORS: Final = (
    *("#9aa0a6", "#c0504d", "#2f6db3", "#e8a33d", "#1b9e77", "#7e4794", "#e78ac3", "#a6761d"),
    *("#66c2a5", "#d95f02", "#8da0cb", "#4d7c0f", "#f2c230", "#0e7c86", "#b3123f", "#3b3b98"),
)


def rgb(color: str) -> str:
    """Return `red,green,blue`, as files of browsers have it, of a colour that matplotlib knows."""
    from matplotlib.colors import to_rgb

    return ",".join(str(round(255 * part)) for part in to_rgb(color))


def cycle(n: int) -> list[str]:
    """Return `n` colours; more than sixteen take lighter, then darker tones of the same."""
    return _cycled(PALETTE, n)


def category_colors(uns: Mapping[str, Any], column: pd.Series | None) -> dict[str, str]:
    """Return a colour per category of a column of `.obs`: those of `.uns`, scanpy's convention, where all have one.

    Text and whole numbers are categories too. Nothing for other columns.
    """
    if column is None or pd.api.types.infer_dtype(column) not in ("categorical", "string", "integer"):
        return {}
    names = group_names(as_categories(column).cat.categories)
    stored = [str(color) for color in uns.get(f"{column.name}_colors", ())]
    return dict(zip(names, stored if len(stored) >= len(names) else cycle(len(names)), strict=False))


def with_others(colors: Mapping[str, str], names: Sequence[str]) -> dict[str, str]:
    """Add the names that have no colour yet, with those of the palette that are free, in turn."""
    others = [name for name in names if name not in colors]
    free = [color for color in cycle(len(colors) + len(others)) if color not in colors.values()] or list(PALETTE)
    return {**colors, **{name: free[i % len(free)] for i, name in enumerate(others)}}


def component_colors(uns: Mapping[str, Any], names: Sequence[str], *, key: str = "component") -> dict[str, str]:
    """Return a colour per component: those of `.uns[key + "_colors"]` where there are enough, else the fixed ones.

    More than sixteen components take lighter, then darker tones of the same colours.
    """
    stored = [str(color) for color in uns.get(f"{key}_colors", ())]
    if len(stored) < len(names):
        stored = _cycled(COMPONENT_COLORS, len(names))
    return dict(zip(names, stored, strict=False))


def _cycled(colors: Sequence[str], n: int) -> list[str]:
    """Return `n` colours: those given, then lighter, then darker tones of them."""
    return [_toned(colors[i % len(colors)], i // len(colors) % 3) for i in range(n)]


def _toned(color: str, tone: int) -> str:
    """Return a colour as it is (0), half-way to white (1) or darker (2)."""
    levels = [int(color[i : i + 2], 16) for i in (1, 3, 5)]
    changed = [(v, round(v + (255 - v) * 0.5), round(v * 0.6))[tone] for v in levels]
    return "#" + "".join(f"{v:02x}" for v in changed)
