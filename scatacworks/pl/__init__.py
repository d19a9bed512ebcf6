"""Plots: one per result."""

from __future__ import annotations

from scatacworks._lazy import attach

_PUBLIC: dict[str, str] = {
    "peaks": "_peaks",
    "qc": "_qc",
    "tracks": "_tracks",
}

__getattr__, __dir__, __all__ = attach(__name__, _PUBLIC)
