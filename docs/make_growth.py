"""Draw how time and memory grow, for docs/about/performance.md.

Run from the root of the repository, after measuring::

    python -m benchmarks growth --size large --json growth.json
    python docs/make_growth.py growth.json
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path

import matplotlib as mpl
import matplotlib.pyplot as plt
import numpy as np

STATIC = Path(__file__).parent / "_static"
KINDS = {"cpu_seconds": "CPU seconds", "memory_gb": "peak memory, GB"}


def main() -> None:
    mpl.use("Agg")
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("json", type=Path)
    rows = [row for row in json.loads(parser.parse_args().json.read_text()) if row["suite"] == "growth"]
    figure, axes = plt.subplots(2, len(rows), figsize=(3.2 * len(rows), 4.6), sharex="col", layout="constrained")
    for column, row in zip(axes.T, rows, strict=True):
        numbers = [point["n"] for point in row["points"]]
        for ax, (name, label) in zip(column, KINDS.items(), strict=True):
            values = [point[name] for point in row["points"]]
            ax.loglog(numbers, values, "o-", ms=4, lw=1, color="#2b6ca3")
            ax.set_ylim(10 ** np.floor(np.log10(min(values))), 10 ** np.ceil(np.log10(max(values) * 1.5)))
            ax.set_xticks(numbers, [f"{n / 1e6:g} M" if n >= 1e6 else f"{n:,}" for n in numbers])
            ax.minorticks_off()
            ax.text(0.05, 0.9, f"exponent {row['exponents'][name]:.2f}", transform=ax.transAxes, fontsize=9)
            ax.set_ylabel(label if ax in axes[:, 0] else "")
            ax.spines[["top", "right"]].set_visible(False)
        column[1].set_xlabel({"bases": "bases denoised"}.get(row["axis"], row["axis"]))
    figure.savefig(STATIC / "growth.png", dpi=130)


if __name__ == "__main__":
    main()
