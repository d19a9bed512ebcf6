"""The main job: fragments and groups in; tracks, peaks, an AnnData and a report out."""

from __future__ import annotations

import sys
import warnings
from dataclasses import dataclass, field
from functools import lru_cache
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from scatacworks import _keys, _step
from scatacworks._anndata import atac, genome_of, is_mudata, params_of
from scatacworks._files import atomic_path, require_file, require_replaceable, require_writable
from scatacworks.cli._common import note, parse_names, say, warn
from scatacworks.cli._groups import is_anndata_file, open_anndata, read_groups
from scatacworks.genome import Genome

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from anndata import AnnData
    from mudata import MuData

    from scatacworks.io._fragments import Malformed
    from scatacworks.prior import Prior

LAYERS = ("raw", "denoised", "probability")
_SHOWN_REGIONS = 4
_DPI = 160
_FULL_GROUPS, _MOST_GROUPS = 6, 24  # shown with all lines, and at all, in a figure
_FLANK = 8_000  # bp around a peak in a figure


@dataclass
class Settings:
    """What a run is to do."""

    out: Path
    model: str = "default"
    regions: Any = None
    groups: tuple[str, ...] = ()
    prior: str | None = None
    prior_exclude: tuple[str, ...] = ()
    prior_weight: float = 1.0
    extra: dict[str, Path] = field(default_factory=dict)
    path: Path | None = None
    tracks_only: bool = False
    peaks: dict[str, Any] = field(default_factory=dict)
    show: tuple[str, ...] = ()
    groupby: str | None = None  # column whose colours the figures take
    bigwig: tuple[str, ...] = LAYERS
    device: str | None = None
    batch_size: int | None = None
    n_jobs: int | None = None
    progress: bool = True

    @property
    def how(self) -> dict[str, Any]:
        """Threads and progress bars, as every step takes them."""
        return {"n_jobs": self.n_jobs, "progress": self.progress}


def parse_layers(text: str) -> tuple[str, ...]:
    """Return the tracks to write; `none` for none.

    Raises
    ------
    ValueError
        If one is unknown.
    """
    names = tuple(name for name in parse_names(text) if name != "none")
    unknown = [name for name in names if name not in LAYERS]
    if unknown:
        msg = f"--bigwig names {unknown[0]!r}; expected some of {', '.join(LAYERS)}, separated by commas, or none."
        raise ValueError(msg)
    return names


def read(
    fragments: Path,
    groups: Path | None,
    settings: Settings,
    *,
    column: str | None,
    barcode_column: str | None,
    genome: str | None,
    organelles: tuple[str, ...] = (),
    genes: Path | None = None,
    exclude: tuple[str, ...] = (),
    malformed: Malformed = "error",
) -> tuple[AnnData | MuData, str]:
    """Return the cells and the name of the `.obs` column with their groups."""
    from scatacworks.io import read_fragments, read_genes

    if settings.tracks_only and settings.path is None:
        msg = "--tracks-only needs --path, the store that runs of the same command fill together."
        raise ValueError(msg)
    _require_text(fragments, settings.model, settings.prior, settings.path)
    require_writable(settings.out)
    if is_anndata_file(fragments):
        if organelles:
            msg = "--organelles goes with --genome and a fragment file; the .h5ad says itself what its genome is."
            raise ValueError(msg)
        data, groupby = _from_anndata(fragments, groups, column, barcode_column)
        if genes is not None:
            atac(data).uns[_keys.REFERENCE_GENES] = read_genes(genes, genome=genome_of(atac(data)))
        if (own := genome_of(atac(data))) is not None:
            check(settings, own, atac(data).uns)
            if exclude:
                atac(data).uns[_keys.EXCLUDED_REGIONS] = _together(exclude, own)
        return data, groupby
    if genome is None:
        msg = "The genome of a fragment file must be given: --genome hg38, hg19, mm10, mm39 or a chromosome sizes file."
        raise ValueError(msg)
    if groups is None:
        msg = "The groups of the cells must be given: --groups cells.tsv (barcodes and a column with groups)."
        raise ValueError(msg)
    require_file(fragments, "fragment file")
    table = read_groups(groups, column=column, barcode_column=barcode_column)
    assembly = Genome(genome, organelles=organelles or None)
    if genes is not None:
        assembly = assembly.with_genes(read_genes(genes, genome=assembly))
    check(settings, assembly)
    options = {"malformed": malformed, "exclude": _together(exclude, assembly), **settings.how}
    adata = read_fragments(fragments, genome=assembly, barcodes=table, **options)
    groupby = str(table.columns[0])
    adata.obs[groupby] = adata.obs[groupby].astype("category")
    return adata, groupby


def _together(places: Sequence[str], genome: Genome) -> pd.DataFrame | None:
    """Return files and regions whose fragments are to be left out as one table; `None` without any."""
    from scatacworks._regions import spans_frame
    from scatacworks.io._source import excluded_spans

    tables = [spans_frame(found, genome) for place in places if (found := excluded_spans(place, genome))]
    return pd.concat(tables) if tables else None


def _require_text(*names: Path | str | None) -> None:
    """Refuse names of files that are bytes of another encoding: an .h5ad, which keeps them, has no form for these."""
    for name in filter(None, names):
        try:
            str(name).encode()
        except UnicodeEncodeError as error:
            msg = (
                f"{str(name)!r} has letters that are not of this system's encoding ({sys.getfilesystemencoding()}), so "
                "that results cannot name it. Rename it, or set LC_ALL=C.UTF-8 where names are UTF-8."
            )
            raise ValueError(msg) from error


def check(settings: Settings, genome: Genome, uns: Mapping[str, Any] | None = None) -> None:
    """Raise now what would otherwise be found only after the fragments are read: model, store, regions to show."""
    from scatacworks._regions import as_spans
    from scatacworks.models import load
    from scatacworks.models._extra import in_order
    from scatacworks.prior import require_guide

    network = load(settings.model)
    in_order(settings.extra, network)
    if settings.prior is None and (settings.prior_exclude or settings.prior_weight != 1):
        msg = "--prior-exclude and --prior-weight need --prior."
        raise ValueError(msg)
    if settings.prior is not None:
        require_guide(network, settings.prior_weight)
        read_prior(settings, genome)
    if settings.path is not None and not (settings.path / _keys.DENOISED_STORE).exists():
        require_replaceable(settings.path, _keys.DENOISED_STORE)
    try:
        if settings.regions is not None:
            with warnings.catch_warnings(action="ignore"):  # told when they are denoised
                as_spans(settings.regions, genome, uns=uns)
        for place in settings.show:
            genome.region(place)
    except ValueError as error:
        if not genome.has_genes:
            error.add_note("On the command line, --genes names a file of genes.")
        raise


def _from_anndata(
    path: Path, groups: Path | None, column: str | None, barcode_column: str | None
) -> tuple[AnnData | MuData, str]:
    data = open_anndata(path)
    try:
        adata = atac(data)
    except KeyError as error:
        error.add_note("On the command line, give a modality of another name alone: mdata['…'].write_h5ad(…).")
        raise
    if groups is None:
        if column is None:
            has = ", ".join(adata.obs.columns)
            msg = f"Name the column of .obs with the groups by --groups-column; {path} has {has}."
            raise ValueError(msg)
        _step.take_column(data, adata, column)
        return data, column
    table = read_groups(require_file(groups, "file of groups"), column=column, barcode_column=barcode_column)
    groupby = str(table.columns[0])
    found = table[groupby].reindex(adata.obs_names)
    if found.isna().all():
        msg = (
            f"None of the {len(table):,} barcodes of {groups} ({', '.join(table.index[:3])}, …) is a cell of {path} "
            f"({', '.join(adata.obs_names[:3])}, …)."
        )
        raise ValueError(msg)
    adata.obs[groupby] = found.astype("category")
    return data, groupby


def pseudobulk(
    data: AnnData | MuData,
    groupby: str,
    settings: Settings,
    *,
    groups: Sequence[str] | None = None,
    min_cells: int = 0,
    convention: str = "10x",
) -> None:
    """Count the cut sites of every group."""
    from scatacworks import pp
    from scatacworks.prior import SELF

    settings.groupby = groupby
    if settings.prior == SELF:  # the others are counted, too, to guide those that were asked for
        settings.groups, groups = tuple(groups or ()), None
    pp.pseudobulk(data, groupby, groups=groups or None, min_cells=min_cells, convention=convention, **settings.how)


def run(data: AnnData | MuData, settings: Settings) -> None:
    """Denoise, call peaks and write everything; or denoise alone."""
    denoise(data, settings)
    if settings.tracks_only:
        say(f"The tracks in {settings.path} are complete.")
        return
    call_peaks(data, settings)
    write_all(data, settings, draw(atac(data), settings))


def denoise(data: AnnData | MuData, settings: Settings, *, key_added: str = _keys.DENOISED) -> None:
    """Denoise the groups."""
    from scatacworks import tl
    from scatacworks.get import tracks

    genome = tracks(data).genome
    tl.denoise(
        data,
        model=settings.model,
        groups=settings.groups or None,
        regions=settings.regions,
        prior=None if settings.prior is None else read_prior(settings, genome),
        prior_weight=settings.prior_weight,
        extra=settings.extra,
        path=settings.path,
        device=settings.device,
        batch_size=settings.batch_size,
        key_added=key_added,
        **settings.how,
    )


def call_peaks(data: AnnData | MuData, settings: Settings) -> None:
    """Call the peaks of the denoised groups."""
    from scatacworks import tl

    tl.call_peaks(data, **settings.peaks, **settings.how)


@lru_cache(1)
def _prior(source: str, exclude: tuple[str, ...], genome: Genome) -> Prior:
    from scatacworks import tl

    return tl.prior(source, exclude=exclude, genome=genome)


def read_prior(settings: Settings, genome: Genome) -> Prior | str:
    """Return the prior that is named on the command line, read once; `self` for the other groups."""
    from scatacworks.prior import SELF

    if settings.prior != SELF:
        return _prior(settings.prior, settings.prior_exclude, genome)
    if settings.prior_exclude:
        msg = "--prior-exclude does not go with --prior self, which leaves out each group by itself."
        raise ValueError(msg)
    return SELF


def write_all(
    data: AnnData | MuData,
    settings: Settings,
    figures: Sequence[Path],
    *,
    title: str | None = None,
    notes: Mapping[str, str] | None = None,
) -> None:
    """Write tracks, peaks, the object and the report."""
    from scatacworks.cli import _report

    adata = atac(data)
    files = [*write_tracks(adata, settings), *write_peaks(adata, settings.out), *figures]
    places = {
        "tracks (bigWig)": "bigwig", "peaks (BED)": "peaks.bed", "peaks (narrowPeak)": "peaks", "figures": "figures"
    }  # fmt: skip
    parents = {file.parent.name for file in files} | {file.name for file in files}
    written = {what: settings.out / name for what, name in places.items() if name in parents}
    written["cells and tracks"] = write_anndata(data, settings.out)
    written["report"] = _report.write(adata, settings.out, written, figures, title=title, notes=notes)
    summarize(written, settings.out, files)


def write_tracks(adata: AnnData, settings: Settings) -> list[Path]:
    """Write the bigWig files of all groups; return them."""
    from scatacworks.io import write_bigwig

    folder = settings.out / "bigwig"
    places = {
        "raw": (_keys.PSEUDOBULK, _keys.CUT_SITES),
        "denoised": (_keys.DENOISED, _keys.SIGNAL),
        "probability": (_keys.DENOISED, _keys.PROBABILITY),
        _keys.UNGUIDED: (_keys.DENOISED, _keys.UNGUIDED),
    }
    guided = "probability" in settings.bigwig and _keys.PRIOR in adata.uns[_keys.DENOISED]
    files: list[Path] = []
    for layer in (*settings.bigwig, *([_keys.UNGUIDED] if guided else [])):
        key, kept = places[layer]
        files += write_bigwig(adata, folder, key=key, layer=kept, ending=f".{layer}.bw", **settings.how).values()
    return files


def write_peaks(adata: AnnData, out: Path) -> list[Path]:
    """Write the peaks of all groups to one BED file, and of each to a narrowPeak file; return the files."""
    from scatacworks import io

    io.write_peaks(adata, out / "peaks.bed")
    return [out / "peaks.bed", *io.write_peaks(adata, out / "peaks", format="narrowPeak").values()]


def write_anndata(data: AnnData | MuData, out: Path) -> Path:
    """Write everything to one file."""
    is_mu = is_mudata(data)
    path = out / ("scatacworks.h5mu" if is_mu else "scatacworks.h5ad")
    with atomic_path(path) as aside:
        if is_mu:
            data.write(aside)
        else:
            data.write_h5ad(aside, compression="gzip")
    return path


def draw(adata: AnnData, settings: Settings) -> list[Path]:
    """Draw tracks at some regions and the overview of peaks; return the files."""
    import matplotlib as mpl

    from scatacworks import pl

    mpl.use("Agg")
    folder = settings.out / "figures"
    regions = settings.show or telling_regions(adata)
    files = []
    for i, region in enumerate(regions, 1):
        figure = pl.tracks(adata, region, **_what_to_show(adata), groupby=settings.groupby, return_fig=True)
        files.append(save(figure, folder / f"tracks_{i}.png"))
    if len(adata.uns[_keys.PEAKS]):
        files.append(save(pl.peaks(adata, groupby=settings.groupby, return_fig=True), folder / "peaks.png"))
    return files


def _what_to_show(adata: AnnData) -> dict[str, Any]:
    """Leave out lines, then the groups with fewest fragments, where a figure would be too long."""
    from scatacworks.get import tracks

    names = list(map(str, params_of(adata, _keys.DENOISED)["groups"]))
    if len(names) <= _FULL_GROUPS:
        return {"groups": names}
    counted = tracks(adata, key=_keys.PSEUDOBULK)
    size = {name: adata.uns[_keys.PSEUDOBULK]["n_fragments"][counted.group_code(name)] for name in names}
    largest = set(sorted(names, key=lambda name: -size[name])[:_MOST_GROUPS])
    return {"groups": [name for name in names if name in largest], "layers": ["denoised", "peaks"]}


def save(figure: Any, path: Path) -> Path:
    """Save a figure, whole or not at all, and let go of it."""
    import matplotlib.pyplot as plt

    with atomic_path(path) as aside:
        figure.savefig(aside, dpi=_DPI, format=path.suffix[1:])
    plt.close(figure)
    return path


def telling_regions(adata: AnnData) -> list[tuple[str, int, int]]:
    """Return regions around peaks that differ most between groups: of every group its most specific one, the best 4.

    Specific is what is high in the group and low in the others at the peak's summit.
    """
    from scatacworks.get import tracks

    peaks = adata.uns[_keys.PEAKS]
    if peaks.empty:
        return []
    signal = tracks(adata, key=_keys.DENOISED, layer=_keys.SIGNAL)
    top = peaks.sort_values("max", ascending=False).groupby("group", observed=True).head(20)
    names = list(map(str, signal.groups))
    heights = np.array(
        [
            [float(signal.window(name, row.chrom, row.summit, row.summit + 1)[0]) for name in names]
            for row in top.itertuples()
        ]
    )
    own = np.array([names.index(str(group)) for group in top["group"]])
    others = np.ma.array(heights, mask=np.arange(len(names)) == own[:, None]).max(axis=1).filled(0)
    top = top.assign(score=np.nan_to_num(heights[np.arange(len(top)), own] - others))
    best = top.sort_values("score", ascending=False).groupby("group", observed=True).head(1).head(_SHOWN_REGIONS)
    sizes = signal.genome.sizes
    return [
        (str(row.chrom), max(0, row.summit - _FLANK), min(sizes[str(row.chrom)], row.summit + _FLANK))
        for row in best.itertuples()
    ]


def summarize(written: dict[str, Path], out: Path, files: Sequence[Path]) -> None:
    """Print what was written, and which folders hold files besides: those of an earlier run."""
    note("")
    say(f"Written to {out}/")
    width = max(map(len, written))
    for what, path in written.items():
        inside = f" ({sum(file.parent == path for file in files)} files)" if path.is_dir() else ""
        say(f"  {what:<{width}}  {path.relative_to(out) if path.is_relative_to(out) else path}{inside}")
    for path in written.values():
        others = sorted(set(path.iterdir()) - set(files)) if path.is_dir() else []
        if others:
            warn(f"Note: {path} also holds {len(others)} files that this run did not write, such as {others[0].name}.")
