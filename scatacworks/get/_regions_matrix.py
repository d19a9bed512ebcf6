"""Groups x regions."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

import numpy as np
import pandas as pd

from scatacworks import _keys
from scatacworks._anndata import atac
from scatacworks._arguments import one_of
from scatacworks._core.counting import add_to_regions
from scatacworks._regions import as_regions
from scatacworks.get._track import tracks

if TYPE_CHECKING:
    from os import PathLike

    from anndata import AnnData
    from mudata import MuData

    from scatacworks.tracks import Tracks

_ONE = np.ones(1, np.int32)


def regions_matrix(
    adata: AnnData | MuData,
    regions: pd.DataFrame | AnnData | str | PathLike[str] | list[str],
    *,
    key: str = _keys.PSEUDOBULK,
    layer: str | None = None,
    statistic: Literal["sum", "mean", "max"] = "sum",
    mod: str = "atac",
) -> AnnData:
    """Summarise the tracks of all groups over regions.

    Parameters
    ----------
    adata
        Cells, after :func:`~scatacworks.pp.pseudobulk` or ``tl.denoise``.
    regions
        A table with `chrom`, `start`, `end` (0-based, half-open), an AnnData that has them in `.var`, a key of `.uns`
        such as `"peaks"`, the path of a BED file, a region, a gene (its body) or a list like `["chr1:100-200"]`.
    key, layer
        As for :func:`~scatacworks.get.tracks`.
    statistic
        Over the bases of a region: `"sum"` (of cut sites: their number), `"mean"` or `"max"`; NaN
        where a base is not known.
    mod
        Modality to use where `adata` is a MuData.

    Returns
    -------
    A new AnnData, `(n_groups, n_regions)`: `.X` float32; `.obs` with `n_cells` and `n_fragments` where the slot has
    them; `.var` with `chrom`, `start`, `end` in the order given, exact repeats left out.

    Raises
    ------
    KeyError
        If there is no such slot or layer.
    ValueError
        If the regions do not fit the genome, or `statistic` is unknown.

    Examples
    --------
    >>> import scatacworks as sca
    >>> adata = sca.datasets.pbmc_windows()
    >>> sca.pp.pseudobulk(adata, "cell_type", progress=False)
    >>> sca.get.regions_matrix(adata, ["chr11:60,455,000-60,470,000"]).shape[1]
    1
    """
    import anndata as ad

    one_of(statistic, "statistic", ("sum", "mean", "max"))
    source = atac(adata, mod=mod)
    kept = tracks(source, key=key, layer=layer)
    table = as_regions(regions, kept.genome, uns=source.uns)
    obs = pd.DataFrame(index=pd.Index(kept.groups.astype(str), name="group"))
    for name in ("n_cells", "n_fragments"):
        if name in source.uns[key]:
            obs[name] = np.asarray(source.uns[key][name])
    uns = {"regions_matrix": {"key": key, "layer": layer, "statistic": statistic}}
    return ad.AnnData(_summaries(kept, table, statistic), obs=obs, var=table.drop(columns="code"), uns=uns)


def _summaries(kept: Tracks, table: pd.DataFrame, statistic: str) -> np.ndarray:
    """Return float32 `(n_groups, n_regions)`, chromosome by chromosome."""
    codes, start, end = (table[name].to_numpy() for name in ("code", "start", "end"))
    out = np.zeros((len(kept.groups), len(table)), np.float32)
    for code in np.unique(codes):
        own = np.flatnonzero(codes == code)
        for group in range(len(kept.groups)):
            sums, maxima = np.empty(len(own)), np.empty(len(own))
            starts, lengths, values = kept.runs(group, code)
            lengths = _ONE if lengths is None else lengths
            add_to_regions(starts, lengths, values, kept.fill[group], start[own], end[own], sums, maxima)
            size = end[own] - start[own]
            out[group, own] = {"sum": sums, "mean": sums / size, "max": maxima}[statistic]
    return out
