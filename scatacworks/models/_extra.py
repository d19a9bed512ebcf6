"""Extra input channels of a network: tracks of values per base, averaged in its bins."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from scatacworks.tracks import Tracks


def binned(tracks: Tracks, group: str | int, chrom: str | int, span: tuple[int, int], bin_size: int) -> np.ndarray:
    """Return the mean of every bin of a span of the genome, float32 `(n_bins,)`; what is not known counts as zero.

    Tracks of one group are for all groups.
    """
    own = 0 if len(tracks.groups) == 1 else group
    dense = np.nan_to_num(tracks.window(own, chrom, *span), copy=False)
    return dense.reshape(-1, bin_size).mean(axis=1)
