"""Make the bundled weights: teachers, the network that learns from them, and its guide.

    python -m benchmarks.bundled judged --out run       # for judging: chr3 and the windows of four chromosomes held out
    python -m benchmarks.bundled all --out run          # what is shipped: the same on all data
    python -m benchmarks.bundled chr1 --out run         # another chromosome held out (network only)

Minutes on a GPU; on a CPU, hours. Teachers in the folder are used again. Data: the folder in SCA_SHARED_DATA. Prints
scores on bins of 8 bp (quick, and a little kinder than those per base of ``benchmarks/accuracy.py``).
"""

from __future__ import annotations

import argparse
import time
from pathlib import Path

import pandas as pd
import torch

from benchmarks.bundled.data import HSC, SPLITS, Blood, DrawSettings
from benchmarks.bundled.guide import BloodTargets, GuideScorer, GuideSettings, encode_targets, fit_guide
from benchmarks.bundled.network import Settings, fit
from benchmarks.bundled.scoring import Scorer, line
from scatacworks import models

SHORT = (1, 2, 4, 8, 1)  # dilations of the network: 6 kb of context
TEACHERS = {
    "wide": ({"channels": (64, 96, 128), "dilations": (1, 2, 4, 8, 16, 1)}, Settings(steps=1293)),
    "pairs": ({"dilations": (1, 2, 4, 8, 16, 1)}, Settings(steps=897, draw=DrawSettings(pairs=0.5, real=0.4))),
}
STUDENT = Settings(steps=1100, teacher=0.5, average=0.9985, draw=DrawSettings(pairs=0.4, real=0.35, blood=0.15))
ALONE = Settings(steps=900, draw=DrawSettings(pairs=0.4, real=0.35, blood=0.15))
GUIDE = GuideSettings(steps=1000)


def network(**config) -> models.BinnedUNet:
    """A network with fresh weights."""
    return models.BinnedUNet(models.BinnedUNetConfig(**config))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("split", choices=list(SPLITS))
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu")
    parser.add_argument("--quick", action="store_true", help="a few updates, to see that all works")
    args = parser.parse_args()
    started = time.perf_counter()
    torch.backends.cuda.matmul.allow_tf32 = torch.backends.cudnn.allow_tf32 = True
    torch.backends.cudnn.benchmark = True
    device = torch.device(args.device)
    few = {"steps": 3, "batch": 2} if args.quick else {}
    hsc = HSC(SPLITS[args.split], device, args.seed)
    held = Blood(device, held_out=True)
    blood = Blood(device, held_out=None if args.split == "all" else False)
    scorer = Scorer(hsc, held, args.split, draws=2 if args.quick else 6)
    args.out.mkdir(parents=True, exist_ok=True)

    def trained(name: str, config: dict, settings: Settings, teachers: list | None = None) -> models.BinnedUNet:
        torch.manual_seed(args.seed)
        chosen = Settings(**(vars(settings) | few))
        if args.quick:
            chosen.draw = DrawSettings(**(vars(settings.draw) | {"kept": 6}))
        found = fit(network(**config), hsc, blood, chosen, seed=args.seed, teachers=teachers, log=name)
        models.save(found, args.out / f"{name}.safetensors")
        print(f"{name}: {line(scorer.all(found))} after {time.perf_counter() - started:.0f} s", flush=True)
        return found

    if args.split.startswith("chr"):
        trained(f"network-{args.split}", {"dilations": SHORT}, ALONE)
        return
    teachers = []
    for name, (config, settings) in TEACHERS.items():
        path = args.out / f"{name}.safetensors"
        teachers.append(models.load(path).to(device) if path.exists() else trained(name, config, settings))
    student = trained(f"network-{args.split}", {"dilations": SHORT}, STUDENT, teachers)
    targets, rows = encode_targets(hsc, 2 if args.quick else 32, args.seed)
    cells = BloodTargets(blood, student)
    settings = GuideSettings(**(vars(GUIDE) | few | ({"kept": 4} if args.quick else {})))
    guided = fit_guide(student, targets, cells, settings, seed=args.seed, log="guide")
    models.save(guided, args.out / f"{args.split}.safetensors")
    pd.set_option("display.width", 250, "display.max_columns", 30)
    if args.split == "judged":
        scores = GuideScorer(scorer, rows, BloodTargets(held, guided).rows)
        print(scores.hsc(guided).round(4).to_string())
        print(scores.blood(guided).round(4).to_string())
    print(f"{args.split} done after {time.perf_counter() - started:.0f} s", flush=True)


if __name__ == "__main__":
    main()
