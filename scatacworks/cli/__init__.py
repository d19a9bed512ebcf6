"""The command line, thin over the Python functions."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the command line; `arguments` are those of the process by default."""
    try:
        from scatacworks.cli._app import run
    except KeyboardInterrupt:  # while the program starts
        sys.exit(130)
    run(arguments)
