"""What a forked process must know: OpenMP's threads stay behind, and torch would wait for them for ever."""

from __future__ import annotations

import os
import sys
import threading

keeps_to_one_thread = threading.Event()


def _after_fork() -> None:
    if "torch" in sys.modules:
        keeps_to_one_thread.set()
        sys.modules["torch"].set_num_threads(1)


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork)
