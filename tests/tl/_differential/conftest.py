"""Made-up cells: 300 of one kind, 30 that differ from them at known places."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from anndata import AnnData
from scipy import sparse

import scatacworks as sca
from scatacworks.models import Gaussian

LENGTH = 240_000
SPACING, PEAK = 4_000, 400
N_CELLS, N_TARGET, N_GROUPS = 300, 30, 24
GAINED, LOST = (10, 20, 50), (15, 25, 45)  # numbers of peaks
REGIONS = [("chrA", 4_000, 130_000), ("chrA", 140_000, 230_000)]
NEW = (107_800, 163_800)  # where nothing is otherwise


def positions(rng: np.random.Generator, weight: np.ndarray, n: int, new: int) -> np.ndarray:
    """Draw cut sites: two thirds in peaks, the rest anywhere, `new` in each new place."""
    n_peaks = int(n * 2 / 3)
    peak = rng.choice(len(weight), n_peaks, p=weight / weight.sum())
    inside = 2_000 + peak * SPACING + rng.integers(0, PEAK, n_peaks)
    extra = [start + rng.integers(0, PEAK, rng.poisson(new)) for start in NEW]
    return np.concatenate([inside, rng.integers(0, LENGTH - 200, n - n_peaks), *extra])


def draw_fragments(seed: int = 0) -> pd.DataFrame:
    rng = np.random.default_rng(seed)
    weight = rng.lognormal(0, 0.5, (LENGTH - 4_000) // SPACING)
    own = weight.copy()
    own[list(GAINED)] *= 8
    own[list(LOST)] = 0
    parts = []
    for cell in range(N_CELLS + N_TARGET):
        is_target = cell >= N_CELLS
        start = positions(rng, own if is_target else weight, int(rng.integers(150, 300)), 2 if is_target else 0)
        length = rng.integers(30, 150, len(start))
        end = np.minimum(start + length, LENGTH)
        parts.append(pd.DataFrame({"chrom": "chrA", "start": start, "end": end, "cell": f"c{cell}", "n": 1}))
    return pd.concat(parts).sort_values(["start", "end"], kind="stable")


@pytest.fixture(scope="session")
def genome() -> sca.Genome:
    return sca.Genome({"chrA": LENGTH, "chrB": 50_000}, name="toy")


@pytest.fixture(scope="session")
def fragment_file(tmp_path_factory) -> str:
    path = tmp_path_factory.mktemp("priming") / "fragments.tsv"
    draw_fragments().to_csv(path, sep="\t", header=False, index=False)
    return str(path)


@pytest.fixture(scope="session")
def model() -> Gaussian:
    gaussian = Gaussian()
    gaussian.card |= {"name": "smooth", "data": "none needed", "depth_range": [5e4, 5e9]}
    return gaussian


@pytest.fixture(scope="session")
def prepared(fragment_file, genome, model) -> AnnData:
    """Cells with denoised populations and a background; copy before changing."""
    rng = np.random.default_rng(1)
    n = N_CELLS + N_TARGET
    kind = np.where(np.arange(n) < N_CELLS, "usual", "primed")
    obs = pd.DataFrame({"kind": pd.Categorical(kind), "sample": pd.Categorical(rng.choice(["s1", "s2", "s3"], n))})
    adata = AnnData(obs=obs.set_axis([f"c{i}" for i in range(n)], axis=0))
    adata.uns["files"] = {"fragments": fragment_file}
    adata.uns["reference_sequences"] = genome.to_frame()
    members = np.zeros((n, N_GROUPS), bool)
    for group in range(N_GROUPS):
        members[rng.choice(N_CELLS, 30, replace=False), group] = True
    adata.obsm["background"] = sparse.csr_matrix(members)
    sca.pp.pseudobulk(adata, "kind", progress=False)
    sca.tl.denoise(adata, model=model, regions=REGIONS, progress=False)
    sca.tl.background(adata, regions=REGIONS, model=model, progress=False)
    return adata


@pytest.fixture
def adata(prepared) -> AnnData:
    return prepared.copy()
