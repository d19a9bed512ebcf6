"""The commands and their options."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from scatacworks.cli._common import DEBUG, guarded

if TYPE_CHECKING:
    from collections.abc import Sequence

app = typer.Typer(
    name="scatacworks",
    help="Denoised base-resolution tracks and peaks of groups of cells, from scATAC-seq fragments.",
    epilog=(
        "Exit codes: 0 done, 1 a problem with the input, 2 wrong usage, 70 a fault of the program, "
        "129 stopped by SIGHUP, 130 by Ctrl-C, 143 by SIGTERM. --debug shows tracebacks."
    ),
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)


def path(text: str) -> Path:
    """Take a path to write to; an empty one, as of a shell variable that is not set, would be the current folder."""
    if not str(text):
        msg = "it is empty; expected a path, such as . for the current folder."
        raise typer.BadParameter(msg)
    return Path(text)


def cutoff(text: str) -> float | str:
    """Take a threshold of peaks: a number, or f1."""
    if text == "f1":
        return text
    try:
        number = float(text)
    except ValueError:
        number = -1.0
    if not 0 <= number < float("inf"):
        msg = f"{text!r} is neither a number of 0 or more nor f1."
        raise typer.BadParameter(msg)
    return number


def probability(text: str) -> float | str:
    """Take a threshold of probabilities: a number up to 1, or f1."""
    found = cutoff(text)
    if found != "f1" and found > 1:
        msg = f"{text} is no probability, 0 to 1."
        raise typer.BadParameter(msg)
    return found


_THRESHOLD_HELP = "Smallest probability in a peak; f1: of each group that of the highest F1 to be expected, 0.1 to 0.5."
_OUTPUT = {"parser": path}  # whose name the help shows
Device = Annotated[
    str | None, typer.Option(help="Torch device, such as cpu or cuda:0; by default a GPU if there is one.")
]
Batch = Annotated[
    int | None, typer.Option(min=1, help="Windows at once; by default what fits the device. Fewer take less memory.")
]
Jobs = Annotated[int | None, typer.Option("--n-jobs", "-j", help="Threads; by default all cores.")]
Quiet = Annotated[bool, typer.Option("--quiet", "-q", help="Say nothing but warnings and errors.")]
Threshold = Annotated[float, typer.Option(parser=cutoff, metavar="NUMBER|f1", help=_THRESHOLD_HELP)]
MinLength = Annotated[int, typer.Option(min=1, help="Smallest length of a peak, bp.")]
MaxGap = Annotated[int, typer.Option(min=0, help="Largest stretch below the threshold within a peak, bp.")]
Extra = Annotated[
    list[str] | None,
    typer.Option(help="NAME=FILE: an extra channel of the model, a BED or bigWig file; repeatable."),
]
Groups = Annotated[list[str] | None, typer.Option("--group", help="Only this group; may be repeated.")]


@app.callback(invoke_without_command=True)
def _options(
    *,
    version: Annotated[bool, typer.Option("--version", help="Show the version and exit.", is_eager=True)] = False,
) -> None:
    if version:
        from scatacworks import __version__

        typer.echo(f"scatacworks {__version__}")
        raise typer.Exit


@app.command()
@guarded
def denoise(  # noqa: PLR0913 - one for each option
    *,
    fragments: Annotated[
        Path, typer.Argument(help="Fragment file, or an .h5ad or .h5mu file that knows its fragments.")
    ],
    out: Annotated[Path, typer.Option("--out", "-o", **_OUTPUT, help="Folder for the results.")],
    groups: Annotated[
        Path | None, typer.Option(help="Groups of cells: TSV or CSV with barcodes and a group column, or an .h5ad.")
    ] = None,
    groups_column: Annotated[str | None, typer.Option(help="Column with the groups.")] = None,
    barcode_column: Annotated[str | None, typer.Option(help="Column with the barcodes; by default found.")] = None,
    genome: Annotated[str | None, typer.Option(help="hg38, hg19, mm10, mm39, or a chromosome sizes file.")] = None,
    organelles: Annotated[
        str, typer.Option(help="Mitochondria and plastids of --genome, by commas, where their names do not tell.")
    ] = "",
    genes: Annotated[Path | None, typer.Option(help="Genes, instead of those built in: GTF, GFF3 or BED.")] = None,
    exclude: Annotated[
        list[str] | None,
        typer.Option(help="Leave out fragments cut in these, a blacklist: a BED file or a region; repeatable."),
    ] = None,
    group: Groups = None,
    min_cells: Annotated[int, typer.Option(min=0, help="Leave out groups with fewer cells.")] = 0,
    malformed: Annotated[
        Literal["error", "skip"], typer.Option(help="Malformed lines: stop at the first, or leave them out and count.")
    ] = "error",
    convention: Annotated[Literal["10x", "atacworks"], typer.Option(help="Where cut sites are.")] = "10x",
    model: Annotated[
        str, typer.Option(help="Bundled model (see `scatacworks models`) or the path of one.")
    ] = "default",
    regions: Annotated[str | None, typer.Option(help="Only these: a BED file, a region or a gene.")] = None,
    prior: Annotated[
        str | None,
        typer.Option(help="Where other samples are open: an index, its table, a folder of peak files; or self."),
    ] = None,
    prior_exclude: Annotated[str, typer.Option(help="Samples of the prior to leave out, separated by commas.")] = "",
    prior_weight: Annotated[float, typer.Option(min=0, max=1, help="How far the prior corrects; 0: not at all.")] = 1,
    extra: Extra = None,
    path: Annotated[
        Path | None,
        typer.Option(**_OUTPUT, help="Keep the denoised tracks in this zarr store; a stopped run then goes on."),
    ] = None,
    tracks_only: Annotated[
        bool,
        typer.Option(
            "--tracks-only", help="Only help another run of the same command to fill --path; write nothing else."
        ),
    ] = False,
    threshold: Annotated[float, typer.Option(parser=probability, metavar="NUMBER|f1", help=_THRESHOLD_HELP)] = 0.5,
    min_length: MinLength = 200,
    max_gap: MaxGap = 30,
    show: Annotated[list[str] | None, typer.Option(help="Gene or region for a figure; may be repeated.")] = None,
    bigwig: Annotated[str, typer.Option(help="Tracks to write: some of raw,denoised,probability; or none.")] = (
        "raw,denoised,probability"
    ),
    device: Device = None,
    batch_size: Batch = None,
    n_jobs: Jobs = None,
    quiet: Quiet = False,
) -> None:
    """Denoise the groups of a fragment file: bigWig tracks, peaks, an .h5ad and a report."""
    from scatacworks._files import without_empty_folders
    from scatacworks.cli import _denoise
    from scatacworks.cli._common import parse_extra, parse_names

    settings = _denoise.Settings(
        out=out,
        model=model,
        regions=regions,
        prior=prior,
        prior_exclude=parse_names(prior_exclude),
        prior_weight=prior_weight,
        extra=parse_extra(extra),
        path=path,
        tracks_only=tracks_only,
        peaks={"threshold": threshold, "min_length": min_length, "max_gap": max_gap},
        show=tuple(show or ()),
        bigwig=_denoise.parse_layers(bigwig),
        device=device,
        batch_size=batch_size,
        n_jobs=n_jobs,
        progress=not quiet,
    )
    columns = {"column": groups_column, "barcode_column": barcode_column}
    with without_empty_folders(out):
        where = {
            "genome": genome,
            "organelles": parse_names(organelles),
            "genes": genes,
            "exclude": tuple(exclude or ()),
        }
        adata, groupby = _denoise.read(fragments, groups, settings, **columns, **where, malformed=malformed)
        _denoise.pseudobulk(adata, groupby, settings, groups=group, min_cells=min_cells, convention=convention)
        _denoise.run(adata, settings)


@app.command()
@guarded
def peaks(
    *,
    source: Annotated[
        Path, typer.Argument(help="An .h5ad of `scatacworks denoise`, or a bigWig file or a folder of them.")
    ],
    out: Annotated[
        Path, typer.Option("--out", "-o", **_OUTPUT, help="A .bed or .narrowPeak file (also .gz), or a folder.")
    ],
    threshold: Threshold = 0.5,
    min_length: MinLength = 200,
    max_gap: MaxGap = 30,
    group: Groups = None,
    chrom: Annotated[
        list[str] | None, typer.Option(help="Only this chromosome, such as chrM, else left out; may be repeated.")
    ] = None,
    n_jobs: Jobs = None,
    quiet: Quiet = False,
) -> None:
    """Call peaks again, with other limits, or on bigWig tracks."""
    from scatacworks.cli import _peaks

    limits = {"threshold": threshold, "min_length": min_length, "max_gap": max_gap}
    options = {"groups": group or None, "chroms": chrom or None, "n_jobs": n_jobs, "progress": not quiet}
    _peaks.run(source, out, limits, **options)


@app.command()
@guarded
def train(  # noqa: PLR0913 - one for each option
    *,
    source: Annotated[
        Path,
        typer.Argument(help="An .h5ad or .h5mu of `scatacworks denoise`, its groups being deep samples; or a bigWig."),
    ],
    out: Annotated[Path, typer.Option("--out", "-o", **_OUTPUT, help="Folder for checkpoint, history and model.")],
    group: Groups = None,
    noisy: Annotated[Path | None, typer.Option(help="The same groups, really shallow: .h5ad, .h5mu or bigWig.")] = None,
    bigwig: Annotated[
        Literal["coverage", "cut_sites"], typer.Option(help="What bigWig files hold: coverage or cut_sites.")
    ] = "coverage",
    cells: Annotated[
        list[int] | None,
        typer.Option(min=1, help="Draw so many cells, not depths, as shallow input; repeatable."),
    ] = None,
    draw: Annotated[
        Literal["sites", "fragments", "cells"] | None,
        typer.Option(help="What is drawn as a whole: sites, fragments or cells; by default fragments, if known."),
    ] = None,
    model: Annotated[str, typer.Option(help="Architecture, or a bundled model or path to start from.")] = "BinnedUNet",
    recipe: Annotated[Literal["default", "paper"], typer.Option(help="default or paper.")] = "default",
    steps: Annotated[int | None, typer.Option(min=1, help="Updates in all; by default the recipe's.")] = None,
    batch_size: Annotated[
        int | None, typer.Option(min=1, help="Crops per update; by default the recipe's. Fewer take less memory.")
    ] = None,
    peaks: Annotated[
        Path | None, typer.Option(help="True peaks, a BED file; by default called from the deep tracks.")
    ] = None,
    target: Annotated[
        Path | None, typer.Option(help="Predict this signal instead, such as ChIP-seq: bigWig(s); needs --peaks.")
    ] = None,
    extra: Extra = None,
    regions: Annotated[str | None, typer.Option(help="Only these: a BED file or a region.")] = None,
    validation: Annotated[
        list[str] | None, typer.Option(help="Chromosome or region for validation; repeatable. none: do without.")
    ] = None,
    holdout: Annotated[
        list[str] | None, typer.Option(help="Chromosome or region to leave alone; repeatable. none: use all.")
    ] = None,
    resume: Annotated[bool, typer.Option("--resume", help="Go on with the run in --out that was stopped.")] = False,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Delete the earlier run in --out.")] = False,
    seed: Annotated[int, typer.Option(min=0, help="Seed of weights and draws.")] = 0,
    accelerator: Annotated[str, typer.Option(help="Lightning's: auto, cpu, gpu.")] = "auto",
    devices: Annotated[int, typer.Option(help="Number of devices.")] = 1,
    n_jobs: Annotated[int, typer.Option("--n-jobs", "-j", help="Threads.")] = 1,
    quiet: Quiet = False,
) -> None:
    """Train a model on deep groups of your own."""
    from scatacworks._files import without_empty_folders
    from scatacworks.cli import _train
    from scatacworks.cli._common import parse_extra

    settings = {"steps": steps, "batch_size": batch_size}
    places = {"validation": validation, "holdout": holdout}
    options = {
        "noisy": noisy,
        "groups": group or None,
        "bigwig": bigwig,
        "n_cells": cells or None,
        "draw": draw,
        "model": model,
        "recipe": recipe,
        "settings": {name: value for name, value in settings.items() if value is not None},
        "peaks": peaks,
        "target": target,
        "extra": parse_extra(extra) or None,
        "regions": regions,
        **{name: [] if named == ["none"] else named or None for name, named in places.items()},
        "resume": resume,
        "overwrite": overwrite,
        "seed": seed,
        "accelerator": accelerator,
        "devices": devices,
        "n_jobs": n_jobs,
        "progress": not quiet,
    }
    with without_empty_folders(out):
        _train.run(source, out, options)


@app.command()
@guarded
def demo(
    *,
    out: Annotated[Path, typer.Option("--out", "-o", **_OUTPUT, help="Folder for the results.")] = Path(
        "scatacworks_demo"
    ),
    device: Device = None,
    n_jobs: Jobs = None,
    quiet: Quiet = False,
) -> None:
    """Run the main job on real data that come with the package (blood cells, gene windows); no network needed."""
    from scatacworks._files import without_empty_folders
    from scatacworks.cli import _demo

    with without_empty_folders(out):
        _demo.run(out, device=device, n_jobs=n_jobs, progress=not quiet)


@app.command()
@guarded
def info(
    path: Annotated[Path | None, typer.Argument(help="An .h5ad, .h5mu or bigWig file to describe.")] = None,
) -> None:
    """Show versions, devices and threads, or what a file holds."""
    from scatacworks.cli import _info

    _info.run(path)


@app.command()
@guarded
def models(
    name: Annotated[str | None, typer.Argument(help="A bundled model or the path of one, to see its card.")] = None,
) -> None:
    """List the bundled models, or show the card of one."""
    from scatacworks.cli import _info

    _info.models(name)


def run(arguments: Sequence[str] | None = None) -> None:
    """Run a command; `--debug`, anywhere, lets errors through with their tracebacks."""
    arguments = list(sys.argv[1:] if arguments is None else arguments)
    if "--debug" in arguments:
        arguments = [argument for argument in arguments if argument != "--debug"]
        os.environ[DEBUG] = "1"
    if sys.stderr is None:  # closed by who started this
        sys.stderr = Path(os.devnull).open("w", encoding="utf-8")  # noqa: SIM115 - for the rest of the process
    if hasattr(sys.stdout, "reconfigure"):  # names go to a file in the system's letters, of which Windows has few
        sys.stdout.reconfigure(errors="backslashreplace")
    if not sys.stderr.isatty():  # progress bars go to a log, which they would fill
        os.environ.setdefault("TQDM_MININTERVAL", "30")
        os.environ.setdefault("TQDM_MAXINTERVAL", "60")  # else bars are shown again after ten seconds, unchanged
    app(args=arguments, prog_name="scatacworks")
