"""Both networks on a GPU: every variant checked and timed, whole genomes from cut sites to tracks, and where time goes.

    python -m benchmarks.gpu --quick            # less than a minute
    python -m benchmarks.gpu --json gpu.json    # about two

    python -m benchmarks.gpu --device cpu --core 8192 --bases 1e6     # that everything runs, without a GPU

Nothing has to be built by hand. A variant that fails is reported and does not stop the others. Rates of "network" rows
are of the network alone, inputs and outputs on the device; "genome" rows go from cut sites to tracks on the host, in
memory, warmed up. Ratios are to torch's dilated `conv1d` in float32 on the same GPU ("conv1d") and to the 22 minutes
on eight V100 that the paper reports for a genome ("paper").

Cut sites are those of 30 Mb of a bulk sample, thinned and repeated along hg38, where SCA_SHARED_DATA names the folder
that holds them, else made up.
"""

from __future__ import annotations

import argparse
import json
import os
import time
import traceback
from contextlib import contextmanager, nullcontext
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import torch

import scatacworks as sca
from benchmarks.denoise import TERRITORY, cut_sites, formulation
from benchmarks.harness import Row
from scatacworks import models
from scatacworks.models import _blocked, _device
from scatacworks.models._engine import forward
from scatacworks.models._plan import batches, make_group_tape
from scatacworks.models._predictor import Predictor
from scatacworks.models.predict import output_scale, predict, run_all, to_tracks

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from types import ModuleType

    from scatacworks.models.base import Model

PAPER_SECONDS = 22 * 60
GENOME = sum(sca.Genome("hg38").lengths[:24].tolist())


def paper_network() -> models.ResNet:
    """The published shape with random weights; their values do not change the work."""
    torch.manual_seed(0)
    return models.ResNet().eval()


NETWORKS = {"default": lambda: models.load("default"), "ResNet": paper_network}


class Bench:
    """Collects rows; every measurement is on its own."""

    def __init__(self, device: torch.device, core: int, *, quick: bool) -> None:
        self.device, self.core, self.quick = device, core, quick
        self.cuda = device.type == "cuda"
        self.rows: list[dict] = []
        self.details: dict = {}
        self.began = time.perf_counter()

    def wait(self) -> None:
        """Wait for all that was queued on the device."""
        if self.cuda:
            torch.cuda.synchronize()

    @contextmanager
    def attempt(self, path: str) -> Iterator[dict]:
        """A row that is kept even if what fills it fails."""
        row: dict = {"path": path}
        try:
            yield row
        except Exception as error:  # one variant must not stop the others
            row |= {"seconds": float("nan"), "check": f"FAILED: {type(error).__name__}: {str(error)[:160]}"}
            self.details.setdefault("failures", {})[path] = traceback.format_exc()
        self.rows.append(row)
        print(f"[{time.perf_counter() - self.began:6.1f} s] {line(row)}", flush=True)
        if self.cuda:
            torch.cuda.empty_cache()

    def seconds(self, step: Callable, repeats: int) -> float:
        """Median time of one call, after one that is not counted."""
        step()
        self.wait()
        times = []
        for _ in range(repeats):
            start = time.perf_counter()
            step()
            self.wait()
            times.append(time.perf_counter() - start)
        return float(np.median(times))


# -- the networks alone ------------------------------------------------------------------------------------------------


def network_rows(bench: Bench, name: str) -> None:
    """Time the variants of one network on a batch that fills the device."""
    model = NETWORKS[name]()
    bases = min((16 if model.bin_size > 1 else 4) << 20, bench.core * 2 if not bench.cuda else 1 << 30)
    n = max(1, bases // bench.core)
    counts, depth = some_windows(model, n, bench.core)
    with torch.inference_mode():
        truth = [values[0] for values in model(counts[:1], depth[:1])]
    model.to(bench.device)
    inputs = counts.to(bench.device), depth.to(bench.device)
    baseline = None
    for label, slow, step in variants(model, bench):
        with bench.attempt(f"network: {name}, {label}") as row:
            some = tuple(values[: max(1, n // 4)] for values in inputs) if slow else inputs
            found = [values[0].float().cpu() for values in step(*some)]
            seconds = bench.seconds(lambda step=step, some=some: step(*some), 2 if slow or not bench.cuda else 5)
            row["rate"] = len(some[0]) * bench.core / seconds / 1e6
            row["seconds"], row["work"] = GENOME / 1e6 / row["rate"], "of a genome"
            errors = [float((a - b).norm() / b.norm()) for a, b in zip(found, truth, strict=True)]
            row["errors"], row["check"] = errors, f"error of signal {errors[0]:.1e}, logit {errors[1]:.1e}"
            baseline = baseline or row["seconds"]
            if name == "ResNet":
                row["conv1d"] = baseline / row["seconds"]
    if bench.cuda:
        with bench.attempt(f"profile: {name}, bfloat16") as row:
            bench.details[f"profile {name}"] = row["check"] = profile(model, inputs)
    model.to("cpu")


def some_windows(model: Model, n: int, core: int) -> tuple[torch.Tensor, torch.Tensor]:
    """Counts as of 5 million cut sites a genome, half of them in peaks."""
    rng = np.random.default_rng(0)
    n_bins = (core + 2 * model.halo) // model.bin_size
    mean = 5e6 / TERRITORY * model.bin_size * np.where(rng.random((n, 1, n_bins // 64 + 1)) < 0.02, 25, 0.5)
    counts = rng.poisson(np.repeat(mean, 64, axis=2)[..., :n_bins])
    return torch.from_numpy(counts.astype(np.float32)), torch.full((n,), 5e6)


@contextmanager
def settings(*, tf32: bool = True, tuned: bool = False, kernel: bool = True) -> Iterator[None]:
    """Precision of float32 products, cuDNN's search for algorithms, and whether Triton may be used."""
    triton_conv = _blocked.triton_conv
    before = torch.backends.cudnn.allow_tf32, torch.backends.cudnn.benchmark
    torch.backends.cudnn.allow_tf32, torch.backends.cudnn.benchmark = tf32, tuned
    if not kernel:
        _blocked.triton_conv = lambda: None
    try:
        yield
    finally:
        torch.backends.cudnn.allow_tf32, torch.backends.cudnn.benchmark = before
        _blocked.triton_conv = triton_conv


def variants(model: Model, bench: Bench) -> Iterator[tuple[str, bool, Callable]]:
    """Label, whether it is slow, and a function of a batch; the first is what others are compared with."""

    def make(*, amp: bool = False, method: str | None = None, **options: bool) -> Callable:
        def step(*batch: torch.Tensor) -> tuple[torch.Tensor, ...]:
            with settings(**options), formulation(method) if method else nullcontext():
                return forward(model, batch, amp=amp)

        return step

    if isinstance(model, models.ResNet):
        yield "conv1d float32", True, make(tf32=False, method="direct")
        yield "conv1d TF32", True, make(method="direct")
        yield "view TF32", True, make(method="view")
        yield "view bfloat16", True, make(amp=True, method="view")
        if not bench.quick:
            yield "FFT float32", True, make(method="fft")
            yield "pixels float32", True, make(tf32=False, kernel=False)
        yield "pixels TF32", False, make(kernel=False)
        yield "pixels bfloat16", False, make(amp=True, kernel=False)
        yield "pixels bfloat16, tuned", False, make(amp=True, kernel=False, tuned=True)
        kernels = _blocked.triton_conv() if bench.cuda else None
        if kernels is not None:
            yield "Triton TF32", False, make()
            yield "Triton bfloat16", False, make(amp=True)
            yield from tiled(kernels, make, quick=bench.quick)
    else:
        yield "float32", False, make(tf32=False)
        yield "TF32", False, make()
        yield "bfloat16", False, make(amp=True)
        yield "TF32, tuned", False, make(tuned=True)
        yield "bfloat16, tuned", False, make(amp=True, tuned=True)
    if bench.cuda:
        for amp, label in ((False, "TF32"), (True, "bfloat16")):
            yield f"{label}, graph", False, graphed(model, amp=amp)


def graphed(model: Model, *, amp: bool) -> Callable:
    """Replay a CUDA graph of the network; recorded on first use."""
    kept: list = []

    def step(*batch: torch.Tensor) -> tuple[torch.Tensor, ...]:
        if not kept:
            kept.append(_device.Graph(lambda *own: forward(model, own, amp=amp), batch))
        return kept[0].replay(batch)

    return step


def tiled(kernels: ModuleType, make: Callable, *, quick: bool) -> Iterator[tuple[str, bool, Callable]]:
    """Other ways to cut the work of the Triton kernel."""
    tile = kernels.Tile
    tried = {
        True: [tile(128, 64, 4, 3), tile(128, 64, 8, 4), tile(256, 64, 8, 3), tile(128, 64, 4, 2), tile(256, 32, 8, 4)],
        False: [tile(256, 32, 8, 4), tile(128, 32, 4, 3), tile(256, 32, 8, 3), tile(64, 32, 4, 3)],
    }
    for amp, tiles in tried.items():
        for one in tiles[:2] if quick else tiles:
            yield f"Triton {'bfloat16' if amp else 'TF32'} {tuple(one)}", False, _with_tile(kernels, one, make(amp=amp))


def _with_tile(kernels: ModuleType, tile: tuple, step: Callable) -> Callable:
    """A step whose Triton kernels take one tile."""

    def forced(*batch: torch.Tensor) -> tuple[torch.Tensor, ...]:
        kept, kernels.pick_tile = kernels.pick_tile, lambda *_: tile
        try:
            return step(*batch)
        finally:
            kernels.pick_tile = kept

    return forced


def profile(model: Model, inputs: tuple) -> str:
    """Kernels by the time they take."""
    from torch.profiler import ProfilerActivity
    from torch.profiler import profile as profiled

    forward(model, inputs, amp=True)
    with profiled(activities=[ProfilerActivity.CUDA, ProfilerActivity.CPU]) as found:
        forward(model, inputs, amp=True)
        torch.cuda.synchronize()
    events = [e for e in found.key_averages() if e.self_device_time_total > 0 and not e.key.startswith("aten::")]
    events.sort(key=lambda e: -e.self_device_time_total)
    whole = sum(e.self_device_time_total for e in events)
    shown = (f"{e.self_device_time_total / whole:.0%} {e.count}x {e.key[:70]}" for e in events[:14])
    return f"{whole / 1e3:.2f} ms: " + "; ".join(shown)


# -- cut sites to tracks -----------------------------------------------------------------------------------------------


def genome_sites(depth: float, n_bases: int) -> sca.Tracks:
    """Cut sites along hg38's chromosomes, cut to `n_bases` in all."""
    genome = sca.Genome("hg38")
    sizes, left = {}, n_bases
    for chrom, size in list(genome.sizes.items())[:24]:
        if left > 0:
            sizes[chrom] = min(size, left)
            left -= sizes[chrom]
    piece = cut_sites(TERRITORY / 30_000_000 * 700_000, 30_000_000)  # 700,000 sites, to draw from
    at, _, counts = piece.runs(0, 0)
    at, rng = np.repeat(at, counts), np.random.default_rng(0)
    chromosomes = []
    for chrom, size in sizes.items():
        copies = -(-size // 30_000_000)
        n = rng.poisson(depth * copies * 30_000_000 / TERRITORY)
        drawn = at[rng.integers(0, len(at), n)] + rng.integers(0, copies, n) * 30_000_000
        drawn, number = np.unique(drawn[drawn < size].astype(np.int32), return_counts=True)
        chromosomes.append((chrom, [(drawn, None, number.astype(np.uint16))]))
    return sca.Tracks.from_chromosomes(["g"], sca.Genome(sizes), chromosomes)


def genome_rows(bench: Bench, n_bases: int) -> None:
    """Time whole genomes."""
    dense, sparse = genome_sites(5e6, n_bases), genome_sites(2e5, n_bases)
    shorter = genome_sites(5e6, n_bases // 4) if bench.quick else dense
    print(f"[{time.perf_counter() - bench.began:6.1f} s] {dense}, {sparse}", flush=True)
    jobs = [
        ("default", "TF32", 5e6, dense, {}),
        ("default", "bfloat16", 5e6, dense, {}),
        ("default", "TF32", 2e5, sparse, {}),
        ("ResNet", "bfloat16", 5e6, shorter, {}),
        ("ResNet", "bfloat16, no own kernel", 5e6, shorter, {"kernel": False}),
        ("ResNet", "TF32", 5e6, shorter, {}),
        ("ResNet", "TF32", 2e5, sparse, {}),
    ]
    for name, label, depth, sites, options in jobs:
        if bench.quick and (label == "bfloat16, no own kernel" or (name, depth) == ("ResNet", 2e5)):
            continue
        size = sites.genome.lengths.sum() / 1e9
        with (
            bench.attempt(f"genome: {name}, {label}, {depth / 1e6:g} M sites, {size:.1f} Gb") as row,
            settings(**options),
        ):
            one_genome(bench, row, NETWORKS[name](), sites, depth, amp=label.startswith("bfloat16"))


def one_genome(bench: Bench, row: dict, model: Model, sites: sca.Tracks, depth: float, *, amp: bool) -> None:
    """Denoise, with the computing and the tracks timed apart, and compare a stretch with the CPU in float32."""
    n_bases = int(sites.genome.lengths.sum())
    options = {"depth": [depth], "device": bench.device, "amp": amp}
    options |= {} if bench.cuda else {"core": bench.core}
    first = sites.genome.chroms[0]
    warm = 20_000_000 if bench.cuda else 200_000
    stretch = {0: np.array([[0, min(warm, int(sites.genome.sizes[first]))]])}
    predict(model, sites, regions=stretch, progress=False, **options)
    bench.wait()
    start = time.perf_counter()
    predictor = Predictor(model, sites, **options)
    results = run_all(predictor, progress=False)
    middle = time.perf_counter()
    tracks = to_tracks(predictor, results, output_scale(model, None, 1))
    seconds = time.perf_counter() - start
    runs = sum(track.n_runs for track in tracks)
    row |= {"seconds": seconds, "rate": n_bases / seconds / 1e6, "runs": runs, "computing": middle - start}
    row["paper"] = PAPER_SECONDS / (seconds * GENOME / n_bases)
    part = (5_000_000, 6_000_000) if bench.cuda else (0, 100_000)
    truth = predict(model, sites, regions={0: np.array([part])}, depth=[depth], device="cpu", progress=False)
    differences = [np.abs(a.window(0, 0, *part) - b.window(0, 0, *part)) for a, b in zip(tracks, truth, strict=True)]
    scale = truth[0].window(0, 0, *part).mean()
    row["check"] = (
        f"{runs / 1e6:.1f} M runs; computed in {middle - start:.2f} s; mean difference from the CPU: signal "
        f"{differences[0].mean() / scale:.1e} of its mean, probability {differences[1].mean():.1e}"
    )


def stage_rows(bench: Bench, n_bases: int) -> None:
    """Time every stage of a few full batches, one after the other, for the profile."""
    sites = genome_sites(5e6, min(n_bases, 248_000_000))
    for name, make in NETWORKS.items():
        for amp in (False, True):
            label = "bfloat16" if amp else "TF32"
            with bench.attempt(f"stages: {name}, {label}") as row:
                predictor = Predictor(
                    make(),
                    sites,
                    depth=[5e6],
                    device=bench.device,
                    amp=amp,
                    core=None if bench.cuda else bench.core,
                )
                with predictor:
                    stages(bench, row, predictor, sites)


def stages(bench: Bench, row: dict, predictor: Predictor, sites: sca.Tracks) -> None:
    """Seconds per genome of every stage, if nothing overlapped."""
    model, unit = predictor.model, predictor.units()[0]
    pipeline = predictor.make_pipeline()
    tape = make_group_tape(sites, unit, 0, model, regions=None, skip=True)
    work = [b for b in batches([tape], predictor.core, predictor.batch_size) if len(b) == predictor.batch_size][:6]
    n_timed = len(work) - 2  # kernels are compiled and the graph is recorded in the first ones
    if n_timed < 1:
        row["check"] = "not measured: fewer than three full batches"
        return
    spent: dict[str, float] = dict.fromkeys(("list", "upload", "network", "levels", "runs", "download"), 0.0)
    for i, batch in enumerate(work):
        marks = [time.perf_counter()]

        def mark(marks: list = marks) -> None:
            bench.wait()
            marks.append(time.perf_counter())

        host = predictor.describe(batch)[0]
        mark()
        with torch.inference_mode():
            there = pipeline.upload(pipeline.pinned(host))
            inputs = pipeline.inputs(there)
            mark()
            forward(model, inputs, amp=predictor.amp)
            mark()
            levels = pipeline.levels(*inputs)
            mark()
            found = _device.find_runs(levels, there.low, there.high, there.base, there.fill)
            mark()
            out = [_device.fetch(values) for values in found]
            mark()
            del out
        if i >= len(work) - n_timed:
            for stage, seconds in zip(spent, np.diff(marks), strict=True):
                spent[stage] += float(seconds)
    scale = GENOME / (n_timed * predictor.batch_size * predictor.core)
    row["stages"] = {stage: seconds * scale for stage, seconds in spent.items()}
    row["seconds"] = sum(row["stages"].values())
    row["check"] = ", ".join(f"{stage} {seconds:.2f} s" for stage, seconds in row["stages"].items())
    row["check"] += " of a genome (network: without a graph; levels: with the network, in one)"


# -- precision and training --------------------------------------------------------------------------------------------


def precision_rows(bench: Bench) -> None:
    """What TF32 and bfloat16 change on real data, at the border of peaks too."""
    from benchmarks import accuracy
    from scatacworks._core.calling import call_dense
    from scatacworks.tl._denoising.call_peaks import LIMITS

    if not (accuracy.DATA / "atacworks_hsc").exists():
        print("precision on real data: not run, SCA_SHARED_DATA names no folder with it", flush=True)
        return
    sites = accuracy.hsc("5M")
    end = int(sites.genome.lengths[0])
    fine = models.Rounding(signal=0.005, logit=0.002, lowest=1e-6)

    def tracks(device: torch.device | str, *, amp: bool) -> list[np.ndarray]:
        found = predict(
            models.load("default"), sites, depth=[5e6], device=device, amp=amp, rounding=fine, progress=False
        )
        return [np.concatenate([t.window(0, c, 0, end) for c in sites.genome.chroms]) for t in found]

    def peaks(probability: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        starts, ends = call_dense(probability, *LIMITS)
        inside = np.zeros(len(probability) + 1, np.int8)
        inside[starts] += 1
        inside[ends] -= 1
        return np.cumsum(inside)[:-1] > 0, np.column_stack([starts, ends])

    truth = tracks("cpu", amp=False)
    covered, called = peaks(truth[1])
    for label, amp in (("TF32", False), ("bfloat16", True)):
        with bench.attempt(f"precision: default, {label}, real 5 M, 30 Mb") as row:
            ours = tracks(bench.device, amp=amp)
            relative = float(np.linalg.norm(ours[0] - truth[0]) / np.linalg.norm(truth[0]))
            own, found = peaks(ours[1])
            equal = len({*map(tuple, called.tolist())} & {*map(tuple, found.tolist())})
            near = np.abs(truth[1] - 0.5) < 0.1
            row["precision"] = {
                "signal_relative": relative,
                "probability_max": float(np.abs(ours[1] - truth[1]).max()),
                "flipped": float(((ours[1] >= 0.5) != (truth[1] >= 0.5)).mean()),
                "flipped_near": float(((ours[1] >= 0.5) != (truth[1] >= 0.5))[near].mean()),
                "jaccard": float((own & covered).sum() / max(1, (own | covered).sum())),
                "peaks": [len(called), len(found), equal],
            }
            shown = row["precision"]
            row["check"] = (
                f"signal {relative:.1e} relative; probability differs by {shown['probability_max']:.1e} at most; "
                f"{shown['flipped']:.1e} of bases cross 0.5 ({shown['flipped_near']:.1e} of those at 0.4-0.6); peaks "
                f"{len(called)} on the CPU, {len(found)}, {equal} identical, Jaccard index {shown['jaccard']:.4f}"
            )


def training_rows(bench: Bench) -> None:
    """Forward and backward of the published network."""
    torch.manual_seed(0)
    model = models.ResNet().to(bench.device)
    x = torch.rand(8 if bench.cuda else 1, 1, 60_000 if bench.cuda else 6_000, device=bench.device) * 5
    baseline = None

    def step(method: str) -> None:
        model.zero_grad()
        with formulation(method):
            signal, logit = model.denoise(x)
            (signal.square().mean() + logit.square().mean()).backward()

    for label, method, tf32 in (
        ("conv1d float32", "direct", False),
        ("view float32", "view", False),
        ("view TF32", "view", True),
    ):
        with bench.attempt(f"training: ResNet, {label}") as row, settings(tf32=tf32):
            row["seconds"], row["work"] = bench.seconds(lambda method=method: step(method), 3), "of a step"
            row["rate"] = x.numel() / row["seconds"] / 1e6
            baseline = baseline or row["seconds"]
            row["conv1d"] = baseline / row["seconds"]


def ceilings(bench: Bench) -> None:
    """What this GPU copies and multiplies per second, as a measure."""
    with bench.attempt("ceiling: copy on the device") as row:
        x = torch.rand(1 << 29, device=bench.device)
        y = torch.empty_like(x)
        row["seconds"] = bench.seconds(lambda: y.copy_(x), 10)
        row["check"] = f"{2 * x.numel() * 4 / row['seconds'] / 1e12:.2f} TB/s"
    for label, dtype in (("bfloat16", torch.bfloat16), ("TF32", torch.float32)):
        with bench.attempt(f"ceiling: product, {label}") as row:
            torch.backends.cuda.matmul.allow_tf32 = True
            x = torch.randn(8192, 8192, device=bench.device, dtype=dtype)
            row["seconds"] = bench.seconds(lambda x=x: x @ x, 5)
            row["check"] = f"{2 * 8192**3 / row['seconds'] / 1e12:.0f} TFLOP/s"
            torch.backends.cuda.matmul.allow_tf32 = False


# -- the table ---------------------------------------------------------------------------------------------------------


def line(row: dict) -> str:
    """One row of the table."""
    cells = [row["path"], f"{row.get('seconds', float('nan')):.3f} s {row.get('work', '')}".rstrip()]
    cells.append(f"{row['rate']:,.1f} Mb/s" if "rate" in row else "")
    cells.append(", ".join(f"{row[key]:.1f}x {key}" for key in ("conv1d", "paper") if key in row))
    return "| " + " | ".join([*cells, row.get("check", "")]) + " |"


def run(device: torch.device, *, n_bases: int, core: int = 131_072, quick: bool = False) -> Bench:
    """Check and time everything."""
    bench = Bench(device, core, quick=quick)
    if bench.cuda:
        name = torch.cuda.get_device_name()
        bench.details["device"] = f"{name}, torch {torch.__version__}, {os.cpu_count()} cores"
        print(bench.details["device"], flush=True)
        ceilings(bench)
    parts: list[tuple[str, Callable]] = [
        ("networks", lambda: [network_rows(bench, name) for name in NETWORKS]),
        ("genomes", lambda: genome_rows(bench, n_bases)),
        ("stages", lambda: stage_rows(bench, n_bases)),
        ("precision", lambda: precision_rows(bench)),
        ("training", lambda: training_rows(bench)),
    ]
    for name, part in parts:
        try:
            part()
        except Exception:  # the other parts are still worth having
            bench.details.setdefault("failures", {})[name] = traceback.format_exc()
            print(f"{name} FAILED\n{traceback.format_exc()}", flush=True)
    return bench


def rows(size: str) -> list[Row]:
    """Rows of the table of all benchmarks where a CUDA device is at hand, else none."""
    if not torch.cuda.is_available():
        return []
    bench = run(torch.device("cuda"), n_bases=GENOME if size == "large" else 200_000_000, quick=size != "large")
    return [
        Row(
            row["path"],
            "conv1d float32, this GPU",
            row.get("seconds", float("nan")),
            row["seconds"] * row["conv1d"] if "conv1d" in row else None,
            check=row.get("check", ""),
            unit="Mb/s",
            throughput=row.get("rate"),
            extra=row,
        )
        for row in bench.rows
    ]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="fewer variants")
    parser.add_argument("--bases", type=float, default=GENOME, help="bases of a genome row")
    parser.add_argument("--device", default="cuda")
    parser.add_argument("--core", type=int, default=131_072, help="bp per window")
    parser.add_argument("--json", type=Path, help="write rows, profiles and failures to this file")
    arguments = parser.parse_args()
    bench = run(
        torch.device(arguments.device), n_bases=int(arguments.bases), core=arguments.core, quick=arguments.quick
    )
    if arguments.json:
        arguments.json.write_text(json.dumps({"rows": bench.rows} | bench.details, indent=1))
    for name, text in bench.details.get("failures", {}).items():
        print(f"{name} FAILED\n{text[-1500:]}")
    print(f"\n{time.perf_counter() - bench.began:.1f} s in all")
    print("| path | time | rate | ratio | check |\n|---|---|---|---|---|")
    print("\n".join(line(row) for row in bench.rows if not row["path"].startswith("profile")))


if __name__ == "__main__":
    main()
