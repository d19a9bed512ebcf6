"""Networks, weights and inference; the only namespace that needs torch."""

from __future__ import annotations

from scatacworks._lazy import attach

_PUBLIC: dict[str, str] = {
    "BinnedUNet": "binned_unet",
    "BinnedUNetConfig": "binned_unet",
    "Gaussian": "gaussian",
    "GaussianConfig": "gaussian",
    "Linear": "linear",
    "LinearConfig": "linear",
    "Model": "base",
    "ResNet": "resnet",
    "ResNetConfig": "resnet",
    "Rounding": "_rounding",
    "UNet": "unet",
    "UNetConfig": "unet",
    "list_models": "checkpoint",
    "load": "checkpoint",
    "save": "checkpoint",
}

__getattr__, __dir__, __all__ = attach(__name__, _PUBLIC)
