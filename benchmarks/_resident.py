"""The largest resident memory while something runs."""

from __future__ import annotations

import threading
import time
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

PAGE = 4096
_EVERY = 0.02  # seconds


def resident_gb() -> float:
    """Resident memory of this process now."""
    return int(Path("/proc/self/statm").read_text().split()[1]) * PAGE / 1e9


@contextmanager
def watch() -> Iterator[dict[str, float]]:
    """Fill the result when the block ends.

    `seconds`, `cpu_seconds` (of all threads), `resident_gb` (largest, input included), `added_gb` (over the start).
    """
    result = {"seconds": 0.0, "cpu_seconds": 0.0, "resident_gb": 0.0, "added_gb": 0.0}
    before, done = resident_gb(), threading.Event()
    highest = [before]

    def sample() -> None:
        while not done.wait(_EVERY):
            highest[0] = max(highest[0], resident_gb())

    thread = threading.Thread(target=sample, daemon=True)
    thread.start()
    start, spent = time.perf_counter(), time.process_time()
    try:
        yield result
    finally:
        result["seconds"] = time.perf_counter() - start
        result["cpu_seconds"] = time.process_time() - spent
        done.set()
        thread.join()
        result["resident_gb"] = max(highest[0], resident_gb())
        result["added_gb"] = result["resident_gb"] - before
