"""Scores of a network on bins, on the device: quick, and a little kinder than those per base of ``accuracy.py``."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
import torch

from benchmarks.accuracy import END, TYPES
from benchmarks.bundled.data import BIN, HOLD_OUT, HSC_SHALLOW, VALIDATION
from benchmarks.bundled.prior import stacked, trust
from benchmarks.guided import BLOOD, CD34, CLOSED, COMMON, RECALLS

if TYPE_CHECKING:
    from collections.abc import Callable

    from torch import Tensor

    from benchmarks.bundled.data import HSC, Blood
    from benchmarks.bundled.prior import Rows
    from scatacworks.models import BinnedUNet

CORE = 131_072  # bp
SEED = 12_345  # of what is thinned
LEAST = "0.05M"  # the depth that the validation leaves out
GUIDED_INPUTS = ("real", "1M", "0.2M")


def auprc(label: Tensor, score: Tensor) -> float:
    """Average precision; ties are broken by order, which hardly matters for float scores."""
    order = torch.argsort(score, descending=True)
    hit = label[order].double()
    found = hit.cumsum(0)
    return float(((found / torch.arange(1, len(hit) + 1, device=hit.device)) * hit).sum() / hit.sum())


def correlation(x: Tensor, y: Tensor) -> float:
    """Pearson's correlation."""
    x, y = x.double() - x.double().mean(), y.double() - y.double().mean()
    return float((x * y).sum() / (x.square().sum() * y.square().sum()).sqrt())


def scaled_error(target: Tensor, signal: Tensor) -> float:
    """Squared error after the best scale."""
    x, y = signal.double(), target.double()
    return float((y - x * ((x * y).sum() / x.square().sum())).square().mean())


def f1(label: Tensor, called: Tensor) -> float:
    """Harmonic mean of precision and recall."""
    return float(2 * (called & label).sum() / (called.sum() + label.sum()))


@torch.no_grad()
def run(
    model: BinnedUNet, counts: Tensor, depth: float, span: tuple[int, int], prior: Callable | None = None
) -> tuple[Tensor, ...]:
    """Outputs on the bins `[first, last)` of an axis, from counts per bin of the whole axis.

    `prior` returns channels of a prior, (n_windows, 6, n_bins), from bins of windows, (n_windows, n_bins).
    """
    first, last = span
    halo, core, margin = model.halo // BIN, CORE // BIN, model.margin
    starts = torch.arange(first, last, core, device=counts.device)
    found: list[tuple[Tensor, ...]] = []
    for part in starts.split(16):
        index = part[:, None] - halo + torch.arange(core + 2 * halo, device=counts.device)
        index = index.clamp(0, len(counts) - 1)
        given = [counts[index][:, None].float(), torch.full((len(part),), float(depth), device=counts.device)]
        out = model(*given) if prior is None else model.guided(*given, prior(index))
        found.append(tuple(values[:, margin:-margin].float().flatten() for values in out))
    return tuple(torch.cat(column)[: last - first] for column in zip(*found, strict=True))


class Scorer:
    """Fixed inputs of validation and hold-out.

    Parameters
    ----------
    hsc, blood
        What is scored.
    split
        A key of :data:`~benchmarks.bundled.data.SPLITS`; the HSC is scored where it leaves something out.
    draws
        Inputs of a kind.
    """

    def __init__(self, hsc: HSC, blood: Blood, split: str, draws: int = 6) -> None:
        self.hsc, self.blood = hsc, blood
        self.spans: dict[str, tuple[int, int]] = {}  # bins
        if split in VALIDATION:
            at = {chrom: int(s) for (chrom, _), s in zip(hsc.axis.names, hsc.axis.starts, strict=True)}
            where = {"val": VALIDATION[split], "hold": (HOLD_OUT[split], 0, END)}
            self.spans = {name: ((at[c] + a) // BIN, (at[c] + b) // BIN) for name, (c, a, b) in where.items()}
        torch.manual_seed(SEED)  # every training sets its own
        kinds = [("20M", 2e7, 1), ("5M", 5e6, 2), ("1M", 1e6, draws // 2), ("0.2M", 2e5, draws), (LEAST, 5e4, draws)]
        self.inputs = [("real", HSC_SHALLOW, hsc.real[0])]
        for name, depth, n in kinds:
            self.inputs += [(name, depth, hsc.deep.thinned(depth, 0, pairs=False)) for _ in range(n)]
        self.inputs += [("0.2Mp", 2e5, hsc.deep.thinned(2e5, 0, pairs=True)) for _ in range(draws)]
        generator = torch.Generator().manual_seed(1)
        self.cells = [
            (n, name, blood.split(name, n, 0, generator)) for name in TYPES for n in (10, 50) for _ in range(draws)
        ]
        self.known = torch.from_numpy(~hsc.unknown.reshape(-1, BIN).any(1)).to(hsc.device)

    def hsc_scores(self, model: BinnedUNet) -> dict[str, float]:
        """Mean scores by place, input and score."""
        found: dict[str, list[float]] = {}
        for where, (first, last) in self.spans.items():
            keep = self.known[first:last]
            label = (self.hsc.deep.label[0, first:last] >= 0.5)[keep]
            target = self.hsc.deep.target[0, first:last][keep]
            for name, depth, counts in self.inputs:
                if where == "val" and name == LEAST:
                    continue
                signal, logit = (values[keep] for values in run(model, counts, depth, (first, last)))
                row = {
                    "ap": auprc(label, logit),
                    "r": correlation(target, signal),
                    "mse": scaled_error(target, signal),
                }
                if name == "real":
                    row["out"], row["f1"] = correlation(target[~label], signal[~label]), f1(label, logit > 0)
                for key, value in row.items():
                    found.setdefault(f"{where} {name} {key}", []).append(value)
        return {key: float(np.mean(values)) for key, values in found.items()}

    def blood_scores(self, model: BinnedUNet) -> dict[str, float]:
        """Mean scores by number of cells and score."""
        found: dict[str, list[float]] = {}
        keep = self.blood.mask > 0
        for n, _, drawn in self.cells:
            signal, logit = run(model, drawn["counts"], drawn["depth"], (0, self.blood.axis.n_bins))
            label = drawn["label"][keep] >= 0.5
            found.setdefault(f"blood{n} ap", []).append(auprc(label, logit[keep]))
            found.setdefault(f"blood{n} r", []).append(correlation(drawn["target"][keep], signal[keep]))
        return {key: float(np.mean(values)) for key, values in found.items()}

    def all(self, model: BinnedUNet) -> dict[str, float]:
        """All scores of a network, in evaluation mode."""
        return self.hsc_scores(model) | self.blood_scores(model)


class GuideScorer:
    """The hold-out with two priors, and blood cells guided by the others.

    Parameters
    ----------
    scorer
        Inputs, of a split with a hold-out.
    rows, blood_rows
        Priors of the HSC and of the blood types.
    """

    def __init__(self, scorer: Scorer, rows: Rows, blood_rows: Rows) -> None:
        self.scorer, self.rows, self.blood_rows = scorer, rows, blood_rows
        names = np.array(rows.names)
        self.priors = {"nonblood": ~np.isin(names, BLOOD), "noCD34": names != CD34}
        inside = slice(*scorer.spans["hold"])
        deep, open_elsewhere = scorer.hsc.deep, rows.fraction(self.priors["nonblood"])[inside]
        self.label, self.target = deep.label[0][inside] >= 0.5, deep.target[0][inside]
        self.is_closed = (open_elsewhere > COMMON) & ~self.label & (self.target <= CLOSED)
        self.is_bare = open_elsewhere == 0

    def hsc(self, model: BinnedUNet) -> pd.DataFrame:
        """Mean scores by input and prior.

        ``bare`` is the AUPRC where no sample of the prior is open; ``cov`` and ``cl`` are the signal, and the
        percentage called at a recall, where many are and the target is closed.
        """
        found = []
        for name, depth, counts in self.scorer.inputs:
            if name not in GUIDED_INPUTS:
                continue
            given = {"none": None} | {prior: weighed(self.rows, counts, use) for prior, use in self.priors.items()}
            for prior, channels in given.items():
                signal, logit = run(model, counts, depth, self.scorer.spans["hold"], channels)[:2]
                found.append({"input": name, "prior": prior} | self._row(signal, logit))
        return pd.DataFrame(found).groupby(["input", "prior"], sort=False).mean()

    def _row(self, signal: Tensor, logit: Tensor) -> dict[str, float]:
        """Scores of one track of the hold-out."""
        label, closed = self.label, self.is_closed
        highest = torch.sort(logit[label], descending=True).values
        cutoffs = {recall: highest[int(recall * len(highest)) - 1] for recall in RECALLS}
        return {
            "ap": auprc(label, logit),
            "bare": auprc(label[self.is_bare], logit[self.is_bare]),
            "mse": scaled_error(self.target, signal),
            "out": correlation(self.target[~label], signal[~label]),
            "cov": float(signal[closed].mean()),
            **{
                f"cl{recall}": 100 * float((logit[closed] >= least).float().mean()) for recall, least in cutoffs.items()
            },
            "f1": f1(label, torch.sigmoid(logit) > 0.5),
        }

    def blood(self, model: BinnedUNet) -> pd.DataFrame:
        """Mean scores by number of cells and prior; ``specific`` leaves out peaks that another type shares."""
        found, blood = [], self.scorer.blood
        keep, span = blood.mask > 0, (0, blood.axis.n_bins)
        for n, name, drawn in self.scorer.cells:
            label = drawn["label"][keep] >= 0.5
            others = np.array([other != name for other in blood.types])
            shared = self.blood_rows.fraction(others & np.isin(blood.types, TYPES))[keep] > 0
            specific = ~label | ~shared
            for prior, channels in (("none", None), ("self", weighed(self.blood_rows, drawn["counts"], others))):
                signal, logit = (v[keep] for v in run(model, drawn["counts"], drawn["depth"], span, channels)[:2])
                scores = {
                    "ap": auprc(label, logit),
                    "specific": auprc(label[specific], logit[specific]),
                    "r": correlation(drawn["target"][keep], signal),
                }
                found.append({"cells": n, "prior": prior} | scores)
        return pd.DataFrame(found).groupby(["cells", "prior"]).mean()


def weighed(rows: Rows, counts: Tensor, use: np.ndarray) -> Callable[[Tensor], Tensor]:
    """Rows of a prior weighed by the cut sites per bin of an axis, as :func:`run` takes them."""
    bins = torch.arange(len(counts), device=counts.device)
    weights, explained = rows.match(torch.repeat_interleave(bins, counts.long()) * BIN + BIN // 2, use)
    maps = rows.channels(weights)

    def at(index: Tensor) -> Tensor:
        values = (int(use.sum()), explained, trust(explained))
        scalars = (torch.full((len(index),), float(value), device=index.device) for value in values)
        return stacked(maps[:, index].transpose(0, 1), *scalars)

    return at


PRINTED = (
    *("hold real ap", "hold real mse", "hold real r", "hold real out", "hold real f1", "hold 20M mse", "hold 20M ap"),
    *("hold 1M ap", "hold 0.2M ap", "hold 0.2Mp ap", "hold 0.05M ap", "blood10 ap", "blood50 ap", "blood50 r"),
    *("val real ap", "val real mse", "val 1M ap", "val 0.2M ap"),
)


def line(scores: dict[str, float]) -> str:
    """The scores that matter most, in one line."""
    return " ".join(f"{key.replace(' ', '.')}={scores[key]:.4g}" for key in PRINTED if key in scores)
