"""The main job on the data in the package: fifty cells of every type, against all other cells of the type."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from scatacworks import _keys
from scatacworks._anndata import params_of
from scatacworks._files import require_writable
from scatacworks._palette import GREY
from scatacworks._strands import start_sites
from scatacworks.cli import _denoise
from scatacworks.cli._common import note, say
from scatacworks.pl._figure import FAINT, INK, LINE
from scatacworks.prior import SELF

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from anndata import AnnData
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

N_CELLS = 50
DRAW, OTHERS = "fifty_cells", "other_cells"  # keys in .obsm and, the second, in .uns
GUIDED = "guided"
MODEL = "accessibility-holdout"  # the default model has seen these cells; this one leaves the windows below out
HELD_OUT = ("chr2", "chr6", "chr12", "chr22")
_ENOUGH = 200  # other cells of a type, to compare with
_SPARSE = (20, 40)  # cut sites of the fifty cells in a window that is hard to read
_ZOOM = 7_000  # bp shown of such a window
_N_COLUMNS = 4
_MARKERS = ("MS4A1", "IL1B")
_BLUE, _TEAL = "#0072b2", "#009e73"

Column = tuple[str, tuple[str, int, int]]
"""A cell type and a region."""


def run(
    out: Path,
    *,
    device: str | None = None,
    n_jobs: int | None = None,
    progress: bool = True,
) -> None:
    """Run the demo into a folder."""
    import matplotlib as mpl

    mpl.use("Agg")
    require_writable(out)
    adata = prepare(n_jobs=n_jobs, progress=progress)
    what = {"model": MODEL, "regions": adata.uns["windows"], "groupby": "cell_type"}
    settings = _denoise.Settings(out=out, **what, device=device, n_jobs=n_jobs, progress=progress)
    _denoise.denoise(adata, settings)
    _denoise.call_peaks(adata, settings)
    guide(adata, settings)
    scores = agreement(adata)
    figures = [_denoise.save(headline(adata), out / "figures" / "fifty_cells.png")]
    settings.show = tuple(_window_of(adata, gene) for gene in _MARKERS)
    figures += _denoise.draw(adata, settings)
    title = f"{N_CELLS} blood cells of each type, in {len(adata.uns['windows'])} gene windows"
    _denoise.write_all(adata, settings, figures, title=title, notes={"fifty_cells": _caption(adata, scores)})
    means = ", ".join(f"{name} {value:.3f}" for name, value in scores.mean().items())
    say(f"Correlation of {N_CELLS} cells with all others of their type: {means}")
    say(f"Open {out / 'report.html'}")


def prepare(*, n_jobs: int | None = None, progress: bool = True) -> AnnData:
    """Return the cells with the cut sites of 50 cells of every type and, apart from them, of the others."""
    from scatacworks import datasets, pp

    note("Reading the fragments of 7,202 blood cells in 44 gene windows (10x Genomics, CC BY 4.0)")
    adata = datasets.pbmc_windows()
    types = adata.obs["cell_type"]
    rng = np.random.default_rng(0)
    drawn = np.zeros(adata.n_obs, bool)
    for name in types.cat.categories:
        members = np.flatnonzero(types == name)
        drawn[rng.choice(members, min(N_CELLS, len(members)), replace=False)] = True
    for key, chosen in ((DRAW, drawn), (OTHERS, ~drawn)):
        columns = {name: (types == name).to_numpy() & chosen for name in types.cat.categories}
        adata.obsm[key] = pd.DataFrame(columns, index=adata.obs_names)
    options = {"n_jobs": n_jobs, "progress": progress}
    pp.pseudobulk(adata, DRAW, **options)
    enough = [str(name) for name, n in adata.obsm[OTHERS].sum().items() if n >= _ENOUGH]
    pp.pseudobulk(adata, OTHERS, groups=enough, key_added=OTHERS, **options)
    return adata


def guide(adata: AnnData, settings: _denoise.Settings) -> None:
    """Denoise the fifty cells of every type once more, guided by the peaks of the other types' fifty."""
    note("Denoising again, each type guided by the others")
    _denoise.denoise(adata, replace(settings, prior=SELF), key_added=GUIDED)


def agreement(adata: AnnData) -> pd.DataFrame:
    """Return, per cell type, the correlation with its other cells before and after denoising, and guided.

    Pearson's, over all bases of the windows that the model was not trained on.
    """
    from scatacworks.get import track, tracks

    def joined(name: str, key: str) -> np.ndarray:
        return np.concatenate([track(adata, name, region, key=key) for region in held_out(adata)])

    rows = {}
    for name in map(str, tracks(adata, key=OTHERS).groups):
        deep = joined(name, OTHERS)
        keys = (_keys.PSEUDOBULK, _keys.DENOISED, GUIDED)
        rows[name] = [float(np.corrcoef(joined(name, key), deep)[0, 1]) for key in keys]
    return pd.DataFrame.from_dict(rows, orient="index", columns=["raw", "denoised", "guided"])


def headline(adata: AnnData) -> Figure:
    """Draw fifty cells raw, denoised, and guided, and all others of the type, in a column per type and region."""
    import matplotlib.pyplot as plt

    columns = telling_columns(adata)
    figure, axes = plt.subplots(4, len(columns), figsize=(8.4, 4.0), squeeze=False)
    figure.subplots_adjust(left=0.135, right=0.99, top=0.87, bottom=0.08, hspace=0.2, wspace=0.1)
    scales = [_factors(adata, key) for key in (_keys.PSEUDOBULK, OTHERS)]
    for places, (name, region) in zip(axes.T, columns, strict=True):
        _draw_column(adata, places, name, region, [scale[name] for scale in scales])
        _mark(places, name, region, _gene_at(adata, region))
    rows = (
        (f"{N_CELLS} cells", FAINT),
        (f"{N_CELLS} cells,\ndenoised", _BLUE),
        ("guided by\nother types", _TEAL),
        ("all other\ncells", INK),
    )
    for ax, (label, color) in zip(axes[:, 0], rows, strict=True):
        text = {"rotation": 0, "ha": "right", "va": "center", "fontsize": 9, "color": color, "fontweight": "bold"}
        ax.set_ylabel(label, labelpad=8, **text)
    return figure


def _draw_column(
    adata: AnnData, axes: Sequence[Axes], name: str, region: tuple[str, int, int], scales: Sequence[float]
) -> None:
    from scatacworks.get import track

    few, many = (track(adata, name, region, key=key) for key in (_keys.PSEUDOBULK, OTHERS))
    denoised, guided = (track(adata, name, region, key=key) for key in (_keys.DENOISED, GUIDED))
    lines = [few * scales[0], denoised, guided, many * scales[1]]
    top = 1.04 * max(line.max() for line in lines)
    for ax, line, color in zip(axes, lines, (GREY, _BLUE, _TEAL, INK), strict=True):
        ax.fill_between(np.arange(region[1], region[2]), line, step="post", color=color, linewidth=0)
        ax.set(xlim=region[1:], ylim=(0, top), xticks=[], yticks=[])
        ax.spines[["top", "right", "left"]].set_visible(False)
        ax.spines["bottom"].set(color=LINE, linewidth=0.7)


def _mark(axes: Sequence[Axes], name: str, region: tuple[str, int, int], gene: str) -> None:
    """Write cell type, gene and position, and a scale bar."""
    chrom, start, end = region
    axes[0].set_title(name, fontsize=9.5, color=INK, loc="left", pad=16)
    place = {"xycoords": "axes fraction", "textcoords": "offset points", "color": FAINT, "fontsize": 7.5}
    axes[0].annotate(gene, (0, 1), xytext=(0, 5), style="italic", **place)
    axes[0].annotate(f"{chrom}:{(start + end) / 2e6:.2f} Mb", (1, 1), xytext=(0, 5), ha="right", **place)
    bar = 5_000 if end - start > 2 * _ZOOM else 2_000
    right = end - (end - start) // 50
    across = axes[-1].get_xaxis_transform()
    axes[-1].plot((right - bar, right), (-0.13, -0.13), color=FAINT, linewidth=1.2, transform=across, clip_on=False)
    place = {"xycoords": across, "textcoords": "offset points", "color": FAINT, "fontsize": 7}
    label = f"{bar // 1_000} kb"
    axes[-1].annotate(label, (right - bar / 2, -0.13), xytext=(0, -3), ha="center", va="top", **place)


def telling_columns(adata: AnnData) -> list[Column]:
    """Return types and windows to show, each window once.

    First where the other cells have most cut sites; then, by the same order, where the fifty have only 20 to 40.
    """
    from scatacworks.get import track, tracks

    def sites(name: str, region: tuple[str, int, int], key: str) -> int:
        return int(track(adata, name, region, key=key, extend=0).sum())

    pairs = [(str(name), region) for name in tracks(adata, key=OTHERS).groups for region in held_out(adata)]
    pairs.sort(key=lambda pair: -sites(*pair, OTHERS))
    chosen = pairs[:1]
    for name, region in pairs[1:]:
        is_sparse = _SPARSE[0] <= sites(name, region, _keys.PSEUDOBULK) <= _SPARSE[1]
        if len(chosen) < _N_COLUMNS and is_sparse and all(region != place for _, place in chosen):
            chosen.append((name, region))
    return [*chosen[:1], *((name, _around_summit(adata, name, region)) for name, region in chosen[1:])]


def _around_summit(adata: AnnData, name: str, region: tuple[str, int, int]) -> tuple[str, int, int]:
    """Return the part of a window around the highest coverage of the other cells."""
    from scatacworks.get import track

    chrom, start, end = region
    summit = start + int(track(adata, name, region, key=OTHERS).argmax())
    return chrom, max(start, summit - _ZOOM // 2), min(end, summit + _ZOOM // 2)


def held_out(adata: AnnData) -> list[tuple[str, int, int]]:
    """Return the windows that the demo's model was not trained on."""
    windows = adata.uns["windows"]
    return list(windows[windows["chrom"].isin(HELD_OUT)].itertuples(index=False, name=None))


def _caption(adata: AnnData, scores: pd.DataFrame) -> str:
    raw, denoised, guided = scores.mean()
    return (
        f"Coverage of {N_CELLS} cells, the same denoised, denoised with the peaks of the other types' {N_CELLS} cells "
        "as a prior, and of all other cells of the type (none is in the draw), in windows that the model was not "
        "trained on: on the left the one with most cut sites, then those where the "
        f"{N_CELLS} cells have only {_SPARSE[0]} to "
        f"{_SPARSE[1]}. Rows of a column are at one depth and scale. Over the {len(held_out(adata))} windows of "
        f"{', '.join(HELD_OUT)} and {len(scores)} cell types, the correlation with the other cells is {raw:.3f} raw, "
        f"{denoised:.3f} denoised and {guided:.3f} guided (means); guided it is higher than raw for "
        f"{int((scores['guided'] > scores['raw']).sum())} types."
    )


def _factors(adata: AnnData, key: str) -> dict[str, float]:
    """Return what brings the raw coverage of every group to the depth of the denoised signal."""
    from scatacworks._depth import depths
    from scatacworks.get import tracks

    target = float(np.atleast_1d(params_of(adata, _keys.DENOISED)["target_depth"])[0])
    return dict(zip(map(str, tracks(adata, key=key).groups), target / depths(adata, key), strict=True))


def _gene_at(adata: AnnData, region: tuple[str, int, int]) -> str:
    """Return the gene whose start of transcription is nearest to the middle of a region."""
    from scatacworks.get import tracks

    chrom, start, end = region
    genes = tracks(adata).genome.genes
    genes = genes[genes["chrom"] == chrom]
    return str(genes["name"].iloc[np.abs(start_sites(genes) - (start + end) / 2).argmin()])


def _window_of(adata: AnnData, gene: str) -> str:
    """Return the window that a gene lies in."""
    from scatacworks.get import tracks

    body = tracks(adata).genome.gene(gene)
    windows = adata.uns["windows"]
    hit = (windows["chrom"] == body.chrom) & (windows["start"] < body.end) & (windows["end"] > body.start)
    row = windows[hit].iloc[0]
    return f"{row['chrom']}:{row['start']}-{row['end']}"
