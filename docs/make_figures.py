"""Draw the pictures of the README and the documentation from the data in the package.

Run it from the root of the repository: ``python docs/make_figures.py``.
"""

from __future__ import annotations

from pathlib import Path

import matplotlib as mpl

from scatacworks import pl
from scatacworks.cli import _demo, _denoise

STATIC = Path(__file__).parent / "_static"


def main() -> None:
    mpl.use("Agg")
    adata = _demo.prepare(progress=False)
    settings = _denoise.Settings(out=STATIC, model=_demo.MODEL, regions=adata.uns["windows"], progress=False)
    _denoise.denoise(adata, settings)
    _denoise.call_peaks(adata, settings)
    _demo.guide(adata, settings)
    shown = ["memory B", "CD14+ Monocytes", "NK", "CD8 naive T"]
    figures = {
        "readme": _demo.headline(adata),
        "tracks": pl.tracks(
            adata, _demo._window_of(adata, "MS4A1"), groups=shown, groupby="cell_type", return_fig=True
        ),
    }
    for name, figure in figures.items():
        print(_denoise.save(figure, STATIC / f"{name}.png"))


if __name__ == "__main__":
    main()
