"""Scores of a network on bins, on the device: quick enough to look at every few seconds of training."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import torch

from benchmarks.bundled.data import BIN, HOLD_OUT, HSC, VALIDATION, Blood

if TYPE_CHECKING:
    from collections.abc import Callable

    from torch import Tensor

END = 9_984_000
CORE = 131_072
TYPES = ("CD14+ Monocytes", "CD4 naive T", "CD8 naive T", "memory B")


def auprc(label: Tensor, score: Tensor) -> float:
    """Average precision; ties are broken by order, which hardly matters for float scores."""
    order = torch.argsort(score, descending=True)
    hit = label[order].double()
    found = hit.cumsum(0)
    return float(((found / torch.arange(1, len(hit) + 1, device=hit.device)) * hit).sum() / hit.sum())


def correlation(x: Tensor, y: Tensor) -> float:
    x, y = x.double() - x.double().mean(), y.double() - y.double().mean()
    return float((x * y).sum() / (x.square().sum() * y.square().sum()).sqrt())


def scaled_error(target: Tensor, signal: Tensor) -> float:
    """Squared error after the best scale."""
    x, y = signal.double(), target.double()
    return float((y - x * ((x * y).sum() / x.square().sum())).square().mean())


@torch.no_grad()
def run(
    model, counts: Tensor, depth: float, span: tuple[int, int], extra: Callable | None = None
) -> tuple[Tensor, ...]:
    """Outputs on the bins `[first, last)` of an axis, from counts per bin of the whole axis."""
    first, last = span
    halo, core, margin = model.halo // BIN, CORE // BIN, model.margin
    starts = torch.arange(first, last, core, device=counts.device)
    found: list[tuple[Tensor, ...]] = []
    for part in starts.split(16):
        index = part[:, None] - halo + torch.arange(core + 2 * halo, device=counts.device)
        index = index.clamp(0, len(counts) - 1)
        given = [counts[index][:, None].float(), torch.full((len(part),), float(depth), device=counts.device)]
        out = model(*given) if extra is None else model.guided(*given, extra(index))
        found.append(tuple(values[:, margin:-margin].float().flatten() for values in out))
    return tuple(torch.cat(column)[: last - first] for column in zip(*found, strict=True))


class Scorer:
    """Fixed inputs of validation and hold-out."""

    def __init__(self, hsc: HSC, blood: Blood, split: str, draws: int = 6) -> None:
        self.hsc, self.blood = hsc, blood
        self.spans = {}
        if split in VALIDATION:
            axis = hsc.axis
            at = {chrom: int(s) for (chrom, _), s in zip(axis.names, axis.starts, strict=True)}
            chrom, a, b = VALIDATION[split]
            self.spans["val"] = ((at[chrom] + a) // BIN, (at[chrom] + b) // BIN)
            self.spans["hold"] = (at[HOLD_OUT[split]] // BIN, (at[HOLD_OUT[split]] + END) // BIN)
        state = torch.random.get_rng_state()
        torch.manual_seed(12_345)
        self.inputs = [("real", 5e6, hsc.real[0])]
        for name, depth, n in (
            ("20M", 2e7, 1),
            ("5M", 5e6, 2),
            ("1M", 1e6, draws // 2),
            ("0.2M", 2e5, draws),
            ("0.05M", 5e4, draws),
        ):
            self.inputs += [(name, depth, hsc.deep.thinned(depth, 0, pairs=False)) for _ in range(n)]
        self.inputs += [("0.2Mp", 2e5, hsc.deep.thinned(2e5, 0, pairs=True)) for _ in range(draws)]
        generator = torch.Generator().manual_seed(1)
        self.cells = [
            (n, kind, blood.split(kind, n, 0, generator)) for kind in TYPES for n in (10, 50) for _ in range(draws)
        ]
        torch.random.set_rng_state(state)
        self.unknown = torch.from_numpy(hsc.unknown[: hsc.axis.n_bins * BIN].reshape(-1, BIN).any(1)).to(hsc.device)

    def hsc_scores(self, predict: Callable) -> dict[str, float]:
        """`predict(counts, depth, span)` -> signal, logit."""
        sums: dict[str, list[float]] = {}
        target, label = self.hsc.deep.target[0], self.hsc.deep.label[0] >= 0.5
        for where, (first, last) in self.spans.items():
            for name, depth, counts in self.inputs:
                if where == "val" and name == "0.05M":
                    continue
                signal, logit = predict(counts, depth, (first, last))[:2]
                keep = ~self.unknown[first:last]
                y, t, s, z = (v[keep] for v in (label[first:last], target[first:last], signal, logit))
                row = {"ap": auprc(y, z), "r": correlation(t, s), "mse": scaled_error(t, s)}
                if name == "real":
                    called = z > 0
                    row |= {
                        "out": correlation(t[~y], s[~y]),
                        "f1": float(2 * (called & y).sum() / (called.sum() + y.sum())),
                    }
                for key, value in row.items():
                    sums.setdefault(f"{where} {name} {key}", []).append(value)
        return {key: float(np.mean(values)) for key, values in sums.items()}

    def blood_scores(self, predict: Callable) -> dict[str, float]:
        sums: dict[str, list[float]] = {}
        keep = self.blood.mask > 0
        for n, _, found in self.cells:
            signal, logit = predict(found["counts"], found["depth"], (0, self.blood.axis.n_bins))[:2]
            y = found["label"][keep] >= 0.5
            sums.setdefault(f"blood{n} ap", []).append(auprc(y, logit[keep]))
            sums.setdefault(f"blood{n} r", []).append(correlation(found["target"][keep], signal[keep]))
        return {key: float(np.mean(values)) for key, values in sums.items()}

    def all(self, model) -> dict[str, float]:
        model.eval()

        def predict(counts: Tensor, depth: float, span: tuple[int, int]) -> tuple[Tensor, ...]:
            return run(model, counts, depth, span)

        return self.hsc_scores(predict) | self.blood_scores(predict)


KEYS = (
    "hold real ap",
    "hold real mse",
    "hold real r",
    "hold real out",
    "hold real f1",
    "hold 20M mse",
    "hold 20M ap",
    "hold 1M ap",
    "hold 0.2M ap",
    "hold 0.2Mp ap",
    "hold 0.05M ap",
    "blood10 ap",
    "blood50 ap",
    "blood50 r",
    "val real ap",
    "val real mse",
    "val 1M ap",
    "val 0.2M ap",
)


def line(scores: dict[str, float]) -> str:
    return " ".join(f"{key.replace(' ', '.')}={scores[key]:.4g}" for key in KEYS if key in scores)


__all__ = ["KEYS", "Scorer", "auprc", "correlation", "line", "run", "scaled_error"]
