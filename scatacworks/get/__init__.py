"""Results as arrays and tidy tables."""

from __future__ import annotations

from scatacworks._lazy import attach

_PUBLIC: dict[str, str] = {
    "components": "_components",
    "peaks": "_peaks",
    "regions_matrix": "_regions_matrix",
    "track": "_track",
    "tracks": "_track",
}

__getattr__, __dir__, __all__ = attach(__name__, _PUBLIC)
