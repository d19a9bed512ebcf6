"""Files in and out."""

from __future__ import annotations

from scatacworks._lazy import attach

_PUBLIC: dict[str, str] = {
    "Motif": "_motifs",
    "bam_to_fragments": "_bam",
    "read_bigwig": "_bigwig_read",
    "read_dhs_index": "_dhs_index",
    "read_fragments": "_fragments",
    "read_genes": "_genes",
    "read_ldsc": "_ldsc",
    "read_motifs": "_motifs",
    "read_peaks": "_peaks_read",
    "write_bigwig": "_bigwig",
    "write_fragments": "_fragments_write",
    "write_hub": "_hub",
    "write_ldsc": "_ldsc",
    "write_peaks": "_peaks",
}

__getattr__, __dir__, __all__ = attach(__name__, _PUBLIC)
