"""What there is: versions, devices, models, and what files hold."""

from __future__ import annotations

import json
import platform
from typing import TYPE_CHECKING, Any

from scatacworks import __version__, _keys, _threads
from scatacworks._files import is_bigwig_file, require_file
from scatacworks.cli._common import say
from scatacworks.cli._groups import is_anndata_file, open_anndata

if TYPE_CHECKING:
    from pathlib import Path


def run(path: Path | None) -> None:
    """Describe the installation, or a file."""
    if path is None:
        _installation()
    elif is_anndata_file(path):
        _anndata(path)
    elif path.is_dir() or is_bigwig_file(path):
        _bigwig(path)
    else:
        require_file(path)
        msg = (
            f"{path} is not described; expected an .h5ad or .h5mu file, a bigWig file (.bw, .bigWig) or a folder of "
            "them. A fragment or BAM file is told of by `scatacworks denoise`, a model by `scatacworks models`."
        )
        raise ValueError(msg)


def _lines(rows: dict[str, Any]) -> None:
    width = max(map(len, rows))
    for name, value in rows.items():
        say(f"{name:<{width}}  {value}")


def _installation() -> None:
    from importlib.metadata import version

    from scatacworks.genome import built_in_sizes
    from scatacworks.models import list_models
    from scatacworks.models._engine import gpu_names

    _lines(
        {
            "scatacworks": __version__,
            "Python": platform.python_version(),
            "torch": version("torch"),
            "anndata": version("anndata"),
            "GPUs": ", ".join(gpu_names()) or "none (the CPU is used)",
            "threads": _threads.resolve(),
            "genomes": ", ".join(built_in_sizes()),
            "models": ", ".join(list_models().index),
        }
    )


def _anndata(path: Path) -> None:
    from scatacworks._anndata import atac, fragment_files, params_of
    from scatacworks._text import counted
    from scatacworks.get import tracks

    adata = atac(open_anndata(path))
    rows: dict[str, Any] = {"cells": f"{adata.n_obs:,}"}
    for key in (_keys.PSEUDOBULK, _keys.DENOISED):
        if key in adata.uns:
            kept = tracks(adata, key=key)
            names = ", ".join(map(str, kept.groups[:5])) + (", …" if len(kept.groups) > 5 else "")
            rows[key] = f"{counted(len(kept.groups), 'group')} ({names}), {counted(kept.n_runs, 'run')}"
    params = params_of(adata, _keys.DENOISED)
    rows |= {name: params[name] for name in ("model", "genome", "version") if name in params}
    if _keys.PEAKS in adata.uns:
        rows["peaks"] = f"{len(adata.uns[_keys.PEAKS]):,}"
    held = "in the object" if _keys.FRAGMENT_PAIRED in adata.obsm else "not known"
    rows["fragments"] = fragment_files(adata) or held
    _lines(rows)


def _bigwig(path: Path) -> None:
    from scatacworks.io import read_bigwig

    tracks = read_bigwig(path)
    sums = dict(zip(map(str, tracks.groups), tracks.sums(), strict=True))
    covered = {group: sum(int(tracks.runs(group, chrom)[1].sum()) for chrom in tracks.genome.chroms) for group in sums}
    _lines({"genome": tracks.genome, **{g: f"{covered[g]:,} bases, sum {sums[g]:,.6g}" for g in sums}})


def models(name: str | None) -> None:
    """List the bundled models, or show a card."""
    from scatacworks.models import list_models, load

    if name is not None:
        model = load(name)
        say(json.dumps(model.card, indent=2, default=str, ensure_ascii=False))
        return
    width = max(len(name) for name in list_models().index)
    say(f"{'name':<{width}}  {'architecture':<12}  {'extension':>9}  trained at depths (cut sites per genome)")
    for row in list_models().itertuples():
        depths = f"{row.depth_min / 1e6:,.3g} to {row.depth_max / 1e6:,.3g} M"
        say(f"{row.Index:<{width}}  {row.architecture:<12}  {row.extension:>6} bp  {depths}")
    say("The card of one, with its data, scores and limits: scatacworks models NAME")
