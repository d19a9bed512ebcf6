"""Plots: one per result."""

from __future__ import annotations

from scatacworks._lazy import attach

_PUBLIC: dict[str, str] = {
    "annotate_regions": "_annotate_regions",
    "barcodes": "_barcodes",
    "component_bars": "_component_bars",
    "component_clustering": "_component_clustering",
    "component_labels": "_component_labels",
    "depth_curve": "_training",
    "differential_regions": "_differential_regions",
    "footprint": "_footprint",
    "gene_components": "_gene_components",
    "metrics": "_training",
    "motif_enrichment": "_motif_enrichment",
    "peaks": "_peaks",
    "projection": "_projection",
    "qc": "_qc",
    "saturation": "_saturation",
    "tracks": "_tracks",
    "training": "_training",
    "trait_enrichment": "_trait_enrichment",
    "vocabulary_scan": "_vocabulary_scan",
    "volcano": "_volcano",
}

__getattr__, __dir__, __all__ = attach(__name__, _PUBLIC)
