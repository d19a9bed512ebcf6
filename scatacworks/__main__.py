"""`python -m scatacworks`."""

from __future__ import annotations

from scatacworks.cli import main

main()
