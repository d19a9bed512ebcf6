"""Made-up peaks with overlapping, deep and lonely sites."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest


def made_up_peaks(seed: int = 0, *, n_sites: int = 60, n_samples: int = 12, n_chroms: int = 2) -> pd.DataFrame:
    """Peaks around random sites, some sites close together."""
    rng = np.random.default_rng(seed)
    frames = []
    for chrom in range(n_chroms):
        sites = np.sort(rng.integers(500, 400 * n_sites, n_sites))
        share = rng.random(n_sites)
        which = np.repeat(np.arange(n_sites), rng.binomial(2 * n_samples, share))
        summit = sites[which] + np.rint(rng.normal(0, 12, len(which))).astype(int)
        left, right = rng.integers(5, 90, (2, len(which)))
        frames.append(
            pd.DataFrame(
                {
                    "chrom": f"chr{chrom + 1}",
                    "start": summit - left,
                    "end": summit + right,
                    "summit": summit,
                    "sample": np.array([f"s{i:02d}" for i in range(n_samples)])[rng.integers(0, n_samples, len(which))],
                    "signal": rng.random(len(which)).round(4),
                }
            )
        )
    return pd.concat(frames, ignore_index=True)


@pytest.fixture
def peaks() -> pd.DataFrame:
    return made_up_peaks()
