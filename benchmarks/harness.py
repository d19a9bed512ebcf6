"""Alternating timing of two ways of doing one thing, in one process."""

from __future__ import annotations

import gc
import platform
import resource
import statistics
import time
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable


@dataclass
class Row:
    """One line of the table: ours against a reference on the same input; `extra` goes to the JSON file alone."""

    path: str
    reference: str
    seconds: float
    reference_seconds: float | None = None
    check: str = ""
    unit: str = ""
    throughput: float | None = None
    repeats: int = 1
    extra: dict[str, Any] = field(default_factory=dict)

    @property
    def ratio(self) -> float | None:
        """How many times faster ours is."""
        return None if self.reference_seconds is None else self.reference_seconds / self.seconds

    def as_dict(self) -> dict[str, Any]:
        """Everything, what is in `extra` beside the rest."""
        own = asdict(self)
        return own | own.pop("extra") | {"ratio": self.ratio, "peak_memory_gb": peak_memory_gb()}


def peak_memory_gb() -> float:
    """Return the largest resident memory of this process so far."""
    status = Path("/proc/self/status")
    if status.exists():  # `getrusage` would start from the memory of the parent process
        line = next(line for line in status.read_text().splitlines() if line.startswith("VmHWM"))
        return int(line.split()[1]) * 1024 / 1e9
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak / (1e9 if platform.system() == "Darwin" else 1e6)


def compare(
    path: str,
    ours: Callable[[], Any],
    reference: Callable[[], Any] | None,
    *,
    reference_name: str = "",
    check: Callable[[Any, Any], str] | None = None,
    repeats: int = 3,
    work: float | None = None,
    unit: str = "",
) -> Row:
    """Run `ours` and `reference` in turn, `repeats` times after one warm-up each, and return medians.

    `check(ours_result, reference_result)` returns what was verified and raises when the results disagree;
    `work / seconds` is printed as throughput in `unit`.
    """
    results = [ours(), reference() if reference else None]
    verdict = check(*results) if check else ""
    del results
    times: tuple[list[float], list[float]] = ([], [])
    for _ in range(repeats):
        for index, run in enumerate((ours, reference)):
            if run is None:
                continue
            gc.collect()
            start = time.perf_counter()
            run()
            times[index].append(time.perf_counter() - start)
    seconds = statistics.median(times[0])
    return Row(
        path,
        reference_name,
        seconds,
        statistics.median(times[1]) if times[1] else None,
        check=verdict,
        unit=unit,
        throughput=None if work is None else work / seconds,
        repeats=repeats,
    )


def machine() -> str:
    """Describe the processor and the number of usable cores."""
    from scatacworks import _threads

    return f"{platform.machine()}, {_threads.resolve()} cores, Python {platform.python_version()}"
