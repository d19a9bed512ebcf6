"""Devices and a small network."""

from __future__ import annotations

import pytest
import torch

from scatacworks.models import BinnedUNet, BinnedUNetConfig


@pytest.fixture(params=["cpu", pytest.param("cuda", marks=pytest.mark.gpu)])
def device(request):
    if request.param == "cuda" and not torch.cuda.is_available():
        pytest.skip("needs a CUDA device")
    return request.param


@pytest.fixture
def new_unet():
    """A small default network as it is before training, in evaluation mode."""
    torch.manual_seed(0)
    return BinnedUNet(BinnedUNetConfig(channels=(8, 8, 8), dilations=(1, 2))).eval()
