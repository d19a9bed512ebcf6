"""Called peaks as a table."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pandas as pd

from scatacworks import _keys
from scatacworks._anndata import atac, peaks_of
from scatacworks._groups import chosen_groups, group_name

if TYPE_CHECKING:
    from collections.abc import Sequence

    from anndata import AnnData
    from mudata import MuData


def peaks(
    adata: AnnData | MuData,
    group: str | Sequence[str] | None = None,
    *,
    key: str = _keys.PEAKS,
    mod: str = "atac",
) -> pd.DataFrame:
    """Return the called peaks of one group, of several, or of all.

    Parameters
    ----------
    adata
        Cells, after ``tl.call_peaks``.
    group
        Name of a group, or several; all by default.
    key
        Slot of `.uns`.
    mod
        Modality to use where `adata` is a MuData.

    Returns
    -------
    A table of its own: `group` (categorical), `chrom`, `start`, `end`, `summit` (0-based, half-open) and the columns
    that ``tl.call_peaks`` describes; in the order of the groups asked for, then along the genome.

    Raises
    ------
    KeyError
        If there are no peaks, or no such group. A group without peaks gives an empty table.

    Examples
    --------
    >>> import anndata as ad, pandas as pd, scatacworks as sca
    >>> table = pd.DataFrame({"group": pd.Categorical(["B"]), "chrom": ["chr1"], "start": [10], "end": [60]})
    >>> sca.get.peaks(ad.AnnData(uns={"peaks": table}), "B")["end"].tolist()
    [60]
    """
    stored = peaks_of(atac(adata, mod=mod), key, *([] if group is None else ["group"]))
    if group is None:
        return stored.reset_index(drop=True)
    column = stored["group"].astype("category").cat.rename_categories(group_name)
    wanted = chosen_groups(group, column.cat.categories, within=f"among the peaks of .uns[{key!r}]")
    return pd.concat([stored[column == name] for name in wanted], ignore_index=True)
