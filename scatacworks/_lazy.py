"""Names that are imported when they are first used."""

from __future__ import annotations

import importlib
import re
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable

_IMPORT = re.compile(r"^from (\S+) import (\w+) as \w+$", re.MULTILINE)


def attach(package: str, file: str) -> tuple[Callable[[str], Any], Callable[[], list[str]], list[str]]:
    """Return `__getattr__`, `__dir__` and `__all__` of a package whose public names load on use.

    The names are those that the stub beside it, `__init__.pyi`, imports: editors and type checkers, which cannot see
    what is loaded on use, read the same list.

    Parameters
    ----------
    package
        The package's `__name__`.
    file
        The package's `__file__`.
    """
    stub = Path(file).with_suffix(".pyi").read_text(encoding="utf-8")
    homes = {name: home for home, name in _IMPORT.findall(stub)}
    public = sorted(homes)

    def __getattr__(name: str) -> Any:
        if name not in homes:
            msg = f"module {package!r} has no attribute {name!r}"
            raise AttributeError(msg)
        if homes[name] == package:
            return importlib.import_module(f"{package}.{name}")
        return getattr(importlib.import_module(homes[name]), name)

    return __getattr__, lambda: list(public), list(public)
