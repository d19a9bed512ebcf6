"""Networks, weights and inference; the only namespace that needs torch."""

from __future__ import annotations

from scatacworks._lazy import attach

_PUBLIC: dict[str, str] = {
    "BinnedUNet": "binned_unet",
    "BinnedUNetConfig": "binned_unet",
}

__getattr__, __dir__, __all__ = attach(__name__, _PUBLIC)
