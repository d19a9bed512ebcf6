"""A small AnnData with cut sites, and a small model with weights on disk."""

from __future__ import annotations

import anndata as ad
import numpy as np
import pandas as pd
import pytest
import torch

import scatacworks as sca
from scatacworks import _keys

SIZES = {"chr1": 60_000, "chr2": 20_011, "chr3": 900}


def cut_sites(groups=("B", "NK/T", "nothing"), n=(300, 40, 0), seed=0):
    rng = np.random.default_rng(seed)
    genome = sca.Genome(SIZES, name="toy")
    chromosomes = []
    for chrom, size in SIZES.items():
        runs = []
        for count in n:
            near = rng.normal(size / 3, 150, count * size // 120_000)
            at = np.concatenate([near, rng.integers(0, size, count * size // 120_000)])
            at, counts = np.unique(np.clip(at, 0, size - 1).astype(np.int32), return_counts=True)
            runs.append((at, None, counts.astype(np.uint32)))
        chromosomes.append((chrom, runs))
    return sca.Tracks.from_chromosomes(groups, genome, chromosomes)


def make_adata(**options):
    adata = ad.AnnData(obs=pd.DataFrame(index=["cell1", "cell2"]))
    params = {"convention": "10x", "genome": "toy", "territory_bp": 80_911.0, "digest": "d"}
    adata.uns["pseudobulk"] = {_keys.CUT_SITES: cut_sites(**options).to_dict(), "params": params}
    return adata


@pytest.fixture
def adata():
    return make_adata()


@pytest.fixture
def make_pseudobulk():
    """Make the AnnData with other groups or numbers of cut sites."""
    return make_adata


@pytest.fixture(scope="session")
def network():
    torch.manual_seed(0)
    config = sca.models.BinnedUNetConfig(channels=(8, 8, 8), dilations=(1, 2))
    model = sca.models.BinnedUNet(config)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(0.05 * torch.randn_like(parameter))
        model.head.bias[2] = 0.3
    model.card.update(name="toy", data="none", depth_range=[1e4, 1e8])
    return model.eval()


@pytest.fixture(scope="session")
def model_file(network, tmp_path_factory):
    return sca.models.save(network, tmp_path_factory.mktemp("models") / "toy.safetensors")
