"""The published test: z per base, joined, its top turned into a p-value."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from scatacworks._core.differential import join_z, segment_means, two_sided_p
from scatacworks.tl._differential._target import stretches

if TYPE_CHECKING:
    from scatacworks.tl._differential._store import Background
    from scatacworks.tl._differential._target import Stretch, Target


def paper_test(background: Background, target: Target, *, z_threshold: float, max_gap: int) -> pd.DataFrame:
    """Return the regions of bases beyond the threshold, with the p-value of the most extreme of them."""
    parts = [_one_stretch(stretch, z_threshold, max_gap) for stretch in stretches(background, target)]
    table = pd.concat(parts, ignore_index=True)
    return table.assign(p_value=two_sided_p(table["top_z"].to_numpy()), family="joined")


def _one_stretch(stretch: Stretch, z_threshold: float, max_gap: int) -> pd.DataFrame:
    start, end, direction, top, at = join_z(stretch.z, z_threshold, max_gap)
    means = segment_means(np.stack([stretch.signal, stretch.mean]), start, end)
    return pd.DataFrame(
        {
            "chrom": np.full(len(start), stretch.chrom, dtype=object),
            "start": start + stretch.start,
            "end": end + stretch.start,
            "summit": at + stretch.start,
            "direction": direction,
            "top_z": top,
            "mean": means[0],
            "mean_background": means[1],
        }
    )
