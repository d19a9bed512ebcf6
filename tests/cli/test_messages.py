"""What all commands share: Ctrl-C, and what files and models are said to be."""

from __future__ import annotations

import signal
import time

import pytest
import torch
import typer

from scatacworks.cli._common import FAILED, INTERRUPTED, guarded


class _Loses:
    """A finaliser in which Python drops every exception."""

    def __del__(self):
        raise KeyboardInterrupt


@pytest.fixture
def interruptible():
    """Listen to interrupts, which a shell tells the programs that it runs in the background to ignore."""
    usual = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, usual)


@pytest.mark.usefixtures("interruptible")
def test_an_interrupt_lost_in_a_finaliser_still_stops(capsys):
    @guarded
    def command():
        thing = _Loses()
        del thing
        for _ in range(1000):
            time.sleep(0.01)

    with pytest.raises(typer.Exit) as end:
        command()
    assert end.value.exit_code == INTERRUPTED
    assert "Stopped" in capsys.readouterr().err


class _Repeats:
    """An object of HDF5 whose file cannot be written."""

    def __del__(self):
        msg = "Can't decrement id ref count (file write failed: errno = 28)"
        raise RuntimeError(msg)


def test_a_full_disk_is_not_told_for_every_object(capsys):
    @guarded
    def command():
        thing = _Repeats()
        del thing

    command()
    assert capsys.readouterr().err == ""


def test_a_device_without_memory_is_no_fault_of_the_program(capsys):
    @guarded
    def command():
        msg = "The memory of 'cuda:0' does not hold it."
        raise torch.OutOfMemoryError(msg)

    with pytest.raises(typer.Exit) as end:
        command()
    assert end.value.exit_code == FAILED
    assert capsys.readouterr().err == "Error: The memory of 'cuda:0' does not hold it.\n"


def test_models_are_listed_in_lines_that_fit(call):
    code, out, _ = call("models")
    assert code == 0
    assert "accessibility " in out
    assert max(map(len, out.splitlines())) <= 100


def test_info_says_what_it_describes(call, tmp_path):
    (tmp_path / "text.txt").write_text("hello")
    code, _, err = call("info", tmp_path / "text.txt")
    assert code == 1
    assert "not a bigWig file" in err
    assert "Files of .h5ad, .h5mu and bigWig are described" in err
