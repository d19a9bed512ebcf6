from __future__ import annotations

import errno
import logging

import numba
import pytest
from numba.core.caching import CacheImpl, IndexDataCacheFile

from scatacworks import _numba


@pytest.fixture
def listener(monkeypatch):
    """As at the start of a process, on a machine of any speed."""
    monkeypatch.setattr(_numba, "_PATIENCE", 100)
    fresh = _numba.Compiling()
    monkeypatch.setattr(_numba.compiling, "notify", fresh.notify)
    monkeypatch.setattr(_numba, "compiling", fresh)
    return fresh


def compile_one(module):
    def kernel(x):
        return x + 1

    kernel.__module__ = module
    assert numba.njit(kernel)(1) == 2


@pytest.mark.parametrize(
    ("spent", "module", "n_told"),
    [
        (0, "scatacworks.x", 0),
        (900, "scatacworks.x", 1),
        (900, "y", 0),
        (0, "pynndescent.x", 0),
        (900, "pynndescent.x", 1),
    ],
)
def test_a_long_compilation_is_told_once(listener, caplog, spent, module, n_told):
    listener.spent = spent
    with caplog.at_level(logging.WARNING, "scatacworks"):
        compile_one(module)
        compile_one(module)
    words = "repeated in every process" if module.startswith("pynn") else "once per installation"
    assert [words in record.message for record in caplog.records] == [True] * n_told
    assert listener.spent > spent
    assert listener.n_open == 0


def make_kernels():
    """Two kernels that are not in the cache, made as those of the package are."""

    def plus(x):
        return x + 1

    def minus(x):
        return x - 1

    plus.__module__ = minus.__module__ = "scatacworks.x"
    return _numba.njit(plus), _numba.njit(error_model="numpy")(minus)


def test_kernels_run_where_no_folder_can_be_written_to(listener, caplog, monkeypatch):
    monkeypatch.setattr(CacheImpl, "_locator_classes", [])  # numba finds none
    plus, minus = make_kernels()
    listener.spent = 900
    with caplog.at_level(logging.WARNING, "scatacworks"):
        assert (plus(1), minus(1)) == (2, 0)
    assert [record.message.count("NUMBA_CACHE_DIR") for record in caplog.records] == [1]


def test_kernels_run_and_it_is_told_once_where_the_disk_is_full(listener, caplog, monkeypatch):
    def save(*_):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(IndexDataCacheFile, "load", lambda *_: None)
    monkeypatch.setattr(IndexDataCacheFile, "save", save)
    plus, minus = make_kernels()
    with caplog.at_level(logging.WARNING, "scatacworks"):
        assert (plus(1), minus(1)) == (2, 0)
    assert not listener.is_kept
    assert len(caplog.records) == 1
    assert f"kept in {plus.stats.cache_path}: No space left on device." in caplog.records[0].message


def test_kernels_are_kept(listener, monkeypatch):
    saved = []
    monkeypatch.setattr(IndexDataCacheFile, "load", lambda *_: None)
    monkeypatch.setattr(IndexDataCacheFile, "save", lambda _, key, data: saved.append(key))
    plus, minus = make_kernels()
    assert (plus(1), minus(1)) == (2, 0)
    assert len(saved) == 2
    assert listener.is_kept
