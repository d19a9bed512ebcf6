"""The page on the command line names every command and every option of the main one."""

from __future__ import annotations

from pathlib import Path

import pytest
import typer

from scatacworks.cli._app import app

PAGE = Path(__file__).parents[2] / "docs" / "cli.md"


def commands():
    return typer.main.get_command(app).commands


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
        assert getattr(parameter, "help", None) or parameter.name == "help", f"{name} {parameter.name}"
