"""Train a model on deep groups."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from scatacworks._files import is_bigwig_file, require_writable
from scatacworks.cli._common import say
from scatacworks.cli._denoise import save
from scatacworks.cli._groups import open_anndata

if TYPE_CHECKING:
    from pathlib import Path


def run(source: Path, out: Path, options: dict[str, Any]) -> None:
    """Train, which writes model and history, and draw the history."""
    import matplotlib as mpl

    from scatacworks import pl, tl

    mpl.use("Agg")
    require_writable(out)
    noisy = options.pop("noisy")
    result = tl.train(_opened(source), noisy=None if noisy is None else _opened(noisy), out=out, **options)
    save(pl.training(result.history, return_fig=True), out / "training.png")
    last = result.history.iloc[-1]
    trained = f"Trained for {int(last['step']):,} steps; loss {last['loss']:.4g}"
    if np.isnan(last["score"]):
        say(f"{trained}. Without validation (--validation) nothing is known of how good the model is.")
    else:
        say(f"{trained}, validation score {last['score']:.4g}")
    if result.stopped:
        say(f"Stopped early: {result.stopped}")
    say(
        f"Model: {out / 'model.safetensors'} (use it with: scatacworks denoise ... --model {out / 'model.safetensors'})"
    )


def _opened(path: Path) -> Any:
    """A bigWig file or folder as its path, anything else as the object in it."""
    return path if path.is_dir() or is_bigwig_file(path) else open_anndata(path)
