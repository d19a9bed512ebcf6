"""Items made ahead by another thread."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
import weakref
from concurrent.futures import CancelledError

import pytest

from scatacworks import _threads


class Item:
    pass


def test_the_next_item_is_made_while_one_is_used_and_no_more():
    begun = [threading.Event() for _ in range(4)]

    def items():
        for i, event in enumerate(begun):
            event.set()
            yield i
        yield None

    found = []
    for item in _threads.ahead(items()):
        found.append(item)
        if item is None:
            continue
        assert all(event.wait(10) for event in begun[: item + 2])
        assert not any(event.is_set() for event in begun[item + 2 :])
    assert found == [0, 1, 2, 3, None]


def test_no_item_is_held_on_to():
    made = []

    def items():
        for _ in range(3):
            item = Item()
            made.append(weakref.ref(item))
            held = [item]
            del item
            yield held.pop()

    for item in _threads.ahead(items()):
        held = made.pop(0)
        assert held() is item
        del item
        assert held() is None


def test_an_error_comes_where_the_item_would():
    def items():
        yield 1
        msg = "line 7"
        raise ValueError(msg)

    stream = _threads.ahead(items())
    assert next(stream) == 1
    with pytest.raises(ValueError, match="line 7"):
        next(stream)


def test_who_stops_early_closes_the_generator():
    closed = []

    def items():
        try:
            yield from range(5)
        finally:
            closed.append(True)

    stream = _threads.ahead(items())
    next(stream)
    stream.close()
    assert closed == [True]
    assert not any(thread.name.startswith("ahead") for thread in threading.enumerate())


def endless(ends):
    """Make an item that takes until somebody says that nobody waits for it, or too long."""
    late = time.monotonic() + 10
    try:
        while time.monotonic() < late:
            _threads.require_reader()
        ends.append("too late")
    except CancelledError:
        ends.append("given up")
        raise


def test_an_item_that_nobody_waits_for_is_given_up():
    begun, ends = threading.Event(), []

    def items():
        yield 0
        begun.set()
        endless(ends)

    stream = _threads.ahead(items())
    assert next(stream) == 0
    assert begun.wait(10)
    stream.close()
    assert ends == ["given up"]
    assert not any(thread.name.startswith("ahead") for thread in threading.enumerate())


@pytest.mark.skipif(not hasattr(signal, "pthread_kill"), reason="signals cannot be sent to a thread")
@pytest.mark.usefixtures("interruptible")
def test_ctrl_c_leaves_an_item_that_is_being_made():
    ends = []

    def items():
        yield 0
        time.sleep(0.5)  # a signal on the way into a wait would be seen only at its end
        signal.pthread_kill(threading.main_thread().ident, signal.SIGINT)
        endless(ends)

    with pytest.raises(KeyboardInterrupt):
        list(_threads.ahead(items()))
    assert ends == ["given up"]
    _threads.require_reader()  # concerns the threads of `ahead` only


@pytest.mark.parametrize(("value", "error"), [("many", TypeError), ("0", ValueError)])
def test_a_wrong_setting_of_the_environment_is_named(value, error, monkeypatch):
    monkeypatch.setenv("SCATACWORKS_NUM_THREADS", value)
    with pytest.raises(error, match=f"SCATACWORKS_NUM_THREADS is .?{value}.*; expected"):
        _threads.resolve()


@pytest.mark.skipif(not hasattr(os, "fork"), reason="processes are not forked here")
def test_a_forked_process_does_not_wait_for_the_threads_of_its_parent():
    code = """
import os, signal, torch
import scatacworks as sca

torch.set_num_threads(2)
torch.rand(1000, 1000) @ torch.rand(1000, 1000)
child = os.fork()
if child == 0:
    signal.alarm(60)  # ends one that waits for ever
    adata = sca.datasets.toy(n_cells=30)
    options = {"n_jobs": 2, "progress": False}
    sca.pp.pseudobulk(adata, "group", **options)
    sca.tl.denoise(adata, regions="chr1:1-20,000", **options)
    sca.tl.train(adata, validation="chr2:40,001-60,000", settings={"steps": 1, "batch_size": 1}, **options)
    print("done", flush=True)
    os._exit(0)
os.waitpid(child, 0)
"""
    done = subprocess.run([sys.executable, "-W", "ignore", "-c", code], capture_output=True, text=True, check=True)
    assert "done" in done.stdout
