import anndata
import numpy as np
import pandas as pd
import pytest


@pytest.fixture
def cells():
    """200 cells of two types over 1,000 peaks; peaks 0-99 open in A, 100-199 in B, the rest in both."""
    rng = np.random.default_rng(0)
    rate = np.tile(rng.gamma(2, 0.2, 1000), (200, 1))
    rate[:100, 100:200] *= 0.2
    rate[100:, :100] *= 0.2
    rate *= rng.gamma(5, 0.2, (200, 1))
    var = pd.DataFrame({"chrom": "chr1", "start": np.arange(1000) * 2000})
    var["end"] = var["start"] + 500
    var["gc"] = rng.uniform(0.3, 0.7, 1000)
    var.index = [f"chr1:{s}-{s + 500}" for s in var["start"]]
    obs = pd.DataFrame({"type": pd.Categorical(["A"] * 100 + ["B"] * 100)}, index=[f"c{i}" for i in range(200)])
    return anndata.AnnData(rng.poisson(rate).astype(np.float32), obs=obs, var=var)
