"""The page on the command line names every command and every option of the main one."""

from __future__ import annotations

import re
import subprocess
import sys
from importlib.metadata import version
from inspect import signature
from pathlib import Path

import pytest
import typer

from scatacworks import tl
from scatacworks.cli import _common, main
from scatacworks.cli._app import app

PAGE = Path(__file__).parents[2] / "docs" / "cli.md"


def commands():
    return typer.main.get_command(app).commands


def test_the_package_runs_as_a_module():
    done = subprocess.run([sys.executable, "-m", "scatacworks", "--help"], capture_output=True, text=True, check=True)
    assert all(name in done.stdout for name in commands())


def test_the_version_is_shown(capsys):
    with pytest.raises(SystemExit) as ended:
        main(["--version"])
    assert (ended.value.code, capsys.readouterr().out) == (0, f"scatacworks {version('scatacworks')}\n")


@pytest.mark.parametrize("name", sorted(commands()))
def test_every_command_is_described(name):
    assert f"scatacworks {name}" in PAGE.read_text()


def test_every_option_of_denoise_is_described():
    text = PAGE.read_text()
    options = [option for parameter in commands()["denoise"].params for option in parameter.opts if "--" in option]
    assert [option for option in options if option not in text and option != "--help"] == []


@pytest.mark.parametrize("name", sorted(commands()))
def test_every_option_has_a_help(name):
    for parameter in commands()[name].params:
        if parameter.param_type_name == "option":  # older versions of typer keep the help of arguments elsewhere
            assert parameter.help or parameter.name == "help", f"{name} {parameter.name}"


@pytest.mark.parametrize(("name", "function"), [("denoise", tl.denoise), ("peaks", tl.call_peaks), ("train", tl.train)])
def test_defaults_are_those_of_the_functions(name, function):
    there = signature(function).parameters
    options = {p.name: p.default for p in commands()[name].params if p.param_type_name == "option"}
    found = {name: default for name, default in options.items() if name in there and default not in (None, False)}
    found |= {"n_jobs": options["n_jobs"]}
    assert found == {name: there[name].default for name in found}


def test_help_and_page_list_the_same_exit_codes_as_the_program_has():
    listed = []
    for text in (app.info.epilog, PAGE.read_text()):
        sentence = re.search(r"Exit codes: ([^.]+)\.", text)[1]
        listed.append([part.split(maxsplit=1) for part in sentence.replace("\n", " ").split(", ")])
    assert listed[0] == listed[1]
    own = (_common.FAILED, _common.BROKEN, _common.HUNG_UP, _common.INTERRUPTED, _common.TERMINATED)
    known = {"0", "2"} | {str(code) for code in own}
    assert {code for code, _ in listed[0]} == known  # 2 is click's


def test_a_fault_of_the_program_ends_with_its_own_code(capsys):
    @_common.guarded
    def faulty():
        raise ZeroDivisionError

    with pytest.raises(typer.Exit) as end:
        faulty()
    assert end.value.exit_code == _common.BROKEN
    assert "please report it" in capsys.readouterr().err
