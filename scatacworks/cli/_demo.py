"""The main job on the data in the package: fifty cells of a type against all others of it."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from scatacworks import _keys
from scatacworks._files import require_writable
from scatacworks.cli import _denoise
from scatacworks.cli._common import note, say

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from anndata import AnnData
    from matplotlib.figure import Figure

CELL_TYPE = "CD14+ Monocytes"
N_CELLS = 50
DRAWN, OTHERS = f"{CELL_TYPE} (50 cells)", f"{CELL_TYPE} (the others)"
_MARKERS = ("MS4A1", "IL1B")
_INK, _FAINT, _GREY, _BLUE = "#26292e", "#6b7078", "#8c8f94", "#0072b2"


def run(
    out: Path,
    *,
    model: str = "default",
    device: str | None = None,
    n_jobs: int | None = None,
    progress: bool = True,
) -> None:
    """Run the demo into a folder."""
    import matplotlib as mpl

    mpl.use("Agg")
    require_writable(out)
    adata = prepare(n_jobs=n_jobs, progress=progress)
    windows = adata.uns["windows"]
    settings = _denoise.Settings(
        out=out, model=model, regions=windows, device=device, n_jobs=n_jobs, progress=progress, groupby="cell_type"
    )
    _denoise.compute(adata, settings)
    raw, denoised = agreement(adata)
    caption = (
        f"{N_CELLS} cells of one type ({CELL_TYPE}), raw and denoised, above the {_n_others(adata):,} other cells of "
        "the type, none of them in the draw. All rows of a column are at one depth and on one scale. Over all "
        f"{len(windows)} windows, the correlation with the many cells is {raw:.2f} raw and {denoised:.2f} denoised."
    )
    figures = [_denoise.save(headline(adata), require_writable(out / "figures") / "fifty_cells.png")]
    settings.show = tuple(_window_of(adata, gene) for gene in _MARKERS)
    figures += _denoise.draw(adata.copy(), settings)
    title = "Blood cells in 44 gene windows"
    _denoise.write_all(adata, settings, figures, title=title, notes={"fifty_cells": caption})
    say(f"Correlation of {N_CELLS} cells with {_n_others(adata):,} others: raw {raw:.3f}, denoised {denoised:.3f}")
    say(f"Open {out / 'report.html'}")


def prepare(*, seed: int = 0, n_jobs: int | None = None, progress: bool = True) -> AnnData:
    """Return the cells with cut sites of all cell types, of a draw of 50 cells of one, and of the others of it."""
    from scatacworks import datasets, pp

    note("Reading the fragments of 7,202 blood cells in 44 gene windows (10x Genomics, CC BY 4.0)")
    adata = datasets.pbmc_windows()
    types = adata.obs["cell_type"]
    members = pd.DataFrame({name: types == name for name in types.cat.categories}, index=adata.obs_names)
    of_type = np.flatnonzero(types == CELL_TYPE)
    drawn = np.zeros(adata.n_obs, bool)
    drawn[np.random.default_rng(seed).choice(of_type, N_CELLS, replace=False)] = True
    members[DRAWN], members[OTHERS] = drawn, (types == CELL_TYPE).to_numpy() & ~drawn
    adata.obsm["groups"] = members
    pp.pseudobulk(adata, "groups", n_jobs=n_jobs, progress=progress)
    return adata


def agreement(adata: AnnData) -> tuple[float, float]:
    """Return the correlation (Pearson, over all bases of the windows) with the many cells: raw, denoised."""
    from scatacworks.get import track

    regions = list(adata.uns["windows"].itertuples(index=False, name=None))
    deep = np.concatenate([track(adata, OTHERS, region) for region in regions])
    raw = np.concatenate([track(adata, DRAWN, region) for region in regions])
    denoised = np.concatenate([track(adata, DRAWN, region, key=_keys.DENOISED) for region in regions])
    return float(np.corrcoef(raw, deep)[0, 1]), float(np.corrcoef(denoised, deep)[0, 1])


def headline(adata: AnnData, regions: Sequence[tuple[str, int, int]] | None = None) -> Figure:
    """Draw a few cells raw, the same denoised, and many cells, in a column per region."""
    import matplotlib.pyplot as plt

    from scatacworks.get import track

    regions = regions or telling_windows(adata)
    figure, axes = plt.subplots(
        3, len(regions), figsize=(8.4, 3.0), sharex="col", squeeze=False, gridspec_kw={"hspace": 0.18, "wspace": 0.12}
    )
    figure.subplots_adjust(left=0.17, right=0.99, top=0.87, bottom=0.14)
    scale = _factors(adata)
    for column, region in enumerate(regions):
        lines = [
            track(adata, DRAWN, region) * scale[DRAWN],
            track(adata, DRAWN, region, key=_keys.DENOISED),
            track(adata, OTHERS, region) * scale[OTHERS],
        ]
        top = 1.04 * max(lines[0].max(), lines[2].max())
        for ax, line, color in zip(axes[:, column], lines, (_GREY, _BLUE, _INK), strict=True):
            ax.fill_between(np.arange(region[1], region[2]), line, step="post", color=color, linewidth=0)
            ax.set(xlim=region[1:], ylim=(0, top), xticks=[], yticks=[])
            ax.spines[["top", "right", "left"]].set_visible(False)
            ax.spines["bottom"].set(color="#d5d8dc", linewidth=0.7)
        _mark_scale(axes[:, column], region, _gene_at(adata, region))
    names = (f"{N_CELLS} cells", f"{N_CELLS} cells,\ndenoised", f"{_n_others(adata):,} other\ncells")
    for ax, name, color in zip(axes[:, 0], names, (_FAINT, _BLUE, _INK), strict=True):
        text = {"rotation": 0, "ha": "right", "va": "center", "fontsize": 9, "color": color, "fontweight": "bold"}
        ax.set_ylabel(name, labelpad=8, **text)
    return figure


def telling_windows(adata: AnnData, n: int = 3) -> list[tuple[str, int, int]]:
    """Return the windows where the many cells have most cut sites."""
    from scatacworks.get import track

    windows = list(adata.uns["windows"].itertuples(index=False, name=None))
    sites = [track(adata, OTHERS, window, extend=0).sum() for window in windows]
    return [windows[i] for i in sorted(np.argsort(sites)[::-1][:n])]


def _factors(adata: AnnData) -> dict[str, float]:
    """Return what brings the raw coverage of every group to the depth of the denoised signal."""
    params = adata.uns[_keys.DENOISED][_keys.PARAMS]
    return dict(zip(map(str, params["groups"]), params["target_depth"] / params["depth"], strict=True))


def _mark_scale(axes: Sequence, region: tuple[str, int, int], gene: str) -> None:
    """Write gene, position and a 5-kb bar."""
    chrom, start, end = region
    axes[0].set_title(gene, fontsize=9.5, style="italic", color=_INK, loc="left", pad=5)
    axes[0].set_title(f"{chrom}:{start / 1e6:.2f} Mb", fontsize=7, color=_FAINT, loc="right", pad=5)
    bar = (end - 5_500, end - 500)
    place = axes[-1].get_xaxis_transform()
    axes[-1].plot(bar, (-0.12, -0.12), color=_FAINT, linewidth=1.2, transform=place, clip_on=False)
    text = {"ha": "center", "va": "top", "fontsize": 7, "color": _FAINT, "transform": place}
    axes[-1].text(sum(bar) / 2, -0.2, "5 kb", **text)


def _gene_at(adata: AnnData, region: tuple[str, int, int]) -> str:
    """Return the gene whose start of transcription is nearest to the middle of a region."""
    from scatacworks.get import tracks

    chrom, start, end = region
    genes = tracks(adata).genome.genes
    genes = genes[genes["chrom"] == chrom]
    tss = genes["start"].where(genes["strand"] == "+", genes["end"])
    return str(genes.loc[(tss - (start + end) / 2).abs().idxmin(), "name"])


def _window_of(adata: AnnData, gene: str) -> str:
    """Return the window that a gene's start of transcription lies in."""
    from scatacworks.get import tracks

    body = tracks(adata).genome.gene(gene)
    windows = adata.uns["windows"]
    hit = (windows["chrom"] == body.chrom) & (windows["start"] < body.end) & (windows["end"] > body.start)
    row = windows[hit].iloc[0]
    return f"{row['chrom']}:{row['start']}-{row['end']}"


def _n_others(adata: AnnData) -> int:
    return int(adata.obsm["groups"][OTHERS].sum())
