"""A report of a run in one self-contained HTML file."""

from __future__ import annotations

import base64
from datetime import datetime
from importlib import resources
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from scatacworks import __version__, _keys
from scatacworks._anndata import fragment_files, params_of
from scatacworks._files import atomic_path

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from anndata import AnnData

_CAPTIONS = {
    "tracks": (
        "{}, and the peaks with their summits; where there are few groups, also the raw coverage (grey) and the "
        "probability of a peak (pale grey is 0)."
    ),
    "peaks": "Peaks of each group: number, width, height; boxes are quartiles, whiskers the 5th and 95th percentile.",
}


_COVERAGE = "Denoised coverage of the groups at one depth"
_TARGET = "Signal of the groups in the unit of the model's target"


def write(
    adata: AnnData,
    out: Path,
    written: Mapping[str, Path],
    figures: Sequence[Path],
    *,
    title: str | None = None,
    notes: Mapping[str, str] | None = None,
) -> Path:
    """Write `report.html` from what the object holds and these figures; `notes` are captions by figure name."""
    from jinja2 import Environment, StrictUndefined

    params = params_of(adata, _keys.DENOISED)
    source = resources.files("scatacworks.cli") / "report.html.j2"
    environment = Environment(autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True)
    page = environment.from_string(source.read_text(encoding="utf-8")).render(
        title=title or "Denoised tracks and peaks",
        version=__version__,
        date=datetime.now().astimezone().strftime("%Y-%m-%d %H:%M"),
        numbers=_numbers(adata),
        groups=_groups(adata),
        figures=_figures(figures, notes or {}, _TARGET if params["signal"] == "target" else _COVERAGE),
        fragments=_fragments(adata),
        model=_model(adata),
        settings=_settings(adata),
        files={what: path.relative_to(out) for what, path in written.items() if path.is_relative_to(out)},
    )
    path = out / "report.html"
    with atomic_path(path) as aside:
        aside.write_text(page, encoding="utf-8")
    return path


def _numbers(adata: AnnData) -> dict[str, str]:
    """Return the numbers on top of the page."""
    provenance = params_of(adata, _keys.FRAGMENTS)
    out = {"cells": f"{adata.n_obs:,}"}
    if "n_cells_matched" in provenance:
        out["barcodes with fragments"] = f"{int(provenance['n_cells_matched']):,}"
    if _keys.N_FRAGMENTS in adata.obs:
        out["fragments of cells"] = f"{int(adata.obs[_keys.N_FRAGMENTS].sum()):,}"
        out["fragments per cell (median)"] = f"{adata.obs[_keys.N_FRAGMENTS].median():,.0f}"
    out["groups"] = f"{len(params_of(adata, _keys.DENOISED)['groups']):,}"
    out["peaks"] = f"{len(adata.uns[_keys.PEAKS]):,}"
    return out


def _groups(adata: AnnData) -> list[dict[str, str]]:
    """Return one row per denoised group."""
    from scatacworks.get import tracks

    pseudobulk, params = adata.uns[_keys.PSEUDOBULK], params_of(adata, _keys.DENOISED)
    counted = tracks(adata, key=_keys.PSEUDOBULK)
    peaks, by_group = adata.uns[_keys.PEAKS], params_of(adata, _keys.PEAKS)["by_group"]
    widths = (peaks["end"] - peaks["start"]).groupby(peaks["group"], observed=False).median()
    rows = []
    for name, depth in zip(map(str, params["groups"]), np.atleast_1d(params["depth"]), strict=True):
        i, called = counted.group_code(name), by_group.loc[name]
        rows.append(
            {
                "group": name,
                "cells": f"{int(pseudobulk['n_cells'][i]):,}",
                "fragments": f"{int(pseudobulk['n_fragments'][i]):,}",
                "depth (M cut sites per genome)": f"{depth / 1e6:,.3g}",
                "peaks": f"{int(called['n_peaks']):,}",
                "median width (bp)": "–" if np.isnan(widths[name]) else f"{widths[name]:,.0f}",
                "threshold": f"{called['threshold']:.3g}",
                "expected precision": _percent(called["expected_precision"]),
                "expected recall": _percent(called["expected_recall"]),
            }
        )
    return rows


def _percent(share: float) -> str:
    return "–" if np.isnan(share) else f"{100 * share:.0f} %"


def _figures(paths: Sequence[Path], notes: Mapping[str, str], signal: str) -> list[dict[str, str]]:
    """Return the figures as data URIs with their captions; of several of a kind, the first has the caption."""
    out, said = [], set()
    for path in paths:
        kind = path.stem.split("_")[0]
        caption = notes.get(path.stem) or ("" if kind in said else _CAPTIONS.get(kind, "").format(signal))
        said.add(kind)
        data = base64.b64encode(path.read_bytes()).decode()
        out.append({"uri": f"data:image/png;base64,{data}", "caption": caption, "name": path.stem})
    return out


def _fragments(adata: AnnData) -> dict[str, str]:
    """Return what reading the fragments met."""
    files = fragment_files(adata)
    out = {}
    if isinstance(files, str):
        out["file"] = files
    elif files is not None:
        out["files"] = ", ".join(map(str, dict(files).values()))
    stored = params_of(adata, _keys.FRAGMENTS)
    names = {
        "n_lines": "lines",
        "n_fragments": "fragments of the cells",
        "n_cells_matched": "barcodes matched",
        "n_unmatched": "fragments of other barcodes, left out",
        "n_on_skipped_contigs": "fragments on sequences the genome lacks, left out",
        "n_malformed": "malformed lines, left out",
    }
    out |= {label: f"{int(stored[name]):,}" for name, label in names.items() if name in stored}
    params = params_of(adata, _keys.PSEUDOBULK)
    if n_excluded := int(params.get("n_excluded", 0)) or int(stored.get("n_excluded", 0)):
        out["fragments cut in excluded regions, left out"] = f"{n_excluded:,}"
    if "territory_bp" in params:
        out["territory that the fragments cover"] = f"{float(params['territory_bp']) / 1e6:,.2f} Mb"
    return out | ({"genome": str(params["genome"])} if "genome" in params else {})


def _model(adata: AnnData) -> dict[str, str]:
    """Return the essentials of the model's card."""
    from scatacworks.models import list_models

    params = params_of(adata, _keys.DENOISED)
    out = {"model": str(params["model"]), "hash": str(params["model_hash"])}
    out |= {"extra channels": ", ".join(params["extra"])} if "extra" in params else {}
    cards = list_models()
    if out["model"] in cards.index:
        card = cards.loc[out["model"]]
        out |= {name: str(card[name]) for name in ("architecture", "data", "limits")}
        out["trained at depths"] = (
            f"{card['depth_min'] / 1e6:,.3g} to {card['depth_max'] / 1e6:,.3g} M cut sites per genome"
        )
    return out


def _settings(adata: AnnData) -> dict[str, str]:
    """Return the parameters of all steps."""
    steps = {"pseudobulk": _keys.PSEUDOBULK, "denoise": _keys.DENOISED, "call_peaks": _keys.PEAKS}
    return {
        f"{step}.{name}": str(value)
        for step, key in steps.items()
        for name, value in params_of(adata, key).items()
        if not isinstance(value, np.ndarray | dict | pd.DataFrame)
    }
