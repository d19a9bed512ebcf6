"""What torch keeps for the whole process is neither changed nor relied on."""

from __future__ import annotations

import numpy as np
import pytest
import torch

import scatacworks as sca

REGION = "chr1:1-120,000"


@pytest.fixture
def adata():
    adata = sca.datasets.toy()
    sca.pp.pseudobulk(adata, "group", convention="atacworks", progress=False)
    return adata


@pytest.fixture
def resnet(tmp_path):
    torch.manual_seed(0)
    return sca.models.save(sca.models.ResNet(), tmp_path / "resnet")


def denoise(adata, model):
    adata.uns["pseudobulk"]["params"]["convention"] = sca.models.load(model).card["convention"]
    sca.tl.denoise(adata, model=model, groups=["A"], regions=REGION, progress=False)
    return sca.get.track(adata, "A", REGION, key="denoised")


@pytest.mark.parametrize("bundled", [True, False])
def test_another_default_type_changes_nothing(adata, resnet, bundled):
    model = "default" if bundled else resnet
    expected = denoise(adata, model)
    torch.set_default_dtype(torch.float64)
    try:
        found = denoise(adata, model)
    finally:
        torch.set_default_dtype(torch.float32)
    np.testing.assert_array_equal(found, expected)


@pytest.mark.parametrize("bundled", [True, False])
def test_no_random_numbers_are_taken_from_the_user(adata, resnet, bundled):
    torch.manual_seed(1)
    expected = torch.rand(3)
    torch.manual_seed(1)
    denoise(adata, "default" if bundled else resnet)
    assert torch.equal(torch.rand(3), expected)
