"""The one setting for the number of threads, shared by numba kernels, torch and our own workers."""

from __future__ import annotations

import os
import threading
from concurrent.futures import CancelledError, ThreadPoolExecutor
from contextlib import closing, contextmanager, suppress
from typing import TYPE_CHECKING, TypeVar

from scatacworks._arguments import whole
from scatacworks._fork import keeps_to_one_thread

if TYPE_CHECKING:
    from collections.abc import Generator, Iterator

Item = TypeVar("Item")
_END = object()
_here = threading.local()  # `left`: set when the reader of what this thread makes has gone


def resolve(n_jobs: int | None = None) -> int:
    """Return the number of threads to use.

    `None` means the environment variable `SCATACWORKS_NUM_THREADS`, or else every core this process may use;
    negative numbers count from there as in joblib (-1: all, -2: all but one).
    """
    available = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    name = "n_jobs"
    if n_jobs is None:
        n_jobs, name = os.environ.get("SCATACWORKS_NUM_THREADS", available), "SCATACWORKS_NUM_THREADS"
        with suppress(ValueError):  # what is no number is told below
            n_jobs = int(n_jobs)
    n_jobs = whole(n_jobs, name, least=None)
    if n_jobs < 0:
        n_jobs = max(1, available + 1 + n_jobs)
    if n_jobs == 0:
        msg = f"{name} is 0; expected a positive number of threads, -1 for all cores, or None."
        raise ValueError(msg)
    return n_jobs


@contextmanager
def torch_threads(n_jobs: int | None) -> Iterator[int]:
    """Run torch with this many threads and restore its setting afterwards."""
    import torch

    before, wanted = torch.get_num_threads(), 1 if keeps_to_one_thread.is_set() else resolve(n_jobs)
    torch.set_num_threads(wanted)
    try:
        yield wanted
    finally:
        torch.set_num_threads(before)


def ahead(items: Generator[Item]) -> Iterator[Item]:
    """Yield the items of a generator, the next of which is made by another thread while one is used.

    No item is held on to once it is yielded. Where the reader leaves early (Ctrl-C, an error), the item that is being
    made is given up at the generator's next :func:`require_reader`.
    """
    left = threading.Event()
    with closing(items), ThreadPoolExecutor(1, "ahead", setattr, (_here, "left", left)) as pool:
        pool.submit(bool).result()  # a thread that an interrupt keeps from being noted would not be waited for
        try:
            coming = pool.submit(next, items, _END)
            while (item := coming.result()) is not _END:
                coming, held = pool.submit(next, items, _END), [item]
                del item
                yield held.pop()
        finally:
            left.set()


def workers(n: int) -> ThreadPoolExecutor:
    """Return threads that make parts of what this thread makes, and know when the reader of that has gone."""
    return ThreadPoolExecutor(n, "workers", setattr, (_here, "left", getattr(_here, "left", None)))


def require_reader() -> None:
    """Give up an item of :func:`ahead` that nobody waits for any more; called now and then by what makes long ones."""
    left = getattr(_here, "left", None)
    if left is not None and left.is_set():
        raise CancelledError
