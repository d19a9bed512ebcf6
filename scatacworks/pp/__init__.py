"""Preprocessing: fragments to cut sites per group."""

from __future__ import annotations

from scatacworks._lazy import attach

_PUBLIC: dict[str, str] = {
    "pseudobulk": "_pseudobulk",
}

__getattr__, __dir__, __all__ = attach(__name__, _PUBLIC)
