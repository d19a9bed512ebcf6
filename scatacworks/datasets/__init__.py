"""Small real data inside the package, and made-up sets."""

from __future__ import annotations

from scatacworks._lazy import attach

_PUBLIC: dict[str, str] = {
    "pbmc_windows": "_pbmc",
    "toy": "_toy",
}

__getattr__, __dir__, __all__ = attach(__name__, _PUBLIC)
