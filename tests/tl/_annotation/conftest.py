import anndata
import numpy as np
import pandas as pd
import pytest


@pytest.fixture
def make_index():
    """Index of elements every 500 bp on two chromosomes with random labels A to D; changed by `plant`."""

    def make(n=4000, seed=0, components=("A", "B", "C", "D")):
        rng = np.random.default_rng(seed)
        start = np.tile(np.arange(n // 2) * 500, 2) + rng.integers(0, 250, n)
        var = pd.DataFrame(
            {"chrom": np.repeat(["chr1", "chr2"], n // 2), "start": start, "end": start + rng.integers(100, 250, n)}
        )
        var["summit"] = (var["start"] + var["end"]) // 2
        var["component"] = pd.Categorical(rng.choice(list(components), n), categories=list(components))
        var["mean_signal"] = rng.random(n)
        var["identifier"] = [f"1.{i}" for i in range(n)]
        var.index = var["identifier"].to_numpy()
        return anndata.AnnData(np.ones((2, n), np.float32), var=var)

    return make
