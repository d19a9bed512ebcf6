"""The package's logger; the root logger is never touched."""

from __future__ import annotations

import logging

logger = logging.getLogger("scatacworks")
