"""Make the bundled weights: teachers, the network that learns from them, and its guide.

    python -m benchmarks.bundled judged --out run       # for judging: chr3 and the windows of four chromosomes held out
    python -m benchmarks.bundled all --out run          # what is shipped: the same on all data
    python -m benchmarks.bundled chr1 --out run         # another chromosome held out (no teachers)

Minutes on a GPU; on one thread of a CPU half an hour for the network, as long for its guide, and more for the teachers.
Teachers and stages of the guide that are in the folder are used again; with ``--guide-only`` the network is, too. The
result is the file that is called as the split.
Data: the folder in SCA_SHARED_DATA. Prints scores on bins of 8 bp (quick, and a little kinder than those per base of
``benchmarks/accuracy.py``).
"""

from __future__ import annotations

import argparse
import dataclasses
import time
from pathlib import Path

import pandas as pd
import torch

from benchmarks.bundled.data import HSC, SPLITS, Blood
from benchmarks.bundled.guide import GuideSettings, fit_guide
from benchmarks.bundled.network import NetworkSettings, fit
from benchmarks.bundled.scoring import GuideScorer, Scorer, line
from benchmarks.bundled.targets import BloodTargets, encode_targets
from benchmarks.bundled.versions import DrawSettings
from scatacworks import models
from scatacworks.models.checkpoint import fingerprint
from scatacworks.models.guide import without_guide

LONG = {"dilations": (1, 2, 4, 8, 16, 1)}  # of the teachers: 10 kb of context, where the default has 6
MIXED = DrawSettings(pairs=0.4, real=0.35, blood=0.15)
TEACHERS = {
    "wide": (LONG | {"channels": (64, 96, 128)}, NetworkSettings(steps=1293)),
    "pairs": (LONG, NetworkSettings(steps=897, draw=DrawSettings(pairs=0.5, real=0.4))),
}
STUDENT = NetworkSettings(steps=1100, teacher=0.5, average=0.9985, draw=MIXED)
ALONE = NetworkSettings(steps=900, draw=MIXED)
GUIDE = (  # one after the other
    GuideSettings(closed_signal=1.0),
    GuideSettings(closed_signal=2.0, rate=1e-3),
    GuideSettings(closed_signal=5.0, rate=5e-4, steps=800),
    GuideSettings(closed_signal=8.0, rate=7e-4, steps=1500, noisy=0.4, kept=64),
)
N_MADE_UP = 32  # targets of the guide


class Training:
    """Data on a device, and what is trained on it, into a folder.

    Parameters
    ----------
    split
        A key of :data:`~benchmarks.bundled.data.SPLITS`.
    out
        Folder of the weights.
    device, seed
        Where everything lies, and the seed of everything.
    quick
        Take a few updates, to see that all works.
    """

    def __init__(self, split: str, out: Path, device: torch.device, seed: int, *, quick: bool) -> None:
        self.split, self.out, self.device, self.seed, self.quick = split, out, device, seed, quick
        self.started = time.perf_counter()
        self.hsc = HSC.read(SPLITS[split], device, seed)
        self.held_out = Blood.read(device, held_out=True)
        self.blood = Blood.read(device, held_out=None if split == "all" else False)
        self.scorer = Scorer(self.hsc, self.held_out, split, draws=2 if quick else 6)
        out.mkdir(parents=True, exist_ok=True)

    def network(
        self, name: str, shape: dict, settings: NetworkSettings, teachers: list[models.BinnedUNet] | None = None
    ) -> models.BinnedUNet:
        """Train, save and score a network."""
        if self.quick:
            draw = dataclasses.replace(settings.draw, kept=6)
            settings = dataclasses.replace(settings, steps=3, batch=2, draw=draw)
        torch.manual_seed(self.seed)
        fresh = models.BinnedUNet(models.BinnedUNetConfig(**shape))
        found = fit(fresh, self.hsc, self.blood, settings, seed=self.seed, teachers=teachers, log=name)
        models.save(found, self.out / f"{name}.safetensors")
        print(f"{name}: {line(self.scorer.all(found))} after {self.seconds:.0f} s", flush=True)
        return found

    def teachers(self) -> list[models.BinnedUNet]:
        """Networks in the folder, or trained."""
        found = []
        for name, (shape, settings) in TEACHERS.items():
            path = self.out / f"{name}.safetensors"
            found.append(models.load(path).to(self.device) if path.exists() else self.network(name, shape, settings))
        return found

    def guide(self, network: models.BinnedUNet) -> None:
        """Train, save and score a guide."""
        targets, rows = encode_targets(self.hsc, 2 if self.quick else N_MADE_UP, self.seed)
        cells = BloodTargets(self.blood, network)
        guided = network
        for stage, chosen in enumerate(GUIDE):
            path = self.out / f"{'quick-' * self.quick}{self.split}-{self.seed}-{stage}.safetensors"
            if path.exists():
                guided = models.load(path).to(self.device)
                if fingerprint(without_guide(guided)) != fingerprint(network):
                    msg = f"{path} is of another network; remove it, or choose another folder"
                    raise ValueError(msg)
                continue
            settings = dataclasses.replace(chosen, steps=3, batch=2, kept=4, calibration=1) if self.quick else chosen
            guided = fit_guide(guided, targets, cells, settings, seed=self.seed + stage, log=f"guide {stage}")
            models.save(guided, path)
        models.save(guided, self.out / f"{self.split}.safetensors")
        if "hold" in self.scorer.spans:
            scores = GuideScorer(self.scorer, rows, BloodTargets(self.held_out, guided).rows)
            with pd.option_context("display.width", 250, "display.max_columns", 30):
                print(scores.hsc(guided).round(4), scores.blood(guided).round(4), sep="\n")

    @property
    def seconds(self) -> float:
        """Seconds since the beginning."""
        return time.perf_counter() - self.started


def main() -> None:
    """Read the command line and train."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("split", choices=list(SPLITS))
    parser.add_argument("--out", type=Path, required=True, help="folder of the weights")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu")
    parser.add_argument("--quick", action="store_true", help="a few updates, to see that all works")
    parser.add_argument("--guide-only", action="store_true", help="for the network of the split in the folder")
    args = parser.parse_args()
    torch.backends.cuda.matmul.allow_tf32 = torch.backends.cudnn.allow_tf32 = True
    torch.backends.cudnn.benchmark = True
    run = Training(args.split, args.out, torch.device(args.device), args.seed, quick=args.quick)
    name = f"network-{args.split}"
    if args.guide_only:
        network = models.load(run.out / f"{name}.safetensors").to(run.device)
    elif args.split.startswith("chr"):
        network = run.network(name, {}, ALONE)
    else:
        network = run.network(name, {}, STUDENT, run.teachers())
    run.guide(network)
    print(f"{args.split} done after {run.seconds:.0f} s", flush=True)


if __name__ == "__main__":
    main()
