"""Denoising end to end on one thread: the default model, skipping, and the paper's network in every formulation."""

from __future__ import annotations

import os
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import torch

import scatacworks as sca
from benchmarks.harness import Row, compare
from scatacworks import models
from scatacworks.models import _framed, conv
from scatacworks.models.predict import predict

if TYPE_CHECKING:
    from collections.abc import Iterator

TERRITORY = 3.1e9


def cut_sites(depth: float, n_bases: int, seed: int = 0) -> sca.Tracks:
    """Cut sites of one group on one chromosome at a depth (sites per 3.1e9 bp).

    Real ones (a bulk sample of 80 million reads, thinned) where the shared data are at hand, else 40 % in peaks.
    """
    rng = np.random.default_rng(seed)
    folder = Path(os.environ.get("SCA_SHARED_DATA", Path(__file__).parents[2] / "shared" / "data"))
    real = folder / "atacworks_hsc" / "HSC.80M.cut_sites.bedGraph.gz"
    if real.exists():
        at = _tiled(real, n_bases)
        kept = rng.random(len(at)) < depth * n_bases / TERRITORY / len(at)
        at = at[kept]
    else:
        n = int(depth * n_bases / TERRITORY)
        centers = rng.integers(1000, n_bases - 1000, n_bases // 20_000)
        inside = rng.choice(centers, int(0.4 * n)) + rng.normal(0, 150, int(0.4 * n)).astype(np.int64)
        at = np.concatenate([np.clip(inside, 0, n_bases - 1), rng.integers(0, n_bases, n - len(inside))])
    at, counts = np.unique(at.astype(np.int32), return_counts=True)
    genome = sca.Genome({"chr1": n_bases})
    return sca.Tracks.from_chromosomes(["g"], genome, [(0, [(at, None, counts.astype(np.uint32))])])


def _tiled(path: Path, n_bases: int) -> np.ndarray:
    """Sites of the real 30 Mb, repeated as often as needed."""
    import pandas as pd

    table = pd.read_csv(path, sep="\t", header=None, usecols=[0, 1, 3], names=["chrom", "at", "n"])
    offset = {chrom: i * 10_000_000 for i, chrom in enumerate(sorted(table["chrom"].unique()))}
    at = np.repeat(table["at"] + table["chrom"].map(offset), table["n"]).to_numpy(np.int64)
    copies = -(-n_bases // 30_000_000)
    at = np.concatenate([at + i * 30_000_000 for i in range(copies)])
    return at[at < n_bases]


@contextmanager
def formulation(method: str) -> Iterator[None]:
    """Compute every wide convolution by one formulation, layer by layer."""
    usable, choose = _framed.usable, conv.choose
    _framed.usable = lambda *_: False
    conv.choose = lambda _x, weight, _d: method if weight.shape[-1] > 1 else "direct"
    try:
        yield
    finally:
        _framed.usable, conv.choose = usable, choose


def formulated(model: models.ResNet, x: torch.Tensor, method: str) -> tuple[torch.Tensor, torch.Tensor]:
    """The bare network in one formulation."""
    with formulation(method):
        return model.denoise(x)


def rows(size: str) -> list[Row]:
    """Run on one thread; `large` uses more bases."""
    torch.set_num_threads(1)
    n_bases = 60_000_000 if size == "large" else 6_000_000
    return [*_default_model(n_bases), *_resnet(), _training_step()]


def _default_model(n_bases: int) -> list[Row]:
    model, paper = models.load("default"), models.ResNet().eval()
    options = {"n_jobs": 1, "progress": False, "device": "cpu"}
    dense, sparse = cut_sites(5e6, n_bases), cut_sites(2e5, n_bases)
    chunk = torch.rand(1, 1, 120_000) * 3

    def reference() -> None:
        with torch.inference_mode():
            formulated(paper, chunk, "direct")

    row = compare(
        "default model, 5 M cut sites, end to end, 1 thread",
        lambda: predict(model, dense, depth=[5e6], **options),
        reference,
        reference_name="the paper's ResNet, torch conv1d, network only",
        work=n_bases / 1e6,
        unit="Mb/s",
    )
    row.reference_seconds *= n_bases / chunk.shape[-1]  # timed on a part; its cost is proportional to length
    skipped = compare(
        "default model, 0.2 M cut sites, skipping",
        lambda: predict(model, sparse, depth=[2e5], **options),
        lambda: predict(model, sparse, depth=[2e5], skip=False, **options),
        reference_name="the same without skipping",
        check=_difference,
        work=n_bases / 1e6,
        unit="Mb/s",
    )
    return [row, skipped]


def _difference(ours: tuple, reference: tuple) -> str:
    """Fraction of bases at which stored tracks differ; they may at a rounding border only."""
    different = n = 0
    for a, b in zip(ours, reference, strict=True):
        size = int(a.genome.lengths[0])
        different += int((a.window("g", "chr1", 0, size) != b.window("g", "chr1", 0, size)).sum())
        n += size
    if different > 1e-5 * n:
        msg = f"{different} of {n} bases differ"
        raise AssertionError(msg)
    return f"{different} of {n:,} stored values differ"


def _resnet() -> list[Row]:
    model = models.ResNet().eval()
    x = torch.rand(1, 1, 60_000) * 5
    truth = _in_float64(model, x)
    found = []
    for name in ("view", "fft", "frames"):
        run = model.denoise if name == "frames" else lambda x, name=name: formulated(model, x, name)
        found.append(_one_formulation(name, run, model, x, truth))
    return found


def _in_float64(model: models.ResNet, x: torch.Tensor) -> torch.Tensor:
    with torch.no_grad():
        truth = formulated(model.double(), x.double(), "direct")[1]
    model.float()
    return truth


def _one_formulation(name: str, run: object, model: models.ResNet, x: torch.Tensor, truth: torch.Tensor) -> Row:
    def ours() -> torch.Tensor:
        with torch.no_grad():
            return run(x)[1]

    def reference() -> torch.Tensor:
        with torch.no_grad():
            return formulated(model, x, "direct")[1]

    def check(a: torch.Tensor, b: torch.Tensor) -> str:
        errors = [float((y.double() - truth).norm() / truth.norm()) for y in (a, b)]
        return f"error against float64 {errors[0]:.1e}, torch's own {errors[1]:.1e}"

    label = {"view": "image view", "fft": "FFT per layer", "frames": "FFT kept in frames"}[name]
    options = {"reference_name": "torch conv1d dilation 8", "check": check, "work": 0.06, "unit": "Mb/s"}
    return compare(f"ResNet, {label}, 1 thread", ours, reference, **options)


def _training_step() -> Row:
    """Time gradients of the published network, as its training takes them."""
    torch.manual_seed(0)
    model, x = models.ResNet(), torch.rand(1, 1, 60_000) * 5

    def ours() -> torch.Tensor:
        model.zero_grad()
        signal, logit = model.denoise(x)
        (signal.square().mean() + logit.square().mean()).backward()
        return torch.cat([p.grad.flatten() for p in model.parameters()])

    def reference() -> torch.Tensor:
        with formulation("direct"):
            return ours()

    def check(a: torch.Tensor, b: torch.Tensor) -> str:
        difference = float((a - b).norm() / b.norm())
        if difference > 1e-4:
            msg = f"gradients differ by {difference:.1e}"
            raise AssertionError(msg)
        return f"gradients differ by {difference:.1e} in norm"

    return compare(
        "ResNet, forward and backward, 1 thread",
        ours,
        reference,
        reference_name="torch conv1d dilation 8",
        check=check,
        work=0.06,
        unit="Mb/s",
    )
