"""Preprocessing: fragments to cut sites per group."""

from __future__ import annotations

from scatacworks._lazy import attach

_PUBLIC: dict[str, str] = {
    "count_regions": "_count_regions",
    "knn_groups": "_knn_groups",
    "lsi": "_lsi",
    "pseudobulk": "_pseudobulk",
    "qc_metrics": "_qc_metrics",
    "subsample": "_subsample",
}

__getattr__, __dir__, __all__ = attach(__name__, _PUBLIC)
