"""Tools: denoising, peaks, differential regions, index, vocabulary and annotation."""

from __future__ import annotations

from scatacworks._lazy import attach

_PUBLIC: dict[str, str] = {
    "annotate_regions": "_annotation.annotate_regions",
    "background": "_differential.background",
    "call_peaks": "_denoising.call_peaks",
    "component_clustering": "_annotation.component_clustering",
    "denoise": "_denoising.denoise",
    "dhs_index": "_vocabulary._index",
    "differential_regions": "_differential.differential_regions",
    "evaluate": "_denoising.evaluate",
    "extend_index": "_vocabulary._extend",
    "footprint": "_denoising.footprint",
    "gene_components": "_annotation.gene_components",
    "gene_scores": "_cells.gene_scores",
    "gene_set_components": "_annotation.gene_set_components",
    "label_components": "_vocabulary._labels",
    "match_samples": "_vocabulary._match",
    "meta_tracks": "_vocabulary._meta_tracks",
    "motif_deviations": "_cells.motif_deviations",
    "motif_enrichment": "_annotation.motif_enrichment",
    "motif_variability": "_cells.motif_variability",
    "presence": "_vocabulary._presence",
    "prior": "_denoising.prior",
    "project_bulk": "_cells.project_bulk",
    "project_vocabulary": "_vocabulary._project",
    "regions_around_genes": "_differential.regions_around_genes",
    "saturation": "_vocabulary._saturation",
    "smooth": "_cells.smooth",
    "tf_elements": "_annotation.tf_elements",
    "top_samples": "_vocabulary._top_samples",
    "train": "_denoising.train",
    "trait_enrichment": "_annotation.trait_enrichment",
    "trait_scores": "_cells.trait_scores",
    "transfer_labels": "_cells.transfer_labels",
    "vocabulary": "_vocabulary._vocabulary",
    "vocabulary_scan": "_vocabulary._scan",
}

__getattr__, __dir__, __all__ = attach(__name__, _PUBLIC)
