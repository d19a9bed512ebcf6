from __future__ import annotations

import logging

import numba
import pytest

from scatacworks import _numba


@pytest.fixture
def listener(monkeypatch):
    """As at the start of a process."""
    fresh = _numba.Compiling()
    monkeypatch.setattr(_numba.compiling, "notify", fresh.notify)
    return fresh


def compile_one(module):
    def kernel(x):
        return x + 1

    kernel.__module__ = module
    assert numba.njit(kernel)(1) == 2


@pytest.mark.parametrize(("spent", "module", "n_told"), [(0, "scatacworks.x", 0), (9, "scatacworks.x", 1), (9, "y", 0)])
def test_a_long_compilation_is_told_once(listener, caplog, spent, module, n_told):
    listener.spent = spent
    with caplog.at_level(logging.WARNING, "scatacworks"):
        compile_one(module)
        compile_one(module)
    assert ["Compiling kernels" in record.message for record in caplog.records] == [True] * n_told
    assert listener.spent > spent
    assert listener.n_open == 0
