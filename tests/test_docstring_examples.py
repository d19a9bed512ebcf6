"""Every example in a public docstring runs and gives what it shows."""

from __future__ import annotations

import doctest
import importlib
import inspect

import numpy as np
import pytest

import scatacworks as sca

FLAGS = doctest.NORMALIZE_WHITESPACE | doctest.ELLIPSIS
NAMESPACES = ("io", "pp", "tl", "pl", "get", "models", "metrics", "datasets")


def things():
    yield from ((f"sca.{name}", getattr(sca, name)) for name in ("Genome", "Prior", "Region", "Tracks"))
    for namespace in NAMESPACES:
        module = importlib.import_module(f"scatacworks.{namespace}")
        yield from ((f"{namespace}.{name}", getattr(module, name)) for name in module.__all__)


THINGS = list(things())


@pytest.mark.parametrize(("name", "thing"), THINGS, ids=[name for name, _ in THINGS])
def test_example_runs(name, thing, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)  # examples may write files
    examples = doctest.DocTestFinder(recurse=False).find(thing, name, module=inspect.getmodule(thing))
    examples = [example for example in examples if example.examples]
    if not examples:
        pytest.skip("no example")
    with np.printoptions(legacy=False):
        runner = doctest.DocTestRunner(optionflags=FLAGS)
        for example in examples:
            example.globs = {"sca": sca, "np": np}
            result = runner.run(example)
            assert result.failed == 0, f"the example of {name} failed; see the captured output"
