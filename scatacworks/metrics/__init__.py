"""Scores of tracks and peaks; arrays in, numbers out."""

from __future__ import annotations

from scatacworks._lazy import attach

_PUBLIC: dict[str, str] = {
    "auprc": "_ranking",
    "auroc": "_ranking",
    "equivalent_reads": "_comparison",
    "evaluate_tracks": "_tracks",
    "f1": "_ranking",
    "mse": "_correlation",
    "paired_bootstrap": "_comparison",
    "peak_overlap": "_peaks",
    "pearson": "_correlation",
    "spearman": "_correlation",
}

__getattr__, __dir__, __all__ = attach(__name__, _PUBLIC)
