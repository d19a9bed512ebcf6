"""Walks every public function and holds the conventions of the package."""

from __future__ import annotations

import ast
import functools
import importlib
import inspect
import re
import subprocess
import sys
from pathlib import Path

import pytest

import scatacworks as sca

PACKAGE = Path(sca.__file__).parent
NAMESPACES = ("io", "pp", "tl", "pl", "get", "models", "metrics", "datasets")
SLOW_MODULES = (
    "torch",
    "lightning",
    "matplotlib",
    "scanpy",
    "sklearn",
    "pysam",
    "pyBigWig",
    "numba",
    "zarr",
    "anndata",
)
LAYERS = {"_core": 0, "models": 1, "io": 2, "get": 2, "metrics": 2, "datasets": 2, "pp": 3, "tl": 3, "pl": 4, "cli": 5}


def public():
    for namespace in NAMESPACES:
        module = importlib.import_module(f"scatacworks.{namespace}")
        for name in module.__all__:
            yield namespace, name, getattr(module, name)


PUBLIC = list(public())
FUNCTIONS = [entry for entry in PUBLIC if inspect.isfunction(entry[2])]


def ids(entries):
    return [f"{namespace}.{name}" for namespace, name, _ in entries]


@pytest.mark.parametrize(("namespace", "name", "thing"), PUBLIC, ids=ids(PUBLIC))
def test_everything_public_has_a_numpydoc_docstring(namespace, name, thing):
    doc = thing.__doc__ or ""
    assert doc.strip(), f"{name} has no docstring"
    assert "Examples\n" in inspect.cleandoc(doc), f"{namespace}.{name} has no example"
    if inspect.isfunction(thing) and [p for p in inspect.signature(thing).parameters if p != "_"]:
        assert "Parameters\n" in inspect.cleandoc(doc)


@pytest.mark.parametrize(("namespace", "name", "function"), FUNCTIONS, ids=ids(FUNCTIONS))
def test_every_parameter_is_documented(namespace, name, function):
    doc = inspect.cleandoc(function.__doc__ or "")
    documented = set(re.findall(r"\w+", " ".join(re.findall(r"^(?:\*{0,2}\w+)(?:, \*{0,2}\w+)*$", doc, re.M))))
    missing = [p for p in inspect.signature(function).parameters if p not in documented]
    assert not missing, f"{namespace}.{name} does not document {missing}"


@pytest.mark.parametrize(("namespace", "name", "function"), FUNCTIONS, ids=ids(FUNCTIONS))
def test_at_most_three_positional_parameters(namespace, name, function):
    positional = [
        p
        for p in inspect.signature(function).parameters.values()
        if p.kind in (p.POSITIONAL_ONLY, p.POSITIONAL_OR_KEYWORD)
    ]
    assert len(positional) <= 3, f"{namespace}.{name} takes {[p.name for p in positional]} by position"


@pytest.mark.parametrize(("namespace", "name", "function"), FUNCTIONS, ids=ids(FUNCTIONS))
def test_booleans_are_keyword_only(namespace, name, function):
    for parameter in inspect.signature(function).parameters.values():
        if isinstance(parameter.default, bool):
            assert parameter.kind == parameter.KEYWORD_ONLY, f"{namespace}.{name}({parameter.name}=)"


@pytest.mark.parametrize(("namespace", "name", "function"), FUNCTIONS, ids=ids(FUNCTIONS))
def test_everything_is_annotated(namespace, name, function):
    signature = inspect.signature(function)
    assert signature.return_annotation is not signature.empty
    assert all(p.annotation is not p.empty for p in signature.parameters.values())


@pytest.mark.parametrize(("namespace", "name", "function"), FUNCTIONS, ids=ids(FUNCTIONS))
def test_defaults_read_as_they_are_written(namespace, name, function):
    """`help` shows a number of numpy's by the name of its type."""
    for parameter in inspect.signature(function).parameters.values():
        assert not re.search(r"float\d+\(|int\d+\(|array\(", repr(parameter.default)), f"{name}({parameter.name}=)"


STEPS = [entry for entry in FUNCTIONS if entry[0] == "pp"]


@pytest.mark.parametrize(("namespace", "name", "function"), STEPS, ids=ids(STEPS))
def test_steps_take_adata_first(namespace, name, function):
    assert next(iter(inspect.signature(function).parameters)) == "adata"


@pytest.mark.parametrize(("namespace", "name", "function"), FUNCTIONS, ids=ids(FUNCTIONS))
def test_copy_defaults_to_false(namespace, name, function):
    copy = inspect.signature(function).parameters.get("copy")
    assert copy is None or copy.default is False


PLOTS = [entry for entry in FUNCTIONS if entry[0] == "pl"]


@pytest.mark.parametrize(("namespace", "name", "function"), PLOTS, ids=ids(PLOTS))
def test_plots_share_their_tail(namespace, name, function):
    parameters = inspect.signature(function).parameters
    assert {"show", "return_fig"} <= parameters.keys(), f"{namespace}.{name}"
    assert parameters["show"].default is None
    assert parameters["return_fig"].default is False


def test_import_is_light():
    code = f"import sys, scatacworks; print([m for m in {SLOW_MODULES!r} if m in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


@pytest.mark.parametrize("package", ["scatacworks", *(f"scatacworks.{namespace}" for namespace in NAMESPACES)])
def test_editors_see_what_is_loaded_on_use(package):
    """Type checkers take a name from a stub only where it is imported under itself."""
    module = importlib.import_module(package)
    tree = ast.parse(Path(module.__file__).with_suffix(".pyi").read_text())
    entries = [(node.module, alias) for node in tree.body if isinstance(node, ast.ImportFrom) for alias in node.names]
    assert {alias.asname for _, alias in entries} == set(module.__all__) - {"__version__"}
    assert all(alias.asname == alias.name for _, alias in entries)


def test_only_models_loads_torch():
    code = (
        "import sys, scatacworks as sca\n"
        "for space in (sca.io, sca.pp, sca.tl, sca.pl, sca.get, sca.metrics, sca.datasets):\n"
        "    [getattr(space, name) for name in space.__all__]\n"
        "    print(space.__name__, 'torch' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert not [line for line in done.stdout.splitlines() if line.endswith("True")]


@functools.cache
def modules():
    return [(path.relative_to(PACKAGE), ast.parse(path.read_text())) for path in sorted(PACKAGE.rglob("*.py"))]


@functools.cache
def executed_imports(tree):
    """Import statements of a module at any depth, those for type checking aside."""
    guarded = {
        id(node)
        for block in ast.walk(tree)
        if isinstance(block, ast.If) and "TYPE_CHECKING" in ast.dump(block.test)
        for node in ast.walk(block)
    }
    return [n for n in ast.walk(tree) if isinstance(n, ast.Import | ast.ImportFrom) and id(n) not in guarded]


def imported(tree):
    """Names of the scatacworks subpackages that a module imports."""
    for node in executed_imports(tree):
        if isinstance(node, ast.Import):
            yield from (a.name.split(".")[1] for a in node.names if a.name.startswith("scatacworks."))
        elif node.module and node.module.startswith("scatacworks"):
            parts = node.module.split(".")
            yield from [parts[1]] if len(parts) > 1 else [alias.name for alias in node.names]


def test_imports_point_one_way():
    wrong = [
        f"{path} imports {target}"
        for path, tree in modules()
        if path.parts[0] in LAYERS
        for target in imported(tree)
        if LAYERS.get(target, -1) > LAYERS[path.parts[0]]
    ]
    assert not wrong, "\n".join(wrong)


def test_torch_is_imported_by_models_only():
    wrong = [
        str(path)
        for path, tree in modules()
        if path.parts[0] != "models" and path.name != "_threads.py"
        for node in executed_imports(tree)
        for name in ([a.name for a in node.names] if isinstance(node, ast.Import) else [node.module or ""])
        if name.split(".")[0] == "torch"
    ]
    assert not wrong


def test_functions_fit_on_a_screen():
    long = [
        f"{path}:{node.name} has {length} lines"
        for path, tree in modules()
        for node in ast.walk(tree)
        if isinstance(node, ast.FunctionDef) and (length := body_length(node)) > 80
    ]
    assert not long, "\n".join(long)


def body_length(function):
    body = function.body[1:] if ast.get_docstring(function) and len(function.body) > 1 else function.body
    return function.end_lineno - body[0].lineno + 1


def test_slots_and_columns_have_one_name_everywhere():
    """What a function is about is its `key`; another slot or column is named for what it holds."""
    defaults = {"denoised": set(), "pseudobulk": set(), "differential_regions": set(), "component": set()}
    for namespace in ("pp", "tl", "pl", "get", "io"):
        for name in getattr(sca, namespace).__all__:
            function = getattr(getattr(sca, namespace), name)
            for parameter in inspect.signature(function).parameters.values() if inspect.isfunction(function) else ():
                if parameter.name != "key_added" and parameter.default in defaults:
                    defaults[parameter.default].add(parameter.name)
    allowed = {kept: {"key", f"{kept}_key"} for kept in ("denoised", "pseudobulk", "differential_regions")}
    allowed["component"] = {"component_key"}
    assert {kept: names - allowed[kept] for kept, names in defaults.items()} == {kept: set() for kept in defaults}
