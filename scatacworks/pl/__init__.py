"""Plots: one per result."""

from __future__ import annotations

from scatacworks._lazy import attach

_PUBLIC: dict[str, str] = {
    "differential_regions": "_differential_regions",
    "peaks": "_peaks",
    "qc": "_qc",
    "tracks": "_tracks",
    "volcano": "_volcano",
}

__getattr__, __dir__, __all__ = attach(__name__, _PUBLIC)
