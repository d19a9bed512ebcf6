"""Scores of tracks and peaks; arrays in, numbers out."""

from __future__ import annotations

from scatacworks._lazy import attach

__getattr__, __dir__, __all__ = attach(__name__, __file__)
