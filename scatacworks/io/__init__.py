"""Files in and out."""

from __future__ import annotations

from scatacworks._lazy import attach

_PUBLIC: dict[str, str] = {
    "Motif": "_motifs",
    "read_bigwig": "_bigwig_read",
    "read_genes": "_genes",
    "read_motifs": "_motifs",
    "write_bigwig": "_bigwig",
}

__getattr__, __dir__, __all__ = attach(__name__, _PUBLIC)
