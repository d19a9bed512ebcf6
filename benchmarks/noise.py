"""Noisy libraries: a share of the cut sites lies anywhere, as of damaged nuclei and free DNA.

    python -m benchmarks.noise                          # three depths, four shares, with and without a prior
    python -m benchmarks.noise --inputs 5 --model PATH  # million cut sites; another model

HSC hold-out, truth and priors as in ``guided.py``. The HSC's 80 M cut sites are thinned to what the noise leaves of the
depth; the others are drawn with one rate all over the three chromosomes, but for kilobases where the 80 M have none.
FRiP is the share of cut sites in the peaks of the 80 M reads. The signal is judged against the coverage of these, which
are not noisy. ``expected`` precision is what the model's own probabilities say of its calls at 0.5.
"""

from __future__ import annotations

import argparse
import warnings

import numpy as np
import pandas as pd

import scatacworks as sca
from benchmarks.accuracy import END, thinned
from benchmarks.guided import Guided
from scatacworks._core.territory import REFERENCE_BP
from scatacworks.models import Gaussian
from scatacworks.prior import Guidance
from scatacworks.tl._denoising._baselines import coverage

DEPTHS, SHARES = {"5": 5e6, "1": 1e6, "0.2": 2e5}, (0.0, 0.25, 0.5, 0.75)
BLOCK = 1000  # bp; where the deep sample has no cut site in one, nothing can be read
COLUMNS = ["FRiP", "auprc", "pearson", "pearson_outside", "mse_scaled", "f1", "f1_max", "precision", "expected"]
GUARDS = ["auprc_bare", "closed@0.5", "closed@0.6", "closed@0.8", "closed_coverage"]


def noisy(deep: sca.Tracks, depth: float, share: float, seed: int = 3) -> sca.Tracks:
    """Cut sites of a library of that depth (per 3.1e9 bp), of which a share lies anywhere."""
    rng = np.random.default_rng(seed)
    clean = thinned(deep, depth * (1 - share) / 80e6, seed=seed)
    chromosomes = []
    for chrom, length in zip(deep.genome.chroms, deep.genome.lengths, strict=True):
        positions, _, counts = clean.runs(0, chrom)
        blocks = np.zeros(length // BLOCK + 1, bool)
        blocks[deep.runs(0, chrom)[0] // BLOCK] = True
        dense = rng.poisson(depth * share / REFERENCE_BP, length) * np.repeat(blocks, BLOCK)[:length]
        dense[positions] += counts.astype(dense.dtype)
        positions = np.flatnonzero(dense).astype(np.int32)
        chromosomes.append((chrom, [(positions, None, dense[positions].astype(np.uint16))]))
    return sca.Tracks.from_chromosomes(deep.groups, deep.genome, chromosomes)


def rows(data: Guided, model, name: str, depth: float, share: float):
    """Scores of all methods on one library."""
    sites = noisy(data.deep, depth, share)
    positions, _, counts = sites.runs(0, data.chrom)
    inside = positions < END
    frip = counts[inside][data.label[positions[inside]]].sum() / counts[inside].sum()
    common = {"input": name, "noise": share, "FRiP": frip}
    for method, signal in (("raw", coverage(sites, 100)), ("gaussian", data.run(Gaussian(), sites, depth)[0])):
        yield common | {"method": method} | data.score(signal, None, "group").iloc[0].drop("f1").to_dict()
    guides = {"unguided": None} | {f"guided, {k}": Guidance.make(prior, sites) for k, prior in data.priors.items()}
    for method, guidance in guides.items():
        signal, score = data.run(model, sites, depth, guidance)
        values = score.window("HSC", data.chrom, 0, END)
        called = values >= 0.5
        calls = {"precision": data.label[called].mean(), "expected": values[called].mean()}
        yield common | {"method": method} | calls | data.row(signal, score)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", default="accessibility-holdout")
    parser.add_argument("--inputs", nargs="*", choices=list(DEPTHS), default=list(DEPTHS))
    args = parser.parse_args()
    warnings.filterwarnings("ignore", category=UserWarning)  # the depth is of a genome, the data of three chromosomes
    data, model = Guided(), sca.models.load(args.model)
    for name in args.inputs:
        found = [row for share in SHARES for row in rows(data, model, name, DEPTHS[name], share)]
        table = pd.DataFrame(found).set_index(["input", "noise", "method"])[COLUMNS + GUARDS]
        print(table.round(3).to_string(), "\n", flush=True)


if __name__ == "__main__":
    main()
