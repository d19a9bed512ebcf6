"""Peaks of few reads and few cells: called at 0.5, at the threshold that `tl.call_peaks` chooses, and by MACS3.

    python -m benchmarks.calls              # HSC hold-out at six depths; 5, 10 and 50 blood cells
    python -m benchmarks.calls --no-blood

Data and truth as in ``accuracy.py``: HSC chr3 against the MACS2 peaks of 80 M reads; cells of four blood types, on
chromosomes that were not trained on, against the coverage of the type's other cells. Scores are those of the bases in
peaks. ``expected_…`` is what the model's own probabilities say, without any truth. MACS3 (``callpeak --nomodel --shift
-75 --extsize 150 --keep-dup all -q 0.05`` on cut sites) runs where it is on the PATH.
"""

from __future__ import annotations

import argparse
import shutil
import subprocess
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
from anndata import AnnData

import scatacworks as sca
from benchmarks.accuracy import DEPTHS, END, HSC, TYPES, Blood, thinned
from scatacworks.metrics import f1
from scatacworks.models.predict import predict
from scatacworks.tl._denoising._baselines import coverage

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

CELLS, DRAWS = (5, 10, 50), 3
COLUMNS = ["n_peaks", "threshold", "f1", "best f1", "precision", "expected_precision", "recall", "expected_recall"]


def ours(denoised: tuple[sca.Tracks, sca.Tracks], threshold: float | str) -> tuple[pd.DataFrame, dict[str, float]]:
    """Peaks of one group, and what is to be expected of them."""
    layers = dict(zip(("signal", "probability"), (tracks.to_dict() for tracks in denoised), strict=True))
    adata = AnnData(uns={"denoised": layers})
    sca.tl.call_peaks(adata, threshold=threshold, progress=False)
    return adata.uns["peaks"], adata.uns["scatacworks"]["peaks"]["by_group"].iloc[0].to_dict()


def macs(sites: sca.Tracks, size: int) -> pd.DataFrame:
    """Peaks that MACS3 calls on cut sites of a genome of `size` bases."""
    with TemporaryDirectory() as folder:
        bed, found = Path(folder) / "sites.bed", Path(folder) / "x_peaks.narrowPeak"
        tables = []
        for chrom in sites.genome.chroms:
            positions, _, counts = sites.runs(0, chrom)
            start = np.repeat(positions, counts)
            tables.append(pd.DataFrame({"c": chrom, "s": start, "e": start + 1, "n": ".", "score": 0, "strand": "+"}))
        pd.concat(tables).to_csv(bed, sep="\t", header=False, index=False)
        options = f"--nomodel --shift -75 --extsize 150 --keep-dup all -q 0.05 -g {size}".split()
        call = ["macs3", "callpeak", "-f", "BED", "-t", bed, "-n", "x", "--outdir", folder, *options]
        subprocess.run(call, check=True, capture_output=True)
        return pd.read_csv(found, sep="\t", header=None, usecols=[0, 1, 2], names=["chrom", "start", "end"])


def scores(sites: sca.Tracks, denoised: tuple, label: np.ndarray, places: pd.DataFrame) -> Iterator[dict]:
    """Scores of all ways of calling on the bases of `places`, one after the other."""

    def dense(value: Callable) -> np.ndarray:
        return np.concatenate([value(p) for p in places.itertuples(index=False)])

    def score(peaks: pd.DataFrame) -> dict[str, float]:
        called = dense(lambda p: covered(peaks, p))
        right = int((called & label).sum())
        return {"precision": right / max(called.sum(), 1), "recall": right / label.sum(), "f1": f1(label, called)}

    probability = dense(lambda p: denoised[1].window(0, p.chrom, p.start, p.end))
    best = {"best f1": f1(label, np.nan_to_num(probability), threshold=None)}
    for threshold in (0.5, "f1"):
        peaks, expected = ours(denoised, threshold)
        yield {"called by": str(threshold), **expected, **best, **score(peaks)}
    if shutil.which("macs3"):
        peaks = macs(sites, int((places["end"] - places["start"]).sum()))
        yield {"called by": "MACS3", "n_peaks": len(peaks), **score(peaks)}


def covered(peaks: pd.DataFrame, place: tuple) -> np.ndarray:
    """Whether each base of a place is in a peak."""
    out = np.zeros(place.end - place.start, bool)
    here = peaks[(peaks["chrom"] == place.chrom) & (peaks["end"] > place.start) & (peaks["start"] < place.end)]
    for start, end in here[["start", "end"]].to_numpy():
        out[max(start - place.start, 0) : end - place.start] = True
    return out


def hsc(model) -> Iterator[dict]:
    """Bulk stem cells at several depths."""
    data = HSC("chr3")
    place = data.region.assign(end=END)
    label = covered(data.peaks, next(place.itertuples(index=False)))
    inputs = {"real 5M": (5e6, data.shallow)} | {f"{d / 1e6:g}M": (d, thinned(data.deep, d / 80e6)) for d in DEPTHS}
    nothing = (np.empty(0, np.int32), None, np.empty(0, np.uint16))
    for name, (depth, sites) in inputs.items():
        denoised = data.methods(model, "model", sites, depth)["model"]
        runs = ((c, [sites.runs(0, c) if c == data.chrom else nothing]) for c in sites.genome.chroms)
        own = sca.Tracks.from_chromosomes(sites.groups, sites.genome, runs)
        yield from ({"input": name, **row} for row in scores(own, denoised, label, place))


def blood(model) -> Iterator[dict]:
    """Few cells of four types; the mean over types and draws."""
    data = Blood()
    for n in CELLS:
        found = []
        for kind, seed in ((kind, 100 + i) for kind in TYPES for i in range(DRAWS)):
            order = np.random.default_rng(seed).permutation(data.type_of.index[data.type_of == kind])
            tracks = data.tracks({"few": order[:n], "rest": order[n:]})
            codes = {c: tracks.genome.code(c) for c in data.windows["chrom"].unique()}
            where = {codes[c]: r[["start", "end"]].to_numpy(np.int64) for c, r in data.windows.groupby("chrom")}
            few, depth = tracks.select(["few"]), data.depth_of[kind] * n / len(order)
            denoised = predict(model, few, depth=[depth], regions=where, n_jobs=1, progress=False)
            label = data.dense(coverage(tracks, 100), "rest") >= data.cutoff(kind, 1 - n / len(order))
            found += scores(few, denoised, label, data.windows)
        mean = pd.DataFrame(found).groupby("called by", sort=False).mean().reset_index()
        yield from ({"input": f"{n} blood cells", **row} for row in mean.to_dict("records"))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", default="accessibility-holdout")
    parser.add_argument("--no-blood", action="store_true")
    args = parser.parse_args()
    model = sca.models.load(args.model)
    table = pd.DataFrame([*hsc(model), *([] if args.no_blood else blood(model))])
    print(table.set_index(["input", "called by"])[COLUMNS].round(3).to_string())


if __name__ == "__main__":
    main()
