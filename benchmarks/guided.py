"""What a prior adds, on real data: the judged model with and without it, what it paints, controls and cost.

    python -m benchmarks.guided                     # HSC hold-out at three depths, controls, cost, blood cells
    python -m benchmarks.guided --no-blood          # HSC only
    python -m benchmarks.guided --inputs 0.2        # one depth (real, or million cut sites)

Data: the folder in SCA_SHARED_DATA (``atacworks_hsc``, ``encode_dnase_125``, ``pbmc10k_windows``). HSC as in
``accuracy.py``, with priors from peaks of the 125 ENCODE samples: without any of blood, and without CD34+ cells (the
target itself) alone. Closed-common bases are open in more than a fifth of the non-blood samples, in no peak of the
80 M reads, and have at most 6 of their cut sites within 100 bp: a prior must not paint them. Blood cells: few cells of
a type guided by the peaks of the other types, ``prior="self"``, and by those of the deep ones. Values are stored more
finely than usual, so that no ranks are lost.
"""

from __future__ import annotations

import argparse
import time
import warnings

import numpy as np
import pandas as pd

import scatacworks as sca
from benchmarks.accuracy import DATA, END, GENOME, HSC, TYPES, Blood, thinned
from scatacworks import metrics
from scatacworks.models import Rounding
from scatacworks.models.predict import predict
from scatacworks.prior import Guidance
from scatacworks.tl._denoising._baselines import coverage

BLOOD = [
    "DukeCll",
    "DukeGm12891",
    "DukeGm12892",
    "DukeGm18507",
    "DukeGm19238",
    "DukeGm19239",
    "DukeGm19240",
    "DukeTh0",
    "UwCd20",
    "UwCd34mobilized",
    "UwCmk",
    "UwGm06990",
    "UwGm12864",
    "UwGm12865",
    "UwHl60",
    "UwJurkat",
    "UwMonocytescd14ro01746",
    "UwNb4",
    "UwTh2",
    "UwdukeGm12878",
    "UwdukeK562",
    "UwdukeTh1",
]
CD34 = "UwCd34mobilized"
FINE = Rounding(signal=0.01, logit=0.002, lowest=1e-6)
INPUTS = {"real": 5e6, "1": 1e6, "0.2": 2e5}
WEIGHTS = (0.25, 0.5, 0.75, 1.0)
RECALLS = (0.5, 0.6, 0.8)
COMMON, CLOSED = 0.2, 6  # fraction of non-blood samples; coverage at 80 M
SHIFT = 3_000_000  # bp, for a prior of the wrong region
GUIDED, GUIDED_DEEP = "guided by the others", "guided by the deep others"
SHALLOW = 1e7  # cut sites per genome of a type whose peaks are not trusted
LEAST_PEAK_BP = 200  # of a window in which an AUPRC is read


def encode_peaks() -> pd.DataFrame:
    """Peaks of the 125 samples on the chromosomes at hand."""
    names = ["chrom", "start", "end", "sample", "signal"]
    table = pd.read_csv(DATA / "encode_dnase_125" / "peaks.bed.gz", sep="\t", header=None, names=names)
    return table[table["chrom"].isin(GENOME) & (table["end"] <= table["chrom"].map(GENOME))]


def moved(peaks: pd.DataFrame) -> pd.DataFrame:
    """Put all peaks to another place of their chromosome, round its end."""
    size = peaks["chrom"].map(GENOME)
    start = (peaks["start"] + SHIFT) % size
    shifted = peaks.assign(start=start, end=start + peaks["end"] - peaks["start"])
    return shifted[shifted["end"] <= size]


class Guided(HSC):
    """The HSC hold-out with priors."""

    def __init__(self) -> None:
        super().__init__("chr3")
        self.encode = encode_peaks()
        self.samples = list(pd.read_csv(DATA / "encode_dnase_125" / "samples.tsv", sep="\t")["sample"])
        self.priors = {"non-blood": self.prior(exclude=BLOOD), "all but CD34": self.prior(exclude=[CD34])}
        fraction = self.priors["non-blood"].fraction(self.chrom, 0, END)
        deep = coverage(self.deep, 100).window("HSC", self.chrom, 0, END)
        self.label = np.zeros(END, bool)
        for start, end in self.peaks.loc[self.peaks["chrom"] == self.chrom, ["start", "end"]].to_numpy():
            self.label[start:end] = True
        self.closed = (fraction > COMMON) & ~self.label & (deep <= CLOSED)
        self.without_element = fraction == 0

    def prior(self, *, exclude: list[str], peaks: pd.DataFrame | None = None) -> sca.Prior:
        return sca.tl.prior(self.encode if peaks is None else peaks, exclude=exclude, genome=GENOME)

    def sites(self, name: str) -> sca.Tracks:
        order = (self.chrom, *(c for c in GENOME if c != self.chrom))
        return self.shallow if name == "real" else thinned(self.deep, INPUTS[name] / 80e6, order=order)

    def run(self, model, sites: sca.Tracks, depth: float, guidance: Guidance | None = None, rounding=FINE) -> tuple:
        where = {self.deep.genome.code(self.chrom): self.region[["start", "end"]].to_numpy(np.int64)}
        options = {"n_jobs": 1, "progress": False, "rounding": rounding, "guidance": guidance}
        return predict(model, sites, depth=[depth], regions=where, **options)[:2]

    def auprc(self, score: sca.Tracks) -> float:
        return metrics.auprc(self.label, score.window("HSC", self.chrom, 0, END))

    def row(self, signal: sca.Tracks, score: sca.Tracks) -> dict[str, float]:
        """All scores of one run."""
        columns = ["auprc", "auroc", "pearson", "pearson_outside", "mse_scaled", "f1", "f1_max"]
        found = self.score(signal, score, "group").iloc[0][columns].to_dict()
        values = score.window("HSC", self.chrom, 0, END)
        bare = self.without_element
        found["auprc_bare"] = metrics.auprc(self.label[bare], values[bare])
        inside, outside = np.sort(values[self.label])[::-1], values[self.closed]
        for recall in RECALLS:
            found[f"closed@{recall}"] = 100 * float((outside >= inside[int(recall * len(inside)) - 1]).mean())
        return found | {"closed_coverage": float(signal.window("HSC", self.chrom, 0, END)[self.closed].mean())}

    def prior_alone(self, guidance: Guidance) -> dict[str, float]:
        """AUPRC of the prior itself, all samples counting the same and weighed by the cut sites."""
        steps, values = guidance.channels(0, self.deep.genome.code(self.chrom))
        dense = np.repeat(values[:, :2], np.diff(np.append(steps, GENOME[self.chrom])), axis=0)[:END]
        return {name: metrics.auprc(self.label, dense[:, i]) for i, name in enumerate(("flat", "matched"))}


def report_trade_off(data: Guided, model, names: list[str]) -> None:
    """Scores by depth, prior and weight of the prior."""
    print(f"{int(data.closed.sum()):,} closed-common bases; closed@r: percent of them called at recall r")
    rows = []
    for name in names:
        sites, depth = data.sites(name), INPUTS[name]
        rows.append({"input": name, "prior": "none", "weight": 0.0} | data.row(*data.run(model, sites, depth)))
        for kind, prior in data.priors.items():
            guidance = Guidance.make(prior, sites)
            alone = {k: f"{v:.4f}" for k, v in data.prior_alone(guidance).items()}
            share = guidance.weights[0, np.isin(prior.rows, BLOOD)].sum() / guidance.weights[0].sum()
            print(f"{name}, {kind}: explained {guidance.explained[0]:.3f}, blood {share:.3f}, prior alone {alone}")
            for weight in WEIGHTS:
                weighed = Guidance(prior, guidance.weights, guidance.explained, weight)
                found = data.row(*data.run(model, sites, depth, weighed))
                rows.append({"input": name, "prior": kind, "weight": weight} | found)
    table = pd.DataFrame(rows).set_index(["input", "prior", "weight"])
    print(table.round(4).to_string(), "\n", flush=True)


def report_controls(data: Guided, model, names: list[str]) -> None:
    """Priors of few samples and of the wrong region."""
    others = [i for i, name in enumerate(data.samples) if name != CD34]
    priors = {"wrong region": data.prior(exclude=[CD34], peaks=moved(data.encode))}
    for n in (1, 10, 50):
        kept = set(np.random.default_rng(1).choice(others, n, replace=False))
        priors[f"{n} samples"] = data.prior(exclude=[name for i, name in enumerate(data.samples) if i not in kept])
    rows = []
    for name in names:
        sites, depth = data.sites(name), INPUTS[name]
        plain = data.auprc(data.run(model, sites, depth)[1])
        for kind, prior in priors.items():
            guidance = Guidance.make(prior, sites)
            scores = {"unguided": plain, "guided": data.auprc(data.run(model, sites, depth, guidance)[1])}
            known = {"explained": guidance.explained[0], "trust": guidance.trust(0)}
            rows.append({"input": name, "prior": kind} | known | scores)
    print(pd.DataFrame(rows).set_index(["input", "prior"]).round(4).to_string(), "\n", flush=True)


def report_cost(data: Guided, model, names: list[str], repeats: int = 3) -> None:
    """CPU seconds of the hold-out with and without a prior, by turns, one thread."""
    for name in names:
        sites, depth = data.sites(name), INPUTS[name]
        guidance = Guidance.make(data.priors["all but CD34"], sites)
        taken = {"unguided": [], "guided": []}
        for _ in range(repeats):
            for kind, given in (("unguided", None), ("guided", guidance)):
                started = time.process_time()
                data.run(model, sites, depth, given, Rounding())
                taken[kind].append(time.process_time() - started)
        median = {kind: float(np.median(values)) for kind, values in taken.items()}
        ratio = median["guided"] / median["unguided"]
        print(f"cost, {name}: {median['unguided']:.2f} and {median['guided']:.2f} CPU s, {ratio:.2f}x")


class GuidedBlood(Blood):
    """Few cells of a type, guided by the other types.

    The prior is that of ``prior="self"``, the other groups' peaks; as they are the same for all draws, they are called
    once.
    """

    def __init__(self, model) -> None:
        super().__init__()
        folder = DATA / "pbmc10k_windows"
        options = {"genome": "hg38", "barcodes": folder / "cells.tsv", "in_memory": True, "progress": False}
        self.adata = sca.io.read_fragments(folder / "fragments.tsv.gz", **options)
        self.adata.obs["type"] = self.type_of.reindex(self.adata.obs_names).astype("category")
        everywhere = sca.io.read_peaks(folder / "windows.bed")
        self.run = {"model": model, "regions": everywhere, "rounding": FINE, "n_jobs": 1, "progress": False}
        sca.pp.pseudobulk(self.adata, "type", progress=False)
        sca.tl.denoise(self.adata, **self.run)
        sca.tl.call_peaks(self.adata)
        self.prior = sca.tl.prior(self.adata, genome="hg38")

    def draw(self, name: str, kind: str, n: int, seed: int) -> list[dict]:
        """Scores of one draw of cells with and without the others: of all windows (`window` -1) and of each."""
        order = np.random.default_rng(seed).permutation(self.type_of.index[self.type_of == kind])
        share = n / len(order)
        boxes = coverage(self.tracks({"rest": order[n:]}), 100)
        label = self.dense(boxes, "rest") >= self.cutoff(kind, 1 - share)
        drawn = self.adata[order[:n]].copy()
        drawn.obs["set"] = "few"
        sca.pp.pseudobulk(drawn, "set", progress=False)
        rows = []
        others = self.prior.exclude([kind])
        shallow = [row for row in others.rows if self.depth_of[row] < SHALLOW]
        for method, prior in ((name, None), (GUIDED, others), (GUIDED_DEEP, others.exclude(shallow))):
            sca.tl.denoise(drawn, depth=self.depth_of[kind] * share, prior=prior, **self.run)
            layers = (sca.get.tracks(drawn, key="denoised", layer=layer) for layer in ("signal", "probability"))
            dense = [self.dense(tracks, "few") for tracks in layers]
            common = {"type": kind, "cells": n, "seed": seed, "method": method}
            rows.append(common | {"window": -1} | self.compare(kind, dense, boxes, "rest", 1 - share))
            rows += [common | found for found in self.by_window(label, dense[1])]
        return rows

    def by_window(self, label: np.ndarray, score: np.ndarray) -> list[dict]:
        """AUPRC in every window with enough of a peak."""
        ends = (self.windows["end"] - self.windows["start"]).cumsum().to_numpy()
        parts = [slice(a, b) for a, b in zip(np.append(0, ends[:-1]), ends, strict=True)]
        good = [i for i, part in enumerate(parts) if label[part].sum() >= LEAST_PEAK_BP]
        return [{"window": i, "auprc": metrics.auprc(label[parts[i]], score[parts[i]])} for i in good]


def report_blood(model, name: str, n_draws: int) -> None:
    """Draw 10 and 50 cells of each type; mean scores, and differences paired over windows."""
    blood = GuidedBlood(model)
    draws = [(kind, n, 100 + i) for kind in TYPES for n in (10, 50) for i in range(n_draws)]
    table = pd.DataFrame([row for kind, n, seed in draws for row in blood.draw(name, kind, n, seed)])
    print(f"Blood cells, unseen windows: mean over {len(TYPES)} types and {n_draws} draws")
    columns = ["auprc", "auprc_specific", "pearson"]
    whole = table[table["window"] < 0]
    print(whole.groupby(["cells", "method"], sort=False)[columns].mean().round(4).to_string())
    for n, part in whole.groupby("cells"):
        for column in columns[:2]:
            by_draw = part.pivot_table(column, ["type", "seed"], "method", sort=False)
            report_difference(f"{n} cells, {column}, over draws", by_draw, name)
        windows = table[(table["window"] >= 0) & (table["cells"] == n)]
        by_window = windows.pivot_table("auprc", "window", "method", sort=False)
        report_difference(f"{n} cells, auprc of a window (mean over draws), over windows", by_window, name)


def report_difference(title: str, scores: pd.DataFrame, name: str) -> None:
    """Print the gain by guidance over the pairs of a table."""
    for method in (GUIDED, GUIDED_DEEP):
        d = metrics.paired_bootstrap(scores[method], scores[name])
        interval = f"{d['difference']:+.4f} [{d['low']:+.4f}, {d['high']:+.4f}]"
        print(f"  {title}, {method}: {interval}, better in {d['n_better']}/{d['n_blocks']}")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", default="accessibility-holdout")
    parser.add_argument("--inputs", nargs="*", choices=list(INPUTS), default=list(INPUTS))
    parser.add_argument("--no-controls", action="store_true")
    parser.add_argument("--no-blood", action="store_true")
    parser.add_argument("--draws", type=int, default=3)
    args = parser.parse_args()
    started = time.perf_counter()
    warnings.filterwarnings("ignore", category=UserWarning)  # windows deeper than genomes, priors of one sample
    model = sca.models.load(args.model)
    if args.inputs:
        data = Guided()
        report_trade_off(data, model, args.inputs)
        if not args.no_controls:
            report_controls(data, model, args.inputs)
            report_cost(data, model, args.inputs)
    if not args.no_blood:
        report_blood(model, model.card["name"], args.draws)
    print(f"\n{time.perf_counter() - started:.0f} s")


if __name__ == "__main__":
    main()
