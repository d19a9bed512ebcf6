"""Every variant of the networks on a GPU: checked against the CPU in float32, then timed; nothing to build by hand.

    python -m benchmarks.gpu [--bases 300000000] [--json FILE] [--device cuda]

runs on any CUDA device and, with `--device cpu --bases 16384 --core 16384`, on a CPU to see that all variants work.
Rates are of the network alone (inputs and outputs stay on the device; "graph" rows include the copies); the last rows
are `predict`, from cut sites to tracks on the host.
"""

from __future__ import annotations

import argparse
import json
import time
from contextlib import nullcontext
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import torch

from benchmarks.denoise import cut_sites, formulation
from scatacworks import models
from scatacworks.models._engine import Engine
from scatacworks.models.predict import predict

if TYPE_CHECKING:
    from collections.abc import Callable

CORE = 131_072


def rows(size: str) -> list[dict]:
    """Rows of the table where a CUDA device is at hand, else none."""
    if not torch.cuda.is_available():
        return []
    return run(torch.device("cuda"), 3_100_000_000 if size == "large" else 200_000_000)


def run(device: torch.device, n_bases: int, core: int = CORE) -> list[dict]:
    """Check and time all variants."""
    found = []
    for name, model in (("default", models.load("default")), ("ResNet", models.ResNet().eval())):
        batch_size = max(1, min(n_bases, 16_777_216 if model.bin_size > 1 else 4_194_304) // core)
        counts, depth = _batch(model, batch_size, core)
        with torch.no_grad():
            truth = model(counts[:1], depth[:1])
        base = None
        for label, step in _variants(model, device, counts, depth):
            try:
                row = _measure(f"{name}, {label}", step, truth, batch_size * core, device)
            except (RuntimeError, ImportError) as error:  # one variant that a machine lacks must not stop the others
                found.append({"path": f"{name}, {label}", "seconds": float("nan"), "check": f"not run: {error}"[:200]})
                continue
            base = base or row["seconds"]
            row |= {"reference": "first row", "reference_seconds": base, "ratio": base / row["seconds"]}
            found.append(row)
        found += _end_to_end(name, model.float().to("cpu"), device, n_bases)
    return found


def _batch(model: models.BinnedUNet, n: int, core: int) -> tuple[torch.Tensor, torch.Tensor]:
    rng = np.random.default_rng(0)
    n_bins = (core + 2 * model.halo) // model.bin_size
    counts = rng.poisson(5e6 / 3.1e9 * model.bin_size, (n, 1, n_bins)).astype(np.float32)
    return torch.from_numpy(counts), torch.full((n,), 5e6)


def _variants(
    model: models.BinnedUNet, device: torch.device, counts: torch.Tensor, depth: torch.Tensor
) -> list[tuple[str, Callable]]:
    """Label and a function that runs one batch on the device."""
    model.to(device)
    x, d = counts.to(device), depth.to(device)
    cuda = device.type == "cuda"
    found: list[tuple[str, Callable]] = []

    def eager(*, amp: bool = False, tf32: bool = True, method: str | None = None) -> Callable:
        def step() -> tuple[torch.Tensor, torch.Tensor]:
            torch.backends.cudnn.allow_tf32 = tf32
            half = torch.autocast(device.type, torch.bfloat16) if amp else nullcontext()
            with torch.inference_mode(), half, formulation(method) if method else nullcontext():
                return model(x, d)

        return step

    if isinstance(model, models.ResNet):
        found.append(("conv1d float32", eager(tf32=False, method="direct")))
        found += [(f"{m} TF32", eager(method=m)) for m in ("direct", "view", "fft")]
        found += [(f"{m} bfloat16", eager(amp=True, method=m)) for m in ("direct", "view")]
    else:
        found += [("float32", eager(tf32=False)), ("TF32", eager()), ("bfloat16", eager(amp=True))]
    if cuda:
        found += [(f"graph, {kind}", _graph(model, amp, counts, depth)) for kind, amp in (("TF32", 0), ("bfloat16", 1))]
        found.append(("compiled, bfloat16", _compiled(model, x, d)))
    return found


def _graph(model: models.BinnedUNet, amp: int, counts: torch.Tensor, depth: torch.Tensor) -> Callable:
    """The engine's own path, copies from and to the host included."""
    engine = Engine(model, amp=bool(amp), pad_to=len(counts))
    return lambda: tuple(torch.from_numpy(v) for v in engine(counts.numpy(), depth.numpy()))


def _compiled(model: models.BinnedUNet, x: torch.Tensor, d: torch.Tensor) -> Callable:
    compiled = torch.compile(model, mode="max-autotune-no-cudagraphs")

    def step() -> tuple[torch.Tensor, torch.Tensor]:
        with torch.no_grad(), torch.autocast(x.device.type, torch.bfloat16):
            return compiled(x, d)

    return step


def _measure(label: str, step: Callable, truth: tuple, bases: int, device: torch.device) -> dict:
    """Error of the first window against the CPU in float32, and the best of five times."""
    wait = torch.cuda.synchronize if device.type == "cuda" else lambda: None
    first = [values[:1].float().cpu() for values in step()]
    errors = [float((a - b).norm() / b.norm()) for a, b in zip(first, truth, strict=True)]
    times = []
    for _ in range(5 if device.type == "cuda" else 1):
        wait()
        start = time.perf_counter()
        step()
        wait()
        times.append(time.perf_counter() - start)
    check = f"relative error of signal {errors[0]:.1e}, logit {errors[1]:.1e}"
    return {
        "path": label,
        "seconds": min(times),
        "throughput": bases / min(times) / 1e6,
        "unit": "Mb/s",
        "check": check,
    }


def _end_to_end(name: str, model: models.BinnedUNet, device: torch.device, n_bases: int) -> list[dict]:
    """Cut sites to tracks on the host."""
    sites = cut_sites(5e6, n_bases)
    found = []
    for amp in (False, True):
        options = {"depth": [5e6], "device": device, "amp": amp, "progress": False}
        predict(model, cut_sites(5e6, min(n_bases, 10_000_000)), **options)
        start = time.perf_counter()
        signal, probability = predict(model, sites, **options)
        seconds = time.perf_counter() - start
        label = f"{name}, cut sites to tracks, {'bfloat16' if amp else 'float32'}"
        check = f"{signal.n_runs + probability.n_runs:,} runs"
        row = {"path": label, "seconds": seconds, "throughput": n_bases / seconds / 1e6, "unit": "Mb/s", "check": check}
        found.append(row)
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--bases", type=int, default=300_000_000)
    parser.add_argument("--device", default="cuda")
    parser.add_argument("--core", type=int, default=CORE, help="bp per window")
    parser.add_argument("--json", type=Path)
    arguments = parser.parse_args()
    device = torch.device(arguments.device)
    print(torch.cuda.get_device_name() if device.type == "cuda" else "CPU", torch.__version__)
    found = run(device, arguments.bases, arguments.core)
    for row in found:
        rate = f"{row['throughput']:,.1f} Mb/s" if "throughput" in row else ""
        ratio = f"{row['ratio']:.2f}x" if "ratio" in row else ""
        print(f"| {row['path']} | {row['seconds']:.3f} s | {rate} | {ratio} | {row['check']} |")
    if arguments.json:
        arguments.json.write_text(json.dumps(found, indent=1))


if __name__ == "__main__":
    main()
