"""Accuracy on real data: the bundled model beside raw coverage and a Gaussian, and models trained here.

    python benchmarks/accuracy.py                                  # the bundled model that never saw the hold-out
    python benchmarks/accuracy.py --model run/model.safetensors    # another one
    python benchmarks/accuracy.py --quick                          # the first 2 Mb of the hold-out, real 5 M reads only
    python benchmarks/accuracy.py --train default --steps 3000 --out run
    python benchmarks/accuracy.py --train default --rotate chr1    # hold chr1 out instead of chr3

Data: the folder in SCA_SHARED_DATA (``atacworks_hsc``, ``pbmc10k_windows``). HSC: hold-out chr3:0-9,984,000, real 5 M
reads and thinned 80 M reads against the 80 M track and its MACS2 peaks, per base. Blood: cells drawn from a type
against its other cells, in windows of chromosomes that were not trained on. Everything is seeded.
"""

from __future__ import annotations

import argparse
import os
import time
from pathlib import Path

import numpy as np
import pandas as pd

import scatacworks as sca
from scatacworks import metrics
from scatacworks.models._rounding import Rounding
from scatacworks.models.predict import predict
from scatacworks.tl._denoising._baselines import coverage

DATA = Path(os.environ.get("SCA_SHARED_DATA", Path(__file__).resolve().parents[2] / "shared" / "data"))
GENOME = {"chr1": 10_000_000, "chr2": 10_000_000, "chr3": 10_000_000}
END = 9_984_000
FINE = Rounding(signal=0.01)  # so that the Gaussian loses no ranks to rounding
DEPTHS = (5e4, 2e5, 1e6, 5e6, 2e7)
PAD = 3000  # masked on either side of what is unknown in the 80 M track
BLOOD_HELD_OUT = ("chr2", "chr6", "chr12", "chr22")
TYPES = ("CD14+ Monocytes", "CD4 naive T", "CD8 naive T", "memory B")


def hsc(reads: str) -> sca.Tracks:
    """Single-base cut sites of the HSC sample."""
    file = DATA / "atacworks_hsc" / f"HSC.{reads}.cut_sites.bedGraph.gz"
    table = pd.read_csv(file, sep="\t", header=None, names=["chrom", "start", "end", "count"])
    runs = {c: (r["start"].to_numpy(np.int32), None, r["count"].to_numpy(np.uint16)) for c, r in table.groupby("chrom")}
    return sca.Tracks.from_chromosomes(["HSC"], sca.Genome(GENOME), [(c, [runs[c]]) for c in GENOME])


def bed(name: str) -> pd.DataFrame:
    """Intervals of the HSC data."""
    columns = ["chrom", "start", "end"]
    return pd.read_csv(DATA / "atacworks_hsc" / name, sep="\t", header=None, usecols=[0, 1, 2], names=columns)


def thinned(tracks: sca.Tracks, fraction: float, seed: int = 7, order: tuple[str, ...] = ()) -> sca.Tracks:
    """Keep every cut site with the same probability; `order` says which chromosome is drawn first."""
    rng = np.random.default_rng(seed)
    runs = {}
    for chrom in order or tracks.genome.chroms:
        positions, _, counts = tracks.runs(0, chrom)
        kept = rng.binomial(counts.astype(np.int64), fraction)
        runs[chrom] = (positions[kept > 0], None, kept[kept > 0].astype(np.uint16))
    chromosomes = ((chrom, [runs[chrom]]) for chrom in tracks.genome.chroms)
    return sca.Tracks.from_chromosomes(tracks.groups, tracks.genome, chromosomes)


class HSC:
    """The HSC data and one hold-out chromosome."""

    def __init__(self, chrom: str, end: int = END) -> None:
        self.deep, self.shallow = hsc("80M"), hsc("5M")
        self.peaks = bed("HSC.80M.chr123.10mb.peaks.bed")
        self.region = pd.DataFrame({"chrom": [chrom], "start": [0], "end": [end]})
        unknown = bed("unrecovered_80M.bed")
        ends = (unknown["end"] + PAD).clip(upper=unknown["chrom"].map(GENOME))
        self.exclude = unknown.assign(start=(unknown["start"] - PAD).clip(lower=0), end=ends)
        self.chrom = chrom

    def score(self, signal: sca.Tracks, score: sca.Tracks | None, by: str) -> pd.DataFrame:
        options = {
            "peaks": self.peaks,
            "regions": self.region,
            "extend": 100,
            "by": by,
            "threshold": 0.5,
            "rank_correlation": False,
        }
        # as published: on chr3 every base counts; elsewhere what the 80 M track lacks is left out
        exclude = None if self.chrom == "chr3" else self.exclude
        return metrics.evaluate_tracks(signal, self.deep, score=score, exclude=exclude, **options)

    def rows(self, model, name: str, depths=DEPTHS) -> tuple[pd.DataFrame, pd.DataFrame]:
        """Scores of raw, Gaussian and model at every depth: whole and by block."""
        inputs = {"real 5M": (5e6, self.shallow)}
        inputs |= {f"{d / 1e6:g}M": (d, thinned(self.deep, d / 80e6)) for d in depths}
        whole, blocks = [], []
        for label, (depth, sites) in inputs.items():
            for method, (signal, score) in self.methods(model, name, sites, depth).items():
                for found, by in ((whole, "group"), (blocks, "block")):
                    table = self.score(signal, score, by)
                    found.append(table.assign(method=method, input=label, depth=depth))
        return pd.concat(whole), pd.concat(blocks)

    def methods(self, model, name: str, sites: sca.Tracks, depth: float) -> dict:
        where = {self.deep.genome.code(self.chrom): self.region[["start", "end"]].to_numpy(np.int64)}
        run = {"depth": [depth], "regions": where, "n_jobs": 1, "progress": False}
        gaussian, _ = predict(sca.models.Gaussian(), sites, rounding=FINE, **run)
        return {"raw": (coverage(sites, 100), None), "gaussian": (gaussian, None), name: predict(model, sites, **run)}


def report_hsc(whole: pd.DataFrame, blocks: pd.DataFrame, name: str) -> None:
    """Print scores, paired differences and equivalent reads."""
    columns = ["auprc", "auroc", "pearson", "pearson_outside", "mse_scaled", "f1", "f1_max"]
    shown = whole.set_index(["input", "method"])[columns].copy()
    for method in ("raw", "gaussian"):
        shown.loc[(slice(None), method), "f1"] = np.nan
    print(shown.round(4).to_string(), "\n")
    print(f"{name} minus Gaussian, AUPRC, paired over 1-Mb blocks; equivalent raw reads by AUPRC (thinned inputs)")
    raw = whole[(whole["method"] == "raw") & (whole["input"] != "real 5M")]
    curve = (np.append(raw["depth"], 8e7), np.append(raw["auprc"], 0.991)) if len(raw) else None
    for label in dict.fromkeys(whole["input"]):
        part = blocks[blocks["input"] == label]
        both = [part.loc[part["method"] == m, "auprc"].to_numpy() for m in (name, "gaussian")]
        d = metrics.paired_bootstrap(*both)
        score, depth = whole.loc[(whole["input"] == label) & (whole["method"] == name), ["auprc", "depth"]].iloc[0]
        gain = metrics.equivalent_reads(score, *curve) / depth if curve else float("nan")
        interval = f"{d['difference']:+.4f} [{d['low']:+.4f}, {d['high']:+.4f}]"
        print(f"  {label:>8}: {interval}, better in {d['n_better']}/{d['n_blocks']}; {gain:.1f}x the reads")


class Blood:
    """Real single cells of four types, in windows of chromosomes that were not trained on."""

    def __init__(self) -> None:
        folder = DATA / "pbmc10k_windows"
        self.type_of = pd.read_csv(folder / "cells.tsv", sep="\t").set_index("barcode")["celltype"]
        names = ["chrom", "start", "end", "barcode", "count"]
        fragments = pd.read_csv(folder / "fragments.tsv.gz", sep="\t", header=None, names=names)
        fragments = fragments[fragments["barcode"].isin(self.type_of.index)]
        windows = pd.read_csv(folder / "windows.bed", sep="\t", header=None, names=["chrom", "start", "end"])
        self.per_type = 2 * fragments["barcode"].map(self.type_of).value_counts()
        self.depth_of = self.per_type * 3.1e9 / float((windows["end"] - windows["start"]).sum())
        windows = windows[windows["chrom"].isin(BLOOD_HELD_OUT)]
        self.windows = windows.assign(start=windows["start"] + 200, end=windows["end"] - 200)
        self.fragments = fragments[fragments["chrom"].isin(BLOOD_HELD_OUT)]
        every = self.tracks({kind: self.type_of.index[self.type_of == kind] for kind in TYPES})
        self.open = {kind: self.dense(coverage(every, 100), kind) >= self.cutoff(kind, 1.0) for kind in TYPES}

    def cutoff(self, kind: str, share: float) -> float:
        """Coverage that makes a peak: 14 at 80 M cut sites, as in the HSC labels, for a share of a type's cells."""
        return 14 * self.depth_of[kind] * share / 80e6

    def tracks(self, sets: dict) -> sca.Tracks:
        """Cut sites of sets of cells."""
        genome = sca.Genome("hg38")
        return sca.Tracks.from_chromosomes(list(sets), genome, ((c, self._runs(c, sets)) for c in self._chroms(genome)))

    def _chroms(self, genome: sca.Genome) -> list[str]:
        return [c for c in genome.chroms if c in BLOOD_HELD_OUT]

    def _runs(self, chrom: str, sets: dict) -> list:
        part = self.fragments[self.fragments["chrom"] == chrom]
        runs = []
        for cells in sets.values():
            own = part[part["barcode"].isin(cells)]
            sites, counts = np.unique(np.concatenate([own["start"], own["end"] - 1]), return_counts=True)
            runs.append((sites.astype(np.int32), None, counts.astype(np.uint16)))
        return runs

    def dense(self, tracks: sca.Tracks, group: str) -> np.ndarray:
        """Values of all scored windows, one after the other."""
        places = self.windows.itertuples(index=False)
        return np.concatenate([tracks.window(group, w.chrom, w.start, w.end) for w in places])

    def draw(self, model, name: str, kind: str, n: int, seed: int) -> list[dict]:
        """Scores of one draw of cells against the type's other cells."""
        order = np.random.default_rng(seed).permutation(self.type_of.index[self.type_of == kind])
        sets = {"few": order[:n], "rest": order[n:], "many": order[n : n + 400], "rest_of_many": order[n + 400 :]}
        tracks = self.tracks(sets)
        genome = tracks.genome
        where = {genome.code(c): r[["start", "end"]].to_numpy(np.int64) for c, r in self.windows.groupby("chrom")}
        run = {"depth": [self.depth_of[kind] * n / len(order)], "regions": where, "n_jobs": 1, "progress": False}
        few, boxes = tracks.select(["few"]), coverage(tracks, 100)
        signal, probability = predict(model, few, **run)
        scores = {
            "raw": (boxes, boxes),
            "gaussian": (predict(sca.models.Gaussian(), few, rounding=FINE, **run)[0],) * 2,
            name: (signal, probability),
        }
        rows = []
        for method, pair in scores.items():
            dense = [self.dense(t, "few") for t in pair]
            rows.append({"cells": n, "method": method, **self.compare(kind, dense, boxes, "rest", 1 - n / len(order))})
        if len(order) > 900:
            dense = [self.dense(boxes, "many")] * 2
            share = 1 - (n + 400) / len(order)
            found = self.compare(kind, dense, boxes, "rest_of_many", share)
            rows.append({"cells": n, "method": "raw, 400 cells", **found})
        return [{"type": kind, **row} for row in rows]

    def compare(self, kind: str, dense: list, boxes: sca.Tracks, truth: str, share: float) -> dict[str, float]:
        """AUPRC of all peaks and of those open in no other type, and correlation."""
        clean = self.dense(boxes, truth)
        label = clean >= self.cutoff(kind, share)
        elsewhere = np.any([mask for other, mask in self.open.items() if other != kind], axis=0)
        specific = ~label | ~elsewhere
        return {
            "auprc": metrics.auprc(label, dense[1]),
            "auprc_specific": metrics.auprc(label[specific], dense[1][specific]),
            "pearson": metrics.pearson(clean, dense[0]),
        }


def report_blood(model, name: str, n_draws: int = 3) -> None:
    """Draw 10 and 50 cells of each type and print mean scores."""
    blood = Blood()
    draws = [(kind, n, 100 + i) for kind in TYPES for n in (10, 50) for i in range(n_draws)]
    table = pd.DataFrame([row for kind, n, seed in draws for row in blood.draw(model, name, kind, n, seed)])
    print(
        "\nBlood cells, windows of",
        ", ".join(BLOOD_HELD_OUT),
        "- mean over",
        len(TYPES),
        "types and",
        n_draws,
        "draws;",
    )
    print("auprc_specific: only peaks that are open in none of the other types (400 cells: the two largest types)")
    print(table.drop(columns="type").groupby(["cells", "method"], sort=False).mean().round(4).to_string())


def train(args: argparse.Namespace) -> sca.models.BinnedUNet:
    """Train on the HSC split (or a rotation of it)."""
    data = HSC(args.rotate)
    others = [c for c in GENOME if c != args.rotate]
    settings = {"epochs": args.epochs} | ({"steps": args.steps} if args.steps else {})
    if args.train == "paper":
        settings |= {"core_bp": 24_000, "batch_size": 4, "epochs": 7, "steps": 7 * 177}
    result = sca.tl.train(
        data.deep,
        noisy=data.shallow,
        depth=80e6,
        noisy_depth=5e6,
        peaks=data.peaks,
        regions=[f"{c}:0-{END}" for c in others],
        validation=[f"{others[-1]}:7,992,000-{END}"],
        holdout=[],
        exclude=data.exclude,
        model="ResNet" if args.train == "paper" else args.architecture,
        recipe=args.train,
        settings=settings,
        out=args.out,
        seed=args.seed,
        resume=args.resume,
    )
    print(result.history.round(4).to_string())
    return result.model


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", default="accessibility-holdout")
    parser.add_argument("--train", choices=["default", "paper"])
    parser.add_argument("--architecture", default="BinnedUNet")
    parser.add_argument("--steps", type=int)
    parser.add_argument("--epochs", type=int, default=10)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--rotate", default="chr3", choices=list(GENOME))
    parser.add_argument("--out", type=Path)
    parser.add_argument("--resume", action="store_true")
    parser.add_argument("--no-blood", action="store_true")
    parser.add_argument("--quick", action="store_true")
    args = parser.parse_args()
    started = time.perf_counter()
    model = train(args) if args.train else sca.models.load(args.model)
    name = model.card["name"]
    held_out = HSC(args.rotate, 2_000_000 if args.quick else END)
    whole, blocks = held_out.rows(model, name, () if args.quick else DEPTHS)
    report_hsc(whole, blocks, name)
    if not (args.no_blood or args.quick):
        report_blood(model, name)
    print(f"\n{time.perf_counter() - started:.0f} s")


if __name__ == "__main__":
    main()
