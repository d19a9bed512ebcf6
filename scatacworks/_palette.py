"""The colours of groups and components, the same in figures and exported files."""

from __future__ import annotations

from typing import Final

# distinguishable with every common colour vision deficiency (after Okabe & Ito, and Tol's muted scheme), black left out
PALETTE: Final = (
    *("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9", "#882255", "#999933"),
    *("#332288", "#aa4499", "#117733", "#ddaa33", "#44aa99", "#cc6677", "#6699cc", "#661100"),
)


def cycle(n: int) -> list[str]:
    """Return `n` colours, from the start again after the last."""
    return [PALETTE[i % len(PALETTE)] for i in range(n)]
