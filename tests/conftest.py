"""Shared fixtures."""

from __future__ import annotations

import os
import signal
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from hypothesis import settings

if TYPE_CHECKING:
    from collections.abc import Iterator

os.environ.setdefault("MPLBACKEND", "Agg")

settings.register_profile("default", deadline=None)  # the first example compiles
settings.load_profile("default")

ROOT = Path(__file__).resolve().parents[1]


def pytest_configure(config: pytest.Config) -> None:
    """Hide GPUs from tests that do not ask for one; kernels for them are interpreted then."""
    if "not gpu" in config.getoption("markexpr"):
        os.environ["CUDA_VISIBLE_DEVICES"] = ""
        os.environ["TRITON_INTERPRET"] = "1"


@pytest.fixture(autouse=True, scope="session")
def quiet_compiler() -> None:
    """Say nothing of kernels that are not in the cache yet: which test compiles them is chance."""
    from scatacworks import _numba

    _numba.compiling.told |= {"scatacworks", "pynndescent"}


@pytest.fixture
def interruptible() -> Iterator[None]:
    """Let Ctrl-C interrupt, also where the tests run in the background of a shell, which has it ignored."""
    usual = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, usual)


@pytest.fixture(autouse=True)
def closed_figures() -> Iterator[None]:
    """Close the figures of every test: a worker that runs many of them would otherwise warn of too many."""
    yield
    if "matplotlib.pyplot" in sys.modules:
        sys.modules["matplotlib.pyplot"].close("all")


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """Folder of the real data sets, or skip."""
    folder = Path(os.environ.get("SCA_SHARED_DATA", ROOT.parent / "shared" / "data"))
    if not folder.is_dir():
        pytest.skip(f"no real data at {folder}; set SCA_SHARED_DATA to the folder that holds them")
    return folder


@pytest.fixture
def mudata():
    """The mudata package, with the pull on update of its older versions (which warns) turned off."""
    module = pytest.importorskip("mudata")
    if hasattr(module, "set_options"):
        module.set_options(pull_on_update=False)
    return module
