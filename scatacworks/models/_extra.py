"""Extra input channels of a network: tracks of values per base, averaged in its bins."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from scatacworks._text import listed

if TYPE_CHECKING:
    from collections.abc import Mapping
    from typing import Any

    from scatacworks.models.base import Model
    from scatacworks.tracks import Tracks


def binned(tracks: Tracks, group: str | int, chrom: str | int, span: tuple[int, int], bin_size: int) -> np.ndarray:
    """Return the mean of every bin of a span of the genome, float32 `(n_bins,)`; what is not known counts as zero.

    Tracks of one group are for all groups.
    """
    own = 0 if len(tracks.groups) == 1 else group
    dense = np.nan_to_num(tracks.window(own, chrom, *span), copy=False)
    return dense.reshape(-1, bin_size).mean(axis=1)


def in_order(extra: Mapping[str, Any], model: Model) -> list[Any]:
    """Return what is given for a model's extra channels in its order.

    Raises
    ------
    ValueError
        If a channel is missing, or one is given that the model does not read.
    """
    wanted = model.extra_channels
    missing, unknown = [name for name in wanted if name not in extra], [name for name in extra if name not in wanted]
    if not missing and not unknown:
        return [extra[name] for name in wanted]
    reads = f"reads the extra channels {listed(wanted)}" if wanted else "reads no extra channels"
    found = f"extra= lacks {listed(missing)}" if missing else f"extra= has {listed(unknown)}"
    msg = f"The model {model.card['name']!r} {reads}; {found}."
    raise ValueError(msg)
