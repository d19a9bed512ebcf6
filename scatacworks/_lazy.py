"""Names that are imported when they are first used."""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping


def attach(
    package: str, names: Mapping[str, str], *, submodules: Iterable[str] = ()
) -> tuple[Callable[[str], Any], Callable[[], list[str]], list[str]]:
    """Return `__getattr__`, `__dir__` and `__all__` of a package whose public names load on use.

    Parameters
    ----------
    package
        The package's `__name__`.
    names
        Public name -> module (relative to `package`) that defines it.
    submodules
        Public modules of the package.
    """
    modules = frozenset(submodules)
    public = sorted([*names, *modules])

    def __getattr__(name: str) -> Any:
        if name in names:
            return getattr(importlib.import_module(f"{package}.{names[name]}"), name)
        if name in modules:
            return importlib.import_module(f"{package}.{name}")
        msg = f"module {package!r} has no attribute {name!r}"
        raise AttributeError(msg)

    return __getattr__, lambda: list(public), list(public)
