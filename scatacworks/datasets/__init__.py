"""Small real data inside the package, made-up sets, and larger public ones with checksums."""

from __future__ import annotations

from scatacworks._lazy import attach

_PUBLIC: dict[str, str] = {}

__getattr__, __dir__, __all__ = attach(__name__, _PUBLIC)
