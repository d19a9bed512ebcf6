"""Tools: denoising, peaks, differential regions, index, vocabulary and annotation."""

from __future__ import annotations

from scatacworks._lazy import attach

__getattr__, __dir__, __all__ = attach(__name__, __file__)
